"""Calibrated risk of one visit after another: members averaged, background and local terms kept apart.

Everything a reader is shown comes from here: the risk is ``1 - exp(-(background + sum of terms))``, and the terms are
the heatmap. Members are averaged in hazard and calibration only scales, so the sum survives both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from TemporalGliomaRisk.encode.evidence import EvidenceModel, VisitMemory
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.hazards import HORIZON_INTERVALS


@dataclass(frozen=True, kw_only=True)
class VisitHazards:
    """What one visit and those before it say, calibrated, in double precision.

    Args:
        background: (4,), background hazard of each interval: days only, no image.
        terms: (places, 4), local hazards of each interval.
        member_hazards: (members, 4), each member's own interval hazards, background included.
        single_visit_hazards: (4,), interval hazards from this visit's picture alone.
    """

    background: Tensor
    terms: Tensor
    member_hazards: Tensor
    single_visit_hazards: Tensor

    @property
    def interval_hazards(self) -> Tensor:
        """(4,), background and local terms together."""
        return self.background + self.terms.sum(dim=0)

    @property
    def risk(self) -> float:
        """Risk of an event within the horizon after this visit."""
        return _risk(self.interval_hazards)

    @property
    def risk_extremes(self) -> tuple[float, float]:
        """Lowest and highest risk among the members: a spread, not a confidence interval."""
        risks = [_risk(hazards) for hazards in self.member_hazards]
        return min(risks), max(risks)

    @property
    def single_visit_risk(self) -> float:
        """Risk from this visit's picture alone, by the head trained for it."""
        return _risk(self.single_visit_hazards)

    @property
    def background_hazard(self) -> float:
        """Background hazard within the horizon."""
        return float(self.background[:HORIZON_INTERVALS].sum())

    @property
    def horizon_terms(self) -> Tensor:
        """(places,), local hazard within the horizon: the heatmap, before it is laid on a grid."""
        return self.terms[:, :HORIZON_INTERVALS].sum(dim=1)


def _risk(interval_hazards: Tensor) -> float:
    return float(-torch.expm1(-interval_hazards[:HORIZON_INTERVALS].sum()))


@dataclass
class TimelineRisk:
    """One causal pass over a patient's visits: call :meth:`see` with each, oldest first.

    Args:
        network: Trained ``evidence`` model in evaluation mode.
        calibration: Of the ensemble.
        single_visit_calibration: Of the single-visit head.
    """

    network: EvidenceModel
    calibration: Calibration
    single_visit_calibration: Calibration
    _memory: VisitMemory | None = field(default=None, init=False, repr=False)

    @torch.inference_mode()
    def see(self, features: Tensor, present: Tensor, days: Tensor) -> VisitHazards:
        """Take in the next visit.

        Args:
            features: (4, places, channels).
            present: (4,).
            days: (day features,).
        """
        self._memory, local_logs = self.network.see(self._memory, features, present, days)
        local = self.calibration.local_scale * local_logs.double().exp()
        background = self.network.background_hazards(days[None])[:, 0].double() * self.calibration.background_scale
        alone_background, alone_logs = self.network.see_alone(features, present)
        alone = self.single_visit_calibration
        return VisitHazards(
            background=background.mean(dim=0).cpu(),
            terms=local.mean(dim=0).cpu(),
            member_hazards=(background + local.sum(dim=1)).cpu(),
            single_visit_hazards=(
                alone.background_scale * alone_background.double()
                + alone.local_scale * alone_logs.double().exp().sum(dim=0)
            ).cpu(),
        )
