"""A result's own scene file, where the images are in it and not in a timeline beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.record import remove_nodes
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.viewer.saving import nodes_besides, remove_views


def load(scene: Any, path: Path, result: RiskResult) -> PatientScene:
    """Read a scene file into the viewer's scene, whose views stay.

    Args:
        scene: vtkMRMLScene of the viewer.
        path: The .mrb that ``predict --scene`` wrote.
        result: What it has to belong to.

    Raises:
        InputError: If it cannot be read, or holds another patient. Nothing of it is left then.
    """
    before = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
    try:
        if not scene.ReadFromMRB(str(path), False):
            raise InputError("The result's scene file cannot be read; run predict with --scene again.")
        remove_views(scene, before)
        found = _patients_besides(scene, before)
        chosen = next((one for one in found if _days(one) == _days(result)), None)
        if chosen is None:
            raise InputError("The result's scene file is of another timeline; run predict with --scene again.")
        for other in found:
            if other is not chosen:
                other.remove()
        return chosen
    except BaseException:
        # A damaged file may have been read in part, and another patient's images would be saved with the open one's.
        for patient in _patients_besides(scene, before):
            patient.remove()
        remove_nodes(scene, nodes_besides(scene, before))
        raise


def _patients_besides(scene: Any, before: set[str]) -> list[PatientScene]:
    return [patient for patient in PatientScene.all_in(scene) if patient.browser.GetID() not in before]


def _days(shown: PatientScene | RiskResult) -> list[tuple[str, int]]:
    return [(visit.session_id, visit.days_since_first) for visit in shown.visits]
