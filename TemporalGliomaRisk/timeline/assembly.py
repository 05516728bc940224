"""From what a reader found (volumes, each with what is said about its day) to a timeline: days, order, labels."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from TemporalGliomaRisk.timeline.days import When, today, ways_of_telling
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.labels import LONGEST_LABEL
from TemporalGliomaRisk.timeline.refusals import TimelineRefused, refuse_if_any
from TemporalGliomaRisk.timeline.rules import finding
from TemporalGliomaRisk.timeline.visit import SequenceName, Timeline, Visit, VolumeSource

MOST_VISITS = 100
"""Visits of one timeline; whoever has more has mixed patients, and time and memory grow with them."""
MOST_NAMED = 5
"""Visits that one sentence names."""
DATE_TOLERANCE_DAYS = 1
"""Days and dates may tell gaps that differ by one: a day is counted from a time of day or not."""

SourceMaker = Callable[[str], VolumeSource]
"""Makes a source from its role in messages, ``FLAIR of visit 2``, known only once visits are in order."""

FindingMaker = Callable[[int], Finding]
"""Makes a finding from the visit's number."""


@dataclass(frozen=True, kw_only=True)
class FoundVisit:
    """One visit as a reader found it, not yet numbered.

    Args:
        when: What the input says about its day.
        sources: A maker of a volume source, by pulse sequence.
        label: The BIDS label with its prefix, None when the input is not BIDS.
        name: What the input calls the visit, kept in ``Timeline.identity`` only.
        place: What messages call it until it has a number, where the input has no BIDS labels.
        findings: Findings that wait for the visit's number.
    """

    when: When
    sources: Mapping[SequenceName, SourceMaker]
    label: str | None = None
    name: str = ""
    place: str = "One visit"
    findings: Sequence[FindingMaker] = ()


def build_timeline(
    visits: Sequence[FoundVisit],
    *,
    findings: Sequence[Finding],
    patient_label: str | None = None,
    patient_name: str = "",
    identified: bool = False,
) -> Timeline:
    """Put visits in order of their days, number and label them.

    Args:
        visits: The visits found, in any order.
        findings: What the reader noticed so far.
        patient_label: BIDS label; None when the input is not BIDS, then ``sub-01``.
        patient_name: What the input calls the patient.
        identified: Make labels from names and dates where the input is not BIDS.

    Raises:
        TimelineRefused: If days are missing, contradictory or in the future, or two visits are on one day.
    """
    noticed = list(findings)
    if not visits:
        raise TimelineRefused([*noticed, finding("no_known_sequence", where_wanted="")])
    if len(visits) > MOST_VISITS:
        raise TimelineRefused([*noticed, finding("too_many_visits", count=len(visits), limit=MOST_VISITS)])
    _notice_contradictions(visits, noticed)
    refuse_if_any(noticed)
    days = _days_since_first(visits, noticed)
    order = sorted(range(len(visits)), key=lambda index: days[index])
    visits, days = [visits[index] for index in order], [days[index] for index in order]
    _notice_days(visits, days, noticed)
    for number, visit in enumerate(visits, start=1):
        noticed += [make(number) for make in visit.findings]
    refuse_if_any(noticed)

    patient_id = patient_label or (_label("sub", patient_name) if identified and patient_name else "sub-01")
    identity = {patient_id: patient_name} if patient_name and patient_label is None else {}
    offset = _treatment_offset(visits, days)
    numbered = []
    for number, (visit, day, session_id) in enumerate(
        zip(visits, days, _session_ids(visits, identified), strict=True), start=1
    ):
        if visit.name and visit.label is None:
            identity[session_id] = visit.name
        numbered.append(
            Visit(
                session_id=session_id,
                days_since_first=day,
                days_since_treatment=None if offset is None else day + offset,
                sources={name: make(f"{name} of visit {number}") for name, make in visit.sources.items()},
                date=visit.when.date,
            )
        )
    return Timeline(patient_id=patient_id, visits=tuple(numbered), findings=tuple(noticed), identity=identity)


def _session_ids(visits: Sequence[FoundVisit], identified: bool) -> list[str]:
    """Labels of the visits: their own, by their names where asked for, else by number; no two the same."""
    numbers = [f"ses-{number:02d}" for number in range(1, len(visits) + 1)]
    chosen = [
        visit.label or (_label("ses", visit.name) if identified and visit.name else number)
        for visit, number in zip(visits, numbers, strict=True)
    ]
    return chosen if len(set(chosen)) == len(chosen) else numbers


def _label(prefix: str, name: str) -> str:
    """A BIDS label from a name: letters and digits only, and no longer than file names can bear."""
    return f"{prefix}-{re.sub('[^A-Za-z0-9]', '', name)[:LONGEST_LABEL] or 'unnamed'}"


def _days_since_first(visits: Sequence[FoundVisit], noticed: list[Finding]) -> list[int]:
    """Days since the first visit, by the first way of telling the day that all visits share."""
    if len(visits) == 1:
        if not visits[0].when.known:
            noticed.append(finding("days_unknown", visit=1))
        return [0]
    ways = ways_of_telling([visit.when for visit in visits])
    for values in ways.values():
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            return [value - min(known) for value in known]
    missing = sum(not visit.when.known for visit in visits)
    problem = (
        f"{missing} of {len(visits)} visits have no date or day. Give every visit one."
        if missing
        else _mixed_days(visits, ways)
    )
    raise TimelineRefused([*noticed, finding("dates_missing", problem=problem)])


def _mixed_days(visits: Sequence[FoundVisit], ways: Mapping[str, Sequence[int | None]]) -> str:
    """What to fill in where every visit has a day or date, but not all of them the same kind."""
    way, values = max(ways.items(), key=lambda item: sum(value is not None for value in item[1]))
    lacking = [visit.label or visit.place for visit, value in zip(visits, values, strict=True) if value is None]
    # A visit that messages have no name for is counted only.
    named = [name for name in lacking if name != FoundVisit.place][:MOST_NAMED]
    others = len(lacking) - len(named)
    where = ", ".join([*named, *([f"{others} {'others' if named else 'of them'}"] if others else [])])
    return (
        f"The days of {len(visits)} visits are told in different ways, wanted one that all have: {way} is not given "
        f"for {where}. Fill it in there."
    )


def _treatment_offset(visits: Sequence[FoundVisit], days: Sequence[int]) -> int | None:
    """Days from treatment to the first visit, None when no visit tells; one that tells is enough for all."""
    for visit, day in zip(visits, days, strict=True):
        if visit.when.days_since_treatment is not None:
            return visit.when.days_since_treatment - day
    return None


def _notice_contradictions(visits: Sequence[FoundVisit], noticed: list[Finding]) -> None:
    """Every two ways of telling the day must tell the same gaps; a date may be off by a day (times of day)."""
    ways = ways_of_telling([visit.when for visit in visits])
    for (first, ones), (second, others) in itertools.combinations(ways.items(), 2):
        for index, apart in contradictions(ones, others, DATE_TOLERANCE_DAYS if second == "the date" else 0):
            where = visits[index].label or visits[index].place
            noticed.append(finding("days_contradict", where=where, first=first, second=second, count=apart))


def contradicted_by_dates(
    whens: Sequence[When], dates: Sequence[datetime.date | None], places: Sequence[str], *, table: str, of: str
) -> list[Finding]:
    """Refusals where a table's days tell other gaps than dates that lie beside it, by the first way that does.

    One date for all stands for dates that were taken out, and contradicts nothing.

    Args:
        whens: What the table says of every visit or row.
        dates: What lies beside it says of the same, None where it says nothing.
        places: What messages call them.
        table: What messages call the table, to follow "days_since_treatment of".
        of: What messages call the dates.
    """
    if len(set(dates) - {None}) < 2:
        return []
    beside = [None if date is None else date.toordinal() for date in dates]
    for way, days in ways_of_telling(whens).items():
        first = f"{way} of {table}"
        found = [
            finding("days_contradict", where=places[index], first=first, second=of, count=apart)
            for index, apart in contradictions(days, beside, DATE_TOLERANCE_DAYS)
        ]
        if found:
            return found
    return []


def contradictions(ones: Sequence[int | None], others: Sequence[int | None], tolerance: int) -> list[tuple[int, int]]:
    """Where two ways of telling the visits' days give other gaps, and by how many days.

    Args:
        ones: Days of the visits, from any first day, None where not told.
        others: The same by another way, from another first day.
        tolerance: Days by which they may differ.

    Returns:
        Index of each visit that disagrees, and by how much: compared with the visit that agrees with the most others,
        so that one wrong day is not held against the right ones.
    """
    both = [
        (one - other, index)
        for index, (one, other) in enumerate(zip(ones, others, strict=True))
        if one is not None and other is not None
    ]
    offsets = [offset for offset, _ in both]
    agreeing = [sum(abs(one - other) <= tolerance for other in offsets) for one in offsets]
    usual = offsets[agreeing.index(max(agreeing))] if offsets else 0
    return [(index, abs(offset - usual)) for offset, index in both if abs(offset - usual) > tolerance]


def _notice_days(visits: Sequence[FoundVisit], days: Sequence[int], noticed: list[Finding]) -> None:
    """Future, shifted, pre-treatment and shared days; visits are in order."""
    for number, (visit, day) in enumerate(zip(visits, days, strict=True), start=1):
        if number > 1 and day == days[number - 2]:
            noticed.append(finding("two_visits_one_day", visit=number, first=number - 1, second=number))
        date, treatment = visit.when.date, visit.when.days_since_treatment
        if date is not None and date > today():
            noticed.append(finding("date_in_future", visit=number))
        if date is not None and date < datetime.date(1925, 1, 1):
            noticed.append(finding("date_implausible", visit=number))
        if treatment is not None and treatment < 0:
            noticed.append(finding("before_treatment", visit=number, count=-treatment))
    first_days = [visit.when.days_since_first for visit in visits]
    if first_days[0] and None not in first_days:
        noticed.append(finding("days_shifted", count=first_days[0]))
    labels = [visit.label for visit in visits if visit.label]
    if labels != sorted(labels, key=_numbers_as_numbers):
        noticed.append(finding("sessions_out_of_order"))


def _numbers_as_numbers(label: str) -> list[str | int]:
    """What to sort labels by, so that ``ses-2`` comes before ``ses-10``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", label)]
