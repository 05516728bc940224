"""Calibration that leaves the map true: positive constants times the background and times the local terms.

Any other recalibration (a bent curve, an offset on the logit) would break the sum that the heatmap shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from TemporalGliomaRisk.errors import InputError, ModelError
from TemporalGliomaRisk.risk.hazards import INTERVAL_EDGES_DAYS, negative_log_likelihood

LARGEST_LOG_SCALE = 5.0
"""How far from 1 a fit may take a constant, by its logarithm."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Positive constants: ``H_j = background_scale * H0_j + local_scale * (sum of local terms)_j``.

    Raises:
        ModelError: If a constant is not a positive finite number.
    """

    background_scale: float = 1.0
    local_scale: float = 1.0

    def __post_init__(self) -> None:
        for value in (self.background_scale, self.local_scale):
            if not (math.isfinite(value) and value > 0):
                raise ModelError("A calibration's constants must be positive and finite; restore calibration.json.")

    @property
    def bounds_reached(self) -> dict[str, str]:
        """Of ``background`` and ``local terms`` those that a fit took as ``low`` or as ``high`` as it may."""
        scales = {"background": self.background_scale, "local terms": self.local_scale}
        logs = {name: math.log(scale) for name, scale in scales.items()}
        reached = {name: log for name, log in logs.items() if abs(log) >= LARGEST_LOG_SCALE - 1e-6}
        return {name: "low" if log < 0 else "high" for name, log in reached.items()}


def fit_calibration(background: Tensor, local: Tensor, days_to_end: Tensor, event: Tensor) -> Calibration:
    """Constants of largest likelihood on validation rows.

    Args:
        background: (rows, 4), uncalibrated background hazards.
        local: (rows, 4), uncalibrated sums of local hazards.
        days_to_end: (rows,), as in :func:`negative_log_likelihood`.
        event: (rows,), as there.

    Returns:
        The fitted constants, bounded to within a factor e^5 of 1.

    Raises:
        InputError: If no row has an event in its intervals: the likeliest hazard would be none at all.
    """
    last = INTERVAL_EDGES_DAYS[-1]
    if not bool((event.bool() & (days_to_end <= last)).any()):
        raise InputError(
            f"No patient to calibrate on has an event within {last} days of a visit. Give a larger cohort, or more of "
            "it to validation."
        )

    def objective(log_scales: np.ndarray) -> tuple[float, np.ndarray]:
        scales = torch.tensor(log_scales, dtype=torch.float64, requires_grad=True)
        hazards = scales[0].exp() * background.double() + scales[1].exp() * local.double()
        loss = negative_log_likelihood(hazards, days_to_end, event).mean()
        (gradient,) = torch.autograd.grad(loss, scales)
        return float(loss.detach()), gradient.numpy()

    bounds = [(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)] * 2
    found = minimize(objective, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds)
    return Calibration(background_scale=float(math.exp(found.x[0])), local_scale=float(math.exp(found.x[1])))
