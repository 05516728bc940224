"""Patients and files of Slicer's DICOM database; names are shown to the reader and kept nowhere."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from TemporalGliomaRisk.errors import InputError


def database() -> Any:
    """Slicer's DICOM database, None where it is not open."""
    found = getattr(slicer, "dicomDatabase", None)
    return found if found is not None and found.isOpen else None


def patients() -> list[tuple[str, str]]:
    """Identifier in the database and displayed name of every patient that has a study."""
    found = database()
    if found is None:
        return []
    listed = []
    for identifier in found.patients():
        studies = found.studiesForPatient(identifier)
        if studies:
            name = str(found.nameForPatient(identifier)).replace("^", " ").strip()
            label = _("{name} ({count} studies)").format(name=name or _("unnamed"), count=len(studies))
            listed.append((str(identifier), label))
    return sorted(listed, key=lambda pair: pair[1])


def files_of(patient: str) -> list[str]:
    """All files of a patient.

    Raises:
        InputError: If the database is not open or does not know the patient any more.
    """
    found = database()
    if found is None:
        raise InputError(_("Slicer's DICOM database is not open. Open it in the DICOM module."))
    files = [
        str(path)
        for study in found.studiesForPatient(patient)
        for series in found.seriesForStudy(study)
        for path in found.filesForSeries(series)
    ]
    if not files:
        raise InputError(_("The patient is not in the DICOM database any more. List the patients again."))
    return files
