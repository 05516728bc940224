"""Importing the package, or asking the program for help, loads nothing heavy; seconds are in Testing/benchmarks."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "monai", "numpy", "scipy", "SimpleITK", "matplotlib", "jinja2", "pydicom", "jsonschema"}


def modules_after(code: str) -> set[str]:
    """Top-level modules loaded by a fresh interpreter that ran ``code``."""
    tail = "\nimport sys\nprint('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True).stdout
    return set(out.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "code",
    [
        "import TemporalGliomaRisk",
        "import TemporalGliomaRisk.errors, TemporalGliomaRisk.config, TemporalGliomaRisk.resources",
        "from TemporalGliomaRisk.commands import main; main(['--help'])",
        "from TemporalGliomaRisk.commands import main; main(['boil'])",
    ],
)
def test_a_start_loads_nothing_heavy(code: str) -> None:
    assert modules_after(code) & HEAVY == set()


def test_the_check_notices_a_heavy_import() -> None:
    assert modules_after("import numpy") & HEAVY == {"numpy"}


def test_reading_a_timeline_loads_no_torch() -> None:
    code = "import TemporalGliomaRisk.timeline.volume, TemporalGliomaRisk.timeline.reading"

    assert modules_after(code) & {"torch", "monai"} == set()
