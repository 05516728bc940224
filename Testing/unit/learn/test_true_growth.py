"""What counts as growth between two masks: new tumour off the old one, not a border that moved."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.learn.true_growth import true_growth


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    places = np.indices((32, 32, 32)).transpose(1, 2, 3, 0)
    return np.linalg.norm(places - np.array(centre), axis=-1) < radius


def test_a_border_that_moved_by_less_than_a_voxel_is_neither_growth_nor_none() -> None:
    before, moved = ball((15.0, 15.0, 15.0), 9.0), ball((15.3, 15.0, 15.0), 9.2)
    new, border = true_growth(before, moved)
    assert (moved & ~before).sum() > 100
    assert not new.any()
    assert np.array_equal(border, moved & ~before)


def test_a_new_focus_counts_whole_and_an_old_one_from_a_voxel_off() -> None:
    before = ball((8.0, 8.0, 8.0), 5.0)
    after = ball((8.0, 8.0, 8.0), 8.0) | ball((24.0, 24.0, 24.0), 3.0)
    new, border = true_growth(before, after)
    assert new[ball((24.0, 24.0, 24.0), 3.0)].all()
    assert np.array_equal(new | border, after & ~before)
    assert not (new & border).any()
    assert new[8, 8, 15]
    assert border[8, 8, 13]


def test_nothing_new_is_no_growth_at_the_edge_of_the_grid_either() -> None:
    corner = np.zeros((4, 4, 4), dtype=bool)
    corner[0, 0, 0] = True
    new, border = true_growth(np.zeros_like(corner), corner)
    assert new[0, 0, 0]
    assert not border.any()
    new, border = true_growth(corner, corner)
    assert not new.any()
    assert not border.any()


def test_a_map_is_also_judged_by_growth_off_the_borders_alone(make_stored) -> None:
    patient = make_stored(1, visits=3)
    found = patient.growth_off_borders_before_event
    assert found is not None
    beside = ndimage.binary_dilation(patient.lesions[0])
    assert np.array_equal(found, patient.growth_before_event & ~beside)
    assert 0 < found.sum() < patient.growth_before_event.sum()
    lesions = np.stack([patient.lesions[0], beside])
    assert replace(make_stored(1, visits=2), lesions=lesions).growth_off_borders_before_event is None
    assert make_stored(1, grows=False).growth_off_borders_before_event is None
