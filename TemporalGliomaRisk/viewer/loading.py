"""A result's own scene file, where the images are in it and not in a timeline beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.viewer.saving import remove_views


def load(scene: Any, path: Path, result: RiskResult) -> PatientScene:
    """Read a scene file into the viewer's scene, whose views stay.

    Args:
        scene: vtkMRMLScene of the viewer.
        path: The .mrb that ``predict --scene`` wrote.
        result: What it has to belong to.

    Raises:
        InputError: If it cannot be read, or holds another patient.
    """
    before = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
    known = {patient.browser.GetID() for patient in PatientScene.all_in(scene)}
    if not scene.ReadFromMRB(str(path), False):
        raise InputError("The result's scene file cannot be read; run predict with --scene again.")
    remove_views(scene, before)
    found = [patient for patient in PatientScene.all_in(scene) if patient.browser.GetID() not in known]
    wanted = [(visit.session_id, visit.days_since_first) for visit in result.visits]
    for patient in found:
        if [(visit.session_id, visit.days_since_first) for visit in patient.visits] == wanted:
            return patient
        patient.remove()
    raise InputError("The result's scene file is of another timeline; run predict with --scene again.")
