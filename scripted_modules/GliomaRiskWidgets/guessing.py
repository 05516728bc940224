"""Which visit and which pulse sequence a scene's volumes are, told from DICOM, the subject hierarchy and names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from TemporalGliomaRisk.timeline.days import parse_date
from TemporalGliomaRisk.timeline.sequence_names import sequence_from_description, sequence_from_name
from TemporalGliomaRisk.timeline.visit import SequenceName

from .visits import DayKind, VisitRow, in_order

_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
_SESSION = re.compile(r"(?:^|_)(ses-[A-Za-z0-9]+)", re.IGNORECASE)
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
    """

    number: str
    name: str
    study_date: str = ""
    study: str = ""
    contrast_agent: str = ""


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


def guess_visits(volumes: Sequence[FoundVolume]) -> tuple[tuple[VisitRow, ...], DayKind, int]:
    """Visits from volumes: by date, else by BIDS session, else by study.

    Returns:
        The rows in order of their days, how days are told, and how many volumes were left out because nothing tells
        their sequence, or another volume of that sequence stands for the visit already.
    """
    visits: dict[str, dict[SequenceName, str]] = {}
    days: dict[str, str] = {}
    left_out = 0
    for volume in volumes:
        sequence = sequence_of(volume.name, volume.contrast_agent)
        date = date_in(volume.study_date) or date_in(volume.name) or date_in(volume.study)
        session = _SESSION.search(volume.name)
        key = date or (session.group(1).lower() if session else volume.study)
        if sequence is None or sequence in visits.get(key, {}):
            left_out += 1
            continue
        visits.setdefault(key, {})[sequence] = volume.number
        days[key] = date
    order = sorted(visits)
    rows = [VisitRow(key=str(number), day=days[key], volumes=visits[key]) for number, key in enumerate(order, start=1)]
    return in_order(rows, DayKind.DATE), DayKind.DATE, left_out
