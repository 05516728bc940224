"""When the child comes for MRI, and how long the clinic hears of the child."""

from __future__ import annotations

from dataclasses import dataclass

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
