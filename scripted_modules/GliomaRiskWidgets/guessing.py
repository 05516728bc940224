"""Which visit and which pulse sequence a scene's volumes are, told from DICOM, the subject hierarchy and names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from TemporalGliomaRisk.timeline.dated_files import patient_in_name
from TemporalGliomaRisk.timeline.days import parse_date
from TemporalGliomaRisk.timeline.sequence_names import sequence_from_description, sequence_from_name
from TemporalGliomaRisk.timeline.visit import SequenceName

from .visits import DayKind, VisitRow, in_order

_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
_SESSION = re.compile(r"(?:^|_)(ses-[A-Za-z0-9]+)", re.IGNORECASE)
_SUBJECT = re.compile(r"(?:^|_)(sub-[A-Za-z0-9]+)", re.IGNORECASE)
_ENTITY = re.compile(r"(?:^|(?<=_))(?:sub|ses|run|acq|rec|dir)-[A-Za-z0-9]+_?", re.IGNORECASE)
_NOT_A_SEQUENCE = re.compile(r"desc-|label-|mask|heatmap|_seg\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class FoundVolume:
    """What the scene says about one volume.

    Args:
        number: Its reference number in the parameter node.
        name: The node's name.
        study_date: Of DICOM or the subject hierarchy, as stored; empty when unknown.
        study: What the subject hierarchy calls the study it lies in; empty when in none.
        contrast_agent: Of DICOM; empty when unknown.
        patient: What the subject hierarchy, else the name, calls the patient; empty when neither does.
    """

    number: str
    name: str
    study_date: str = ""
    study: str = ""
    contrast_agent: str = ""
    patient: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class GuessedVisits:
    """The table that volumes make, and how many of them are not in it.

    Args:
        rows: In order of their days.
        kind: How days are told.
        untold: Volumes of which nothing tells the sequence.
        doubled: Volumes for which another one of their sequence stands at the visit already.
    """

    rows: tuple[VisitRow, ...]
    kind: DayKind
    untold: int = 0
    doubled: int = 0


def date_in(text: str) -> str:
    """The first date in a text, as YYYY-MM-DD; empty if it holds none that exists."""
    for match in _DATE.finditer(text):
        try:
            return parse_date("-".join(match.groups())).isoformat()
        except ValueError:
            continue
    return ""


def sequence_of(name: str, contrast_agent: str = "") -> SequenceName | None:
    """The pulse sequence that a volume's name tells: as a BIDS name, as a description, then by its last part."""
    if _NOT_A_SEQUENCE.search(name):
        return None
    if re.search(r"(^|_)ce-", name) and name.endswith("T1w"):
        return "ce-gd_T1w"
    plain = _ENTITY.sub("", _DATE.sub("", name)).strip(" _:")
    parts = re.split(r"[_\s:]+", plain)
    return sequence_from_description(plain, contrast_agent) or sequence_from_name(parts[-1])


def subject_in(name: str) -> str:
    """The BIDS label of a patient in a volume's name; empty if it holds none."""
    found = _SUBJECT.search(name)
    return found.group(1).lower() if found else ""


def patient_in(name: str) -> str:
    """What a volume's name calls the patient: by a BIDS label, else before a date; empty if it calls none."""
    return subject_in(name) or patient_in_name(name)


def are_of_several_patients(volumes: Sequence[FoundVolume]) -> bool:
    """Whether volumes that would make visits are of more than one patient, by any that tells one."""
    told = [volume for volume in volumes if sequence_of(volume.name, volume.contrast_agent) is not None]
    patients = {volume.patient for volume in told} - {""}
    labels = {subject_in(volume.name) for volume in told} - {""}
    return len(patients) > 1 or len(labels) > 1


def guess_visits(volumes: Sequence[FoundVolume]) -> GuessedVisits:
    """Visits from one patient's volumes: by date, else by BIDS session, else by study."""
    visits: dict[str, dict[SequenceName, str]] = {}
    days: dict[str, str] = {}
    untold = doubled = 0
    for volume in volumes:
        sequence = sequence_of(volume.name, volume.contrast_agent)
        date = date_in(volume.study_date) or date_in(volume.name) or date_in(volume.study)
        session = _SESSION.search(volume.name)
        key = date or (session.group(1).lower() if session else volume.study)
        if sequence is None:
            untold += 1
        elif sequence in visits.get(key, {}):
            doubled += 1
        else:
            visits.setdefault(key, {})[sequence] = volume.number
            days[key] = date
    order = sorted(visits)
    rows = [VisitRow(key=str(number), day=days[key], volumes=visits[key]) for number, key in enumerate(order, start=1)]
    return GuessedVisits(rows=in_order(rows, DayKind.DATE), kind=DayKind.DATE, untold=untold, doubled=doubled)
