"""Read a patient's timeline from disk, whatever form it has: BIDS, dated files, a table, DICOM."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from TemporalGliomaRisk.timeline.bids import (
    bids_patients,
    holds_anat_volumes,
    is_bids_patient,
    patient_of_dataset,
    read_bids_patient,
)
from TemporalGliomaRisk.timeline.dated_files import holds_dated_files, holds_volume_files, read_dated_files
from TemporalGliomaRisk.timeline.refusals import refuse
from TemporalGliomaRisk.timeline.table import read_table
from TemporalGliomaRisk.timeline.visit import Timeline

FORMS = (
    "a BIDS patient folder (sub-P) or dataset, a folder of PATIENT_YYYYMMDD_SEQUENCE.nii.gz files, "
    "a .csv or .tsv table, or a folder of DICOM"
)
SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers", ".txt")


def read_timeline(path: Path, *, patient: str | None = None, identified: bool = False) -> Timeline:
    """Read one patient's timeline; the form is recognised by itself. Volumes are read only when asked for.

    Args:
        path: A BIDS patient folder or dataset, a folder of dated files, a table, or a folder of DICOM.
        patient: Which patient, where the input holds several: a BIDS label, or the name the input uses.
        identified: Label patient and visits by the input's names and dates. Labels of BIDS stay in any case, but for
            those that are none, or that hold a date.

    Returns:
        The timeline, with what the reader noticed in ``findings``. Names and dates of input that is not BIDS are in
        ``identity`` and ``Visit.date`` only, unless ``identified``.

    Raises:
        TimelineRefused: A :class:`~TemporalGliomaRisk.errors.TimelineError` with all findings, if there is no timeline.
    """
    try:
        return _read(by_its_name(Path(path)), patient, identified)
    except PermissionError as error:
        raise refuse("nothing_to_read", problem="The input may not be read by this user. Check its rights.") from error


def by_its_name(path: Path) -> Path:
    """A path by the name of what it leads to (``.``, ``..``, a link), since by its name a folder is a BIDS patient."""
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path
    return resolved if path.name in ("", "..") or resolved.name.startswith(("sub-", "ses-")) else path


def _read(path: Path, patient: str | None, identified: bool) -> Timeline:
    if not os.path.exists(path):  # noqa: PTH110  (says no where pathlib raises: a path too long for the system, say)
        raise refuse("nothing_to_read", problem=f"There is nothing at the path given; wanted {FORMS}.")
    if path.is_file():
        if path.suffix.lower() in (".csv", ".tsv"):
            return read_table(path, patient=patient, identified=identified)
        if path.suffix.lower() in SPREADSHEETS:
            problem = "The input is a spreadsheet's own file or plain text; save the table as .csv, and name that."
            raise refuse("nothing_to_read", problem=problem)
        problem = f"The input is a single file; wanted {FORMS}. For one volume write a table with one row."
        raise refuse("nothing_to_read", problem=problem)
    if not path.is_dir():
        raise refuse("nothing_to_read", problem=f"The input is neither a file nor a folder; wanted {FORMS}.")
    if is_bids_patient(path):
        if patient is not None and patient not in (path.name, path.name.removeprefix("sub-")):
            raise refuse("patient_not_found", labels="")
        return _read_patient(path, identified)
    inside_session = path.name == "anat" and path.absolute().parent.name.startswith(("sub-", "ses-"))
    if inside_session or (path.name.startswith("ses-") and (path / "anat").is_dir()):
        problem = "The input is one BIDS session; name the patient's folder above it, so that all visits are read."
        raise refuse("nothing_to_read", problem=problem)
    if any(is_bids_patient(child) for child in bids_patients(path)):
        return _read_patient(patient_of_dataset(path, patient), identified)
    if holds_dated_files(path):
        return read_dated_files(path, patient=patient, identified=identified)
    timeline = _read_dicom(path, patient, identified)
    if timeline is None and holds_volume_files(path):  # refused there, with the names that are wanted
        return read_dated_files(path, patient=patient, identified=identified)
    if timeline is None:
        without = "" if _reads_dicom() else " DICOM cannot be read here: run pip install 'TemporalGliomaRisk[dicom]'."
        raise refuse("nothing_to_read", problem=f"The folder holds no image that is known; wanted {FORMS}.{without}")
    return timeline


def _read_patient(folder: Path, identified: bool) -> Timeline:
    """A patient's folder of BIDS, or of the DICOM that stands to become it (``sourcedata/sub-P/ses-V``)."""
    timeline = None if holds_anat_volumes(folder) else _read_dicom(folder, None, identified)
    return timeline or read_bids_patient(folder, identified=identified)


def _reads_dicom() -> bool:
    """Whether the package is there that the extra ``dicom`` brings."""
    return importlib.util.find_spec("pydicom") is not None


def _read_dicom(folder: Path, patient: str | None, identified: bool) -> Timeline | None:
    """The timeline of a folder of DICOM, None where it holds none that can be read here."""
    if not _reads_dicom():
        return None
    # Loaded where it is wanted: pydicom would take a third of what Slicer's start spends on the extension.
    from TemporalGliomaRisk.timeline.dicom_folder import read_dicom_folder  # noqa: PLC0415

    return read_dicom_folder(folder, patient=patient, identified=identified)
