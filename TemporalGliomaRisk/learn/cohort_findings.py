"""What is worth knowing of cohorts before anybody is prepared or trained, so that no night is lost to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.learn.cohort import CohortPatient
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.labels import MOST_TOLD
from TemporalGliomaRisk.timeline.reading import read_timeline

DOES = {"train": "learn from", "validation": "calibrate on"}
"""What the patients of a split's part are there for."""


def rows_told(patients: Sequence[CohortPatient]) -> str:
    """The first few rows of each table, as a message names them: ``line 2, 4 of participants.tsv``."""
    lines: dict[str, list[int]] = {}
    for patient in patients:
        lines.setdefault(patient.table, []).append(patient.line or 0)
    return ", ".join(
        f"line {', '.join(map(str, sorted(some)[:MOST_TOLD]))}{', ...' if len(some) > MOST_TOLD else ''} of {table}"
        for table, some in sorted(lines.items())
    )


def folders_without_row(cohorts: Sequence[Path], patients: Sequence[CohortPatient]) -> tuple[Finding, ...]:
    """What to tell of folders ``sub-...`` that no row of participants.tsv names, and whose images count for nothing.

    Args:
        cohorts: Folders of the cohorts.
        patients: All patients of their tables.
    """
    named = {patient.folder for patient in patients}
    count = sum(folder.is_dir() and folder not in named for cohort in cohorts for folder in cohort.glob("sub-*"))
    if not count:
        return ()
    message = (
        f"{count} of the cohort's folders sub-... {'has' if count == 1 else 'have'} no row in participants.tsv and "
        "will be left out; add the rows if the patients belong to the cohort."
    )
    return (Finding.warning("folder_without_row", message),)


def visits_after_last_contact(patients: Sequence[CohortPatient]) -> tuple[Finding, ...]:
    """What to tell of visits after a follow-up that ended without an event: nobody knows their outcome.

    Args:
        patients: All patients of the tables.
    """
    cut = []
    for patient in patients:
        if patient.event_observed:
            continue
        try:
            last = read_timeline(patient.folder).visits[-1].days_since_first
        except GliomaRiskError:
            continue  # Preparing this patient will say what is wrong.
        if last > patient.follow_up_days:
            cut.append(patient)
    if not cut:
        return ()
    message = (
        f"Follow-up of {len(cut)} without an event ({rows_told(cut)}) ended before their last visit; visits after it "
        "will be left out. follow_up_days counts days from the first visit to "
        "the last contact, which a visit is, too: correct it, unless follow-up was cut off on purpose."
    )
    return (Finding.warning("visit_after_follow_up", message),)


def parts_without_event(parts: Mapping[str, Sequence[CohortPatient]]) -> tuple[Finding, ...]:
    """What to tell where nobody to learn from, or nobody to calibrate on, has an event: the likeliest hazard is none.

    Said before pretraining too, which needs no events; fine-tuning refuses such a split.

    Args:
        parts: Of the split.
    """
    return tuple(
        Finding.warning(
            "no_event",
            f"None of the {len(parts[name])} patients to {does} has an event, so no hazard can be learnt by "
            "this split and finetune refuses it. Bring more patients, or begin a run with other shares (pretrain "
            "--fractions) or another --seed.",
        )
        for name, does in DOES.items()
        if not any(patient.event_observed for patient in parts[name])
    )


def refuse_without_event(parts: Mapping[str, Sequence[CohortPatient]]) -> None:
    """Refuse to fine-tune by such a split, before a night is spent on heads that nobody can calibrate.

    Raises:
        InputError: If a part has no event.
    """
    for finding in parts_without_event(parts):
        raise InputError(finding.message)
