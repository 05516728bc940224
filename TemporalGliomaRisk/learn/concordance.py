"""The reported concordance, by torchsurv: what ``evaluate`` resamples with its own code is checked against it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from TemporalGliomaRisk.errors import UsageError


def torchsurv_concordance(
    risk: npt.ArrayLike, days: npt.ArrayLike, cases: npt.ArrayLike, weights: npt.ArrayLike
) -> float:
    """Uno's concordance up to a horizon: of two rows, the one whose event comes first has the higher risk.

    Risks and days are given to torchsurv as their ranks, which are whole: it compares both in single precision.

    Args:
        risk: (rows,).
        days: (rows,), days to the event or to the end of follow-up.
        cases: (rows,), True where the event comes by the horizon; every other row only outlives cases.
        weights: (rows,), inverse probability of not being censored before the row's end, of the cases at least.

    Returns:
        A share of pairs, ties in risk counted one half; NaN without a comparable pair.

    Raises:
        UsageError: If torchsurv is not installed.

    Source:
        Uno H, et al. Stat Med 2011;30:1105; Monod M, et al. TorchSurv. JOSS 2024;9:7341.
    """
    try:
        from torchsurv.metrics.cindex import ConcordanceIndex  # noqa: PLC0415  (slow to import)
    except ImportError as error:
        raise UsageError("Evaluation takes the concordance from torchsurv: pip install torchsurv.") from error
    is_case = np.asarray(cases, dtype=np.bool_)
    when = np.asarray(days, dtype=np.float64)
    if not is_case.any() or (is_case.all() and (when == when[0]).all()):
        return float("nan")
    ranks = [np.unique(np.asarray(values, np.float64), return_inverse=True)[1] for values in (risk, when)]
    estimate, time = (torch.from_numpy(rank.astype(np.float64)) for rank in ranks)
    weight = torch.from_numpy(np.where(is_case, np.asarray(weights, dtype=np.float64), 0.0))
    try:
        found = ConcordanceIndex(tied_tol=0.0)(estimate, torch.from_numpy(is_case), time, weight=weight, instate=False)
    except ValueError:  # torchsurv's word for no comparable pair
        return float("nan")
    return float(found)
