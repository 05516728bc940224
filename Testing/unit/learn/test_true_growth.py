"""What counts as growth between two masks: new tumour off the old one, not a border that moved."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.learn.true_growth import borders_grew, true_growth


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


def test_diameters_tell_whether_borders_grew_and_a_new_focus_has_none() -> None:
    assert borders_grew({"residual": 20.0}, {"residual": 21.0}) is True
    assert borders_grew({"residual": 20.0}, {"residual": 20.4, "margin": 6.0}) is False
    assert borders_grew({"residual": 20.0}, {"residual": 20.7}) is None
    assert borders_grew({"residual": 20.0, "margin": 4.0}, {"residual": 20.0, "margin": 6.0}) is None
    assert borders_grew({"residual": 20.0, "margin": 4.0}, {"residual": 22.0}) is None
    assert borders_grew({"residual": 20.0}, {"residual": 12.0}) is False
    assert borders_grew({"margin": 0.0}, {"margin": 9.0}) is False


def test_a_border_is_growth_or_none_where_diameters_decide(make_stored) -> None:
    patient = make_stored(1, visits=2)
    plain = true_growth(patient.lesions[0], patient.lesions[1])
    assert plain[1].any()

    def by_diameters(before: float, after: float):
        visits = [{"lesion_diameters_mm": {"residual": diameter}} for diameter in (before, after)]
        return replace(patient, truth={"visits": visits}).growth_between(0, 1)

    for found, wanted in zip(by_diameters(10.0, 10.7), plain, strict=True):
        assert np.array_equal(found, wanted)
    grown, unknown = by_diameters(10.0, 14.0)
    assert np.array_equal(grown, plain[0] | plain[1])
    assert not unknown.any()
    grown, unknown = by_diameters(10.0, 10.1)
    assert np.array_equal(grown, plain[0])
    assert not unknown.any()
    assert replace(patient, lesions=None).growth_between(0, 1) is None
