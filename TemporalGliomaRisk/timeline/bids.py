"""BIDS folders: a patient's sessions, their anatomical volumes, and the sessions table that tells the days."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from TemporalGliomaRisk.timeline.assembly import FindingMaker, FoundVisit, SourceMaker, build_timeline
from TemporalGliomaRisk.timeline.days import When
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.image_file import VolumeFile, left_by_macos, volume_suffix
from TemporalGliomaRisk.timeline.labels import is_plain, may_be_shown, told
from TemporalGliomaRisk.timeline.refusals import refuse, refuse_several
from TemporalGliomaRisk.timeline.rules import finding
from TemporalGliomaRisk.timeline.sequence_names import sequence_from_name
from TemporalGliomaRisk.timeline.sessions_table import read_sessions_table
from TemporalGliomaRisk.timeline.visit import SequenceName, Timeline

MOST_COUNTED = 10_000
"""Files that are looked at in a folder which is ignored, to say how many there are."""
_HARMLESS = (".json", ".tsv", ".txt", ".md", ".bidsignore")
_NOT_READ = ("desc-", "label-", "res-", "part-phase", "part-imag", "part-real")
_ENTITY = re.compile("[a-z]+-[A-Za-z0-9]+")
_SUFFIXES: dict[str, SequenceName] = {"FLAIR": "FLAIR", "T2w": "T2w", "T1w": "T1w"}


def is_bids_patient(folder: Path) -> bool:
    """Whether a folder is ``sub-P`` with sessions or an ``anat`` folder in it."""
    return folder.name.startswith("sub-") and any(
        child.is_dir() and (child.name == "anat" or child.name.startswith("ses-")) for child in folder.iterdir()
    )


def holds_anat_volumes(folder: Path) -> bool:
    """Whether a patient's folder holds any volume file where BIDS has them, in ``anat`` of a session or of its own."""
    return any(
        volume_suffix(path) is not None and not left_by_macos(path)
        for pattern in ("anat/*", "ses-*/anat/*")
        for path in folder.glob(pattern)
    )


def bids_patients(folder: Path) -> list[Path]:
    """The patient folders of a BIDS dataset, in order of their labels; derivatives are not looked into."""
    return sorted(child for child in folder.iterdir() if child.is_dir() and child.name.startswith("sub-"))


def patient_of_dataset(folder: Path, patient: str | None) -> Path:
    """The one patient folder of a dataset, or the one that ``patient`` names, with or without ``sub-``.

    Raises:
        TimelineRefused: If there are several and none is named, or the named one is not there.
    """
    folders = bids_patients(folder)
    names = [child.name for child in folders]
    labels = f" ({told(names, 'patient')})"
    if patient is not None:
        wanted = patient if patient.startswith("sub-") else f"sub-{patient}"
        if wanted not in names:
            raise refuse("patient_not_found", labels=labels)
        return folder / wanted
    if len(folders) > 1:
        raise refuse_several(names, count=len(names), labels=labels)
    return folders[0]


def read_bids_patient(folder: Path, *, identified: bool = False) -> Timeline:
    """Read the timeline of a BIDS patient folder. Volumes are not read yet.

    A folder without sessions is one visit, ``ses-01``, of unknown day. Labels are kept, but for those that are no BIDS
    labels and, unless ``identified``, those that hold a date: then visits are numbered.

    Raises:
        TimelineRefused: If there is no volume, or the days are missing or contradictory.
    """
    noticed: list[Finding] = []
    sessions = sorted(child for child in folder.iterdir() if child.is_dir() and child.name.startswith("ses-"))
    places = {session.name: session for session in sessions} or {"ses-01": folder}
    contents = {label: _read_anat(place / "anat") for label, place in places.items()}
    _notice_files(folder, places, contents, noticed)
    kept = [label for label, content in contents.items() if content.sources]
    if not kept:
        raise refuse("no_known_sequence", where_wanted=" in the folders anat of this patient (sub-P/ses-V/anat)")
    _notice_owners(folder, contents, noticed)
    if len(kept) < len(contents):
        noticed.append(finding("visit_without_volume", count=len(contents) - len(kept)))
    days = read_sessions_table(folder, kept, all_labels=list(contents), has_sessions=bool(sessions), noticed=noticed)
    stays = is_plain if identified else may_be_shown
    labels_stay = all(stays(label) for label in kept)
    if not labels_stay:
        noticed.append(finding("labels_hidden"))
    visits = [
        FoundVisit(
            when=days.get(label, When()),
            sources=contents[label].sources,
            label=label if labels_stay else None,
            name=label.removeprefix("ses-"),
            findings=contents[label].findings,
        )
        for label in kept
    ]
    return build_timeline(
        visits,
        findings=noticed,
        patient_label=folder.name if stays(folder.name) else None,
        patient_name=folder.name.removeprefix("sub-"),
        identified=identified,
    )


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What an ``anat`` folder holds; ``patients`` and ``sessions`` are the labels in its volumes' names."""

    sources: dict[SequenceName, SourceMaker]
    findings: list[FindingMaker]
    derived: int
    misnamed: int
    unknown: int
    patients: frozenset[str]
    sessions: frozenset[str]


def _read_anat(anat: Path) -> _Content:
    """Volumes of one visit by sequence. The plainest name wins, among equals the last run."""
    by_sequence: dict[SequenceName, list[Path]] = {}
    derived = misnamed = unknown = 0
    for path in sorted(anat.iterdir()) if anat.is_dir() else []:
        if left_by_macos(path):
            continue
        if volume_suffix(path) is None:
            unknown += path.suffix not in _HARMLESS
            continue
        sequence = bids_sequence(path.name)
        if sequence is None:
            almost = _names_sequence_otherwise(path.name)
            misnamed += almost
            derived += not almost
        else:
            by_sequence.setdefault(sequence, []).append(path)
    sources: dict[SequenceName, SourceMaker] = {}
    findings: list[FindingMaker] = []
    for sequence, paths in by_sequence.items():
        chosen = min(paths, key=_plainness)
        sources[sequence] = partial(_file_source, chosen)
        if len(paths) > 1:
            findings.append(partial(_competing, sequence, len(paths)))
    names = [path.name for paths in by_sequence.values() for path in paths]
    return _Content(
        sources=sources,
        findings=findings,
        derived=derived,
        misnamed=misnamed,
        unknown=unknown,
        patients=frozenset(label for name in names for label in re.findall(r"^sub-[A-Za-z0-9]+(?=_)", name)),
        sessions=frozenset(label for name in names for label in re.findall(r"_(ses-[A-Za-z0-9]+)(?=_)", name)),
    )


def _notice_owners(folder: Path, contents: dict[str, _Content], noticed: list[Finding]) -> None:
    """Hold the labels in the volumes' names against the folders: a file in the wrong place is another's picture."""
    patients = frozenset[str]().union(*(content.patients for content in contents.values()))
    if len(patients) > 1:
        raise refuse("files_of_several_patients", count=len(patients))
    if patients and is_plain(folder.name) and folder.name not in patients:
        noticed.append(finding("files_of_another_patient"))
    for label, content in contents.items():
        if any(other != label and other in contents for other in content.sessions):
            content.findings.append(_of_another_visit)


def bids_sequence(name: str) -> SequenceName | None:
    """The pulse sequence of an anatomical file's BIDS name; None for masks, maps and other kinds of image.

    Any ``ce-`` entity makes a T1w a ``ce-gd_T1w``; ``desc-`` and ``label-`` mark derived files, ``part-`` other than
    ``mag`` what is no magnitude.
    """
    *entities, suffix = _parts(name)
    if any(entity.startswith(_NOT_READ) for entity in entities):
        return None
    sequence = _SUFFIXES.get(suffix)
    if any(entity.startswith("ce-") for entity in entities):
        return "ce-gd_T1w" if sequence == "T1w" else None
    return sequence


def _parts(name: str) -> list[str]:
    """What ``_`` parts in a volume file's name, its ending left out."""
    return name[: -len(volume_suffix(Path(name)) or "")].split("_")


def _names_sequence_otherwise(name: str) -> bool:
    """Whether a file that is not read names a sequence as others than BIDS do (``_T1``, ``_flair``, ``_t1_post``)."""
    parts = _parts(name)
    if parts[-1] in _SUFFIXES or any(part.startswith(_NOT_READ) for part in parts):
        return False
    return sequence_from_name("_".join(part for part in parts if not _ENTITY.fullmatch(part))) is not None


def _plainness(path: Path) -> tuple[int, int, str]:
    """Fewest entities first, then the highest ``run-``, then by name."""
    run = re.search(r"_run-(\d+)", path.name)
    return path.name.count("_"), -int(run[1]) if run else 0, path.name


def _file_source(path: Path, role: str) -> VolumeFile:
    return VolumeFile(path=path, role=role)


def _of_another_visit(number: int) -> Finding:
    return finding("files_of_another_visit", visit=number)


def _competing(sequence: SequenceName, count: int, number: int) -> Finding:
    return finding("competing_files", visit=number, sequence=sequence, count=count)


def _notice_files(folder: Path, places: dict[str, Path], contents: dict[str, _Content], noticed: list[Finding]) -> None:
    """Count what was ignored: derived volumes, and whatever else lies in the patient's and the sessions' folders."""
    derived = sum(content.derived for content in contents.values())
    unknown = sum(content.unknown for content in contents.values())
    for place in {folder, *places.values()}:
        for child in place.iterdir():
            if child.is_dir():
                # Beside sessions, a folder anat of the patient's own belongs to no visit.
                expected = child.name.startswith("ses-") or (child.name == "anat" and place in places.values())
                # What a link leads to is not looked into: it could be the whole disk.
                inside = () if expected or child.is_symlink() else child.rglob("*")
                derived += sum(item.is_file() for item in itertools.islice(inside, MOST_COUNTED))
            elif volume_suffix(child) is not None:
                derived += 1
            elif child.suffix not in _HARMLESS:
                unknown += 1
    misnamed = sum(content.misnamed for content in contents.values())
    if misnamed:
        noticed.append(finding("misnamed_files", count=misnamed))
    if derived:
        noticed.append(finding("derived_files", count=derived))
    if unknown:
        noticed.append(finding("unknown_files", count=unknown))
