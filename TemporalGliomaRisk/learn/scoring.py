"""A trained model on prepared patients: every landmark row's hazards, and where each map is highest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import CELL_VOXELS, EvidenceModel, brain_cells
from TemporalGliomaRisk.learn.prepared_store import StoredPatient
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.ensemble import TimelineRisk, VisitHazards


@dataclass(frozen=True, kw_only=True)
class MapAgainstTruth:
    """A visit's map beside the simulator's truth.

    Args:
        grown_voxels: Voxels into which the lesion grew since the first visit.
        peak_to_growth_mm: Distance from the map's highest cell centre to the nearest such voxel, NaN without growth.
        centre_to_growth_mm: The same for the centre of the brain mask: what a blind guess gets.
        share_in_growth: Share of the local hazard in cells that hold such a voxel.
        chance_share: Share of the brain's cells that do: what a flat map would get.
        chance_hit: Share of the brain's cells whose centre lies within half a cell of such a voxel.
    """

    grown_voxels: int
    peak_to_growth_mm: float
    centre_to_growth_mm: float
    share_in_growth: float
    chance_share: float
    chance_hit: float


@dataclass(frozen=True, kw_only=True)
class ScoredVisit:
    """One landmark row.

    Args:
        patient_id: BIDS label.
        visit_number: Number of visits so far.
        days_to_end: Days to the event or the last contact.
        event: Whether the end is an event.
        hazards: The model's account of it.
        map_against_truth: None where the truth is not known.
    """

    patient_id: str
    visit_number: int
    days_to_end: float
    event: bool
    hazards: VisitHazards
    map_against_truth: MapAgainstTruth | None


@torch.inference_mode()
def score_patient(
    network: EvidenceModel,
    patient: StoredPatient,
    *,
    calibration: Calibration,
    single_visit_calibration: Calibration,
    grid_mm: float,
) -> list[ScoredVisit]:
    """All landmark rows of a prepared patient, by the same causal pass that ``predict`` runs."""
    cells = brain_cells(torch.from_numpy(patient.brain))
    running = TimelineRisk(network, calibration, single_visit_calibration)
    rows = []
    days = day_features(torch.from_numpy(patient.days_since_first), torch.from_numpy(patient.days_since_treatment))
    for visit in range(patient.visits):
        present = torch.from_numpy(patient.present[visit])
        features = network.encode_visit(torch.from_numpy(patient.visit_volumes(visit)), present, cells)
        hazards = running.see(features, present, days[visit].float())
        rows.append(
            ScoredVisit(
                patient_id=patient.patient_id,
                visit_number=visit + 1,
                days_to_end=float(patient.days_to_end[visit]),
                event=patient.event_observed,
                hazards=hazards,
                map_against_truth=_against_truth(patient, visit, hazards.horizon_terms, cells, grid_mm),
            )
        )
    return rows


def score_patients(
    network: EvidenceModel,
    patients: Sequence[StoredPatient],
    *,
    calibration: Calibration,
    single_visit_calibration: Calibration,
    grid_mm: float,
    advance: Callable[[int], object] = lambda done: None,
) -> list[ScoredVisit]:
    """All landmark rows of many patients."""
    rows = []
    for patient in patients:
        rows += score_patient(
            network,
            patient,
            calibration=calibration,
            single_visit_calibration=single_visit_calibration,
            grid_mm=grid_mm,
        )
        advance(1)
    return rows


def _against_truth(
    patient: StoredPatient, visit: int, terms: Tensor, cells: Tensor, grid_mm: float
) -> MapAgainstTruth | None:
    if patient.lesions is None:
        return None
    grown = patient.lesions[visit] & ~patient.lesions[0]
    centres = (torch.nonzero(cells).double() * CELL_VOXELS + (CELL_VOXELS - 1) / 2).numpy()
    nowhere = MapAgainstTruth(
        grown_voxels=0,
        peak_to_growth_mm=math.nan,
        centre_to_growth_mm=math.nan,
        share_in_growth=math.nan,
        chance_share=math.nan,
        chance_hit=math.nan,
    )
    places = np.argwhere(grown).astype(np.float64)
    if not len(places):
        return nowhere
    to_growth = _nearest_mm(centres, places, grid_mm)
    weights = terms.numpy()
    # A cell holds the growth voxels whose centres lie within half a voxel of its own two along every axis.
    holding = {tuple(place) for place in (places // CELL_VOXELS).astype(int)}
    holds = np.array([tuple(cell) in holding for cell in torch.nonzero(cells).numpy()])
    middle = np.argwhere(patient.brain).mean(axis=0)
    return MapAgainstTruth(
        grown_voxels=len(places),
        peak_to_growth_mm=float(to_growth[int(np.argmax(weights))]),
        centre_to_growth_mm=float(_nearest_mm(middle[None], places, grid_mm)[0]),
        share_in_growth=float(weights[holds].sum() / weights.sum()),
        chance_share=float(holds.mean()),
        chance_hit=float((to_growth <= CELL_VOXELS * grid_mm / 2).mean()),
    )


def _nearest_mm(
    points: npt.NDArray[np.float64], places: npt.NDArray[np.float64], grid_mm: float
) -> npt.NDArray[np.float64]:
    distance, _ = cKDTree(places).query(points)
    return np.asarray(distance) * grid_mm
