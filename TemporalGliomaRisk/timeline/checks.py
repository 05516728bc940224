"""Every check on a timeline, one visit's volumes in memory at a time, and the rows that ``check`` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener, check_cancelled, ignore_progress
from TemporalGliomaRisk.timeline.finding import Finding, Severity
from TemporalGliomaRisk.timeline.header_checks import check_forms, check_geometry
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.nifti_header import is_nifti, read_nifti_header
from TemporalGliomaRisk.timeline.orientation import coverage_mm, orientation_code
from TemporalGliomaRisk.timeline.refusals import finding_of
from TemporalGliomaRisk.timeline.rules import finding, place_of
from TemporalGliomaRisk.timeline.visit import SequenceName, Timeline, Visit, VolumeSource
from TemporalGliomaRisk.timeline.volume import Geometry, Volume
from TemporalGliomaRisk.timeline.voxel_checks import check_voxels

FAR_MM = 3.0
"""A visit further than this from the first is spoken of."""


class Measure(Protocol):
    """How well two volumes lie on each other."""

    @property
    def similarity(self) -> float:
        """Larger is better."""

    @property
    def measure(self) -> str:
        """Name of the similarity."""

    @property
    def displacement_mm(self) -> float | None:
        """Mean over the brain, None when not estimated."""


MeasureAlignment = Callable[[Volume, Volume], Measure]
"""Of a moving and a fixed volume; ``preprocess.alignment.measure_alignment`` is one."""


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """One volume's grid.

    Args:
        sequence: Its pulse sequence.
        shape: Voxels along i, j, k.
        spacing_mm: Voxel sides.
        orientation: Where i, j, k point; ``~`` marks an oblique grid.
        coverage_mm: Field of view along R-L, A-P, S-I.
    """

    sequence: SequenceName
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str
    coverage_mm: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class VisitRow:
    """One visit as ``check`` shows it; alignment is None for the first visit or where not measured."""

    visit: int
    session_id: str
    days_since_first: int
    days_since_treatment: int | None
    gap_days: int | None
    sequences: tuple[SequenceName, ...]
    grids: tuple[GridRow, ...]
    alignment_sequence: SequenceName | None
    similarity: float | None
    similarity_measure: str | None
    displacement_mm: float | None


@dataclass(frozen=True, kw_only=True)
class TimelineCheck:
    """What the checks saw and found; ``refused`` says whether a risk may be computed."""

    rows: tuple[VisitRow, ...]
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        """Whether one of the findings is a refusal."""
        return any(item.severity is Severity.REFUSAL for item in self.findings)


def check_timeline(
    timeline: Timeline,
    *,
    trained_gaps_days: tuple[int, int] | None = None,
    measure_alignment: MeasureAlignment | None = None,
    progress: ProgressListener = ignore_progress,
) -> TimelineCheck:
    """Check a timeline in full. Each volume is read once; the first visit's stay while alignment is measured.

    Args:
        timeline: The timeline as read.
        trained_gaps_days: Least and greatest gap between visits that the model was trained on, None if it doesn't say.
        measure_alignment: Measures every visit against the first; None leaves that out.
        progress: Told of every visit.
    """
    findings = [*timeline.findings, *check_days(timeline, trained_gaps_days=trained_gaps_days)]
    rows: list[VisitRow] = []
    hashes: dict[str, tuple[int, SequenceName]] = {}
    hands: set[bool] = set()
    first: Mapping[SequenceName, Volume] = {}
    for number, visit in enumerate(timeline.visits, start=1):
        fraction = (number - 1) / len(timeline.visits)
        progress(ProgressEvent(stage="check", fraction=fraction, message=f"Checking visit {number}"))
        volumes: dict[SequenceName, Volume] = {}
        geometries: dict[SequenceName, Geometry] = {}
        for sequence, volume, noticed, voxels_hash in _checked_volumes(visit, number):
            findings += noticed
            if volume is None:
                continue
            findings += _copies(hashes, voxels_hash, number, sequence)
            geometries[sequence] = volume.geometry
            hands.add(bool(np.linalg.det(volume.geometry.ijk_to_ras[:3, :3]) > 0))
            broken = any(item.severity is Severity.REFUSAL for item in noticed)
            if measure_alignment is not None and not broken and (number == 1 or sequence in first):
                volumes[sequence] = volume
        if number == 1:
            first = volumes
        measured = None
        if number > 1 and measure_alignment is not None:
            measured = _measure(volumes, first, measure_alignment, number, findings)
        if number > 1 and not set(visit.sequences) & set(timeline.visits[0].sequences):
            findings.append(finding("no_common_sequence", visit=number))
        rows.append(_row(timeline, number, geometries, measured))
    if len(hands) > 1:
        findings.append(finding("handedness_differs"))
    return TimelineCheck(rows=tuple(rows), findings=tuple(findings))


def check_content(patient_id: str | None, report: TimelineCheck) -> dict[str, Any]:
    """A check for a program, JSON-ready: patient, refused, visits, findings."""
    return {
        "patient": patient_id,
        "refused": report.refused,
        "visits": [dataclasses.asdict(row) for row in report.rows],
        "findings": [item.to_json() for item in report.findings],
    }


def check_days(timeline: Timeline, *, trained_gaps_days: tuple[int, int] | None = None) -> list[Finding]:
    """A single visit, and gaps outside what the model was trained on; days themselves are checked on reading."""
    findings = []
    if len(timeline.visits) == 1:
        findings.append(finding("single_visit"))
    elif trained_gaps_days is None:
        findings.append(finding("gaps_not_compared"))
    else:
        low, high = trained_gaps_days
        first: int | None = None
        for number, gap in enumerate(timeline.gaps_days, start=1):
            if gap is not None and not low <= gap <= high:
                findings.append(finding("gap_untrained", visit=number, count=gap, low=low, high=high))
                first = first or number
            elif first is not None:
                findings.append(finding("rests_on_untrained_gap", visit=number, first=first))
    return findings


def check_volume(
    volume: Volume, source: VolumeSource, *, visit: int, sequence: SequenceName
) -> tuple[list[Finding], str]:
    """Check one volume that was read, its file's header included.

    What the image shows is measured in millimetres, so it is not checked where the geometry is refused: only the true
    cause is reported.

    Returns:
        Findings, and the hash of its voxels by which copies are recognised.
    """
    findings = check_geometry(volume.geometry, visit=visit, sequence=sequence)
    if isinstance(source, VolumeFile) and is_nifti(source.path):
        header = read_nifti_header(source.path)
        findings += check_forms(header, volume.geometry, visit=visit, sequence=sequence)
    placed = all(item.severity is not Severity.REFUSAL for item in findings)
    voxels = check_voxels(volume, visit=visit, sequence=sequence, content=placed)
    return [*findings, *voxels.findings], voxels.voxels_hash


def _checked_volumes(visit: Visit, number: int) -> Iterator[tuple[SequenceName, Volume | None, list[Finding], str]]:
    """Read and check a visit's volumes one after the other; one that can't be read is a refusal, the rest go on."""
    for sequence in visit.sequences:
        source = visit.sources[sequence]
        check_cancelled()
        try:
            volume = source.read()
        except InputError as error:
            yield sequence, None, [finding_of(error, visit=number, sequence=sequence)], ""
            continue
        check_cancelled()
        findings, voxels_hash = check_volume(volume, source, visit=number, sequence=sequence)
        yield sequence, volume, findings, voxels_hash


def _copies(
    hashes: dict[str, tuple[int, SequenceName]], voxels_hash: str, number: int, sequence: SequenceName
) -> list[Finding]:
    """Whether the same voxels were seen before, in another visit or under another sequence."""
    visit, other = hashes.setdefault(voxels_hash, (number, sequence))
    if (visit, other) == (number, sequence):
        return []
    code = "same_voxels_two_visits" if visit != number else "same_voxels_two_sequences"
    return [finding(code, visit=number, sequence=sequence, other=place_of(visit, other))]


def _measure(
    volumes: Mapping[SequenceName, Volume],
    first: Mapping[SequenceName, Volume],
    measure_alignment: MeasureAlignment,
    number: int,
    findings: list[Finding],
) -> tuple[SequenceName, Measure] | None:
    """Alignment of a visit with the first, by the first sequence that both have."""
    for sequence, volume in volumes.items():
        if sequence not in first:
            continue
        try:
            measured = measure_alignment(volume, first[sequence])
        except (InputError, RuntimeError):
            problem = "no rigid registration of the two was found."
            findings.append(finding("unlike_first", visit=number, sequence=sequence, problem=problem))
            return None
        if measured.displacement_mm is not None and measured.displacement_mm > FAR_MM:
            distance = f"{measured.displacement_mm:.0f}"
            findings.append(finding("far_from_first", visit=number, sequence=sequence, distance=distance))
        return sequence, measured
    return None


def _row(
    timeline: Timeline,
    number: int,
    geometries: Mapping[SequenceName, Geometry],
    measured: tuple[SequenceName, Measure] | None,
) -> VisitRow:
    visit = timeline.visits[number - 1]
    return VisitRow(
        visit=number,
        session_id=visit.session_id,
        days_since_first=visit.days_since_first,
        days_since_treatment=visit.days_since_treatment,
        gap_days=timeline.gaps_days[number - 1],
        sequences=visit.sequences,
        grids=tuple(_grid(sequence, geometry) for sequence, geometry in geometries.items()),
        alignment_sequence=measured[0] if measured else None,
        similarity=round(float(measured[1].similarity), 3) if measured else None,
        similarity_measure=measured[1].measure if measured else None,
        displacement_mm=_rounded(measured[1].displacement_mm) if measured else None,
    )


def _grid(sequence: SequenceName, geometry: Geometry) -> GridRow:
    one, two, three = (round(float(side), 3) for side in geometry.spacing_mm)
    right, front, up = (round(length, 1) for length in coverage_mm(geometry))
    return GridRow(
        sequence=sequence,
        shape=geometry.shape,
        spacing_mm=(one, two, three),
        orientation=orientation_code(geometry),
        coverage_mm=(right, front, up),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 1)
