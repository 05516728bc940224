"""How well the ordering head tells the first visit from the last, and that it can't tell two pictures of one visit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.encode.evidence import EvidenceModel, brain_cells
from TemporalGliomaRisk.encode.pairs import OrderHead
from TemporalGliomaRisk.learn.augmentation import AugmentationConfig, scanner_variation
from TemporalGliomaRisk.learn.scoring import EncodedVisit
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.risk.ordering import OrderKeeper


@dataclass(frozen=True, kw_only=True)
class ScoredOrder:
    """What the ordering head says of one patient.

    Args:
        event: Whether an event was observed after the last visit.
        growth_diameter_mm: Of true growth from the first visit to the last; None where the truth is not known.
        confidence: Probability given to the true order of the first and the last visit.
        repeat_confidence: The same for two pictures of the last visit, of which neither came first.
    """

    event: bool
    growth_diameter_mm: float | None
    confidence: float
    repeat_confidence: float


@torch.inference_mode()
def order_of_patient(
    network: EvidenceModel,
    head: OrderHead,
    patient: StoredPatient,
    encoded: Sequence[EncodedVisit],
    *,
    grid_mm: float,
    random: Generator,
) -> ScoredOrder | None:
    """Confidence that the last visit before the end came after the first; None where they can't be compared.

    For the repeats the last visit is seen twice, each time as if by another scanner and another placement.

    Args:
        network: Encodes.
        head: Tells the order.
        patient: Prepared.
        encoded: All of its visits.
        grid_mm: Voxel edge of the prepared grid.
        random: Of the two variations.
    """
    last = patient.visits - 1
    if last < 1 or not (patient.present[0] & patient.present[last]).any():
        return None
    device, cells = device_of(network), brain_cells(torch.from_numpy(patient.brain))
    inside = torch.from_numpy(patient.brain).float()

    def varied() -> tuple[Tensor, Tensor]:
        present = torch.from_numpy(patient.present[last])
        volumes = torch.from_numpy(patient.visit_volumes(last))
        volumes[present] = scanner_variation(volumes[present], inside, AugmentationConfig(), random)
        features = network.encode_visit(volumes.to(device), present.to(device), cells.to(device))
        return features, present.to(device)

    def confidence(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
        keeper = OrderKeeper(head)
        keeper.see(*one)
        found = keeper.see(*other)
        return math.nan if found is None else found

    return ScoredOrder(
        event=patient.event_observed,
        growth_diameter_mm=_growth_diameter_mm(patient, grid_mm),
        confidence=confidence(encoded[0][:2], encoded[last][:2]),
        repeat_confidence=confidence(varied(), varied()),
    )


def _growth_diameter_mm(patient: StoredPatient, grid_mm: float) -> float | None:
    """Diameter of the ball that has the volume of true growth from the first to the last visit; None without truth."""
    growth = patient.growth
    return None if growth is None else float((6 * int(growth.sum()) * grid_mm**3 / math.pi) ** (1 / 3))
