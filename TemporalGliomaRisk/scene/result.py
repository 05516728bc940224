"""The files that ``predict`` writes, read with the standard library alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.timeline.days import MOST_DAYS
from TemporalGliomaRisk.timeline.visit import Timeline
from TemporalGliomaRisk.timeline.volume import FloatArray

SCHEMA_VERSIONS = ("1.0", "1.1")
FURTHEST_MM = 10_000.0
"""From the scanner's centre; volumes beyond are refused when they are read, so no peak lies there."""


@dataclass(frozen=True, kw_only=True)
class ResultPeak:
    """A place where hazard gathers.

    Args:
        name: ``"A"``, ``"B"``: in falling order.
        ras_mm: (3,), in that visit's own RAS, mm.
        share_of_hazard: Part of the visit's hazard over the horizon that belongs to it, 0 to 1.
        hazard_per_mL: The map's value there.
    """

    name: str
    ras_mm: tuple[float, float, float]
    share_of_hazard: float
    hazard_per_mL: float  # noqa: N815  (mL is the unit's own spelling)


@dataclass(frozen=True, kw_only=True)
class ResultMeasurement:
    """A measured quantity; None when it could not be measured."""

    name: str
    value: float | None
    unit: str


@dataclass(frozen=True, kw_only=True)
class ResultWarning:
    """What a check found: one sentence, ``"warning"`` or ``"note"``."""

    code: str
    message: str
    severity: str = "warning"


@dataclass(frozen=True, kw_only=True)
class ResultVisit:
    """One visit's numbers and files; see ``risk.json``.

    Args:
        number: From 1.
        session_id: BIDS label.
        days_since_first: Days since the first visit.
        days_since_treatment: None when unknown.
        gap_days: Days since the previous visit, None for the first.
        risk: Within the horizon, 0 to 1.
        risk_low: Smallest member's, None without ensemble.
        risk_high: Largest member's, likewise.
        single_visit_risk: Had this been the only visit; None when not computed.
        reference_sequence: The sequence on whose grid the maps lie.
        sequences: Those used.
        heatmap: File of hazard per mL, None when absent.
        change_heatmap: File of its change since the previous visit, likewise.
        peaks: Highest first.
        measurements: Measured quantities.
        warnings: What the checks found at this visit.
        uncertain_because: Codes of the warnings, of this visit or of the timeline, by which the risk is uncertain.
        moves: (4, 4) by sequence: that sequence's RAS at this visit to the first visit's RAS.
    """

    number: int
    session_id: str
    days_since_first: int
    days_since_treatment: int | None
    gap_days: int | None
    risk: float
    risk_low: float | None
    risk_high: float | None
    single_visit_risk: float | None
    reference_sequence: str | None
    sequences: tuple[str, ...]
    heatmap: Path | None = field(repr=False)
    change_heatmap: Path | None = field(repr=False)
    peaks: tuple[ResultPeak, ...]
    measurements: tuple[ResultMeasurement, ...]
    warnings: tuple[ResultWarning, ...]
    uncertain_because: tuple[str, ...] = ()
    moves: Mapping[str, FloatArray] = field(repr=False, default_factory=dict)

    def to_frame(self, sequence: str | None = None) -> FloatArray:
        """(4, 4), from this visit's RAS (of a sequence; None for the maps) to the first visit's RAS."""
        name = self.reference_sequence if sequence is None else sequence
        return np.array(self.moves.get(str(name), np.eye(4)), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class RiskResult:
    """All that ``predict`` said of a patient.

    Args:
        folder: Where it lies.
        patient: BIDS label.
        model_name: Which model.
        model_version: Its version, None when unknown.
        caveat: What the model cannot do.
        research_use_only: The sentence that goes with every number.
        horizon_days: Of the risk.
        warnings: About the timeline as a whole.
        visits: Oldest first.
        input_hashes: SHA-256 of the files behind every volume, by ``sub-01_ses-02_FLAIR``.
        identified: Whether the report names the patient as the input does.
        heatmap_check: How alike maps of random weights are, to stand beside every map; None when the model doesn't say.
    """

    folder: Path = field(repr=False)
    patient: str
    model_name: str
    model_version: str | None
    caveat: str
    research_use_only: str
    horizon_days: int
    warnings: tuple[ResultWarning, ...]
    visits: tuple[ResultVisit, ...]
    input_hashes: Mapping[str, tuple[str, ...]] = field(repr=False, default_factory=dict)
    identified: bool = False
    heatmap_check: str | None = None

    @classmethod
    def read(cls, folder: Path) -> RiskResult:
        """Read risk.json and audit.json of a folder.

        Raises:
            InputError: If one is missing, not JSON, of another version, incomplete, or names a file outside the folder.
        """
        folder = Path(folder)
        risk, audit = _read_json(folder, "risk.json"), _read_json(folder, "audit.json")
        try:
            return _result(folder, risk, audit)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                "risk.json or audit.json lacks what belongs in it, or holds what does not "
                f"({type(error).__name__}). Run predict again."
            ) from None

    def report(self) -> str | None:
        """The report as HTML, for a scene to keep; None where there is none, or where it names the patient."""
        path = self.folder / "report.html"
        if self.identified or not path.is_file():
            return None
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def check_inputs(self, timeline: Timeline) -> None:
        """Check that a timeline is the one that this result was made from.

        Raises:
            InputError: If visits, days, sequences or files differ.
        """
        wanted = [(visit.session_id, visit.days_since_first) for visit in self.visits]
        if wanted != [(visit.session_id, visit.days_since_first) for visit in timeline.visits]:
            raise InputError(
                f"The result has {len(wanted)} visits and the timeline {len(timeline.visits)}, or their days differ: "
                "it was made from another timeline. Run predict on this one."
            )
        for number, visit in enumerate(timeline.visits, start=1):
            used = self.visits[number - 1].sequences
            if set(visit.sequences) != set(used):
                raise InputError(
                    f"The result was made from {', '.join(used)} of visit {number} and the timeline has "
                    f"{', '.join(visit.sequences)}. Name the timeline it was made from, or run predict on this one."
                )
            for sequence in visit.sequences:
                hashes = self.input_hashes.get(f"{self.patient}_{visit.session_id}_{sequence}")
                files = visit.sources[sequence].files
                if not hashes or not files:
                    continue
                if list(hashes) != [sha256_of(path) for path in files]:
                    raise InputError(
                        f"{sequence} of visit {number} is not the file that the result was made from. "
                        "Run predict again, or name the right timeline."
                    )


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        raise InputError(f"The folder holds no {name}; name the folder that predict wrote to.") from None
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{name} cannot be read as JSON. Run predict again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{name} must hold one JSON object, got {type(content).__name__}. Run predict again.")
    version = content.get("schema_version")
    if version not in SCHEMA_VERSIONS:
        raise InputError(f"{name} is of version {version!r}, wanted {' or '.join(SCHEMA_VERSIONS)}. Run predict again.")
    return content


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON.")


def _number(value: Any, low: float, high: float) -> float:
    """A number from ``low`` to ``high``, refused with ValueError where it is anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError("A number is none, or outside of what it can be.")
    return float(value)


def _days(value: Any, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MOST_DAYS:
        raise ValueError("A day is none.")
    return value


def _probability(value: Any) -> float | None:
    return None if value is None else _number(value, 0.0, 1.0)


def _result(folder: Path, risk: dict[str, Any], audit: dict[str, Any]) -> RiskResult:
    if audit["patient"] != risk["patient"]:
        raise InputError("risk.json and audit.json are of different patients. Run predict again.")
    moves = moves_of(audit["alignments"])
    visits: list[ResultVisit] = []
    for number, content in enumerate(risk["visits"], start=1):
        days = _days(content["days_since_first"], 0)
        visits.append(
            _visit(
                folder,
                number,
                content,
                days - visits[-1].days_since_first if visits else None,
                moves.get(content["session_id"], {}),
            )
        )
    if not visits:
        raise InputError("risk.json holds no visit. Run predict again.")
    model = risk["model"]
    return RiskResult(
        folder=folder,
        patient=str(risk["patient"]),
        model_name=str(model["name"]),
        model_version=model.get("version"),
        caveat=str(model.get("caveat", "")),
        research_use_only=str(risk["research_use_only"]),
        horizon_days=int(risk["horizon_days"]),
        warnings=_warnings(risk),
        visits=tuple(visits),
        input_hashes={name: tuple(hashes) for name, hashes in audit["inputs"].items()},
        identified=bool((audit.get("options") or {}).get("identified", False)),
        heatmap_check=model.get("heatmap_check"),
    )


def _visit(
    folder: Path, number: int, content: dict[str, Any], gap_days: int | None, moves: Mapping[str, FloatArray]
) -> ResultVisit:
    treated = content.get("days_since_treatment")
    return ResultVisit(
        number=number,
        session_id=str(content["session_id"]),
        days_since_first=content["days_since_first"],
        days_since_treatment=None if treated is None else _days(treated, -MOST_DAYS),
        gap_days=gap_days,
        risk=_number(content["risk"], 0.0, 1.0),
        risk_low=_probability(content.get("risk_low")),
        risk_high=_probability(content.get("risk_high")),
        single_visit_risk=_probability(content.get("single_visit_risk")),
        reference_sequence=content.get("reference_sequence"),
        sequences=tuple(content["sequences"]),
        heatmap=_inside(folder, content.get("heatmap"), number),
        change_heatmap=_inside(folder, content.get("change_heatmap"), number),
        peaks=tuple(
            ResultPeak(
                name=str(peak["name"]),
                ras_mm=_place(peak["ras_mm"]),
                share_of_hazard=_number(peak["share_of_hazard"], 0.0, 1.0),
                hazard_per_mL=_number(peak["hazard_per_mL"], 0.0, math.inf),
            )
            for peak in content.get("peaks", ())
        ),
        measurements=tuple(
            ResultMeasurement(name=str(one["name"]), value=_measured(one["value"]), unit=str(one["unit"]))
            for one in content.get("measurements", ())
        ),
        warnings=_warnings(content),
        uncertain_because=tuple(str(code) for code in content.get("uncertain_because", ())),
        moves=moves,
    )


def _place(values: Any) -> tuple[float, float, float]:
    x, y, z = (_number(value, -FURTHEST_MM, FURTHEST_MM) for value in values)
    return x, y, z


def _measured(value: Any) -> float | None:
    return None if value is None else _number(value, -math.inf, math.inf)


def _warnings(content: dict[str, Any]) -> tuple[ResultWarning, ...]:
    return tuple(
        ResultWarning(code=str(one["code"]), message=str(one["message"]), severity=str(one.get("severity", "warning")))
        for one in content.get("warnings", ())
    )


def _inside(folder: Path, name: str | None, number: int) -> Path | None:
    """A file that risk.json names, refused if it leaves the folder or isn't there."""
    if name is None:
        return None
    place = PurePosixPath(name)
    path = folder / place
    if place.is_absolute() or "\\" in name or ".." in place.parts or ":" in name:
        raise InputError(f"A map of visit {number} lies outside the folder of results, which is refused.")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"A map of visit {number} lies outside the folder of results, which is refused.")
    if not path.is_file():
        raise InputError(f"A map of visit {number} is missing from the folder of results. Run predict again.")
    return path


def moves_of(alignments: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, FloatArray]]:
    """(4, 4) by session and sequence: that volume's RAS to the first visit's RAS.

    Args:
        alignments: As audit.json lists them, and the answer of a registration.

    Raises:
        InputError: If one of them is no (4, 4) matrix.

    What was brought to the visit's own reference goes on from there: to the first visit's RAS, as the visit's first
    volume that was brought to the first visit went. On the first visit its reference is the frame itself.
    """
    moves: dict[str, dict[str, FloatArray]] = {}
    anchors: dict[str, FloatArray] = {}
    for one in alignments:
        matrix = np.array(one["to_target_ras"], dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
            raise InputError("audit.json holds an alignment that is no (4, 4) matrix. Run predict again.")
        session = str(one["session_id"])
        if one["target"] == "first":
            anchors.setdefault(session, matrix)
        else:
            matrix = matrix @ anchors.get(session, np.eye(4))
        moves.setdefault(session, {})[str(one["sequence"])] = matrix
    return moves
