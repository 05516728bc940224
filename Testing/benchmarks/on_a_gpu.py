"""On a GPU, where there is one: what takes longest, in milliseconds, and how much of the GPU's rate the encoder gets.

The rate is that at which the same GPU multiplies matrices in single precision, in which `predict` computes there
(`device.as_on_the_processor`); that of bfloat16, in which pretraining may, stands beside it. Without a GPU the same
code runs once on the processor, so that it works when there is one, and nothing of it is kept.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from TemporalGliomaRisk.device import as_on_the_processor
from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import STEM_VOXELS, EvidenceConfig
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.learn.pretrain import PretrainConfig, pair_losses
from TemporalGliomaRisk.risk.ensemble import TimelineRisk

VISITS = 6
"""A patient, as in the figures of the processor."""


def waited_for(device: torch.device, work: Callable[[], Any]) -> Callable[[], None]:
    """The work, until the GPU has done it."""

    def done() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return done


def sides_on(device: torch.device, shipped: Any, head: Any, batch: Any, *, edge: int) -> dict[str, Callable[[], None]]:
    """What is timed, with all that it needs on the device."""
    network = shipped.network.to(device)
    intensities, present, cells = (one.to(device) for one in (head.intensities, head.present, head.cells))
    days = day_features(torch.arange(VISITS) * 120.0, torch.arange(VISITS) * 120.0 + 10).to(device)
    single = torch.randn(edge, edge, device=device)
    half = single.to(torch.bfloat16)
    learner = PairModel(EvidenceConfig()).to(device)
    optimizer = torch.optim.AdamW(learner.parameters())
    batch = batch.to(device)

    @torch.inference_mode()
    def encoded() -> None:
        network.encode_visit(intensities, present, cells)

    @torch.inference_mode()
    def risks() -> None:
        running = TimelineRisk(network, shipped.calibration, shipped.single_visit_calibration)
        for visit in range(VISITS):
            running.see(network.encode_visit(intensities, present, cells), present, days[visit])

    def updated() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            losses = pair_losses(learner, batch, PretrainConfig())
        optimizer.zero_grad(set_to_none=True)
        (losses.growth + losses.order).backward()
        optimizer.step()

    work = {
        "encoder, one visit of four sequences": encoded,
        f"risk at each of {VISITS} visits": risks,
        f"pretraining update of {len(batch.present)} pairs, bfloat16": updated,
        "matrix product, single precision": lambda: torch.mm(single, single),
        "matrix product, bfloat16": lambda: torch.mm(half, half),
    }
    return {name: waited_for(device, one) for name, one in work.items()}


def encoder_operations(shipped: Any, head: Any) -> int:
    """Of its convolutions, over the whole box of cells, as a GPU computes them."""
    encoder = shipped.network.encoder
    channels = encoder.channels
    return 4 * head.cells.numel() * 2 * channels * (STEM_VOXELS**3 + len(encoder.layers) * 27 * channels)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu(once: Any, figures: Any, shipped: Any, head: Any, noise_pairs: Any) -> None:
    device, edge = torch.device("cuda"), 8192
    pairs = noise_pairs(PretrainConfig().pairs_per_update)
    book = dataclasses.replace(figures, clock=time.perf_counter, clock_name="wall clock")

    def measure() -> None:
        with as_on_the_processor(device):
            found = book.in_turn(sides_on(device, shipped, head, pairs, edge=edge), 20)
        rates = {
            name: 2 * edge**3 / found[f"matrix product, {name}"]["median"] for name in ("single precision", "bfloat16")
        }
        encoded = encoder_operations(shipped, head) / found["encoder, one visit of four sequences"]["median"]
        book.keep(
            "on a GPU",
            sides=found,
            gpu=torch.cuda.get_device_name(device),
            gigaflops_per_s={name: rate / 1e9 for name, rate in rates.items()},
            encoder_share_of_matrix_rate=encoded / rates["single precision"],
            peak_GPU_MB=torch.cuda.max_memory_allocated(device) / 1e6,
        )

    try:
        once(measure)
    finally:
        shipped.network.to("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="it runs on the GPU")
def test_the_code_for_a_gpu_runs(once: Any, shipped: Any, head: Any, noise_pairs: Any) -> None:
    sides = sides_on(torch.device("cpu"), shipped, head, noise_pairs(2), edge=64)

    def run_each() -> None:
        for side in sides.values():
            side()

    once(run_each)
    assert encoder_operations(shipped, head) > 0
