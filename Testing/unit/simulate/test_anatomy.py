"""Anatomy: no folding, tissue that adds up, sizes of children's brains."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import ndimage

from TemporalGliomaRisk.simulate import anatomy
from TemporalGliomaRisk.simulate.randomness import smooth_field, stream


@pytest.fixture(scope="module")
def brains() -> list[anatomy.Anatomy]:
    return [anatomy.draw_anatomy(stream(5, number, "anatomy"), age) for number, age in ((1, 2.0), (2, 9.0), (3, 17.0))]


def test_the_maps_are_found_without_importing_nilearn() -> None:
    anatomy.load_template()
    assert "nilearn.datasets" not in sys.modules


def test_no_warp_folds(brains: list[anatomy.Anatomy]) -> None:
    assert min(brain.smallest_jacobian for brain in brains) > 0.15


def test_the_jacobian_of_a_linear_map_is_its_determinant() -> None:
    matrix = np.array([[0.10, 0.05, 0.0], [0.0, -0.20, 0.02], [0.03, 0.0, 0.15]])
    places = 4.0 * np.indices((6, 7, 8), dtype=np.float32)
    displacement = np.einsum("ab,bijk->aijk", matrix, places).astype(np.float32)
    expected = np.linalg.det(np.eye(3) + matrix)
    assert anatomy.smallest_jacobian_of(displacement, 4.0) == pytest.approx(expected, rel=1e-3)


def test_a_constant_velocity_becomes_a_constant_shift() -> None:
    velocity = np.broadcast_to(np.float32([3.0, -2.0, 1.0])[:, None, None, None], (3, 20, 20, 20)).copy()
    assert anatomy._exponentiate(velocity, 4.0) == pytest.approx(velocity, rel=1e-5)


def test_a_flow_and_its_reverse_cancel() -> None:
    generator = stream(3, 1, "flow")
    velocity = np.stack([3.0 * smooth_field(generator, (40, 48, 40), 6.0) for _ in range(3)])
    there, back = anatomy._exponentiate(velocity, 4.0), anatomy._exponentiate(-velocity, 4.0)
    places = np.indices((40, 48, 40), dtype=np.float32) + there / 4.0
    returned = there + np.stack([ndimage.map_coordinates(part, places, order=1, mode="nearest") for part in back])
    inner = (slice(None), *[slice(5, -5)] * 3)
    assert np.abs(there[inner]).mean() > 1.0
    assert np.abs(returned[inner]).max() < 0.5


def test_tissues_add_up_to_one(brains: list[anatomy.Anatomy]) -> None:
    for brain in brains:
        total = brain.grey + brain.white + brain.fluid
        assert np.abs(total - 1.0).max() < 1e-3


def test_brains_have_a_plausible_volume_and_hardly_touch_the_grids_edge(brains: list[anatomy.Anatomy]) -> None:
    for brain in brains:
        litres = brain.brain.sum() * 8e-6
        assert 1.2 < litres < 2.0
        inner = brain.brain.copy()
        inner[1:-1, 1:-1, 1:-1] = False
        assert inner.sum() < 0.001 * brain.brain.sum()


def test_heads_reach_four_fifths_of_their_volume_at_two_and_grow_ever_slower() -> None:
    sizes = np.array([anatomy.head_scale(age) for age in (2.0, 5.0, 8.0, 15.0)])
    assert (sizes[0] / sizes[-1]) ** 3 == pytest.approx(0.80, abs=0.04)
    assert (sizes[1] / sizes[-1]) ** 3 == pytest.approx(0.92, abs=0.03)
    assert np.all(np.diff(sizes) > 0)
    assert np.all(np.diff(sizes)[1:] < np.diff(sizes)[:-1])


def test_every_patients_grid_is_oblique_and_two_millimetres_apart() -> None:
    grids = [anatomy.draw_geometry(stream(5, number, "geometry")) for number in range(1, 6)]
    for grid in grids:
        assert grid.spacing_mm == pytest.approx([2.0, 2.0, 2.0])
        assert np.abs(grid.ijk_to_ras[:3, :3] - np.diag(np.diag(grid.ijk_to_ras[:3, :3]))).max() > 0.02
        assert np.linalg.det(grid.ijk_to_ras[:3, :3]) == pytest.approx(8.0)
        assert np.abs(grid.to_ras(anatomy.GRID_CENTRE)).max() <= 25.0
    assert not grids[0].same_as(grids[1])
