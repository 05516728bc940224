"""What GliomaRiskTest does inside Slicer, on the sample patient."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import slicer

from TemporalGliomaRisk.scene.patient_scene import PatientScene

from . import dependencies, visits
from .parameters import rows_of
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
    test.assertIn("2", panel.ui.visitHeadline.text)

    slicer.mrmlScene.Clear()
    slicer.app.processEvents()
    test.assertIsNone(panel.review.patient)
    test.assertEqual(PatientScene.all_in(slicer.mrmlScene), [])
    test.assertEqual(rows_of(panel.parameters), ())


def risk_scenario(test: Any, logic: RiskLogic) -> None:
    """A risk is computed in the worker and shown; the scene is saved and loaded; nothing stays behind."""
    if dependencies.is_own_python() and dependencies.missing((dependencies.TORCH, *dependencies.REQUIREMENTS)):
        test.skipTest("The worker's packages are not installed in this Slicer.")
    before = slicer.mrmlScene.GetNumberOfNodes()
    try:
        patient = logic.run(logic.sample("sub-01"), device="cpu")
        test.assertEqual(len(patient.visits), 6)
        test.assertTrue(all(0.0 < visit.risk < 1.0 for visit in patient.visits))
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
        test.assertLessEqual(slicer.mrmlScene.GetNumberOfNodes(), before + 2)
    finally:
        logic.close()
