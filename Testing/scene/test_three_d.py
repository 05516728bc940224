"""The 3D view's nodes: surfaces where they belong, volumes by the processor, and only what was asked for."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
import vtk
from vtk.util import numpy_support

from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.settings import MapKind
from TemporalGliomaRisk.scene.slices import nodes_of_class
from TemporalGliomaRisk.scene.surfaces import brain_surface, hot_surface
from TemporalGliomaRisk.scene.views import look_at_head


@pytest.fixture
def patient(scene, phantom, three_visits, three_results) -> PatientScene:
    """The three visits with their result."""
    return PatientScene.build(scene, phantom.timeline(three_visits), three_results)


def points_of(surface) -> np.ndarray:
    return numpy_support.vtk_to_numpy(surface.GetPoints().GetData())


def is_closed(surface) -> bool:
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(surface)
    edges.FeatureEdgesOff()
    edges.NonManifoldEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    return edges.GetOutput().GetNumberOfCells() == 0


def test_a_shell_of_a_gaussian_is_a_sphere_of_its_radius_on_an_oblique_grid(phantom) -> None:
    geometry = phantom.grid((60, 70, 56), (2.0, 2.5, 3.0), (20.0, -35.0, 10.0), (-1, 1, 1))
    height, level = 0.02, 0.005
    surface = hot_surface(phantom.hazard(geometry, np.eye(4), height), (level,))
    distance = np.linalg.norm(points_of(surface) - phantom.HOT, axis=1)

    assert distance == pytest.approx(8.0 * np.sqrt(2 * np.log(height / level)), abs=0.9)
    assert is_closed(surface)
    assert surface.GetPointData().GetScalars().GetRange() == pytest.approx((level, level))


def test_shells_of_a_change_enclose_what_rose_and_what_fell(phantom) -> None:
    geometry = phantom.grid((60, 70, 56), (2.5, 2.5, 2.5))
    rose = phantom.hazard(geometry, np.eye(4), 0.02)
    fell = phantom.hazard(geometry, np.eye(4), 0.02, -phantom.HOT)
    change = replace(rose, voxels=rose.voxels - fell.voxels)
    surface = hot_surface(change, (0.01, -0.01))
    hazard = numpy_support.vtk_to_numpy(surface.GetPointData().GetScalars())
    points = points_of(surface)

    assert points[hazard > 0].mean(axis=0) == pytest.approx(phantom.HOT, abs=0.5)
    assert points[hazard < 0].mean(axis=0) == pytest.approx(-phantom.HOT, abs=0.5)
    assert hot_surface(change, (0.5,)).GetNumberOfCells() == 0


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (15.0, -20.0, 35.0)])
def test_the_heads_surface_lies_on_the_head(phantom, turn) -> None:
    geometry = phantom.grid((60, 70, 56), (3.0, 3.0, 3.0), turn)
    surface = brain_surface(phantom.head(geometry, np.eye(4)), None)
    radius = np.linalg.norm(points_of(surface) / (62, 78, 58), axis=1)

    assert np.percentile(np.abs(radius - 1.0), 95) < 0.05
    assert is_closed(surface)


def test_where_a_map_says_what_is_brain_the_surface_is_the_brains(phantom) -> None:
    geometry = phantom.grid((60, 70, 56), (3.0, 3.0, 3.0))
    whole = phantom.head(geometry, np.eye(4))
    at = geometry.to_ras(np.moveaxis(np.indices(geometry.shape), 0, -1))
    inner = (((at) / (46, 62, 42)) ** 2).sum(axis=-1) < 1
    support = replace(whole, voxels=inner.astype(np.float32) * 1e-6)
    radius = np.linalg.norm(points_of(brain_surface(whole, support)) / (46, 62, 42), axis=1)

    assert np.percentile(np.abs(radius - 1.0), 95) < 0.08


def shown_in_3d(patient, scene) -> set[str]:
    names = {
        node.GetName()
        for node in nodes_of_class(scene, "vtkMRMLModelNode")
        if node.GetName().startswith("sub-") and node.GetDisplayNode().GetVisibility()
    }
    rendered = nodes_of_class(scene, "vtkMRMLVolumeRenderingDisplayNode")
    return names | {f"volume {node.GetVolumeNode().GetName()}" for node in rendered if node.GetVisibility()}


def test_the_3d_view_shows_what_was_asked_for_and_nothing_of_before(patient, scene) -> None:
    seen = {}
    for kind in (MapKind.RISK, MapKind.CHANGE, None):
        for rendering in ("surface", "volume", "off"):
            patient.apply(replace(patient.display, map_kind=kind, volume_rendering=rendering))
            seen[kind, rendering] = shown_in_3d(patient, scene)

    assert seen[MapKind.RISK, "surface"] == {"sub-07 brain surface", "sub-07 Risk map surface"}
    assert seen[MapKind.RISK, "volume"] == {"volume sub-07 FLAIR", "volume sub-07 Risk map"}
    changes = {"sub-07 brain surface", "sub-07 Change since the previous visit surface"}
    assert seen[MapKind.CHANGE, "surface"] == changes
    assert seen[None, "surface"] == {"sub-07 brain surface"}
    assert seen[None, "volume"] == {"volume sub-07 FLAIR"}
    assert seen[MapKind.RISK, "off"] == seen[None, "off"] == set()


def test_without_a_graphics_processor_volumes_are_cast_by_the_processor(patient, scene) -> None:
    patient.apply(replace(patient.display, volume_rendering="volume"))
    nodes = nodes_of_class(scene, "vtkMRMLVolumeRenderingDisplayNode")

    assert {node.GetClassName() for node in nodes} == {"vtkMRMLCPURayCastVolumeRenderingDisplayNode"}


def test_the_grey_volumes_opacity_follows_each_visits_window(patient, scene) -> None:
    patient.apply(replace(patient.display, volume_rendering="volume", map_kind=None))
    (node,) = nodes_of_class(scene, "vtkMRMLVolumeRenderingDisplayNode")
    tops = {}
    for number in (1, 2, 1):
        patient.selected_visit = number
        tops[number] = node.GetVolumePropertyNode().GetScalarOpacity().GetRange()[1]

    for number in (1, 2):
        assert tops[number] == pytest.approx(patient.automatic_window(number, "FLAIR")[1])
    assert tops[2] == pytest.approx(3 * tops[1], rel=0.01)


def test_hot_surfaces_follow_the_visits_and_lie_at_one_place_of_the_world(patient, scene, phantom) -> None:
    patient.apply(replace(patient.display, volume_rendering="surface"))
    (model,) = [
        node for node in nodes_of_class(scene, "vtkMRMLModelNode") if node.GetName() == "sub-07 Risk map surface"
    ]
    counts = {}
    for number in (1, 2, 3):
        patient.selected_visit = number
        counts[number] = model.GetPolyData().GetNumberOfCells() if model.GetPolyData() else 0
        if counts[number]:
            bounds = [0.0] * 6
            model.GetRASBounds(bounds)
            middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
            assert middle == pytest.approx(phantom.HOT.tolist(), abs=1.5)

    assert counts[2] == 0
    assert counts[3] > counts[1] > 0


def shells(scene) -> dict[str, float]:
    """Lowest hazard that the shells of each visit enclose, by index value; absent where a visit has none."""
    (sequence,) = [
        n for n in nodes_of_class(scene, "vtkMRMLSequenceNode") if n.GetName().endswith("map surface sequence")
    ]
    return lowest(sequence)


def lowest(sequence) -> dict[str, float]:
    """The same of a sequence of shells."""
    found = {}
    for index in range(sequence.GetNumberOfDataNodes()):
        surface = sequence.GetNthDataNode(index).GetPolyData()
        if surface is not None and surface.GetNumberOfCells():
            found[sequence.GetNthIndexValue(index)] = surface.GetPointData().GetScalars().GetRange()[0]
    return found


def test_another_threshold_makes_the_selected_visit_s_shells_anew_and_others_when_they_are_stepped_to_or_saved(
    scene, phantom, tmp_path
) -> None:
    visits = [phantom.Visit(100 * index, height=0.02) for index in range(4)]
    patient = PatientScene.build(scene, phantom.timeline(visits), phantom.result(tmp_path / "result", visits))
    top = patient.scale_top(MapKind.RISK)
    assert shells(scene) == pytest.approx({str(100 * index): 0.12 * top for index in range(4)})

    gc.collect()
    patient.apply(replace(patient.display, threshold=0.3))
    assert shells(scene) == pytest.approx({"0": 0.12 * top, "100": 0.12 * top, "200": 0.12 * top, "300": 0.3 * top})
    patient.browser.SelectNextItem(-2)  # as Slicer's own slider does
    assert shells(scene) == pytest.approx({"0": 0.12 * top, "100": 0.3 * top, "200": 0.12 * top, "300": 0.3 * top})
    (model,) = [n for n in nodes_of_class(scene, "vtkMRMLModelNode") if n.GetName() == "sub-07 Risk map surface"]
    assert model.GetPolyData().GetPointData().GetScalars().GetRange()[0] == pytest.approx(0.3 * top)
    patient.save(tmp_path / "scene.mrb")
    assert shells(scene) == pytest.approx({str(100 * index): 0.3 * top for index in range(4)})


def test_no_file_that_slicer_itself_writes_holds_shells_of_an_earlier_threshold(scene, phantom, tmp_path) -> None:
    visits = [phantom.Visit(100 * index, height=0.02) for index in range(3)]
    patient = PatientScene.build(scene, phantom.timeline(visits), phantom.result(tmp_path / "result", visits))
    top, days = patient.scale_top(MapKind.RISK), ("0", "100", "200")
    (sequence,) = [n for n in nodes_of_class(scene, "vtkMRMLSequenceNode") if n.GetName().endswith("surface sequence")]
    gc.collect()
    patient.apply(replace(patient.display, threshold=0.3))
    assert shells(scene)["0"] == pytest.approx(0.12 * top)  # else there is nothing for a save to bring up to date
    # The sequence's own file, as the Save dialog writes it beside a .mrml, twice under one name.
    storage, saved = sequence.GetStorageNode(), {}
    for threshold in (0.2, 0.5):
        patient.apply(replace(patient.display, threshold=threshold))
        storage.SetFileName(str(tmp_path / "shells.seq.mrb"))
        assert storage.WriteData(sequence)
        read = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "read again")
        assert storage.ReadData(read)
        saved[threshold] = lowest(read)
        scene.RemoveNode(read)
    assert saved[0.2] == pytest.approx(dict.fromkeys(days, 0.2 * top))
    assert saved[0.5] == pytest.approx(dict.fromkeys(days, 0.5 * top))
    # The whole scene, from one that was read.
    for threshold in (0.3, 0.6):
        patient.apply(replace(patient.display, threshold=threshold))
        scene.SetRootDirectory(str(tmp_path))
        assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
        scene.Clear(False)
        assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False)
        (patient,) = PatientScene.all_in(scene)
        assert shells(scene) == pytest.approx(dict.fromkeys(days, threshold * top))


def test_a_threshold_that_lags_in_3d_leaves_the_shells_and_nothing_there_is_hidden_and_shown_again(
    patient, scene
) -> None:
    (model,) = [n for n in nodes_of_class(scene, "vtkMRMLModelNode") if n.GetName() == "sub-07 Risk map surface"]
    before, told = shells(scene), []
    model.GetDisplayNode().AddObserver("ModifiedEvent", lambda *_: told.append(1))
    patient.apply(replace(patient.display, threshold=0.5, threshold_3d=patient.display.threshold))

    assert shells(scene) == before
    assert told == []
    patient.apply(replace(patient.display, threshold_3d=None))
    assert shells(scene) != before


def test_the_reader_looks_from_the_side_of_the_place_and_sees_the_whole_head(scene) -> None:
    camera = nodes_of_class(scene, "vtkMRMLCameraNode")[0]
    for place, signs in (((40.0, 30.0, 0.0), (1, 1)), ((-40.0, -60.0, 0.0), (-1, -1))):
        look_at_head(camera, np.array([1.0, 2.0, 3.0]), np.array([140.0, 180.0, 150.0]), np.array(place))
        position = np.array(camera.GetPosition())
        assert tuple(np.sign(position[:2])) == signs
        assert position[2] > 100
        assert camera.GetFocalPoint() == pytest.approx((1.0, 2.0, 3.0))
        half = np.linalg.norm(position - (1, 2, 3)) * np.tan(np.radians(camera.GetViewAngle() / 2))
        assert half > 90
