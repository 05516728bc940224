"""What the slice views show, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TemporalGliomaRisk.colours import LESS, MORE, heat_colours
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.settings import MapKind
from TemporalGliomaRisk.scene.slices import nodes_of_class

PIXEL_MM = 200 / 220


@pytest.fixture
def patient(scene, phantom, three_visits, three_results) -> PatientScene:
    """The three visits, 3D off, looking at the hot place."""
    made = PatientScene.build(scene, phantom.timeline(three_visits), three_results)
    made.apply(replace(made.display, volume_rendering="off", opacity=1.0))
    made.go_to(phantom.HOT)
    return made


def mm_of(mask: np.ndarray) -> tuple[float, float]:
    """Centre of a mask in mm from the middle of the picture: to its right, and up."""
    rows, columns = np.nonzero(mask)
    return (columns.mean() - 109.5) * PIXEL_MM, (109.5 - rows.mean()) * PIXEL_MM


def test_without_a_map_every_pixel_is_grey(patient, scene, phantom) -> None:
    patient.apply(replace(patient.display, map_kind=None))
    for number in (1, 2, 3):
        patient.selected_visit = number
        for pixels in phantom.pictures(scene).values():
            assert not phantom.coloured(pixels).any()
            assert pixels.max() > 100


@pytest.mark.parametrize("number", [1, 3])
def test_colour_lies_only_where_the_map_exceeds_the_threshold(patient, scene, phantom, number) -> None:
    patient.selected_visit = number
    patient.apply(replace(patient.display, threshold=0.1))
    height = {1: 0.2, 3: 1.0}[number]
    radius = 8.0 * np.sqrt(2 * np.log(height / 0.1))
    right, front, up = phantom.HOT
    middle = {"Axial": (-right, front), "Coronal": (-right, up), "Sagittal": (-front, up)}
    for orientation, pixels in phantom.pictures(scene).items():
        mask = phantom.coloured(pixels)
        assert mm_of(mask) == pytest.approx(middle[orientation], abs=1.0)
        assert np.sqrt(mask.sum() * PIXEL_MM**2 / np.pi) == pytest.approx(radius, abs=1.2)


def test_a_visit_without_a_map_shows_no_colour_between_visits_with_one(patient, scene, phantom) -> None:
    shown = []
    for number in (1, 2, 3, 2, 1):
        patient.selected_visit = number
        shown.append(sum(int(phantom.coloured(pixels).sum()) for pixels in phantom.pictures(scene).values()))

    assert shown[1] == shown[3] == 0
    assert shown[0] == shown[4] > 0
    assert shown[2] > shown[0]


def test_a_visit_without_the_sequence_is_black(patient, scene, phantom) -> None:
    patient.apply(replace(patient.display, sequence="T1w", map_kind=None))
    for number, bright in ((1, True), (2, False), (3, True)):
        patient.selected_visit = number
        assert all((pixels.max() > 0) == bright for pixels in phantom.pictures(scene).values())


def test_the_patients_right_is_on_the_left_of_the_picture_at_every_oblique_and_moved_visit(
    patient, scene, phantom
) -> None:
    patient.apply(replace(patient.display, map_kind=None))
    for number in (1, 2, 3):
        patient.selected_visit = number
        patient.go_to((35.0, 0.0, 0.0))
        shown = phantom.pictures(scene)
        for orientation in ("Axial", "Coronal"):
            # The bright block lies 35 mm to the right of the middle, whatever way the visit's grid runs.
            across, along = mm_of(shown[orientation].max(axis=-1) > 230)
            assert across == pytest.approx(-35.0, abs=1.5)
            assert along == pytest.approx(0.0, abs=1.5)


def test_visits_of_unlike_gain_look_alike(patient, scene, phantom) -> None:
    patient.apply(replace(patient.display, map_kind=None))
    greys = []
    for number in (1, 2, 3):
        patient.selected_visit = number
        patient.go_to((-20.0, 0.0, 0.0))
        greys.append(int(phantom.pictures(scene)["Axial"][110, 132, 0]))

    assert max(greys) - min(greys) <= 2


def test_the_hottest_place_wears_the_top_of_the_scale_and_a_paler_visit_its_part(patient, scene, phantom) -> None:
    colours = {}
    for number in (1, 3):
        patient.selected_visit = number
        pixels = phantom.pictures(scene)["Axial"]
        row, column = round(109.5 - 20 / PIXEL_MM), round(109.5 - 30 / PIXEL_MM)
        colours[number] = pixels[row, column]

    assert np.abs(colours[3] - heat_colours(1.0)).max() < 40
    assert np.abs(colours[1] - heat_colours(0.2)).max() < 25


def test_half_opacity_lies_halfway_between_grey_and_colour(patient, scene, phantom) -> None:
    patient.selected_visit = 3
    row, column = round(109.5 - 20 / PIXEL_MM), round(109.5 - 30 / PIXEL_MM)
    seen = []
    for opacity in (0.0, 0.5, 1.0):
        patient.apply(replace(patient.display, opacity=opacity))
        seen.append(phantom.pictures(scene)["Axial"][row, column])

    assert np.abs(seen[1] - (seen[0] + seen[2]) / 2).max() <= 1


def test_a_change_is_orange_where_risk_rose_blue_where_it_fell_and_nothing_around_zero(
    scene, phantom, tmp_path
) -> None:
    visits = [phantom.Visit(0, height=0.1), phantom.Visit(90, height=0.2), phantom.Visit(180, height=0.04)]
    patient = PatientScene.build(scene, phantom.timeline(visits), phantom.result(tmp_path / "result", visits))
    patient.go_to(phantom.HOT)
    patient.apply(replace(patient.display, map_kind=MapKind.CHANGE, opacity=1.0, volume_rendering="off"))
    row, column = round(109.5 - 20 / PIXEL_MM), round(109.5 - 30 / PIXEL_MM)
    shown = {}
    for number in (1, 2, 3):
        patient.selected_visit = number
        shown[number] = phantom.pictures(scene)["Axial"]

    assert not phantom.coloured(shown[1]).any()
    assert np.abs(shown[2][row, column] - MORE).max() < 12
    assert np.abs(shown[3][row, column] - LESS).max() < 12
    areas = []
    for threshold in (0.1, 0.3, 0.6):
        patient.apply(replace(patient.display, threshold=threshold))
        areas.append(int(phantom.coloured(phantom.pictures(scene)["Axial"]).sum()))
        radius = 8.0 * np.sqrt(2 * np.log(1.0 / threshold))
        assert np.sqrt(areas[-1] * PIXEL_MM**2 / np.pi) == pytest.approx(radius, abs=1.5)
    assert areas[0] > areas[1] > areas[2] > 0


def test_a_comparison_shows_both_visits_and_their_difference_and_gives_the_views_back(patient, scene, phantom) -> None:
    nodes = nodes_of_class(scene, "vtkMRMLSliceNode")
    count = scene.GetNumberOfNodes()
    for node in nodes:
        node.SetOrientation("Axial")
    patient.go_to(phantom.HOT)
    comparison = patient.compare(1, 3)
    comparison.show(first=nodes[:1], second=nodes[1:2], difference=nodes[2:])
    patient.selected_visit = 2
    seen = list(all_pictures(scene, phantom))
    areas = [int(phantom.coloured(pixels).sum()) for pixels in seen]
    row, column = round(109.5 - 20 / PIXEL_MM), round(109.5 - 30 / PIXEL_MM)

    assert areas[1] > areas[0] > 0
    assert np.abs(seen[2][row, column] - MORE).max() < 12
    patient.apply(replace(patient.display, map_kind=None))
    greys = [int(phantom.coloured(pixels).sum()) for pixels in all_pictures(scene, phantom)]
    assert greys[:2] == [0, 0]
    comparison.close()
    patient.apply(replace(patient.display, map_kind=MapKind.RISK))
    # Visit 2, which is selected, has no map.
    assert scene.GetNumberOfNodes() == count
    assert all(int(phantom.coloured(pixels).sum()) == 0 for pixels in all_pictures(scene, phantom))
    for node, orientation in zip(nodes, ("Axial", "Coronal", "Sagittal"), strict=True):
        node.SetOrientation(orientation)


def all_pictures(scene, phantom) -> list[np.ndarray]:
    from TemporalGliomaRisk.scene.slices import fit, slice_logics, slice_pixels  # noqa: PLC0415

    found = []
    for logic in slice_logics(scene):
        logic.ResizeSliceNode(220, 220)
        fit(logic.GetSliceNode(), np.zeros(3), np.full(3, 200.0))
        found.append(slice_pixels(logic).astype(int))
    return found


def test_a_row_shows_every_visit_at_the_same_place(patient, scene, phantom) -> None:
    nodes = nodes_of_class(scene, "vtkMRMLSliceNode")
    for node in nodes:
        node.SetOrientation("Axial")
    patient.go_to(phantom.HOT)
    row = patient.row()
    row.show(nodes)
    areas = [int(phantom.coloured(pixels).sum()) for pixels in all_pictures(scene, phantom)]

    assert areas[1] == 0
    assert areas[2] > areas[0] > 0
    row.close()
    for node, orientation in zip(nodes, ("Axial", "Coronal", "Sagittal"), strict=True):
        node.SetOrientation(orientation)
