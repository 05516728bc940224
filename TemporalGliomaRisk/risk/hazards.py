"""From interval hazards to risk, and the likelihood that they are learnt by.

Follow-up after a visit is cut into intervals. ``H_j`` is the cumulative hazard of interval j, the integral of the
hazard rate over it; within an interval the rate is constant. The risk at the end of interval j is
``1 - exp(-(H_0 + ... + H_j))``.

Source: discrete-time survival, e.g. Gensheimer MF, Narasimhan B. PeerJ 2019;7:e6257.
"""

from __future__ import annotations

import torch
from torch import Tensor

from TemporalGliomaRisk.shapes import check_shape

INTERVAL_EDGES_DAYS = (0, 90, 180, 365, 730)
INTERVALS = len(INTERVAL_EDGES_DAYS) - 1
HORIZON_DAYS = 365
HORIZON_INTERVALS = INTERVAL_EDGES_DAYS.index(HORIZON_DAYS)


def horizon_hazard(interval_hazards: Tensor) -> Tensor:
    """(visits, intervals) interval hazards to (visits,) cumulative hazard within :data:`HORIZON_DAYS`."""
    check_shape(interval_hazards, "interval_hazards", ("visits", INTERVALS))
    return interval_hazards[:, :HORIZON_INTERVALS].sum(dim=1)


def negative_log_likelihood(interval_hazards: Tensor, days_to_end: Tensor, event: Tensor) -> Tensor:
    """Negative log-likelihood of each landmark row; a row that was only watched says only that it survived so long.

    An event in interval j contributes ``H_0 + ... + H_(j-1) - log(1 - exp(-H_j))``. A row censored within interval j
    contributes the hazard survived: all earlier intervals and the part of interval j that was watched. An event after
    the last interval is a row that survived them all.

    Args:
        interval_hazards: (rows, 4), cumulative hazard of each interval, > 0.
        days_to_end: (rows,), days from the landmark visit to the event or to the end of follow-up, > 0.
        event: (rows,), whether the end is an event.

    Returns:
        (rows,), each row's negative log-likelihood.
    """
    lengths = check_shape(interval_hazards, "interval_hazards", ("rows", INTERVALS))
    check_shape(days_to_end, "days_to_end", (lengths["rows"],))
    check_shape(event, "event", (lengths["rows"],))
    edges = torch.tensor(INTERVAL_EDGES_DAYS, dtype=interval_hazards.dtype, device=interval_hazards.device)
    days = days_to_end.to(interval_hazards.dtype)[:, None]
    watched = ((days - edges[:-1]) / (edges[1:] - edges[:-1])).clamp(0, 1)
    ends_here = event[:, None] & (days > edges[:-1]) & (days <= edges[1:])
    survived = torch.where(ends_here, torch.zeros_like(watched), watched) * interval_hazards
    happened = torch.where(ends_here, interval_hazards, torch.ones_like(interval_hazards))
    log_event = torch.where(ends_here, torch.log(-torch.expm1(-happened)), torch.zeros_like(happened))
    return (survived - log_event).sum(dim=1)
