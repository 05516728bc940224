"""Days and dates as people write them, and the visits' days worked out from them."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

DATES_WANTED = "a date as YYYY-MM-DD or YYYYMMDD"
DAYS_WANTED = "a whole number of days without points or commas, below a hundred years"

_TIME = r"(?:T\d{2}(?:\d{2}){0,2}|[T ] *\d{1,2}(?::\d{2}){1,2})(?:[.,]\d+)?(?: ?[AP]M)?(?:Z| ?[+-]\d{2}:?\d{2})?"
_DATE = re.compile(rf"(\d{{4}})(-?)(\d{{2}})\2(\d{{2}})(?:{_TIME})?", re.IGNORECASE)
_DAYS = re.compile(r"([+-]?\d{1,9})(?:[.]0?)?")
"""``2.000`` is two thousand where a point parts the thousands, so no more than one 0 may stand behind it."""
MOST_DAYS = 36_524
"""A hundred years. Spreadsheets store dates as days since 1900: a larger number is a date, and none may be shown."""
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
    """A whole number of days; ``12.0`` is taken, ``12.5`` and ``12.000`` are not.

    Raises:
        ValueError: If it is no whole number of plausible size.
    """
    match = _DAYS.fullmatch(text.strip())
    if match is None or abs(int(match[1])) > MOST_DAYS:
        raise ValueError(DAYS_WANTED)
    return int(match[1])


def today() -> datetime.date:
    """Today, by this machine's clock; dates after it are refused; a function, so that tests can set it."""
    return datetime.date.today()
