"""BIDS labels: which of them may be shown, since a folder's name can hold a person's name or a date."""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST_LABEL = 64
MOST_TOLD = 6
_PLAIN = re.compile(rf"(sub|ses)-[A-Za-z0-9]{{1,{LONGEST_LABEL}}}")
_DATE = re.compile(
    r"(?<!\d)(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6})?(?!\d)"
    r"|(?<!\d)(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])(19|20)\d\d(?!\d)"
)


def is_plain(label: str) -> bool:
    """Whether a label is one by BIDS: its prefix, then letters and digits, and short enough for file names."""
    return _PLAIN.fullmatch(label) is not None


def may_be_shown(label: str) -> bool:
    """Whether a label is plain and holds no calendar date (``ses-20190304``)."""
    return is_plain(label) and _DATE.search(label) is None


def told(labels: Sequence[str], what: str = "session") -> str:
    """Labels for a message: those that may be shown, and how many more there are."""
    shown = [label for label in labels if may_be_shown(label)][:MOST_TOLD]
    others = len(labels) - len(shown)
    if others:
        more = "further " if shown else ""
        shown.append(f"{others} {more}{what}{'s' if others > 1 else ''}")
    return ", ".join(shown)
