"""What benchmarks share: the sides of a ratio timed in turn, so that other work on the machine meets all of them.

Figures go to results/benchmarks.json, each with its median, its range, the machine, threads and versions, and stay
there until the same figure is measured again. With one thread (the default) the clock is the process's own processor
time, which other work disturbs least; BENCH_THREADS=2 and more takes the wall clock, for a machine that is quiet.
"""

# ruff: noqa: PLC0415  (heavy imports wait for the fixture that needs them: pytest reads this file in every run)

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from TemporalGliomaRisk.learn.pair_crops import PairBatch

RESULTS = Path(__file__).parent / "results" / "benchmarks.json"
THREADS = int(os.environ.get("BENCH_THREADS", "1"))
LIBRARIES = ("torch", "monai", "captum", "SimpleITK", "numpy")


def machine() -> dict[str, Any]:
    """Where a figure was measured."""
    named = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "processor": named[0].split(":", 1)[1].strip() if named else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def spread(values: list[float]) -> dict[str, float | int]:
    """Median, range and number of measurements."""
    return {
        "median": statistics.median(values),
        "least": min(values),
        "greatest": max(values),
        "rounds": len(values),
    }


@dataclass
class Figures:
    """Keeps what is measured."""

    clock: Callable[[], float]
    clock_name: str

    def in_turn(self, sides: Mapping[str, Callable[[], Any]], rounds: int, warm_up: bool = True) -> dict[str, Any]:
        """Seconds of each side, one after the other, ``rounds`` times over."""
        if warm_up:
            for side in sides.values():
                side()
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                began = self.clock()
                side()
                seconds[name].append(self.clock() - began)
        return {name: spread(values) for name, values in seconds.items()}

    def keep(self, name: str, *, unit: str = "s", clock: str | None = None, **content: Any) -> None:
        """Write a figure down, in the place of the same figure before."""
        known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        known[name] = {
            **content,
            "unit": unit,
            "clock": clock or self.clock_name,
            "threads": THREADS,
            "load_average": round(os.getloadavg()[0], 1),
            "machine": machine(),
        }
        RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def compare(
        self, name: str, sides: Mapping[str, Callable[[], Any]], *, rounds: int, to: str, **content: Any
    ) -> dict[str, float]:
        """Time the sides in turn and keep them, with each side's median over that of ``to``."""
        found = self.in_turn(sides, rounds)
        ratios = {side: found[side]["median"] / found[to]["median"] for side in sides if side != to}
        self.keep(name, sides=found, ratios=ratios, to=to, **content)
        return ratios


@pytest.fixture(scope="session")
def figures() -> Figures:
    """The book of figures, with the threads set."""
    import SimpleITK as sitk
    import torch

    torch.set_num_threads(THREADS)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    if THREADS == 1:
        return Figures(time.process_time, "processor time")
    return Figures(time.perf_counter, "wall clock")


@pytest.fixture
def once(benchmark: Any) -> Callable[[Callable[[], Any]], Any]:
    """Run a whole measurement under pytest-benchmark, which lists it; its rounds are the measurement's own."""
    return lambda measure: benchmark.pedantic(measure, rounds=1, iterations=1)


@dataclass(frozen=True)
class Head:
    """The sample patient's first visit on the model grid, with all four sequences."""

    intensities: Tensor
    present: Tensor
    cells: Tensor
    brain: np.ndarray


@pytest.fixture(scope="session")
def shipped(figures: Figures) -> Any:
    """The shipped model: three members and the single-visit head."""
    from TemporalGliomaRisk.run import load_model

    return load_model(None)


@pytest.fixture(scope="session")
def sample_timeline() -> Any:
    """The six visits of the sample patient."""
    from TemporalGliomaRisk.resources import resource_path
    from TemporalGliomaRisk.timeline.reading import read_timeline

    return read_timeline(resource_path("SampleData") / "sub-01")


@pytest.fixture(scope="session")
def head(shipped: Any, sample_timeline: Any) -> Head:
    """The real shape of a head; T2w and T1w, which the sample lacks, are copies of the two it has."""
    import torch

    from TemporalGliomaRisk.encode.evidence import brain_cells
    from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit

    frame, prepared = prepare_first_visit(sample_timeline.visits[0], shipped.preprocessing)
    intensities = torch.from_numpy(prepared.intensities).clone()
    intensities[1], intensities[2] = 0.7 * intensities[0], 0.7 * intensities[3]
    brain = frame.brain_mask
    return Head(intensities, torch.ones(4, dtype=torch.bool), brain_cells(torch.from_numpy(brain)), brain)


@pytest.fixture(scope="session")
def noise_pairs(figures: Figures) -> Callable[[int], PairBatch]:
    """Makes so many pairs to pretrain on, of the usual size: what they show does not change what they cost."""
    import torch

    from TemporalGliomaRisk.encode.evidence import CELL_VOXELS
    from TemporalGliomaRisk.learn.pair_crops import PairBatch, PairConfig

    def made(pairs: int) -> PairBatch:
        edge = PairConfig().crop_voxels
        random = torch.Generator().manual_seed(0)
        cells = torch.ones(pairs, *[edge // CELL_VOXELS] * 3, dtype=torch.bool)
        earlier, later = torch.randn(2, pairs, 4, edge, edge, edge, generator=random)
        return PairBatch(
            earlier=earlier,
            later=later,
            present=torch.ones(pairs, 4, dtype=torch.bool),
            cells=cells,
            grown=(torch.rand(cells.shape, generator=random) < 0.02).float(),
            lesions=(torch.rand(pairs, 2, *cells.shape[1:], generator=random) < 0.02).float(),
        )

    return made
