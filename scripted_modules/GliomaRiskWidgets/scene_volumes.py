"""Volumes that are in the scene already: which there are, what is said of them, and hardened copies of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from TemporalGliomaRisk.scene.volumes import volume_of
from TemporalGliomaRisk.timeline.sitk_images import write_nifti

from .dicom_database import database
from .guessing import FoundVolume, patient_in

STUDY_DATE = "0008,0020"


def candidates(scene: Any, patient: str = "") -> list[Any]:
    """Scalar volumes that a reader may have loaded: no label maps, none hidden, no frames of a sequence.

    Args:
        scene: The scene.
        patient: As :func:`patients` names one; empty for all volumes.
    """
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene)
    found = [
        node
        for node in nodes
        if node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetHideFromEditors()
        and node.GetImageData() is not None
        and not any(browser.IsProxyNodeID(node.GetID()) for browser in browsers)
    ]
    if not patient:
        return found
    return [node for node, name in zip(found, _patients_of(scene, found), strict=True) if name == patient]


def patients(scene: Any) -> list[str]:
    """Names of the patients that have such volumes: of the subject hierarchy, else the labels in volumes' names."""
    return sorted(set(_patients_of(scene, candidates(scene))) - {""})


def _patients_of(scene: Any, nodes: list[Any]) -> list[str]:
    """What to call the patient of every node; empty where nothing tells one.

    That is the name of the patient item it lies under, numbered where several have it, else what its own name says.
    """
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient()
    items = [_ancestor(scene, node, level) for node in nodes]
    same: dict[str, list[int]] = {}
    for item in sorted({item for item in items if item is not None}):
        same.setdefault(_hierarchy(scene).GetItemName(item), []).append(item)
    names = {
        item: f"{name} ({number})" if number > 1 else name
        for name, those in same.items()
        for number, item in enumerate(those, start=1)
    }
    return [
        patient_in(node.GetName() or "") if item is None else names[item]
        for node, item in zip(nodes, items, strict=True)
    ]


def _hierarchy(scene: Any) -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def _ancestor(scene: Any, node: Any, level: str) -> int | None:
    """The item of a level above a node, None if there is none."""
    hierarchy = _hierarchy(scene)
    if hierarchy is None:
        return None
    nothing = hierarchy.GetInvalidItemID()
    item = hierarchy.GetItemByDataNode(node)
    item = nothing if item == nothing else hierarchy.GetItemAncestorAtLevel(item, level)
    return None if item == nothing else int(item)


def describe(scene: Any, nodes: list[Any]) -> list[FoundVolume]:
    """What DICOM, the subject hierarchy and the name say of volumes, which are numbered by their place."""
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy()
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMStudyDateAttributeName()
    found = []
    for number, (node, patient) in enumerate(zip(nodes, _patients_of(scene, nodes), strict=True)):
        study, hierarchy = _ancestor(scene, node, level), _hierarchy(scene)
        date = "" if study is None else hierarchy.GetItemAttribute(study, attribute)
        found.append(
            FoundVolume(
                number=str(number),
                name=node.GetName() or "",
                study_date=_dicom_value(node, STUDY_DATE) or date,
                study="" if study is None else hierarchy.GetItemName(study),
                contrast_agent=_contrast_agent(node),
                patient=patient,
            )
        )
    return found


def _dicom_value(node: Any, tag: str) -> str:
    """A value of the first instance that a volume was loaded from; empty where the database does not know it."""
    instance, known = _first_instance(node), database()
    return str(known.instanceValue(instance, tag) or "") if instance and known is not None else ""


def _contrast_agent(node: Any) -> str:
    """The contrast agent, read as from a folder of DICOM: multi-frame files keep codes, which the database lacks."""
    instance, known = _first_instance(node), database()
    path = str(known.fileForInstance(instance) or "") if instance and known is not None else ""
    if not path:
        return ""
    # Loaded where it is wanted: pydicom would take a third of what Slicer's start spends on the extension.
    from TemporalGliomaRisk.timeline.dicom_headers import read_dicom_headers  # noqa: PLC0415

    return next((header.contrast_agent for header in read_dicom_headers([Path(path)]).headers), "")


def _first_instance(node: Any) -> str:
    """The identifier of the first instance that a volume was loaded from; empty where it came from elsewhere."""
    return next(iter((node.GetAttribute("DICOM.instanceUIDs") or "").split()), "")


def write_hardened(node: Any, path: Path) -> None:
    """Write a volume as NIfTI where it lies in the world: parent transforms count, the node itself stays as it is.

    Raises:
        VolumeError, GeometryError: If it holds no usable voxels, or lies nowhere usable.
    """
    write_nifti(volume_of(node), path)
