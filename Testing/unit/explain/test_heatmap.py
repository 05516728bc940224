from __future__ import annotations

import numpy as np
import pytest

from TemporalGliomaRisk.explain.heatmap import hazard_map, to_visit_grid
from TemporalGliomaRisk.explain.peaks import find_peaks
from TemporalGliomaRisk.timeline.resampling import coarsened
from TemporalGliomaRisk.timeline.volume import Geometry, Volume


def rigid(angles_degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    a, b, c = np.deg2rad(angles_degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_y @ about_x
    matrix[:3, 3] = shift
    return matrix


def grid(shape, spacing, origin, turn=None) -> Geometry:
    matrix = (np.eye(4) if turn is None else turn) @ np.diag([*spacing, 1.0])
    matrix[:3, 3] = origin
    return Geometry(shape=shape, ijk_to_ras=matrix)


CELLS = grid((20, 24, 18), (4.0, 4.0, 4.0), (-40.0, -50.0, -30.0))
OBLIQUE = rigid((12.0, -8.0, 20.0), (3.0, -4.0, 6.0))
VISITS = {
    "fine": (grid((90, 110, 80), (1.0, 1.0, 1.0), (-45.0, -55.0, -35.0)), np.eye(4)),
    "thick slices": (grid((100, 120, 16), (0.9, 0.9, 5.5), (-46.0, -56.0, -36.0)), np.eye(4)),
    "oblique and moved": (grid((120, 140, 40), (1.0, 1.0, 3.0), (-60.0, -60.0, -60.0), OBLIQUE), OBLIQUE),
    "left-handed": (grid((90, 110, 80), (-1.0, 1.0, 1.0), (45.0, -55.0, -35.0)), np.eye(4)),
}


@pytest.fixture
def density() -> Volume:
    voxels = np.zeros(CELLS.shape)
    voxels[2:18, 2:22, 2:16] = np.random.default_rng(0).gamma(0.1, 1e-3, (16, 20, 14))
    voxels[9, 15, 8] = 2.0
    return Volume(voxels=voxels, geometry=CELLS)


def integral(volume: Volume) -> float:
    return float(volume.voxels.sum(dtype=np.float64)) * volume.geometry.voxel_mL


def test_cells_tile_the_model_grid():
    model = grid((40, 48, 36), (2.0, 2.0, 2.0), (-41.0, -51.0, -31.0), OBLIQUE)
    cells = coarsened(model, 2)
    voxels = np.array([[6, 10, 4], [7, 11, 5]])
    np.testing.assert_allclose(cells.to_ras([3, 5, 2]), model.to_ras(voxels).mean(axis=0), atol=1e-9)
    assert cells.voxel_mL * np.prod(cells.shape) == pytest.approx(model.voxel_mL * np.prod(model.shape))


def test_terms_become_a_density_whose_integral_is_their_sum():
    cells = np.random.default_rng(1).random(CELLS.shape) < 0.3
    terms = np.random.default_rng(2).random(int(cells.sum()))
    assert integral(hazard_map(terms, cells, CELLS)) == pytest.approx(terms.sum(), rel=1e-12)


@pytest.mark.parametrize("name", VISITS)
def test_a_map_keeps_its_integral_on_every_grid(density, name):
    visit, move = VISITS[name]
    drawn = to_visit_grid(density, visit, np.linalg.inv(move) if name.startswith("oblique") else move)
    assert drawn.outside_hazard + integral(drawn.volume) == pytest.approx(integral(density), rel=1e-5)
    assert drawn.volume.geometry.same_as(visit)


@pytest.mark.parametrize("name", VISITS)
def test_a_peak_comes_back_at_its_place_within_a_voxel(density, name):
    visit, move = VISITS[name]
    to_frame = np.linalg.inv(move) if name.startswith("oblique") else move
    drawn = to_visit_grid(density, visit, to_frame)
    highest = np.unravel_index(np.argmax(drawn.volume.voxels), visit.shape)
    expected = (np.linalg.inv(to_frame) @ np.append(CELLS.to_ras([9, 15, 8]), 1.0))[:3]
    assert np.abs(np.array(highest) - visit.to_ijk(expected)).max() <= 1.0


@pytest.mark.parametrize(("slices", "thick_mm"), [(30, 1.0), (6, 5.0)])
def test_what_lies_outside_the_field_of_view_is_reported(density, slices, thick_mm):
    # The last thick slice ends between two layers of cells, of which the lower one's centre is beyond its own.
    visit = grid((90, 110, slices), (1.0, 1.0, thick_mm), (-45.0, -55.0, -37.0 + thick_mm))
    drawn = to_visit_grid(density, visit, np.eye(4))
    above = CELLS.to_ras(np.argwhere(density.voxels > 0))[:, 2] > visit.to_ras([0, 0, slices - 0.5])[2]
    hazards = density.voxels[density.voxels > 0] * CELLS.voxel_mL
    assert drawn.outside_hazard == pytest.approx(hazards[above].sum(), rel=1e-9)
    assert integral(drawn.volume) == pytest.approx(hazards[~above].sum(), rel=1e-5)


def test_the_foremost_peak_is_the_planted_one_with_its_share(density):
    background = 0.05
    first = find_peaks(density, background)[0]
    np.testing.assert_allclose(first.ras_mm, CELLS.to_ras([9, 15, 8]), atol=0.1)
    planted = 2.0 * CELLS.voxel_mL
    assert first.hazard >= planted
    assert first.share == pytest.approx(first.hazard / (integral(density) + background))


def test_two_foci_are_two_peaks_each_with_its_own_hazard_per_ml_centre_and_share():
    voxels = np.zeros(CELLS.shape)
    voxels[5, 5, 5], voxels[6, 5, 5], voxels[14, 18, 10] = 2.0, 1.0, 0.5
    first, second = find_peaks(Volume(voxels=voxels, geometry=CELLS), background_hazard=0.5 * CELLS.voxel_mL)
    np.testing.assert_allclose(first.ras_mm, CELLS.to_ras([5 + 1 / 3, 5, 5]), atol=1e-9)
    np.testing.assert_allclose(second.ras_mm, CELLS.to_ras([14, 18, 10]), atol=1e-9)
    assert (first.hazard_per_mL, second.hazard_per_mL) == (pytest.approx(2.0), pytest.approx(0.5))
    assert (first.hazard, second.hazard) == (pytest.approx(3 * CELLS.voxel_mL), pytest.approx(0.5 * CELLS.voxel_mL))
    assert (first.share, second.share) == (pytest.approx(3 / 4), pytest.approx(1 / 8))


def test_a_flat_map_has_no_peak():
    flat = Volume(voxels=np.full(CELLS.shape, 1e-4), geometry=CELLS)
    assert find_peaks(flat, 0.1) == ()
