"""What the viewer is asked to show: a result with its images, or a timeline that has none yet."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.timeline.finding import Severity
from TemporalGliomaRisk.timeline.image_file import left_by_macos
from TemporalGliomaRisk.timeline.reading import by_its_name, read_timeline
from TemporalGliomaRisk.timeline.refusals import TimelineRefused
from TemporalGliomaRisk.timeline.text_table import read_text_table
from TemporalGliomaRisk.timeline.visit import Timeline

SCENE_FILE, RESULT_FILE, REPORT_FILE = "scene.mrb", "risk.json", "report.html"
NO_TIMELINE = frozenset({"nothing_to_read", "no_known_sequence", "dates_missing"})
"""Rules by which a folder holds no timeline, so that a table in it may tell one."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What was found.

    Args:
        timeline: The images; None where they are in the scene's file.
        timeline_path: Where they lie, for a prediction; None without a timeline.
        patient: Whose they are, where that place holds several patients.
        result: The risks; None where there are none yet.
        scene_file: A scene to load; None where it is built from timeline and result.
    """

    timeline: Timeline | None = field(default=None, repr=False)
    timeline_path: Path | None = field(default=None, repr=False)
    patient: str | None = field(default=None, repr=False)
    result: RiskResult | None = field(default=None, repr=False)
    scene_file: Path | None = field(default=None, repr=False)

    @property
    def report(self) -> Path | None:
        """The result's report, None where there is none."""
        if self.result is None:
            return None
        path = self.result.folder / REPORT_FILE
        return path if path.is_file() else None

    def refuse_without(self, visit: int) -> None:
        """Refuse the number of a visit that there is none of, before images are read.

        Raises:
            InputError: If there is none.
        """
        named, shown = ("timeline", self.timeline) if self.timeline is not None else ("result", self.result)
        if shown is not None and not 1 <= visit <= len(shown.visits):
            raise InputError(f"The {named} has {len(shown.visits)} visits, and visit {visit} was asked for.")


def find(path: Path, timeline_path: Path | None = None, *, patient: str | None = None) -> Opened:
    """Find out what a path holds, and read it.

    Args:
        path: A folder that ``predict`` wrote to, or a timeline in any form.
        timeline_path: The timeline that a result was made from.
        patient: Which one, where the timeline holds several; a result tells by its images where it is not said.

    Returns:
        What to show; images are not read yet.

    Raises:
        InputError: If nothing there can be shown, or timeline and result do not belong together.
    """
    path = by_its_name(path)
    if (path / RESULT_FILE).is_file():
        return _result(path, timeline_path, patient)
    if timeline_path is not None:
        raise InputError("A timeline goes with a folder of results, and the other path holds no risk.json.")
    timeline, place = _timeline(path, patient)
    return Opened(timeline=timeline, timeline_path=place, patient=patient)


def _result(folder: Path, timeline_path: Path | None, patient: str | None) -> Opened:
    result = RiskResult.read(folder)
    if timeline_path is not None:
        return _result_with_images(result, timeline_path, patient)
    if (folder / SCENE_FILE).is_file():
        return Opened(result=result, scene_file=folder / SCENE_FILE)
    raise InputError(
        "A result holds no images: name the timeline that it was made from as well (--timeline on the command line), "
        "or run predict with --scene."
    )


def _result_with_images(result: RiskResult, path: Path, patient: str | None) -> Opened:
    """A result with its timeline, whose visits are called as the run called them."""
    try:
        timeline, place = _timeline(path, patient, identified=result.identified)
    except TimelineRefused as refused:
        if patient is not None or not refused.patients:
            raise
        several = refused
    else:
        result.check_inputs(timeline)
        return Opened(timeline=timeline, timeline_path=place, patient=patient, result=result)
    found = []
    for one in several.patients:
        with contextlib.suppress(InputError):
            found.append(_result_with_images(result, path, one))
    if len(found) == 1:
        return found[0]
    if found:
        raise several
    raise InputError(
        "The timeline holds several patients, and the result was made from none of them as they are now. Name the "
        "right timeline, or run predict again."
    )


def _timeline(path: Path, patient: str | None, *, identified: bool = False) -> tuple[Timeline, Path]:
    """A timeline as every command reads it, and where it lies; where a folder has none, that of the table in it.

    A browser uploads folders only, so a table comes with what lies beside it.
    """
    try:
        return read_timeline(path, patient=patient, identified=identified), path
    except TimelineRefused as refused:
        codes = {finding.code for finding in refused.findings if finding.severity is Severity.REFUSAL}
        table = _table_in(path) if codes <= NO_TIMELINE else None
        if table is None:
            raise
    return read_timeline(table, patient=patient, identified=identified), table


def _table_in(folder: Path) -> Path | None:
    """The one table in a folder that names volumes and their sequences."""
    with contextlib.suppress(OSError):
        tables = [
            child for child in folder.iterdir() if child.suffix.lower() in (".csv", ".tsv") and _names_volumes(child)
        ]
        return tables[0] if len(tables) == 1 else None
    return None


def _names_volumes(path: Path) -> bool:
    if not path.is_file() or left_by_macos(path):
        return False
    try:
        columns = read_text_table(path, what="The table").columns
    except TimelineRefused:
        return False
    return {"path", "sequence"} <= set(columns)
