"""Numbers of one risk on many resamples at once: rows are sorted once, resamples are rows of a weight matrix.

Every function takes ``risk`` (rows,), ``cases`` (rows,) and ``weights`` (resamples, rows), censoring weight times how
often the row counts, and gives (resamples,), NaN where the number is undefined.
"""

from __future__ import annotations

import numpy as np

from TemporalGliomaRisk.evaluate.landmarks import HORIZON_DAYS, BoolArray, FloatArray, LandmarkRows
from TemporalGliomaRisk.evaluate.reliability import bin_members

LEAST_RISK = 1e-6
MOST_NEWTON_STEPS = 50
_BLOCK_ROWS = 256


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _by_distinct_risk(risk: FloatArray, cases: BoolArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weight of cases and of controls at each distinct risk, lowest first, both (resamples, distinct)."""
    order = np.argsort(risk, kind="stable")
    starts = np.unique(risk[order], return_index=True)[1]
    ordered = weights[:, order]
    positive = np.add.reduceat(ordered * cases[order], starts, axis=1)
    return positive, np.add.reduceat(ordered * ~cases[order], starts, axis=1)


def auroc(risk: FloatArray, cases: BoolArray, weights: FloatArray) -> FloatArray:
    """Cumulative/dynamic area under the ROC curve at the horizon; ties count one half."""
    positive, negative = _by_distinct_risk(risk, cases, weights)
    below = np.cumsum(negative, axis=1) - negative / 2
    return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def auprc(risk: FloatArray, cases: BoolArray, weights: FloatArray) -> FloatArray:
    """Average precision (no interpolation): the sum over distinct risks of recall gained times precision."""
    positive, negative = (part[:, ::-1] for part in _by_distinct_risk(risk, cases, weights))
    true = np.cumsum(positive, axis=1)
    called = true + np.cumsum(negative, axis=1)
    precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
    average = _ratio((positive * precision).sum(axis=1), true[:, -1])
    return np.where(negative.sum(axis=1) > 0, average, np.nan)


def f1(risk: FloatArray, cases: BoolArray, weights: FloatArray, threshold: float) -> FloatArray:
    """F1 of calling every risk at or above ``threshold``, which was chosen on other patients."""
    called = risk >= threshold
    true, positive = weights @ (called & cases), weights @ cases.astype(float)
    return np.where(positive > 0, _ratio(2 * true, weights @ called.astype(float) + positive), np.nan)


def brier(risk: FloatArray, cases: BoolArray, weights: FloatArray) -> FloatArray:
    """Mean squared difference of risk and outcome, weights normalised to sum to one."""
    return _ratio(weights @ np.square(risk - cases), weights.sum(axis=1))


def calibration_error(risk: FloatArray, cases: BoolArray, weights: FloatArray, bins: int = 10) -> FloatArray:
    """Expected calibration error over bins that hold equal shares of the rows (edges fixed over resamples)."""
    gaps = weights @ (bin_members(risk, bins) * (cases - risk)[:, None])
    return _ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def calibration_line(risk: FloatArray, cases: BoolArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slope and intercept of the weighted logistic regression of the outcome on the logit of risk; 1 and 0 are best.

    Both are fitted together, by Newton steps over all resamples at once; NaN where the fit does not settle (no case,
    no control, one risk only, or cases and controls that the risk separates). Risks are kept off 0 and 1 by 1e-6.
    """
    kept = np.clip(risk, LEAST_RISK, 1 - LEAST_RISK)
    logit = np.log(kept / (1 - kept))
    slope, intercept = np.ones(len(weights)), np.zeros(len(weights))
    step = np.full(len(weights), np.inf)
    with np.errstate(all="ignore"):
        for _ in range(MOST_NEWTON_STEPS):
            expected = 1 / (1 + np.exp(-(intercept[:, None] + slope[:, None] * logit)))
            left = weights * (cases - expected)
            curve = weights * expected * (1 - expected)
            a, b, c = curve.sum(axis=1), curve @ logit, curve @ np.square(logit)
            g0, g1, determinant = left.sum(axis=1), left @ logit, a * c - b * b
            move0, move1 = (c * g0 - b * g1) / determinant, (a * g1 - b * g0) / determinant
            step = np.maximum(np.abs(move0), np.abs(move1))
            shorten = np.minimum(1.0, 2.0 / step)
            intercept, slope = intercept + shorten * move0, slope + shorten * move1
            if not (step > 1e-9).any():
                break
        settled = step < 1e-6
    return np.where(settled, slope, np.nan), np.where(settled, intercept, np.nan)


def concordance(
    risk: FloatArray,
    rows: LandmarkRows,
    weights: FloatArray,
    counts: FloatArray,
    horizon_days: float = HORIZON_DAYS,
) -> FloatArray:
    """Uno's concordance up to the horizon: of two rows, the one whose event comes first has the higher risk.

    A pair is an event by the horizon and a row that outlived it (or was censored that day), weighted 1 / G(t-)^2.
    Rows of one patient are compared as rows of any two.
    As there, a pair has its first row's weight twice; the row that outlived it has a clock of its own, by which less of
    the follow-up may be left at later landmarks, so a score that rises with the days since the first visit looks a
    little better than it is where censoring is heavy (0.54 for 0.51 in a cohort followed for 100 to 2,500 days).

    Args:
        risk: (rows,).
        rows: The landmark rows.
        weights: (resamples, rows), from ``censoring_weights`` with ``counts``.
        counts: (resamples, rows), how often each row counts.
        horizon_days: Where pairs end.

    Returns:
        (resamples,), NaN without a comparable pair.

    Source:
        Uno H, et al. On the C-statistics for evaluating overall adequacy of risk prediction procedures with censored
        survival data. Stat Med 2011;30:1105.
    """
    first = np.flatnonzero(rows.cases(horizon_days))
    agree, pairs = np.zeros(len(counts)), np.zeros(len(counts))
    for block in (first[start : start + _BLOCK_ROWS] for start in range(0, len(first), _BLOCK_ROWS)):
        same_day = (rows.days[None] == rows.days[block, None]) & ~rows.event_observed[None]
        outlived = (rows.days[None] > rows.days[block, None]) | same_day
        order = np.sign(risk[block, None] - risk[None])
        seen = counts[:, block]
        weight = np.divide(np.square(weights[:, block]), seen, out=np.zeros_like(seen), where=seen > 0)
        agree += ((weight @ (outlived * (order + 1) / 2)) * counts).sum(axis=1)
        pairs += ((weight @ outlived.astype(float)) * counts).sum(axis=1)
    return _ratio(agree, pairs)
