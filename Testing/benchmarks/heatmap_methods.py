"""Maps of one visit: the terms of the sum against what Captum and MONAI make of the reference network.

Ours, of a third visit, comes with the risk: its time holds the visit's encoding, all members, the single-visit head and
the map laid on the cells. The others explain the reference's hazard at one visit by its own picture. Integrated
gradients have 50 steps, which is Captum's default too, one step at a time (its default, all 50 in one batch, needs some
50 times the memory). Grad-CAM is taken at the first convolution, whose cells are 4 mm as ours; at the last layer, where
it is usual, cells are 64 mm. Occlusion covers a cell at a time, without overlap; only some positions are timed, and no
more is claimed than their time.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from captum.attr import IntegratedGradients, LayerGradCam
from monai.visualize import OcclusionSensitivity
from torch import Tensor, nn

from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.reference import ReferenceConfig, ReferenceModel
from TemporalGliomaRisk.explain.heatmap import hazard_map
from TemporalGliomaRisk.risk.ensemble import TimelineRisk
from TemporalGliomaRisk.timeline.volume import Geometry

STEPS = 50
CELL_VOXELS = 2
POSITIONS = (6, 5, 5)
"""Positions timed along each axis, of the some 28,000 in a brain."""


class OneVisit(nn.Module):
    """Hazard within a year, from the picture of one visit."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = ReferenceModel(ReferenceConfig(causal=True)).eval()

    def forward(self, intensities: Tensor) -> Tensor:
        visits = len(intensities)
        features = self.model._encode(intensities, torch.ones(visits, 4, dtype=torch.bool))[:, None]
        days = torch.zeros(visits, 1)
        hazards = self.model.hazards(features, days, days + 10, torch.ones(visits, 1, dtype=torch.bool))
        return hazards[:, 0, :3].sum(dim=1, keepdim=True)


DAYS = day_features(torch.arange(3) * 120.0, torch.arange(3) * 120.0 + 10)


@torch.inference_mode()
def after_two_visits(shipped: Any, head: Any) -> TimelineRisk:
    running = TimelineRisk(shipped.network, shipped.calibration, shipped.single_visit_calibration)
    for visit in range(2):
        features = shipped.network.encode_visit(head.intensities * (1 + visit / 10), head.present, head.cells)
        running.see(features, head.present, DAYS[visit])
    return running


@torch.inference_mode()
def terms_of_the_sum(shipped: Any, head: Any, running: TimelineRisk, cells: Any, grid: Geometry) -> None:
    features = shipped.network.encode_visit(head.intensities, head.present, head.cells)
    hazards = copy.copy(running).see(features, head.present, DAYS[2])
    hazard_map(hazards.horizon_terms.numpy(), cells, grid)


def test_maps_of_one_visit(once: Any, figures: Any, shipped: Any, head: Any) -> None:
    network = OneVisit()
    picture = head.intensities[None]
    cells = head.cells.numpy()
    grid = Geometry(shape=cells.shape, ijk_to_ras=torch.diag(torch.tensor([4.0, 4.0, 4.0, 1.0])).double().numpy())
    running = after_two_visits(shipped, head)
    gradients = IntegratedGradients(network)
    first = LayerGradCam(network, network.model.visit_encoder.conv1)
    last = LayerGradCam(network, network.model.visit_encoder.layer4)
    occlusion = OcclusionSensitivity(
        network, mask_size=CELL_VOXELS, overlap=0.0, n_batch=1, mode="mean_img", activate=False, verbose=False
    )
    start = [length // 2 // CELL_VOXELS * CELL_VOXELS for length in picture.shape[2:]]
    box = [edge for at, many in zip(start, POSITIONS, strict=True) for edge in (at, at + CELL_VOXELS * many - 1)]
    positions = math.prod(POSITIONS)
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))

    def occluded() -> None:
        with torch.inference_mode():
            calls.clear()
            occlusion(picture, b_box=box)

    sides = {
        "terms of the sum": lambda: terms_of_the_sum(shipped, head, running, cells, grid),
        "Grad-CAM, first convolution": lambda: first.attribute(picture),
        "Grad-CAM, last layer": lambda: last.attribute(picture),
        "integrated gradients, 50 steps": lambda: gradients.attribute(picture, n_steps=STEPS, internal_batch_size=1),
        f"occlusion, {positions} positions": occluded,
    }
    once(
        lambda: figures.compare(
            "maps of one visit",
            sides,
            rounds=2,
            to="terms of the sum",
            occlusion={
                "positions": positions,
                "positions_of_the_brain": int(head.cells.sum()),
                "positions_of_the_box": int(head.cells.numel()),
            },
        )
    )
    assert len(calls) == positions
