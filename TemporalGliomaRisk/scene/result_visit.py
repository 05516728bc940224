"""One visit of what ``predict`` wrote: its numbers and files, each refused where it is none or lies elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.timeline.volume import FloatArray

FURTHEST_MM = 10_000.0
"""From the scanner's centre; volumes beyond are refused when they are read, so no peak lies there."""
MOST_DAYS = 36_524
"""A hundred years: dates may lie further apart than the number of days that a table may state."""


@dataclass(frozen=True, kw_only=True)
class ResultPeak:
    """A place where hazard gathers.

    Args:
        name: ``"A"``, ``"B"``: in falling order.
        ras_mm: (3,), in that visit's own RAS, mm.
        share_of_hazard: Part of the visit's hazard over the horizon that belongs to it, 0 to 1.
        hazard_per_mL: Of the model's own cell of highest hazard there; the map spreads it over the visit's voxels.
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
        single_visit_risk: From this visit alone, by the model's head for single visits; None when not computed.
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


def read_visit(
    folder: Path, number: int, content: dict[str, Any], gap_days: int | None, moves: Mapping[str, FloatArray]
) -> ResultVisit:
    """A visit from what risk.json says of it.

    Args:
        folder: Where its files lie.
        number: From 1.
        content: Its object in risk.json.
        gap_days: Days since the previous visit, None for the first.
        moves: (4, 4) by sequence, as :class:`ResultVisit` keeps them.

    Raises:
        InputError: If a map lies outside the folder or isn't there.
        KeyError, TypeError, ValueError, AttributeError, OverflowError: If something is missing or is not what it
            should be.
    """
    treated = content.get("days_since_treatment")
    return ResultVisit(
        number=number,
        session_id=str(content["session_id"]),
        days_since_first=content["days_since_first"],
        days_since_treatment=None if treated is None else read_days(treated, -MOST_DAYS),
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
        warnings=read_warnings(content),
        uncertain_because=tuple(str(code) for code in content.get("uncertain_because", ())),
        moves=moves,
    )


def read_warnings(content: dict[str, Any]) -> tuple[ResultWarning, ...]:
    """The warnings of a visit, or of the timeline, from its object in risk.json."""
    return tuple(
        ResultWarning(code=str(one["code"]), message=str(one["message"]), severity=str(one.get("severity", "warning")))
        for one in content.get("warnings", ())
    )


def _number(value: Any, low: float, high: float) -> float:
    """A number from ``low`` to ``high``, refused with ValueError where it is anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError("Not a number, or outside its range.")
    return float(value)


def read_days(value: Any, low: int) -> int:
    """A whole number of days from ``low`` to a hundred years, refused with ValueError where it is anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MOST_DAYS:
        raise ValueError("A day is none.")
    return value


def _probability(value: Any) -> float | None:
    return None if value is None else _number(value, 0.0, 1.0)


def _place(values: Any) -> tuple[float, float, float]:
    x, y, z = (_number(value, -FURTHEST_MM, FURTHEST_MM) for value in values)
    return x, y, z


def _measured(value: Any) -> float | None:
    return None if value is None else _number(value, -math.inf, math.inf)


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
