"""Greys of unlike visits that compare."""

from __future__ import annotations

import numpy as np
import pytest

from TemporalGliomaRisk.scene.windows import comparable_windows, rounded
from TemporalGliomaRisk.timeline.head import TissueLevels, tissue_levels
from TemporalGliomaRisk.timeline.volume import Volume


def levels(gain: float, offset: float = 0.0, high: float = 1000.0) -> TissueLevels:
    return TissueLevels(low=offset, median=gain * 500.0 + offset, high=gain * high + offset)


def test_the_median_of_the_tissue_has_the_same_grey_at_every_visit() -> None:
    visits = [levels(1.0), levels(3.0), None, levels(0.02, offset=-50.0), levels(1.5, high=2400.0)]
    windows = comparable_windows(visits)

    assert windows[2] is None
    for visit, window in zip(visits, windows, strict=True):
        if visit is not None:
            assert (visit.median - window[0]) / (window[1] - window[0]) == pytest.approx(0.5, abs=0.002)


def test_one_visit_keeps_the_window_it_would_choose_by_itself() -> None:
    assert comparable_windows([levels(1.0)]) == [(0.0, 1000.0)]


def test_an_enhancing_vessel_moves_the_brightest_and_not_the_median(phantom) -> None:
    plain = phantom.head(phantom.grid(), np.eye(4))
    voxels = plain.voxels.copy()
    voxels[20:24, 24:28, 18:22] = 2400
    enhancing = Volume(voxels=voxels, geometry=plain.geometry)
    found = [tissue_levels(volume) for volume in (plain, enhancing)]

    assert found[0].median == found[1].median == 400
    assert found[1].high > 1.5 * found[0].high


def test_a_flat_volume_still_has_a_window() -> None:
    (window,) = comparable_windows([TissueLevels(low=0.0, median=0.0, high=1.0)])

    assert window == (0.0, 1.0)


@pytest.mark.parametrize("value", [0.0, 1234567.0, -0.00123456, 999.96, 5.0])
def test_rounding_widens_by_less_than_a_thousandth_and_is_kept_in_six_digits(value) -> None:
    import math  # noqa: PLC0415

    for towards in (math.floor, math.ceil):
        found = rounded(value, towards)
        assert abs(found - value) <= 1e-3 * abs(value)
        assert float(f"{found:.6g}") == found
    assert rounded(value, math.floor) <= value <= rounded(value, math.ceil)
