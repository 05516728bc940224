"""Intervals where a patient gives one number only: exact ones of shares, which a bootstrap of all right cannot give."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv

from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig, Interval, interval, patient_resamples
from TemporalGliomaRisk.evaluate.landmarks import FloatArray


def exact_share(right: FloatArray, level: float) -> Interval:
    """Share with the exact binomial (Clopper-Pearson) interval.

    Args:
        right: (patients,), at least one, 1 for yes and 0 for no. A fraction, as a tie counted half, varies less than a
            yes or no of the same mean, so with some the interval is rather too wide.
        level: Share of repetitions that the interval holds the truth in, at least.

    Source:
        Clopper CJ, Pearson ES. Biometrika 1934;26:404; quantiles of the beta distribution.
    """
    patients, yes, outside = len(right), float(right.sum()), (1 - level) / 2
    low = float(betaincinv(yes, patients - yes + 1, outside)) if yes > 0 else 0.0
    high = float(betaincinv(yes + 1, patients - yes, 1 - outside)) if yes < patients else 1.0
    return Interval(value=yes / patients, low=low, high=high, undefined_resamples=0)


def mean_of_patients(values: FloatArray, config: BootstrapConfig) -> Interval:
    """Mean of (patients,) with its bootstrap interval; none of a single patient, whose resamples are all alike."""
    if len(values) == 1:
        return Interval(value=float(values[0]), low=None, high=None, undefined_resamples=0)
    counts = patient_resamples(np.arange(len(values)), config)
    return interval(float(values.mean()), counts @ values / counts.sum(axis=1), config)
