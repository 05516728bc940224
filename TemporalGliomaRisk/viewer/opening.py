"""What the viewer is asked to show: a result with its images, or a timeline that has none yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.timeline.bids import bids_patients, is_bids_patient
from TemporalGliomaRisk.timeline.reading import by_its_name, read_timeline
from TemporalGliomaRisk.timeline.visit import Timeline

SCENE_FILE, RESULT_FILE, REPORT_FILE = "scene.mrb", "risk.json", "report.html"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What was found.

    Args:
        timeline: The images; None where they are in the scene's file.
        timeline_path: Where they lie, for a prediction; None without a timeline.
        result: The risks; None where there are none yet.
        scene_file: A scene to load; None where it is built from timeline and result.
    """

    timeline: Timeline | None = field(default=None, repr=False)
    timeline_path: Path | None = field(default=None, repr=False)
    result: RiskResult | None = field(default=None, repr=False)
    scene_file: Path | None = field(default=None, repr=False)

    @property
    def report(self) -> Path | None:
        """The result's report, None where there is none."""
        if self.result is None:
            return None
        path = self.result.folder / REPORT_FILE
        return path if path.is_file() else None


def find(path: Path, timeline_path: Path | None = None) -> Opened:
    """Find out what a path holds, and read it.

    Args:
        path: A folder that ``predict`` wrote to, or a timeline in any form.
        timeline_path: The timeline that a result was made from.

    Returns:
        What to show; images are not read yet.

    Raises:
        InputError: If nothing there can be shown, or timeline and result do not belong together.
    """
    path = by_its_name(path)
    if (path / RESULT_FILE).is_file():
        return _result(path, timeline_path)
    if timeline_path is not None:
        raise InputError("A timeline goes with a folder of results, and the other path holds no risk.json.")
    place = _table_in(path) or path
    return Opened(timeline=read_timeline(place), timeline_path=place)


def _result(folder: Path, timeline_path: Path | None) -> Opened:
    result = RiskResult.read(folder)
    if timeline_path is not None:
        timeline = read_timeline(timeline_path)
        result.check_inputs(timeline)
        return Opened(timeline=timeline, timeline_path=timeline_path, result=result)
    if (folder / SCENE_FILE).is_file():
        return Opened(result=result, scene_file=folder / SCENE_FILE)
    raise InputError(
        "A result holds no images: name the timeline that it was made from as well (--timeline on the command line), "
        "or run predict with --scene."
    )


def _table_in(folder: Path) -> Path | None:
    """The one table in a folder that is no BIDS dataset; a browser uploads a table with what lies beside it."""
    if not folder.is_dir() or is_bids_patient(folder) or any(is_bids_patient(child) for child in bids_patients(folder)):
        return None
    tables = [child for child in folder.iterdir() if child.suffix.lower() in (".csv", ".tsv") and child.is_file()]
    return tables[0] if len(tables) == 1 else None
