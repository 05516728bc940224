"""A cohort on disk: BIDS patients with outcomes, a simulator's truth where there is one.

``participants.tsv`` holds ``participant_id``, ``event_observed`` (true or false) and ``follow_up_days``: days from the
patient's first visit to the event, or to the last contact when none was observed. It is the same for simulated and
real cohorts.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.timeline.visit import Visit

REQUIRED_COLUMNS = ("participant_id", "event_observed", "follow_up_days")


@dataclass(frozen=True, kw_only=True)
class CohortPatient:
    """One patient of a cohort.

    Args:
        patient_id: BIDS label, ``sub-0001``.
        folder: The patient's BIDS folder.
        truth: The patient's folder under ``truth/``, None for real cohorts.
        event_observed: Whether an event was seen.
        follow_up_days: Days from the first visit to the event or to the last contact.
    """

    patient_id: str
    folder: Path
    truth: Path | None
    event_observed: bool
    follow_up_days: float

    def input_visits(self, visits: tuple[Visit, ...]) -> tuple[Visit, ...]:
        """The visits before the event or the last contact: the only ones that may be inputs, each a landmark row."""
        return tuple(visit for visit in visits if visit.days_since_first < self.follow_up_days)

    def truth_record(self) -> dict[str, Any] | None:
        """The simulator's ``truth.json``, None where there is none."""
        if self.truth is None:
            return None
        record: dict[str, Any] = json.loads((self.truth / "truth.json").read_text(encoding="utf-8"))
        return record


def read_cohort(folder: Path) -> tuple[CohortPatient, ...]:
    """Patients of a BIDS cohort with outcomes, in the order of their labels.

    Raises:
        InputError: If participants.tsv is missing or lacks a column, or a row cannot be read.
    """
    table = folder / "participants.tsv"
    if not table.is_file():
        raise InputError(
            "A cohort needs participants.tsv with participant_id, event_observed and follow_up_days; none."
        )
    with table.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle, delimiter="\t")
        missing = [name for name in REQUIRED_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"participants.tsv lacks the column {', '.join(missing)}; add it.")
        rows = list(reader)
    patients = [_patient(folder, row, number) for number, row in enumerate(rows, start=2)]
    if not patients:
        raise InputError("participants.tsv lists no patient; a cohort needs at least one.")
    return tuple(sorted(patients, key=lambda patient: patient.patient_id))


def read_cohorts(folders: Sequence[Path]) -> tuple[CohortPatient, ...]:
    """Patients of one or several cohorts together, in the order of their labels.

    Raises:
        InputError: If two cohorts name a patient alike, which would make one patient of two, or one cannot be read.
    """
    patients = sorted((one for folder in folders for one in read_cohort(folder)), key=lambda one: one.patient_id)
    shared = sum(one.patient_id == other.patient_id for one, other in itertools.pairwise(patients))
    if shared:
        raise InputError(
            f"Cohorts used together need a label of its own for every patient, and {shared} are shared; rename the "
            "patients of one cohort (simulate has --first-patient for it)."
        )
    return tuple(patients)


def _patient(folder: Path, row: dict[str, str], line: int) -> CohortPatient:
    label = row["participant_id"]
    if not label.startswith("sub-") or Path(label).name != label:
        raise InputError(f"participants.tsv line {line}: participant_id must be a BIDS label 'sub-...'; correct it.")
    try:
        event = {"0": False, "1": True, "false": False, "true": True}[row["event_observed"].strip().lower()]
        follow_up_days = float(row["follow_up_days"])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"participants.tsv line {line}: event_observed must be true or false and follow_up_days a number; "
            "correct the row."
        ) from error
    if not (folder / label).is_dir():
        raise InputError(
            f"participants.tsv line {line}: the patient has no folder in the cohort; add it or drop the row."
        )
    truth = folder / "truth" / label
    return CohortPatient(
        patient_id=label,
        folder=folder / label,
        truth=truth if (truth / "truth.json").is_file() else None,
        event_observed=event,
        follow_up_days=follow_up_days,
    )


def split_patients(
    patients: tuple[CohortPatient, ...], *, seed: int, fractions: tuple[float, float, float]
) -> dict[str, tuple[CohortPatient, ...]]:
    """Patients into ``train``, ``validation`` and ``test`` by a hash of their label, so that no patient ever moves.

    Args:
        patients: The cohort.
        seed: Another seed, another split.
        fractions: Shares of train, validation and test; they add up to 1.
    """
    parts: dict[str, list[CohortPatient]] = {"train": [], "validation": [], "test": []}
    for patient in patients:
        digest = hashlib.sha256(f"{seed}:{patient.patient_id}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        part = "train" if place < fractions[0] else "validation" if place < fractions[0] + fractions[1] else "test"
        parts[part].append(patient)
    return {name: tuple(members) for name, members in parts.items()}
