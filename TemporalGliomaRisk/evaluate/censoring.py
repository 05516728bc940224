"""Weights that let the rows whose fate is known stand for those censored before it was."""

from __future__ import annotations

import numpy as np

from TemporalGliomaRisk.evaluate.landmarks import HORIZON_DAYS, FloatArray, LandmarkRows


def censoring_survival(rows: LandmarkRows, at_days: FloatArray, counts: FloatArray | None = None) -> FloatArray:
    """Kaplan-Meier probability of not being censored before a day, G(t-).

    At tied days events come before censorings: those with an event on a day are not at risk of censoring on it.
    A censoring on day t lowers G only after t.

    Args:
        rows: The landmark rows.
        at_days: (days,), where G(t-) is wanted.
        counts: (resamples, rows), how often each row counts; once each when not given.

    Returns:
        (resamples, days), or (days,) when ``counts`` is not given.
    """
    order = np.argsort(rows.days, kind="stable")
    times, starts = np.unique(rows.days[order], return_index=True)
    weights = np.ones((1, len(rows))) if counts is None else counts
    ordered = weights[:, order]
    ended = np.add.reduceat(ordered, starts, axis=1)
    events = np.add.reduceat(ordered * rows.event_observed[order], starts, axis=1)
    at_risk = np.cumsum(ended[:, ::-1], axis=1)[:, ::-1] - events
    censored = ended - events
    factors = 1.0 - np.divide(censored, at_risk, out=np.zeros_like(censored), where=at_risk > 0)
    before = np.cumprod(np.concatenate([np.ones((len(weights), 1)), factors], axis=1), axis=1)
    survival: FloatArray = before[:, np.searchsorted(times, at_days, side="left")]
    return survival[0] if counts is None else survival


def censoring_weights(
    rows: LandmarkRows, horizon_days: float = HORIZON_DAYS, counts: FloatArray | None = None
) -> FloatArray:
    """Inverse probability that a row's fate at the horizon is known: 1 / G(min(days, horizon)-), 0 where unknown.

    Args:
        rows: The landmark rows.
        horizon_days: The horizon.
        counts: (resamples, rows), how often each row counts; G is estimated anew in each resample.

    Returns:
        (resamples, rows) weights multiplied by ``counts``, or (rows,) when ``counts`` is not given.

    Source:
        Graf E, et al. Stat Med 1999;18:2529; Uno H, et al. J Am Stat Assoc 2007;102:527.
    """
    known = rows.cases(horizon_days) | rows.controls(horizon_days)
    survival = censoring_survival(rows, np.minimum(rows.days, horizon_days), counts)
    times_counted = np.ones(len(rows)) if counts is None else counts
    used = known & (times_counted > 0)
    return np.divide(times_counted, survival, out=np.zeros_like(survival), where=used & (survival > 0))
