"""``audit.json``: enough to run the same again and to see what was done, without a name, a date or a path."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import TemporalGliomaRisk
from TemporalGliomaRisk import RESEARCH_USE_ONLY, config
from TemporalGliomaRisk.files import sha256_of, write_json_whole
from TemporalGliomaRisk.report.record import without_numpy
from TemporalGliomaRisk.report.schema import check_content, read_checked
from TemporalGliomaRisk.resources import library_version
from TemporalGliomaRisk.timeline.visit import Timeline

SCHEMA_VERSION = "1.0"
LIBRARIES = ("numpy", "scipy", "SimpleITK", "pydicom")
WITHHELD = "(withheld)"
WORDS_OF_OPTIONS = {
    "device": r"auto|cpu|cuda(:\d+)?",
    "register": r"auto|always|never",
    "progress": r"plain|json",
    "mask": r"auto|none",
    "command": r"[a-z]+",
}
"""What an option whose value is a word can be."""


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """All of ``audit.json``.

    Args:
        patient: BIDS label.
        inputs: SHA-256 of the files behind every volume, by ``sub-01_ses-02_FLAIR``; empty for volumes in memory.
        versions: Version by library.
        platform: Operating system and processor.
        device: What the model ran on, ``"cpu"`` or ``"cuda"``.
        seed: Seed of whatever was drawn at random; None when nothing was.
        options: Options of the command, by :func:`safe_options`.
        preprocessing: Preprocessing's configuration.
        model: Name of the bundle.
        model_files: SHA-256 of every file of the bundle itself, by its path inside the bundle.
        timings_s: Seconds by stage.
        findings: What the checks noticed, each with severity, code, message, visit, sequence.
        alignments: How every volume was aligned, each with its session and a (4, 4) matrix.
        days: Day of every visit by its session: ``since_first``, and ``since_treatment`` or None.
        brain_mask: SHA-256 of the voxels and the place of a given brain mask; None where none was given.
        research_use_only: The sentence that goes with every number.
        schema_version: Version of the file's schema.
    """

    patient: str
    inputs: Mapping[str, Sequence[str]]
    versions: Mapping[str, str]
    platform: str
    device: str
    seed: int | None
    options: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    model: str
    model_files: Mapping[str, str]
    timings_s: Mapping[str, float]
    findings: Sequence[Mapping[str, Any]]
    alignments: Sequence[Mapping[str, Any]]
    days: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    brain_mask: str | None = None
    research_use_only: str = RESEARCH_USE_ONLY
    schema_version: str = SCHEMA_VERSION


def visit_days(timeline: Timeline) -> dict[str, dict[str, int | None]]:
    """Day of every visit by its session: ``since_first``, and ``since_treatment`` or None."""
    return {
        visit.session_id: {"since_first": visit.days_since_first, "since_treatment": visit.days_since_treatment}
        for visit in timeline.visits
    }


def input_hashes(timeline: Timeline) -> dict[str, list[str]]:
    """SHA-256 of the files behind every volume, in order, by BIDS label: ``sub-01_ses-02_FLAIR``."""
    return {
        f"{timeline.patient_id}_{visit.session_id}_{sequence}": [
            sha256_of(path) for path in visit.sources[sequence].files
        ]
        for visit in timeline.visits
        for sequence in visit.sequences
    }


def platform_name() -> str:
    """Operating system and processor."""
    return f"{platform.system()} {platform.release()}, {platform.machine()}"


def versions(torch_version: str | None = None) -> dict[str, str]:
    """Versions of Python, this package and the libraries whose numbers could differ, the installed ones only."""
    found = {"python": platform.python_version(), "TemporalGliomaRisk": TemporalGliomaRisk.__version__}
    for library in LIBRARIES:
        if (version := library_version(library)) is not None:
            found[library] = version
    if torch_version is not None:
        found["torch"] = torch_version
    return found


def safe_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A command's options without anything that could hold an identifier.

    Numbers, switches and absent values are kept; words only where they are one of that option's own choices. Every
    other text and every path becomes ``(withheld)``: a folder is often named after the patient.
    """
    kept: dict[str, Any] = {}
    for name, value in options.items():
        if callable(value):
            continue
        is_plain = value is None or isinstance(value, (bool, int, float))
        is_own_word = isinstance(value, str) and re.fullmatch(WORDS_OF_OPTIONS.get(name, r"(?!)"), value)
        kept[name] = value if is_plain or is_own_word else WITHHELD
    return kept


def audit_to_json(audit: AuditRecord) -> dict[str, Any]:
    """The record as ``audit.json`` holds it.

    Raises:
        InputError: If it breaks the file's schema.
    """
    content: dict[str, Any] = without_numpy(config.to_json(audit))
    check_content(content, "audit")
    return content


def write_audit_json(audit: AuditRecord, path: Path) -> None:
    """Write ``audit.json``, whole or not at all."""
    write_json_whole(path, audit_to_json(audit))


def read_audit_record(path: Path) -> AuditRecord:
    """Read ``audit.json``, checked against its schema.

    Raises:
        InputError: If the file is missing, not JSON, or breaks the schema.
    """
    return AuditRecord(**read_checked(path, "audit"))
