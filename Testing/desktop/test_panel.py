"""The panel through PySide6 stand-ins: the whole way from a folder to an export, without a desktop Slicer."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import shutil
import unittest
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6 import QtGui, QtWidgets

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.numbers import significant
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.reading import read_timeline

DAYS = ["30", "121", "232"]


@pytest.fixture
def module(scene: Any) -> Any:
    """GliomaRisk.py."""
    return importlib.import_module("GliomaRisk")


@pytest.fixture
def widget(module: Any, helper: Any, scripted_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's widget, set up, with a worker that answers what the test says."""
    monkeypatch.setattr(helper("risk_logic"), "make_client", lambda: scripted_client)
    monkeypatch.setattr(helper("dependencies"), "is_own_python", lambda: False)
    made = module.GliomaRiskWidget()
    made.setup()
    made.logic.session._make_client = lambda: scripted_client
    yield made
    made.cleanup()


@pytest.fixture
def panel(widget: Any) -> Any:
    return widget.panel


@pytest.fixture
def read(panel: Any, small_series: Path, helper: Any) -> Any:
    """The panel with the small series read from its folder."""
    panel.parameters.source = helper("parameters").SeriesSource.FOLDER
    panel.parameters.folder = str(small_series)
    panel.series.read_folder()
    settle(panel)
    return panel


@pytest.fixture
def applied(read: Any, scripted_client: Any) -> Any:
    """The panel after Apply on the small series."""
    read.run.apply_or_cancel()
    scripted_client.done()
    settle(read)
    return read


@pytest.fixture(scope="session")
def other_series(small_series: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small series as another patient, on days of its own."""
    folder = tmp_path_factory.mktemp("other") / "sub-09"
    shutil.copytree(small_series, folder)
    for path in sorted(folder.rglob("sub-07*")):
        path.rename(path.with_name(path.name.replace("sub-07", "sub-09")))
    lines = ["session_id\tdays_since_treatment", "ses-01\t5", "ses-02\t1005", "ses-03\t2005"]
    (folder / "sub-09_sessions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def settle(panel: Any) -> None:
    """Let timers and messages be dealt with."""
    for _ in range(3):
        panel.logic.session.poll()
        QtWidgets.QApplication.processEvents()
    panel.refresh()


def open_without_risk(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open the series again with another day, for which there is no risk yet."""
    monkeypatch.setattr(panel, "ask", lambda question, details: True)
    panel.ui.visitsTable.item(0, 0).setText("31")
    settle(panel)
    panel.series.open_series()
    settle(panel)


def cell(panel: Any, line: int, column: int) -> str:
    return panel.ui.visitsTable.item(line, column).text()


def rows(panel: Any, helper: Any) -> Any:
    return helper("parameters").rows_of(panel.parameters)


def test_a_folder_becomes_a_table_of_visits_and_opening_it_leads_to_the_check(read: Any) -> None:
    assert [cell(read, line, 0) for line in range(3)] == DAYS
    assert [cell(read, line, 1) for line in range(3)] == ["", "91", "111"]
    assert [cell(read, 0, column) for column in range(2, 6)] == ["✓", "✓", "–", "–"]

    read.series.open_series()

    assert len(read.review.patient.visits) == 3
    assert read.ui.seriesStep.collapsed
    assert not read.ui.checkStep.collapsed
    assert "No risk yet" in read.ui.visitHeadline.text


def test_what_stands_in_the_line_is_read_by_the_button(panel: Any, helper: Any, small_series: Path) -> None:
    panel.parameters.source = helper("parameters").SeriesSource.FOLDER
    settle(panel)
    panel.ui.folderEdit.currentPath = str(small_series)
    panel.ui.readFolderButton.click()
    assert panel.ui.visitsTable.rowCount == 3

    panel.ui.folderEdit.currentPath = str(small_series.parent / "nowhere")
    panel.ui.readFolderButton.click()
    assert panel.ui.seriesStatus.text.startswith("There is nothing at the path given")
    assert panel.ui.visitsTable.rowCount == 3


def test_what_is_imported_into_the_dicom_database_comes_with_the_next_read(
    panel: Any, helper: Any, small_series: Path, other_series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = [small_series]
    monkeypatch.setattr(panel.logic, "linked_dicom", lambda patient: linked[-1])
    panel.parameters.source = helper("parameters").SeriesSource.DICOM
    panel.parameters.dicom_patient = "1"
    panel.series.read_dicom()
    settle(panel)
    linked.append(other_series)
    assert panel.series.stage(lambda sentence: None).path == small_series

    panel.series.read_dicom()
    settle(panel)
    assert [cell(panel, line, 0) for line in range(3)] == ["5", "1005", "2005"]


def test_a_day_typed_into_the_table_moves_its_visit_and_the_gaps(read: Any) -> None:
    read.ui.visitsTable.item(0, 0).setText("500")
    settle(read)

    assert [cell(read, line, 0) for line in range(3)] == ["121", "232", "500"]
    assert cell(read, 2, 1) == "268"


def test_two_visits_on_one_day_stop_apply_until_one_is_left_out(read: Any, standin_slicer: Any) -> None:
    from PySide6.QtCore import Qt  # noqa: PLC0415

    read.ui.visitsTable.item(0, 0).setText("121")
    settle(read)
    assert not read.ui.applyButton.enabled
    assert "Two visits are on this day" in read.ui.visitsTable.item(0, 0).toolTip()

    read.ui.visitsTable.item(0, 0).setCheckState(Qt.Unchecked)
    settle(read)
    assert read.ui.applyButton.enabled


def test_a_sequence_clicked_is_left_out_and_clicked_again_is_back(read: Any, scripted_client: Any) -> None:
    read.ui.visitsTable.cellClicked.emit(1, 3)
    settle(read)
    assert cell(read, 1, 3) == "–"
    read.run.apply_or_cancel()
    (timeline,) = scripted_client.timelines
    assert [visit.sequences for visit in timeline.visits] == [("FLAIR", "T2w"), ("FLAIR",), ("FLAIR", "T2w")]
    assert all(isinstance(source, VolumeFile) for visit in timeline.visits for source in visit.sources.values())

    read.run.apply_or_cancel()
    settle(read)
    read.ui.visitsTable.cellClicked.emit(1, 3)
    settle(read)
    assert cell(read, 1, 3) == "✓"


def test_removed_visits_come_back_by_undo_and_by_slicer_s_own_undo(read: Any, scene: Any, helper: Any) -> None:
    read.ui.visitsTable.setCurrentCell(1, 0)
    read.series.remove_visit()
    settle(read)
    assert [cell(read, line, 0) for line in range(read.ui.visitsTable.rowCount)] == ["30", "232"]
    read.series.undo_remove()
    settle(read)
    assert [cell(read, line, 0) for line in range(3)] == DAYS

    scene.SetUndoOn()
    try:
        read.ui.visitsTable.setCurrentCell(0, 0)
        read.series.remove_visit()
        settle(read)
        assert read.ui.visitsTable.rowCount == 2
        scene.Undo()
        settle(read)
        assert [cell(read, line, 0) for line in range(3)] == DAYS
    finally:
        scene.ClearUndoStack()
        scene.SetUndoOff()


def test_slicer_s_undo_knows_of_the_table_after_the_scene_was_closed_too(
    panel: Any, scene: Any, helper: Any, small_series: Path
) -> None:
    scene.Clear(0)
    settle(panel)
    panel.parameters.source = helper("parameters").SeriesSource.FOLDER
    panel.parameters.folder = str(small_series)
    panel.series.read_folder()
    settle(panel)
    scene.SetUndoOn()
    try:
        panel.ui.visitsTable.setCurrentCell(0, 0)
        panel.series.remove_visit()
        scene.Undo()
        settle(panel)
        assert [cell(panel, line, 0) for line in range(panel.ui.visitsTable.rowCount)] == DAYS
    finally:
        scene.ClearUndoStack()
        scene.SetUndoOff()


def test_slicer_s_undo_of_another_patient_s_reading_leaves_no_files_under_the_days_of_the_one_before(
    read: Any, scene: Any, other_series: Path, scripted_client: Any
) -> None:
    scene.SetUndoOn()
    try:
        read.ui.folderEdit.currentPath = str(other_series)
        read.ui.readFolderButton.click()
        settle(read)
        assert scene.GetNumberOfUndoLevels() == 1
        scene.Undo()
        settle(read)
    finally:
        scene.ClearUndoStack()
        scene.SetUndoOff()

    assert [cell(read, line, 0) for line in range(3)] == DAYS
    assert read.ui.seriesStatus.text.endswith("Press Read.")
    read.run.apply_or_cancel()
    assert scripted_client.asked == []


def test_slicer_s_undo_of_finding_volumes_gives_the_table_its_own_volumes_back(
    in_scene: Any, scene: Any, helper: Any
) -> None:
    first = scene.GetFirstNodeByName("P_20210401_FLAIR")
    scene.SetUndoOn()
    try:
        first.SetHideFromEditors(True)
        in_scene.series.find_volumes()
        settle(in_scene)
        assert cell(in_scene, 0, 2) == "–"
        assert scene.GetNumberOfUndoLevels() == 1
        scene.Undo()
        settle(in_scene)
    finally:
        scene.ClearUndoStack()
        scene.SetUndoOff()

    number = rows(in_scene, helper)[0].volumes["FLAIR"]
    assert helper("parameters").volume_of(in_scene.parameters, number) is first


def test_an_untouched_folder_goes_to_the_worker_as_it_is(read: Any, scripted_client: Any, small_series: Path) -> None:
    read.run.apply_or_cancel()

    assert scripted_client.asked[0]["timeline"] == small_series
    assert scripted_client.asked[0]["register"] == "auto"
    assert Path(scripted_client.asked[0]["model"]).name == "evidence-simulated-5"


def test_apply_turns_into_cancel_and_shows_the_stage_and_the_time_left(read: Any, scripted_client: Any) -> None:
    read.run.apply_or_cancel()
    scripted_client.say("progress", stage="prepare", fraction=0.4, message="Visit 2 of 3", seconds_left=42.0)
    settle(read)

    assert read.ui.applyButton.text == "Cancel"
    assert read.ui.runProgress.value == 40
    assert read.ui.runStatus.text == "Preparing · Visit 2 of 3 · about 40 s left"
    assert not read.ui.checkButton.enabled

    scripted_client.done()
    settle(read)
    assert read.ui.applyButton.text == "Apply"
    assert read.ui.runStatus.text == "Done in 3 s on the processor."


def test_a_cancelled_run_changes_nothing_and_leaves_no_file(read: Any, scripted_client: Any, scene: Any) -> None:
    read.ui.visitsTable.item(0, 0).setText("31")
    settle(read)
    before = scene.GetNumberOfNodes()
    read.run.apply_or_cancel()
    table = scripted_client.asked[0]["timeline"]
    assert table.is_file()

    read.run.apply_or_cancel()
    settle(read)

    assert read.ui.runStatus.text == "Cancelled. Nothing was changed."
    assert not table.parent.exists()
    assert scene.GetNumberOfNodes() == before
    assert read.ui.applyButton.text == "Apply"


def test_a_refusal_is_said_in_a_sentence_and_listed(read: Any, scripted_client: Any) -> None:
    finding = {
        "severity": "refusal",
        "code": "x",
        "message": "FLAIR of visit 2: empty.",
        "visit": 2,
        "sequence": "FLAIR",
    }
    read.run.apply_or_cancel()
    scripted_client.say("error", kind="input", message="FLAIR of visit 2: empty.", findings=[finding])
    settle(read)

    assert read.ui.runStatus.text == "FLAIR of visit 2: empty."
    assert read.ui.findingsList.count == 1
    assert read.ui.applyButton.enabled


def test_a_graphics_card_that_failed_is_said(read: Any, scripted_client: Any) -> None:
    note = {"severity": "warning", "code": "gpu_failed", "message": "The graphics card failed; the processor was used."}
    read.run.apply_or_cancel()
    scripted_client.done(notes=[{**note, "visit": None, "sequence": None}])
    settle(read)

    assert "The graphics card failed" in read.ui.runStatus.text


def test_devices_are_those_the_worker_has(panel: Any, scripted_client: Any) -> None:
    panel.logic.session.warm_up()
    devices = [{"name": "cpu", "label": "Processor, 8 cores"}, {"name": "cuda", "label": "NVIDIA H100"}]
    scripted_client.say("ready", devices=devices)
    settle(panel)
    combo = panel.ui.deviceCombo

    assert [combo.itemText(index) for index in range(combo.count)] == ["Automatic", "Processor, 8 cores", "NVIDIA H100"]
    combo.setCurrentIndex(2)
    assert panel.parameters.device == "cuda"


def test_opening_run_warms_the_worker_up(panel: Any, scripted_client: Any) -> None:
    assert not scripted_client.running

    panel.ui.runStep.collapsed = False

    assert scripted_client.running


def test_the_risk_is_shown_with_its_spread_and_the_days_between(applied: Any, helper: Any) -> None:
    assert not applied.ui.reviewStep.collapsed
    headline = applied.ui.visitHeadline.text
    assert "Visit 3 of 3, day 232 after treatment" in headline
    assert "Risk 41\u202f% within 365 days" in headline
    assert "ensemble's range 39 to 44\u202f%" in headline
    untreated = dataclasses.replace(applied.review.patient.visits[2], days_since_treatment=None)
    assert "Visit 3 of 3, day 202 after the first visit" in helper("review_step").headline(untreated, 3)
    strip = applied.review.strip.buttons
    assert [button.text.split("\n")[1] for button in strip] == ["5\u202f%", "12\u202f%", "41\u202f%"]
    assert [button.text.split("\n")[0] for button in strip] == ["1\u202f?", "2", "3"]
    assert [button.checked for button in strip] == [False, False, True]
    assert "111\u202fdays after the previous visit" in applied.ui.visitNotes.text
    assert "A warning of this visit." in applied.ui.visitNotes.text


def test_warnings_about_the_whole_timeline_stand_first_in_the_notes_also_in_a_scene_opened_again(
    read: Any, scripted_client: Any, scene: Any, tmp_path: Path
) -> None:
    read.run.apply_or_cancel()
    path = Path(scripted_client.asked[-1]["output"]) / "risk.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["warnings"] = [
        {"code": "x", "message": "Files are called by another label.", "severity": "warning"},
        {"code": "y", "message": "A note of the timeline.", "severity": "note"},
    ]
    path.write_text(json.dumps(content), encoding="utf-8")
    scripted_client.done()
    settle(read)
    wanted = "Files are called by another label. 111\u202fdays after the previous visit. A warning of this visit."
    assert read.ui.visitNotes.text == wanted

    read.review.patient.save(tmp_path / "saved.mrb")
    scene.Clear(0)
    settle(read)
    assert scene.ReadFromMRB(str(tmp_path / "saved.mrb"))
    settle(read)
    assert read.ui.visitNotes.text == wanted


def test_a_visit_clicked_in_the_strip_is_shown_and_so_is_one_chosen_elsewhere(applied: Any) -> None:
    applied.review.strip.buttons[0].click()
    settle(applied)
    assert applied.review.patient.selected_visit == 1
    assert "Visit 1 of 3" in applied.ui.visitHeadline.text

    applied.review.patient.browser.SetSelectedItemNumber(1)  # as Slicer's own slider does
    settle(applied)
    assert "Visit 2 of 3" in applied.ui.visitHeadline.text
    assert [button.checked for button in applied.review.strip.buttons] == [False, True, False]


def test_how_the_map_was_checked_stands_beside_it(applied: Any) -> None:
    assert applied.ui.mapCheckLabel.text == "Maps of random weights are unlike these."
    applied.ui.mapCombo.setCurrentIndex(applied.ui.mapCombo.findData(""))
    applied.refresh()
    assert applied.ui.mapCheckLabel.text == ""


def test_what_the_reader_sets_is_kept_in_the_patient(applied: Any) -> None:
    applied.ui.opacitySlider.value = 80
    applied.ui.thresholdSlider.value = 25
    applied.ui.mapCombo.setCurrentIndex(applied.ui.mapCombo.findData("change"))
    applied.ui.sequenceCombo.setCurrentIndex(1)

    display = applied.review.patient.display
    assert (display.opacity, display.threshold, display.sequence) == (0.8, 0.25, "T2w")
    assert display.map_kind.value == "change"
    assert applied.ui.legendLabel.text.startswith("−")


def test_a_peak_clicked_is_gone_to(applied: Any, scene: Any) -> None:
    applied.ui.peaksTable.cellClicked.emit(0, 0)
    patient = applied.review.patient
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode").GetCrosshairRAS()

    np.testing.assert_allclose(crosshair, patient.peak_ras(3, "A"), atol=0.01)
    assert applied.ui.peaksTable.item(0, 1).text() == "40\u202f%"


def test_a_second_apply_renews_the_patient_and_keeps_what_was_set(applied: Any, scripted_client: Any) -> None:
    applied.ui.opacitySlider.value = 90
    applied.ui.visitsTable.item(0, 0).setText("29")
    settle(applied)
    applied.run.apply_or_cancel()
    scripted_client.done()
    settle(applied)

    assert len(applied.logic.patients()) == 1
    assert applied.review.patient.patient == "sub-07"
    assert applied.review.patient.visits[0].days_since_treatment == 29
    assert applied.review.patient.display.opacity == 0.9


def test_two_patients_live_in_one_scene_and_the_one_shown_is_chosen(
    applied: Any, scripted_client: Any, small_series: Path, tmp_path: Path, scene: Any
) -> None:
    other = tmp_path / "sub-09"
    shutil.copytree(small_series, other)
    for path in sorted(other.rglob("sub-07*")):
        path.rename(path.with_name(path.name.replace("sub-07", "sub-09")))
    first = applied.review.patient
    applied.parameters.folder = str(other)
    applied.series.read_folder()
    applied.run.apply_or_cancel()
    scripted_client.done()
    settle(applied)
    assert [patient.patient for patient in applied.logic.patients()] == ["sub-07", "sub-09"]
    assert applied.review.patient.patient == "sub-09"

    applied.ui.patientSelector.setCurrentNode(first.browser)
    settle(applied)
    assert applied.review.patient.patient == "sub-07"
    assert applied.parameters.series_patient is not first.browser

    applied.review.patient.save(tmp_path / "two.mrb")
    scene.Clear(0)
    settle(applied)
    assert scene.ReadFromMRB(str(tmp_path / "two.mrb"))
    settle(applied)
    assert applied.review.patient.patient == "sub-07"
    assert applied.patient_of(applied.parameters.series_patient).patient == "sub-09"

    applied.review.remove_patient()
    settle(applied)
    assert [patient.patient for patient in applied.logic.patients()] == ["sub-09"]
    assert applied.review.patient.patient == "sub-09"
    assert applied.parameters.series_patient is applied.review.patient.browser


def test_a_closed_scene_leaves_an_empty_panel_that_works(
    applied: Any, scene: Any, helper: Any, small_series: Any
) -> None:
    scene.Clear(0)
    settle(applied)

    assert applied.review.patient is None
    assert rows(applied, helper) == ()
    assert applied.ui.visitsTable.rowCount == 0
    assert applied.ui.peaksTable.rowCount == 0
    assert not applied.ui.applyButton.enabled
    applied.parameters.source = helper("parameters").SeriesSource.FOLDER
    applied.parameters.folder = str(small_series)
    applied.series.read_folder()
    assert applied.ui.visitsTable.rowCount == 3


def test_a_saved_scene_reopened_leaves_the_panel_right(applied: Any, scene: Any, helper: Any, tmp_path: Path) -> None:
    applied.ui.visitsTable.item(0, 0).setText("28")
    applied.ui.opacitySlider.value = 70
    applied.review.go_to_visit(2)
    settle(applied)
    path = tmp_path / "saved.mrb"
    applied.review.patient.save(path)
    scene.Clear(0)
    settle(applied)

    assert scene.ReadFromMRB(str(path))
    settle(applied)

    assert [row.day for row in rows(applied, helper)] == ["28", "121", "232"]
    assert applied.review.patient.patient == "sub-07"
    assert "Visit 2 of 3" in applied.ui.visitHeadline.text
    assert applied.ui.opacitySlider.value == 70
    assert applied.parameters.source is helper("parameters").SeriesSource.FOLDER
    applied.run.apply_or_cancel()  # the folder is read again by itself
    assert applied.ui.applyButton.text == "Cancel"


def test_nothing_is_observed_any_more_after_the_module_is_unloaded(
    widget: Any, panel: Any, read: Any, scene: Any, scripted_client: Any
) -> None:
    node, changes = widget._binding.parameters.parameterNode, []
    read.series.open_series()
    browser = read.review.patient.browser
    for _ in range(3):
        widget.enter()
        scene.InvokeEvent(scene.EndImportEvent)
    panel.logic.session.warm_up()
    widget.cleanup()
    panel.refresh_later = lambda: changes.append("called")
    node.Modified()
    browser.Modified()
    scene.InvokeEvent(scene.EndCloseEvent)

    assert changes == []
    assert panel._observed is None
    assert widget.Observations == [] if hasattr(widget, "Observations") else True
    assert scripted_client.closed


def test_the_panel_s_widgets_set_nothing_any_more_after_the_module_is_unloaded(
    widget: Any, panel: Any, helper: Any
) -> None:
    combo, parameters = panel.ui.sourceCombo, widget._binding.parameters
    sources = list(helper("parameters").SeriesSource)
    combo.setCurrentIndex(1)
    assert parameters.source is sources[1]

    widget.cleanup()

    combo.setCurrentIndex(2)
    assert parameters.source is sources[1]
    parameters.source = sources[0]
    assert combo.currentIndex == 2


def test_the_worker_s_files_go_when_the_module_is_unloaded(widget: Any, applied: Any) -> None:
    folder = applied.logic._temporary
    assert folder.is_dir()

    widget.cleanup()

    assert not folder.exists()


def test_a_fault_of_ours_is_a_sentence_in_the_panel_and_a_trace_in_the_log(
    read: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stage(say: Any) -> None:
        raise ValueError("/home/Doe_Jane/2021-03-04")

    monkeypatch.setattr(read.series, "stage", stage)

    read.series.open_series()

    assert read.ui.seriesStatus.text.startswith("Something failed in the module itself (ValueError)")
    assert re.search(r"ValueError.*series_step\.py:\d+", caplog.text)
    assert "Doe_Jane" not in caplog.text


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_no_step_needs_more_than_400_pixels(applied: Any, step: int) -> None:
    applied.parameters.open_step = step
    applied._show_steps()
    for group in ("peaksGroup", "measurementsGroup", "compareGroup", "exportGroup"):
        getattr(applied.ui, group).collapsed = False
    QtWidgets.QWidget.show(applied.interface)
    settle(applied)

    assert QtWidgets.QWidget.minimumSizeHint(applied.interface).width() <= 400


def show_window(panel: Any, step: int) -> None:
    """Show the whole panel as wide as Slicer's, one step open."""
    panel.parameters.open_step = step
    panel._show_steps()
    window = panel.ui.seriesStep.window()
    QtWidgets.QWidget.resize(window, 400, 300)
    QtWidgets.QWidget.show(window)
    QtWidgets.QWidget.activateWindow(window)
    settle(panel)


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_tables_show_their_heads_and_lines_whole_whatever_the_font(applied: Any, scale: float) -> None:
    applied.ui.measurementsGroup.collapsed = False
    tables = [applied.ui.visitsTable, applied.ui.peaksTable, applied.ui.measurementsTable]
    for table, step in zip(tables, (1, 4, 4), strict=True):
        font = table.font
        font.setPointSizeF(font.pointSizeF() * scale)
        table.setFont(font)
        table.horizontalHeader().setFont(font)
        table.updateGeometry()  # in Slicer the font is there before the table
        show_window(applied, step)
        header = table.horizontalHeader()

        assert [one for one in range(header.count()) if header.sectionSize(one) < header.sectionSizeHint(one)] == []
        lines = table.verticalHeader()
        assert [one for one in range(lines.count()) if lines.sectionSize(one) < table.sizeHintForRow(one)] == []
        assert table.viewport().height() >= lines.length() > 0


def test_a_panel_as_low_as_it_may_be_cuts_no_table_and_no_scale(applied: Any) -> None:
    applied.ui.measurementsGroup.collapsed = False
    show_window(applied, 4)
    table, label = applied.ui.measurementsTable, applied.ui.legendLabel
    for _ in range(3):
        table.insertRow(0)
        QtWidgets.QApplication.processEvents()
    QtWidgets.QWidget.resize(applied.ui.seriesStep.window(), 400, 300)
    QtWidgets.QApplication.processEvents()

    assert table.rowCount == 4
    assert table.viewport().height() >= table.verticalHeader().length()
    assert label.height >= label.fontMetrics().height() + 8


def test_every_table_and_list_is_left_by_the_tab_key_and_answers_to_return(applied: Any, scripted_client: Any) -> None:
    from PySide6.QtCore import Qt  # noqa: PLC0415
    from PySide6.QtTest import QTest  # noqa: PLC0415

    def press(widget: Any, step: int, key: Any) -> None:
        show_window(applied, step)
        QtWidgets.QWidget.setFocus(widget)
        settle(applied)
        assert QtWidgets.QWidget.hasFocus(widget)
        QTest.keyClick(widget, key)
        settle(applied)

    ui, patient = applied.ui, applied.review.patient
    applied.check.keep_findings([{"severity": "note", "code": "a", "message": "A.", "visit": 2, "sequence": "T2w"}])
    settle(applied)
    ui.measurementsGroup.collapsed = False
    for widget, step in ((ui.visitsTable, 1), (ui.findingsList, 2), (ui.peaksTable, 4), (ui.measurementsTable, 4)):
        press(widget, step, Qt.Key_Tab)
        assert not QtWidgets.QWidget.hasFocus(widget)

    ui.visitsTable.setCurrentCell(1, 3)
    press(ui.visitsTable, 1, Qt.Key_Return)
    assert cell(applied, 1, 3) == "–"
    assert (ui.visitsTable.currentRow(), ui.visitsTable.currentColumn()) == (1, 3)
    ui.findingsList.setCurrentRow(0)
    press(ui.findingsList, 2, Qt.Key_Return)
    assert (patient.selected_visit, patient.display.sequence) == (2, "T2w")
    ui.peaksTable.setCurrentCell(0, 0)
    press(ui.peaksTable, 4, Qt.Key_Enter)
    import slicer  # noqa: PLC0415

    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode").GetCrosshairRAS()
    np.testing.assert_allclose(crosshair, patient.peak_ras(2, "A"), atol=0.01)


def test_return_on_a_day_begins_to_edit_it(read: Any) -> None:
    from PySide6.QtCore import Qt  # noqa: PLC0415
    from PySide6.QtTest import QTest  # noqa: PLC0415

    show_window(read, 1)
    QtWidgets.QWidget.setFocus(read.ui.visitsTable)
    read.ui.visitsTable.setCurrentCell(1, 0)
    settle(read)
    QTest.keyClick(read.ui.visitsTable, Qt.Key_Return)

    assert QtWidgets.QTableWidget.state(read.ui.visitsTable) == QtWidgets.QAbstractItemView.EditingState


def test_checking_lists_what_was_found_worst_first_and_a_click_shows_the_volume(
    read: Any, scripted_client: Any
) -> None:
    findings = [
        {"severity": "note", "code": "a", "message": "A note.", "visit": 1, "sequence": None},
        {"severity": "warning", "code": "b", "message": "A warning.", "visit": 2, "sequence": "T2w"},
    ]
    read.series.open_series()
    read.check.check()
    scripted_client.say("progress", stage="check", fraction=0.5, message="Visit 2 of 3", seconds_left=None)
    settle(read)
    assert read.ui.checkStatus.text == "Visit 2 of 3"
    scripted_client.done(check={"patient": "sub-07", "refused": False, "visits": [], "findings": findings})
    settle(read)

    texts = [read.ui.findingsList.item(index).text() for index in range(2)]
    assert texts == ["A warning.", "A note."]
    assert not read.ui.runStep.collapsed
    read.ui.findingsList.clicked.emit(read.ui.findingsList.model().index(0, 0))
    assert read.review.patient.selected_visit == 2
    assert read.review.patient.display.sequence == "T2w"


@pytest.mark.parametrize("ask", ["check", "register"])
def test_a_check_or_registration_is_cancelled_by_the_button_and_changes_nothing(
    read: Any, scripted_client: Any, ask: str
) -> None:
    finding = {"severity": "note", "code": "a", "message": "A note.", "visit": 1, "sequence": None}
    read.check.check()
    scripted_client.done(check={"patient": "sub-07", "refused": False, "visits": [], "findings": [finding]})
    settle(read)
    {"check": read.ui.checkButton.click, "register": read.ui.registerButton.click}[ask]()
    settle(read)
    assert (read.ui.checkButton.text, read.ui.checkButton.enabled) == ("Cancel", True)

    read.ui.checkButton.click()
    assert read.ui.checkStatus.text == "Cancelling…"
    settle(read)
    assert len(scripted_client.asked) == 2
    assert (read.ui.checkButton.text, read.ui.checkButton.enabled) == ("Check series", True)
    assert read.ui.checkStatus.text == "Cancelled. Nothing was changed."
    assert read.check.findings == [finding]
    assert read.logic.patients() == []


def test_a_run_under_way_is_not_cancelled_by_the_check(read: Any) -> None:
    read.run.apply_or_cancel()
    settle(read)

    assert (read.ui.checkButton.text, read.ui.checkButton.enabled) == ("Check series", False)


def test_a_table_changed_after_its_check_is_said(read: Any, scripted_client: Any) -> None:
    read.check.check()
    scripted_client.done(check={"patient": "sub-07", "refused": False, "visits": [], "findings": []})
    settle(read)
    read.ui.visitsTable.item(0, 0).setText("10")
    settle(read)

    assert read.ui.checkStatus.text == "The table of visits was changed since this check."


def test_a_check_of_a_changed_table_shows_how_far_it_has_come_and_that_it_was_cancelled(
    read: Any, scripted_client: Any
) -> None:
    read.check.check()
    scripted_client.done(check={"patient": "sub-07", "refused": False, "visits": [], "findings": []})
    settle(read)
    read.ui.visitsTable.item(0, 0).setText("10")
    settle(read)
    read.check.check()
    scripted_client.say("progress", stage="check", fraction=0.5, message="Visit 2 of 3", seconds_left=None)
    settle(read)
    assert read.ui.checkStatus.text == "Visit 2 of 3"
    read.ui.checkButton.click()
    read.refresh()
    assert read.ui.checkStatus.text == "Cancelling…"
    settle(read)
    assert read.ui.checkStatus.text == "Cancelled. Nothing was changed."


def test_a_table_that_is_again_as_it_was_checked_is_called_changed_no_more(read: Any, scripted_client: Any) -> None:
    read.check.check()
    scripted_client.done(check={"patient": "sub-07", "refused": False, "visits": [], "findings": []})
    settle(read)
    for day in ("10", "30"):
        read.ui.visitsTable.item(0, 0).setText(day)
        settle(read)

    assert read.ui.checkStatus.text == ""


def place_of(panel: Any, sequence: str) -> list[float]:
    """How far along R a sequence of the selected visit lies from where its file says."""
    import vtk  # noqa: PLC0415

    matrix = vtk.vtkMatrix4x4()
    panel.review.patient.volume(sequence).GetParentTransformNode().GetMatrixTransformToParent(matrix)
    return [matrix.GetElement(row, 3) for row in range(3)]


def test_registering_a_folder_shows_its_visits_aligned_with_no_risk_computed(
    read: Any, scripted_client: Any, helper: Any
) -> None:
    read.series.open_series()
    read.check.register()
    assert not read.ui.applyButton.enabled
    scripted_client.done()
    settle(read)

    assert [asked["request"] for asked in scripted_client.asked] == ["register"]
    assert len(read.logic.patients()) == 1
    for number, shift in ((1, 0.0), (2, 4.0), (3, 6.0)):
        read.review.go_to_visit(number)
        assert place_of(read, "FLAIR") == [shift, 0.0, 0.0]
        assert place_of(read, "T2w") == [0.0, 0.0, 0.0]
    assert all(visit.risk is None for visit in read.review.patient.visits)
    assert read.ui.findingsList.item(0).text() == "FLAIR of visit 2 was moved."
    assert read.ui.checkStatus.text.startswith("Every visit is aligned with the first.")


def test_registering_takes_no_risk_away(applied: Any, scripted_client: Any) -> None:
    applied.check.register()
    scripted_client.done()
    settle(applied)

    assert [visit.risk for visit in applied.review.patient.visits] == [0.05, 0.12, 0.41]
    assert "stays where its risk was computed" in applied.ui.checkStatus.text


def test_an_uncertain_risk_is_called_so_beside_the_number(applied: Any) -> None:
    applied.review.go_to_visit(1)
    settle(applied)
    said = "uncertain: one visit so far, members at odds"

    assert f"Risk 5\u202f% within 365 days, {said}" in applied.ui.visitHeadline.text
    assert said in applied.review.strip.buttons[0].toolTip
    applied.review.go_to_visit(2)
    settle(applied)
    assert "uncertain" not in applied.ui.visitHeadline.text
    assert "dashed" in applied.review.strip.buttons[0].styleSheet
    assert "dashed" not in applied.review.strip.buttons[1].styleSheet


# Whatever happens meanwhile


def test_a_scene_closed_while_a_risk_is_computed_gets_none_of_it(
    read: Any, scripted_client: Any, scene: Any, helper: Any
) -> None:
    read.series.open_series()
    read.run.apply_or_cancel()
    scripted_client.done()  # it had ended when the scene was closed, and its cancel came too late
    scene.Clear(0)
    settle(read)

    assert read.logic.patients() == []
    assert read.review.patient is None
    assert read.parameters.series_patient is None
    assert rows(read, helper) == ()
    assert read.ui.runStatus.text == "The scene was closed, and the risk computed for it was dropped."
    assert read.ui.applyButton.text == "Apply"


def test_a_scene_closed_while_visits_are_registered_gets_none_of_it(
    read: Any, scripted_client: Any, scene: Any
) -> None:
    read.check.register()
    scripted_client.done()
    scene.Clear(0)
    settle(read)

    assert read.logic.patients() == []
    assert read.parameters.findings == ""
    assert read.ui.checkStatus.text == ""


def test_a_patient_closed_while_its_risk_is_computed_comes_back_with_it(read: Any, scripted_client: Any) -> None:
    read.series.open_series()
    read.run.apply_or_cancel()
    read.review.remove_patient()
    scripted_client.done()
    settle(read)

    assert [patient.patient for patient in read.logic.patients()] == ["sub-07"]
    assert read.review.patient.visits[2].risk == 0.41


def results_kept(panel: Any) -> list[str]:
    """Folders of results that lie among the module's temporary files."""
    return sorted(path.name for path in panel.logic._temporary.glob("*-result"))


def test_a_result_goes_with_its_patient_and_with_the_next_result(applied: Any, scripted_client: Any) -> None:
    (first,) = results_kept(applied)
    applied.run.apply_or_cancel()
    scripted_client.done()
    settle(applied)
    (second,) = results_kept(applied)
    assert second != first
    assert applied.logic.output_of(applied.review.patient).name == second
    assert list(applied.logic._outputs) == [applied.review.patient.browser]

    applied.review.remove_patient()
    settle(applied)
    assert results_kept(applied) == []
    assert applied.logic._outputs == {}
    assert applied._patients == {}


def test_a_result_goes_with_the_scene_and_with_a_series_opened_without_its_risk(
    applied: Any, scripted_client: Any, scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_without_risk(applied, monkeypatch)
    assert results_kept(applied) == []

    applied.run.apply_or_cancel()
    scripted_client.done()
    settle(applied)
    assert len(results_kept(applied)) == 1
    scene.Clear(0)
    settle(applied)
    assert results_kept(applied) == []
    assert applied.logic._outputs == {}


def test_what_is_being_typed_survives_whatever_else_happens(read: Any, scene: Any) -> None:
    read.ui.folderEdit.blockSignals(True)  # as where the text is no path yet
    read.ui.folderEdit.currentPath = "/nowhere/yet"
    read.ui.folderEdit.blockSignals(False)
    told: list[Any] = []
    read.ui.visitsTable.model().dataChanged.connect(lambda *where: told.append(where))
    scene.AddNewNodeByClass("vtkMRMLModelNode", "another")
    settle(read)

    assert read.ui.folderEdit.currentPath == "/nowhere/yet"
    assert told == []  # an editor that is open in the table would be given the old text again


# Another source than the table's


def ways_on(panel: Any) -> list[bool]:
    """Whether the table can be opened, checked and computed from."""
    return [getattr(panel.ui, name).enabled for name in ("openSeriesButton", "checkButton", "applyButton")]


def test_a_table_is_not_handed_on_with_the_files_of_another_folder(
    read: Any, other_series: Path, small_series: Path, scripted_client: Any
) -> None:
    read.ui.folderEdit.currentPath = str(other_series)
    settle(read)
    assert ways_on(read) == [False] * 3
    for label in (read.ui.seriesStatus, read.ui.checkStatus, read.ui.runStatus):
        assert label.text.endswith("Press Read.")

    read.run.apply_or_cancel()
    read.check.check()
    assert scripted_client.asked == []
    assert read.ui.runStatus.text.endswith("Press Read.")

    read.ui.folderEdit.currentPath = f"{small_series}/"
    settle(read)
    assert ways_on(read) == [True] * 3
    assert read.ui.runStatus.text == ""

    read.ui.folderEdit.currentPath = str(other_series)
    read.ui.readFolderButton.click()
    settle(read)
    assert ways_on(read) == [True] * 3
    assert "3 visits over" in read.ui.seriesStatus.text
    read.run.apply_or_cancel()
    (timeline,) = scripted_client.timelines
    assert [visit.days_since_treatment for visit in timeline.visits] == [5, 1005, 2005]


def test_a_table_is_not_handed_on_with_the_files_of_another_dicom_patient(
    read: Any, helper: Any, scripted_client: Any
) -> None:
    read.parameters.dicom_patient = "2"
    read.parameters.source = helper("parameters").SeriesSource.DICOM
    read.refresh()
    assert ways_on(read) == [False] * 3
    helper("parameters").keep_source(read.parameters)
    read.refresh()
    assert ways_on(read) == [True] * 3

    read.parameters.dicom_patient = "3"
    read.refresh()
    assert ways_on(read) == [False] * 3
    read.run.apply_or_cancel()
    assert scripted_client.asked == []


def test_volumes_of_the_scene_do_not_join_a_folder_s_table(read: Any, helper: Any) -> None:
    read.parameters.source = helper("parameters").SeriesSource.SCENE
    settle(read)

    assert not read.ui.addVisitButton.enabled
    assert read.ui.seriesStatus.text.endswith("Press Find volumes.")
    assert cell(read, 0, 2) == "✓"
    read.ui.visitsTable.cellClicked.emit(1, 3)
    assert cell(read, 1, 3) == "✓"


def test_an_exported_scene_s_table_is_not_joined_to_a_folder_named_later(
    read: Any, helper: Any, scene: Any, other_series: Path, scripted_client: Any, tmp_path: Path
) -> None:
    read.series.open_series()
    (name,) = written(read, helper, "scene", tmp_path)
    scene.Clear(0)
    settle(read)
    assert scene.ReadFromMRB(str(tmp_path / name))
    settle(read)
    assert [cell(read, line, 0) for line in range(3)] == DAYS

    read.ui.folderEdit.currentPath = str(other_series)
    settle(read)
    read.run.apply_or_cancel()
    assert scripted_client.asked == []
    assert read.ui.runStatus.text.endswith("Press Read.")


def test_a_visit_that_left_its_folder_since_it_was_read_is_said(
    panel: Any, helper: Any, small_series: Path, scene: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "sub-07"
    shutil.copytree(small_series, folder)
    panel.parameters.source = helper("parameters").SeriesSource.FOLDER
    panel.parameters.folder = str(folder)
    panel.series.read_folder()
    shutil.rmtree(folder / "ses-02")
    (folder / "sub-07_sessions.tsv").write_text("session_id\tdays_since_treatment\nses-01\t30\nses-03\t232\n")
    panel.series.source.forget()  # as where the scene was saved and opened another day

    panel.series.open_series()

    assert panel.ui.seriesStatus.text == "Visit 2 of the table is not in the series any more. Press Read."


def dated(small_series: Path, folder: Path, *days: str) -> None:
    """Put files of the small series' visits into a folder, by their dates."""
    folder.mkdir(exist_ok=True)
    for number, day in enumerate(days, start=1):
        for sequence in ("FLAIR", "T2w"):
            source = small_series / f"ses-{number:02d}" / "anat" / f"sub-07_ses-{number:02d}_{sequence}.nii.gz"
            shutil.copyfile(source, folder / f"P_{day}_{sequence}.nii.gz")


@pytest.mark.parametrize("days", [("20200101", "20200331"), ("20200101",)])
def test_a_saved_table_joins_no_files_that_have_another_day_under_its_number_by_now(
    panel: Any, helper: Any, small_series: Path, scripted_client: Any, scene: Any, tmp_path: Path, days: tuple[str, ...]
) -> None:
    folder = tmp_path / "files"
    dated(small_series, folder, *days)
    panel.parameters.source = helper("parameters").SeriesSource.FOLDER
    panel.parameters.folder = str(folder)
    panel.series.read_folder()
    panel.series._set_volume(rows(panel, helper)[0], "T2w", None)
    panel.ui.visitsTable.item(0, 0).setText("2020-01-02")
    settle(panel)
    assert scene.WriteToMRB(str(tmp_path / "saved.mrb"))
    scene.Clear(0)
    settle(panel)
    dated(small_series, folder, "20191003")  # as many days before: days since the first visit would tell nothing
    assert scene.ReadFromMRB(str(tmp_path / "saved.mrb"))
    settle(panel)
    panel.series.source.forget()  # as in another Slicer

    panel.run.apply_or_cancel()
    assert scripted_client.asked == []
    assert panel.ui.runStatus.text == "Visit 1 of the table is on another day in the series now. Press Read."
    panel.ui.visitsTable.cellClicked.emit(0, 3)
    assert panel.ui.seriesStatus.text == "This visit is on another day in the series now. Press Read."
    assert cell(panel, 0, 3) == "–"

    panel.ui.readFolderButton.click()
    settle(panel)
    assert [cell(panel, line, 0) for line in range(2)] == ["2019-10-03", "2020-01-01"]
    panel.run.apply_or_cancel()
    assert len(scripted_client.asked) == 1


def test_a_later_file_changes_nothing_of_the_visits_that_a_saved_table_has(
    panel: Any, helper: Any, small_series: Path, scripted_client: Any, tmp_path: Path
) -> None:
    dated(small_series, tmp_path / "files", "20200101", "20200331")
    panel.parameters.source = helper("parameters").SeriesSource.FOLDER
    panel.parameters.folder = str(tmp_path / "files")
    panel.series.read_folder()
    kept = rows(panel, helper)
    parameters = helper("parameters")
    old = tuple(dataclasses.replace(row, day_read="") for row in kept)  # as of a scene that was saved without it
    for table in (kept, old):
        dated(small_series, tmp_path / "files", "20200101", "20200331", "20200901")
        parameters.set_rows(panel.parameters, table)
        panel.series.source.forget()
        panel.run.apply_or_cancel()
        scripted_client.done()
        settle(panel)
        assert [visit.days_since_first for visit in scripted_client.timelines[-1].visits] == [0, 90]


# A risk that is there


def risks(panel: Any) -> list[list[float | None]]:
    """Of every visit of every patient of the scene."""
    return [[visit.risk for visit in patient.visits] for patient in panel.logic.patients()]


def test_opening_a_series_whose_risk_is_there_shows_it(applied: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(applied, "ask", lambda question, details: bool(asked.append(question)))
    applied.review.go_to_visit(2)
    applied.series.open_series()
    settle(applied)

    assert risks(applied) == [[0.05, 0.12, 0.41]]
    assert asked == []
    assert applied.review.patient.selected_visit == 2
    assert not applied.ui.checkStep.collapsed


@pytest.mark.parametrize("agreed", [False, True])
def test_opening_a_changed_series_asks_before_its_risk_goes(
    applied: Any, monkeypatch: pytest.MonkeyPatch, agreed: bool
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(applied, "ask", lambda question, details: asked.append(question) or agreed)
    applied.ui.visitsTable.item(0, 0).setText("29")
    settle(applied)
    applied.series.open_series()
    settle(applied)

    assert len(asked) == 1
    assert risks(applied) == [[None] * 3 if agreed else [0.05, 0.12, 0.41]]
    assert (applied.ui.seriesStatus.text == "Nothing was changed.") is not agreed


def test_the_patient_shown_after_one_was_closed_is_in_the_viewers(
    applied: Any, other_series: Path, scripted_client: Any, scene: Any
) -> None:
    from TemporalGliomaRisk.scene.slices import nodes_of_class  # noqa: PLC0415

    applied.parameters.folder = str(other_series)
    applied.series.read_folder()
    applied.run.apply_or_cancel()
    scripted_client.done()
    settle(applied)
    applied.ui.removePatientButton.click()
    settle(applied)

    patient = applied.review.patient
    assert patient.patient == "sub-07"
    shown = {one.GetBackgroundVolumeID() for one in nodes_of_class(scene, "vtkMRMLSliceCompositeNode")}
    assert shown == {patient.volume().GetID()}


# Another series while the worker is at work


def test_no_other_series_is_read_while_the_worker_is_at_work(
    read: Any, helper: Any, other_series: Path, scripted_client: Any
) -> None:
    read.run.apply_or_cancel()
    settle(read)
    names = helper("series_step").TABLE_WIDGETS
    assert [name for name in names if getattr(read.ui, name).enabled] == []

    before = read.series.state
    read.parameters.folder = str(other_series)  # as a script may
    read.series.read_folder()
    assert "The worker is at work on this table" in read.ui.seriesStatus.text
    read.series.find_volumes()
    read.series.open_sample("sub-01")
    assert read.series.state == before
    assert read.logic.patients() == []

    scripted_client.done()
    settle(read)
    assert [name for name in names if not getattr(read.ui, name).enabled] == []


def read_meanwhile(panel: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read another series although the worker is at work, as a scene that is loaded can bring one."""
    with monkeypatch.context() as patch:
        patch.setattr(panel.series, "_free", lambda: True, raising=False)
        panel.parameters.folder = str(folder)
        panel.series.read_folder()
    settle(panel)


def test_a_risk_becomes_no_other_series_s_that_was_read_meanwhile(
    read: Any, other_series: Path, scripted_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read.run.apply_or_cancel()
    read_meanwhile(read, other_series, monkeypatch)
    scripted_client.done()
    settle(read)
    assert read.review.patient.patient == "sub-07"
    assert read.parameters.series_patient is None
    assert "this is the risk of the table as it was" in read.ui.runStatus.text

    read.run.apply_or_cancel()
    scripted_client.done()
    settle(read)
    days = {one.patient: [visit.days_since_treatment for visit in one.visits] for one in read.logic.patients()}
    assert days == {"sub-07": [30, 121, 232], "sub-09": [5, 1005, 2005]}


@pytest.mark.parametrize("ask", ["check", "register", "apply"])
def test_findings_become_no_other_series_s_that_was_read_meanwhile(
    read: Any, other_series: Path, scripted_client: Any, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    finding = {"severity": "refusal", "code": "x", "message": "Bad.", "visit": 1, "sequence": None}
    {"check": read.check.check, "register": read.check.register, "apply": read.run.apply_or_cancel}[ask]()
    read_meanwhile(read, other_series, monkeypatch)
    if ask == "check":
        scripted_client.done(check={"findings": [finding], "refused": True})
    elif ask == "register":
        scripted_client.done()
    else:
        scripted_client.say("error", kind="input", message="Bad.", findings=[finding])
    settle(read)

    assert read.check.findings == []
    assert read.logic.patients() == []
    wanted = "Bad." if ask == "apply" else "The table of visits was changed meanwhile. Check it again."
    assert (read.ui.runStatus if ask == "apply" else read.ui.checkStatus).text == wanted


# Viewers


@pytest.fixture
def viewers(standin_slicer: Any, scene: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A layout manager that makes the slice nodes of a layout."""
    import slicer  # noqa: PLC0415

    manager = standin_slicer.standins.LayoutManager(scene, slicer.app.applicationLogic())
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: manager)
    for name in ("resetSliceViews", "resetThreeDViews"):
        monkeypatch.setattr(slicer.util, name, lambda: None)
    yield manager
    manager.close()


def layers(scene: Any, tag: str) -> tuple[Any, Any]:
    """Background and foreground of a slice view."""
    import slicer  # noqa: PLC0415

    node = scene.GetSingletonNode(tag, "vtkMRMLSliceNode")
    composite = slicer.app.applicationLogic().GetSliceLogic(node).GetSliceCompositeNode()
    assert composite.GetLinkedControl()
    found = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
    return tuple(scene.GetNodeByID(one) if one else None for one in found)


def test_a_risk_is_shown_four_up_with_its_chart(viewers: Any, applied: Any, helper: Any) -> None:
    choices = helper("parameters").LayoutChoice

    assert applied.parameters.layout is choices.FOUR_UP
    assert viewers.layouts[-1] == helper("layouts").IDENTIFIERS[choices.FOUR_UP]
    applied.ui.layoutCombo.setCurrentIndex(list(choices).index(choices.VOLUME))
    settle(applied)
    assert viewers.layouts[-1] == helper("layouts").IDENTIFIERS[choices.VOLUME]


def test_two_visits_are_compared_side_by_side_and_given_back(
    viewers: Any, applied: Any, helper: Any, scene: Any
) -> None:
    from TemporalGliomaRisk.scene.volumes import volume_of  # noqa: PLC0415

    layouts, patient = helper("layouts"), applied.review.patient
    viewers.setLayout(layouts.IDENTIFIERS[helper("parameters").LayoutChoice.SIDE_BY_SIDE])
    before = scene.GetNumberOfNodes()
    applied.ui.compareButton.setChecked(True)
    settle(applied)
    shown = {
        column: layers(scene, layouts.side_by_side_tag(column, "Axial"))
        for column in (layouts.FIRST, layouts.SECOND, layouts.DIFFERENCE)
    }

    assert applied.parameters.layout is helper("parameters").LayoutChoice.SIDE_BY_SIDE
    maps = {}
    for column, number in ((layouts.FIRST, 1), (layouts.SECOND, 3)):
        patient.selected_visit = number
        wanted = volume_of(patient.volume("FLAIR"))
        found = volume_of(shown[column][0])
        np.testing.assert_array_equal(found.voxels, wanted.voxels)
        assert found.geometry.same_as(wanted.geometry)
        maps[number] = volume_of(shown[column][1])
    difference = volume_of(shown[layouts.DIFFERENCE][1])
    assert difference.voxels.max() <= maps[3].voxels.max()
    assert difference.voxels.min() < 0 < difference.voxels.max()
    top = shown[layouts.DIFFERENCE][1].GetDisplayNode().GetWindowLevelMax()
    said = applied.ui.differenceLabel.text
    assert said.startswith(f"Difference: −{significant(top)} to {significant(top)} hazard per mL")
    assert not applied.ui.differenceLabel.isHidden()

    applied.ui.compareButton.setChecked(False)
    settle(applied)
    assert applied.ui.differenceLabel.isHidden()
    assert scene.GetNumberOfNodes() == before
    assert applied.parameters.layout is helper("parameters").LayoutChoice.FOUR_UP
    assert not applied.review.comparing.is_open


def test_a_scene_saved_side_by_side_opens_so_also_before_the_module(
    viewers: Any, applied: Any, widget: Any, module: Any, helper: Any, scene: Any, tmp_path: Path
) -> None:
    from TemporalGliomaRisk.scene.slices import nodes_of_class  # noqa: PLC0415

    layouts = helper("layouts")
    viewers.setLayout(layouts.IDENTIFIERS[helper("parameters").LayoutChoice.SIDE_BY_SIDE])
    applied.ui.compareButton.setChecked(True)
    settle(applied)
    applied.review.patient.save(tmp_path / "compared.mrb")
    scene.Clear(0)
    settle(applied)
    widget.cleanup()
    for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        composite.RemoveAttribute("TemporalGliomaRisk.held")  # as in another Slicer
    assert scene.ReadFromMRB(str(tmp_path / "compared.mrb"))
    opened = module.GliomaRiskWidget()
    opened.setup()
    opened.enter()
    settle(opened.panel)

    assert opened.panel.review.comparing.is_open
    assert opened.panel.ui.compareButton.checked
    for column in (layouts.FIRST, layouts.SECOND):
        assert all(layers(scene, layouts.side_by_side_tag(column, "Axial")))
    opened.cleanup()


def test_slicer_s_own_layout_menu_is_followed(viewers: Any, applied: Any, helper: Any) -> None:
    choices = helper("parameters").LayoutChoice
    applied.ui.compareButton.setChecked(True)
    settle(applied)
    assert applied.review.comparing.is_open

    viewers.setLayout(3)  # Slicer's own four-up
    settle(applied)
    assert applied.parameters.layout is choices.AS_IT_IS
    assert not applied.review.comparing.is_open
    assert not applied.ui.compareButton.checked
    assert viewers.layouts[-1] == 3

    viewers.setLayout(helper("layouts").IDENTIFIERS[choices.VOLUME])
    settle(applied)
    assert applied.parameters.layout is choices.VOLUME


def test_the_player_has_no_recording_and_no_keys_of_its_own(panel: Any) -> None:
    import qt  # noqa: PLC0415

    buttons = {one.objectName: one.isHidden() for one in panel.review.play.findChildren(qt.QPushButton)}

    assert [name for name, hidden in buttons.items() if hidden] == ["pushButton_VcrRecord", "pushButton_Snapshot"]
    assert len(buttons) == 8
    assert [one.enabled for one in panel.review.play.findChildren(qt.QShortcut)] == [False] * 3


def test_the_selector_goes_back_to_the_patient_shown_where_none_is_chosen(applied: Any) -> None:
    applied.ui.patientSelector.setCurrentIndex(0)
    for _ in range(3):
        QtWidgets.QApplication.processEvents()

    assert applied.ui.patientSelector.currentNode() is applied.review.patient.browser


# What GliomaRiskTest does inside Slicer, here through the stand-ins


def test_the_self_test_s_panel_scenario_runs_through(widget: Any, helper: Any) -> None:
    helper("self_test").panel_scenario(unittest.TestCase(), widget)


@pytest.mark.parametrize("with_viewers", [False, True])
def test_the_self_test_s_review_scenario_runs_through(
    request: pytest.FixtureRequest, helper: Any, with_viewers: bool
) -> None:
    if with_viewers:
        request.getfixturevalue("viewers")
    panel = request.getfixturevalue("applied")

    helper("self_test").review_scenario(unittest.TestCase(), panel, panel.review.patient)


# Export


def written(panel: Any, helper: Any, kind: str, folder: Path) -> list[str]:
    return panel.review.exporting.write(kind, panel.review.patient, folder)


def test_report_and_table_are_those_of_the_run(applied: Any, helper: Any, tmp_path: Path) -> None:
    names = written(applied, helper, "report", tmp_path) + written(applied, helper, "table", tmp_path)

    assert names == ["sub-07_report.html", "sub-07_risk.tsv"]
    assert (tmp_path / "sub-07_report.html").read_text(encoding="utf-8") == "<p>a report: 5\u202f%</p>"


def test_a_report_can_be_had_from_a_scene_that_was_saved_and_opened_again(
    applied: Any, helper: Any, scene: Any, tmp_path: Path
) -> None:
    applied.review.patient.save(tmp_path / "saved.mrb")
    scene.Clear(0)
    settle(applied)
    assert scene.ReadFromMRB(str(tmp_path / "saved.mrb"))
    settle(applied)

    assert applied.logic.output_of(applied.review.patient) is None
    assert written(applied, helper, "report", tmp_path) == ["sub-07_report.html"]
    assert (tmp_path / "sub-07_report.html").read_text(encoding="utf-8") == "<p>a report: 5\u202f%</p>"


def test_a_table_can_be_had_from_a_scene_whose_run_is_gone(applied: Any, helper: Any, tmp_path: Path) -> None:
    applied.logic._outputs.clear()
    written(applied, helper, "table", tmp_path)
    lines = (tmp_path / "sub-07_risk.tsv").read_text(encoding="utf-8").splitlines()

    assert [line.split("\t")[-2] for line in lines] == [
        *("uncertain_because", "one_visit_so_far,members_at_odds", "n/a", "n/a")
    ]
    caveat = applied.review.patient.research_use_only
    assert [line.split("\t")[-1] for line in lines] == ["caveat", caveat, caveat, caveat]
    assert "Research use only" in caveat
    assert [line.split("\t")[1:4] for line in lines[1:]] == [
        ["0", "30", "0.05"],
        ["91", "121", "0.12"],
        ["202", "232", "0.41"],
    ]


@pytest.mark.parametrize("told", [True, False])
def test_the_next_patient_s_export_holds_nothing_of_the_patient_before(
    applied: Any,
    helper: Any,
    scene: Any,
    other_series: Path,
    tmp_path: Path,
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not told:  # a script's logic hears nothing of the scene
        monkeypatch.setattr(applied.logic, "forget_outputs", lambda: None)
    before = applied.review.patient.browser.GetID()
    scene.Clear(0)
    settle(applied)
    applied.parameters.source = helper("parameters").SeriesSource.FOLDER
    applied.parameters.folder = str(other_series)
    applied.series.read_folder()
    applied.series.open_series()
    settle(applied)

    assert applied.review.patient.browser.GetID() == before
    for kind in ("report", "table"):
        with pytest.raises(InputError):
            written(applied, helper, kind, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_series_opened_again_without_its_risk_exports_no_table_of_it(
    applied: Any, helper: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_without_risk(applied, monkeypatch)

    assert not applied.review.patient.has_risk
    with pytest.raises(InputError):
        written(applied, helper, "table", tmp_path)


def test_maps_are_written_on_their_own_grids(applied: Any, helper: Any, tmp_path: Path, small_result: Path) -> None:
    shown = applied.review.patient.selected_visit
    names = written(applied, helper, "heatmaps", tmp_path)

    assert len(names) == 3 + 2 + 2
    wanted = VolumeFile(path=small_result / "heatmaps/sub-07_ses-02_desc-risk_heatmap.nii.gz", role="map").read()
    found = VolumeFile(path=tmp_path / "sub-07_ses-02_desc-risk_heatmap.nii.gz", role="map").read()
    assert found.geometry.same_as(wanted.geometry)
    np.testing.assert_allclose(found.voxels, wanted.voxels, atol=1e-7)
    assert applied.review.patient.selected_visit == shown


@pytest.mark.parametrize("choice", ["DATE", "SINCE_FIRST", "SINCE_TREATMENT"])
def test_an_exported_scene_holds_no_date_and_no_path(applied: Any, helper: Any, tmp_path: Path, choice: str) -> None:
    parameters = helper("parameters")
    dated = [helper("visits").VisitRow(key="2021-03-04", day="2021-03-04", volumes={"FLAIR": ""})]
    parameters.set_rows(applied.parameters, tuple(dated))
    applied.parameters.day_choice = parameters.DayChoice[choice]
    folder = applied.parameters.folder
    (name,) = written(applied, helper, "scene", tmp_path)

    with zipfile.ZipFile(tmp_path / name) as bundle:
        text = " ".join(bundle.read(entry).decode() for entry in bundle.namelist() if entry.endswith(".mrml"))
    assert "2021-03-04" not in text
    assert folder not in text
    assert applied.parameters.folder == folder
    assert [row.day for row in rows(applied, helper)] == ["2021-03-04"]
    assert applied.parameters.day_choice is parameters.DayChoice[choice]


def test_undo_after_an_export_of_the_scene_leads_to_what_the_reader_did_last(
    read: Any, helper: Any, scene: Any, tmp_path: Path
) -> None:
    parameters, dates = helper("parameters"), ["2021-03-04", "2021-06-03", "2021-09-22"]
    read.series.open_series()
    dated = [dataclasses.replace(row, day=day) for row, day in zip(rows(read, helper), dates, strict=True)]
    parameters.set_rows(read.parameters, tuple(dated))
    read.parameters.day_choice = parameters.DayChoice.DATE
    settle(read)
    scene.SetUndoOn()
    try:
        read.ui.visitsTable.item(0, 0).setText("2021-03-05")
        settle(read)
        folder, levels = read.parameters.folder, scene.GetNumberOfUndoLevels()
        written(read, helper, "scene", tmp_path)
        assert scene.GetNumberOfUndoLevels() == levels
        scene.Undo()
        settle(read)
        assert [row.day for row in rows(read, helper)] == dates
        assert read.parameters.folder == folder
    finally:
        scene.ClearUndoStack()
        scene.SetUndoOff()


def test_what_is_in_the_folder_already_is_written_over_only_where_the_reader_agrees(
    applied: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = [False, True], []
    monkeypatch.setattr(applied, "ask", lambda question, details: asked.append(details) or answers.pop(0))
    applied.ui.exportFolderEdit.currentPath = str(tmp_path)
    for kind, name in (("table", "sub-07_risk.tsv"), ("heatmaps", "sub-07_ses-02_desc-risk_heatmap.nii.gz")):
        answers[:], asked[:] = [False, True], []
        (tmp_path / name).write_text("another's", encoding="utf-8")
        applied.ui.exportCombo.setCurrentIndex(applied.ui.exportCombo.findData(kind))
        applied.ui.exportButton.click()
        assert applied.ui.exportStatus.text == "Nothing was written."
        assert (tmp_path / name).read_text(encoding="utf-8") == "another's"

        applied.ui.exportButton.click()
        assert (tmp_path / name).read_bytes() != b"another's"
        assert asked == [name, name]


def test_a_folder_that_cannot_be_written_to_is_a_sentence_and_names_nobody_in_the_log(
    applied: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused = tmp_path / "Doe_Jane"
    refused.write_text("no folder", encoding="utf-8")
    applied.ui.exportFolderEdit.currentPath = str(refused / "inside")
    applied.ui.exportCombo.setCurrentIndex(applied.ui.exportCombo.findData("table"))
    applied.ui.exportButton.click()

    assert applied.ui.exportStatus.text == "Stopped by an unexpected NotADirectoryError (Not a directory)."
    assert re.search(r"NotADirectoryError.*exporting\.py:\d+", caplog.text)
    assert "Doe_Jane" not in caplog.text


def test_two_patients_of_one_label_are_told_apart_in_the_menu_and_in_exports(
    panel: Any, small_series: Path, helper: Any, scripted_client: Any, tmp_path: Path
) -> None:
    panel.parameters.source = helper("parameters").SeriesSource.FOLDER
    for shift, name in ((0, "one"), (3, "two")):
        folder = tmp_path / name
        folder.mkdir()
        for number in (1, 2, 3):
            source = small_series / f"ses-{number:02d}" / "anat" / f"sub-07_ses-{number:02d}_FLAIR.nii.gz"
            shutil.copyfile(source, folder / f"{name}_2020{3 * number + shift - 2:02d}01_FLAIR.nii.gz")
        panel.parameters.folder = str(folder)
        panel.series.read_folder()
        panel.run.apply_or_cancel()
        scripted_client.done()
        settle(panel)
        for kind in ("report", "table"):
            written(panel, helper, kind, tmp_path / "out")

    selector = panel.ui.patientSelector
    assert [selector.itemText(index) for index in (1, 2)] == ["sub-01 visits", "sub-01 (2) visits"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["sub-01 (2)_report.html", "sub-01 (2)_risk.tsv", "sub-01_report.html", "sub-01_risk.tsv"]


def test_a_scene_that_holds_more_than_ours_is_said(
    applied: Any, scene: Any, small_series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applied, "ask", lambda question, details: True)
    from TemporalGliomaRisk.scene.volumes import new_volume_node  # noqa: PLC0415

    applied.ui.exportFolderEdit.currentPath = str(tmp_path)
    applied.ui.exportCombo.setCurrentIndex(applied.ui.exportCombo.findData("scene"))
    applied.ui.exportButton.click()
    assert applied.ui.exportStatus.text.endswith("It holds nothing that names the patient or a date.")

    scene.AddNode(new_volume_node(read_timeline(small_series).visits[0].sources["FLAIR"].read(), "Jane Doe"))
    applied.ui.exportButton.click()
    assert "Volumes loaded from elsewhere (1) are in it with their own names" in applied.ui.exportStatus.text


def test_a_scene_of_a_result_with_names_is_not_said_to_hold_none(
    panel: Any, scripted_client: Any, small_series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, "ask", lambda question, details: True)
    prediction = panel.logic.start(small_series, output=tmp_path / "result", identified=True)
    scripted_client.done()
    settle(panel)
    assert prediction.patient.identified
    panel.parameters.patient = prediction.patient.browser
    settle(panel)
    panel.ui.exportFolderEdit.currentPath = str(tmp_path / "out")
    panel.ui.exportCombo.setCurrentIndex(panel.ui.exportCombo.findData("scene"))
    panel.ui.exportButton.click()
    assert panel.ui.exportStatus.text.endswith("A result was asked for with the input's names, and they are in it.")


def test_dicom_objects_of_every_visit_are_written(applied: Any, helper: Any, tmp_path: Path) -> None:
    import pydicom  # noqa: PLC0415

    names = written(applied, helper, "dicom", tmp_path)

    assert names == [f"sub-07_ses-{number:02d}_dicom" for number in (1, 2, 3)]
    kinds = {pydicom.dcmread(path).Modality for path in (tmp_path / names[2]).iterdir()}
    assert kinds == {"MR", "OT", "SEG"}


@pytest.mark.parametrize(("named", "sentence"), [("out", "by its whole path"), ("{}/file", "a file, not a folder")])
def test_a_folder_that_cannot_be_meant_is_refused_and_nothing_is_written(
    applied: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    applied.ui.exportFolderEdit.currentPath = named.format(tmp_path)
    applied.ui.exportButton.click()

    assert sentence in applied.ui.exportStatus.text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_reader_s_own_folder_may_be_named_by_a_tilde(
    applied: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    applied.ui.exportFolderEdit.currentPath = "~/out"
    applied.ui.exportButton.click()

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sub-07_report.html"]


def test_without_a_folder_or_a_risk_export_says_so(read: Any, helper: Any, tmp_path: Path) -> None:
    read.series.open_series()
    read.review.exporting.export()
    assert read.ui.exportStatus.text == "Name a folder to write to first."
    read.ui.exportFolderEdit.currentPath = str(tmp_path)
    read.review.exporting.export()
    assert "This scene holds no report" in read.ui.exportStatus.text


# Volumes of the scene


@pytest.fixture
def in_scene(panel: Any, scene: Any, small_series: Path) -> Any:
    """The panel, and the small series as volumes of the scene; the second visit lies under a transform."""
    import slicer  # noqa: PLC0415

    from TemporalGliomaRisk.scene.volumes import new_volume_node, vtk_matrix  # noqa: PLC0415

    shift = np.eye(4)
    shift[:3, 3] = (3.0, -4.0, 5.0)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    transform.SetMatrixTransformToParent(vtk_matrix(shift))
    for number, visit in enumerate(read_timeline(small_series).visits, start=1):
        for sequence, source in visit.sources.items():
            node = scene.AddNode(new_volume_node(source.read(), f"P_2021040{number}_{sequence}"))
            if number == 2:
                node.SetAndObserveTransformNodeID(transform.GetID())
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 6
    panel.series.find_volumes()
    settle(panel)
    return panel


def test_volumes_of_the_scene_make_a_table_by_their_names(in_scene: Any) -> None:
    assert [cell(in_scene, line, 0) for line in range(3)] == ["2021-04-01", "2021-04-02", "2021-04-03"]
    assert [cell(in_scene, 0, column) for column in range(2, 6)] == ["✓", "✓", "–", "–"]
    assert in_scene.ui.visitsTable.item(0, 2).toolTip() == "P_20210401_FLAIR"


def test_they_go_to_the_worker_hardened_and_are_removed_afterwards(
    in_scene: Any, scripted_client: Any, small_series: Path
) -> None:
    in_scene.run.apply_or_cancel()
    (timeline,) = scripted_client.timelines
    wanted = [visit.sources["FLAIR"].read() for visit in read_timeline(small_series).visits]
    found = [visit.sources["FLAIR"].read() for visit in timeline.visits]

    for number in range(3):
        np.testing.assert_allclose(found[number].voxels, wanted[number].voxels, atol=1e-4)
        offset = (3.0, -4.0, 5.0) if number == 1 else (0.0, 0.0, 0.0)
        corners = [(0, 0, 0), (19, 0, 0), (0, 23, 0), (0, 0, 15), (19, 23, 15)]
        moved = found[number].geometry.to_ras(corners) - wanted[number].geometry.to_ras(corners)
        np.testing.assert_allclose(moved, np.tile(offset, (5, 1)), atol=1e-3)
    scripted_client.done()
    settle(in_scene)
    assert not scripted_client.asked[0]["timeline"].exists()
    assert [visit.days_since_first for visit in in_scene.review.patient.visits] == [0, 1, 2]


@pytest.mark.parametrize("ask", ["apply", "check", "register", "open"])
def test_volumes_are_written_one_by_one_uncompressed_while_the_window_is_drawn(
    in_scene: Any, scripted_client: Any, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    import qt  # noqa: PLC0415
    import slicer  # noqa: PLC0415

    label = {"apply": in_scene.ui.runStatus, "open": in_scene.ui.seriesStatus}.get(ask, in_scene.ui.checkStatus)
    drawn: list[tuple[str, Any]] = []
    monkeypatch.setattr(slicer.app, "processEvents", lambda *flags: drawn.append((label.text, flags)))
    steps = {"apply": in_scene.run.apply_or_cancel, "open": in_scene.series.open_series}
    {**steps, "check": in_scene.check.check, "register": in_scene.check.register}[ask]()

    no_input = (qt.QEventLoop.ExcludeUserInputEvents,)
    written = [one for one in drawn if one[0].startswith("Writing")]
    assert written == [(f"Writing volume {number} of 6…", no_input) for number in range(1, 7)]
    if ask != "open":
        (timeline,) = scripted_client.timelines
        files = [path for visit in timeline.visits for source in visit.sources.values() for path in source.files]
        assert {path.suffix for path in files} == {".nii"}
        assert files[0].stat().st_size > 4 * 20 * 24 * 16


def test_a_volume_that_left_the_scene_is_marked_and_said(in_scene: Any, scene: Any) -> None:
    scene.RemoveNode(scene.GetFirstNodeByName("P_20210402_T2w"))
    settle(in_scene)

    assert cell(in_scene, 1, 3) == "?"
    in_scene.series.open_series()
    assert "no longer in the scene" in in_scene.ui.seriesStatus.text


def test_the_menu_of_volumes_shows_their_names_as_they_are(in_scene: Any, scene: Any) -> None:
    scene.GetFirstNodeByName("P_20210401_FLAIR").SetName("FLAIR & late_T1w")
    in_scene.ui.visitsTable.cellClicked.emit(0, 2)
    (menu,) = in_scene.ui.visitsTable.findChildren(QtWidgets.QMenu)
    texts = [text for text in map(QtGui.QAction.text, menu.actions()) if "late" in text]
    menu.close()

    assert texts == ["FLAIR && late_T1w"]  # as Qt is told of one that is shown


def test_a_scene_saved_with_its_volumes_finds_them_again(
    in_scene: Any, scene: Any, helper: Any, tmp_path: Path
) -> None:
    in_scene.parameters.scene_patient = ""
    assert scene.WriteToMRB(str(tmp_path / "volumes.mrb"))
    scene.Clear(0)
    settle(in_scene)
    assert rows(in_scene, helper) == ()

    assert scene.ReadFromMRB(str(tmp_path / "volumes.mrb"))
    settle(in_scene)

    assert [cell(in_scene, 1, column) for column in range(2, 6)] == ["✓", "✓", "–", "–"]
    in_scene.series.open_series()
    assert len(in_scene.review.patient.visits) == 3


def test_registering_puts_volumes_of_the_scene_under_transforms_once(
    in_scene: Any, scripted_client: Any, scene: Any
) -> None:
    from TemporalGliomaRisk.scene.volumes import world_from_node  # noqa: PLC0415

    volume = scene.GetFirstNodeByName("P_20210402_FLAIR")
    before = scene.GetNumberOfNodesByClass("vtkMRMLLinearTransformNode")
    for turn in (1, 2):
        in_scene.check.register()
        scripted_client.done()
        settle(in_scene)
        world = world_from_node(volume)
        np.testing.assert_allclose(world[:3, 3], (3.0 + 4.0 * turn, -4.0, 5.0), atol=1e-4)
    assert [asked["request"] for asked in scripted_client.asked] == ["register", "register"]
    # One a volume that was moved, renewed by the second registration.
    assert scene.GetNumberOfNodesByClass("vtkMRMLLinearTransformNode") == before + 2


def test_subject_hierarchy_tells_patient_and_date(panel: Any, scene: Any, helper: Any, small_series: Path) -> None:
    import slicer  # noqa: PLC0415

    from TemporalGliomaRisk.scene.volumes import new_volume_node  # noqa: PLC0415

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    source = read_timeline(small_series).visits[0].sources["FLAIR"]
    for name, date in (("Ann", "20200102"), ("Ben", "20210304")):
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
        study = hierarchy.CreateStudyItem(patient, "a study")
        hierarchy.SetItemAttribute(study, "DICOM.StudyDate", date)
        hierarchy.CreateItem(study, scene.AddNode(new_volume_node(source.read(), "t2 flair tra")))
    panel.parameters.scene_patient = "Ben"
    panel.series.find_volumes()

    assert helper("scene_volumes").patients(scene) == ["Ann", "Ben"]
    assert [row.day for row in rows(panel, helper)] == ["2021-03-04"]


@pytest.mark.parametrize("told_by", ["subject hierarchy", "items of one name", "label", "name"])
def test_volumes_of_several_patients_become_no_series_until_one_is_chosen(
    in_scene: Any, scene: Any, helper: Any, small_series: Path, told_by: str
) -> None:
    import slicer  # noqa: PLC0415

    from TemporalGliomaRisk.scene.volumes import new_volume_node  # noqa: PLC0415

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    source = read_timeline(small_series).visits[0].sources["FLAIR"]
    by_hierarchy = told_by not in ("label", "name")
    names = ("sub-01", "sub-02") if told_by == "label" else ("Ann", "Ben")
    names = ("Ann", "Ann") if told_by == "items of one name" else names
    for old in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        old.SetName(old.GetName().removeprefix("P_"))  # of whom nothing tells the patient
    for name, day in zip(names, ("20200102", "20210304"), strict=True):
        where = f"{day}_FLAIR" if by_hierarchy else f"{name}_{day}_FLAIR"
        node = scene.AddNode(new_volume_node(source.read(), where))
        if by_hierarchy:
            hierarchy.CreateItem(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name), node)
    before = in_scene.series.state
    in_scene.series.find_volumes()
    settle(in_scene)

    assert in_scene.ui.seriesStatus.text == (
        "The scene holds volumes of several patients. Choose one of them, then press Find volumes. "
        "If they are one patient's, put them under one patient in the Data module first."
    )
    assert in_scene.series.state == before
    combo = in_scene.ui.scenePatientCombo
    offered = [combo.itemData(index) for index in range(combo.count)]
    assert offered == (["", "Ann", "Ann (2)"] if told_by == "items of one name" else ["", *names])
    combo.setCurrentIndex(2)
    in_scene.series.find_volumes()
    assert [row.day for row in rows(in_scene, helper)] == ["2021-03-04"]
    assert in_scene.ui.seriesStatus.text == ""


def test_volumes_under_one_patient_of_the_hierarchy_are_one_s_whatever_stands_before_their_dates(
    in_scene: Any, scene: Any, helper: Any
) -> None:
    import slicer  # noqa: PLC0415

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Ann")
    scene.GetFirstNodeByName("P_20210401_FLAIR").SetName("axial_20210401_FLAIR")
    in_scene.series.find_volumes()
    assert in_scene.ui.seriesStatus.text.startswith("The scene holds volumes of several patients.")
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        hierarchy.CreateItem(patient, node)
    in_scene.series.find_volumes()
    assert in_scene.ui.seriesStatus.text == ""
    assert len(rows(in_scene, helper)) == 3


def test_the_contrast_agent_of_a_volume_is_read_from_its_codes(
    panel: Any, scene: Any, helper: Any, small_series: Path, tmp_path: Path, write_dicom_series: Any, monkeypatch: Any
) -> None:
    import slicer  # noqa: PLC0415
    from pydicom.dataset import Dataset  # noqa: PLC0415

    from TemporalGliomaRisk.scene.volumes import new_volume_node  # noqa: PLC0415
    from TemporalGliomaRisk.timeline.volume import Volume  # noqa: PLC0415

    code = Dataset()
    code.CodeMeaning = "Gadobutrol"
    read = read_timeline(small_series).visits[0].sources["FLAIR"].read()
    volume = Volume(voxels=np.rint(read.voxels).astype(np.uint16), geometry=read.geometry)
    options = {"date": "20200102", "description": "t1 mprage"}
    files = write_dicom_series(volume, tmp_path / "d", **options, ContrastBolusAgentSequence=[code])

    class Database:
        isOpen = True  # noqa: N815

        def instanceValue(self, instance: str, tag: str) -> str:
            return "20200102" if tag == "0008,0020" else ""  # of a sequence of codes the database gives nothing

        def fileForInstance(self, instance: str) -> str:
            return str(files[0]) if instance == "1.2.3" else ""

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    node = scene.AddNode(new_volume_node(volume, "5: t1 mprage"))
    for instances, sequences in (("1.2.3 1.2.4", ["ce-gd_T1w"]), ("1.2.9", ["T1w"])):
        node.SetAttribute("DICOM.instanceUIDs", instances)
        panel.series.find_volumes()
        (row,) = rows(panel, helper)
        assert (row.day, list(row.volumes)) == ("2020-01-02", sequences)


def test_a_patient_chosen_that_left_the_scene_is_chosen_no_more(in_scene: Any, helper: Any) -> None:
    in_scene.parameters.scene_patient = "Ann"
    in_scene.series.find_volumes()

    assert in_scene.ui.scenePatientCombo.currentIndex == 0
    assert len(rows(in_scene, helper)) == 3


def test_volumes_that_are_in_no_visit_are_counted_by_why(in_scene: Any, scene: Any, small_series: Path) -> None:
    from TemporalGliomaRisk.scene.volumes import new_volume_node  # noqa: PLC0415

    source = read_timeline(small_series).visits[0].sources["FLAIR"]
    for name in ("P_20210401_FLAIR again", "P_20210401_FLAIR", "P_20210401_ADC"):
        scene.AddNode(new_volume_node(source.read(), name))
    in_scene.series.find_volumes()

    assert in_scene.ui.seriesStatus.text == (
        "1 volumes were left out: their sequence is not told. "
        "2 volumes were left out: their visit has another volume of that sequence already."
    )


def test_a_patient_s_own_frames_are_no_volumes_to_choose(applied: Any, helper: Any, scene: Any) -> None:
    assert helper("scene_volumes").candidates(scene) == []


def test_helpers_are_forgotten_with_the_stand_ins(helper: Callable[[str], Any]) -> None:
    assert helper("visits").__file__.endswith("GliomaRiskWidgets/visits.py")
