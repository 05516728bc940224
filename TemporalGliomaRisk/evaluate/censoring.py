"""Weights that let the rows whose fate is known stand for those censored before it was."""

from __future__ import annotations

import numpy as np

from TemporalGliomaRisk.evaluate.landmarks import HORIZON_DAYS, FloatArray, IntArray, LandmarkRows

LEAST_FACTOR = 1e-300
"""Stands for a factor of 0, so that what comes before it divides out of a ratio."""


def censoring_survival(rows: LandmarkRows, at_days: FloatArray, counts: FloatArray | None = None) -> FloatArray:
    """Probability that a row, followed to its landmark, isn't censored before a number of days after it.

    A Kaplan-Meier estimate over patients, each counted once, from the first of its rows on, by the days since its first
    visit: follow-up ends by that clock, so less and less of it is left at later landmarks. Where rows have no such
    days, each row is a subject of its own.

    At tied days events come before censorings: those with an event on a day are not at risk of censoring on it.
    A censoring on day t lowers the probability only after t.

    Args:
        rows: The landmark rows.
        at_days: (rows,), days after each row's landmark; any number of days where rows are subjects of their own.
        counts: (resamples, rows), how often each row counts, all rows of a patient alike; once each when not given.

    Returns:
        (resamples, days), or (days,) when ``counts`` is not given.

    Source:
        Delayed entry: Andersen PK, et al. Statistical Models Based on Counting Processes, 1993, III.4.
    """
    starts, subjects = _starts(rows)
    weights = (np.ones((1, len(rows))) if counts is None else counts)[:, subjects]
    ends = (starts + rows.days)[subjects]
    events = rows.event_observed[subjects]
    times = np.unique(ends)
    here = np.searchsorted(times, ends)
    ended, came = (_added(part, here, len(times)) for part in (weights, weights * events))
    at_risk = _at_or_after(weights, ends, times) - _at_or_after(weights, starts[subjects], times) - came
    censored = ended - came
    factors = 1.0 - np.divide(censored, at_risk, out=np.zeros_like(censored), where=at_risk > 0)
    logs = np.log(np.maximum(factors, LEAST_FACTOR))
    before = np.cumsum(np.concatenate([np.zeros((len(weights), 1)), logs], axis=1), axis=1)
    # Up to and without the day asked for, less up to and with the day of the landmark.
    landmarks = 0.0 if rows.days_since_first is None else starts
    until = np.searchsorted(times, landmarks + at_days, side="left")
    since = np.searchsorted(times, landmarks, side="right")
    survival: FloatArray = np.exp(np.minimum(before[:, until] - before[:, np.minimum(since, until)], 0.0))
    return survival[0] if counts is None else survival


def _starts(rows: LandmarkRows) -> tuple[FloatArray, IntArray]:
    """(rows,), each landmark on its subject's clock, and the first row of every subject."""
    if rows.days_since_first is None:
        return np.zeros(len(rows)), np.arange(len(rows))
    order = np.lexsort((rows.days_since_first, rows.patient))
    return rows.days_since_first, order[np.unique(rows.patient[order], return_index=True)[1]]


def _added(weights: FloatArray, places: IntArray, length: int) -> FloatArray:
    """(resamples, length), the weights (resamples, subjects) summed by place, of which each has a subject."""
    order = np.argsort(places, kind="stable")
    first = np.searchsorted(places[order], np.arange(length))
    summed: FloatArray = np.add.reduceat(weights[:, order], first, axis=1)
    return summed


def _at_or_after(weights: FloatArray, days: FloatArray, times: FloatArray) -> FloatArray:
    """(resamples, times), weight of the subjects whose day is at or after each time."""
    order = np.argsort(days, kind="stable")
    tail = np.cumsum(weights[:, order][:, ::-1], axis=1)[:, ::-1]
    tail = np.concatenate([tail, np.zeros((len(weights), 1))], axis=1)
    found: FloatArray = tail[:, np.searchsorted(days[order], times, side="left")]
    return found


def censoring_weights(
    rows: LandmarkRows, horizon_days: float = HORIZON_DAYS, counts: FloatArray | None = None
) -> FloatArray:
    """Inverse probability that a row's fate at the horizon is known, given its landmark; 0 where it is unknown.

    Args:
        rows: The landmark rows.
        horizon_days: The horizon.
        counts: (resamples, rows), how often each row counts; the probability is estimated anew in each resample.

    Returns:
        (resamples, rows) weights multiplied by ``counts``, or (rows,) when ``counts`` is not given.

    Source:
        Graf E, et al. Stat Med 1999;18:2529; Uno H, et al. J Am Stat Assoc 2007;102:527.
    """
    known = rows.cases(horizon_days) | rows.controls(horizon_days)
    survival = censoring_survival(rows, np.minimum(rows.days, horizon_days), counts)
    times_counted = np.ones(len(rows)) if counts is None else counts
    used = known & (times_counted > 0)
    return np.divide(times_counted, survival, out=np.zeros_like(survival), where=used & (survival > LEAST_FACTOR))
