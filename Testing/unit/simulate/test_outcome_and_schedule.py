"""Fate and visits: laws, and their independence."""

from __future__ import annotations

import numpy as np
import pytest

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.outcome import draw_event_day
from TemporalGliomaRisk.simulate.randomness import stream
from TemporalGliomaRisk.simulate.schedule import draw_schedule, visits_until
from TemporalGliomaRisk.simulate.surgery import EXTENT_HAZARD_RATIOS, Extent

EXTENTS: tuple[Extent, ...] = ("gross_total", "near_total", "subtotal", "biopsy")


def event_days(config: SimulationConfig, extent: Extent, count: int = 2500) -> np.ndarray:
    generator = np.random.Generator(np.random.SFC64(7))
    days = [draw_event_day(generator, config, extent) for _ in range(count)]
    return np.array([np.inf if day is None else day for day in days])


def test_fate_is_the_same_draw_whatever_the_extent_of_resection() -> None:
    config = SimulationConfig()
    first = event_days(config, "gross_total", 300)
    for extent in EXTENTS[1:]:
        assert np.array_equal(event_days(config, extent, 300), first)


def test_the_share_and_the_median_of_events_are_the_configured_ones() -> None:
    days = event_days(SimulationConfig(), "subtotal")
    finite = days[np.isfinite(days)]
    assert len(finite) / len(days) == pytest.approx(0.45, abs=3 * np.sqrt(0.45 * 0.55 / len(days)))
    assert np.median(finite) == pytest.approx(600.0, rel=0.08)
    assert finite.min() > 59.9


@pytest.mark.parametrize("extent", EXTENTS[1:])
def test_with_hazard_ratios_survival_is_the_gross_total_survival_to_their_power(extent: Extent) -> None:
    config = SimulationConfig(extent_hazard_ratios=True)
    base, raised = event_days(config, "gross_total"), event_days(config, extent)
    for day in (200.0, 500.0, 1200.0, 2900.0):
        survival, expected = (raised > day).mean(), (base > day).mean() ** EXTENT_HAZARD_RATIOS[extent]
        assert survival == pytest.approx(expected, abs=0.06)


def test_nobody_recurs_in_a_cohort_without_recurrence() -> None:
    assert np.isinf(event_days(SimulationConfig(recurrent_fraction=0.0), "biopsy", 200)).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"recurrent_fraction": 1.2}, r"recurrent_fraction must lie in 0 to 1, got 1\.2"),
        ({"median_event_days": 0.0}, r"median_event_days must be above 0"),
        ({"sequences": ("DWI",)}, r"sequences must be some of FLAIR.*got DWI"),
        ({"sequences": ()}, r"got none"),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SimulationConfig(**wrong)  # type: ignore[arg-type]


def test_visits_are_rising_apart_and_end_with_the_last_contact() -> None:
    for number in range(1, 400):
        schedule = draw_schedule(stream(2, number, "schedule"))
        days = np.array(schedule.visit_days)
        assert days[0] == 0
        assert 1 <= schedule.first_days_since_treatment <= 60
        assert len(days) <= 12
        assert np.all(np.diff(days) >= 14)
        assert days[-1] <= max(schedule.last_contact_day, 0)


def test_schedules_look_like_practice() -> None:
    schedules = [draw_schedule(stream(2, number, "schedule")) for number in range(1, 800)]
    counts = np.array([len(schedule.visit_days) for schedule in schedules])
    gaps = np.concatenate([np.diff(schedule.visit_days) for schedule in schedules])
    assert 5 <= np.median(counts) <= 8
    assert {1, 2, 12} <= set(counts.tolist())
    low, high = np.quantile(gaps, [0.15, 0.85])
    assert 40 < low < 90
    assert 180 < high < 330


def test_visits_end_with_the_first_one_on_or_after_the_event() -> None:
    schedule = next(
        found
        for found in (draw_schedule(stream(2, number, "schedule")) for number in range(1, 99))
        if len(found.visit_days) >= 5
    )
    days = schedule.visit_days
    assert visits_until(schedule, None) == days
    assert visits_until(schedule, float(days[2])) == days[:3]
    assert visits_until(schedule, days[2] + 0.5) == days[:4]
    assert visits_until(schedule, days[-1] + 0.5) == (*days, schedule.last_contact_day)


def test_streams_differ_by_purpose_patient_and_seed_and_repeat() -> None:
    draws = [
        stream(*key).random()
        for key in ((1, 1, "a"), (1, 1, "b"), (1, 2, "a"), (2, 1, "a"), (1, 1, "a", 1), (1, 1, "a"))
    ]
    assert draws[0] == draws[-1]
    assert len(set(draws)) == 5
