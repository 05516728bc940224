"""Columns of a table that are not used: which they are, and whether their cells suggest several patients or other days.

Messages number columns: a column's name can hold a person's, as its cells can.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from TemporalGliomaRisk.timeline.days import When, is_unknown, parse_date, ways_of_telling
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.rules import finding

MOST_NUMBERED = 6
"""Columns that one sentence tells by their numbers."""
_BIDS = frozenset({"session_id", "filename", "acq_time", "age", "sex", "handedness", "group", "pathology", "species"})
"""Columns that BIDS gives a patient, a session or a scan: that they are not used is not worth a word."""
_NEVER_CHANGES = re.compile(
    "birth|dob|geburt|sex|gender|geschlecht|initials|surname|(?:last|first|fore|given|family|vor|nach)name|mrn|nhs|"
    "pseudonym|insurance|accesscode"
)
"""What a column is called whose cell is one and the same in all rows of a patient."""
_OF_PATIENT = re.compile("patient|subject|participant|proband|person(?!nel)")
_CHANGES = re.compile(
    "age|weight|height|size|bmi|position|orient|comment|note|remark|status|state|score|scale|dose|comfort|day|date|time|"
    "visit|session|scan|series|exam"
)
"""What of a patient may change from visit to visit."""
_OF_SCAN = re.compile(
    "scanner|manufactur|vendor|model|station|device|site|cent(?:er|re)|institut|hospital|clinic|depart|field|tesla|coil|"
    "software|version|protocol|contrast|agent|dose|quality|qc|rating|grade|score|read|rater|operator|radiograph|note|"
    "comment|remark|sedat|ana?esth|session|visit|exam|run|echo|flip|thick|spacing|resol|matrix|orient|plane|position|"
    "treat|therap|drug|chemo|radi|surg|resect|steroid|respon|status|state|file|folder|series|modality|suffix|datatype|"
    "task|include|exclude|use|check|mask|format|season|weekday|month|group|arm|phase"
)
"""What a column is called whose cells come and go between the visits of one patient."""


def unused_columns(
    columns: Sequence[str], used: Collection[str], rows: Sequence[Mapping[str, str]], days: Sequence[When]
) -> list[Finding]:
    """What to say of the columns that are not used.

    Args:
        columns: The table's, in their order.
        used: Those that are used.
        rows: The rows of the one patient.
        days: Each row's day.

    Returns:
        A note that tells which columns were ignored, those of BIDS apart, and a warning of those whose cells tell rows
        apart as several patients, or other days, would.
    """
    unused = {name: number for number, name in enumerate(columns, start=1) if name and name not in used}
    ignored = [number for name, number in unused.items() if name not in _BIDS]
    by_day = _by_day(rows, days)
    apart = [number for name, number in unused.items() if _tells_apart(name, by_day)]
    findings = []
    if ignored:
        findings.append(finding("columns_ignored", which=_numbered(ignored)))
    if apart:
        findings.append(finding("columns_tell_apart", which=_numbered(apart)))
    return findings


def _numbered(numbers: Sequence[int]) -> str:
    """Columns by their numbers: ``column 4``, ``columns 4, 5``, ``columns 4, 5, 6, 7, 8, 9 and 3 more``."""
    told = ", ".join(map(str, numbers[:MOST_NUMBERED]))
    more = len(numbers) - MOST_NUMBERED
    return f"column{'s' if len(numbers) > 1 else ''} {told}{f' and {more} more' if more > 0 else ''}"


def _by_day(rows: Sequence[Mapping[str, str]], days: Sequence[When]) -> list[list[Mapping[str, str]]]:
    """The rows of each day, in order; all as one day where no way of telling it is common to them."""
    ways = ways_of_telling(days).values()
    common = next((values for values in ways if None not in values), [0] * len(days))
    groups: dict[int, list[Mapping[str, str]]] = defaultdict(list)
    for day, row in zip(common, rows, strict=True):
        groups[day or 0].append(row)
    return [groups[day] for day in sorted(groups)]


def _tells_apart(name: str, by_day: Sequence[Sequence[Mapping[str, str]]]) -> bool:
    """Whether a column's cells tell rows apart as several patients or other days would."""
    cells = [[row[name] for row in rows if not is_unknown(row[name])] for rows in by_day]
    filled = list(itertools.chain.from_iterable(cells))
    if len(set(filled)) < 2:
        return False
    letters = re.sub(r"[\W\d_]", "", name)
    if _NEVER_CHANGES.search(letters) or (_OF_PATIENT.search(letters) and not _CHANGES.search(letters)):
        return True
    if len(filled) < sum(map(len, by_day)):
        return False
    dates = [_dates(some) for some in cells]
    if all(dates):
        return any(max(before) > min(after) for before, after in itertools.pairwise(dates))
    return not _OF_SCAN.search(letters) and _alternates(cells)


def _dates(cells: Sequence[str]) -> list[datetime.date]:
    """The cells as dates; none where one is no date."""
    try:
        return [parse_date(cell) for cell in cells]
    except ValueError:
        return []


def _alternates(cells: Sequence[Sequence[str]]) -> bool:
    """Whether each day has one value, each value several days, and one comes back after another, as A, B, A, B."""
    if any(len(set(some)) != 1 for some in cells):
        return False
    values = [some[0] for some in cells]
    runs = [value for value, _ in itertools.groupby(values)]
    return min(Counter(values).values()) > 1 and len(runs) > len(set(runs))
