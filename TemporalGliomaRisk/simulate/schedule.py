"""When the child comes for MRI, and how long the clinic hears of the child."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.simulate.randomness import Generator

PLANNED_MONTHS = (3, 6, 12, 24, 36, 60, 72)
DAYS_PER_MONTH = 30.44
LONGEST_DAYS = 2600
MOST_VISITS = 12


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What would happen if no event came.

    Args:
        first_days_since_treatment: Day of the baseline MRI after surgery.
        visit_days: Days of all visits since the first, which is day 0; before the loss to follow-up.
        last_contact_day: Days since the first visit until which the clinic hears of the child.
    """

    first_days_since_treatment: int
    visit_days: tuple[int, ...]
    last_contact_day: int


def _protocol_days(generator: Generator) -> list[float]:
    if generator.random() < 0.45:
        return [DAYS_PER_MONTH * month for month in PLANNED_MONTHS]
    gap = generator.uniform(57.0, 200.0)
    later = generator.uniform(1.2, 2.2)
    days = [gap]
    while days[-1] < LONGEST_DAYS:
        days.append(days[-1] + gap * (1.0 if days[-1] < 2.0 * 365 else later))
    return days


def _until_the_longest(draw_gap: Callable[[float], float]) -> list[float]:
    """Days of visits whose gaps are drawn one by one, given the day of the visit before."""
    days = [draw_gap(0.0)]
    while days[-1] < LONGEST_DAYS:
        days.append(days[-1] + draw_gap(days[-1]))
    return days


def draw_wide_schedule(generator: Generator) -> Schedule:
    """Anything from one visit to twelve: planned months, even gaps of 30 to 330 days, or none alike; early or late."""
    late = generator.random() < 0.35
    first = int(generator.integers(61, 900) if late else generator.integers(1, 61))
    style = generator.random()
    median = float(np.exp(generator.uniform(np.log(30.0), np.log(330.0))))
    if style < 0.3:
        planned = [DAYS_PER_MONTH * month for month in PLANNED_MONTHS]
    elif style < 0.7:
        planned = _until_the_longest(lambda _: median * float(np.exp(0.12 * generator.standard_normal())))
    else:
        planned = _until_the_longest(lambda _: median * float(np.exp(0.8 * generator.standard_normal())))
    missing = generator.uniform(0.0, 0.5)
    days = [round(day + generator.normal(0.0, 10.0)) for day in planned if generator.random() >= missing]
    last_contact = int(max(1, min(generator.uniform(150.0, 3300.0), generator.exponential(5.0 * 365.0))))
    most = 1 if generator.random() < 0.06 else MOST_VISITS
    return Schedule(
        first_days_since_treatment=first,
        visit_days=_kept(days, last_contact, least_gap=18, most=most),
        last_contact_day=last_contact,
    )


def draw_shifted_schedule(generator: Generator) -> Schedule:
    """Visits as they come: exponential gaps that lengthen over the years, often with a second look a month later."""
    first = int(generator.integers(75, 180))
    mean = generator.uniform(90.0, 220.0)
    days: list[int] = []
    for day in _until_the_longest(lambda so_far: 21.0 + generator.exponential(mean * (1.0 + so_far / 1000.0))):
        days.append(round(day))
        if generator.random() < 0.2:
            days.append(round(day + generator.uniform(25.0, 45.0)))
    last_contact = int(max(1, min(generator.uniform(300.0, 3000.0), generator.exponential(8.0 * 365.0))))
    return Schedule(
        first_days_since_treatment=first,
        visit_days=_kept(days, last_contact, least_gap=21, most=MOST_VISITS),
        last_contact_day=last_contact,
    )


def _kept(days: list[int], last_contact: int, *, least_gap: int, most: int) -> tuple[int, ...]:
    kept = [0]
    for day in sorted(days):
        if day <= last_contact and day - kept[-1] >= least_gap:
            kept.append(day)
    return tuple(kept[:most])


def draw_schedule(generator: Generator) -> Schedule:
    """Visits with jitter, gaps and extras, and an independent end of follow-up. Knows nothing of fate or surgery."""
    first = int(generator.integers(1, 61))
    administrative = generator.uniform(400.0, LONGEST_DAYS)
    lost = generator.exponential(6.0 * 365.0)
    last_contact = int(max(1, min(administrative, lost)))
    days = {0}
    missing = generator.uniform(0.0, 0.25)
    for planned in _protocol_days(generator):
        if generator.random() >= missing:
            days.add(round(planned + generator.normal(0.0, min(0.08 * planned, 25.0))))
        if generator.random() < 0.10:
            days.add(round(planned + generator.uniform(20.0, 60.0)))
    kept: list[int] = []
    for day in sorted(days):
        if day == 0 or (day <= last_contact and day - kept[-1] >= 14):
            kept.append(day)
    return Schedule(
        first_days_since_treatment=first,
        visit_days=tuple(kept[:MOST_VISITS]),
        last_contact_day=last_contact,
    )


def visits_until(schedule: Schedule, event_day: float | None) -> tuple[int, ...]:
    """Visits up to and with the first one on or after the event; without one, the last contact is that visit."""
    if event_day is None:
        return schedule.visit_days
    before = [day for day in schedule.visit_days if day < event_day]
    after = [day for day in schedule.visit_days if day >= event_day]
    return (*before, after[0] if after else schedule.last_contact_day)
