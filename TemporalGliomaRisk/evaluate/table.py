"""The table of a model: every number with its interval, over all rows and by number of visits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.evaluate import metrics
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig, interval, patient_resamples
from TemporalGliomaRisk.evaluate.censoring import censoring_weights
from TemporalGliomaRisk.evaluate.landmarks import (
    HORIZON_DAYS,
    BoolArray,
    FloatArray,
    LandmarkRows,
    checked_risk,
)
from TemporalGliomaRisk.evaluate.reliability import bin_members, observed_by_bin, reliability_curve

Concordance = Callable[[FloatArray, FloatArray, BoolArray, FloatArray], float]
"""Of risk, days, cases by the horizon and censoring weights, each (rows,)."""

LEAST_ROWS_FOR_CALIBRATION = 2000
LEAST_FOR_INTERVAL = 10
"""Patients with an event within the horizon, and without one, below which there is no interval: with three the
bootstrap's of 95 % holds the truth four times in five."""
CALIBRATION_METRICS = ("calibration_slope", "calibration_intercept", "calibration_error")
METRICS = ("auroc", "auprc", "f1", "brier", "concordance", *CALIBRATION_METRICS)
AUROC_SHARE = "auroc_share"
_BY_BIN = "observed_by_bin"
_BLOCK_RESAMPLES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is measured.

    Args:
        horizon_days: An event on or before this many days after the visit is a case.
        threshold: Risk from which F1 calls an event, chosen on validation patients; None leaves F1 out.
        bins: Bins of the calibration error and the reliability curve, equal in rows.
        largest_visits: Numbers of visits that get a line of their own, 1 up to this.
        several_visits: "This many or more" gets a line too.
        probabilities: Whether the numbers are probabilities; False for a score that only ranks.
        concordance: Another implementation that gives the concordance on all rows, while ours, which is the same and
            fast, gives its resamples; None for ours throughout.
        bootstrap: How intervals are made.
    """

    horizon_days: float = HORIZON_DAYS
    threshold: float | None = None
    bins: int = 10
    largest_visits: int = 8
    several_visits: int = 4
    probabilities: bool = True
    concordance: Concordance | None = None
    bootstrap: BootstrapConfig = dataclasses.field(default_factory=BootstrapConfig)


def evaluate_risks(risk: npt.ArrayLike, rows: LandmarkRows, config: EvaluationConfig) -> dict[str, Any]:
    """Every number of one model, ready for JSON.

    Args:
        risk: (rows,), probability of an event within the horizon (or a score, see ``config.probabilities``).
        rows: What followed.
        config: What is measured.

    Returns:
        ``horizon_days``, ``threshold``, ``bins``, ``resamples``, ``level``, ``seed``, and ``groups``: a list of
        ``{"name", "rows", "patients", "events", "patients_with_event", "censored", "metrics": {name: {"value", "low",
        "high", "undefined_resamples", "reason"}}, "reliability"}``; ``events`` are rows with an event within the
        horizon, ``censored`` rows whose fate at the horizon is unknown. ``low`` and ``high`` are None where fewer than
        :data:`LEAST_FOR_INTERVAL` patients have an event, or rows without one. ``reason`` says why a value is None.
        ``reliability`` is the curve of :func:`reliability_curve`, None where no calibration figure is given. Groups
        without rows are left out.

    Raises:
        ShapeError: If lengths differ or a risk is not finite.
        UsageError: If a probability is outside 0 to 1.
    """
    numbers = checked_risk(risk, rows)
    if config.probabilities and ((numbers < 0) | (numbers > 1)).any():
        raise UsageError("Risks must lie between 0 and 1; set probabilities=False for a score that only ranks.")
    groups = [
        _group(name, numbers[keep], rows.chosen(keep), config) for name, keep in _groups(rows, config) if keep.any()
    ]
    return {
        "horizon_days": config.horizon_days,
        "threshold": config.threshold,
        "bins": config.bins,
        "resamples": config.bootstrap.resamples,
        "level": config.bootstrap.level,
        "seed": config.bootstrap.seed,
        "groups": groups,
    }


def auroc_by_visits(
    scores: npt.ArrayLike, rows: LandmarkRows, bootstrap: BootstrapConfig
) -> dict[str, dict[str, float | int | None]]:
    """How well a score (rows,) ranks: of each group, by name, ``rows``, ``events``, ``value``, ``low``, ``high``."""
    found = evaluate_risks(scores, rows, EvaluationConfig(probabilities=False, bootstrap=bootstrap))
    return {
        group["name"]: {
            "rows": group["rows"],
            "events": group["events"],
            **{end: group["metrics"]["auroc"][end] for end in ("value", "low", "high")},
        }
        for group in found["groups"]
    }


def compare_risks(
    risk: npt.ArrayLike,
    other: npt.ArrayLike,
    rows: LandmarkRows,
    config: EvaluationConfig,
    other_threshold: float | None = None,
) -> list[dict[str, Any]]:
    """Paired differences, ``risk`` minus ``other``, on the same rows and the same resamples; groups as above.

    Args:
        risk: (rows,).
        other: (rows,).
        rows: What followed.
        config: What is measured; its threshold is that of ``risk``.
        other_threshold: The other's; where either is None, no difference in F1 is given.
    """
    if other_threshold is None:
        config = dataclasses.replace(config, threshold=None)
    configs = (config, dataclasses.replace(config, threshold=None if config.threshold is None else other_threshold))
    ours, theirs = checked_risk(risk, rows), checked_risk(other, rows)
    result = []
    for name, keep in _groups(rows, config):
        if not keep.any():
            continue
        some = rows.chosen(keep)
        pair = [
            _resampled(which[keep], some, settings) for which, settings in zip((ours, theirs), configs, strict=True)
        ]
        difference = {metric: pair[0][metric] - pair[1][metric] for metric in METRICS if metric in pair[0]}
        result.append({**_head(name, some, config), "metrics": _with_intervals(difference, some, config)})
    return result


def auroc_shares(
    risk: npt.ArrayLike, other: npt.ArrayLike, rows: LandmarkRows, config: EvaluationConfig
) -> list[dict[str, Any]]:
    """How much of another score's distance from chance a risk goes: (AUROC - 0.5) / (the other's AUROC - 0.5).

    Both are on the same rows and the same resamples. Given for all rows and for those of several visits, where the
    other is well away from chance.

    Args:
        risk: (rows,).
        other: (rows,), as of the ideal observer.
        rows: What followed.
        config: What is measured.

    Returns:
        Groups as above, with the one metric :data:`AUROC_SHARE`, undefined where the other is no better than chance.
    """
    ours, theirs = checked_risk(risk, rows), checked_risk(other, rows)
    result = []
    for name, keep in _groups(rows, config)[:2]:
        if not keep.any():
            continue
        some = rows.chosen(keep)
        counts = _counts(some, config)
        above, below = (resampled_auroc(which[keep], some, counts, config) - 0.5 for which in (ours, theirs))
        share = np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)
        entry = _with_interval(share, some, config)
        result.append({**_head(name, some, config), "metrics": {AUROC_SHARE: entry}})
    return result


def resampled_auroc(risk: FloatArray, rows: LandmarkRows, counts: FloatArray, config: EvaluationConfig) -> FloatArray:
    """(resamples,), the AUROC of (rows,) where (resamples, rows) says how often each row counts."""
    cases = rows.cases(config.horizon_days)
    blocks = (counts[start : start + _BLOCK_RESAMPLES] for start in range(0, len(counts), _BLOCK_RESAMPLES))
    return np.concatenate(
        [metrics.auroc(risk, cases, censoring_weights(rows, config.horizon_days, block)) for block in blocks]
    )


def _counts(rows: LandmarkRows, config: EvaluationConfig) -> FloatArray:
    """(1 + resamples, rows), how often each row counts: all once, then as drawn."""
    return np.concatenate([np.ones((1, len(rows))), patient_resamples(rows.patient, config.bootstrap)])


def _groups(rows: LandmarkRows, config: EvaluationConfig) -> list[tuple[str, BoolArray]]:
    by_number = [(f"{n} visit{'s' if n > 1 else ''}", rows.visits == n) for n in range(1, config.largest_visits + 1)]
    several = (f"{config.several_visits} or more", rows.visits >= config.several_visits)
    return [("all", np.ones(len(rows), dtype=np.bool_)), several, *by_number]


def _group(name: str, risk: FloatArray, rows: LandmarkRows, config: EvaluationConfig) -> dict[str, Any]:
    found = _resampled(risk, rows, config)
    curve = None
    if _BY_BIN in found:
        weights = censoring_weights(rows, config.horizon_days)
        curve = reliability_curve(risk, bin_members(risk, config.bins), weights, found[_BY_BIN], config.bootstrap)
    return {**_head(name, rows, config), "metrics": _with_intervals(found, rows, config), "reliability": curve}


def _head(name: str, rows: LandmarkRows, config: EvaluationConfig) -> dict[str, Any]:
    cases, controls = rows.cases(config.horizon_days), rows.controls(config.horizon_days)
    return {
        "name": name,
        "rows": len(rows),
        "patients": int(np.unique(rows.patient).size),
        "events": int(cases.sum()),
        "patients_with_event": patients_in(rows, cases),
        "censored": int((~cases & ~controls).sum()),
    }


def patients_in(rows: LandmarkRows, chosen: BoolArray) -> int:
    """How many patients have one of the chosen rows, (rows,)."""
    return int(np.unique(rows.patient[chosen]).size)


def _resampled(risk: FloatArray, rows: LandmarkRows, config: EvaluationConfig) -> dict[str, FloatArray]:
    """Each metric on all rows (first) and on every resample, (1 + resamples,)."""
    counts = _counts(rows, config)
    blocks = [
        _metrics(risk, rows, counts[start : start + _BLOCK_RESAMPLES], config)
        for start in range(0, len(counts), _BLOCK_RESAMPLES)
    ]
    found = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    if config.concordance is not None and np.isfinite(found["concordance"][0]):
        cases, weights = rows.cases(config.horizon_days), censoring_weights(rows, config.horizon_days)
        found["concordance"][0] = config.concordance(risk, rows.days, cases, weights)
    return found


def _metrics(
    risk: FloatArray, rows: LandmarkRows, counts: FloatArray, config: EvaluationConfig
) -> dict[str, FloatArray]:
    cases = rows.cases(config.horizon_days)
    weights = censoring_weights(rows, config.horizon_days, counts)
    found = {
        "auroc": metrics.auroc(risk, cases, weights),
        "auprc": metrics.auprc(risk, cases, weights),
        "concordance": metrics.concordance(risk, rows, weights, counts, config.horizon_days),
    }
    if config.threshold is not None:
        found["f1"] = metrics.f1(risk, cases, weights, config.threshold)
    if config.probabilities:
        found["brier"] = metrics.brier(risk, cases, weights)
        if len(rows) >= LEAST_ROWS_FOR_CALIBRATION:
            found["calibration_error"] = metrics.calibration_error(risk, cases, weights, config.bins)
            slope, intercept = metrics.calibration_line(risk, cases, weights)
            found["calibration_slope"], found["calibration_intercept"] = slope, intercept
            found[_BY_BIN] = observed_by_bin(bin_members(risk, config.bins), cases, weights)
    return found


def _with_intervals(found: dict[str, FloatArray], rows: LandmarkRows, config: EvaluationConfig) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name in METRICS:
        if name in found:
            entry = _with_interval(found[name], rows, config, least=0.0 if name == "calibration_error" else None)
        else:
            entry = {"value": None, "low": None, "high": None, "undefined_resamples": 0}
            entry["reason"] = _why_absent(name, len(rows), config)
        table[name] = entry
    return table


def _with_interval(
    found: FloatArray, rows: LandmarkRows, config: EvaluationConfig, least: float | None = None
) -> dict[str, Any]:
    """Of a number on all rows, first, and on the resamples, which of few patients are too alike to tell its chance."""
    entry: dict[str, Any] = dataclasses.asdict(interval(found[0], found[1:], config.bootstrap, least=least))
    fates = (rows.cases(config.horizon_days), rows.controls(config.horizon_days))
    if min(patients_in(rows, fate) for fate in fates) < LEAST_FOR_INTERVAL:
        entry |= {"low": None, "high": None}
    return {**entry, "reason": None if entry["value"] is not None else "undefined on these rows"}


def _why_absent(name: str, rows: int, config: EvaluationConfig) -> str:
    if name == "f1" and config.threshold is None:
        return "no threshold given"
    if not config.probabilities:
        return "a score that only ranks"
    return f"{rows} rows, fewer than {LEAST_ROWS_FOR_CALIBRATION}"


def format_table(groups: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    """The groups of :func:`evaluate_risks` or :func:`compare_risks` as a Markdown table, intervals in brackets."""
    titles = ["visits", "rows", "patients", "rows with event", *names]
    lines = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    for group in groups:
        heads = [str(group[key]) for key in ("name", "rows", "patients", "events")]
        lines.append("| " + " | ".join([*heads, *(format_cell(group["metrics"][name]) for name in names)]) + " |")
    return "\n".join(lines) + "\n"


def format_cell(entry: Mapping[str, Any]) -> str:
    """A number with its interval in brackets, a dash where undefined."""
    if entry["value"] is None:
        return "–"
    bounds = "" if entry["low"] is None else f" [{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"{entry['value']:.3f}{bounds}"
