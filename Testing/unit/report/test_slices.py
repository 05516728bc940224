"""Planes through oblique volumes: right sides, true proportions, nothing painted where nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from TemporalGliomaRisk.colours import heat_colours, ink_on, risk_colour
from TemporalGliomaRisk.report.colours import grey_pixels, with_change, with_heat
from TemporalGliomaRisk.report.slices import (
    Plane,
    picture_centre,
    picture_size_mm,
    pixel_of,
    sample_plane,
)
from TemporalGliomaRisk.timeline.head import head_box
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

ORIENTATIONS = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1.0, 1.0]),
    "sagittal slices": np.array([[0, 0, -1.0], [1.0, 0, 0], [0, 1.0, 0]]),
    "oblique": Rotation.from_euler("xyz", (17, -23, 31), degrees=True).as_matrix(),
    "oblique, turned over": np.diag([-1.0, 1.0, -1.0])
    @ Rotation.from_euler("xyz", (-9, 28, -14), degrees=True).as_matrix(),
}


def grid(directions: np.ndarray, spacing_mm: tuple[float, float, float] = (1.0, 1.4, 3.0)) -> Geometry:
    """A grid of about 130 mm to each side, centred on RAS (5, -7, 11)."""
    shape = tuple(round(130 / spacing) for spacing in spacing_mm)
    matrix = np.eye(4)
    matrix[:3, :3] = directions * spacing_mm
    matrix[:3, 3] = np.array((5.0, -7.0, 11.0)) - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(shape=shape, ijk_to_ras=matrix)  # type: ignore[arg-type]


def bright_at(geometry: Geometry, ras: tuple[float, float, float], radius_mm: float) -> Volume:
    ijk = np.stack(np.meshgrid(*[np.arange(length) for length in geometry.shape], indexing="ij"), axis=-1)
    distance = np.linalg.norm(geometry.to_ras(ijk) - ras, axis=-1)
    return Volume(voxels=np.clip(radius_mm + 0.5 - distance, 0, 1).astype(np.float32), geometry=geometry)


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize(
    ("plane", "row", "column"),
    # The ball lies at R 20, A 12, S 8 mm of the picture's centre; a pixel is 1 mm, the centre pixel (60, 60).
    [("axial", 60 - 12, 60 - 20), ("coronal", 60 - 8, 60 - 20), ("sagittal", 60 - 8, 60 - 12)],
)
def test_a_ball_on_the_patients_right_front_top_is_left_and_up_in_the_picture(
    name: str, plane: Plane, row: int, column: int
) -> None:
    centre = np.array((5.0, -7.0, 11.0))
    place = centre + np.array((20, 12, 8))
    volume = bright_at(grid(ORIENTATIONS[name]), tuple(place), radius_mm=8)
    normal = {"axial": (0, 0, 8), "coronal": (0, 12, 0), "sagittal": (20, 0, 0)}[plane]
    picture = np.nan_to_num(sample_plane(volume, centre + normal, plane, size_mm=(121, 121), pixel_mm=1.0))
    weight = picture / picture.sum()
    found = (weight.sum(axis=1) @ np.arange(121), weight.sum(axis=0) @ np.arange(121))
    assert found == pytest.approx((row, column), abs=0.35)
    assert pixel_of(place, centre + normal, plane, (121, 121), 1.0) == pytest.approx((row, column))


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_ball_stays_round_on_thick_slices_of_any_orientation(name: str, plane: Plane) -> None:
    centre = np.array((5.0, -7.0, 11.0))
    volume = bright_at(grid(ORIENTATIONS[name], (0.8, 0.8, 4.0)), tuple(centre), radius_mm=25)
    picture = np.nan_to_num(sample_plane(volume, centre, plane, size_mm=(101, 101), pixel_mm=1.0)) > 0.5
    height, width = np.ptp(np.argwhere(picture), axis=0) + 1
    assert (height, width) == (pytest.approx(50, abs=4.0), pytest.approx(50, abs=4.0))
    assert picture.sum() == pytest.approx(np.pi * 25**2, rel=0.06)


def test_what_lies_outside_the_field_of_view_is_nan_and_the_last_voxel_keeps_its_half() -> None:
    geometry = Geometry(shape=(10, 10, 1), ijk_to_ras=np.diag([1.0, 1.0, 6.0, 1.0]))
    volume = Volume(voxels=np.ones((10, 10, 1)), geometry=geometry)
    inside = sample_plane(volume, np.array((4.5, 4.5, 2.9)), "axial", size_mm=(20, 20), pixel_mm=1.0)
    assert np.isfinite(inside).sum() == 100
    assert np.isnan(sample_plane(volume, np.array((4.5, 4.5, 3.1)), "axial", size_mm=(20, 20), pixel_mm=1.0)).all()


def test_the_head_box_encloses_an_oblique_head_and_pictures_go_through_the_place_asked_for() -> None:
    volume = bright_at(grid(ORIENTATIONS["oblique"], (1, 1, 2)), (10.0, -3.0, 11.0), radius_mm=40)
    box = head_box(volume)
    assert box.centre_ras == pytest.approx((10, -3, 11), abs=1.5)
    assert box.size_mm == pytest.approx((98, 98, 98), abs=6)
    assert picture_centre(box, np.array((1.0, 2.0, 3.0)), "coronal")[1] == 2.0
    assert picture_size_mm(np.array((1.0, 2.0, 3.0)), "sagittal") == (2.0, 3.0)


def test_without_a_heatmap_the_picture_is_grey_and_with_one_only_its_place_is_coloured() -> None:
    grey = np.arange(100, dtype=np.uint8).reshape(10, 10)
    heat = np.zeros((10, 10), np.float32)
    heat[3, 4] = 0.02
    for picture in (with_heat(grey, None, 0.02), with_change(grey, None, 0.02)):
        assert (picture == grey[..., None]).all()
    picture = with_heat(grey, heat, 0.02)
    coloured = np.ptp(picture.astype(int), axis=2) > 0
    assert coloured[3, 4]
    assert coloured.sum() == 1


def test_change_is_orange_for_more_blue_for_less_and_nothing_for_none() -> None:
    change = np.array([[-0.02, 0.0, 0.02, np.nan]], np.float32)
    less, none, more, outside = with_change(np.full((1, 4), 90, np.uint8), change, 0.02)[0].astype(int)
    assert less[2] - less[0] > 100
    assert more[0] - more[2] > 100
    assert (none == 90).all()
    assert (outside == 90).all()


def test_scales_rise_in_lightness_so_they_read_without_colour() -> None:
    lightness = heat_colours(np.linspace(0, 1, 20)) @ np.array((0.2126, 0.7152, 0.0722))
    assert (np.diff(lightness) > 0).all()
    risks = [risk_colour(risk) for risk in np.linspace(0, 1, 20)]
    channels = np.array([[int(colour[start : start + 2], 16) for start in (1, 3, 5)] for colour in risks])
    assert (np.diff(channels @ np.array((0.2126, 0.7152, 0.0722))) > 0).all()


def test_heatmaps_wear_inferno_where_it_stands_out_from_black() -> None:
    import matplotlib  # noqa: PLC0415

    fractions = np.linspace(0, 1, 501)
    wanted = 255 * np.asarray(matplotlib.colormaps["inferno"](0.3 + 0.68 * fractions))[:, :3]
    assert np.abs(heat_colours(fractions) - wanted).max() <= 5


def test_ink_on_every_risk_has_the_contrast_that_text_needs() -> None:
    def luminance(colour: str) -> float:
        part = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
        return float(
            np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
        )

    for risk in np.linspace(0, 1, 41):
        pair = sorted((luminance(risk_colour(risk)), luminance(ink_on(risk_colour(risk)))))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5


def test_grey_goes_from_black_to_white_within_its_window_and_is_black_outside_the_field_of_view() -> None:
    values = np.array([[-5.0, 10.0, 60.0, 110.0, 500.0, np.nan]], np.float32)
    assert grey_pixels(values, (10.0, 110.0)).tolist() == [[0, 0, 128, 255, 255, 0]]
