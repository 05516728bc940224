"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
import uuid
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.progress import check_cancelled

LEFTOVER_SECONDS = 3600.0


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; on success it takes the final name in one step.

    The temporary file keeps the suffixes of ``path`` (writers choose formats by them) and is removed on any failure,
    a cancellation included, so nothing half-written stays under the final name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:6]}.part-{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what :func:`written_whole` left unfinished in a folder and below when its process was killed.

    Those of a process of this machine that is gone go at once; of the others, which may be writing now, only those
    older than :data:`LEFTOVER_SECONDS`.
    """
    for path in folder.rglob(".*.part-*"):
        with contextlib.suppress(OSError):
            if _writer_is_gone(path.name) or path.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
                path.unlink()


def _writer_is_gone(name: str) -> bool:
    machine, process = (*name[1:].split("-", 2), "")[:2]
    # On Windows os.kill would end the process it is asked about.
    if machine != _machine() or not process.isdecimal() or os.name == "nt":
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _machine() -> str:
    """Eight letters for this machine's name, which may be a person's."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def write_text_whole(path: Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json_whole(path: Path, content: Any) -> None:
    """Write JSON in two-space indents, whole or not at all. NaN and infinity are refused, never written."""
    write_text_whole(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


_remembered: ContextVar[dict[tuple[object, ...], str] | None] = ContextVar("_remembered", default=None)


@contextlib.contextmanager
def hashes_remembered() -> Iterator[None]:
    """While inside, on this thread, a file whose size and times stay the same is hashed once."""
    known = _remembered.get()
    token = _remembered.set({} if known is None else known)
    try:
        yield
    finally:
        _remembered.reset(token)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    remembered = _remembered.get()
    with path.open("rb") as handle:
        state = os.fstat(handle.fileno())
        key = (str(path), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if remembered is not None and key in remembered:
            return remembered[key]
        digest = hashlib.sha256()
        while block := handle.read(1 << 20):
            check_cancelled()
            digest.update(block)
    if remembered is not None:
        remembered[key] = digest.hexdigest()
    return digest.hexdigest()


def sha256_of_all(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder and below, by its path inside the folder, with forward slashes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
