"""A file that is written appears whole or not at all, whichever call of the system fails on the way."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from TemporalGliomaRisk import files
from TemporalGliomaRisk.bundle_weights import save_weights
from TemporalGliomaRisk.errors import OutputError
from TemporalGliomaRisk.files import alone_in, remove_leftovers, write_text_whole, written_together, written_whole
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

REASONS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT)


def small() -> Volume:
    voxels = np.random.default_rng(1).random((30, 30, 30)).astype(np.float32)
    return Volume(voxels=voxels, geometry=Geometry(shape=(30, 30, 30), ijk_to_ras=np.diag([2.0, 2.0, 2.0, 1.0])))


def refusal_of(write: Callable[[], None]) -> str | None:
    """What a failed writing says, None where it succeeds."""
    try:
        write()
    except OutputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("before", [None, "old\n"])
def test_whichever_call_fails_the_file_is_old_or_new_and_nothing_else_is_left(
    before: str | None, reason: int, tmp_path: Path, faults
) -> None:
    path = tmp_path / "made" / "risk.json"
    with faults().installed() as counted:
        write_text_whole(tmp_path / "other" / "risk.json", "new\n")
    assert {"mkdir", "write_text", "fsync", "replace", "unlink"} <= set(counted.made)
    for at in range(1, len(counted.made) + 1):
        if path.exists():
            path.unlink()
        if before is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_text(before)
        with faults(at, reason).installed():
            said = refusal_of(lambda: write_text_whole(path, "new\n"))
        assert said is None or (os.strerror(reason) in said and "SECRETNAME" not in said)
        found = path.read_text() if path.exists() else None
        assert found in ({"new\n"} if said is None else {before, "new\n"})
        assert [name.name for name in path.parent.glob("*") if name != path] == []


def write_map(path: Path) -> None:
    write_nifti(small(), path.with_suffix(".nii.gz"))


def write_weights(path: Path) -> None:
    save_weights(torch.nn.Linear(40, 30), path.with_suffix(".safetensors"))


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("write", [write_map, write_weights])
def test_whichever_call_fails_a_file_of_numbers_is_old_or_new(
    write: Callable[[Path], None], reason: int, tmp_path: Path, faults, contents
) -> None:
    with faults().installed() as counted:
        write(tmp_path / "a")
    assert {"WriteImage", "write_bytes"} & set(counted.made)
    ((name, whole),) = contents(tmp_path).items()
    for at in range(1, len(counted.made) + 1):
        (tmp_path / name).write_bytes(b"old")
        with faults(at, reason).installed():
            said = refusal_of(lambda: write(tmp_path / "a"))
        assert said is None or (os.strerror(reason) in said and "SECRETNAME" not in said)
        found = contents(tmp_path)
        assert [*found] == [name]
        assert found[name] == b"old" if said else len(found[name]) == len(whole)


@pytest.mark.parametrize("last_before", [None, "old\n"])
def test_files_written_together_change_together_and_the_last_one_is_never_beside_others_of_another_run(
    last_before: str | None, tmp_path: Path, faults, contents
) -> None:
    def write(folder: Path, text: str) -> None:
        with written_together(folder, last="risk.json") as staged:
            write_text_whole(staged / "heatmaps" / "map.nii", text)
            write_text_whole(staged / "report.html", text)
            write_text_whole(staged / "risk.json", text)

    with faults().installed() as counted:
        write(tmp_path / "counted", "new\n")
    outcomes = set()
    for at in range(1, len(counted.made) + 1):
        folder = tmp_path / str(at)
        if last_before is not None:
            write(folder, last_before)
        with faults(at).installed():
            said = refusal_of(functools.partial(write, folder, "new\n"))
        assert said is None or "No space left" in said
        found = contents(folder)
        assert not [name for name in found if ".part-" in name]
        if said is None:
            assert set(found.values()) == {b"new\n"}
        elif last_before is not None:
            assert set(found.values()) == {b"old\n"}  # what was there is there again
        assert len(found) == (0 if said is not None and last_before is None else 3)
        outcomes.add(found.get("risk.json"))
        write(folder, "again\n")
        assert set(contents(folder).values()) == {b"again\n"}
    assert outcomes >= {b"new\n", None if last_before is None else b"old\n"}


def test_the_folder_reaches_the_disk_after_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        fsync(descriptor)

    def renamed(*names: str) -> None:
        done.append("name")
        replace(*names)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_text_whole(tmp_path / "a.json", "x\n")
    assert done == ["file", "name", "folder"]


@pytest.mark.parametrize("maps", [1, 5])
def test_files_written_together_reach_the_disk_before_the_last_one_and_each_folder_is_waited_for_once(
    maps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["risk.json", "report.html", *(f"heatmaps/{number}.nii" for number in range(maps))]
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if ".part-" not in path.as_posix():
            done.append(f"sync {path.relative_to(tmp_path).as_posix()}")
        fsync(descriptor)

    def renamed(source: str, target: str) -> None:
        if ".part-" not in os.fspath(target):
            done.append(Path(target).relative_to(tmp_path).as_posix())
        replace(source, target)

    with written_together(tmp_path, last="risk.json") as staged:
        for name in names:
            write_text_whole(staged / name, "x\n")
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", renamed)

    assert done[0] == "sync ."  # an earlier run's last file is gone before any of ours is there
    assert sorted(done[1 : len(names)]) == sorted(names[1:])
    assert sorted(done[len(names) : -2]) == ["sync .", "sync heatmaps"]
    assert done[-2:] == ["risk.json", "sync ."]


def test_a_folder_that_vanishes_on_the_way_is_one_sentence(tmp_path: Path) -> None:
    def write() -> None:
        with written_whole(tmp_path / "gone" / "a.json") as temporary:
            temporary.parent.rmdir()
            temporary.write_text("x")

    with pytest.raises(OutputError, match=r"could not be written \(No such file or directory\)"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_vanishes_between_two_files_takes_no_half_of_them_into_place(tmp_path: Path) -> None:
    """The second file would make the folder anew, and stand there without the first."""

    def write() -> None:
        with written_together(tmp_path / "out", last="risk.json") as staged:
            write_text_whole(staged / "report.html", "x")
            shutil.rmtree(tmp_path / "out")
            write_text_whole(staged / "risk.json", "x")

    with pytest.raises(OutputError, match=r"could not be written \(No such file or directory\)"):
        write()
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_map_that_a_full_disk_cuts_short_in_silence_is_noticed(tmp_path: Path) -> None:
    """SimpleITK reports no error where the system takes only part of a file; RLIMIT_FSIZE makes it do so."""
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_writing import small
from pathlib import Path
from TemporalGliomaRisk.errors import OutputError
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_nifti(small(), Path({str(tmp_path / "map.nii.gz")!r}))
except OutputError as error:
    print(error)
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert finished.stdout.startswith("A file could not be written (No space left on device).")
    assert finished.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_whole_map_is_written(tmp_path: Path) -> None:
    write_nifti(small(), tmp_path / "map.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["map.nii.gz"]


HOLD = """
import sys, time
from pathlib import Path
from TemporalGliomaRisk.files import alone_in
with alone_in(Path(sys.argv[1]), lambda: None):
    print("inside", flush=True)
    time.sleep(600)
"""


def test_two_processes_are_inside_a_folder_one_by_one_and_a_killed_one_lets_the_next_in(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "inside\n"
        waited: list[float] = []

        def waiting() -> None:
            waited.append(time.monotonic())
            if len(waited) == 5:
                holder.kill()

        with alone_in(tmp_path, waiting):
            assert len(waited) >= 5
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_waiting_can_be_cancelled(tmp_path: Path) -> None:
    def cancel() -> None:
        raise KeyboardInterrupt

    def second() -> None:
        with alone_in(tmp_path, cancel):
            pass

    with alone_in(tmp_path, cancel), pytest.raises(KeyboardInterrupt):
        second()
    second()


@pytest.mark.parametrize("hours", [-24 * 365 * 30, -2, 2, 24 * 365 * 30])
def test_a_clock_that_moved_leaves_what_is_written_now_alone_and_removes_the_dead_s(
    hours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    machine = files._machine()
    name = f".{machine}-{int(dead.stdout)}-abcdef.part-results"
    (tmp_path / name / "heatmaps").mkdir(parents=True)
    (tmp_path / name / "heatmaps" / "a.nii.gz").write_text("x")
    others = [tmp_path / ".film.part-1", tmp_path / "a.part-2"]
    for other in others:
        other.write_text("the user's own")
    now = time.time()
    monkeypatch.setattr(files.time, "time", lambda: now + 3600 * hours)
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_a_name_as_long_as_the_system_bears_can_be_written(tmp_path: Path) -> None:
    write_text_whole(tmp_path / ("x" * 250 + ".json"), "x\n")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]
