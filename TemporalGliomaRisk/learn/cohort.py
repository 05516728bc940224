"""A cohort on disk: BIDS patients with outcomes, a simulator's truth where there is one.

``participants.tsv`` holds ``participant_id``, ``event_observed`` (true or false) and ``follow_up_days``: days from the
patient's first visit to the event, or to the last contact when none was observed. It is the same for simulated and
real cohorts. ``event_day_at_visit`` may say on which day a visit showed the event (n/a: not known).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.files import read_json
from TemporalGliomaRisk.learn.truth_file import is_truth
from TemporalGliomaRisk.timeline.days import MOST_DAYS
from TemporalGliomaRisk.timeline.labels import may_be_shown
from TemporalGliomaRisk.timeline.text_table import read_text_table
from TemporalGliomaRisk.timeline.visit import Visit

TABLE = "participants.tsv"
REQUIRED_COLUMNS = ("participant_id", "event_observed", "follow_up_days")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:[.]\d{3})+")
"""``1.194`` is one day to a program and 1,194 to half of Europe, so that nobody can tell which was meant; ``412.125``
can be nothing but 412 days, since no patient is followed for 412,125."""
_NO, _YES = ("0", "0.0", "false", "no"), ("1", "1.0", "true", "yes")


@dataclass(frozen=True, kw_only=True)
class CohortPatient:
    """One patient of a cohort.

    Args:
        patient_id: BIDS label, ``sub-0001``.
        folder: The patient's BIDS folder.
        truth: The patient's folder under ``truth/``, None for real cohorts.
        event_observed: Whether an event was seen.
        follow_up_days: Days from the first visit to the event or to the last contact.
        event_day_at_visit: Days from the first visit to the one that showed the event, None where there was none or
            nobody wrote it down.
        line: Of participants.tsv, from 1; None where the patient is from no such table.
        table: How messages name the table, which says whose it is where there are several.
    """

    patient_id: str
    folder: Path
    truth: Path | None
    event_observed: bool
    follow_up_days: float
    event_day_at_visit: float | None = None
    line: int | None = None
    table: str = field(default=TABLE, compare=False)

    @property
    def told(self) -> str:
        """How a message names the patient: the line of participants.tsv, and the label where it may be shown."""
        label = self.patient_id if may_be_shown(self.patient_id) else "A patient"
        return label if self.line is None else f"{label} (line {self.line} of {self.table})"

    def input_visits(self, visits: tuple[Visit, ...]) -> tuple[Visit, ...]:
        """The visits before the event or the last contact: the only ones that may be inputs, each a landmark row."""
        return tuple(visit for visit in visits if visit.days_since_first < self.follow_up_days)

    def truth_record(self, *, visits: int = 0) -> dict[str, Any] | None:
        """The simulator's ``truth.json``, None where there is none.

        Args:
            visits: So many visits are to be learnt from or scored, of which it must tell.

        Raises:
            InputError: If it is damaged.
        """
        if self.truth is None:
            return None
        record: dict[str, Any] = read_json(
            self.truth / "truth.json", damaged="The truth file cannot be read as JSON. Simulate the patient again."
        )
        if not is_truth(record, visits=visits):
            raise InputError(
                "The truth file lacks what belongs in it, or holds what does not. Simulate the patient again."
            )
        return record


def read_cohort(folder: Path, *, table: str = TABLE) -> tuple[CohortPatient, ...]:
    """Patients of a BIDS cohort with outcomes, in the order of their labels.

    Args:
        folder: Of the cohort.
        table: How messages name its participants.tsv.

    Raises:
        InputError: If participants.tsv is missing or lacks a column, a row cannot be read, or a patient has two.
    """
    rows = read_participants(folder, table=table)
    patients = [_patient(folder, row, line, table) for line, row in rows]
    if not patients:
        raise InputError(f"{table} lists no patient; a cohort needs at least one.")
    seen: set[str] = set()
    for patient in patients:
        if patient.patient_id in seen:
            raise InputError(f"{table} names a patient twice, again in line {patient.line}; keep one row.")
        seen.add(patient.patient_id)
    return tuple(sorted(patients, key=lambda patient: patient.patient_id))


def read_participants(folder: Path, *, table: str = TABLE) -> list[tuple[int, dict[str, str]]]:
    """The rows of a cohort's ``participants.tsv`` with their lines, from 1; names of columns in small letters.

    Raises:
        InputError: If it is missing, cannot be read, lacks a column or names one twice.
    """
    file = folder / TABLE
    if not file.is_file():
        raise InputError(
            f"{table} is not in the folder given; a cohort needs it, with {', '.join(REQUIRED_COLUMNS)}, beside its "
            "folders sub-P. Name the folder that holds it."
        )
    content = read_text_table(file, what=table, delimiter="\t")
    missing = [name for name in REQUIRED_COLUMNS if name not in content.columns]
    if missing:
        raise InputError(
            f"{table} lacks the column {', '.join(missing)}; its first line must name the columns, with tabs "
            "between them. Add what is missing."
        )
    return list(zip(content.numbers, content.rows, strict=True))


def read_cohorts(folders: Sequence[Path]) -> tuple[CohortPatient, ...]:
    """Patients of one or several cohorts together, in the order of their labels.

    Raises:
        InputError: If two cohorts name a patient alike, which would make one patient of two, or one cannot be read.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError("The same cohort is named twice; name it once.")
    tables = [TABLE] if len(folders) == 1 else [f"{TABLE} of cohort {number}" for number in range(1, len(folders) + 1)]
    read = (read_cohort(folder, table=table) for folder, table in zip(folders, tables, strict=True))
    patients = sorted(itertools.chain.from_iterable(read), key=lambda one: one.patient_id)
    shared = sum(one.patient_id == other.patient_id for one, other in itertools.pairwise(patients))
    if shared:
        raise InputError(
            f"Cohorts used together need a label of its own for every patient, and {shared} are shared; rename the "
            "patients of one cohort (simulate has --first-patient for it)."
        )
    return tuple(patients)


def cohort_sha256(patients: Sequence[CohortPatient]) -> str:
    """Hash of a cohort's labels and outcomes, by which a model knows the cohorts it learnt from; it names nobody."""
    rows = sorted((one.patient_id, one.event_observed, one.follow_up_days) for one in patients)
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _patient(folder: Path, row: dict[str, str], line: int, table: str) -> CohortPatient:
    label = row["participant_id"]
    if not label.startswith("sub-") or Path(label).name != label:
        raise InputError(f"{table} line {line}: participant_id must be a BIDS label 'sub-...'; correct it.")
    event = row["event_observed"].lower()
    if event not in (*_NO, *_YES):
        raise InputError(f"{table} line {line}: event_observed must be true or false; correct the row.")
    follow_up_days = _number_of_days(row["follow_up_days"])
    if not follow_up_days > 0:
        raise InputError(
            f"{table} line {line}: follow_up_days must be a number of days above 0 and below 75 years, "
            "without points or commas between thousands, from the first visit to the event or the last contact; "
            "correct the row, or drop it if nothing is known."
        )
    if not os.path.isdir(folder / label):  # noqa: PTH112  (says no where pathlib raises: a name too long, say)
        raise InputError(f"{table} line {line}: the patient has no folder in the cohort; add it or drop the row.")
    event_observed = event in _YES
    truth = folder / "truth" / label
    return CohortPatient(
        patient_id=label,
        folder=folder / label,
        truth=truth if (truth / "truth.json").is_file() else None,
        event_observed=event_observed,
        follow_up_days=follow_up_days,
        event_day_at_visit=_day_at_visit(row, f"{table} line {line}", follow_up_days) if event_observed else None,
        line=line,
        table=table,
    )


def _number_of_days(text: str) -> float:
    """Days, whole or not; NaN for what is no plausible number of them, or can be read as two."""
    try:
        days = float(text)
    except ValueError:
        return math.nan
    by_thousands = _THOUSANDS.fullmatch(text) and abs(int(text.replace(".", ""))) <= MOST_DAYS
    return days if abs(days) <= MOST_DAYS and not by_thousands else math.nan


def _day_at_visit(row: dict[str, str], where: str, event_day: float) -> float | None:
    """The day of the visit that showed an observed event; None where the table doesn't say."""
    said = row.get("event_day_at_visit", "")
    if said.lower() in ("", "n/a"):
        return None
    day = _number_of_days(said)
    if not event_day <= day:
        raise InputError(
            f"{where}: event_day_at_visit must be a number of days, not before the event of "
            "follow_up_days, or n/a; correct the row."
        )
    return day


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
