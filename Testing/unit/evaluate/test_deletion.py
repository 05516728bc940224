"""Deletion and insertion curves where the hazard is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from TemporalGliomaRisk.errors import ShapeError
from TemporalGliomaRisk.evaluate.deletion import (
    CURVE_SHARES,
    area_by_decades,
    deletion_curves,
    most_marked_first,
)

PLACES = 10_000
GROWTH = np.zeros(PLACES)
GROWTH[4000:4060] = 1 / 60


def hazard(put_back: np.ndarray) -> float:
    """A background of 0.1 and the growth that is still there."""
    return 0.1 + float(GROWTH[~put_back].sum())


def test_the_growth_itself_deletes_and_inserts_best() -> None:
    noise = np.random.default_rng(1).random(PLACES)
    marks = {"growth": GROWTH, "beside": np.roll(GROWTH, 30), "noise": noise, "away from it": -GROWTH}
    found = {name: deletion_curves(most_marked_first(mark, 1), hazard) for name, mark in marks.items()}
    # 0.6 % of the places grow: all of it is gone at 1 %, half of it at 0.3 %, a sixth at 0.1 %.
    assert found["growth"].deletion == pytest.approx([1, (0.1 + 5 / 6) / 1.1, 0.6 / 1.1, *[0.1 / 1.1] * 5])
    assert found["growth"].insertion == pytest.approx([0.1 / 1.1, (0.1 + 1 / 6) / 1.1, 0.6 / 1.1, *[1.0] * 5])
    for name in ("beside", "noise", "away from it"):
        assert found[name].deletion_area > found["growth"].deletion_area + 0.05
        assert found[name].insertion_area < found["growth"].insertion_area - 0.05
    assert found["away from it"].deletion[:-1] == pytest.approx([1.0] * 7)


def test_a_flat_map_is_a_random_order_which_takes_its_share_of_the_growth() -> None:
    curves = [deletion_curves(most_marked_first(np.ones(PLACES), seed), hazard) for seed in range(100)]
    shares = np.array(CURVE_SHARES)
    assert np.mean([one.deletion for one in curves], axis=0) == pytest.approx(1 - shares / 1.1, abs=0.02)
    assert np.mean([one.insertion for one in curves], axis=0) == pytest.approx((0.1 + shares) / 1.1, abs=0.02)
    # Equal values never fall back on the places' own order, which lies along the brain.
    assert len({tuple(most_marked_first(np.ones(PLACES), seed)[:5]) for seed in range(40)}) == 40
    assert sorted(most_marked_first(GROWTH, 3)[:60]) == list(range(4000, 4060))


def test_where_every_place_counts_alike_any_order_gives_the_straight_line() -> None:
    order = np.random.default_rng(2).permutation(1000)
    found = deletion_curves(order, lambda put_back: float((~put_back).mean()))
    assert found.deletion == pytest.approx([1 - share for share in CURVE_SHARES])
    assert found.insertion == pytest.approx(CURVE_SHARES)


def test_the_area_is_the_mean_height_over_the_logarithm_of_the_share() -> None:
    assert area_by_decades((0.0, 0.01, 0.1, 1.0), (9.0, 1.0, 1.0, 0.0)) == pytest.approx(0.75)
    assert area_by_decades(CURVE_SHARES, (5.0, *[0.3] * 7)) == pytest.approx(0.3)
    with pytest.raises(ShapeError, match="finite heights"):
        area_by_decades((0.0, 1.0), (1.0, 1.0))


def test_ends_that_are_known_are_not_computed_again_and_no_order_changes_them() -> None:
    asked: list[int] = []

    def counted(put_back: np.ndarray) -> float:
        asked.append(int(put_back.sum()))
        return hazard(put_back)

    order = most_marked_first(GROWTH, 1)
    found = deletion_curves(order, counted, ends=(1.1, 0.1))
    assert 0 not in asked
    assert PLACES not in asked
    plain = deletion_curves(order, hazard)
    assert found.deletion == pytest.approx(plain.deletion)
    assert found.insertion == pytest.approx(plain.insertion)


def test_shares_that_do_not_rise_from_nothing_to_all_and_no_hazard_are_refused() -> None:
    with pytest.raises(ShapeError, match="rise from 0 to 1"):
        deletion_curves(np.arange(4), hazard, shares=(0.0, 0.5, 0.2, 1.0))
    with pytest.raises(ShapeError, match="must be above 0 to take shares"):
        deletion_curves(np.arange(4), lambda _: 0.0)
