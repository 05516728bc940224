"""Seconds from the start of each command to its first line and to its end, and the bare interpreter's beside them.

The aims: under 0.2 s of processor time over the bare interpreter for the import, under 1 s to the first line of
progress. Both clocks are kept: the wall's, which a busy machine lengthens, and the process's own processor time.
"""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SAMPLE = Path(__file__).resolve().parents[2] / "Resources" / "SampleData" / "sub-01"
PROGRAM = [sys.executable, "-m", "TemporalGliomaRisk"]
HELPS = ("predict", "check", "simulate", "pretrain", "finetune", "calibrate", "evaluate", "view", "worker")
ROUNDS = 5
TERMINAL = "check, sample patient, on a terminal"


def processor_seconds(code: str) -> float:
    """User and system time of a fresh interpreter that runs ``code``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    "code",
    ["import TemporalGliomaRisk", "from TemporalGliomaRisk.commands import main; main(['--help'])"],
    ids=["import", "help"],
)
def test_start(benchmark, code: str) -> None:
    bare = min(processor_seconds("pass") for _ in range(5))
    benchmark.pedantic(processor_seconds, args=(code,), rounds=5)
    benchmark.extra_info["processor_seconds_over_bare"] = min(processor_seconds(code) for _ in range(5)) - bare


def used_so_far(process: int) -> float:
    """Processor time of a running process, from the kernel's own account."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started(arguments: list[str], *, whole: bool) -> dict[str, float]:
    """One command: to its first line, and to its end unless that is stopped at once."""
    began = time.perf_counter()
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    line = process.stdout.readline()
    found = {"first_line_s": time.perf_counter() - began, "first_line_processor_s": used_so_far(process.pid)}
    if not whole:
        process.send_signal(signal.SIGTERM)
    process.stdout.read()
    process.wait()
    assert line.strip()
    if whole:
        assert process.returncode == 0
        found["exit_s"] = time.perf_counter() - began
    return found


def on_a_terminal(arguments: list[str]) -> dict[str, float]:
    """One command whose standard error is a terminal, as for a person: to its first line there."""
    ours, theirs = os.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    line = os.read(ours, 1024)
    found = {"first_line_s": time.perf_counter() - began, "first_line_processor_s": used_so_far(process.pid)}
    process.send_signal(signal.SIGTERM)
    process.wait()
    os.close(ours)
    assert line.strip()
    return found


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values), "rounds": len(values)}


def test_commands(once: Any, figures: Any, tmp_path: Path) -> None:
    commands = {
        "bare interpreter": ([sys.executable, "-c", "print('here')"], True),
        **{f"{name} --help": ([*PROGRAM, name, "--help"], True) for name in HELPS},
        "check, sample patient": ([*PROGRAM, "check", str(SAMPLE)], True),
        "predict, sample patient": (
            [*PROGRAM, "predict", str(SAMPLE), "--output", str(tmp_path / "out"), "--progress", "json"],
            False,
        ),
    }

    def measure() -> None:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in (*commands, TERMINAL)}
        for _ in range(ROUNDS):
            for name, (arguments, whole) in commands.items():
                runs[name].append(started(arguments, whole=whole))
            runs[TERMINAL].append(on_a_terminal([*PROGRAM, "check", str(SAMPLE)]))
        found = {
            name: {part: spread([run[part] for run in several]) for part in several[0]}
            for name, several in runs.items()
        }
        figures.keep("start-up", clock="wall clock and processor time", commands=found)

    once(measure)
