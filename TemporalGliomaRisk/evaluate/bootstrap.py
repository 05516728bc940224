"""Intervals by drawing patients, not rows: rows of one patient are not independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.evaluate.landmarks import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class BootstrapConfig:
    """How intervals are made: number of resamples, share of them inside the interval, seed."""

    resamples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no interval.

        Raises:
            UsageError: If there is no resample or the level is not inside (0, 1).
        """
        if self.resamples < 1 or not 0 < self.level < 1:
            raise UsageError(f"Wanted resamples >= 1 and 0 < level < 1, got {self.resamples} and {self.level}.")


def patient_resamples(patient: IntArray, config: BootstrapConfig) -> FloatArray:
    """How often each row counts when as many patients as there are get drawn with replacement.

    Returns:
        (resamples, rows); all rows of a patient count alike.
    """
    names, belongs = np.unique(patient, return_inverse=True)
    drawn = np.random.default_rng(config.seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), config.resamples
    )
    return drawn[:, belongs].astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number on all rows with its interval; None where undefined.

    Args:
        value: On all rows.
        low: Lower end.
        high: Upper end.
        undefined_resamples: Resamples on which the number is undefined; the interval is over the others.
    """

    value: float | None
    low: float | None
    high: float | None
    undefined_resamples: int


def interval(value: float, resampled: FloatArray, config: BootstrapConfig, *, least: float | None = None) -> Interval:
    """Percentile interval of ``resampled`` (resamples,); none when more than half of the resamples are undefined.

    Args:
        value: On all rows.
        resampled: (resamples,).
        config: Level.
        least: Of a number that can't be below, as a sum of absolute gaps, to which resampling adds gaps of its own:
            what it adds on average is taken off all resamples, and the interval is cut off at ``least``.

    Source:
        Bias of a bootstrap: Davison AC, Hinkley DV. Bootstrap Methods and their Application, 1997, 2.2.
    """
    defined = resampled[np.isfinite(resampled)]
    missing = int(resampled.size - defined.size)
    if not np.isfinite(value):
        return Interval(value=None, low=None, high=None, undefined_resamples=missing)
    if 2 * defined.size < resampled.size:
        return Interval(value=float(value), low=None, high=None, undefined_resamples=missing)
    if least is not None:
        defined = np.maximum(defined - (defined.mean() - value), least)
    low, high = np.quantile(defined, [(1 - config.level) / 2, (1 + config.level) / 2])
    return Interval(value=float(value), low=float(low), high=float(high), undefined_resamples=missing)
