"""Rules that know the true lesion's size at every visit, but for a reader's error: the ceiling, and two lesser ones.

The ideal observer carries the measured growth on to the horizon. The growth rule is what a reader does by hand, and the
current status looks at the present only: what a model has beyond it is prediction, not detection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.errors import ShapeError
from TemporalGliomaRisk.evaluate.landmarks import HORIZON_DAYS, FloatArray
from TemporalGliomaRisk.shapes import check_shape

DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, kw_only=True)
class ObserverConfig:
    """What the reader knows.

    Args:
        radius_error_mm: Standard deviation of the reader's error in radius, drawn anew at every visit.
        cross_section_growth: Rise of the cross-section over the smallest so far that makes an event.
        least_diameter_mm: And at least this far across.
        growth_spread_mm_per_year: Spread of growth rates in diameter among patients, around none.
        horizon_days: How far ahead the reader extrapolates.
    """

    radius_error_mm: float = 0.5
    cross_section_growth: float = 0.25
    least_diameter_mm: float = 10.0
    growth_spread_mm_per_year: float = 5.0
    horizon_days: float = HORIZON_DAYS


def ideal_observer_score(
    diameters_mm: npt.ArrayLike,
    days: npt.ArrayLike,
    generator: np.random.Generator,
    config: ObserverConfig | None = None,
) -> FloatArray:
    """Score, at every visit, of how surely growth will pass the threshold within the horizon; higher is surer.

    From the visits so far the reader takes the smallest diameter seen, and a line through the diameters whose slope is
    drawn to none by the spread of growth rates (a normal prior), so one visit gives no slope. The line, but never below
    0 mm, is carried on to the horizon. The score is how far it then exceeds the threshold
    ``max(least diameter, smallest seen x sqrt(1 + growth))``, in standard deviations of the reader's error and the
    slope's remaining uncertainty together. It ranks (evaluate with ``probabilities=False``); it is no probability.

    Args:
        diameters_mm: (visits,), the true diameter at each visit, 0 where there is no lesion.
        days: (visits,), rising.
        generator: Draws the reader's errors, one a visit, in the order of visits.
        config: What the reader knows.

    Returns:
        (visits,), above 0 where an event is expected; that of visit k uses visits up to k only.

    Raises:
        ShapeError: If lengths differ, a diameter is negative or not finite, or days don't rise.

    Source:
        The rule is ours; the threshold is DESIGN's event (after RAPNO).
    """
    config = config or ObserverConfig()
    read, when = _reading(diameters_mm, days, generator, config)
    return np.array([_score(read[:k], when[:k], config) for k in range(1, len(read) + 1)])


def growth_rule_score(
    diameters_mm: npt.ArrayLike,
    days: npt.ArrayLike,
    generator: np.random.Generator,
    config: ObserverConfig | None = None,
) -> FloatArray:
    """Measured cross-section over the smallest measured so far: the growth that a reader sees by hand.

    Every measurement below half of the event's least diameter counts as that half,
    so that the error of measuring next to nothing is not growth.

    Args:
        diameters_mm: (visits,), the true diameter at each visit, 0 where there is no lesion.
        days: (visits,), rising.
        generator: Draws the reader's errors, one a visit, in the order of visits.
        config: What the reader knows.

    Returns:
        (visits,), ratio of cross-sections, at least 1; it ranks and is no probability.

    Raises:
        ShapeError: As :func:`ideal_observer_score`.
    """
    config = config or ObserverConfig()
    read, _ = _reading(diameters_mm, days, generator, config)
    floored = np.maximum(read, config.least_diameter_mm / 2)
    score: FloatArray = np.square(floored / np.minimum.accumulate(floored))
    return score


def current_status_score(
    diameters_mm: npt.ArrayLike,
    days: npt.ArrayLike,
    generator: np.random.Generator,
    config: ObserverConfig | None = None,
) -> FloatArray:
    """How near the measured diameter is to the event's threshold at this visit, without looking ahead.

    Args:
        diameters_mm: (visits,), the true diameter at each visit, 0 where there is no lesion.
        days: (visits,), rising.
        generator: Draws the reader's errors, one a visit, in the order of visits.
        config: What the reader knows.

    Returns:
        (visits,), measured diameter over the threshold ``max(least diameter, smallest so far x sqrt(1 + growth))``,
        at least 0; it ranks and is no probability.

    Raises:
        ShapeError: As :func:`ideal_observer_score`.
    """
    config = config or ObserverConfig()
    read, _ = _reading(diameters_mm, days, generator, config)
    smallest = np.minimum.accumulate(read)
    score: FloatArray = read / np.maximum(
        config.least_diameter_mm, smallest * math.sqrt(1 + config.cross_section_growth)
    )
    return score


Rule = Callable[[npt.ArrayLike, npt.ArrayLike, np.random.Generator], FloatArray]


def by_worst_lesion(
    rule: Rule,
    diameters_mm: Sequence[Mapping[str, float]],
    days: npt.ArrayLike,
    generator: np.random.Generator,
) -> FloatArray:
    """A rule's scores by the lesion that looks worst at each visit: an event is judged lesion by lesion.

    Args:
        rule: One of the rules above.
        diameters_mm: (visits,), the true diameter of each lesion by its name; one not named at a visit has 0 mm.
        days: (visits,), rising.
        generator: Draws the reader's errors, lesion by lesion in the order of names.

    Returns:
        (visits,), the largest score among the lesions; of a patient without any, that of 0 mm throughout.
    """
    names = sorted({name for visit in diameters_mm for name in visit}) or [""]
    scores = [rule([visit.get(name, 0.0) for visit in diameters_mm], days, generator) for name in names]
    worst: FloatArray = np.max(scores, axis=0)
    return worst


def _reading(
    diameters_mm: npt.ArrayLike, days: npt.ArrayLike, generator: np.random.Generator, config: ObserverConfig
) -> tuple[FloatArray, FloatArray]:
    """Diameters as the reader measures them, and the days."""
    true, when = np.asarray(diameters_mm, dtype=np.float64), np.asarray(days, dtype=np.float64)
    check_shape(true, "diameters_mm", ("visits",))
    check_shape(when, "days", (len(true),))
    if not np.isfinite(true).all() or (true < 0).any() or not (np.diff(when) > 0).all():
        raise ShapeError("diameters_mm must be finite and at least 0, and days must rise from visit to visit.")
    read = np.maximum(true + 2 * config.radius_error_mm * generator.standard_normal(len(true)), 0.0)
    return read, when


def _score(read: FloatArray, when: FloatArray, config: ObserverConfig) -> float:
    threshold = max(config.least_diameter_mm, float(read.min()) * math.sqrt(1 + config.cross_section_growth))
    error = max(2 * config.radius_error_mm, 1e-6)
    spread = config.growth_spread_mm_per_year / DAYS_PER_YEAR
    centred = when - when.mean()
    information = float((centred**2).sum()) / error**2 + 1 / spread**2
    slope = float((centred * read).sum()) / error**2 / information
    ahead = float(when[-1] - when.mean()) + config.horizon_days
    expected = max(float(read.mean()) + slope * ahead, 0.0)
    uncertainty = math.sqrt(error**2 / len(read) + ahead**2 / information)
    return (expected - threshold) / uncertainty
