"""The table of visits as the reader edits it: days, gaps, what is in and what is out. No node and no Qt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from slicer.i18n import tr as _

from TemporalGliomaRisk.timeline.days import DATES_WANTED, DAYS_WANTED, is_unknown, parse_date, parse_days, today
from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName, Timeline


class DayKind(str, Enum):
    """How the reader tells the days of visits; the names are the columns of a table that `predict` reads."""

    DATE = "date"
    SINCE_TREATMENT = "days_since_treatment"
    SINCE_FIRST = "days_since_first_scan"


@dataclass(frozen=True, kw_only=True)
class VisitRow:
    """One visit of the table.

    Args:
        key: What tells it from the others: a session's label, or a number.
        day: A date or a number of days, as typed.
        included: Whether it takes part.
        removed: Taken out of the table; kept, so that it can be brought back.
        volumes: Which volume each sequence is: a node's reference number, or an empty text for a file that was read.
        day_read: The day as it was read, told as ``day`` was then; empty where nothing was read.
    """

    key: str
    day: str = ""
    included: bool = True
    removed: bool = False
    volumes: Mapping[SequenceName, str] = field(default_factory=dict)
    day_read: str = ""

    @property
    def sequences(self) -> tuple[SequenceName, ...]:
        """Those that the visit has, in the usual order."""
        return tuple(name for name in SEQUENCES if name in self.volumes)


def to_json(rows: Iterable[VisitRow]) -> str:
    """Rows as a parameter node keeps them."""
    return json.dumps([{**vars(row), "volumes": dict(row.volumes)} for row in rows], ensure_ascii=False)


def from_json(text: str) -> tuple[VisitRow, ...]:
    """Rows from what a parameter node keeps; none where it keeps nothing that can be read."""
    try:
        return tuple(VisitRow(**content) for content in json.loads(text or "[]"))
    except (ValueError, TypeError):
        return ()


def shown(rows: Iterable[VisitRow]) -> tuple[VisitRow, ...]:
    """Rows in the table, those that were removed left out."""
    return tuple(row for row in rows if not row.removed)


def used(rows: Iterable[VisitRow]) -> tuple[VisitRow, ...]:
    """Rows that take part in the risk."""
    return tuple(row for row in rows if row.included and not row.removed)


def changed(rows: Sequence[VisitRow], key: str, **values: object) -> tuple[VisitRow, ...]:
    """The rows with one of them changed."""
    return tuple(replace(row, **values) if row.key == key else row for row in rows)


def last_removed(rows: Sequence[VisitRow]) -> VisitRow | None:
    """The visit that was removed last, None if none is."""
    return next((row for row in reversed(rows) if row.removed), None)


def with_removed(rows: Sequence[VisitRow], key: str) -> tuple[VisitRow, ...]:
    """The rows with one removed; the last removed stands last, so that undoing goes backwards."""
    kept = [row for row in rows if row.key != key]
    return (*kept, *(replace(row, removed=True) for row in rows if row.key == key))


def ordinal(day: str, kind: DayKind) -> int | None:
    """A day as a number that rises by one a day, None where it cannot be read."""
    if is_unknown(day):
        return None
    try:
        return parse_date(day).toordinal() if kind is DayKind.DATE else parse_days(day)
    except ValueError:
        return None


def in_order(rows: Sequence[VisitRow], kind: DayKind) -> tuple[VisitRow, ...]:
    """Rows by day, those without one last; behind them the removed ones, in the order they were removed in."""
    days = {row.key: ordinal(row.day, kind) for row in rows}
    by_day = sorted(shown(rows), key=lambda row: (days[row.key] is None, days[row.key] or 0))
    return (*by_day, *(row for row in rows if row.removed))


def gaps(rows: Sequence[VisitRow], kind: DayKind) -> dict[str, int]:
    """Days since the previous visit that takes part, by key; none for the first or where a day is unknown."""
    found: dict[str, int] = {}
    before: int | None = None
    for row in in_order(used(rows), kind):
        day = ordinal(row.day, kind)
        if day is not None and before is not None:
            found[row.key] = day - before
        before = day if day is not None else before
    return found


def problem(row: VisitRow, rows: Sequence[VisitRow], kind: DayKind) -> str:
    """What is wrong with a visit that takes part, in one sentence; empty where nothing is."""
    if not row.included or row.removed:
        return ""
    if not row.sequences:
        return _("This visit has no volume. Choose one, or leave the visit out.")
    wanted = DATES_WANTED if kind is DayKind.DATE else DAYS_WANTED
    day = ordinal(row.day, kind)
    if day is None:
        # One visit alone may be of unknown day.
        return "" if len(used(rows)) == 1 and is_unknown(row.day) else _("Wanted {day}.").format(day=wanted)
    if kind is DayKind.DATE and day > today().toordinal():
        return _("This date is after today. Correct it.")
    same = [other for other in used(rows) if other.key != row.key and ordinal(other.day, kind) == day]
    return _("Two visits are on this day. Correct one of them, or leave one out.") if same else ""


def problems(rows: Sequence[VisitRow], kind: DayKind) -> dict[str, str]:
    """Every visit's problem, by key."""
    found = {row.key: problem(row, rows, kind) for row in rows}
    return {key: sentence for key, sentence in found.items() if sentence}


def rows_of_timeline(timeline: Timeline) -> tuple[tuple[VisitRow, ...], DayKind]:
    """The rows of a timeline that was read, and how its days are told.

    Dates are shown where every visit has one: this table stays in the reader's own Slicer.
    """
    visits = timeline.visits
    if all(visit.days_since_treatment is not None for visit in visits):
        kind, days = DayKind.SINCE_TREATMENT, [str(visit.days_since_treatment) for visit in visits]
    elif all(visit.date is not None for visit in visits):
        kind, days = DayKind.DATE, [visit.date.isoformat() for visit in visits if visit.date]
    else:
        kind, days = DayKind.SINCE_FIRST, [str(visit.days_since_first) for visit in visits]
    rows = tuple(
        VisitRow(key=visit.session_id, day=day, volumes=dict.fromkeys(visit.sequences, ""), day_read=day)
        for visit, day in zip(visits, days, strict=True)
    )
    return rows, kind


def is_as_read(rows: Sequence[VisitRow], timeline: Timeline, kind: DayKind) -> bool:
    """Whether the table says what the folder says, so that the folder itself can be handed on."""
    read, read_kind = rows_of_timeline(timeline)
    return kind is read_kind and _by_key(rows) == _by_key(read)


def _by_key(rows: Sequence[VisitRow]) -> dict[str, VisitRow]:
    return {row.key: replace(row, day_read="") for row in rows}


def is_visit_read(row: VisitRow, timeline: Timeline) -> bool:
    """Whether the visit of a row's key, where there is one, is that of which the row was made.

    Sessions of files that have no labels are numbered anew whenever they are read, so the number alone may have come
    to mean another visit. Rows of scenes that were saved without the day as it was read go by the day they have.
    """
    read, _kind = rows_of_timeline(timeline)
    days = {other.key: other.day for other in read}
    return days.get(row.key) in (None, row.day_read or row.day)


def without_dates(rows: Sequence[VisitRow], kind: DayKind) -> tuple[VisitRow, ...]:
    """Rows that hold no date: dates become days since the first of them; what is no day of the kind becomes unknown.

    The kind does not say what the cells hold: dates stay in them when it is changed, and may be typed under any.
    Keys are numbered anew, for a session's label may be a date.
    """
    days = {row.key: ordinal(row.day, kind) for row in rows}
    first = min((day for day in days.values() if day is not None), default=0) if kind is DayKind.DATE else 0
    found = {key: "" if day is None else str(day - first) for key, day in days.items()}
    return tuple(
        replace(row, key=str(number), day=found[row.key], day_read="") for number, row in enumerate(rows, start=1)
    )
