"""Where the module's own files lie: beside the modules once installed, above them in the source tree."""

from __future__ import annotations

from pathlib import Path

_MODULES = Path(__file__).resolve().parents[1]


def resource(name: str, *, modules: Path = _MODULES) -> Path | None:
    """A file of Resources/, None where it is not there.

    Args:
        name: Path inside Resources/.
        modules: Folder of the modules; another one only in tests.
    """
    places = (modules / "Resources" / name, modules.parent / "Resources" / name)
    return next((path for path in places if path.is_file()), None)
