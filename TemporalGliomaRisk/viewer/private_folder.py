"""The viewer's folder for uploads, results and scenes: private, gone when it ends, or after a kill when one starts.

Whoever uses a folder holds a lock on it, which goes with the process however that ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from TemporalGliomaRisk.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "temporal-glioma-risk-viewer-"
YOUNGEST_SECONDS = 60.0
"""A folder younger than this may belong to a viewer that has yet to lock it."""


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder of this process's own; those that killed viewers of the same user left behind are removed first.

    Raises:
        OutputError: If it cannot be made.
    """
    try:
        remove_abandoned(Path(tempfile.gettempdir()))
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise OutputError(
            f"The viewer's temporary folder cannot be made ({error.strerror}). Free space, or name another place with "
            "the environment variable TMPDIR."
        ) from error
    held = _locked(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def remove_abandoned(place: Path) -> None:
    """Remove the folders of viewers that are gone; nothing where a system has no locks to tell by."""
    if fcntl is None:
        return
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            state = folder.lstat()
            if folder.is_symlink() or state.st_uid != os.getuid() or state.st_mtime > time.time() - YOUNGEST_SECONDS:
                continue
            held = _locked(folder)
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None where another process holds it, or there are no locks."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
