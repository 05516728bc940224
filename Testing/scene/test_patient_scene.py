"""The nodes of a patient: there, right, following the visits, and gone again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk

from TemporalGliomaRisk.errors import Cancelled, InputError
from TemporalGliomaRisk.scene.labels import tell_apart
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.record import hierarchy_of
from TemporalGliomaRisk.scene.settings import DisplaySettings, MapKind
from TemporalGliomaRisk.scene.slices import nodes_of_class
from TemporalGliomaRisk.scene.volumes import is_empty, volume_of


@pytest.fixture
def patient(scene, phantom, three_visits, three_results) -> PatientScene:
    """The three visits with their result."""
    return PatientScene.build(scene, phantom.timeline(three_visits), three_results)


def test_every_sequence_and_map_is_a_sequence_node_indexed_by_days_since_treatment(patient) -> None:
    browser = patient.browser
    synchronized = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(synchronized, True)
    nodes = [synchronized.GetItemAsObject(index) for index in range(synchronized.GetNumberOfItems())]
    by_name = {node.GetName(): node for node in nodes}

    assert patient.sequences == ("FLAIR", "T1w")
    assert patient.map_kinds == tuple(MapKind)
    for label in ("FLAIR", "T1w", *(kind.label for kind in MapKind)):
        assert f"sub-07 {label} sequence" in by_name
    assert {node.GetIndexName() for node in nodes} == {"days since treatment"}
    assert {node.GetIndexUnit() for node in nodes} == {"d"}
    flair = by_name["sub-07 FLAIR sequence"]
    assert [flair.GetNthIndexValue(index) for index in range(3)] == ["20", "111", "227"]
    assert all(browser.GetMissingItemMode(node) == browser.MissingItemSetToDefault for node in nodes)


def test_days_since_the_first_visit_are_the_index_where_one_treatment_day_is_unknown(scene, phantom) -> None:
    visits = [phantom.Visit(0, 20), phantom.Visit(91, None)]
    patient = PatientScene.build(scene, phantom.timeline(visits))
    master = patient.browser.GetMasterSequenceNode()

    assert master.GetIndexName() == "days since the first visit"
    assert [master.GetNthIndexValue(index) for index in range(2)] == ["0", "91"]


@pytest.mark.parametrize(
    ("treatment", "days", "origin"), [(20, (20, 111), "treatment"), (None, (0, 91), "the first visit")]
)
def test_everything_that_a_scene_says_of_days_counts_from_one_day_and_says_which(
    scene, phantom, tmp_path, treatment, days, origin
) -> None:
    visits = [phantom.Visit(day, None if treatment is None else day + treatment) for day in (0, 91)]
    patient = PatientScene.build(scene, phantom.timeline(visits), phantom.result(tmp_path / "result", visits))
    master, hierarchy, items = patient.browser.GetMasterSequenceNode(), hierarchy_of(scene), vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    names = [hierarchy.GetItemName(items.GetId(index)) for index in range(items.GetNumberOfIds())]
    notes = patient.text().GetText()

    for number, day in enumerate(days, start=1):
        said = f"visit {number}, day {day}"
        patient.selected_visit = number
        assert master.GetNthIndexValue(number - 1) == str(day)
        assert any(name.startswith(f"{said},") for name in names)
        assert f"  {said}: " in notes
        assert said in patient.browser.GetProxyNode(master).GetText()
        assert f"Day 0 is {origin}." in patient.browser.GetProxyNode(master).GetText()
    assert notes.count("Day 0 is") == notes.count(f"Day 0 is {origin}.") == 1
    assert patient.chart().GetXAxisTitle() == f"Days since {origin}"
    drawn = patient.chart().GetNthPlotSeriesNode(0)
    column = drawn.GetTableNode().GetTable().GetColumnByName(drawn.GetXColumnName())
    assert [column.GetValue(row) for row in range(2)] == list(days)


def test_two_visits_on_one_day_are_two_items(scene, phantom) -> None:
    visits = [phantom.Visit(0, 50), phantom.Visit(1, 50, gain=2.0), phantom.Visit(2, 50, gain=3.0)]
    patient = PatientScene.build(scene, phantom.timeline(visits))
    tops = []
    for number in (1, 2, 3):
        patient.selected_visit = number
        tops.append(int(volume_of(patient.volume("FLAIR")).voxels.max()))

    assert patient.browser.GetNumberOfItems() == 3
    assert tops == [1000, 2000, 3000]


def test_a_visit_that_lacks_a_volume_or_map_shows_an_empty_node_not_its_neighbours(patient) -> None:
    for number, lacking in ((3, False), (2, True), (1, False), (2, True)):
        patient.selected_visit = number
        assert is_empty(patient.volume("T1w")) == lacking
        assert is_empty(patient.map(MapKind.RISK)) == lacking
        assert not is_empty(patient.volume("FLAIR"))
        assert patient.peaks().GetNumberOfControlPoints() == {1: 1, 2: 0, 3: 2}[number]


def test_voxels_and_places_of_every_visit_are_those_of_the_timeline(patient, phantom, three_visits) -> None:
    for number, visit in enumerate(three_visits, start=1):
        patient.selected_visit = number
        shown = volume_of(patient.volume("FLAIR"), in_world=False)
        wanted = phantom.head(visit.geometry, visit.to_frame, visit.gain)
        assert shown.geometry.same_as(wanted.geometry)
        assert (shown.voxels == wanted.voxels).all()
        in_world = volume_of(patient.volume("FLAIR")).geometry.ijk_to_ras
        assert in_world == pytest.approx(visit.to_frame @ visit.geometry.ijk_to_ras, abs=1e-9)


def test_peaks_of_misaligned_visits_lie_at_one_place_of_the_world(patient, phantom) -> None:
    for number in (1, 3):
        patient.selected_visit = number
        world = [0.0, 0.0, 0.0]
        patient.peaks().GetNthControlPointPositionWorld(0, world)
        assert world == pytest.approx(phantom.HOT.tolist(), abs=1e-6)
        assert patient.peak_ras(number, "A") == pytest.approx(phantom.HOT, abs=1e-6)
    shown = patient.peaks().GetDisplayNode()
    assert shown.GetGlyphType() == shown.Cross2D  # thin, and open at its centre: the hottest voxel is seen
    assert patient.peaks().GetNthControlPointLabel(0) == "A: 34\u202f% of the risk"
    with pytest.raises(InputError, match="Visit 2 has no peak 'A'"):
        patient.peak_ras(2, "A")


def test_the_scale_of_a_map_is_its_greatest_value_over_all_visits_and_stays_when_stepping(patient) -> None:
    assert patient.scale_top(MapKind.RISK) == pytest.approx(0.02, rel=0.02)
    for number in (1, 2, 3):
        patient.selected_visit = number
        shown = patient.map(MapKind.RISK).GetDisplayNode()
        assert shown.GetWindowLevelMin() == 0
        assert shown.GetWindowLevelMax() == pytest.approx(patient.scale_top(MapKind.RISK))
        change = patient.map(MapKind.CHANGE).GetDisplayNode()
        assert change.GetWindowLevelMin() == -change.GetWindowLevelMax()


def test_greys_of_visits_of_unlike_gain_get_windows_in_proportion(patient) -> None:
    first, second = (patient.automatic_window(number, "FLAIR") for number in (1, 2))
    patient.apply(replace(patient.display, window=(0.1, 0.6)))
    for number, (low, high) in ((1, first), (2, second)):
        patient.selected_visit = number
        shown = patient.volume("FLAIR").GetDisplayNode()
        assert shown.GetWindowLevelMin() == pytest.approx(low + 0.1 * (high - low))
        assert shown.GetWindowLevelMax() == pytest.approx(low + 0.6 * (high - low))

    assert second[1] / first[1] == pytest.approx(3.0, rel=0.01)
    assert patient.automatic_window(2, "T1w") is None


def test_a_window_set_by_hand_at_one_visit_is_still_there_when_the_reader_comes_back(patient) -> None:
    patient.selected_visit = 1
    patient.volume("FLAIR").GetDisplayNode().SetWindowLevelMinMax(11, 222)
    patient.selected_visit = 3
    elsewhere = patient.volume("FLAIR").GetDisplayNode().GetWindowLevelMax()
    patient.selected_visit = 1
    shown = patient.volume("FLAIR").GetDisplayNode()

    assert (shown.GetWindowLevelMin(), shown.GetWindowLevelMax()) == (11, 222)
    assert elsewhere == patient.automatic_window(3, "FLAIR")[1]


def test_a_window_set_by_hand_stays_when_something_else_of_the_display_changes_and_goes_when_the_window_does(
    patient,
) -> None:
    def shown(number: int) -> tuple[float, float]:
        patient.selected_visit = number
        node = patient.volume("FLAIR").GetDisplayNode()
        return node.GetWindowLevelMin(), node.GetWindowLevelMax()

    patient.selected_visit = 1
    patient.volume("FLAIR").GetDisplayNode().SetWindowLevelMinMax(100, 250)
    patient.apply(replace(patient.display, opacity=0.6, threshold=0.3, window=(0.0, 1.0)))
    assert [shown(number) for number in (1, 3, 1)] == [(100, 250), patient.automatic_window(3, "FLAIR"), (100, 250)]

    comparison = patient.compare(1, 3)
    compared = comparison.second.volume.GetDisplayNode()
    compared.SetWindowLevelMinMax(100, 250)
    patient.apply(replace(patient.display, opacity=0.5))
    assert (compared.GetWindowLevelMin(), compared.GetWindowLevelMax()) == (100, 250)

    patient.apply(replace(patient.display, window=(0.0, 0.5)))
    for number in (1, 3):
        low, high = patient.automatic_window(number, "FLAIR")
        assert shown(number) == pytest.approx((low, low + 0.5 * (high - low)))
    assert compared.GetWindowLevelMax() == pytest.approx(shown(3)[1])


def test_stepping_by_slicers_own_browser_steps_everything(patient, phantom) -> None:
    patient.selected_visit = 1
    patient.browser.SelectNextItem(2)

    assert patient.selected_visit == 3
    assert volume_of(patient.map(MapKind.RISK)).voxels.max() == pytest.approx(0.02, rel=0.02)
    assert patient.volume("FLAIR").GetDisplayNode().GetWindowLevelMax() == patient.automatic_window(3, "FLAIR")[1]
    assert "visit 3, day 227" in patient.browser.GetProxyNode(patient.browser.GetMasterSequenceNode()).GetText()


def test_change_since_the_first_visit_is_the_difference_of_the_maps_across_grids(
    patient, phantom, three_visits
) -> None:
    patient.selected_visit = 3
    visit = three_visits[2]
    change = volume_of(patient.map(MapKind.CHANGE_FROM_FIRST), in_world=False)
    wanted = (
        phantom.hazard(visit.geometry, visit.to_frame, 0.02).voxels
        - phantom.hazard(visit.geometry, visit.to_frame, 0.004).voxels
    )

    assert change.geometry.same_as(visit.geometry)
    assert np.abs(change.voxels - wanted).max() < 0.08 * wanted.max()


def test_a_difference_of_two_visits_is_drawn_in_the_scale_of_the_kind_it_tells(scene, phantom, tmp_path) -> None:
    visits = [phantom.Visit(100 * index, height=height) for index, height in enumerate((0.05, 0.15, 0.3))]
    patient = PatientScene.build(scene, phantom.timeline(visits), phantom.result(tmp_path / "result", visits))
    comparison = patient.compare(2, 3)
    drawn = comparison.difference.GetDisplayNode()

    assert patient.scale_top(MapKind.CHANGE) != patient.scale_top(MapKind.CHANGE_FROM_FIRST)
    top = patient.scale_top(comparison.difference_kind)
    assert (drawn.GetWindowLevelMin(), drawn.GetWindowLevelMax()) == pytest.approx((-top, top))
    assert np.abs(volume_of(comparison.difference).voxels).max() <= top


def test_two_visits_of_which_one_has_no_map_have_no_difference_and_no_scale_of_one(patient) -> None:
    assert patient.compare(1, 2).difference_kind is None


def test_patient_visits_and_series_stand_in_the_subject_hierarchy(patient, scene) -> None:
    hierarchy = hierarchy_of(scene)
    item = hierarchy.GetItemByName("sub-07")
    studies = vtk.vtkIdList()
    hierarchy.GetItemChildren(item, studies)
    names = [hierarchy.GetItemName(studies.GetId(index)) for index in range(studies.GetNumberOfIds())]
    second = hierarchy.GetItemByName("visit 2, day 111, risk 20\u202f%")
    series = vtk.vtkIdList()
    hierarchy.GetItemChildren(second, series)

    assert hierarchy.GetItemLevel(item) == "Patient"
    assert hierarchy.GetItemLevel(second) == "Study"
    assert names[0].startswith("visit 1, day 20")
    assert [hierarchy.GetItemName(series.GetId(index)) for index in range(series.GetNumberOfIds())] == ["FLAIR"]
    assert hierarchy.GetItemAncestorAtLevel(hierarchy.GetItemByDataNode(patient.volume("FLAIR")), "Patient") == item


def table_of(patient: PatientScene):
    """The table that the chart is drawn from."""
    return patient.chart().GetNthPlotSeriesNode(0).GetTableNode()


def test_table_chart_and_text_say_risk_interval_gaps_model_caveat_and_warnings(patient) -> None:
    table = table_of(patient).GetTable()
    column = {table.GetColumnName(index): table.GetColumn(index) for index in range(table.GetNumberOfColumns())}
    chart = patient.chart()
    text = patient.text().GetText()

    assert [column["risk (%)"].GetValue(row) for row in range(3)] == [10.0, 20.0, 35.0]
    assert column["lowest member (%)"].GetValue(2) == pytest.approx(33.0)
    assert column["highest member (%)"].GetValue(2) == pytest.approx(40.0)
    assert [column["single-visit risk (%)"].GetValue(row) for row in range(3)] == [10.0] * 3
    assert np.isnan(column["gap (d)"].GetValue(0))
    assert [column["gap (d)"].GetValue(row) for row in (1, 2)] == [91.0, 116.0]
    assert chart.GetNumberOfPlotSeriesNodes() == 4
    assert (chart.GetXAxisTitle(), chart.GetYAxisTitle()) == ("Days since treatment", "Risk (%)")
    assert chart.GetYAxisRange()[1] == 50.0
    check = "Maps of random weights are unlike these."
    for said in (
        "phantom-model 9",
        "A phantom's caveat.",
        check,
        "A long gap.",
        "Visit 2 was moved.",
        "Research use only",
    ):
        assert said in text


def test_an_uncertain_risk_is_called_so_in_table_chart_text_and_hierarchy(
    scene, phantom, three_visits, three_results
) -> None:
    first, *others = three_results.visits
    doubted = replace(three_results, visits=(replace(first, uncertain_because=("one_visit_so_far",)), *others))
    patient = PatientScene.build(scene, phantom.timeline(three_visits), doubted)
    table = table_of(patient).GetTable()
    chart, hierarchy = patient.chart(), hierarchy_of(scene)
    series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
    (marked,) = [node for node in series if node.GetName() == "Uncertain"]

    said = [table.GetColumnByName("certainty").GetValue(row) for row in range(3)]
    assert said == ["uncertain: one visit so far", "", ""]
    points = [table.GetColumnByName(marked.GetYColumnName()).GetValue(row) for row in range(3)]
    assert points[0] == table.GetColumnByName("risk (%)").GetValue(0)
    assert np.isnan(points[1:]).all()
    assert marked.GetLineStyle() == marked.LineStyleNone
    lines = [line for line in patient.text().GetText().splitlines() if line.startswith("  visit")]
    assert ["uncertain: one visit so far" in line for line in lines] == [True, False, False]
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    names = [hierarchy.GetItemName(items.GetId(index)) for index in range(items.GetNumberOfIds())]
    assert [name.endswith(", uncertain") for name in names if name.startswith("visit ")] == [True, False, False]


def test_a_scene_keeps_the_report_unless_it_names_the_patient(
    scene, phantom, three_visits, three_results, tmp_path
) -> None:
    (tmp_path / "report.html").write_text("<p>Bericht \u2713</p>", encoding="utf-8")
    reported = replace(three_results, folder=tmp_path)
    patient = PatientScene.build(scene, phantom.timeline(three_visits), reported)
    assert patient.report() == "<p>Bericht \u2713</p>"

    patient.update(phantom.timeline(three_visits), replace(reported, identified=True))
    assert patient.report() is None


def test_a_registration_alone_places_the_volumes_it_moved(scene, phantom, three_visits) -> None:
    timeline = phantom.timeline(three_visits)
    move = np.eye(4)
    move[:3, 3] = (3.0, -2.0, 5.0)
    patient = PatientScene.build(scene, timeline, moves={timeline.visits[1].session_id: {"FLAIR": move}})
    found = {}
    for number in (1, 2):
        patient.selected_visit = number
        found[number] = volume_of(patient.volume("FLAIR")).geometry.ijk_to_ras

    assert patient.map_kinds == ()
    for number, by in ((1, np.eye(4)), (2, move)):
        own = timeline.visits[number - 1].sources["FLAIR"].read().geometry.ijk_to_ras
        np.testing.assert_allclose(found[number], by @ own, atol=1e-5)


@pytest.mark.parametrize("count", [1, 12])
def test_one_visit_and_twelve_visits_step_through(scene, phantom, tmp_path, count) -> None:
    small = phantom.grid((22, 26, 20), (8.0, 8.0, 8.0))
    visits = [phantom.Visit(60 * index, geometry=small, gain=1 + index) for index in range(count)]
    result = phantom.result(tmp_path / "result", visits)
    patient = PatientScene.build(scene, phantom.timeline(visits), result)

    assert patient.selected_visit == count
    assert (MapKind.CHANGE in patient.map_kinds) == (count > 1)
    for number in range(1, count + 1):
        patient.selected_visit = number
        assert volume_of(patient.volume()).voxels.max() == 1000 * number
        assert is_empty(patient.map(MapKind.RISK)) is False
    with pytest.raises(InputError, match=f"visits 1 to {count}, got {count + 1}"):
        patient.selected_visit = count + 1


def test_without_a_result_there_are_volumes_and_no_maps(scene, phantom, three_visits) -> None:
    patient = PatientScene.build(scene, phantom.timeline(three_visits))

    assert patient.map_kinds == ()
    assert patient.display.map_kind is None
    assert patient.map(MapKind.RISK) is None
    assert patient.chart() is patient.peaks() is None
    assert scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    assert "No risk has been computed" in patient.text().GetText()
    patient.apply(DisplaySettings(sequence="FLAIR", map_kind=MapKind.RISK, volume_rendering="volume"))
    assert patient.display.map_kind is None


def test_without_heatmaps_there_are_risks_and_no_maps(scene, phantom, tmp_path) -> None:
    visits = [phantom.Visit(0, height=None), phantom.Visit(100, height=None)]
    patient = PatientScene.build(scene, phantom.timeline(visits), phantom.result(tmp_path / "result", visits))

    assert patient.map_kinds == ()
    assert table_of(patient).GetTable().GetNumberOfRows() == 2
    assert patient.peaks().GetNumberOfControlPoints() == 1


def nodes_and_observers(scene) -> tuple[int, list[str], int]:
    names = sorted(f"{scene.GetNthNode(i).GetClassName()} {scene.GetNthNode(i).GetID()}" for i in range(len_of(scene)))
    return len_of(scene), names, hierarchy_of(scene).GetNumberOfItems()


def len_of(scene) -> int:
    return scene.GetNumberOfNodes()


@pytest.mark.parametrize("rendering", ["off", "surface", "volume"])
def test_removing_a_patient_leaves_nothing_behind(scene, phantom, three_visits, three_results, rendering) -> None:
    timeline = phantom.timeline(three_visits)
    before = nodes_and_observers(scene)
    patient = PatientScene.build(scene, timeline, three_results)
    for kind in MapKind:
        patient.apply(replace(patient.display, volume_rendering=rendering, map_kind=kind))
        patient.selected_visit = 2
    comparison = patient.compare(1, 3)
    comparison.show(first=nodes_of_class(scene, "vtkMRMLSliceNode")[:1])
    patient.row()
    during = scene.GetNumberOfNodes()
    patient.remove()

    assert during > before[0] + 40
    assert nodes_and_observers(scene) == before
    assert PatientScene.all_in(scene) == []
    for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        assert composite.GetBackgroundVolumeID() is None
        assert composite.GetForegroundVolumeID() is None
        assert composite.GetAttribute("TemporalGliomaRisk.held") is None


def test_a_cancelled_or_failed_build_leaves_nothing_behind(scene, phantom, three_visits, three_results) -> None:
    timeline = phantom.timeline(three_visits)
    before = nodes_and_observers(scene)

    def stop(event) -> None:
        if event.fraction > 0.5:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        PatientScene.build(scene, timeline, three_results, progress=stop)
    with pytest.raises(InputError, match="made from another timeline"):
        PatientScene.build(scene, replace(timeline, visits=timeline.visits[:2]), three_results)

    assert nodes_and_observers(scene) == before


@pytest.mark.parametrize("stepping", [False, True])
def test_nodes_deleted_by_hand_are_there_again_after_the_next_change_of_the_display(patient, scene, stepping) -> None:
    def deletable() -> dict[str, object]:
        colours = {node.GetName(): node for node in nodes_of_class(scene, "vtkMRMLColorTableNode")}
        return {
            "volume": patient.volume("FLAIR"),
            "window": patient.volume("FLAIR").GetDisplayNode(),
            "place": patient.volume("FLAIR").GetParentTransformNode(),
            "map": patient.map(MapKind.RISK),
            "map place": patient.map(MapKind.CHANGE).GetParentTransformNode(),
            "peaks": patient.peaks(),
            "colours": colours["sub-07 risk colours"],
        }

    def names() -> list[str]:
        """Of all nodes but displays: those of a deleted node stay behind in any scene."""
        nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
        return sorted(node.GetName() or "" for node in nodes if not node.IsA("vtkMRMLDisplayNode"))

    whole, looks = names(), patient.peaks().GetDisplayNode().GetGlyphType()
    world = volume_of(patient.map(MapKind.RISK)).geometry
    for node in deletable().values():
        scene.RemoveNode(node)
    if stepping:  # Slicer makes proxies of its own then
        patient.browser.SelectNextItem(-1)
        patient.browser.SelectNextItem(1)
    patient.apply(replace(patient.display, opacity=0.8))

    assert None not in deletable().values()
    assert names() == whole
    assert volume_of(patient.map(MapKind.RISK)).geometry.same_as(world)
    assert patient.peaks().GetNumberOfControlPoints() == 2
    assert patient.peaks().GetDisplayNode().GetGlyphType() == looks
    for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        assert composite.GetBackgroundVolumeID() == patient.volume().GetID()
        assert composite.GetForegroundVolumeID() == patient.map(MapKind.RISK).GetID()
    shown = patient.map(MapKind.RISK).GetDisplayNode()
    assert shown.GetWindowLevelMax() == pytest.approx(patient.scale_top(MapKind.RISK))
    assert shown.GetColorNode().GetName() == "sub-07 risk colours"
    hierarchy = hierarchy_of(scene)
    item = hierarchy.GetItemByDataNode(patient.map(MapKind.RISK))
    assert hierarchy.GetItemName(hierarchy.GetItemParent(item)) == "Selected visit"


def test_a_deleted_sequence_is_told_in_a_sentence(patient, scene) -> None:
    (maps,) = [
        node for node in nodes_of_class(scene, "vtkMRMLSequenceNode") if node.GetName() == "sub-07 Risk map sequence"
    ]
    scene.RemoveNode(patient.map(MapKind.RISK))
    scene.RemoveNode(maps)

    with pytest.raises(InputError, match="every visit's Risk map was deleted from the scene"):
        patient.apply(replace(patient.display, opacity=0.8))


def test_a_visit_added_keeps_what_the_reader_set(scene, phantom, three_visits, three_results) -> None:
    timeline = phantom.timeline(three_visits)
    patient = PatientScene.build(scene, replace(timeline, visits=timeline.visits[:2]))
    patient.selected_visit = 1
    kept = replace(patient.display, sequence="T1w", window=(0.2, 0.7), opacity=0.3)
    kept = replace(kept, threshold=0.4, volume_rendering="off")
    patient.apply(kept)
    patient.go_to((1.0, 2.0, 3.0))
    patient.update(timeline, three_results)

    assert len(patient.visits) == 3
    assert patient.selected_visit == 1
    assert patient.display == replace(kept, map_kind=MapKind.RISK)
    assert len(PatientScene.all_in(scene)) == 1
    kept = patient.display
    patient.update(timeline, three_results)
    assert patient.display == kept
    offsets = [node.GetSliceOffset() for node in nodes_of_class(scene, "vtkMRMLSliceNode")]
    assert sorted(np.abs(offsets).tolist()) == pytest.approx([1.0, 2.0, 3.0], abs=0.01)


def test_two_patients_in_one_scene_do_not_mix(scene, phantom, tmp_path) -> None:
    one = [phantom.Visit(0, gain=1.0), phantom.Visit(50, gain=2.0)]
    other = [phantom.Visit(0, gain=5.0), phantom.Visit(70, gain=6.0), phantom.Visit(90, gain=7.0)]
    first = PatientScene.build(scene, phantom.timeline(one), phantom.result(tmp_path / "a", one))
    count = scene.GetNumberOfNodes()
    second = PatientScene.build(
        scene, phantom.timeline(other, "sub-08"), phantom.result(tmp_path / "b", other, "sub-08")
    )
    first.selected_visit = 1
    second.selected_visit = 2

    assert [patient.patient for patient in PatientScene.all_in(scene)] == ["sub-07", "sub-08"]
    assert volume_of(first.volume()).voxels.max() == 1000
    assert volume_of(second.volume()).voxels.max() == 6000
    assert not first.peaks().GetDisplayNode().GetVisibility()
    assert second.peaks().GetDisplayNode().GetVisibility()
    composite = nodes_of_class(scene, "vtkMRMLSliceCompositeNode")[0]
    assert composite.GetBackgroundVolumeID() == second.volume().GetID()
    first.apply(first.display)
    assert composite.GetBackgroundVolumeID() == first.volume().GetID()
    second.remove()
    assert scene.GetNumberOfNodes() == count
    assert volume_of(first.volume()).voxels.max() == 1000


def test_patients_called_alike_have_labels_of_their_own_and_keep_them(scene, phantom, tmp_path) -> None:
    visits = [phantom.Visit(0), phantom.Visit(50)]
    timeline = phantom.timeline(visits)
    first, second = (PatientScene.build(scene, timeline) for _ in range(2))
    assert [one.label for one in PatientScene.all_in(scene)] == ["sub-07", "sub-07 (2)"]
    assert [one.browser.GetName() for one in (first, second)] == ["sub-07 visits", "sub-07 (2) visits"]
    assert [one.patient for one in (first, second)] == ["sub-07", "sub-07"]
    assert second.volume().GetName() == "sub-07 (2) FLAIR"

    first.remove()
    second.update(timeline, phantom.result(tmp_path / "result", visits))
    assert second.label == "sub-07 (2)"
    assert PatientScene.build(scene, timeline).label == "sub-07"
    assert PatientScene.build(scene, timeline).label == "sub-07 (3)"


def test_visits_compared_of_patients_called_alike_have_names_of_their_own(scene, phantom) -> None:
    timeline = phantom.timeline([phantom.Visit(0), phantom.Visit(50)])
    pairs = [PatientScene.build(scene, timeline).compare(1, 2) for _ in range(2)]
    assert [[visit.volume.GetName() for visit in (pair.first, pair.second)] for pair in pairs] == [
        ["sub-07 visit 1 FLAIR", "sub-07 visit 2 FLAIR"],
        ["sub-07 (2) visit 1 FLAIR", "sub-07 (2) visit 2 FLAIR"],
    ]


def test_a_patient_imported_beside_one_called_alike_is_renamed(scene, phantom, tmp_path) -> None:
    path = tmp_path / "saved.mrb"
    patient = PatientScene.build(scene, phantom.timeline([phantom.Visit(0), phantom.Visit(50)]))
    patient.save(path)
    assert scene.ReadFromMRB(str(path), False)
    tell_apart(scene)
    tell_apart(scene)

    found = PatientScene.all_in(scene)
    assert [one.label for one in found] == ["sub-07", "sub-07 (2)"]
    assert [one.browser.GetName() for one in found] == ["sub-07 visits", "sub-07 (2) visits"]
    hierarchy = hierarchy_of(scene)
    items = [hierarchy.GetItemByDataNode(one.browser) for one in found]
    names = [hierarchy.GetItemName(hierarchy.GetItemAncestorAtLevel(item, "Patient")) for item in items]
    assert names == ["sub-07", "sub-07 (2)"]


def test_names_and_facts_hold_no_more_than_bids_labels(patient, scene) -> None:
    names = {scene.GetNthNode(index).GetName() or "" for index in range(scene.GetNumberOfNodes())}
    ours = {name for name in names if "07" in name}

    assert all(name.startswith("sub-07") for name in ours)
    assert json.loads(nodes_of_class(scene, "vtkMRMLScriptedModuleNode")[0].GetParameter("patient")) == "sub-07"


def test_an_unknown_sequence_is_refused_in_a_sentence(patient) -> None:
    with pytest.raises(InputError, match="No visit has T2w; there are FLAIR, T1w"):
        patient.apply(replace(patient.display, sequence="T2w"))


def test_colours_can_be_picked_by_hand(patient) -> None:
    colours = {node.GetName(): node for node in nodes_of_class(slicer.mrmlScene, "vtkMRMLColorTableNode")}

    for name in ("sub-07 risk colours", "sub-07 change colours"):
        assert not colours[name].GetHideFromEditors()
        assert colours[name].GetNumberOfColors() == 256


def test_the_scale_is_the_greatest_value_whichever_visit_has_it(scene, phantom, tmp_path) -> None:
    visits = [phantom.Visit(100 * index, height=height) for index, height in enumerate((0.05, 0.3, 0.1))]
    patient = PatientScene.build(scene, phantom.timeline(visits), phantom.result(tmp_path / "result", visits))

    for kind, greatest in ((MapKind.RISK, 0.3), (MapKind.CHANGE, 0.25), (MapKind.CHANGE_FROM_FIRST, 0.25)):
        assert patient.scale_top(kind) == pytest.approx(greatest, rel=0.05)
    assert patient.default_visit == 2


def test_where_the_first_visit_has_no_map_nothing_is_called_a_change_since_then(scene, phantom, tmp_path) -> None:
    visits = [phantom.Visit(100 * index, height=height) for index, height in enumerate((None, 0.1, 0.3))]
    patient = PatientScene.build(scene, phantom.timeline(visits), phantom.result(tmp_path / "result", visits))

    assert patient.map_kinds == (MapKind.RISK, MapKind.CHANGE)
    assert patient.kinds_of(2) == (MapKind.RISK,)


def test_a_result_of_other_days_is_not_shown_on_a_timeline(scene, phantom, tmp_path) -> None:
    result = phantom.result(tmp_path / "result", [phantom.Visit(0), phantom.Visit(90)])
    before = nodes_and_observers(scene)

    with pytest.raises(InputError, match="holds a visit 2 that this timeline lacks or has on another day"):
        PatientScene.build(scene, phantom.timeline([phantom.Visit(0), phantom.Visit(91)]), result)
    assert nodes_and_observers(scene) == before
