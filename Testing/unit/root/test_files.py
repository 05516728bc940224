from __future__ import annotations

import os
import time

import pytest

from TemporalGliomaRisk.files import (
    LEFTOVER_SECONDS,
    remove_leftovers,
    write_json_whole,
    write_text_whole,
    written_whole,
)


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
