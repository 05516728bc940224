"""What a model, its peer and the ideal reader say of a cohort's patients, measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.heatmaps import summarise_heatmaps
from TemporalGliomaRisk.evaluate.known_groups import KnownPatient, known_groupings
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.ordering import summarise_order
from TemporalGliomaRisk.evaluate.subgroups import evaluate_subgroups
from TemporalGliomaRisk.evaluate.table import EvaluationConfig, auroc_shares, compare_risks, evaluate_risks
from TemporalGliomaRisk.learn.cohort_facts import simulated_cohorts
from TemporalGliomaRisk.learn.concordance import torchsurv_concordance
from TemporalGliomaRisk.learn.order_scoring import ScoredOrder
from TemporalGliomaRisk.learn.scoring import landmark_columns
from TemporalGliomaRisk.patient_scoring import SEES_FROM_MM, ScoredPatient, ScoredRow

Item = TypeVar("Item")
Thresholds = tuple[float | None, float | None]


@dataclass(kw_only=True)
class ScoredCohort:
    """All patients of a cohort, in one order.

    Args:
        patients: Each one's scores.
        known: Of each, what is known beside the images.
    """

    patients: list[ScoredPatient]
    known: list[KnownPatient]

    @cached_property
    def _rows(self) -> list[ScoredRow]:
        """All landmark rows, a patient's visits together."""
        return _joined(one.rows for one in self.patients)

    @cached_property
    def _risks(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(rows,) each, from all visits so far and from the visit alone."""
        rows = self._rows
        return np.array([row.risk for row in rows]), np.array([row.single_visit_risk for row in rows])

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
        if at_visit := self._at_next_visit(bootstrap):
            found["event_at_next_visit"] = at_visit
        orders = _joined(one.orders for one in self.patients)
        if orders:
            found["order"] = _order(orders, bootstrap.level)
        return found

    def _compared(self, thresholds: Thresholds, bootstrap: BootstrapConfig) -> dict[str, Any]:
        """Against the visit alone, the ideal readers, the peer and the rival, on the same rows; and the maps."""
        rows = LandmarkRows(**landmark_columns(self._rows))
        config = EvaluationConfig(bootstrap=bootstrap, concordance=torchsurv_concordance)
        ranks = dataclasses.replace(config, probabilities=False)
        ours, alone = (dataclasses.replace(config, threshold=threshold) for threshold in thresholds)
        risk, single = self._risks
        found: dict[str, Any] = {
            "several_visits": evaluate_risks(risk, rows, ours),
            "single_visit": evaluate_risks(single, rows, alone),
            "several_less_single": compare_risks(risk, single, rows, ours, thresholds[1]),
        }
        readers = [self._scores(one.readers[number] for one in self.patients) for number in range(len(SEES_FROM_MM))]
        deceived = self._scores(one.deceived for one in self.patients)
        if readers[0] is not None:
            whole, *limited = (evaluate_risks(scores, rows, ranks) for scores in readers if scores is not None)
            found["ideal_observer"] = whole
            found["share_of_ideal_observer"] = auroc_shares(risk, np.array(readers[0]), rows, ranks)
            found["ideal_observer_seeing_from"] = [
                {"from_mm": least_mm, **one} for least_mm, one in zip(SEES_FROM_MM[1:], limited, strict=True)
            ]
        if deceived is not None:
            found["ideal_observer_deceived"] = evaluate_risks(deceived, rows, ranks)
            found["share_of_ideal_observer_deceived"] = auroc_shares(risk, deceived, rows, ranks)
        others = {
            "reference": self._scores(one.peer_risks for one in self.patients),
            "rival": self._scores(one.rival_risks for one in self.patients),
        }
        for name, other in others.items():
            if other is not None:
                found[name] = evaluate_risks(other, rows, config)
                found[f"several_less_{name}"] = compare_risks(risk, other, rows, config)
        if any(one.maps for one in self.patients):
            found["heatmaps_at_last_visit_before_event"] = self._pointing(bootstrap)
        found["local_hazard_at_last_visit"] = _quietness(self._rows)
        return found

    def _at_next_visit(self, bootstrap: BootstrapConfig) -> dict[str, Any] | None:
        """How well the same rows are ranked where an event is put at the visit that showed it; inputs are the same.

        Returns:
            None without events, or where that visit is not known of all of them.
        """
        later = [one.shown_after_days for one in self.patients for _ in one.rows]
        days = [one.shown_after_days for one in self.patients if any(row.event for row in one.rows)]
        if None in later or not days:
            return None
        columns = landmark_columns(self._rows)
        rows = LandmarkRows(**{**columns, "days": columns["days"] + np.array(later)})
        ranks = EvaluationConfig(bootstrap=bootstrap, probabilities=False)
        risk, single = self._risks
        found = {
            "events": len(days),
            "days_after_event_median": float(np.median(np.array(days))),
            "several_visits": evaluate_risks(risk, rows, ranks),
            "single_visit": evaluate_risks(single, rows, ranks),
            "several_less_single": compare_risks(risk, single, rows, ranks),
        }
        reader = self._scores(one.readers[0] for one in self.patients)
        return found if reader is None else {**found, "ideal_observer": evaluate_risks(reader, rows, ranks)}

    def _scores(self, by_patient: Iterable[list[float]]) -> npt.NDArray[np.float64] | None:
        """(rows,), somebody's scores of all rows; None where some patients have none, as without truth or peer."""
        found = _joined(by_patient)
        return np.array(found) if len(found) == len(self._rows) else None

    def _pointing(self, bootstrap: BootstrapConfig) -> dict[str, Any]:
        """Maps at the last visit before an event in whom something grew; also where moved borders are no growth."""
        found = summarise_heatmaps(_joined(one.maps for one in self.patients), bootstrap)
        maps = _joined(one.maps_off_borders for one in self.patients)
        off_borders = summarise_heatmaps(maps, bootstrap) if maps else {}
        return {**found, "expected_off_borders": off_borders["expected"]} if "expected" in off_borders else found

    def _subgroups(self, bootstrap: BootstrapConfig) -> dict[str, Any]:
        rows = LandmarkRows(**landmark_columns(self._rows))
        sequences = [row.sequences for row in self._rows]
        doubted = _joined(one.doubted for one in self.patients)
        said = doubted if len(doubted) == len(self._rows) else []
        groupings = known_groupings(self.known, rows.patient.tolist(), rows.visits.tolist(), sequences, said)
        config = EvaluationConfig(bootstrap=bootstrap)
        return evaluate_subgroups(self._risks[0], rows, groupings, config)


def _joined(lists: Iterable[list[Item]]) -> list[Item]:
    return [item for one in lists for item in one]


def _order(orders: list[ScoredOrder], level: float) -> dict[str, Any]:
    return summarise_order(
        np.array([one.confidence for one in orders]),
        np.array([one.repeat_confidence for one in orders]),
        event=np.array([one.event for one in orders]),
        growth_diameter_mm=np.array([one.growth_diameter_mm for one in orders], dtype=np.float64),  # None: NaN
        level=level,
    )


def _cohort(truths: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Whether the patients were simulated, by what, and which patients of what seed they are."""
    found = [truth for truth in truths if truth is not None]
    drawn = {(truth["config"].get("population", "main"), truth["simulator_version"]) for truth in found}
    return {
        "simulated": bool(found),
        "simulators": [list(one) for one in sorted(drawn)],
        "drawn": simulated_cohorts(found),
    }


def _quietness(scored: list[ScoredRow]) -> dict[str, dict[str, float]]:
    """What the maps add up to at each patient's last visit, apart for those with an event observed and without."""
    last = {row.patient_id: row for row in scored}
    sums: dict[str, list[float]] = {"event_follows": [], "no_event_observed": []}
    for row in last.values():
        name = "event_follows" if row.event else "no_event_observed"
        sums[name].append(row.local_hazard)
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
