"""What a model, its peer and the ideal reader say of a cohort's patients, gathered one by one and then measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.heatmaps import HeatmapScore, summarise_heatmaps
from TemporalGliomaRisk.evaluate.known_groups import KnownPatient, known_groupings
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.ordering import summarise_order
from TemporalGliomaRisk.evaluate.subgroups import evaluate_subgroups
from TemporalGliomaRisk.evaluate.table import EvaluationConfig, compare_risks, evaluate_risks
from TemporalGliomaRisk.learn.concordance import torchsurv_concordance
from TemporalGliomaRisk.learn.order_scoring import ScoredOrder
from TemporalGliomaRisk.learn.scoring import ScoredVisit, landmark_columns
from TemporalGliomaRisk.patient_scoring import SEES_FROM_MM, ScoredPatient

Thresholds = tuple[float | None, float | None]


@dataclass(kw_only=True)
class ScoredCohort:
    """Scores of the patients so far.

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

    rows: list[ScoredVisit] = field(default_factory=list, init=False)
    known: list[KnownPatient] = field(default_factory=list, init=False)
    maps: list[HeatmapScore] = field(default_factory=list, init=False)
    maps_off_borders: list[HeatmapScore] = field(default_factory=list, init=False)
    readers: tuple[list[float], ...] = field(default_factory=lambda: tuple([] for _ in SEES_FROM_MM), init=False)
    deceived: list[float] = field(default_factory=list, init=False)
    peer_risks: list[float] = field(default_factory=list, init=False)
    orders: list[ScoredOrder] = field(default_factory=list, init=False)

    def add(self, patient: ScoredPatient) -> None:
        """Take in the next patient of the cohort."""
        self.rows += patient.rows
        self.known.append(patient.known)
        self.maps += patient.maps
        self.maps_off_borders += patient.maps_off_borders
        for scores, more in zip(self.readers, patient.readers, strict=True):
            scores.extend(more)
        self.deceived += patient.deceived
        self.peer_risks += patient.peer_risks
        self.orders += patient.orders

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


def _order(orders: list[ScoredOrder], bootstrap: BootstrapConfig) -> dict[str, Any]:
    return summarise_order(
        np.array([one.confidence for one in orders]),
        np.array([one.repeat_confidence for one in orders]),
        event=np.array([one.event for one in orders]),
        growth_diameter_mm=np.array([one.growth_diameter_mm for one in orders]),
        config=bootstrap,
    )


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
