"""Days and dates as people write them, and the visits' days worked out from them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

DATES_WANTED = "a date as YYYY-MM-DD or YYYYMMDD"
DAYS_WANTED = (
    "a whole number of days without points or commas, below 75 years (more is a date as spreadsheets count it)"
)

_TIME = r"(?:T\d{2}(?:\d{2}){0,2}|[T ] *\d{1,2}(?::\d{2}){1,2})(?:[.,]\d+)?(?: ?[AP]M)?(?:Z| ?[+-]\d{2}:?\d{2})?"
_DATE = re.compile(rf"(\d{{4}})(-?)(\d{{2}})\2(\d{{2}})(?:{_TIME})?", re.IGNORECASE)
_DAYS = re.compile(r"([+-]?\d{1,9})(?:[.]0?)?")
"""``2.000`` is two thousand where a point parts the thousands, so no more than one 0 may stand behind it."""
MOST_DAYS = 27_393
"""75 years. Spreadsheets store dates as days since 1900 or 1904: from 27,759 on a number may be a date since 1980, when
MRI began, and none may be shown."""
_UNKNOWN = {"", "n/a", "na", "nan", "none", "null", "-"}


@dataclass(frozen=True, kw_only=True)
class When:
    """What the input says about a visit's day; all None when it says nothing."""

    date: datetime.date | None = None
    days_since_treatment: int | None = None
    days_since_first: int | None = None

    @property
    def known(self) -> bool:
        """Whether the input says anything about the day."""
        return (self.date, self.days_since_treatment, self.days_since_first) != (None, None, None)


def ways_of_telling(whens: Sequence[When]) -> dict[str, list[int | None]]:
    """Visits' days by every way of telling them, None where a visit's is not told so."""
    return {
        "days_since_first_scan": [when.days_since_first for when in whens],
        "days_since_treatment": [when.days_since_treatment for when in whens],
        "the date": [when.date.toordinal() if when.date else None for when in whens],
    }


class Dated(Protocol):
    """A visit of the timeline, the scene or the report, as far as its days go."""

    @property
    def days_since_first(self) -> int:
        """Days since the first visit."""

    @property
    def days_since_treatment(self) -> int | None:
        """None when unknown."""


@dataclass(frozen=True, kw_only=True)
class DayCount:
    """The days of visits as every sentence, chart and picture counts them.

    Args:
        since: What day 0 is, in words: ``treatment`` or ``the first visit``.
        days: One a visit.
    """

    since: str
    days: tuple[int, ...]

    @property
    def origin(self) -> str:
        """The sentence that a page says once."""
        return f"Day 0 is {self.since}."


def day_count(visits: Sequence[Dated]) -> DayCount:
    """Days since treatment where they are known for every visit, else since the first visit."""
    since_treatment = [visit.days_since_treatment for visit in visits if visit.days_since_treatment is not None]
    if len(since_treatment) == len(visits):
        return DayCount(since="treatment", days=tuple(since_treatment))
    return DayCount(since="the first visit", days=tuple(visit.days_since_first for visit in visits))


def is_unknown(text: str | None) -> bool:
    """Whether a cell is empty or says that its value is not known (``n/a``)."""
    return text is None or text.strip().lower() in _UNKNOWN


def parse_date(text: str) -> datetime.date:
    """A date from ``YYYY-MM-DD`` or ``YYYYMMDD``, a time of day behind it ignored; nothing else may follow.

    Raises:
        ValueError: If it is neither, or no such day exists.
    """
    match = _DATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(DATES_WANTED)
    return datetime.date(int(match[1]), int(match[3]), int(match[4]))


def parse_days(text: str) -> int:
    """A whole number of days; ``12.0`` is taken, ``12.5`` and ``12.000`` are not. A minus may be a sign of its own.

    Raises:
        ValueError: If it is no whole number of plausible size.
    """
    match = _DAYS.fullmatch(text.strip().replace("\N{MINUS SIGN}", "-"))
    if match is None or abs(int(match[1])) > MOST_DAYS:
        raise ValueError(DAYS_WANTED)
    return int(match[1])


def when_of_row(row: Mapping[str, str], *, date_column: str) -> tuple[When, dict[str, str]]:
    """What a row of a table says of its day.

    Args:
        row: Cells by column.
        date_column: The column that holds a date.

    Returns:
        The day, and of each column that cannot be read what was wanted there; unknown cells say nothing.
    """
    days: dict[str, int] = {}
    date: datetime.date | None = None
    wanted: dict[str, str] = {}
    for column in ("days_since_treatment", "days_since_first_scan", date_column):
        text = row.get(column)
        if text is None or is_unknown(text):
            continue
        try:
            if column == date_column:
                date = parse_date(text)
            else:
                days[column] = parse_days(text)
        except ValueError:
            wanted[column] = DATES_WANTED if column == date_column else DAYS_WANTED
    when = When(
        date=date,
        days_since_treatment=days.get("days_since_treatment"),
        days_since_first=days.get("days_since_first_scan"),
    )
    return when, wanted


def today() -> datetime.date:
    """Today, by this machine's clock; dates after it are refused; a function, so that tests can set it."""
    return datetime.date.today()
