"""A folder of DICOM: grouped by patient, study date and series, each series told to be one pulse sequence."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.timeline.assembly import (
    DATE_TOLERANCE_DAYS,
    FindingMaker,
    FoundVisit,
    SourceMaker,
    build_timeline,
)
from TemporalGliomaRisk.timeline.days import DATES_WANTED, When, is_unknown, parse_date
from TemporalGliomaRisk.timeline.dicom_headers import DicomHeader, plain_name, read_dicom_headers
from TemporalGliomaRisk.timeline.dicom_series import DicomSeries, SliceOrder, order_slices
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.refusals import TimelineRefused, refuse, refuse_several
from TemporalGliomaRisk.timeline.rules import REFUSAL as REFUSAL_SEVERITY
from TemporalGliomaRisk.timeline.rules import RULES, finding
from TemporalGliomaRisk.timeline.sequence_names import (
    sequence_from_series,
    sequence_from_timing,
    with_contrast,
)
from TemporalGliomaRisk.timeline.visit import SequenceName, Timeline

FEWEST_SLICES = 5
"""A series of fewer slices is a localizer or a single picture."""
MOST_ITEMS = 10_000
"""Files and folders in a folder that should hold one series."""


def read_dicom_folder(folder: Path, *, patient: str | None = None, identified: bool = False) -> Timeline | None:
    """Read the timeline of a folder of DICOM, sub-folders included; only headers are read now.

    Args:
        folder: The folder.
        patient: PatientID of the patient wanted, where there are several.
        identified: Label by PatientID and dates.

    Returns:
        The timeline, or None if no file is a DICOM image.

    Raises:
        TimelineRefused: If there are several patients, no date, no series that can be told, or broken slice stacks.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    found = read_dicom_headers(files)
    if not found.headers and not found.broken:
        return None
    noticed: list[Finding] = [finding("unknown_files", count=found.others)] if found.others else []
    if found.broken:
        noticed.append(finding("dicom_unread", count=found.broken))
    if not found.headers:
        raise refuse("nothing_to_read", problem=f"None of {found.broken} DICOM files can be read. Export them again.")
    headers = _one_patient(found.headers, patient, noticed)
    series = [_series(list(group)) for _, group in _grouped(headers, "series_uid")]
    pictures = [one for one in series if one.is_picture]
    if pictures:
        noticed.append(finding("series_skipped", count=len(pictures)))
    series = [one for one in series if not one.is_picture]
    visits = [_visit(date, members) for date, members in _by_date(series, noticed).items()]
    known = [visit for visit in visits if visit.sources]
    if len(known) < len(visits):
        noticed.append(finding("visit_without_volume", count=len(visits) - len(known)))
    name = headers[0].patient_id or headers[0].patient_name
    return build_timeline(known, findings=noticed, patient_name=name, identified=identified)


@dataclass(frozen=True, kw_only=True)
class NamedSeries:
    """The one series in a folder that a table names.

    Args:
        header: Of one of its files.
        date: Its study's, None where that is not told or cannot be read.
        order: Its slices.
        left_out: How many files and series lie beside it, by the rule that tells of them.
    """

    header: DicomHeader
    date: datetime.date | None
    order: SliceOrder
    left_out: Mapping[str, int]

    @property
    def source(self) -> SourceMaker:
        """A maker of the volume's source."""
        return partial(_source, self.order.paths)

    def findings(self, sequence: SequenceName) -> list[FindingMaker]:
        """What is wrong with its slices, by what the table calls its pulse sequence."""
        return [partial(_finding, code, sequence, values) for code, values in self.order.problems]


def read_named_series(folder: Path) -> NamedSeries:
    """Read the headers of the one series that a folder holds, sub-folders included; pictures beside it are left out.

    Raises:
        InputError: If it holds none or several, in a sentence to follow the number of a table's line.
    """
    items = list(itertools.islice(folder.rglob("*"), MOST_ITEMS + 1))
    if len(items) > MOST_ITEMS:
        raise InputError(f"the folder holds more than {MOST_ITEMS} files; name the folder of one DICOM series")
    found = read_dicom_headers(sorted(path for path in items if path.is_file() and not path.name.startswith(".")))
    series = [_series(list(group)) for _, group in _grouped(found.headers, "series_uid")]
    volumes = [one for one in series if not one.is_picture]
    if not series:
        raise InputError("the folder holds no DICOM image that can be read; name a volume's file, or such a folder")
    if not volumes:
        raise InputError(
            f"the folder's DICOM is no volume (localizers, maps, fewer than {FEWEST_SLICES} slices); name another"
        )
    if len(volumes) > 1:
        raise InputError(f"the folder holds {len(volumes)} DICOM series, wanted one; name the folder of one series")
    (one,) = volumes
    left_out = {"unknown_files": found.others, "dicom_unread": found.broken, "series_skipped": len(series) - 1}
    return NamedSeries(header=one.header, date=_date_told(one.header), order=one.order, left_out=left_out)


def _date_told(header: DicomHeader) -> datetime.date | None:
    try:
        return parse_date(header.date_text.replace(".", ""))
    except ValueError:
        return None


def may_be_one_patient(one: DicomHeader, other: DicomHeader) -> bool:
    """Whether two headers may be of one patient: by their identifiers, or their names where one has no identifier."""
    if one.patient_id and other.patient_id:
        return one.patient_id == other.patient_id
    names = {plain_name(one.patient_name), plain_name(other.patient_name)} - {""}
    return len(names) < 2


def _grouped(headers: Sequence[DicomHeader], name: str) -> list[tuple[str, list[DicomHeader]]]:
    def key(header: DicomHeader) -> str:
        return str(getattr(header, name))

    return [(value, list(group)) for value, group in itertools.groupby(sorted(headers, key=key), key=key)]


def _one_patient(headers: list[DicomHeader], patient: str | None, noticed: list[Finding]) -> list[DicomHeader]:
    """Files of the one patient. Identifiers are compared, never shown; a file without one goes by its name."""
    by_name = {plain_name(header.patient_name): header.patient_id for header in headers if header.patient_id}

    def key(header: DicomHeader) -> str:
        name = plain_name(header.patient_name)
        return header.patient_id or (by_name.get(name, name) if name else "")

    if patient is not None:
        kept = [header for header in headers if patient in (key(header), header.patient_name)]
        if not kept:
            raise refuse("patient_not_found", labels="")
        headers = kept
    keys = {key(header) for header in headers}
    if len(keys) > 1:
        raise refuse_several(sorted(filter(None, keys)), count=len(keys), labels=", by their PatientID")
    for what, values in (
        ("names", [plain_name(header.patient_name) for header in headers]),
        ("birth dates", [header.birth_date for header in headers]),
    ):
        known = {value for value in values if value}
        if len(known) > 1:
            usual = max(known, key=values.count)
            differing = sum(value not in ("", usual) for value in values)
            noticed.append(finding("patient_unsure", count=differing, what=what))
    return headers


@dataclass(frozen=True, kw_only=True)
class _Series:
    """One series, as far as its headers describe it."""

    header: DicomHeader
    order: SliceOrder
    sequence: SequenceName | None
    by_timing: bool
    overruled: bool
    is_picture: bool


def _series(headers: list[DicomHeader]) -> _Series:
    first = headers[0]
    order = order_slices(headers)
    sequence = sequence_from_series(first.description, first.protocol, first.contrast_agent)
    timed = sequence_from_timing(first.echo_ms, first.repetition_ms, first.inversion_ms)
    by_timing = False
    overruled = sequence == "T2w" and timed == "FLAIR"
    if overruled:
        sequence = timed
    if sequence is None and is_unknown(first.description) and is_unknown(first.protocol):
        sequence = timed
        by_timing = sequence is not None
        if sequence == "T1w":
            sequence = with_contrast("", first.contrast_agent)
    picture = any(header.is_picture for header in headers) or order.slices < FEWEST_SLICES
    return _Series(
        header=first, order=order, sequence=sequence, by_timing=by_timing, overruled=overruled, is_picture=picture
    )


def _by_date(series: Sequence[_Series], noticed: list[Finding]) -> dict[datetime.date | None, list[_Series]]:
    """Series by study date; one study without a date is a single visit of unknown day, several are refused."""
    found: dict[datetime.date | None, list[_Series]] = {}
    for one in series:
        text = one.header.date_text
        try:
            date = None if is_unknown(text) else parse_date(text.replace(".", ""))
        except ValueError as error:
            where = "A DICOM study"
            unreadable = finding("date_unreadable", where=where, what="the study's date", wanted=DATES_WANTED)
            raise TimelineRefused([*noticed, unreadable]) from error
        found.setdefault(date, []).append(one)
    undated = {one.header.study_uid for one in found.get(None, [])}
    if undated and (len(undated) > 1 or len(found) > 1):
        problem = f"{len(undated)} DICOM studies have no date. Use a table that gives the days."
        raise TimelineRefused([*noticed, finding("dates_missing", problem=problem)])
    for members in found.values():
        _check_one_day(members, noticed)
    return found


def _check_one_day(series: Sequence[_Series], noticed: list[Finding]) -> None:
    """Refuse series of one date that are of several days: then the date stands for dates that were taken out.

    The signs are days of acquisition that lie apart, by more than a midnight, and whole examinations that repeat: two
    studies of the same pulse sequences, or with a FLAIR each, which no study of the spine beside one of the head has.
    """
    acquired = []
    for one in series:
        with contextlib.suppress(ValueError):
            acquired.append(parse_date(one.header.acquired_text.replace(".", "")).toordinal())
    apart = max(acquired, default=0) - min(acquired, default=0)
    if apart > DATE_TOLERANCE_DAYS:
        problem = f"The DICOM series of one study date were acquired up to {apart} days apart."
        problem += " Use a table that gives the days, or correct the study dates."
        raise TimelineRefused([*noticed, finding("dates_missing", problem=problem)])
    studies: dict[str, set[SequenceName]] = {}
    for one in series:
        if one.sequence is not None:
            studies.setdefault(one.header.study_uid, set()).add(one.sequence)
    repeated = any(a == b or "FLAIR" in a & b for a, b in itertools.combinations(studies.values(), 2))
    if repeated:
        problem = f"{len(studies)} DICOM studies have one and the same date and repeat an examination, so their days "
        problem += "are not known. Use a table that gives the days, or keep one of them."
        raise TimelineRefused([*noticed, finding("dates_missing", problem=problem)])


def _visit(date: datetime.date | None, series: Sequence[_Series]) -> FoundVisit:
    """One day's series as a visit. Of several series of one sequence the one with the most slices, then the last."""
    makers: list[FindingMaker] = []
    studies = len({one.header.study_uid for one in series})
    if studies > 1:
        makers.append(lambda number: finding("several_studies", visit=number, count=studies))
    if any(one.sequence == "FLAIR" and not one.overruled for one in series):
        # What calls itself a T2w, and may be a double inversion recovery, takes no FLAIR's place that is called so.
        series = [replace(one, sequence=None) if one.overruled else one for one in series]
    unclassed = sum(one.sequence is None for one in series)
    if unclassed:
        makers.append(lambda number: finding("series_unclassed", visit=number, count=unclassed))
    by_sequence: dict[SequenceName, list[_Series]] = {}
    for one in series:
        if one.sequence is not None:
            by_sequence.setdefault(one.sequence, []).append(one)
    sources: dict[SequenceName, SourceMaker] = {}
    for sequence, rivals in by_sequence.items():
        chosen = max(rivals, key=_worth)
        if len(rivals) > 1:
            makers.append(partial(_finding, "competing_series", sequence, {"count": len(rivals)}))
        for code, so in (("sequence_from_timing", chosen.by_timing), ("sequence_overruled", chosen.overruled)):
            if so:
                makers.append(partial(_finding, code, sequence, {}))
        makers += [partial(_finding, code, sequence, values) for code, values in chosen.order.problems]
        sources[sequence] = partial(_source, chosen.order.paths)
    return FoundVisit(
        when=When(date=date), sources=sources, name=date.isoformat() if date else "", findings=tuple(makers)
    )


def _worth(one: _Series) -> tuple[bool, int, int, str]:
    """Usable first, then more slices, then later in the study."""
    usable = all(RULES[code].severity is not REFUSAL_SEVERITY for code, _ in one.order.problems)
    return usable, one.order.slices, one.header.series_number, one.header.series_uid


def _finding(code: str, sequence: SequenceName, values: dict[str, object], number: int) -> Finding:
    return finding(code, visit=number, sequence=sequence, **values)


def _source(paths: tuple[Path, ...], role: str) -> DicomSeries:
    return DicomSeries(paths=paths, role=role)
