"""The BIDS sessions table, or else the scans tables: which day each session was on, checked against itself."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from pathlib import Path

from TemporalGliomaRisk.timeline.assembly import DATE_TOLERANCE_DAYS, contradicted_by_dates
from TemporalGliomaRisk.timeline.days import (
    DATES_WANTED,
    When,
    is_unknown,
    parse_date,
    when_of_row,
)
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.labels import may_be_shown, told
from TemporalGliomaRisk.timeline.refusals import TimelineRefused, refuse, refuse_if_any
from TemporalGliomaRisk.timeline.rules import finding
from TemporalGliomaRisk.timeline.text_table import TextTable, read_text_table

DAY_COLUMNS = ("days_since_treatment", "days_since_first_scan", "acq_time")


def find_sessions_table(folder: Path) -> Path | None:
    """Where a patient's sessions table is: in the patient's folder, or for derivatives in the raw dataset's.

    Derivatives seldom repeat the table; the dataset they belong to is the folder that holds ``derivatives``.
    """
    name = f"{folder.name}_sessions.tsv"
    here = folder / name
    if here.is_file():
        return here
    for parent in folder.absolute().parents:
        if parent.name == "derivatives":
            there = parent.parent / folder.name / name
            return there if there.is_file() else None
    return None


def read_sessions_table(
    folder: Path, kept: list[str], *, all_labels: list[str], has_sessions: bool, noticed: list[Finding]
) -> dict[str, When]:
    """What the table says about the day of every kept session.

    Args:
        folder: The patient's folder.
        kept: Labels of the sessions with a volume.
        all_labels: Labels of all session folders.
        has_sessions: Whether the folder has session folders at all.
        noticed: Findings so far; more are added.

    Raises:
        TimelineRefused: If the table is missing (with several visits, and no scans tables that tell all their days),
            unreadable, or contradicts itself or the scans tables.
    """
    path = find_sessions_table(folder)
    if path is None and len(kept) == 1:
        return {}
    if path is None:
        return _days_of_scans(folder, kept, noticed)
    if path.parent != folder:
        noticed.append(finding("sessions_table_elsewhere"))
    table = read_text_table(path, what="The sessions table", delimiter="\t")
    if "session_id" not in table.columns or not set(DAY_COLUMNS) & set(table.columns):
        problem = f"The sessions table needs session_id and one of {', '.join(DAY_COLUMNS)}; add the missing column."
        raise refuse("dates_missing", problem=problem)
    rows = _rows_by_session(table, noticed)
    extra = [label for label in rows if label not in all_labels and (has_sessions or len(rows) > 1)]
    if extra:
        noticed.append(finding("session_without_files", count=len(extra)))
    if not has_sessions and len(rows) == 1:  # one session, no session folder: its only row is that visit's
        rows = {kept[0]: next(iter(rows.values()))}
    days = {label: _when(label, rows[label], noticed) for label in kept if label in rows}
    refuse_if_any(noticed)
    missing = [label for label in kept if not days.get(label, When()).known]
    if missing and len(kept) > 1:
        problem = (
            f"The sessions table gives no day for {told(missing)}. Add a row whose session_id is the folder's name, "
            "or a value in one column."
        )
        raise TimelineRefused([*noticed, finding("dates_missing", problem=problem)])
    dates = [_only_date_of_scans(folder, label) for label in days]
    noticed += contradicted_by_dates(
        list(days.values()),
        dates,
        [told([label]) for label in days],
        table="the sessions table",
        of="acq_time of its scans table",
    )
    refuse_if_any(noticed)
    return days


def _only_date_of_scans(folder: Path, label: str) -> datetime.date | None:
    """The day of a session's scans table; None where it tells none or several, or cannot be read.

    That is no reason to refuse what the sessions table tells.
    """
    problems: list[Finding] = []
    try:
        date = _date_of_scans(folder, label, problems)
    except TimelineRefused:
        return None
    return None if problems else date


def _days_of_scans(folder: Path, kept: list[str], noticed: list[Finding]) -> dict[str, When]:
    """Every kept session's day by its scans table, which converters from DICOM write where they write no other."""
    dates = {label: _date_of_scans(folder, label, noticed) for label in kept}
    refuse_if_any(noticed)
    lacking = [label for label, date in dates.items() if date is None]
    if lacking:
        problem = (
            f"{len(kept)} visits but no sessions table: wanted {_shown(folder)}_sessions.tsv in the patient's folder, "
            f"with session_id and one of {', '.join(DAY_COLUMNS)}. Add it."
        )
        if len(lacking) < len(kept):
            problem += f" (No scans table tells acq_time for {told(lacking)}, either.)"
        raise TimelineRefused([*noticed, finding("dates_missing", problem=problem)])
    noticed.append(finding("days_of_scans"))
    return {label: When(date=date) for label, date in dates.items()}


def _date_of_scans(folder: Path, label: str, noticed: list[Finding]) -> datetime.date | None:
    """The first day on which a session's ``anat`` files were acquired, None if that is not told."""
    path = folder / label / f"{folder.name}_{label}_scans.tsv"
    if not os.path.isfile(path):  # noqa: PTH113  (says no where pathlib raises: a label too long for such a name)
        return None
    table = read_text_table(path, what="A scans table", delimiter="\t")
    cells = [row.get("acq_time", "") for row in table.rows if row.get("filename", "").startswith("anat/")]
    try:
        dates = [parse_date(cell) for cell in cells if not is_unknown(cell)]
    except ValueError:
        noticed.append(
            finding("date_unreadable", where=told([label]), what="acq_time of its scans table", wanted=DATES_WANTED)
        )
        return None
    apart = (max(dates) - min(dates)).days if dates else 0
    if apart > DATE_TOLERANCE_DAYS:
        problem = (
            f"The files of {told([label])} were acquired up to {apart} days apart, by its scans table. Give the "
            "session's day in a sessions table, or move what is of another visit."
        )
        noticed.append(finding("dates_missing", problem=problem))
    return min(dates, default=None)


def _shown(folder: Path) -> str:
    return folder.name if may_be_shown(folder.name) else "sub-P"


def _rows_by_session(table: TextTable, noticed: list[Finding]) -> dict[str, dict[str, str]]:
    """Rows by label, ``01`` taken as ``ses-01``; a label given twice is refused."""
    found: dict[str, dict[str, str]] = {}
    for line, row in zip(table.numbers, table.rows, strict=True):
        label = row["session_id"]
        label = label if label.startswith("ses-") else f"ses-{label}"
        if label in found:
            problem = f"The sessions table names a session twice, again in line {line}. Keep one row."
            raise TimelineRefused([*noticed, finding("dates_missing", problem=problem)])
        found[label] = row
    return found


def _when(label: str, row: Mapping[str, str], noticed: list[Finding]) -> When:
    """One row's day; a cell that cannot be read becomes a refusal."""
    when, wanted_in = when_of_row(row, date_column="acq_time")
    for column, wanted in wanted_in.items():
        noticed.append(finding("date_unreadable", where=told([label]), what=column, wanted=wanted))
    return when
