"""When a visit was, as the networks see it: a few smooth numbers a visit, in which unknown is never 0 days."""

from __future__ import annotations

import torch
from torch import Tensor

from TemporalGliomaRisk.errors import ShapeError

DAY_SCALE_DAYS = 90.0
"""Days are divided by this before the logarithm: about the shortest planned gap between visits."""

DAY_FEATURES = 5
"""Since first, gap, gap known (0 for the first visit), since treatment, since treatment known."""


def day_features(days_since_first: Tensor, days_since_treatment: Tensor) -> Tensor:
    """Features of the visits' days; those of visit k use days up to visit k only.

    Args:
        days_since_first: (..., visits), days since the patient's first visit, finite, oldest first.
        days_since_treatment: (..., visits), days since treatment, NaN where unknown; negative before treatment.

    Returns:
        (..., visits, DAY_FEATURES), float, finite: log1p(days since first / 90), log1p(gap to the previous visit / 90)
        with a flag that there is one, log1p(days since treatment / 90) with a flag that they are known. An unknown
        value is 0 with its flag 0; a known 0 has its flag 1. Negative days give -log1p(-days / 90).

    Raises:
        ShapeError: If the two shapes differ or there is no visits axis.
    """
    if days_since_first.ndim < 1 or days_since_first.shape != days_since_treatment.shape:
        raise ShapeError(
            "days_since_first and days_since_treatment must both be (..., visits), got "
            f"{tuple(days_since_first.shape)} and {tuple(days_since_treatment.shape)}."
        )
    kind = days_since_first.dtype if days_since_first.is_floating_point() else torch.get_default_dtype()
    first = days_since_first.to(kind)
    treatment = days_since_treatment.to(kind)
    known = ~torch.isnan(treatment)
    gap = torch.zeros_like(first)
    gap[..., 1:] = first[..., 1:] - first[..., :-1]
    has_gap = torch.zeros_like(first)
    has_gap[..., 1:] = 1.0
    treatment = torch.where(known, treatment, torch.zeros_like(treatment))
    return torch.stack(
        [_signed_log(first), _signed_log(gap), has_gap, _signed_log(treatment), known.to(kind)],
        dim=-1,
    )


def _signed_log(days: Tensor) -> Tensor:
    return torch.sign(days) * torch.log1p(days.abs() / DAY_SCALE_DAYS)
