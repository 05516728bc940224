"""A table that names every volume: ``path``, ``sequence`` and ``days_since_treatment`` or ``date``.

A path names a volume's file, or a folder with one series of DICOM.
"""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.timeline.assembly import (
    FindingMaker,
    FoundVisit,
    SourceMaker,
    build_timeline,
    contradicted_by_dates,
)
from TemporalGliomaRisk.timeline.days import (
    When,
    today,
    when_of_row,
)
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.image_file import VOLUME_SUFFIXES, VolumeFile, volume_suffix
from TemporalGliomaRisk.timeline.refusals import refuse, refuse_several
from TemporalGliomaRisk.timeline.rules import finding
from TemporalGliomaRisk.timeline.sequence_names import sequence_from_name
from TemporalGliomaRisk.timeline.text_table import TextTable, read_text_table
from TemporalGliomaRisk.timeline.unused_columns import unused_columns
from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName, Timeline

if TYPE_CHECKING:
    from TemporalGliomaRisk.timeline.dicom_folder import NamedSeries

DAY_COLUMNS = ("days_since_treatment", "days_since_first_scan", "date")
NO_FILE = "no file is at this path; paths begin at the table's folder"
NO_PYDICOM = "path is a folder, and DICOM cannot be read here: run pip install 'TemporalGliomaRisk[dicom]'"
MOST_TOLD = 10
"""Mistakes that one message lists."""
LONGEST_TOLD = 40
"""Letters of a column's name that a message gives as it stands."""
KNOWN_COLUMNS = ("path", "sequence", *DAY_COLUMNS)
_PATIENT_COLUMNS = re.compile(
    "(?:patient|participant|subject|subj|sub|case|pat)(?:id|no|number|name|code|label)?|patienten(?:id|nummer|name)|"
    "proband|pseudonym|mrn|pid"
)
"""What a column that tells the patient may be called, without anything but letters."""
_PATIENT_COLUMNS_ALONE = re.compile("id|name|recordid|studyid")
"""What it may be called too where no column is called so; beside one, these number rows or examinations."""


def read_table(path: Path, *, patient: str | None = None, identified: bool = False) -> Timeline:
    """Read the timeline that a ``.csv`` or ``.tsv`` table names. Volumes are not read yet.

    Paths are relative to the table's folder, or absolute; one may name a folder with one series of DICOM. The table's
    days count, and are refused where the dates of such series tell other gaps. Rows of one day make one visit. A column
    ``patient``, or of a like name (``participant_id``, ``subject``), is optional. All mistakes are told together, by
    their line in the file.

    Raises:
        TimelineRefused: If a column is missing or any row has a mistake.
    """
    return _timeline_of(read_text_table(path, what="The table"), path.parent, patient, identified)


def timeline_of_rows(
    rows: Sequence[Mapping[str, str]], *, patient: str | None = None, identified: bool = False
) -> Timeline:
    """The timeline of a table that was never a file: a dictionary a row, its paths absolute; rows count from line 1.

    Raises:
        TimelineRefused: As :func:`read_table`.
    """
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    filled = [{name: str(row.get(name, "")).strip() for name in columns} for row in rows]
    table = TextTable(columns=columns, rows=filled, numbers=list(range(1, len(filled) + 1)))
    return _timeline_of(table, Path(), patient, identified)


def _timeline_of(table: TextTable, folder: Path, patient: str | None, identified: bool) -> Timeline:
    """A table's timeline; ``folder`` is where relative paths begin."""
    _check_columns(table)
    owners = _owners(table, _PATIENT_COLUMNS) or _owners(table, _PATIENT_COLUMNS_ALONE)
    rows = _rows_of_patient(table, owners, patient)
    mistakes: list[str] = []
    visits: dict[When, dict[SequenceName, SourceMaker]] = {}
    noticed: dict[When, list[FindingMaker]] = defaultdict(list)
    places: dict[When, str] = {}
    seen: dict[tuple[When, SequenceName], int] = {}
    dicom: dict[int, NamedSeries] = {}
    days = _filled_in([_day(row) for _, row in rows])
    for (line, row), (problems, when) in zip(rows, days, strict=True):
        sequence = sequence_from_name(row["sequence"])
        if sequence is None:
            problems.append(f"sequence is none of {', '.join(SEQUENCES)} or their synonyms")
        volume = _volume_path(folder, row["path"])
        try:
            series = _series_at(volume)
            problems.extend(_path_problems(volume) if series is None else _other_patient(series, dicom))
        except InputError as error:
            series = None
            problems.append(str(error))
        if not problems and sequence is not None and volume is not None:
            earlier = seen.setdefault((when, sequence), line)
            if earlier != line:
                problems.append(f"{sequence} on this day is in line {earlier} already")
            places.setdefault(when, f"Line {line}")
            source = partial(_file_source, volume) if series is None else series.source
            visits.setdefault(when, {})[sequence] = source
            if series is not None:
                dicom[line] = series
                noticed[when] += series.findings(sequence)
        mistakes += [f"Line {line}: {problem}." for problem in problems]
    count = len(mistakes)
    if mistakes:
        if len(mistakes) > MOST_TOLD:
            mistakes[MOST_TOLD:] = [f"{len(mistakes) - MOST_TOLD} further mistakes are not listed."]
        many = f"{count} mistake{'s' if count > 1 else ''}"
        raise refuse("table_mistakes", problem=f"The table has {many}. {' '.join(mistakes)}")
    used = (*KNOWN_COLUMNS, *owners)
    findings = unused_columns(table.columns, used, [row for _, row in rows], [when for _, when in days])
    findings += _of_dicom([line for line, _ in rows], [when for _, when in days], dicom)
    found = [
        FoundVisit(
            when=when,
            sources=sources,
            name=when.date.isoformat() if when.date else "",
            place=places[when],
            findings=noticed[when],
        )
        for when, sources in visits.items()
    ]
    name = next((row[owner] for owner in owners for _, row in rows if row[owner]), "")
    name = name or next((one.header.patient_id or one.header.patient_name for one in dicom.values()), "")
    return build_timeline(found, findings=findings, patient_name=name, identified=identified)


def _check_columns(table: TextTable) -> None:
    """Refuse a table without its columns or rows."""
    missing = [name for name in ("path", "sequence") if name not in table.columns]
    if not set(DAY_COLUMNS) & set(table.columns):
        missing.append("days_since_treatment or date")
    if missing:
        problem = (
            f"The table lacks the column {' and '.join(missing)}; its first line must name the columns, with commas, "
            "semicolons or tabs between them. Add what is missing."
        )
        raise refuse("table_mistakes", problem=problem)
    if not table.rows:
        raise refuse("table_mistakes", problem="The table has no rows. Add one for every volume.")


def _owners(table: TextTable, called: re.Pattern[str]) -> tuple[str, ...]:
    """The columns that tell patients, by what they may be called."""
    return tuple(name for name in table.columns if called.fullmatch(_plain(name)))


def _plain(name: str) -> str:
    """A column's name without what is no letter or digit."""
    return re.sub(r"[\W_]", "", name)


def _rows_of_patient(
    table: TextTable, owners: tuple[str, ...], patient: str | None
) -> list[tuple[int, dict[str, str]]]:
    """Rows of the one patient, with their lines, by the columns that tell patients, if any."""
    if patient is not None and not owners:
        problem = "The table has no column that tells the patient. Leave out --patient."
        raise refuse("table_mistakes", problem=problem)
    rows = list(zip(table.numbers, table.rows, strict=True))
    # A cell left empty is another patient's only where there are several to choose from.
    named = {owner: {row[owner] for row in table.rows if row[owner]} for owner in owners}
    only = {owner: next(iter(values)) if len(values) == 1 else "" for owner, values in named.items()}
    keys = [tuple(row[owner] or only[owner] for owner in owners) for row in table.rows]
    if patient is not None:
        chosen = [patient in key or f"sub-{patient}" in key for key in keys]
        rows = [row for row, keep in zip(rows, chosen, strict=True) if keep]
        keys = [key for key, keep in zip(keys, chosen, strict=True) if keep]
        if not rows:
            raise refuse("patient_not_found", labels="")
    several = sorted(set(keys))
    if len(several) > 1:
        cells = [cell for key in several for cell in set(key)]
        # A cell of two patients' rows, their hospital's number say, chooses neither.
        told = [next((cell for cell in key if cell and cells.count(cell) == 1), "") for key in several]
        # Signs that no terminal should be sent, and any number of them, may stand between the letters.
        columns = [name if name.isprintable() and len(name) <= LONGEST_TOLD else _plain(name) for name in owners]
        where = f", by its column {' and '.join(columns)}"
        raise refuse_several(filter(None, told), count=len(several), labels=where)
    return rows


def _filled_in(days: list[tuple[list[str], When]]) -> list[tuple[list[str], When]]:
    """The rows' days, a date or a number of days filled in from the rows that give both, where those agree."""
    both = {
        (when.date, when.days_since_treatment)
        for _, when in days
        if when.date is not None and when.days_since_treatment is not None
    }
    filled = []
    for problems, when in days:
        told = [pair for pair in both if when.date == pair[0] or when.days_since_treatment == pair[1]]
        lacks = when.date is None or when.days_since_treatment is None
        date, day = told[0] if lacks and len(told) == 1 else (when.date, when.days_since_treatment)
        filled.append((problems, dataclasses.replace(when, date=date, days_since_treatment=day)))
    return filled


def _day(row: Mapping[str, str]) -> tuple[list[str], When]:
    """What is wrong with a row's day, and the day."""
    when, wanted_in = when_of_row(row, date_column="date")
    problems = [f"{column} cannot be read, wanted {wanted}" for column, wanted in wanted_in.items()]
    if when.date is not None and when.date > today():
        problems.append("date is after today")
    if not when.known and not problems:
        problems.append("no day is given")
    return problems, when


def _volume_path(folder: Path, cell: str) -> Path | None:
    """What a cell names, its accents composed or not: what came from a Mac may have the other form."""
    if not cell:
        return None
    name = cell.replace("\\", "/")
    paths = [folder / name, *(folder / unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
    return next((path for path in paths if os.path.exists(path)), paths[0])  # noqa: PTH110  (as below)


def _path_problems(volume: Path | None) -> list[str]:
    """What is wrong with a path that should be a file's; the path itself is not told, it may hold a name."""
    if volume is None:
        return ["path is empty"]
    # os.path says no where pathlib raises: a path too long for the system, say
    if volume_suffix(volume) is None:
        wanted = ", ".join(VOLUME_SUFFIXES)
        return [f"path does not end in one of {wanted}, and is no folder with a DICOM series"]
    return [] if os.path.isfile(volume) else [NO_FILE]  # noqa: PTH113


def _series_at(volume: Path | None) -> NamedSeries | None:
    """The DICOM series of the folder that a path names, None where it names no folder.

    Raises:
        InputError: If the folder does not hold one series, or cannot be read here.
    """
    if volume is None or not os.path.isdir(volume):  # noqa: PTH112  (as above)
        return None
    try:
        # Loaded where it is wanted: pydicom would take a third of what Slicer's start spends on the extension.
        from TemporalGliomaRisk.timeline.dicom_folder import read_named_series  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InputError(NO_PYDICOM) from error
    try:
        return read_named_series(volume)
    except OSError as error:
        raise InputError("the folder, or something in it, may not be read by this user") from error


def _other_patient(series: NamedSeries, earlier: Mapping[int, NamedSeries]) -> list[str]:
    """That a series is of another patient than the first one that the table names."""
    from TemporalGliomaRisk.timeline.dicom_folder import may_be_one_patient  # noqa: PLC0415

    for line, one in earlier.items():
        if not may_be_one_patient(series.header, one.header):
            return [f"the DICOM series is of another patient than that of line {line}"]
    return []


def _of_dicom(lines: Sequence[int], whens: Sequence[When], series: Mapping[int, NamedSeries]) -> list[Finding]:
    """What to say of the DICOM that rows name: days other than the table's, and what lies beside the series."""
    left_out: Counter[str] = Counter()
    for one in series.values():
        left_out.update(one.left_out)
    dates = [series[line].date if line in series else None for line in lines]
    places = [f"Line {line}" for line in lines]
    of = "the study date of its DICOM"
    return [
        *(finding(code, count=count) for code, count in left_out.items() if count),
        *contradicted_by_dates(whens, dates, places, table="the table", of=of),
    ]


def _file_source(path: Path, role: str) -> VolumeFile:
    return VolumeFile(path=path, role=role)
