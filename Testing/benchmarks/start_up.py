"""Processor time that a start costs over a bare interpreter's; the aim is under 0.2 s for the import."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest


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
