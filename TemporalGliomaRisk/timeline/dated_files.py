"""A folder of ``PATIENT_YYYYMMDD.nii.gz`` or ``PATIENT_YYYYMMDD_SEQUENCE.nii.gz`` files."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from TemporalGliomaRisk.timeline.assembly import FoundVisit, SourceMaker, build_timeline
from TemporalGliomaRisk.timeline.days import DATES_WANTED, When, parse_date
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.image_file import VolumeFile, left_by_macos, volume_suffix
from TemporalGliomaRisk.timeline.refusals import TimelineRefused, refuse, refuse_several
from TemporalGliomaRisk.timeline.rules import finding
from TemporalGliomaRisk.timeline.sequence_names import (
    ASSUMED_SEQUENCE,
    sequence_from_description,
    sequence_from_name,
)
from TemporalGliomaRisk.timeline.visit import SequenceName, Timeline

_NAME = re.compile(r"(?P<patient>.+)[_](?P<date>\d{8}|\d{4}-\d{2}-\d{2})(?:[_](?P<sequence>.+))?$")


@dataclass(frozen=True, kw_only=True)
class _DatedFile:
    path: Path
    patient: str
    date: datetime.date
    sequence_text: str | None
    sequence_first: bool


def holds_volume_files(folder: Path) -> bool:
    """Whether volume files lie directly in a folder."""
    return any(child.is_file() and volume_suffix(child) is not None for child in folder.iterdir())


def holds_dated_files(folder: Path) -> bool:
    """Whether volume files whose names hold a date lie directly in a folder."""
    return any(
        child.is_file() and suffix is not None and _NAME.match(child.name[: -len(suffix)]) is not None
        for child, suffix in ((child, volume_suffix(child)) for child in folder.iterdir())
    )


def patient_in_name(stem: str) -> str:
    """What a name of the form PATIENT_YYYYMMDD or PATIENT_YYYYMMDD_SEQUENCE calls the patient; empty for any other.

    Where a pulse sequence alone stands before the date (``T2 FLAIR tra_20200102``), no patient does.
    """
    match = _NAME.match(stem)
    if match is None:
        return ""
    patient = match["patient"] if match["sequence"] else _parted(match["patient"])[0]
    named = sequence_from_name(patient) or sequence_from_description(patient, "")
    return patient if named is None else ""


def read_dated_files(folder: Path, *, patient: str | None = None, identified: bool = False) -> Timeline:
    """Read the timeline of a folder of dated files. Volumes are not read yet.

    Raises:
        TimelineRefused: If no file is dated, a date is impossible, there are several patients and none is named, or
            T1 and T2 may be time points.
    """
    noticed: list[Finding] = []
    files = _dated(folder, noticed)
    if not files:
        problem = "No file name holds a date where one is wanted: PATIENT_YYYYMMDD.nii.gz or "
        problem += "PATIENT_YYYYMMDD_SEQUENCE.nii.gz. Rename the files or use a table."
        raise TimelineRefused([*noticed, finding("dates_missing", problem=problem)])
    _refuse_time_points(files)
    patients = {file.patient for file in files}
    if patient is not None and patient not in patients:
        raise refuse("patient_not_found", labels="")
    if patient is None and len(patients) > 1:
        raise refuse_several(sorted(patients), count=len(patients), labels=", as the names before the dates differ")
    name = patient if patient is not None else files[0].patient
    visits = _visits([file for file in files if file.patient == name], noticed)
    return build_timeline(visits, findings=noticed, patient_name=name, identified=identified)


def _dated(folder: Path, noticed: list[Finding]) -> list[_DatedFile]:
    """Files whose names hold a date; what else lies there is counted."""
    files: list[_DatedFile] = []
    unknown = folders = undated = bad = 0
    for path in sorted(folder.iterdir()):
        if left_by_macos(path):
            continue
        suffix = volume_suffix(path)
        if path.is_dir():
            folders += 1
            continue
        if suffix is None:
            unknown += 1
            continue
        match = _NAME.match(path.name[: -len(suffix)])
        if match is None:
            undated += 1
            continue
        try:
            date = parse_date(match["date"])
        except ValueError:
            bad += 1
            continue
        patient, sequence_text = match["patient"], match["sequence"]
        if sequence_text is None:
            patient, sequence_text = _parted(patient)
        first = match["sequence"] is None and sequence_text is not None
        files.append(
            _DatedFile(path=path, patient=patient, date=date, sequence_text=sequence_text, sequence_first=first)
        )
    if bad:
        where = f"{bad} files of the folder"
        noticed.append(finding("date_unreadable", where=where, what="the date in the name", wanted=DATES_WANTED))
        raise TimelineRefused(noticed)
    if undated and files:
        noticed.append(finding("undated_files", count=undated))
    if unknown:
        noticed.append(finding("unknown_files", count=unknown))
    if folders:
        noticed.append(finding("subfolders_ignored", count=folders))
    return files


def _parted(before_date: str) -> tuple[str, str | None]:
    """The patient, and the sequence where one is named between patient and date: ``P_T1_post`` is P's ``T1_post``."""
    parts = before_date.split("_")
    for start in range(1, len(parts)):
        text = "_".join(parts[start:])
        if sequence_from_name(text) is not None:
            return "_".join(parts[:start]), text
    return before_date, None


def _refuse_time_points(files: list[_DatedFile]) -> None:
    """Refuse ``P_T1_20240101`` beside ``P_T2_20240701``: the first two of several time points, as likely as not."""
    dates: dict[str, set[datetime.date]] = {}
    for file in files:
        if file.sequence_first and file.sequence_text is not None and file.sequence_text.upper() in ("T1", "T2"):
            dates.setdefault(file.sequence_text.upper(), set()).add(file.date)
    if len(dates) == 2 and all(len(some) == 1 for some in dates.values()) and dates["T1"] != dates["T2"]:
        raise refuse("time_points", which="T1 and T2")


def _visits(files: list[_DatedFile], noticed: list[Finding]) -> list[FoundVisit]:
    """One visit a date. Two files of one sequence on one date are refused: nothing tells which is meant."""
    by_date: dict[datetime.date, dict[SequenceName, list[Path]]] = {}
    assumed = unknown = 0
    for file in files:
        sequence = ASSUMED_SEQUENCE if file.sequence_text is None else sequence_from_name(file.sequence_text)
        assumed += file.sequence_text is None
        if sequence is None:
            unknown += 1
        else:
            by_date.setdefault(file.date, {}).setdefault(sequence, []).append(file.path)
    if assumed:
        noticed.append(finding("sequence_assumed", sequence=ASSUMED_SEQUENCE, count=assumed))
    if unknown:
        noticed.append(finding("sequence_unknown", count=unknown))
    first = sum(file.sequence_first for file in files)
    if first:
        noticed.append(finding("sequence_before_date", count=first))
    visits = []
    for number, (date, found) in enumerate(sorted(by_date.items()), start=1):
        for sequence, paths in found.items():
            if len(paths) > 1:
                noticed.append(finding("same_sequence_same_day", visit=number, sequence=sequence, count=len(paths)))
        sources: dict[SequenceName, SourceMaker] = {
            sequence: partial(_file_source, paths[0]) for sequence, paths in found.items()
        }
        visits.append(FoundVisit(when=When(date=date), sources=sources, name=date.isoformat()))
    return visits


def _file_source(path: Path, role: str) -> VolumeFile:
    return VolumeFile(path=path, role=role)
