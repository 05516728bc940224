"""Where the module's own files lie: beside the modules once installed, above them in the source tree."""

from __future__ import annotations

from pathlib import Path

_MODULES = Path(__file__).resolve().parents[1]


def resource(name: str) -> Path | None:
    """A file of Resources/, None where it is not there.

    Args:
        name: Path inside Resources/.
    """
    places = (_MODULES / "Resources" / name, _MODULES.parent / "Resources" / name)
    return next((path for path in places if path.is_file()), None)
