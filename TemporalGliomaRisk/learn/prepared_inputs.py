"""What a patient's visits were prepared from, so that outdated images, days or outcomes are never learnt from.

Files count as unchanged where their sizes and times of change are the same, which costs little to see; only where those
differ are their bytes compared: a cohort that was copied elsewhere is still the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.learn.cohort import CohortPatient
from TemporalGliomaRisk.learn.stored_patient import damaged
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.visit import Visit


def inputs_of(patient: CohortPatient, visits: Sequence[Visit]) -> dict[str, Any]:
    """What is written down beside the prepared visits, JSON-ready.

    Args:
        patient: The patient.
        visits: Those that are prepared.

    Returns:
        ``sessions_sha256`` (None without a sessions table), ``files_state`` (what names, sizes and times of change of
        all the patient's files come to), ``images_sha256`` (a list for each ``VISIT SEQUENCE``, visits from 1), and
        ``truth`` (the simulator's record without the patient's label, None for real patients).
    """
    return {
        "sessions_sha256": _sessions_hash(patient),
        "files_state": files_state(patient.folder),
        "images_sha256": images_sha256(visits),
        "truth": _truth(patient, len(visits)),
    }


def refuse_another(patient: CohortPatient, prepared: Path) -> None:
    """Refuse visits that were prepared of other images, days or outcomes than the cohort holds now.

    Args:
        patient: As the cohort has the patient now.
        prepared: ``patient.json`` of the prepared visits.

    Raises:
        InputError: If they are of another patient of that name, outcome, sessions table, truth or images. Images that
            are there no longer can't be compared, and what a folder made by an earlier version doesn't say can't
            either.
    """
    try:
        facts = json.loads(prepared.read_text(encoding="utf-8"))
        found = (facts["event_observed"], facts["follow_up_days"])
        visits = len(facts["days_since_first"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(patient.patient_id, patient.told) from error
    if found != (patient.event_observed, patient.follow_up_days):
        raise InputError(
            f"{patient.told}: the visits prepared in this folder earlier are of another patient of that name, or have "
            "another outcome than participants.tsv says now; name a new folder."
        )
    now = _sessions_hash(patient)
    if facts.get("sessions_sha256", now) != now:
        raise InputError(
            f"{patient.told}: the sessions table was changed after the visits were prepared in this folder; name a new "
            "folder, so that days and visits are those of the table."
        )
    if _without_label(facts.get("truth")) != _truth(patient, visits):
        raise InputError(
            f"{patient.told}: the simulator's truth was changed after the visits were prepared in this folder; name a "
            "new folder, so that images and truth are of one patient."
        )
    if "images_sha256" in facts and _other_images(patient, facts):
        raise InputError(
            f"{patient.told}: images were replaced, added or taken away after the visits were prepared in this folder; "
            "name a new folder, so that what is learnt from is what the cohort holds."
        )


def _other_images(patient: CohortPatient, facts: Mapping[str, Any]) -> bool:
    if files_state(patient.folder) == facts.get("files_state"):
        return False
    try:
        visits = patient.input_visits(read_timeline(patient.folder).visits)
    except GliomaRiskError:
        return False  # Whoever keeps prepared visits only, to save room, goes on with them.
    return bool(images_sha256(visits) != facts["images_sha256"])


def images_sha256(visits: Sequence[Visit]) -> dict[str, list[str | None]]:
    """Hashes of every file by ``VISIT SEQUENCE``, visits from 1; None for a link to nothing."""
    return {
        f"{number} {sequence}": [sha256_of(path) if path.is_file() else None for path in visit.sources[sequence].files]
        for number, visit in enumerate(visits, 1)
        for sequence in visit.sequences
    }


def files_state(folder: Path) -> str:
    """Names, sizes and times of change of all files in a folder, hashed: a run's files hold no name and no date."""
    files = [(path, path.stat()) for path in folder.rglob("*") if path.is_file()]
    states = sorted((path.relative_to(folder).as_posix(), state.st_size, state.st_mtime_ns) for path, state in files)
    return hashlib.sha256(repr(states).encode("utf-8", "surrogateescape")).hexdigest()


def _sessions_hash(patient: CohortPatient) -> str | None:
    """Of the bytes of the patient's sessions table; None where there is none."""
    table = patient.folder / f"{patient.patient_id}_sessions.tsv"
    return sha256_of(table) if table.is_file() else None


def _truth(patient: CohortPatient, visits: int) -> dict[str, Any] | None:
    return _without_label(patient.truth_record(visits=visits))


def _without_label(truth: dict[str, Any] | None) -> dict[str, Any] | None:
    """A record without the patient's line of participants.tsv, which folders of before hold."""
    return truth and {name: told for name, told in truth.items() if name != "participant"}
