"""A trained model on prepared patients: every landmark row's hazards, by the pass that ``predict`` runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from TemporalGliomaRisk.bundle import RiskModel
from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import CELL_VOXELS, EvidenceModel, brain_cells
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.ensemble import TimelineRisk, VisitHazards
from TemporalGliomaRisk.timeline.visit import SEQUENCES


@dataclass(frozen=True, kw_only=True)
class FollowedVisit:
    """One landmark row, whatever is said of it: the visit and what followed.

    Args:
        patient_id: BIDS label, or what stands for it.
        visit_number: Number of visits so far.
        days_to_end: Days to the event or the last contact.
        event: Whether the end is an event.
    """

    patient_id: str
    visit_number: int
    days_to_end: float
    event: bool


@dataclass(frozen=True, kw_only=True)
class ScoredVisit(FollowedVisit):
    """One landmark row with its map.

    Args:
        hazards: The model's account of it.
        sequences: Pulse sequences that the visit has.
    """

    hazards: VisitHazards
    sequences: tuple[str, ...] = ()

    def without_map(self) -> ScoredVisit:
        """The same with the map added up to one place: the same risk, a thousandth of the memory."""
        summed = self.hazards.terms.sum(dim=0, keepdim=True)
        return replace(self, hazards=replace(self.hazards, terms=summed))


EncodedVisit = tuple[Tensor, Tensor, Tensor]


def encoded_visits(network: EvidenceModel, patient: StoredPatient) -> Iterator[EncodedVisit]:
    """Features, presence and days of each visit of a prepared patient, oldest first, where the network lies."""
    device = device_of(network)
    cells = brain_cells(torch.from_numpy(patient.brain)).to(device)
    days = visit_days(patient)
    for visit in range(patient.visits):
        present = torch.from_numpy(patient.present[visit]).to(device)
        features = network.encode_visit(torch.from_numpy(patient.visit_volumes(visit)).to(device), present, cells)
        yield features, present, days[visit].to(device)


def visit_days(patient: StoredPatient) -> Tensor:
    """(visits, day features) of a prepared patient."""
    since_first, since_treatment = patient.days_since_first, patient.days_since_treatment
    return day_features(torch.from_numpy(since_first), torch.from_numpy(since_treatment)).float()


@torch.inference_mode()
def score_patient(
    network: EvidenceModel,
    patient: StoredPatient,
    *,
    calibration: Calibration,
    single_visit_calibration: Calibration,
    encoded: Iterable[EncodedVisit] | None = None,
) -> list[ScoredVisit]:
    """All landmark rows of a prepared patient, by the same causal pass that ``predict`` runs.

    Args:
        network: The model.
        patient: Prepared.
        calibration: Of the ensemble.
        single_visit_calibration: Of the single-visit head.
        encoded: What :func:`encoded_visits` gave, where it was wanted for something else as well.
    """
    running = TimelineRisk(network, calibration, single_visit_calibration)
    visits = encoded_visits(network, patient) if encoded is None else encoded
    return [
        scored_visit(patient, visit, running.see(features, present, days))
        for visit, (features, present, days) in enumerate(visits)
    ]


def score_by_model(
    model: RiskModel, patient: StoredPatient, encoded: Iterable[EncodedVisit] | None = None
) -> list[ScoredVisit]:
    """The same by a model with its own constants."""
    return score_patient(
        model.network,
        patient,
        calibration=model.calibration,
        single_visit_calibration=model.single_visit_calibration,
        encoded=encoded,
    )


def scored_visit(patient: StoredPatient, visit: int, hazards: VisitHazards) -> ScoredVisit:
    """The landmark row of a patient's visit, counted from 0."""
    return ScoredVisit(
        patient_id=patient.patient_id,
        visit_number=visit + 1,
        days_to_end=float(patient.days_to_end[visit]),
        event=patient.event_observed,
        hazards=hazards,
        sequences=tuple(name for name, is_there in zip(SEQUENCES, patient.present[visit], strict=True) if is_there),
    )


def landmark_columns(rows: Sequence[FollowedVisit]) -> dict[str, npt.NDArray[Any]]:
    """What followed each row, as columns (rows,) of ``LandmarkRows``; a patient's days count from the first row."""
    labels = {label: number for number, label in enumerate(dict.fromkeys(row.patient_id for row in rows))}
    longest: dict[str, float] = {}
    for row in rows:
        longest[row.patient_id] = max(row.days_to_end, longest.get(row.patient_id, 0.0))
    return {
        "patient": np.array([labels[row.patient_id] for row in rows], dtype=np.int64),
        "visits": np.array([row.visit_number for row in rows], dtype=np.int64),
        "days": np.array([row.days_to_end for row in rows], dtype=np.float64),
        "event_observed": np.array([row.event for row in rows], dtype=np.bool_),
        "days_since_first": np.array([longest[row.patient_id] - row.days_to_end for row in rows], dtype=np.float64),
    }


def map_on_grid(patient: StoredPatient, hazards: VisitHazards) -> npt.NDArray[np.float64]:
    """(I, J, K), local hazard within the horizon of the cell that each voxel lies in, zero outside the brain."""
    return on_voxels(hazards.horizon_terms.numpy(), brain_cells(torch.from_numpy(patient.brain)).numpy())


def on_voxels(values: npt.NDArray[Any], cells: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(places,) on the voxels of their cells, (I, J, K), zero elsewhere."""
    grid = np.zeros(cells.shape)
    grid[cells] = values
    for axis in range(3):
        grid = np.repeat(grid, CELL_VOXELS, axis=axis)
    return grid
