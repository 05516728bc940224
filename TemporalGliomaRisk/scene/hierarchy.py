"""Patient, study (a visit) and series in the subject hierarchy.

The voxels of a visit are items of sequence nodes, so its series are entries without a node of their own; what the
views show, the proxies of the selected visit, is in a folder below the patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from TemporalGliomaRisk.scene.documents import visit_label
from TemporalGliomaRisk.scene.record import SceneRecord, hierarchy_of
from TemporalGliomaRisk.scene.scene_visit import SceneVisit
from TemporalGliomaRisk.scene.settings import MapKind
from TemporalGliomaRisk.timeline.days import day_count

SELECTED, SHARED = "Selected visit", "Timeline"


def add_hierarchy(record: SceneRecord, visits: tuple[SceneVisit, ...], maps: Mapping[int, tuple[MapKind, ...]]) -> None:
    """Make the patient's branch and put every node of the patient into it.

    Args:
        record: Of the patient; its nodes are there already.
        visits: Oldest first.
        maps: Kinds of map by number of visit.
    """
    hierarchy = hierarchy_of(record.scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), record.label)
    for visit, day in zip(visits, day_count(visits).days, strict=True):
        study = hierarchy.CreateStudyItem(patient, visit_label(visit, day))
        hierarchy.SetItemAttribute(study, "TemporalGliomaRisk.visit", str(visit.number))
        labels = [*visit.sequences, *(kind.label for kind in maps.get(visit.number, ()))]
        for label in labels:
            hierarchy.CreateHierarchyItem(study, label, "Series")
        hierarchy.SetItemExpanded(study, False)
    folders = {name: hierarchy.CreateFolderItem(patient, name) for name in (SELECTED, SHARED)}
    for node in record.owned():
        if not node.GetHideFromEditors():
            hierarchy.CreateItem(folders[_folder_of(record, node)], node)
    hierarchy.SetItemExpanded(folders[SHARED], False)


def _folder_of(record: SceneRecord, node: Any) -> str:
    return SHARED if record.find("browser").GetSequenceNode(node) is None else SELECTED


def put_below(record: SceneRecord, node: Any) -> None:
    """Put a node made later beside the patient's others."""
    hierarchy = hierarchy_of(record.scene)
    patient = patient_item(record)
    folder = hierarchy.GetItemChildWithName(patient, _folder_of(record, node)) if patient else 0
    if folder:
        hierarchy.CreateItem(folder, node)


def patient_item(record: SceneRecord) -> int:
    """The patient's item; 0 if there is none."""
    hierarchy = hierarchy_of(record.scene)
    for node in record.owned():
        item = hierarchy.GetItemByDataNode(node)
        above = hierarchy.GetItemAncestorAtLevel(item, "Patient") if item else 0
        if above:
            return int(above)
    return 0


def remove_hierarchy(record: SceneRecord) -> None:
    """Remove the patient's branch, which leaves its nodes to whoever owns them."""
    item = patient_item(record)
    if item:
        hierarchy_of(record.scene).RemoveItem(item, False, True)
