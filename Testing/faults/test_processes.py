"""Processes that work for another end with it, however it ends: really killed, in the middle of their work."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from TemporalGliomaRisk.processes import processes

PROGRAM = """
import os, sys, time
from pathlib import Path
from TemporalGliomaRisk.processes import processes

def work(seconds):
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(seconds)

if __name__ == "__main__":
    with processes(2) as pool:
        list(pool.map(work, [float(sys.argv[2])] * 4))
"""


def is_there(process: int) -> bool:
    """Whether a process runs; one that only waits for its status to be read does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def waited_for(condition, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(("seconds", "end"), [(600.0, signal.SIGKILL), (600.0, signal.SIGTERM), (0.05, signal.SIGKILL)])
def test_they_end_with_whoever_was_killed(seconds: float, end: signal.Signals, tmp_path: Path) -> None:
    script, seen = tmp_path / "program.py", tmp_path / "seen"
    seen.mkdir()
    # In the last case they wait for work, as the standard pool's would do for ever.
    script.write_text(PROGRAM if seconds > 1 else PROGRAM.replace("* 4))", "* 4)); time.sleep(600)"), "utf-8")
    program = subprocess.Popen([sys.executable, str(script), str(seen), str(seconds)], stderr=subprocess.DEVNULL)
    try:
        assert waited_for(lambda: len([*seen.iterdir()]) == 2)
        workers = [int(path.name) for path in seen.iterdir()]
        assert all(is_there(worker) for worker in workers)
        program.send_signal(end)
        assert program.wait() == -end
        assert waited_for(lambda: not any(is_there(worker) for worker in workers), 20)
    finally:
        program.kill()


def test_what_they_find_comes_back_in_order_and_each_begins_as_asked(tmp_path: Path) -> None:
    with processes(2, os.chdir, (tmp_path,)) as pool:
        assert list(pool.map(os.path.abspath, "abcdefgh")) == [str(tmp_path.resolve() / name) for name in "abcdefgh"]
