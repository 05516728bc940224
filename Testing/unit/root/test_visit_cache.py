"""Which entries of the cache are given, and which go first when it is full."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from TemporalGliomaRisk.visit_cache import CacheEntry, VisitCache
from TemporalGliomaRisk.worker.warm_cache import WarmVisitCache


def entry(value: int) -> CacheEntry:
    return CacheEntry(arrays={"features": np.full(1000, value, np.int64)}, facts={"value": value})


def value_of(found: CacheEntry | None) -> int | None:
    return None if found is None else found.facts["value"]


def kept(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def test_an_entry_under_another_one_s_name_is_not_taken_for_it_and_goes(tmp_path: Path) -> None:
    cache = VisitCache(folder=tmp_path)
    cache.store("a", entry(1))
    (tmp_path / "a.safetensors").rename(tmp_path / "b.safetensors")
    assert cache.load("b") is None
    assert kept(tmp_path) == set()


def test_the_entry_that_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = VisitCache(folder=tmp_path)
    for number, key in enumerate("abc"):
        cache.store(key, entry(number))
        os.utime(tmp_path / f"{key}.safetensors", (1e9 + number,) * 2)
    assert value_of(cache.load("a")) == 0
    size = (tmp_path / "a.safetensors").stat().st_size
    VisitCache(folder=tmp_path, largest_bytes=3 * size).store("d", entry(3))
    assert kept(tmp_path) == {"a", "c", "d"}


def test_memory_gives_what_was_stored_last_and_forgets_what_was_not_used_for_longest(tmp_path: Path) -> None:
    cache = WarmVisitCache(folder=tmp_path, most_bytes=2 * 8000)
    for number, key in enumerate("aba"):
        cache.store(key, entry(number))
    (tmp_path / "a.safetensors").unlink()
    assert value_of(cache.load("a")) == 2
    cache.store("c", entry(3))
    for path in tmp_path.iterdir():
        path.unlink()
    assert [value_of(cache.load(key)) for key in "abc"] == [2, None, 3]
