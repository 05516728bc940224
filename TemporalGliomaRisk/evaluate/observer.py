"""Rules that know the true lesion's size at every visit, but for a reader's error.

The ideal observer ranks by how far a lesion has grown since it was smallest: of what the sizes tell it takes nearly all
(a logistic regression on everything that can be measured of them ranks little better, see ``simulate/PHYSICS.md``). The
growth rule is what a reader does by hand, and the current status looks at the present only: what a model has beyond it
is prediction, not detection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.errors import ShapeError
from TemporalGliomaRisk.evaluate.landmarks import FloatArray
from TemporalGliomaRisk.shapes import check_shape

PLACES = 2
"""Lesions that are measured in every patient, whether they are there or not, so that their number tells nothing."""


@dataclass(frozen=True, kw_only=True)
class ObserverConfig:
    """What the reader knows.

    Args:
        radius_error_mm: Standard deviation of the reader's error in radius, drawn anew at every visit.
        cross_section_growth: Rise of the cross-section over the smallest so far that makes an event.
        least_diameter_mm: And at least this far across.
    """

    radius_error_mm: float = 0.5
    cross_section_growth: float = 0.25
    least_diameter_mm: float = 10.0


def ideal_observer_score(
    diameters_mm: npt.ArrayLike,
    days: npt.ArrayLike,
    generator: np.random.Generator,
    config: ObserverConfig | None = None,
) -> FloatArray:
    """Measured diameter less the smallest measured so far: whatever grows goes on to the event sooner or later.

    Args:
        diameters_mm: (visits,), the true diameter at each visit, 0 where there is no lesion.
        days: (visits,), rising.
        generator: Draws the reader's errors, one a visit, in the order of visits.
        config: What the reader knows.

    Returns:
        (visits,), mm, at least 0; that of visit k uses visits up to k only. It ranks (evaluate with
        ``probabilities=False``) and is no probability; at the first visit it says nothing.

    Raises:
        ShapeError: If lengths differ, a diameter is negative or not finite, or days don't rise.

    Source:
        The rule is ours.
    """
    read = _reading(diameters_mm, days, generator, config or ObserverConfig())
    return read - np.minimum.accumulate(read)


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
    read = _reading(diameters_mm, days, generator, config)
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
    read = _reading(diameters_mm, days, generator, config)
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
    *,
    places: int = PLACES,
) -> FloatArray:
    """A rule's scores by the lesion that looks worst at each visit: an event is judged lesion by lesion.

    Args:
        rule: One of the rules above.
        diameters_mm: (visits,), the true diameter of each lesion by its name; one not named at a visit has 0 mm.
        days: (visits,), rising.
        generator: Draws the reader's errors, lesion by lesion in the order of names.
        places: Lesions measured at least: where there are fewer, places of 0 mm are measured too. Otherwise one
            more error drawn today would give away a lesion that comes later.

    Returns:
        (visits,), the largest score among the lesions and places.
    """
    names = sorted({name for visit in diameters_mm for name in visit})
    lesions = [[visit.get(name, 0.0) for visit in diameters_mm] for name in names]
    lesions += [[0.0] * len(diameters_mm)] * (places - len(lesions))
    scores = [rule(lesion, days, generator) for lesion in lesions]
    worst: FloatArray = np.max(scores, axis=0)
    return worst


def _reading(
    diameters_mm: npt.ArrayLike, days: npt.ArrayLike, generator: np.random.Generator, config: ObserverConfig
) -> FloatArray:
    """Diameters as the reader measures them."""
    true, when = np.asarray(diameters_mm, dtype=np.float64), np.asarray(days, dtype=np.float64)
    check_shape(true, "diameters_mm", ("visits",))
    check_shape(when, "days", (len(true),))
    if not np.isfinite(true).all() or (true < 0).any() or not (np.diff(when) > 0).all():
        raise ShapeError("diameters_mm must be finite and at least 0, and days must rise from visit to visit.")
    read: FloatArray = np.maximum(true + 2 * config.radius_error_mm * generator.standard_normal(len(true)), 0.0)
    return read
