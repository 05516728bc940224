"""A timeline for the worker: the reader's own folder where nothing was changed, else a table in a temporary folder."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from TemporalGliomaRisk.errors import InputError, TimelineError
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.visit import SequenceName, Timeline

from .visits import DayKind, VisitRow, is_as_read, is_visit_read, problems, used

TABLE = "timeline.tsv"
WriteVolume = Callable[[VisitRow, SequenceName, Path], None]
Told = Callable[[int, int], None]
"""Told, before a volume is written, its number and how many there are."""


@dataclass(frozen=True, kw_only=True)
class Staged:
    """What the worker is given.

    Args:
        path: Folder or table.
        timeline: The same, read.
        temporary: Folder to remove afterwards, None where nothing was written.
    """

    path: Path = field(repr=False)
    timeline: Timeline
    temporary: Path | None = field(default=None, repr=False)

    def remove(self) -> None:
        """Remove what was written for the worker."""
        if self.temporary is not None:
            shutil.rmtree(self.temporary, ignore_errors=True)


def refuse_problems(rows: Sequence[VisitRow], kind: DayKind) -> None:
    """Refuse a table that is not ready.

    Raises:
        TimelineError: With the first problem, and how many there are.
    """
    if not used(rows):
        raise TimelineError(_("No visit takes part. Read a series, or tick a visit."))
    found = problems(rows, kind)
    if found:
        said = [next(iter(found.values()))]
        if len(found) > 1:
            said.append(_("({count} visits have a problem; they are marked in the table.)").format(count=len(found)))
        raise TimelineError(" ".join(said))


def stage_scene(rows: Sequence[VisitRow], kind: DayKind, folder: Path, write: WriteVolume, *, told: Told) -> Staged:
    """Write the volumes of a scene and a table that names them.

    Args:
        rows: The table of visits.
        kind: How its days are told.
        folder: A temporary folder, not there yet or empty.
        write: Writes one volume of a visit to a file.
        told: Of every volume.

    Raises:
        TimelineError, VolumeError: If the table is not ready or a volume cannot be written.
    """
    refuse_problems(rows, kind)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lines = []
        volumes = _volumes(rows)
        for place, (row, sequence, name) in enumerate(volumes, start=1):
            told(place, len(volumes))
            write(row, sequence, folder / name)
            lines.append((name, sequence, row.day))
        return _tabled(lines, kind, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _volumes(rows: Sequence[VisitRow]) -> list[tuple[VisitRow, SequenceName, str]]:
    """Every volume that takes part, and what its file is called: not compressed, which would take most of the time."""
    return [
        (row, sequence, f"visit-{number:02d}_{sequence}.nii")
        for number, row in enumerate(used(rows), start=1)
        for sequence in row.sequences
    ]


def stage_read(
    rows: Sequence[VisitRow], kind: DayKind, timeline: Timeline, path: Path, folder: Path, *, told: Told
) -> Staged:
    """Take a folder as it was read, or write a table of what the reader left in of it.

    Args:
        rows: The table of visits.
        kind: How its days are told.
        timeline: As read from ``path``.
        path: The reader's folder or table.
        folder: A temporary folder, used only if something was changed.
        told: Of every volume that is no file of its own.

    Raises:
        TimelineError: If the table is not ready, or of other visits than lie there.
    """
    refuse_problems(rows, kind)
    if is_as_read(rows, timeline, kind):
        return Staged(path=path, timeline=timeline)
    visits = {visit.session_id: visit for visit in timeline.visits}
    for number, row in enumerate(used(rows), start=1):
        if row.key not in visits or set(row.sequences) - set(visits[row.key].sources):
            raise TimelineError(
                _("Visit {number} of the table is not in the series any more. Press Read.").format(number=number)
            )
        if not is_visit_read(row, timeline):
            raise TimelineError(
                _("Visit {number} of the table is on another day in the series now. Press Read.").format(number=number)
            )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lines = []
        volumes = _volumes(rows)
        for place, (row, sequence, name) in enumerate(volumes, start=1):
            source = visits[row.key].sources[sequence]
            if isinstance(source, VolumeFile):
                lines.append((str(source.path), sequence, row.day))
                continue
            told(place, len(volumes))
            write_nifti(source.read(), folder / name)
            lines.append((name, sequence, row.day))
        staged = _tabled(lines, kind, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    # A table names no patient; in a scene of several the label that the folder has tells them apart.
    return replace(staged, timeline=replace(staged.timeline, patient_id=timeline.patient_id))


def _tabled(lines: Iterable[tuple[str, str, str]], kind: DayKind, folder: Path) -> Staged:
    """Write the table and read it back."""
    table = folder / TABLE
    lines = list(lines)
    unknown_day = all(not day.strip() for _, _, day in lines)
    with table.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(("path", "sequence", DayKind.SINCE_FIRST.value if unknown_day else kind.value))
        writer.writerows((path, sequence, "0" if unknown_day else day) for path, sequence, day in lines)
    return Staged(path=table, timeline=read_timeline(table), temporary=folder)


def link_files(files: Iterable[Any], folder: Path) -> Path:
    """A folder that holds the files of a DICOM database's patient, as links where the file system allows.

    Raises:
        InputError: If a file is not where the database has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(files, start=1):
        target = folder / f"{number:06d}.dcm"
        try:
            os.link(path, target)
        except OSError:
            if not Path(path).is_file():
                shutil.rmtree(folder, ignore_errors=True)
                raise InputError(
                    _(
                        "File {number} of this patient is not where the DICOM database has it. Import the patient "
                        "anew, or connect the disk that the files lie on."
                    ).format(number=number)
                ) from None
            shutil.copyfile(path, target)
    return folder
