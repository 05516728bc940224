"""What this installation holds: models, sample patients and templates beside the code, and versions of libraries.

In the source tree and in Slicer's install tree, Resources/ lies beside the package; in an installed wheel, inside it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from TemporalGliomaRisk.errors import UsageError

DEFAULT_MODEL = "Models/evidence-simulated-5"
"""The model that is shipped, by its path inside Resources/."""

_PACKAGE = Path(__file__).resolve().parent


def resource_path(name: str, *, package: Path = _PACKAGE) -> Path:
    """The file or folder ``name`` of Resources/, for example ``"Models/evidence"``.

    Args:
        name: Path inside Resources/, with forward slashes.
        package: Folder of the import package; another one only in tests.

    Returns:
        Path to what exists.

    Raises:
        UsageError: If ``name`` leads out of Resources/, or this installation holds no such thing.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UsageError(f"A resource is named by its path inside Resources/, got {name!r}.")
    for folder in (package / "Resources", package.parent / "Resources"):
        if (folder / name).exists():
            return folder / name
    raise UsageError(
        f"Resources/{name} is not part of this installation; looked inside the package and beside it. "
        "Install the package anew, or name another path."
    )


def library_version(library: str) -> str | None:
    """A library's version, without loading it; None where it isn't there or doesn't tell."""
    import importlib.metadata  # noqa: PLC0415  (what starts up need not wait for it)

    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        # A host may bring one of its own, without a record that pip would know it by.
        return getattr(sys.modules.get(library), "__version__", None)
