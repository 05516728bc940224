"""Risks at all six visits: `reference` as published (every prefix encoded anew) beside one pass over the timeline.

Run by name: ``python -m pytest Testing/benchmarks/risk_all_visits.py -s``, or ``make bench``.
"""

from __future__ import annotations

import time

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from TemporalGliomaRisk.encode.reference import ReferenceConfig, ReferenceModel

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
