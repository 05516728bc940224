"""Risks at all six visits: `reference` as published (every prefix encoded anew), in one pass, and `evidence`.

Run by name: ``python -m pytest Testing/benchmarks/risk_all_visits.py -s``, or ``make bench``.
"""

from __future__ import annotations

import time

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel, brain_cells
from TemporalGliomaRisk.encode.reference import ReferenceConfig, ReferenceModel
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.ensemble import TimelineRisk

VISITS = 6
GRID = (80, 96, 80)
SECONDS: dict[str, float] = {}


@pytest.fixture(scope="module")
def timeline() -> dict[str, Tensor]:
    days = torch.arange(VISITS)[None] * 120.0
    return {
        "intensities": torch.randn(1, VISITS, 4, *GRID, generator=torch.Generator().manual_seed(0)),
        "present": torch.ones(1, VISITS, 4, dtype=torch.bool),
        "days_since_first": days,
        "days_since_treatment": days + 10,
        "valid": torch.ones(1, VISITS, dtype=torch.bool),
    }


def a_model(*, causal: bool) -> ReferenceModel:
    torch.manual_seed(0)
    return ReferenceModel(ReferenceConfig(causal=causal)).eval()


@torch.no_grad()
def every_prefix_anew(model: ReferenceModel, timeline: dict[str, Tensor]) -> Tensor:
    prefixes = ({name: value[:, :k] for name, value in timeline.items()} for k in range(1, VISITS + 1))
    last = []
    for prefix in prefixes:
        features = model.encode_visits(prefix["intensities"], prefix["present"], prefix["valid"])
        days = prefix["days_since_first"], prefix["days_since_treatment"]
        last.append(model.hazards(features, *days, prefix["valid"])[:, -1])
    return torch.stack(last, dim=1)


@torch.no_grad()
def one_pass(model: ReferenceModel, timeline: dict[str, Tensor]) -> Tensor:
    hazards: Tensor = model(**timeline)
    return hazards


@pytest.mark.parametrize("way", ["every prefix anew", "one pass"])
def test_reference_at_every_visit(benchmark: BenchmarkFixture, timeline: dict[str, Tensor], way: str) -> None:
    model = a_model(causal=way == "one pass")
    run = every_prefix_anew if way == "every prefix anew" else one_pass

    def timed() -> Tensor:
        start = time.perf_counter()
        hazards = run(model, timeline)
        SECONDS[way] = min(SECONDS.get(way, float("inf")), time.perf_counter() - start)
        return hazards

    hazards = benchmark.pedantic(timed, rounds=1, warmup_rounds=0)
    torch.testing.assert_close(hazards, one_pass(model, timeline), rtol=0, atol=1e-5)
    if len(SECONDS) == 2:
        ratio = SECONDS["every prefix anew"] / SECONDS["one pass"]
        benchmark.extra_info["every_prefix_anew_over_one_pass"] = ratio
        print(f"every prefix anew / one pass = {ratio:.2f} ({SECONDS})")  # noqa: T201
        assert ratio > 2


def brain() -> Tensor:
    """An ellipsoid of some 1.4 litres on the 2 mm grid."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, length) for length in GRID], indexing="ij")
    return sum(axis**2 for axis in axes) < 0.75


def test_evidence_at_every_visit(benchmark: BenchmarkFixture, timeline: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    network = EvidenceModel(EvidenceConfig(), members=3).eval()
    cells = brain_cells(brain())
    days = day_features(timeline["days_since_first"], timeline["days_since_treatment"])[0]

    def timed() -> list[float]:
        start = time.perf_counter()
        running, risks = TimelineRisk(network, Calibration(), Calibration()), []
        with torch.inference_mode():
            for visit in range(VISITS):
                present = timeline["present"][0, visit]
                features = network.encode_visit(timeline["intensities"][0, visit] * brain(), present, cells)
                risks.append(running.see(features, present, days[visit]).risk)
        SECONDS["evidence"] = min(SECONDS.get("evidence", float("inf")), time.perf_counter() - start)
        return risks

    risks = benchmark.pedantic(timed, rounds=3, warmup_rounds=1)
    assert all(0 < risk < 1 for risk in risks)
    if "every prefix anew" in SECONDS:
        ratio = SECONDS["every prefix anew"] / SECONDS["evidence"]
        benchmark.extra_info["reference_as_published_over_evidence"] = ratio
        print(f"reference as published / evidence = {ratio:.2f} ({SECONDS})")  # noqa: T201
