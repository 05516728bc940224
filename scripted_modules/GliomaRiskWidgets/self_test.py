"""What GliomaRiskTest does inside Slicer, on the sample patient."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import slicer

from TemporalGliomaRisk.scene.patient_scene import PatientScene

from . import dependencies, layouts, visits
from .parameters import LayoutChoice, rows_of
from .risk_logic import RiskLogic


def panel_scenario(test: Any, widget: Any) -> None:
    """The sample patient opens by one click; a visit is left out, removed and brought back; the scene closes."""
    panel = widget.panel
    panel.series.open_sample("sub-01")
    rows = rows_of(panel.parameters)
    test.assertEqual(len(rows), 6)
    test.assertTrue(all(row.sequences == ("FLAIR", "ce-gd_T1w") for row in rows))
    patient = panel.review.patient
    test.assertEqual(len(patient.visits), 6)
    test.assertEqual(panel.ui.visitsTable.rowCount, 6)

    panel.ui.visitsTable.setCurrentCell(2, 0)
    panel.series.remove_visit()
    panel.refresh()
    test.assertEqual(len(visits.shown(rows_of(panel.parameters))), 5)
    panel.series.undo_remove()
    panel.refresh()
    test.assertEqual([row.day for row in rows_of(panel.parameters)], [row.day for row in rows])

    patient.selected_visit = 2
    slicer.app.processEvents()
    panel.refresh()
    test.assertIn("Visit 2 of 6", panel.ui.visitHeadline.text)

    slicer.mrmlScene.Clear()
    slicer.app.processEvents()
    test.assertIsNone(panel.review.patient)
    test.assertEqual(PatientScene.all_in(slicer.mrmlScene), [])
    test.assertEqual(rows_of(panel.parameters), ())


def review_scenario(test: Any, panel: Any, patient: PatientScene) -> None:
    """A patient with a risk is looked at in every way that the panel has, and exported."""
    panel.show_patient(patient)
    count = len(patient.visits)
    for number in range(1, count + 1):
        panel.review.go_to_visit(number)
        slicer.app.processEvents()
        panel.refresh()
        test.assertIn(f"Visit {number} of {count}", panel.ui.visitHeadline.text)
    panel.ui.opacitySlider.value = 70
    test.assertEqual(patient.display.opacity, 0.7)
    for index in range(panel.ui.mapCombo.count):
        panel.ui.mapCombo.setCurrentIndex(index)
    for choice in LayoutChoice:
        panel.parameters.layout = choice
        slicer.app.processEvents()
        panel.refresh()
        if slicer.app.layoutManager() is not None and choice is not LayoutChoice.AS_IT_IS:
            test.assertIs(layouts.shown(), choice)
        test.assertEqual(panel.review.comparing.is_open, choice is LayoutChoice.SIDE_BY_SIDE)
    panel.parameters.layout = LayoutChoice.FOUR_UP
    panel.refresh()
    for peak in patient.visits[-1].peaks:
        panel.review.go_to_peak(peak.name)
    with tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
        for kind in ("report", "table", "heatmaps", "scene"):
            for name in panel.review.exporting.write(kind, patient, Path(folder)):
                test.assertGreater((Path(folder) / name).stat().st_size, 0)


def risk_scenario(test: Any, logic: RiskLogic, panel: Any = None) -> None:
    """A risk is computed in the worker and shown; the scene is saved and loaded; nothing stays behind.

    Args:
        test: The running test case.
        logic: The module's logic, which is closed at the end.
        panel: The module's panel, looked at too where there is one.
    """
    if dependencies.is_own_python() and dependencies.missing((dependencies.TORCH, *dependencies.REQUIREMENTS)):
        test.skipTest("The worker's packages are not installed in this Slicer.")
    try:
        patient = logic.run(logic.sample("sub-01"), device="cpu")
        test.assertEqual(len(patient.visits), 6)
        test.assertTrue(all(0.0 < visit.risk < 1.0 for visit in patient.visits))
        if panel is not None:
            review_scenario(test, panel, patient)
        with tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
            path = Path(folder) / "sample.mrb"
            patient.save(path)
            risks = [visit.risk for visit in patient.visits]
            slicer.mrmlScene.Clear()
            slicer.util.loadScene(str(path))
            (loaded,) = PatientScene.all_in(slicer.mrmlScene)
            test.assertEqual([visit.risk for visit in loaded.visits], risks)
        slicer.mrmlScene.Clear()
        patient = logic.run(logic.sample("sub-01"), device="cpu")
        patient.remove()
        nodes = slicer.util.getNodesByClass("vtkMRMLNode")
        test.assertEqual([name for node in nodes if (name := node.GetName() or "").startswith("sub-01")], [])
    finally:
        logic.close()
