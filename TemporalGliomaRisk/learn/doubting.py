"""From prepared patients to what tells when not to believe a model: usual visits, thresholds, the test of its maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from TemporalGliomaRisk.encode.evidence import EvidenceModel, brain_cells
from TemporalGliomaRisk.encode.summary import summarise_visit
from TemporalGliomaRisk.learn.prepared_store import StoredPatient
from TemporalGliomaRisk.learn.scoring import encoded_visits
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.doubt import VisitSummary, members_spread, visit_change
from TemporalGliomaRisk.risk.ensemble import TimelineRisk
from TemporalGliomaRisk.risk.hazards import HORIZON_INTERVALS


@torch.inference_mode()
def patient_summaries(
    network: EvidenceModel, patient: StoredPatient, calibration: Calibration | None
) -> list[VisitSummary]:
    """A prepared patient's visits in a few numbers each, by the pass that ``predict`` runs.

    Args:
        network: The trained network.
        patient: Prepared.
        calibration: Of the ensemble; None leaves the members out (a spread of 0), which saves half of the time.
    """
    running = None if calibration is None else TimelineRisk(network, calibration, calibration)
    first: tuple[Tensor, Tensor] | None = None
    summaries = []
    for visit, (features, present, days) in enumerate(encoded_visits(network, patient)):
        change, common = visit_change(first, features, present)
        first = first or (features, present)
        summaries.append(
            VisitSummary(
                appearance=summarise_visit(
                    features,
                    present,
                    brain_cells(torch.from_numpy(patient.brain)),
                    torch.from_numpy(patient.visit_volumes(visit)),
                    torch.from_numpy(patient.brain),
                ),
                present=present,
                change=change,
                common=common,
                spread=0.0 if running is None else members_spread(running.see(features, present, days).member_hazards),
            )
        )
    return summaries


def summaries_of(
    network: EvidenceModel,
    patients: Sequence[StoredPatient],
    calibration: Calibration | None,
    *,
    advance: Callable[[int], object] = lambda done: None,
) -> list[list[VisitSummary]]:
    """The visits of many patients; see :func:`patient_summaries`."""
    found = []
    for patient in patients:
        found.append(patient_summaries(network, patient, calibration))
        advance(1)
    return found


@torch.inference_mode()
def last_maps(
    network: EvidenceModel, patients: Sequence[StoredPatient], *, advance: Callable[[int], object] = lambda done: None
) -> Iterator[Tensor]:
    """Every patient's map at the last visit before the event, uncalibrated: (members, places)."""
    for patient in patients:
        memory, logs = None, torch.empty(0)
        for features, present, days in encoded_visits(network, patient):
            memory, logs = network.see(memory, features, present, days)
        advance(1)
        yield logs.double().exp()[:, :, :HORIZON_INTERVALS].sum(dim=2)
