"""The files of an export, made from a patient of the scene and, where it is still there, the folder of its result."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator
from pathlib import Path

from slicer.i18n import tr as _

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.files import write_text_whole
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.scene_visit import SceneVisit
from TemporalGliomaRisk.scene.settings import MapKind
from TemporalGliomaRisk.scene.volumes import is_empty, volume_of
from TemporalGliomaRisk.timeline.sitk_images import write_nifti

NAMES = {
    MapKind.RISK: "desc-risk_heatmap",
    MapKind.CHANGE: "desc-change_heatmap",
    MapKind.CHANGE_FROM_FIRST: "desc-changeFromFirst_heatmap",
}


ENDINGS = {
    "report": "_report.html",
    "table": "_risk.tsv",
    "heatmaps": "_*_heatmap.nii.gz",
    "scene": ".mrb",
    "dicom": "_*_dicom",
}
"""How names go on behind the patient's label, by kind of export."""


def already_there(kind: str, patient: PatientScene, folder: Path) -> list[str]:
    """Names in a folder that an export may write over."""
    return sorted(path.name for path in folder.glob(glob.escape(patient.label) + ENDINGS[kind]))


def export_report(output: Path | None, patient: PatientScene, folder: Path) -> list[str]:
    """Write the report that came with the risk: the scene keeps it, also when it was saved and opened again.

    Raises:
        InputError: If there is none: no risk yet, or a scene of an earlier version.
    """
    name = f"{patient.label}_report.html"
    kept = patient.report()
    if kept is not None:
        write_text_whole(folder / name, kept)
        return [name]
    if output is None or not (output / "report.html").is_file():
        raise InputError(_("This scene holds no report. Apply the model to get one."))
    shutil.copyfile(output / "report.html", folder / name)
    return [name]


def export_table(output: Path | None, patient: PatientScene, folder: Path) -> list[str]:
    """Write the table of risks: the one that was written with the risk, else what the scene knows of it.

    Raises:
        InputError: If there is no risk yet.
    """
    name = f"{patient.label}_risk.tsv"
    if output is not None and (output / "risk.tsv").is_file():
        shutil.copyfile(output / "risk.tsv", folder / name)
        return [name]
    _refuse_without_risk(patient)
    columns = ("session_id", "days_since_first", "days_since_treatment", "risk", "risk_low", "risk_high")
    columns = (*columns, "single_visit_risk")
    lines = ["\t".join((*columns, "uncertain_because", "caveat"))]
    for visit in patient.visits:
        values = [getattr(visit, column) for column in columns]
        values += [",".join(visit.uncertain_because) or None, patient.research_use_only]
        lines.append("\t".join("n/a" if value is None else str(value) for value in values))
    write_text_whole(folder / name, "\n".join(lines) + "\n")
    return [name]


def export_heatmaps(patient: PatientScene, folder: Path) -> list[str]:
    """Write every map of every visit on its own grid, where the visit lies in its own space.

    Raises:
        InputError: If the patient has no maps.
    """
    if not patient.map_kinds:
        raise InputError(_("This patient has no maps. Apply a model first."))
    names = []
    for visit in each_visit(patient):
        for kind in patient.map_kinds:
            node = patient.map(kind)
            if not is_empty(node):
                name = f"{patient.label}_{visit.session_id}_{NAMES[kind]}.nii.gz"
                write_nifti(volume_of(node, in_world=False), folder / name)
                names.append(name)
    return names


def export_dicom(patient: PatientScene, folder: Path) -> list[str]:
    """Write, of every visit, its reference volume, the risk map and the region over the threshold as DICOM.

    Raises:
        InputError: If the patient has no maps.
    """
    # highdicom may have been installed just now.
    from TemporalGliomaRisk.report.dicom_export import DicomVisit, export_visit, new_patient  # noqa: PLC0415

    if MapKind.RISK not in patient.map_kinds:
        raise InputError(_("This patient has no maps. Apply a model first."))
    identity = new_patient(patient.label)
    threshold = patient.display.threshold * patient.scale_top(MapKind.RISK)
    names = []
    for visit in each_visit(patient):
        grey, heat = patient.volume(visit.reference_sequence), patient.map(MapKind.RISK)
        if is_empty(grey) or is_empty(heat):
            continue
        name = f"{patient.label}_{visit.session_id}_dicom"
        export_visit(
            DicomVisit(
                number=visit.number,
                days_since_first=visit.days_since_first,
                sequence=visit.reference_sequence or "",
                volume=volume_of(grey, in_world=False),
                heatmap=volume_of(heat, in_world=False),
                research_use_only=patient.research_use_only,
            ),
            identity,
            threshold_per_mL=threshold,
            folder=folder / name,
        )
        names.append(name)
    return names


def each_visit(patient: PatientScene) -> Iterator[SceneVisit]:
    """Every visit, selected while it is dealt with; afterwards the reader's visit is shown again."""
    shown = patient.selected_visit
    try:
        for visit in patient.visits:
            patient.selected_visit = visit.number
            yield visit
    finally:
        patient.selected_visit = shown


def _refuse_without_risk(patient: PatientScene) -> None:
    if not patient.has_risk:
        raise InputError(_("No risk was computed yet. Apply a model first."))
