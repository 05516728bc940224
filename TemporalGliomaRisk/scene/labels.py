"""Patients of one scene that are called alike: every one gets a label of its own, for names and for files."""

from __future__ import annotations

import itertools
from typing import Any

from TemporalGliomaRisk.scene.hierarchy import patient_item
from TemporalGliomaRisk.scene.record import SceneRecord, hierarchy_of


def tell_apart(scene: Any) -> None:
    """Number the later ones of a scene's patients that are called alike: ``sub-01``, ``sub-01 (2)``.

    A label that is a patient's alone stays with it, also when the others are gone: files were named after it. Where a
    scene is imported beside another one, the patient's browser and its item in the subject hierarchy are renamed.
    """
    taken: set[str] = set()
    for record in SceneRecord.all_in(scene):
        patient, label = str(record.get("patient")), record.label
        is_its_own = label == patient or label.startswith(f"{patient} (")
        if not is_its_own or label in taken:
            numbered = (f"{patient} ({number})" for number in itertools.count(2))
            label = next(name for name in itertools.chain([patient], numbered) if name not in taken)
            _rename(record, label)
        taken.add(label)


def _rename(record: SceneRecord, label: str) -> None:
    record.put("label", label)
    browser, item = record.find("browser"), patient_item(record)
    if browser is not None:
        browser.SetName(browser_name(label))
    if item:
        hierarchy_of(record.scene).SetItemName(item, label)


def browser_name(label: str) -> str:
    """Name of a patient's sequence browser, which is what Slicer's menus show."""
    return f"{label} visits"
