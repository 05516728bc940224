"""Does the hazard go when the places go that a map marks, and come back with them?

In the form that fits a model of change: a place is put back by giving it the intensities of an earlier visit. Deletion
puts the places back, those that the map marks most first; insertion begins with every place put back and gives the
visit's own intensities again in the same order. Curves are the hazard as a share of the visit's own.

Source:
    Petsiuk V, Das A, Saenko K. RISE: randomized input sampling for explanation of black-box models. BMVC 2018.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.errors import ShapeError
from TemporalGliomaRisk.evaluate.landmarks import BoolArray, FloatArray, IntArray
from TemporalGliomaRisk.shapes import check_shape

CURVE_SHARES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Shares of the brain's places; growth before an event fills some 0.01 to 1 % of them."""

HazardOf = Callable[[BoolArray], float]
"""The hazard with some places put back: (places,) True where put back."""


@dataclass(frozen=True, kw_only=True)
class DeletionCurves:
    """Hazard over that of the visit as it is.

    Args:
        shares: Shares of the places, from 0 to 1.
        deletion: With that share put back, most marked first.
        insertion: With all put back but that share.
    """

    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]

    @property
    def deletion_area(self) -> float:
        """Mean height of the deletion curve; low where the map finds what the hazard comes from."""
        return area_by_decades(self.shares, self.deletion)

    @property
    def insertion_area(self) -> float:
        """Mean height of the insertion curve; high where the map finds what the hazard comes from."""
        return area_by_decades(self.shares, self.insertion)


def most_marked_first(values: npt.ArrayLike, seed: int | list[int]) -> IntArray:
    """Indices of places by falling value; equal values in random order, so that a flat map is a random one.

    Args:
        values: (places,), what a map gives each place.
        seed: Of the order among equals.
    """
    given = np.asarray(values, dtype=np.float64)
    check_shape(given, "values", ("places",))
    shuffled = np.random.default_rng(seed).permutation(len(given))
    return np.asarray(shuffled[np.argsort(-given[shuffled], kind="stable")])


def deletion_curves(
    order: IntArray,
    hazard_of: HazardOf,
    shares: tuple[float, ...] = CURVE_SHARES,
    ends: tuple[float, float] | None = None,
) -> DeletionCurves:
    """Deletion and insertion curves of one order of the places.

    Args:
        order: (places,), each index once, from :func:`most_marked_first`.
        hazard_of: Hazard with some places put back.
        shares: Rising, from 0 to 1.
        ends: The hazard as it is and with every place put back, where they are known: they depend on no order.

    Raises:
        ShapeError: If the shares do not rise from 0 to 1, or the visit's own hazard is not above 0.
    """
    places = len(order)
    if shares[0] != 0 or shares[-1] != 1 or any(high <= low for low, high in itertools.pairwise(shares)):
        raise ShapeError(f"shares must rise from 0 to 1, got {shares}.")
    put_back = np.zeros((2, places), dtype=np.bool_)
    put_back[1] = True
    own, earlier = ends or (hazard_of(put_back[0]), hazard_of(put_back[1]))
    if not own > 0:
        raise ShapeError(f"The visit's own hazard must be above 0 to take shares of it, got {own}.")
    deletion, insertion = [1.0], [earlier / own]
    for share in shares[1:-1]:
        chosen = np.zeros(places, dtype=np.bool_)
        chosen[order[: max(1, round(share * places))]] = True
        deletion.append(hazard_of(chosen) / own)
        insertion.append(hazard_of(~chosen) / own)
    return DeletionCurves(shares=shares, deletion=(*deletion, earlier / own), insertion=(*insertion, 1.0))


def area_by_decades(shares: tuple[float, ...], heights: tuple[float, ...]) -> float:
    """Mean height of a curve over the logarithm of the share, from the first share above 0 to the last.

    By trapezoids. On a plain axis nine tenths of the area would lie beyond a tenth of the brain, where any order has
    long taken in the growth; by the logarithm every decade counts alike. A share of 0 has no logarithm: left out.
    """
    x: FloatArray = np.log10([share for share in shares if share > 0])
    y = np.asarray(heights, dtype=np.float64)[-len(x) :]
    if len(x) < 2 or not math.isfinite(float(y.sum())):
        raise ShapeError("A curve needs finite heights at two shares above 0 or more.")
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / (x[-1] - x[0]))
