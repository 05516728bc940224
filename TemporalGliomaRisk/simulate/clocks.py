"""When a lesion moves: clocks set so that the event's threshold is passed on the event's day."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from TemporalGliomaRisk.simulate.growth import START_RADIUS_MM, Clock, GrowthLaw, LogisticClock
from TemporalGliomaRisk.simulate.randomness import Generator

FIRST_GROWTH_DAY = 5.0
"""Nothing grows before: the first visit knows nothing of fate."""


@dataclass(frozen=True, kw_only=True)
class Arrest:
    """A clock of a lesion that moves towards a small final progress and stays there."""

    onset_day: float
    final_progress: float
    time_constant_days: float

    def progress_at(self, day: float) -> float:
        """Progress on a day, 0 before the onset."""
        return self.final_progress * float(-np.expm1(-max(0.0, day - self.onset_day) / self.time_constant_days))


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a growing lesion starts from, and the progress that it has to reach on the event's day."""

    radius_mm: float
    event_progress: float
    event_day: float


def clock_for(law: GrowthLaw, velocity: float, start: Start) -> Clock:
    """The clock that reaches the event's progress on its day and doesn't start before day 5."""
    still = Clock(
        law=law,
        velocity_mm_per_year=1.0,
        onset_day=0.0,
        start_radius_mm=start.radius_mm,
        final_radius_mm=start.radius_mm + 30.0,
    )
    needed = still.days_to(start.event_progress)
    latest_start = start.event_day - FIRST_GROWTH_DAY
    velocity = max(velocity, needed / latest_start)
    return replace(still, velocity_mm_per_year=velocity, onset_day=start.event_day - needed / velocity)


def logistic_clock(generator: Generator, velocity: float, start: Start) -> LogisticClock:
    """The same for logistic growth: the wait shrinks where there is little time, then the velocity rises."""
    new = start.radius_mm == START_RADIUS_MM
    seed = generator.uniform(0.45, 0.65) * start.event_progress if new else 0.0
    appearing = generator.uniform(30.0, 90.0) if new else 0.0
    lag = generator.uniform(60.0, 500.0)
    available = start.event_day - FIRST_GROWTH_DAY
    appearing, lag = min(appearing, 0.3 * available), min(lag, 0.3 * available)
    still = LogisticClock(
        velocity_mm_per_year=velocity,
        onset_day=0.0,
        start_radius_mm=start.radius_mm,
        seed_mm=seed,
        appearing_days=appearing,
        lag_days=lag,
        final_radius_mm=max(start.radius_mm + start.event_progress, 8.0) + generator.uniform(5.0, 15.0),
    )
    growing = still.days_to(start.event_progress) - appearing - lag
    faster = replace(still, velocity_mm_per_year=velocity * max(1.0, growing / (available - appearing - lag)))
    return replace(faster, onset_day=start.event_day - faster.days_to(start.event_progress))
