"""The files that ``predict`` writes, read with the standard library alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.scene.result_visit import ResultVisit, ResultWarning, read_days, read_visit, read_warnings
from TemporalGliomaRisk.timeline.visit import Timeline
from TemporalGliomaRisk.timeline.volume import FloatArray

SCHEMA_VERSIONS = ("1.0", "1.1")


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


def _result(folder: Path, risk: dict[str, Any], audit: dict[str, Any]) -> RiskResult:
    if audit["patient"] != risk["patient"]:
        raise InputError("risk.json and audit.json are of different patients. Run predict again.")
    moves = moves_of(audit["alignments"])
    visits: list[ResultVisit] = []
    for number, content in enumerate(risk["visits"], start=1):
        days = read_days(content["days_since_first"], 0)
        visits.append(
            read_visit(
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
        warnings=read_warnings(risk),
        visits=tuple(visits),
        input_hashes={name: tuple(hashes) for name, hashes in audit["inputs"].items()},
        identified=bool((audit.get("options") or {}).get("identified", False)),
        heatmap_check=model.get("heatmap_check"),
    )


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
