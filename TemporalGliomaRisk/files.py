"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEFTOVER_SECONDS = 3600.0


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; on success it takes the final name in one step.

    The temporary file keeps the suffixes of ``path`` (writers choose formats by them) and is removed on any failure,
    a cancellation included, so nothing half-written stays under the final name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.part-{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what :func:`written_whole` left unfinished in a folder and below when its process was killed.

    Younger ones than :data:`LEFTOVER_SECONDS` stay: another run may be writing them now.
    """
    for path in folder.rglob(".*.part-*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
                path.unlink()


def write_text_whole(path: Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json_whole(path: Path, content: Any) -> None:
    """Write JSON in two-space indents, whole or not at all. NaN and infinity are refused, never written."""
    write_text_whole(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
