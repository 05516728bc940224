"""Look at a timeline without running a model: what was scanned, when, and what is wrong with it."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.commands import a_timeline, add_patient, plain_progress
from TemporalGliomaRisk.progress import ProgressEvent

WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "timeline",
        type=a_timeline,
        metavar="TIMELINE",
        help="BIDS patient folder or dataset, folder of PATIENT_YYYYMMDD_SEQUENCE.nii.gz, table, or folder of DICOM",
    )
    add_patient(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for a program instead of a table")
    parser.add_argument(
        "--no-alignment", action="store_true", help="don't measure how well visits lie on the first (a second each)"
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="warn about gaps this model was not trained on")


def run(arguments: argparse.Namespace) -> int:
    """Check a timeline and print what was seen; 0 if nothing is refused.

    Raises:
        TimelineRefused: After printing, so that the refusals stand in one line on standard error too.
    """
    listener = plain_progress()
    listener(ProgressEvent(stage="start", fraction=0.0, message="Starting"))
    # Heavy imports come after the first line of progress, as in predict.
    from TemporalGliomaRisk.timeline.checks import MeasureAlignment, TimelineCheck, check_timeline
    from TemporalGliomaRisk.timeline.reading import read_timeline
    from TemporalGliomaRisk.timeline.refusals import TimelineRefused

    measure: MeasureAlignment | None = None
    if not arguments.no_alignment:
        from TemporalGliomaRisk.preprocess.alignment import measure_alignment

        measure = measure_alignment

    patient_id = None
    trained_gaps_days = trained_gaps_of(arguments.model)
    try:
        timeline = read_timeline(arguments.timeline, patient=arguments.patient)
        patient_id = timeline.patient_id
        report = check_timeline(
            timeline,
            trained_gaps_days=trained_gaps_days,
            measure_alignment=measure,
            progress=listener,
        )
    except TimelineRefused as error:
        report = TimelineCheck(rows=(), findings=error.findings)
    print(as_json(patient_id, report) if arguments.json else as_text(patient_id, report))
    if report.refused:
        raise TimelineRefused(report.findings)
    return 0


def trained_gaps_of(model: Path | None) -> tuple[int, int] | None:
    """Gaps between visits that a model was trained on, from its metadata; the shipped model's where none is named.

    Returns:
        The shortest and the longest; None where the model does not say, as one taught on single visits.

    Raises:
        ModelError: If there is no metadata, or gaps that are no two numbers.
    """
    from TemporalGliomaRisk.errors import ModelError
    from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path

    folder = resource_path(DEFAULT_MODEL) if model is None else model
    try:
        metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
        gaps = metadata.get("trained_gaps_days")
        if not gaps:
            return None
        low, high = (int(days) for days in gaps)
    except (OSError, ValueError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(
            "The model's configs/metadata.json cannot be read. Name a model folder with --model."
        ) from error
    return low, high


def as_json(patient_id: str | None, report: Any) -> str:
    """The report for a program: patient, refused, visits, findings."""
    from TemporalGliomaRisk.timeline.checks import check_content

    return json.dumps(check_content(patient_id, report), indent=2, ensure_ascii=False, allow_nan=False)


COLUMNS = ("visit", "day", "gap", "sequence", "shape", "spacing mm", "axes", "covers mm", "to first")


def as_text(patient_id: str | None, report: Any) -> str:
    """The report for a person: a row a visit, under it a row for every further grid, then the findings."""
    from TemporalGliomaRisk.timeline.days import day_count

    lines: list[str] = []
    if report.rows:
        count = day_count(report.rows)
        table: list[tuple[str, ...]] = [COLUMNS]
        for row, day in zip(report.rows, count.days, strict=True):
            table += _visit_lines(row, day)
        widths = [max(len(cells[column]) for cells in table) for column in range(len(COLUMNS))]
        lines.append(f"{patient_id}: {len(report.rows)} visit{'s' if len(report.rows) != 1 else ''}. {count.origin}\n")
        for cells in table:
            lines.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        lines.append("")
    for severity in ("refusal", "warning", "note"):
        for item in report.findings:
            if item.severity.value == severity:
                lines += textwrap.wrap(item.message, WIDTH, initial_indent=f"{severity:<8} ", subsequent_indent=" " * 9)
    verdict = "No risk can be computed until the refusals are resolved." if report.refused else "Nothing is refused."
    return "\n".join([*lines, *([""] if report.findings else []), verdict])


def _visit_lines(row: Any, day: int) -> list[tuple[str, ...]]:
    """A visit's cells; volumes that share a grid share a line."""
    head = (str(row.visit), str(day), "-" if row.gap_days is None else str(row.gap_days))
    grids: dict[tuple[Any, ...], list[str]] = {}
    for grid in row.grids:
        key = (grid.shape, grid.spacing_mm, grid.orientation, grid.coverage_mm)
        grids.setdefault(key, []).append(grid.sequence)
    unread = [name for name in row.sequences if name not in {grid.sequence for grid in row.grids}]
    lines: list[tuple[str, ...]] = []
    for (shape, spacing, axes, covers), names in grids.items():
        cells = (_sides(shape, "d"), _sides(spacing, ".2f"), str(axes), _sides(covers, ".0f"))
        for start in range(0, len(names), 2):
            tail = cells if start == 0 else ("", "", "", "")
            aligned = _aligned(row) if not lines else ""
            lines.append((*(head if not lines else ("", "", "")), " ".join(names[start : start + 2]), *tail, aligned))
    if unread:
        lines.append((*(head if not lines else ("", "", "")), " ".join(unread), "unusable", "", "", "", ""))
    return lines


def _sides(values: Any, form: str) -> str:
    return "x".join(format(value, form) for value in values)


def _aligned(row: Any) -> str:
    """Distance to the first visit and similarity, or a dash."""
    if row.similarity is None:
        return "-"
    distance = "?" if row.displacement_mm is None else f"{row.displacement_mm:.1f} mm"
    return f"{distance} ({row.similarity:.2f})"
