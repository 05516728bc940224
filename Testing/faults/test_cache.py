"""Whatever became of the cache, risks are the same, and it heals; a clock that moved changes nothing."""

from __future__ import annotations

import datetime
import errno
import hashlib
import json
import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from TemporalGliomaRisk.bundle import load_bundle
from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.pipeline import PredictOptions, predict_risk
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.visit import Timeline
from TemporalGliomaRisk.visit_cache import CacheEntry, VisitCache


@pytest.fixture(scope="module")
def risks(prediction: Any, small_bundle: Path, brain_mask_file: Path):
    """Risks of the two visits by a cache."""
    model = load_bundle(small_bundle)
    mask = VolumeFile(path=brain_mask_file, role="brain mask").read()
    timeline: Timeline = prediction.timeline

    def of(cache: VisitCache) -> list[float]:
        found = predict_risk(
            timeline, model, options=PredictOptions(device="cpu", register="never"), brain_mask=mask, cache=cache
        )
        return [visit.hazards.risk for visit in found.visits]

    return of


@pytest.fixture(scope="module")
def filled(risks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "cache"
    risks(VisitCache(folder=folder))
    assert len(list(folder.iterdir())) == 2
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-500] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def huge_header(path: Path) -> None:
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")


def pickled(path: Path) -> None:
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch exploded'\ntR.")


def other_fields(path: Path) -> None:
    """As another version of this package may have written it: sound, and of other content."""
    VisitCache(folder=path.parent).store(path.stem, CacheEntry(arrays={"other": np.zeros(3)}, facts={"other": 1}))


def other_shapes(path: Path) -> None:
    entry = VisitCache(folder=path.parent).load(path.stem)
    arrays = {**entry.arrays, "features": np.zeros((7, 3, 1), np.float32)}
    VisitCache(folder=path.parent).store(path.stem, CacheEntry(arrays=arrays, facts=entry.facts))


def facts_of_nonsense(path: Path) -> None:
    facts = json.dumps([1, 2])
    digest = hashlib.sha256(f"{path.stem}:{facts}".encode()).hexdigest()
    save_file({}, str(path), metadata={"facts": facts, "sha256": digest})


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def linked_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


DAMAGES = (
    cut,
    flip,
    empty,
    huge_header,
    pickled,
    other_fields,
    other_shapes,
    facts_of_nonsense,
    a_folder,
    linked_to_nothing,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.__name__ for damage in DAMAGES])
def test_a_damaged_or_foreign_entry_gives_the_same_risks_and_heals(
    damage: Any, filled: Path, risks, prediction: Any, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "cache"))
    for path in list(folder.iterdir()):
        damage(path)
    wanted = [visit.hazards.risk for visit in prediction.visits]
    assert risks(VisitCache(folder=folder)) == wanted
    if damage is not a_folder:  # nothing of ours is ever a folder there: left alone, and lived without
        sound = [VisitCache(folder=folder).load(path.stem) for path in filled.iterdir()]
        assert all(entry is not None and "features" in entry.arrays for entry in sound)


@pytest.mark.parametrize("kind", ["a file", "read-only", "below a file", "full"])
def test_a_cache_that_can_t_be_kept_changes_nothing(
    kind: str, risks, prediction: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    if kind == "a file":
        folder.write_text("x")
    elif kind == "below a file":
        (tmp_path / "file").write_text("x")
        folder = tmp_path / "file" / "cache"
    elif kind == "read-only":
        folder = Path("/proc/cache")
    else:

        def full(path: Path, content: bytes) -> None:
            path.open("wb").close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "write_bytes", full)
    assert risks(VisitCache(folder=folder)) == [visit.hazards.risk for visit in prediction.visits]
    assert kind != "full" or list(folder.iterdir()) == []


def test_whichever_call_fails_an_entry_is_whole_or_absent_and_nothing_else_is_left(
    tmp_path: Path, faults, contents
) -> None:
    entry = CacheEntry(arrays={"features": np.arange(3000.0)}, facts={"a": 1})

    def stored(folder: Path, number: int) -> CacheEntry | None:
        VisitCache(folder=folder).store(f"{number:064d}", entry)
        return VisitCache(folder=folder).load(f"{number:064d}")

    with faults().installed() as counted:
        assert stored(tmp_path / "counted", 0) is not None
    assert {"mkdir", "write_bytes", "fsync", "replace"} <= set(counted.made)
    kept = 0
    for at in range(1, len(counted.made) + 1):
        with faults(at).installed():
            found = stored(tmp_path / "cache", at)
        assert found is None or (found.facts == entry.facts and len(found.arrays["features"]) == 3000)
        kept += found is not None
        assert len(contents(tmp_path / "cache")) == kept
    assert 0 < kept < len(counted.made)
    # A kill leaves what the next entry clears away, and nothing by a name that nobody knows as ours.
    names = set()
    with faults(at_each=lambda: names.update(contents(tmp_path / "cache"))).installed():
        stored(tmp_path / "cache", 1000)
    assert all(name.endswith(".safetensors") and (".part-" in name or name[0] != ".") for name in names)


@pytest.mark.parametrize("folder_mode", [None, 0o755, 0o777])
def test_only_their_owner_may_read_the_entries_whatever_the_folder_is_open_to(
    folder_mode: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    if folder_mode is not None:
        folder.mkdir()
        folder.chmod(folder_mode)
    seen_while_written: list[int] = []
    write_bytes = Path.write_bytes

    def watched(path: Path, content: bytes) -> int:
        written = write_bytes(path, content)
        seen_while_written.append(stat.S_IMODE(path.stat().st_mode))
        return written

    monkeypatch.setattr(Path, "write_bytes", watched)
    before = os.umask(0o022)
    try:
        VisitCache(folder=folder).store("a" * 64, CacheEntry(arrays={"features": np.zeros(3)}, facts={}))
    finally:
        os.umask(before)

    (entry,) = folder.iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert seen_while_written == [0o600]
    assert stat.S_IMODE(folder.stat().st_mode) == (0o700 if folder_mode is None else folder_mode)


@pytest.mark.parametrize("days", [-20_000, 20_000])
def test_entries_from_another_time_are_used_and_the_bound_on_size_is_kept(
    days: int, filled: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "cache"))
    then = max(time.time() + 86_400 * days, 0)
    for path in folder.iterdir():
        os.utime(path, (then, then))
        assert VisitCache(folder=folder).load(path.stem) is not None
    size = max(path.stat().st_size for path in folder.iterdir())
    VisitCache(folder=folder, largest_bytes=size).store("0" * 64, CacheEntry(arrays={"a": np.zeros(3)}, facts={}))
    assert sum(path.stat().st_size for path in folder.iterdir()) <= size


def test_a_clock_set_back_before_the_visits_is_told_as_dates_after_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("TemporalGliomaRisk.timeline.assembly.today", lambda: datetime.date(1970, 1, 1))
    (tmp_path / "a_20200101_FLAIR.nii").write_bytes(b"x")
    assert main(["check", str(tmp_path), "--no-alignment"]) == 2
    assert "dated after today" in capsys.readouterr().err
