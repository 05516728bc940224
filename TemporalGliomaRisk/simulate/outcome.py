"""Fate: whether and when the lesion will pass the event threshold, drawn before and apart from how it looks."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import stats

from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.randomness import Generator
from TemporalGliomaRisk.simulate.surgery import EXTENT_HAZARD_RATIOS, Extent

EVENT_LOG_SPREAD = 0.75
EARLIEST_EVENT_DAY = 60.0
LATEST_EVENT_DAY = 3000.0
WEIBULL_SHAPE = 1.4
EventLaw = Literal["log_normal", "weibull"]


def draw_event_day(
    generator: Generator, config: SimulationConfig, extent: Extent, event_law: EventLaw = "log_normal"
) -> float | None:
    """Day of the event since the first visit, None if it never comes.

    A cure model: survival S(t) = 1 - p F(t) with F a truncated log-normal or Weibull law. With
    ``extent_hazard_ratios`` the hazard is multiplied by the extent's ratio h, so that survival becomes S(t) ** h;
    without, the extent is not used.
    """
    ratio = EXTENT_HAZARD_RATIOS[extent] if config.extent_hazard_ratios else 1.0
    reached = 1.0 - (1.0 - generator.random()) ** (1.0 / ratio)
    if reached >= config.recurrent_fraction or config.recurrent_fraction == 0.0:
        return None
    if event_law == "weibull":
        days = stats.weibull_min(WEIBULL_SHAPE, scale=config.median_event_days / np.log(2.0) ** (1.0 / WEIBULL_SHAPE))
        low, high = days.cdf([EARLIEST_EVENT_DAY, LATEST_EVENT_DAY])
        return float(days.ppf(low + (high - low) * reached / config.recurrent_fraction))
    law = stats.norm(np.log(config.median_event_days), EVENT_LOG_SPREAD)
    low, high = law.cdf(np.log([EARLIEST_EVENT_DAY, LATEST_EVENT_DAY]))
    return float(np.exp(law.ppf(low + (high - low) * reached / config.recurrent_fraction)))
