"""How fast cohorts and weights are made: patients simulated, updates of pretraining and of fine-tuning."""

from __future__ import annotations

from typing import Any

import torch

from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import EvidenceConfig, HistoryHead
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.learn.pretrain import PretrainConfig, pair_losses
from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.patient import simulate_patient

PLACES, VISITS = 2000, 6


def test_simulator_and_training(once: Any, figures: Any, shipped: Any, head: Any, noise_pairs: Any) -> None:
    torch.manual_seed(0)
    config = PretrainConfig()
    pairs = PairModel(EvidenceConfig())
    optimizer = torch.optim.AdamW(pairs.parameters())
    batch = noise_pairs(config.pairs_per_update)
    one = HistoryHead(EvidenceConfig())
    one_optimizer = torch.optim.AdamW(one.parameters())
    features = torch.randn(VISITS, 4, PLACES, EvidenceConfig().feature_channels)
    present = torch.ones(VISITS, 4, dtype=torch.bool)
    days = day_features(torch.arange(VISITS) * 120.0, torch.arange(VISITS) * 120.0)

    def pretraining_update() -> None:
        losses = pair_losses(pairs, batch, config)
        optimizer.zero_grad(set_to_none=True)
        (losses.growth + losses.order).backward()
        optimizer.step()

    def fine_tuning_patient() -> None:
        background, logs = one(features, present, days)
        one_optimizer.zero_grad(set_to_none=True)
        (background.sum() + logs.exp().sum()).backward()
        one_optimizer.step()

    def visit_encoded() -> None:
        with torch.no_grad():
            shipped.network.encode_visit(head.intensities, head.present, head.cells)

    sides = {
        "patient simulated": lambda: simulate_patient(SimulationConfig(), 1, 1),
        f"pretraining update of {config.pairs_per_update} pairs": pretraining_update,
        f"fine-tuning update of {VISITS} visits at {PLACES} places": fine_tuning_patient,
        "visit of four sequences encoded": visit_encoded,
    }

    def measure() -> None:
        found = figures.in_turn(sides, 3)
        each_minute = {name: 60 / value["median"] for name, value in found.items()}
        figures.keep("simulator and training", sides=found, a_minute=each_minute)

    once(measure)
