"""A scene saved and read again: the same pixels, the same patient, and nothing that names one."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vtk

from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.scene.export import write_scene
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.saving import write_mrb
from TemporalGliomaRisk.scene.settings import MapKind
from TemporalGliomaRisk.scene.slices import jump, nodes_of_class, slice_logics, slice_pixels
from TemporalGliomaRisk.scene.views import arrange_views
from TemporalGliomaRisk.scene.volumes import is_empty, volume_of, world_from_node
from TemporalGliomaRisk.timeline.orientation import to_nearest_ras

SAME_GREY_LEVELS = 1
"""A scene keeps transforms as text: a pixel may fall on the other side of a rounding."""


def as_shown(scene) -> list[np.ndarray]:
    """Every slice view as it is, without touching it."""
    return [slice_pixels(logic).astype(int) for logic in slice_logics(scene)]


@pytest.fixture
def reloaded(scene, phantom, three_visits, three_results, tmp_path) -> tuple[list[np.ndarray], PatientScene]:
    """The views before saving, and the patient found again in a scene cleared and read."""
    patient = PatientScene.build(scene, phantom.timeline(three_visits), three_results)
    arrange_views(patient, scene)
    before = as_shown(scene)
    path = tmp_path / "out é 1" / "my scene.mrb"
    patient.save(path)
    scene.Clear(False)
    assert PatientScene.all_in(scene) == []
    # View nodes outlive a clearing; what they show afterwards must come from the file.
    jump(scene, (70.0, 70.0, 70.0))
    for node in nodes_of_class(scene, "vtkMRMLSliceNode"):
        node.SetFieldOfView(31.0, 31.0, 1.0)
        node.SetOrientation("Sagittal" if node.GetOrientation() == "Axial" else "Axial")
    nodes_of_class(scene, "vtkMRMLCameraNode")[0].SetPosition(0.0, 1.0, 2.0)
    assert scene.ReadFromMRB(str(path), False)
    (again,) = PatientScene.all_in(scene)
    return before, again


def test_a_scene_read_again_shows_the_same_pixels(reloaded, scene, phantom) -> None:
    before, patient = reloaded
    after = as_shown(scene)

    assert patient.selected_visit == 3
    assert len(before) == len(after) == 3
    for old, new in zip(before, after, strict=True):
        assert phantom.coloured(old).any()
        assert np.abs(old - new).max() <= SAME_GREY_LEVELS
        assert (old != new).mean() < 0.001


def test_a_patient_found_again_steps_through_its_unequal_visits(reloaded, scene, phantom, three_visits) -> None:
    _, patient = reloaded

    assert patient.map_kinds == tuple(MapKind)
    assert patient.visits[2].risk == 0.35
    assert patient.visits[1].warnings[0].message == "Visit 2 was moved."
    assert patient.chart().GetNumberOfPlotSeriesNodes() == 4
    (table,) = {patient.chart().GetNthPlotSeriesNode(index).GetTableNode() for index in range(4)}
    assert table.GetTable().GetNumberOfRows() == 3
    assert patient.peak_ras(3, "B") == pytest.approx(phantom.HOT, abs=1e-4)
    for number, visit in enumerate(three_visits, start=1):
        patient.selected_visit = number
        # Slicer turns an axis of a left-handed grid when it reads one; every voxel stays where it is.
        shown = to_nearest_ras(volume_of(patient.volume("FLAIR"), in_world=False))
        wanted = to_nearest_ras(phantom.head(visit.geometry, visit.to_frame, visit.gain))
        assert shown.geometry.same_as(wanted.geometry, tolerance_mm=0.01)
        assert (shown.voxels == wanted.voxels).all()
        assert world_from_node(patient.volume("FLAIR")) == pytest.approx(visit.to_frame, abs=1e-4)
        assert is_empty(patient.map(MapKind.RISK)) == (visit.height is None)
        low, high = patient.automatic_window(number, "FLAIR")
        shown = patient.volume("FLAIR").GetDisplayNode()
        assert (shown.GetWindowLevelMin(), shown.GetWindowLevelMax()) == pytest.approx((low, high))


def test_a_patient_found_again_takes_settings_and_goes_without_trace(reloaded, scene, phantom) -> None:
    _, patient = reloaded
    patient.apply(replace(patient.display, map_kind=None, volume_rendering="volume"))
    assert not any(phantom.coloured(pixels).any() for pixels in as_shown(scene))
    patient.apply(replace(patient.display, map_kind=MapKind.CHANGE, volume_rendering="surface"))
    assert any(phantom.coloured(pixels).any() for pixels in as_shown(scene))
    patient.remove()
    left = [scene.GetNthNode(index).GetName() or "" for index in range(scene.GetNumberOfNodes())]

    assert [name for name in left if "sub-07" in name] == []
    for class_name in (
        "vtkMRMLSequenceNode",
        "vtkMRMLStorageNode",
        "vtkMRMLMarkupsNode",
        "vtkMRMLColorLegendDisplayNode",
    ):
        assert nodes_of_class(scene, class_name) == []


def test_a_scene_opens_at_the_highest_place_in_four_views_with_linked_slices(reloaded, scene, phantom) -> None:
    _, patient = reloaded
    offsets = {node.GetOrientation(): node.GetSliceOffset() for node in nodes_of_class(scene, "vtkMRMLSliceNode")}
    camera = nodes_of_class(scene, "vtkMRMLCameraNode")[0]

    assert patient.default_ras() == pytest.approx(phantom.HOT, abs=0.01)
    assert offsets["Axial"] == pytest.approx(10.0, abs=0.02)
    assert offsets["Coronal"] == pytest.approx(20.0, abs=0.02)
    assert abs(offsets["Sagittal"]) == pytest.approx(30.0, abs=0.02)
    assert nodes_of_class(scene, "vtkMRMLLayoutNode")[0].GetViewArrangement() == 3
    assert all(node.GetLinkedControl() for node in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"))
    # The hot place is on the right: that is where the reader looks from.
    assert camera.GetPosition()[0] > 100
    assert nodes_of_class(scene, "vtkMRMLViewNode")[0].GetBoxVisible() == 0


def texts_of(archive: zipfile.ZipFile, outer: str = "") -> Iterator[tuple[str, str]]:
    """Name and text of every file of a scene, those of bundles inside it too."""
    for name in archive.namelist():
        content = archive.read(name)
        if name.endswith(".mrb"):
            yield from texts_of(zipfile.ZipFile(io.BytesIO(content)), f"{outer}{name}!")
        else:
            yield outer + name, content.decode("latin-1")


def test_a_saved_scene_holds_no_path_name_or_date(scene, phantom, three_visits, three_results, tmp_path) -> None:
    timeline = replace(phantom.timeline(three_visits), identity={"patient": "Mustermann^Erika", "ses-01": "2019-03-04"})
    path = tmp_path / "Mustermann_Erika" / "Mustermann_Erika.mrb"
    write_scene(timeline, three_results.folder, path)
    found = list(texts_of(zipfile.ZipFile(path)))

    assert len(found) > 20
    for name, text in found:
        assert "mustermann" not in (name + text).lower(), name
        assert "erika" not in (name + text).lower(), name
        for part in (tmp_path, three_results.folder, Path.home(), Path("/tmp")):
            assert f"{part}/" not in text, name
        # Binary voxels may hold any digits by chance; what is written in words may not hold a date.
        if name.endswith((".mrml", ".json", ".txt", ".tsv", ".csv")):
            assert not re.search(r"\b(19|20)\d\d[-/.]?(0[1-9]|1[0-2])[-/.]?([0-2]\d|3[01])\b", text), name


def test_nodes_of_a_comparison_and_of_a_row_are_not_saved(
    scene, phantom, three_visits, three_results, tmp_path
) -> None:
    def kinds() -> list[str]:
        return sorted(scene.GetNthNode(index).GetClassName() for index in range(scene.GetNumberOfNodes()))

    patient = PatientScene.build(scene, phantom.timeline(three_visits), three_results)
    read = []
    for several in (False, True):
        if several:
            patient.compare(1, 3)
            patient.row()
        path = tmp_path / f"{several}.mrb"
        patient.save(path)
        scene.Clear(False)
        assert scene.ReadFromMRB(str(path), False)
        read.append(kinds())
        (patient,) = PatientScene.all_in(scene)

    assert read[0] == read[1]


def test_writing_a_scene_is_silent_and_leaves_the_process_as_it_was(
    scene, phantom, three_visits, three_results, tmp_path, capfd
) -> None:
    count = scene.GetNumberOfNodes()
    write_scene(phantom.timeline(three_visits), three_results.folder, tmp_path / "scene.mrb")
    said = capfd.readouterr()

    assert (said.out, said.err) == ("", "")
    assert PatientScene.all_in(scene) == []
    assert scene.GetNumberOfNodes() <= count + 1  # the layout node stays
    assert [path.name for path in tmp_path.iterdir()] == ["scene.mrb"]


def test_a_scene_that_cannot_be_written_leaves_nothing(scene, phantom, three_visits, tmp_path, monkeypatch) -> None:
    patient = PatientScene.build(scene, phantom.timeline(three_visits))
    with pytest.raises(InputError, match=r"saved as \.mrb, got \.mrml"):
        patient.save(tmp_path / "scene.mrml")
    path = tmp_path / "scene.mrb"
    path.write_bytes(b"the one from before")
    monkeypatch.setattr("TemporalGliomaRisk.scene.saving.shutil.copyfile", _no_room)
    with pytest.raises(OSError, match="No space left"):
        patient.save(path)

    assert path.read_bytes() == b"the one from before"
    assert [one.name for one in tmp_path.iterdir()] == ["scene.mrb"]
    assert issubclass(InputError, GliomaRiskError)


def test_where_slicer_refuses_a_node_of_someone_else_the_disk_is_not_the_only_one_blamed(scene, tmp_path) -> None:
    image = vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.AllocateScalars(vtk.VTK_LONG_LONG, 1)
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "of another module").SetAndObserveImageData(image)

    with pytest.raises(GliomaRiskError, match="disk has room and that Slicer can save the scene's other nodes"):
        write_mrb(scene, tmp_path / "scene.mrb")
    assert list(tmp_path.iterdir()) == []


def _no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")
