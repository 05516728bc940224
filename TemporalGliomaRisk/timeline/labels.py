"""BIDS labels: which of them may be shown, since a folder's name can hold a person's name or a date."""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST_LABEL = 64
MOST_TOLD = 6
_PLAIN = re.compile(rf"(sub|ses)-[A-Za-z0-9]{{1,{LONGEST_LABEL}}}")
_YEAR, _MONTH, _DAY = "(?:19|20)\\d\\d", "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12]\\d|3[01])"
_MONTH_NAME = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    rf"(?<!\d){_YEAR}{_MONTH}{_DAY}\d{{0,6}}(?!\d)"  # with a number or a time behind it
    rf"|(?<!\d)(?:{_DAY}{_MONTH}|{_MONTH}{_DAY}){_YEAR}(?!\d)"
    rf"|(?<!\d)(?:\d\d{_MONTH}{_DAY}|{_DAY}{_MONTH}\d\d|{_MONTH}{_DAY}\d\d)(?!\d)"
    rf"|(?<!\d)(?:{_YEAR}{_MONTH_NAME}\d{{1,2}}|\d{{1,2}}{_MONTH_NAME}(?:{_YEAR}|\d\d)|{_MONTH_NAME}\d{{1,2}}{_YEAR})(?!\d)",
    re.IGNORECASE,
)


def is_plain(label: str) -> bool:
    """Whether a label is one by BIDS: its prefix, then letters and digits, and short enough for file names."""
    return _PLAIN.fullmatch(label) is not None


def may_be_shown(label: str) -> bool:
    """Whether a label is plain and holds no calendar date (``ses-20190304``, ``ses-190304``)."""
    return is_plain(label) and _DATE.search(label) is None


def told(labels: Sequence[str], what: str = "session") -> str:
    """Labels for a message: those that may be shown, and how many more there are."""
    shown = [label for label in labels if may_be_shown(label)][:MOST_TOLD]
    others = len(labels) - len(shown)
    if others:
        more = "further " if shown else ""
        shown.append(f"{others} {more}{what}{'s' if others > 1 else ''}")
    return ", ".join(shown)
