"""From prepared patients to what tells when not to believe a model: usual visits, thresholds, the test of its maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.encode.evidence import EvidenceModel, brain_cells
from TemporalGliomaRisk.encode.summary import summarise_visit
from TemporalGliomaRisk.learn.scoring import ScoredVisit, encoded_visits, scored_visit, visit_days
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.doubt import VisitSummary, members_spread, visit_change
from TemporalGliomaRisk.risk.ensemble import TimelineRisk
from TemporalGliomaRisk.risk.hazards import HORIZON_INTERVALS


@dataclass(frozen=True, kw_only=True)
class SummarisedPatient:
    """A patient's visits before the event, by one pass that ``predict`` runs, uncalibrated.

    Args:
        summaries: A visit each, the members' spread still left out (0).
        rows: Landmark rows without their maps; none where the members were left out.
        member_backgrounds: (members, visits, 4), each member's background hazards.
    """

    summaries: list[VisitSummary]
    rows: list[ScoredVisit]
    member_backgrounds: Tensor

    def with_spread(self, calibration: Calibration) -> list[VisitSummary]:
        """The summaries with the members' spread as a calibration scales their background and local hazards."""
        found = []
        for visit, (summary, row) in enumerate(zip(self.summaries, self.rows, strict=True)):
            background = self.member_backgrounds[:, visit]
            local = row.hazards.member_hazards - background
            hazards = calibration.background_scale * background + calibration.local_scale * local
            found.append(replace(summary, spread=members_spread(hazards)))
        return found


@torch.inference_mode()
def summarised(network: EvidenceModel, patient: StoredPatient, *, members: bool) -> SummarisedPatient:
    """A prepared patient's visits in a few numbers each, and their landmark rows.

    Args:
        network: The trained network.
        patient: Prepared.
        members: Whether the members are run; without them there are no rows, in half of the time.
    """
    running = TimelineRisk(network, Calibration(), Calibration()) if members else None
    cells, brain = brain_cells(torch.from_numpy(patient.brain)), torch.from_numpy(patient.brain)
    first: tuple[Tensor, Tensor] | None = None
    summaries, rows = [], []
    for visit, (encoded, having, days) in enumerate(encoded_visits(network, patient)):
        features, present = encoded.cpu(), having.cpu()
        change, common = visit_change(first, features, present)
        first = first or (features, present)
        appearance = summarise_visit(features, present, cells, torch.from_numpy(patient.visit_volumes(visit)), brain)
        summaries.append(VisitSummary(appearance=appearance, present=present, change=change, common=common, spread=0.0))
        if running is not None:
            rows.append(scored_visit(patient, visit, running.see(encoded, having, days)).without_map())
    backgrounds = network.background_hazards(visit_days(patient).to(device_of(network)))
    return SummarisedPatient(summaries=summaries, rows=rows, member_backgrounds=backgrounds.double().cpu())


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
