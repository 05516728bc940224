"""What was worked out of a visit, kept on disk, so that a further visit costs one encoding.

Entries are named by a hash of everything they depend on, hold a hash of their own content, and are never changed. One
that cannot be read, or whose content is not what was written, is removed and made anew. Entries hold pictures derived
from patients, so only their owner may read them, and only the owner may enter a folder that is made here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save

from TemporalGliomaRisk.files import remove_leftovers, written_whole

LARGEST_BYTES = 4_000_000_000
FOLDER_VARIABLE = "TEMPORAL_GLIOMA_RISK_CACHE"
FACTS, DIGEST = "facts", "sha256"
OWNER_ONLY_FOLDER, OWNER_ONLY_FILE = 0o700, 0o600


def default_folder() -> Path:
    """The folder named by TEMPORAL_GLIOMA_RISK_CACHE, else this user's usual place for caches."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "temporal-glioma-risk"


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """Arrays and JSON-ready facts."""

    arrays: Mapping[str, npt.NDArray[Any]]
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class VisitCache:
    """A folder of entries; the ones longest unused go when it grows past its bound.

    Args:
        folder: Made when first written to.
        largest_bytes: Bound on the folder's size.
    """

    folder: Path
    largest_bytes: int = LARGEST_BYTES

    def load(self, key: str) -> CacheEntry | None:
        """The entry of a key, None where there is none or it cannot be read."""
        path = self._path(key)
        try:
            with safe_open(str(path), framework="np") as file:
                metadata = file.metadata()
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            if metadata[DIGEST] != _digest(key, arrays, metadata[FACTS]):
                raise ValueError("The entry is not what was written.")
            facts = json.loads(metadata[FACTS])
        except FileNotFoundError:
            return None
        except Exception:  # noqa: BLE001 (whatever is wrong with it, the cure is to make it anew)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return CacheEntry(arrays=arrays, facts=facts)

    def store(self, key: str, entry: CacheEntry) -> None:
        """Keep an entry; a full disk or a read-only folder is no reason to fail."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY_FOLDER)
            arrays = {name: np.ascontiguousarray(array) for name, array in entry.arrays.items()}
            facts = json.dumps(entry.facts)
            content = save(arrays, metadata={FACTS: facts, DIGEST: _digest(key, arrays, facts)})
            # Not save_file, which puts a temporary file of its own beside, and would leave it there when killed.
            with written_whole(self._path(key)) as temporary:
                # Before there is anything in it: the folder may be one that others can enter.
                temporary.touch(mode=OWNER_ONLY_FILE, exist_ok=False)
                temporary.write_bytes(content)
            self._prune()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _prune(self) -> None:
        remove_leftovers(self.folder)
        files = sorted(self.folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in files:
            total += path.stat().st_size
            if total > self.largest_bytes:
                path.unlink(missing_ok=True)


def _digest(key: str, arrays: Mapping[str, npt.NDArray[Any]], facts: str) -> str:
    digest = hashlib.sha256(f"{key}:{facts}".encode())
    for name in sorted(arrays):
        digest.update(f"{name}:{arrays[name].dtype.str}:{arrays[name].shape}:".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
