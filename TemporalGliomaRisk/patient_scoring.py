"""What a model, its peer and the ideal readers say of one patient after another, by one process or several.

Patients are prepared where that has not been done, scored, and forgotten, so that a cohort of any size is measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from TemporalGliomaRisk.bundle import RiskModel
from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.encode.evidence import CELL_VOXELS, brain_cells
from TemporalGliomaRisk.encode.summary import summarise_visit
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.evaluate.heatmaps import HeatmapScore, score_heatmap
from TemporalGliomaRisk.evaluate.known_groups import EFFECT
from TemporalGliomaRisk.evaluate.observer import PLACES, by_worst_lesion, ideal_observer_score
from TemporalGliomaRisk.explain.certainty import DoubtKeeper
from TemporalGliomaRisk.learn.cohort import CohortPatient
from TemporalGliomaRisk.learn.order_scoring import ScoredOrder, order_of_patient
from TemporalGliomaRisk.learn.prepared_store import prepare_cohort, prepare_patient
from TemporalGliomaRisk.learn.score_reference import TrainedReference
from TemporalGliomaRisk.learn.scoring import (
    EncodedVisit,
    FollowedVisit,
    ScoredVisit,
    encoded_visits,
    map_on_grid,
    score_by_model,
)
from TemporalGliomaRisk.learn.stored_patient import StoredPatient, is_prepared, load_patient, stored_name
from TemporalGliomaRisk.learn.true_growth import Mask
from TemporalGliomaRisk.processes import processes
from TemporalGliomaRisk.timeline.visit import SEQUENCES

SEES_FROM_MM = (0.0, 4.0, 6.0)
"""Diameters from which ideal readers see a lesion: the first sees everything, the others tell what seeing is worth."""
AT_ONCE = 8
"""Patients a process that are prepared ahead of one that scores."""
NOTHING_MM = 1.0
"""A lesion smaller than this, half a voxel, isn't there yet."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A patient to score.

    Args:
        number: Place in the cohort, from 0, which seeds what is drawn for the patient.
        patient: The patient.
    """

    number: int
    patient: CohortPatient


@dataclass(frozen=True, kw_only=True)
class ScoredRow(FollowedVisit):
    """A landmark row in plain numbers.

    Args:
        risk: From all visits so far.
        single_visit_risk: From this visit alone.
        local_hazard: What the map adds up to.
        sequences: Pulse sequences that the visit has.
    """

    risk: float
    single_visit_risk: float
    local_hazard: float
    sequences: tuple[str, ...]

    @classmethod
    def of(cls, row: ScoredVisit) -> ScoredRow:
        """Of a row with its map."""
        hazards = row.without_map().hazards
        return cls(
            patient_id=row.patient_id,
            visit_number=row.visit_number,
            days_to_end=row.days_to_end,
            event=row.event,
            risk=hazards.risk,
            single_visit_risk=hazards.single_visit_risk,
            local_hazard=float(hazards.horizon_terms.sum()),
            sequences=row.sequences,
        )


@dataclass(frozen=True, kw_only=True)
class ScoredPatient:
    """What was found of a patient; see :class:`ScoredCohort`, which gathers it. JSON-ready, without maps.

    Args:
        rows: Landmark rows.
        maps: The last map before an observed event, if something grew.
        maps_off_borders: The same without borders that may only have moved.
        readers: (rows,) each, of :data:`SEES_FROM_MM`; empty without truth.
        deceived: (rows,), likewise.
        peer_risks: (rows,), the reference model's; empty without one.
        rival_risks: (rows,), another model's; likewise.
        orders: At most one.
        doubted: (rows,), whether the model calls the risk uncertain for what it sees, or rests on; empty where it says
            nothing of it.
        shown_after_days: Days from the event to the visit that showed it, 0 without an event; None where not known.
    """

    rows: list[ScoredRow]
    maps: list[HeatmapScore]
    maps_off_borders: list[HeatmapScore]
    readers: tuple[list[float], ...]
    deceived: list[float]
    peer_risks: list[float]
    rival_risks: list[float]
    orders: list[ScoredOrder]
    doubted: list[bool]
    shown_after_days: float | None


@dataclass(frozen=True)
class Rival:
    """Another model on the same rows.

    Args:
        model: It, where it is to run.
        same_features: Whether its encoder is that of the model it is compared with, so that nothing is encoded twice.
    """

    model: RiskModel
    same_features: bool

    @classmethod
    def of(cls, rival: RiskModel, model: RiskModel) -> Rival:
        """A rival of a model.

        Raises:
            UsageError: If it reads visits that are prepared otherwise.
        """
        if rival.preprocessing != model.preprocessing:
            raise UsageError(
                "The model of --rival reads visits that are prepared otherwise, so they share no rows; name a model of "
                "the same preprocessing."
            )
        return cls(rival, same_features=rival.network.encodes_as(model.network))

    def risks(self, patient: StoredPatient, encoded: Sequence[EncodedVisit]) -> list[float]:
        """(rows,), its risk at each of a patient's visits; ``encoded`` is what the other model's encoder gave."""
        rows = score_by_model(self.model, patient, encoded if self.same_features else None)
        return [row.hazards.risk for row in rows]


@dataclass(frozen=True, kw_only=True)
class PatientScoring:
    """How patients are scored.

    Args:
        model: What is measured, where it is to run.
        peer: The reference model on the same rows, if any.
        rival: Another model on them, if any.
        folder: Of prepared patients.
        discard: Whether a patient's prepared visits are removed once scored.
        seed: Of the reader's errors and of the ordering head's pictures.
        order_patients: At so many of the first patients the ordering head is tried.
    """

    model: RiskModel
    peer: TrainedReference | None
    rival: Rival | None
    folder: Path
    discard: bool
    seed: int
    order_patients: int

    def score(self, task: Task) -> ScoredPatient:
        """Prepare a patient if need be, and score.

        Raises:
            InputError: If the patient cannot be prepared, or files prepared earlier are damaged.
        """
        label = task.patient.patient_id
        if not is_prepared(self.folder, label):
            prepare_patient(task.patient, folder=self.folder, config=self.model.preprocessing)
        found = self._scored(load_patient(self.folder, label), task)
        if self.discard:
            shutil.rmtree(self.folder / stored_name(label))
        return found

    def score_all(
        self, tasks: Sequence[Task], *, jobs: int, lost: Callable[[int], object] = lambda done: None
    ) -> Iterator[ScoredPatient]:
        """Patients in their order.

        Args:
            tasks: The cohort.
            jobs: Processes, with one thread each where there are several; on a GPU they prepare and this one scores.
                Where one of them is killed from outside, as for its memory, others go on from the patient it was at.
            lost: Called then with the number of patients done.

        Raises:
            BrokenProcessPool: If a process is lost at a patient again.
        """
        if jobs <= 1:
            yield from map(self.score, tasks)
            return
        if device_of(self.model.network).type != "cpu":
            yield from self.score_behind(tasks, jobs=jobs)
            return
        done, lost_at = 0, -1
        while done < len(tasks):
            try:
                with processes(jobs, _begin, (self,)) as pool:
                    for found in pool.map(_score_here, tasks[done:]):
                        done += 1
                        yield found
            except BrokenProcessPool:
                if lost_at == done:
                    raise
                lost_at = done
                lost(done)

    def score_behind(self, tasks: Sequence[Task], *, jobs: int) -> Iterator[ScoredPatient]:
        """Patients in their order, some prepared ahead by several processes, scored by this one."""
        at_once = AT_ONCE * jobs
        for start in range(0, len(tasks), at_once):
            some = tasks[start : start + at_once]
            prepare_cohort([task.patient for task in some], self.folder, self.model.preprocessing, jobs=jobs)
            yield from map(self.score, some)

    @torch.inference_mode()
    def _scored(self, patient: StoredPatient, task: Task) -> ScoredPatient:
        seed, model = [self.seed, task.number], self.model
        encoded = list(encoded_visits(model.network, patient))
        rows = score_by_model(model, patient, encoded)
        grid_mm = model.preprocessing.grid_mm
        ordered = task.number < self.order_patients
        return ScoredPatient(
            rows=[ScoredRow.of(row) for row in rows],
            maps=_map_score(patient, rows, patient.growth_before_event, grid_mm),
            maps_off_borders=_map_score(patient, rows, patient.growth_off_borders_before_event, grid_mm),
            readers=tuple(_reader_scores(patient, seed, least_mm) for least_mm in SEES_FROM_MM),
            deceived=_reader_scores(patient, seed, deceived=True),
            peer_risks=list(self.peer.risks(patient)) if self.peer else [],
            rival_risks=self.rival.risks(patient, encoded) if self.rival else [],
            orders=_orders(model, patient, encoded, seed) if ordered else [],
            doubted=_doubted(model, patient, encoded, rows),
            shown_after_days=_shown_after_days(patient, task.patient.event_day_at_visit),
        )


_scoring: PatientScoring | None = None
"""Of a process that only scores."""


def _begin(scoring: PatientScoring) -> None:
    global _scoring  # noqa: PLW0603  (a process of its own, with this one thing to know)
    torch.set_num_threads(1)
    _scoring = scoring


def _score_here(task: Task) -> ScoredPatient:
    if _scoring is None:
        raise RuntimeError("A scoring process must be begun with what it scores by.")
    return _scoring.score(task)


def _map_score(
    patient: StoredPatient, rows: list[ScoredVisit], grown: Mask | None, grid_mm: float
) -> list[HeatmapScore]:
    """The last map before an observed event against the growth since the first visit, where there is any."""
    if grown is None:
        return []
    return [
        score_heatmap(
            map_on_grid(patient, rows[-1].hazards),
            grown,
            patient.brain,
            spacing_mm=(grid_mm, grid_mm, grid_mm),
            tolerance_mm=CELL_VOXELS * grid_mm / 2,
            centre_ijk=patient.cavity_centres_ijk[-1] if patient.cavity_centres_ijk else None,
            new_focus_mm=None if patient.truth is None else _new_focus_mm(patient.truth["visits"][: patient.visits]),
        )
    ]


def _new_focus_mm(visits: Sequence[Mapping[str, Any]]) -> float:
    """Diameter, at the last of the visits, of the largest lesion that was not there at the first."""
    first, last = visits[0]["lesion_diameters_mm"], visits[-1]["lesion_diameters_mm"]
    return max((size for name, size in last.items() if first.get(name, 0) < NOTHING_MM), default=0.0)


def _shown_after_days(patient: StoredPatient, day_at_visit: float | None) -> float | None:
    """Days from a patient's event to the visit that showed it, by the table or else the truth; 0 without an event."""
    if not patient.event_observed:
        return 0.0
    day = patient.truth.get("event_day_at_visit") if day_at_visit is None and patient.truth else day_at_visit
    return None if day is None else float(day) - patient.follow_up_days


def _doubted(
    model: RiskModel, patient: StoredPatient, encoded: Sequence[EncodedVisit], rows: Sequence[ScoredVisit]
) -> list[bool]:
    """Whether the model says of each visit that its risk is not to be relied on; of images alone nothing is asked."""
    if model.doubt is None:
        return []
    keeper = DoubtKeeper(model.doubt, SEQUENCES)
    brain = torch.from_numpy(patient.brain)
    cells = brain_cells(brain)
    found = []
    for number, ((features, present, _), row) in enumerate(zip(encoded, rows, strict=True), 1):
        volumes = torch.from_numpy(patient.visit_volumes(number - 1))
        appearance = summarise_visit(features.cpu(), present.cpu(), cells, volumes, brain)
        found.append(bool(keeper.findings(number, features, present, appearance, row.hazards)))
    return found


def _orders(
    model: RiskModel, patient: StoredPatient, encoded: Sequence[EncodedVisit], seed: list[int]
) -> list[ScoredOrder]:
    """What the ordering head says of a patient's first and last visit, if the model has one."""
    if model.order is None:
        return []
    random = torch.Generator().manual_seed(seed[0] * 1_000_003 + seed[1])
    order = model.order.to(device_of(model.network))
    found = order_of_patient(model.network, order, patient, encoded, grid_mm=model.preprocessing.grid_mm, random=random)
    return [] if found is None else [found]


def _reader_scores(
    patient: StoredPatient, seed: list[int], least_mm: float = 0.0, *, deceived: bool = False
) -> list[float]:
    """The ideal observer's scores at the patient's visits, by the lesion that looks worst; none without truth.

    An event is judged lesion by lesion, so the reader is given each lesion's own diameter, nothing below ``least_mm``;
    a deceived one is given the treatment effect as one more lesion, if the truth is new enough to hold it.
    """
    if patient.truth is None:
        return []
    visits = patient.truth["visits"][: patient.visits]
    diameters = [
        {name: size if size >= least_mm else 0.0 for name, size in visit["lesion_diameters_mm"].items()}
        for visit in visits
    ]
    if deceived:
        if not all(EFFECT in visit for visit in visits):
            return []
        diameters = [{**sizes, EFFECT: visit[EFFECT]} for sizes, visit in zip(diameters, visits, strict=True)]
    generator = np.random.default_rng(seed)
    places = PLACES + deceived
    scores = by_worst_lesion(ideal_observer_score, diameters, patient.days_since_first, generator, places=places)
    return [float(score) for score in scores]
