"""Volumes that are in the scene already: which there are, what is said of them, and hardened copies of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from TemporalGliomaRisk.scene.volumes import volume_of
from TemporalGliomaRisk.timeline.sitk_images import write_nifti

from .guessing import FoundVolume

CONTRAST_AGENT = "0018,0010"
STUDY_DATE = "0008,0020"


def candidates(scene: Any, patient: str = "") -> list[Any]:
    """Scalar volumes that a reader may have loaded: no label maps, none hidden, no frames of a sequence.

    Args:
        scene: The scene.
        patient: Name of a patient item of the subject hierarchy; empty for all volumes.
    """
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene)
    return [
        node
        for node in nodes
        if node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetHideFromEditors()
        and node.GetImageData() is not None
        and not any(browser.IsProxyNodeID(node.GetID()) for browser in browsers)
        and (not patient or patient_of(scene, node) == patient)
    ]


def patients(scene: Any) -> list[str]:
    """Names of the patients in the subject hierarchy that have such volumes."""
    return sorted({name for node in candidates(scene) if (name := patient_of(scene, node))})


def patient_of(scene: Any, node: Any) -> str:
    """Name of the patient item a node lies under; empty if under none."""
    return _ancestor(scene, node, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient())[0]


def _ancestor(scene: Any, node: Any, level: str) -> tuple[str, str]:
    """Name and study date of the item of a level above a node; empty if there is none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        return "", ""
    nothing = hierarchy.GetInvalidItemID()
    item = hierarchy.GetItemByDataNode(node)
    item = nothing if item == nothing else hierarchy.GetItemAncestorAtLevel(item, level)
    if item == nothing:
        return "", ""
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMStudyDateAttributeName()
    return hierarchy.GetItemName(item), hierarchy.GetItemAttribute(item, attribute)


def describe(scene: Any, node: Any, number: str) -> FoundVolume:
    """What DICOM, the subject hierarchy and the name say of a volume."""
    study, date = _ancestor(scene, node, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy())
    return FoundVolume(
        number=number,
        name=node.GetName() or "",
        study_date=_dicom_value(node, STUDY_DATE) or date,
        study=study,
        contrast_agent=_dicom_value(node, CONTRAST_AGENT),
    )


def _dicom_value(node: Any, tag: str) -> str:
    """A value of the first instance that a volume was loaded from; empty where the database does not know it."""
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not uids or database is None or not database.isOpen:
        return ""
    return str(database.instanceValue(uids[0], tag) or "")


def write_hardened(node: Any, path: Path) -> None:
    """Write a volume as NIfTI where it lies in the world: parent transforms count, the node itself stays as it is.

    Raises:
        VolumeError, GeometryError: If it holds no usable voxels, or lies nowhere usable.
    """
    write_nifti(volume_of(node), path)
