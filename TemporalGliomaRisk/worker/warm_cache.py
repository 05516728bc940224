"""Encoded visits kept in memory as well as on disk, as long as the worker lives."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from TemporalGliomaRisk.visit_cache import CacheEntry, VisitCache

MOST_BYTES = 1_000_000_000
"""About a hundred visits."""


@dataclass(frozen=True, kw_only=True)
class WarmVisitCache(VisitCache):
    """A cache on disk, with the entries last used in memory.

    Args:
        most_bytes: Bound on what is held in memory.
    """

    most_bytes: int = MOST_BYTES
    _held: OrderedDict[str, CacheEntry] = field(default_factory=OrderedDict, init=False, repr=False)

    def load(self, key: str) -> CacheEntry | None:
        """The entry of a key, from memory, else from disk."""
        entry = self._held.get(key) or super().load(key)
        if entry is not None:
            self._hold(key, entry)
        return entry

    def store(self, key: str, entry: CacheEntry) -> None:
        """Keep an entry in memory and on disk."""
        self._hold(key, entry)
        super().store(key, entry)

    def _hold(self, key: str, entry: CacheEntry) -> None:
        self._held[key] = entry
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(_bytes(held) for held in self._held.values()) > self.most_bytes:
            self._held.popitem(last=False)


def _bytes(entry: CacheEntry) -> int:
    return sum(array.nbytes for array in entry.arrays.values())
