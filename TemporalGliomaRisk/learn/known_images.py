"""Patients known again by the images of their first visit, whatever they are called and however a cohort has grown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from TemporalGliomaRisk.errors import GliomaRiskError
from TemporalGliomaRisk.learn.cohort import CohortPatient
from TemporalGliomaRisk.learn.cohort_findings import rows_told
from TemporalGliomaRisk.learn.prepared_inputs import images_sha256
from TemporalGliomaRisk.learn.stored_patient import StoredPatient, damaged, stored_name
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.reading import read_timeline

LETTERS = 16
"""Of a file's hash that are kept: enough to tell any number of patients apart, and of a tenth of the size."""
FIRST_VISIT = "1 "
"""What the names of the first visit's images begin with."""


def known_images(patient: CohortPatient) -> frozenset[str]:
    """What the files of a patient's first visit come to, a few letters a file; nothing where they can't be read."""
    try:
        visits = read_timeline(patient.folder).visits[:1]
        return _first_visit(images_sha256(visits))
    except (GliomaRiskError, OSError):
        return frozenset()  # Preparing this patient will say what is wrong.


def images_of_prepared(folder: Path, patient_id: str) -> frozenset[str]:
    """The same of a patient prepared in a folder; nothing where an earlier version prepared it.

    Args:
        folder: Of prepared patients.
        patient_id: BIDS label, or what stands for it.

    Raises:
        InputError: If the patient's record is damaged.
    """
    try:
        facts = json.loads((folder / stored_name(patient_id) / "patient.json").read_text(encoding="utf-8"))
        return _first_visit(facts.get("images_sha256", {}))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(patient_id, "A patient") from error


def images_of_real(folder: Path, patients: Iterable[StoredPatient]) -> tuple[str, ...]:
    """The images of all prepared patients without a simulator's truth, by whose numbers the others are known.

    Args:
        folder: Of prepared patients.
        patients: Some of them.
    """
    found = (images_of_prepared(folder, one.patient_id) for one in patients if one.truth is None)
    return tuple(sorted(frozenset().union(*found)))


def twins(folder: Path, patients: Sequence[CohortPatient]) -> tuple[Finding, ...]:
    """What to tell of prepared patients who are one: who learns from the first knows the outcome of the second.

    Args:
        folder: Of prepared patients.
        patients: Those who learn and watch.

    Raises:
        InputError: If a patient's record is damaged.
    """
    whose: dict[str, list[CohortPatient]] = {}
    for patient in patients:
        for image in images_of_prepared(folder, patient.patient_id):
            whose.setdefault(image, []).append(patient)
    twice = {one.patient_id: one for owners in whose.values() if len(owners) > 1 for one in owners}
    if not twice:
        return ()
    message = (
        f"{len(twice)} of the patients ({rows_told(list(twice.values()))}) share an image of their first "
        "visit with another of them, as one patient under two labels does: what is learnt from one is known of the "
        "other, and figures look better than they are. Keep one row of each, or correct the images."
    )
    return (Finding.warning("patient_twice", message),)


def _first_visit(images: Mapping[str, Sequence[str | None]]) -> frozenset[str]:
    return frozenset(
        sha256[:LETTERS]
        for name, files in images.items()
        if name.startswith(FIRST_VISIT)
        for sha256 in files
        if sha256 is not None
    )
