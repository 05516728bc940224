from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path

import pytest

from TemporalGliomaRisk.errors import OutputError, UsageError
from TemporalGliomaRisk.files import (
    LEFTOVER_SECONDS,
    check_output,
    hashes_remembered,
    remove_leftovers,
    sha256_of,
    write_json_whole,
    write_text_whole,
    written_together,
    written_whole,
)

RESULTS = ("heatmaps/map.nii", "montage.png", "report.html", "risk.json")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and /sys are Linux's")
@pytest.mark.parametrize("place", ["/proc", "/proc/new", "/sys/new/below"])
def test_an_output_that_takes_nothing_though_root_may_write_there_is_refused(place):
    with pytest.raises(UsageError, match=r"cannot be written to by this user\. Name another with --output\.$"):
        check_output(Path(place))


def test_an_output_that_can_be_written_to_is_not_made_yet(tmp_path):
    check_output(tmp_path / "new" / "below")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "risk.json"
    write_text_whole(path, "old\n")

    def fail() -> None:
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_json_lacks_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_whole(tmp_path / "risk.json", {"risk": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_changed_is_hashed_anew_though_its_size_stays_and_hashes_are_remembered(tmp_path):
    path = tmp_path / "volume.nii"
    path.write_bytes(b"before")
    with hashes_remembered():
        assert sha256_of(path) == hashlib.sha256(b"before").hexdigest()
        path.write_bytes(b"behind")
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # a clock may be too coarse to tell the two apart
        assert sha256_of(path) == hashlib.sha256(b"behind").hexdigest()


def test_only_old_leftovers_of_a_killed_run_are_removed(tmp_path):
    old, young, other = (
        tmp_path / name for name in (".0123456789ab.part-a.json", ".0123456789cd.part-b.json", "a.json")
    )
    for path in (old, young, other):
        path.write_text("x")
    past = time.time() - LEFTOVER_SECONDS - 5
    os.utime(old, (past, past))
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([young, other])


def write_results(folder: Path, text: str) -> None:
    with written_together(folder, last="risk.json") as staged:
        for name in RESULTS:
            write_text_whole(staged / name, text)


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch):
    """Refuse what takes away or replaces the file of some names, as a reader of Windows that has it open does."""

    def by(unlinked: tuple[str, ...] = (), back: tuple[str, ...] = (), kept: tuple[str, ...] = ()) -> None:
        unlink, replace = Path.unlink, Path.replace

        def unlinking(path: Path, missing_ok: bool = False) -> None:
            if path.name in unlinked and ".part-" not in path.as_posix():
                raise PermissionError(13, "Permission denied")
            unlink(path, missing_ok=missing_ok)

        def replacing(path: Path, target: Path) -> Path:
            earlier = ".part-earlier" in path.as_posix()
            placing = ".part-results" in path.as_posix() and not earlier and ".part-" not in Path(target).as_posix()
            if (placing and path.name == "risk.json") or (earlier and path.name in back) or target.name[:9] in kept:
                raise PermissionError(13, "Permission denied")
            return replace(path, target)

        monkeypatch.setattr(Path, "unlink", unlinking)
        monkeypatch.setattr(Path, "replace", replacing)

    return by


def test_a_file_that_cannot_be_taken_away_keeps_no_earlier_one_from_coming_back(tmp_path, refused):
    write_results(tmp_path, "old\n")
    refused(unlinked=("report.html",))
    with pytest.raises(OutputError, match=r"could not be written \(Permission denied\)\. Free space"):
        write_results(tmp_path, "new\n")
    assert texts(tmp_path) == dict.fromkeys(RESULTS, "old\n")


@pytest.mark.parametrize("kept", [(), (".earlier-",)])
def test_an_earlier_file_that_cannot_be_put_back_is_kept_and_the_others_come_back(tmp_path, refused, kept):
    write_results(tmp_path, "old\n")
    refused(back=("report.html",), kept=kept)
    with pytest.raises(OutputError, match="not all earlier files could be put back; those are kept in a hidden") as why:
        write_results(tmp_path, "new\n")
    assert str(tmp_path) not in str(why.value)
    found = texts(tmp_path)
    # The last file, which says that all is there, stays with the one that couldn't come back.
    assert {name for name in found if name[0] != "."} == {"heatmaps/map.nii", "montage.png"}
    saved = [name for name, text in found.items() if name[0] == "." and text == "old\n"]
    assert sorted(name.rpartition("/")[2] for name in saved) == ["report.html", "risk.json"]
    if not kept:
        assert len(found) == 4
        remove_leftovers(tmp_path)
        assert texts(tmp_path) == found


def test_an_earlier_file_survives_an_interruption_that_it_cannot_be_put_back_from(tmp_path, refused, monkeypatch):
    write_results(tmp_path, "old\n")
    refused(back=("montage.png",))
    refusing = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        with contextlib.suppress(PermissionError):
            return refusing(path, target)
        raise KeyboardInterrupt if path.name == "risk.json" else PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_results(tmp_path, "new\n")
    assert sorted(name.rpartition("/")[2] for name, text in texts(tmp_path).items() if text == "old\n") == sorted(
        name.rpartition("/")[2] for name in RESULTS
    )
