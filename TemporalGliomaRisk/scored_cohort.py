"""What a model, its peer and the ideal reader say of a cohort's patients, gathered one by one and then measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from TemporalGliomaRisk.bundle import RiskModel
from TemporalGliomaRisk.encode.evidence import CELL_VOXELS
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.heatmaps import HeatmapScore, score_heatmap, summarise_heatmaps
from TemporalGliomaRisk.evaluate.known_groups import KnownPatient, known_groupings
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.observer import by_worst_lesion, ideal_observer_score
from TemporalGliomaRisk.evaluate.ordering import summarise_order
from TemporalGliomaRisk.evaluate.subgroups import evaluate_subgroups
from TemporalGliomaRisk.evaluate.table import EvaluationConfig, compare_risks, evaluate_risks
from TemporalGliomaRisk.learn.concordance import torchsurv_concordance
from TemporalGliomaRisk.learn.order_scoring import ScoredOrder, order_of_patient
from TemporalGliomaRisk.learn.prepared_store import StoredPatient
from TemporalGliomaRisk.learn.score_reference import TrainedReference
from TemporalGliomaRisk.learn.scoring import (
    EncodedVisit,
    ScoredVisit,
    encoded_visits,
    landmark_columns,
    map_on_grid,
    score_patient,
)
from TemporalGliomaRisk.learn.true_growth import Mask

Thresholds = tuple[float | None, float | None]
SEES_FROM_MM = (0.0, 4.0, 6.0)
"""Diameters from which ideal readers see a lesion: the first sees everything, the others tell what seeing is worth."""
EFFECT = "treatment_effect_diameter_mm"
"""Of a visit in the simulator's truth."""
NOTHING_MM = 1.0
"""A lesion smaller than this, half a voxel, isn't there yet."""


@dataclass(kw_only=True)
class ScoredCohort:
    """Scores of the patients so far.

    Args:
        model: What is measured.
        peer: The reference model on the same rows, if any.
        seed: Of the reader's errors and of the ordering head's pictures.
        order_patients: Patients, at most, at whom the ordering head is tried.

    Attributes:
        rows: All landmark rows, a patient's visits together, without their maps.
        known: What is known of each patient beside the images.
        maps: Of the patients before an observed event in whom something grew.
        maps_off_borders: The same where borders that may only have moved are no growth (learn/true_growth.py).
        readers: (rows,) each, the scores of the ideal readers of :data:`SEES_FROM_MM`; fewer where some patients' truth
            is not known.
        deceived: (rows,), the scores of an ideal reader who takes a treatment effect for a lesion; likewise.
        peer_risks: (rows,), the reference model's; none without one.
        orders: Of the patients at whom the ordering head was tried.
    """

    model: RiskModel
    peer: TrainedReference | None
    seed: int
    order_patients: int
    rows: list[ScoredVisit] = field(default_factory=list, init=False)
    known: list[KnownPatient] = field(default_factory=list, init=False)
    maps: list[HeatmapScore] = field(default_factory=list, init=False)
    maps_off_borders: list[HeatmapScore] = field(default_factory=list, init=False)
    readers: tuple[list[float], ...] = field(default_factory=lambda: tuple([] for _ in SEES_FROM_MM), init=False)
    deceived: list[float] = field(default_factory=list, init=False)
    peer_risks: list[float] = field(default_factory=list, init=False)
    orders: list[ScoredOrder] = field(default_factory=list, init=False)

    @torch.inference_mode()
    def add(self, patient: StoredPatient, participant: Mapping[str, str]) -> None:
        """Score a patient, of whom participants.tsv says so much."""
        seed = [self.seed, len(self.known)]
        model = self.model
        encoded = list(encoded_visits(model.network, patient))
        rows = score_patient(
            model.network,
            patient,
            calibration=model.calibration,
            single_visit_calibration=model.single_visit_calibration,
            encoded=encoded,
        )
        self.rows += [row.without_map() for row in rows]
        self.known.append(KnownPatient(participant=participant, truth=patient.truth))
        grid_mm = model.preprocessing.grid_mm
        self.maps += _map_score(patient, rows, patient.growth_before_event, grid_mm)
        self.maps_off_borders += _map_score(patient, rows, patient.growth_off_borders_before_event, grid_mm)
        for scores, least_mm in zip(self.readers, SEES_FROM_MM, strict=True):
            scores.extend(_reader_scores(patient, seed, least_mm))
        self.deceived += _reader_scores(patient, seed, deceived=True)
        self.orders += _orders(model, patient, encoded, seed, self.order_patients - len(self.orders))
        if self.peer:
            self.peer_risks += self.peer.risks(patient)

    def measured(self, thresholds: Thresholds, bootstrap: BootstrapConfig) -> dict[str, Any]:
        """Every figure, with its interval.

        Args:
            thresholds: Of F1, for the risk and for the single-visit risk, where the model has them.
            bootstrap: How intervals are made.
        """
        found = {
            "cohort": _cohort(one.truth for one in self.known),
            **self._compared(thresholds, bootstrap),
            "subgroups": self._subgroups(bootstrap),
        }
        if self.orders:
            found["order"] = _order(self.orders, bootstrap)
        return found

    def _compared(self, thresholds: Thresholds, bootstrap: BootstrapConfig) -> dict[str, Any]:
        """Against the visit alone, the ideal reader and the peer, on the same rows; and the maps."""
        rows = LandmarkRows(**landmark_columns(self.rows))
        config = EvaluationConfig(bootstrap=bootstrap, concordance=torchsurv_concordance)
        ranks = dataclasses.replace(config, probabilities=False)
        ours, alone = (dataclasses.replace(config, threshold=threshold) for threshold in thresholds)
        risk = np.array([row.hazards.risk for row in self.rows])
        single = np.array([row.hazards.single_visit_risk for row in self.rows])
        found: dict[str, Any] = {
            "several_visits": evaluate_risks(risk, rows, ours),
            "single_visit": evaluate_risks(single, rows, alone),
            "several_less_single": compare_risks(risk, single, rows, ours, thresholds[1]),
        }
        if len(self.readers[0]) == len(self.rows):
            whole, *limited = (evaluate_risks(np.array(scores), rows, ranks) for scores in self.readers)
            found["ideal_observer"] = whole
            found["ideal_observer_seeing_from"] = [
                {"from_mm": least_mm, **one} for least_mm, one in zip(SEES_FROM_MM[1:], limited, strict=True)
            ]
        if len(self.deceived) == len(self.rows):
            found["ideal_observer_deceived"] = evaluate_risks(np.array(self.deceived), rows, ranks)
        if self.peer_risks:
            peer = np.array(self.peer_risks)
            found["reference"] = evaluate_risks(peer, rows, config)
            found["several_less_reference"] = compare_risks(risk, peer, rows, config)
        if self.maps:
            found["heatmaps_at_last_visit_before_event"] = self._pointing()
        found["local_hazard_at_last_visit"] = _quietness(self.rows)
        return found

    def _pointing(self) -> dict[str, Any]:
        found = summarise_heatmaps(self.maps)
        off_borders = summarise_heatmaps(self.maps_off_borders) if self.maps_off_borders else {}
        return {**found, "expected_off_borders": off_borders["expected"]} if "expected" in off_borders else found

    def _subgroups(self, bootstrap: BootstrapConfig) -> dict[str, Any]:
        rows = LandmarkRows(**landmark_columns(self.rows))
        sequences = [row.sequences for row in self.rows]
        groupings = known_groupings(self.known, rows.patient.tolist(), rows.visits.tolist(), sequences)
        config = EvaluationConfig(bootstrap=bootstrap)
        return evaluate_subgroups(np.array([row.hazards.risk for row in self.rows]), rows, groupings, config)


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


def _orders(
    model: RiskModel, patient: StoredPatient, encoded: Sequence[EncodedVisit], seed: list[int], wanted: int
) -> list[ScoredOrder]:
    """What the ordering head says of a patient's first and last visit, if the model has one and more are wanted."""
    if model.order is None or wanted < 1:
        return []
    random = torch.Generator().manual_seed(seed[0] * 1_000_003 + seed[1])
    order = model.order.to(next(model.network.parameters()).device)
    found = order_of_patient(model.network, order, patient, encoded, grid_mm=model.preprocessing.grid_mm, random=random)
    return [] if found is None else [found]


def _order(orders: list[ScoredOrder], bootstrap: BootstrapConfig) -> dict[str, Any]:
    return summarise_order(
        np.array([one.confidence for one in orders]),
        np.array([one.repeat_confidence for one in orders]),
        event=np.array([one.event for one in orders]),
        growth_diameter_mm=np.array([one.growth_diameter_mm for one in orders]),
        config=bootstrap,
    )


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
    scores = by_worst_lesion(ideal_observer_score, diameters, patient.days_since_first, generator)
    return [float(score) for score in scores]


def _cohort(truths: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Whether the patients were simulated, and by what."""
    found = [truth for truth in truths if truth is not None]
    drawn = {(truth["config"].get("population", "main"), truth["simulator_version"]) for truth in found}
    return {"simulated": bool(found), "simulators": [list(one) for one in sorted(drawn)]}


def _quietness(scored: list[ScoredVisit]) -> dict[str, dict[str, float]]:
    """What the maps add up to at each patient's last visit, apart for those with an event observed and without."""
    last = {row.patient_id: row for row in scored}
    sums: dict[str, list[float]] = {"event_follows": [], "no_event_observed": []}
    for row in last.values():
        name = "event_follows" if row.event else "no_event_observed"
        sums[name].append(float(row.hazards.horizon_terms.sum()))
    return {
        name: {
            "patients": len(numbers),
            "median": float(np.median(numbers)),
            "from_5th_percentile": float(np.percentile(numbers, 5)),
            "to_95th_percentile": float(np.percentile(numbers, 95)),
        }
        for name, numbers in sums.items()
        if numbers
    }
