"""The risk at every visit: `reference` as published and in one pass, and `evidence` as shipped.

As published: the ResNet-18 encodes every visit of every prefix anew, for K visits K (K + 1) / 2 encodings. All are
given the same four sequences on the same 2 mm grid of the sample patient's head. The first convolution strides by 2, as
in the ResNet paper; with MONAI's own default of 1, timed apart, the reference costs several times as much. `evidence`
is the shipped model, its three members and the single-visit head, from intensities to calibrated risks and terms.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.reference import ReferenceConfig, ReferenceModel
from TemporalGliomaRisk.risk.ensemble import TimelineRisk

VISITS = (1, 2, 4, 6, 8, 12, 24)
MOST_PREFIXES = 12
"""Visits up to which every prefix is encoded anew here: 24 visits would be 300 encodings a round."""


def reference(*, causal: bool, first_stride: int = 2) -> ReferenceModel:
    torch.manual_seed(0)
    return ReferenceModel(ReferenceConfig(causal=causal, first_stride=first_stride)).eval()


def timeline_of(head: Any, visits: int) -> dict[str, Tensor]:
    days = torch.arange(visits)[None] * 120.0
    return {
        "intensities": head.intensities.expand(1, visits, *head.intensities.shape),
        "present": head.present.expand(1, visits, 4),
        "days_since_first": days,
        "days_since_treatment": days + 10,
        "valid": torch.ones(1, visits, dtype=torch.bool),
    }


@torch.inference_mode()
def every_prefix_anew(model: ReferenceModel, timeline: dict[str, Tensor]) -> Tensor:
    last = []
    for visits in range(1, timeline["valid"].shape[1] + 1):
        prefix = {name: value[:, :visits] for name, value in timeline.items()}
        features = model.encode_visits(prefix["intensities"], prefix["present"], prefix["valid"])
        tokens = model.hazards(features, prefix["days_since_first"], prefix["days_since_treatment"], prefix["valid"])
        last.append(tokens[:, -1])
    return torch.stack(last, dim=1)


@torch.inference_mode()
def one_pass(model: ReferenceModel, timeline: dict[str, Tensor]) -> Tensor:
    hazards: Tensor = model(**timeline)
    return hazards


@torch.inference_mode()
def evidence(shipped: Any, head: Any, visits: int) -> list[float]:
    running = TimelineRisk(shipped.network, shipped.calibration, shipped.single_visit_calibration)
    days = day_features(torch.arange(visits) * 120.0, torch.arange(visits) * 120.0 + 10)
    risks = []
    for visit in range(visits):
        features = shipped.network.encode_visit(head.intensities, head.present, head.cells)
        risks.append(running.see(features, head.present, days[visit]).risk)
    return risks


@pytest.mark.parametrize("visits", VISITS)
def test_risk_at_every_visit(once: Any, figures: Any, shipped: Any, head: Any, visits: int) -> None:
    published, causal = reference(causal=False), reference(causal=True)
    timeline = timeline_of(head, visits)
    sides = {
        "evidence": lambda: evidence(shipped, head, visits),
        "reference, one pass": lambda: one_pass(causal, timeline),
    }
    if visits <= MOST_PREFIXES:
        sides["reference, every prefix anew"] = lambda: every_prefix_anew(published, timeline)
    rounds = 5 if visits <= 2 else 3 if visits <= 6 else 2
    once(lambda: figures.compare(f"risk at all of {visits} visits", sides, rounds=rounds, to="evidence"))
    torch.testing.assert_close(
        every_prefix_anew(published, timeline_of(head, 2)), one_pass(published, timeline_of(head, 2)), rtol=0, atol=1e-5
    )


def test_one_encoding_by_the_first_stride(once: Any, figures: Any, shipped: Any, head: Any) -> None:
    two, one = reference(causal=True), reference(causal=True, first_stride=1)
    timeline = timeline_of(head, 1)
    sides = {
        "evidence": lambda: evidence(shipped, head, 1),
        "reference, first stride 2": lambda: one_pass(two, timeline),
        "reference, first stride 1": lambda: one_pass(one, timeline),
    }
    once(lambda: figures.compare("one visit by the reference's first stride", sides, rounds=3, to="evidence"))
