"""The reliability curve: predicted risk against observed share of events, in bins of equally many rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig, interval
from TemporalGliomaRisk.evaluate.landmarks import BoolArray, FloatArray


def bin_members(risk: FloatArray, bins: int) -> BoolArray:
    """(rows, bins), the bin of each row: bins hold equal shares of the rows, and equal risks lie in one bin."""
    edges = np.quantile(risk, np.arange(1, bins) / bins)
    members: BoolArray = np.searchsorted(edges, risk, side="left")[:, None] == np.arange(bins)[None]
    return members


def observed_by_bin(members: BoolArray, cases: BoolArray, weights: FloatArray) -> FloatArray:
    """Share of rows with an event within the horizon in each bin, rows weighted for censoring.

    Args:
        members: (rows, bins).
        cases: (rows,).
        weights: (resamples, rows), from ``censoring_weights``.

    Returns:
        (resamples, bins), NaN where a bin has no row of known fate.
    """
    below = weights @ members
    above = weights @ (members & cases[:, None])
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)


def reliability_curve(
    risk: FloatArray, members: BoolArray, weights: FloatArray, observed: FloatArray, config: BootstrapConfig
) -> list[dict[str, Any]]:
    """The bins that hold rows, lowest risk first.

    Means of the risks are weighted as the outcomes are, so that the bins' gaps, weighted by ``share``, add up to the
    expected calibration error.

    Args:
        risk: (rows,).
        members: (rows, bins), from :func:`bin_members`; equal risks may leave a bin empty.
        weights: (rows,), censoring weights.
        observed: (1 + resamples, bins), from :func:`observed_by_bin`, all rows first.
        config: How intervals are made.

    Returns:
        A list of ``{"rows", "share", "predicted", "observed", "low", "high"}``; ``observed`` is None where no fate is
        known.
    """
    curve: list[dict[str, Any]] = []
    whole = float(weights.sum())
    if whole == 0:  # nobody's fate is known
        return curve
    for number, inside in enumerate(members.T):
        weight = float(weights[inside].sum())
        if not inside.any():
            continue
        found = interval(observed[0, number], observed[1:, number], config)
        curve.append(
            {
                "rows": int(inside.sum()),
                "share": weight / whole,
                "predicted": float(weights[inside] @ risk[inside]) / weight
                if weight > 0
                else float(risk[inside].mean()),
                "observed": found.value,
                "low": found.low,
                "high": found.high,
            }
        )
    return curve
