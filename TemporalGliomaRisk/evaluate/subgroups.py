"""The model among groups of patients or visits, those named before the model was judged and exploratory ones.

Groups by the future (how fast a tumour comes to grow) are kept apart from groups known at the visit: a risk cannot be
calibrated within them, so they say only how well their rows are ranked against rows without such a future.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from TemporalGliomaRisk.evaluate.bootstrap import interval, patient_resamples
from TemporalGliomaRisk.evaluate.censoring import censoring_weights
from TemporalGliomaRisk.evaluate.landmarks import BoolArray, FloatArray, LandmarkRows, checked_risk
from TemporalGliomaRisk.evaluate.table import EvaluationConfig, patients_in, resampled_auroc

LEAST_PATIENTS, LEAST_EVENTS = 30, 10
"""A group of fewer patients, or of fewer with an event within the horizon, gets no figures."""
BLOCK_RESAMPLES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grouping:
    """One way to tell rows apart.

    Args:
        title: What the groups differ in.
        labels: (rows,), the group of each row; None for a row in no group.
        names: The groups in the order to show them in.
        compared_with: Name of the rows that every group's AUROC is taken together with, for groups by the future;
            they form no group of their own. None for groups known at the visit.
        exploratory: Whether it was thought of after figures of a model had been seen.
    """

    title: str
    labels: tuple[str | None, ...]
    names: tuple[str, ...]
    compared_with: str | None = None
    exploratory: bool = False


def evaluate_subgroups(
    risk: FloatArray, rows: LandmarkRows, groupings: Sequence[Grouping], config: EvaluationConfig
) -> dict[str, Any]:
    """AUROC, mean risk and observed share in every group that is large enough.

    Args:
        risk: (rows,), probability of an event within the horizon.
        rows: What followed.
        groupings: How rows are told apart.
        config: Horizon and bootstrap; the resamples are drawn once, over all patients.

    Returns:
        ``least_patients``, ``least_events`` and ``groupings``: a list of ``{"title", "by_the_future", "exploratory",
        "groups", "left_out"}``, where a group has ``name``, ``rows``, ``patients``, ``events``,
        ``patients_with_event`` and the metrics ``auroc``, ``mean_risk``, ``observed_share`` and
        ``risk_less_observed``, each with ``value``, ``low`` and ``high``, None where undefined (the last three are
        absent by the future); one left out has its name and counts.
    """
    numbers = checked_risk(risk, rows)
    counts = np.concatenate([np.ones((1, len(rows))), patient_resamples(rows.patient, config.bootstrap)])
    found = [_grouping(numbers, rows, counts, grouping, config) for grouping in groupings]
    return {
        "least_patients": LEAST_PATIENTS,
        "least_events": LEAST_EVENTS,
        "groupings": [one for one in found if one["groups"] or one["left_out"]],
    }


def _grouping(
    risk: FloatArray, rows: LandmarkRows, counts: FloatArray, grouping: Grouping, config: EvaluationConfig
) -> dict[str, Any]:
    labels = np.array(["" if label is None else label for label in grouping.labels])
    beside = labels == grouping.compared_with if grouping.compared_with else np.zeros(len(rows), np.bool_)
    groups, left_out = [], []
    for name in grouping.names:
        inside = labels == name
        if not inside.any():
            continue
        some = rows.chosen(inside)
        head: dict[str, Any] = {
            "name": name,
            "rows": len(some),
            "patients": int(np.unique(some.patient).size),
            "events": int(some.cases(config.horizon_days).sum()),
            "patients_with_event": patients_in(some, some.cases(config.horizon_days)),
        }
        if head["patients"] < LEAST_PATIENTS or head["patients_with_event"] < LEAST_EVENTS:
            left_out.append(head)
            continue
        groups.append({**head, "metrics": _metrics(risk, rows, counts, (inside, beside), config)})
    return {
        "title": grouping.title,
        "by_the_future": grouping.compared_with is not None,
        "exploratory": grouping.exploratory,
        "groups": groups,
        "left_out": left_out,
    }


def _metrics(
    risk: FloatArray,
    rows: LandmarkRows,
    counts: FloatArray,
    masks: tuple[BoolArray, BoolArray],
    config: EvaluationConfig,
) -> dict[str, Any]:
    """Each metric with its interval; ``masks`` are the group and what its AUROC is taken together with."""
    inside, beside = masks
    both = inside | beside
    drawn = resampled_auroc(risk[both], rows.chosen(both), counts[:, both], config)
    numbers = {"auroc": drawn}
    if not beside.any():
        some, its_risk = rows.chosen(inside), risk[inside]
        weights = _weights(some, counts[:, inside], config)
        seen = counts[:, inside].sum(axis=1)
        with np.errstate(invalid="ignore"):
            numbers["mean_risk"] = counts[:, inside] @ its_risk / seen
            numbers["observed_share"] = weights @ some.cases(config.horizon_days) / weights.sum(axis=1)
        numbers["risk_less_observed"] = numbers["mean_risk"] - numbers["observed_share"]
    return {name: dataclasses.asdict(interval(one[0], one[1:], config.bootstrap)) for name, one in numbers.items()}


def _weights(rows: LandmarkRows, counts: FloatArray, config: EvaluationConfig) -> FloatArray:
    return np.concatenate(
        [
            censoring_weights(rows, config.horizon_days, counts[start : start + BLOCK_RESAMPLES])
            for start in range(0, len(counts), BLOCK_RESAMPLES)
        ]
    )
