"""What ``risk.json`` says, as frozen dataclasses: valid once built, and the same after a round trip."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from TemporalGliomaRisk import RESEARCH_USE_ONLY, config, numbers
from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.files import write_json_whole
from TemporalGliomaRisk.report.schema import check_content, read_checked
from TemporalGliomaRisk.timeline.finding import Finding

SCHEMA_VERSION = "1.1"
INTERVALS_DAYS = ((0, 90), (90, 180), (180, 365), (365, 730))
CAVEAT = (
    "The weights were learned from simulated patients only; no risk here has been compared with what became of a "
    "real child."
)
OTHER_CAVEAT = (
    "What the weights were learned from, and whether their risks were compared with what became of other patients, "
    "stands in the model's card."
)
"""Of a model that learnt from other patients than simulated ones."""
CLOSED_FORM_TOLERANCE = 1e-4
"""How far a stated risk may lie from 1 - exp(-sum of its hazards): float32 arithmetic, no more."""


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """Which model gave the numbers.

    Args:
        name: Its bundle's.
        sha256: Hash over the hashes of all files of the bundle, so that it names these weights and settings.
        version: Its bundle's.
        caveat: What it cannot do.
        heatmap_check: How alike the maps of the same network with random weights are, a sentence to show beside every
            map; None for a bundle that doesn't say.
    """

    name: str
    sha256: str
    version: str | None = None
    caveat: str = CAVEAT
    heatmap_check: str | None = None


@dataclass(frozen=True, kw_only=True)
class Peak:
    """One local maximum of a heatmap.

    Args:
        name: What it is called in the report, such as ``"A"``.
        ras_mm: (3,), its place in that visit's own RAS, mm.
        share_of_hazard: Part of the visit's cumulative hazard over the horizon that belongs to it, 0 to 1.
        hazard_per_mL: Of the model's own cell of highest hazard there. The heatmap spreads it over the visit's voxels,
            where it is lower.
    """

    name: str
    ras_mm: tuple[float, float, float]
    share_of_hazard: float
    hazard_per_mL: float  # noqa: N815  (mL is the unit's own spelling)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A measured quantity with its unit; None when it could not be measured."""

    name: str
    value: float | None
    unit: str


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A finding as the reader of a risk sees it: stable code, one sentence, ``"warning"`` or ``"note"``."""

    code: str
    message: str
    severity: str = "warning"

    @classmethod
    def of(cls, finding: Finding) -> Warned:
        """The finding of a check, without the visit it is filed under."""
        return cls(code=finding.code, message=finding.message, severity=finding.severity.value)


@dataclass(frozen=True, kw_only=True)
class VisitRecord:
    """The risk at one visit and what belongs to it.

    Args:
        session_id: BIDS label, ``ses-01``.
        days_since_first: Days since the first visit.
        days_since_treatment: None when unknown.
        sequences: Pulse sequences used.
        reference_sequence: The sequence on whose voxel grid the heatmaps lie.
        risk: Calibrated probability of an event within the horizon, from this visit and earlier ones only.
        risk_low: Smallest member's risk; an extreme of the ensemble, not a confidence interval; None without ensemble.
        risk_high: Largest member's risk, likewise.
        single_visit_risk: From this visit alone, by the head that was taught on single visits: another one than that of
            the risk, so that the two differ at a first visit, too; None when not computed.
        hazards: (intervals,), cumulative hazard of each follow-up interval, background included.
        background_hazard: Part of the horizon's cumulative hazard that sees no image.
        outside_field_of_view_hazard: Part of the map's hazard outside this visit's field of view; None without map.
        heatmap: Heatmap's path relative to the output folder, with forward slashes; None when absent.
        change_heatmap: Likewise, the change against the previous visit.
        peaks: The heatmap's local maxima, highest first.
        measurements: Measured quantities.
        warnings: What the checks found at this visit.
        uncertain_because: Codes of the warnings, of this visit or of the timeline, by which the risk is uncertain.
    """

    session_id: str
    days_since_first: int
    risk: float
    hazards: tuple[float, ...]
    background_hazard: float
    sequences: tuple[str, ...]
    days_since_treatment: int | None = None
    reference_sequence: str | None = None
    risk_low: float | None = None
    risk_high: float | None = None
    single_visit_risk: float | None = None
    outside_field_of_view_hazard: float | None = None
    heatmap: str | None = None
    change_heatmap: str | None = None
    peaks: tuple[Peak, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    warnings: tuple[Warned, ...] = ()
    uncertain_because: tuple[str, ...] = ()

    @property
    def certainty(self) -> str:
        """The word that stands beside the number where there is room for one: ``uncertain``, or nothing."""
        return "uncertain" if self.uncertain_because else ""

    @property
    def certainty_words(self) -> str:
        """The word with its reasons: ``uncertain: one visit so far``, or nothing."""
        return numbers.uncertain(self.uncertain_because)


@dataclass(frozen=True, kw_only=True)
class RiskRecord:
    """All of ``risk.json``: a patient's risk at every visit.

    Args:
        patient: BIDS label, ``sub-01``.
        horizon_days: The risk is that of an event within so many days after each visit; an end of an interval.
        model: Which model.
        visits: Oldest first.
        intervals_days: (start, end) of every follow-up interval, days after the visit.
        warnings: What the checks found about the timeline as a whole.
        research_use_only: The sentence that goes with every number.
        schema_version: Version of the file's schema.

    Raises:
        GliomaRiskError: If the numbers contradict each other: days that do not rise, a risk that is not
            1 - exp(-sum of its hazards), members that do not enclose it, a background larger than the whole; or a risk
            is uncertain for a reason that no warning tells.
    """

    patient: str
    horizon_days: int
    model: ModelRecord
    visits: tuple[VisitRecord, ...]
    intervals_days: tuple[tuple[int, int], ...] = INTERVALS_DAYS
    warnings: tuple[Warned, ...] = ()
    research_use_only: str = RESEARCH_USE_ONLY
    schema_version: str = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not any(end == self.horizon_days for _, end in self.intervals_days):
            raise GliomaRiskError(f"The horizon, {self.horizon_days} days, must be the end of a follow-up interval.")
        for earlier, later in itertools.pairwise(self.visits):
            if later.days_since_first <= earlier.days_since_first:
                raise GliomaRiskError(
                    f"Visits must be in order of days, got day {later.days_since_first} after day "
                    f"{earlier.days_since_first}."
                )
        for number, visit in enumerate(self.visits, start=1):
            self._check_visit(number, visit)

    def _check_visit(self, number: int, visit: VisitRecord) -> None:
        told = {warning.code for warning in (*self.warnings, *visit.warnings)}
        untold = sorted(set(visit.uncertain_because) - told)
        if untold:
            raise GliomaRiskError(
                f"The risk of visit {number} is uncertain because of {', '.join(untold)}, which no warning tells."
            )
        if len(visit.hazards) != len(self.intervals_days):
            raise GliomaRiskError(
                f"Visit {number} needs {len(self.intervals_days)} hazards, one an interval, got {len(visit.hazards)}."
            )
        hazard = self.horizon_hazard(visit)
        expected = -math.expm1(-hazard)
        if not abs(visit.risk - expected) <= CLOSED_FORM_TOLERANCE:
            raise GliomaRiskError(
                f"Risk of visit {number} must be 1 - exp(-sum of its hazards) = {expected:.5f}, got {visit.risk:.5f}."
            )
        if visit.background_hazard > hazard + CLOSED_FORM_TOLERANCE:
            raise GliomaRiskError(
                f"Background hazard of visit {number} ({visit.background_hazard:.5f}) exceeds the whole ({hazard:.5f})."
            )
        low = visit.risk if visit.risk_low is None else visit.risk_low
        high = visit.risk if visit.risk_high is None else visit.risk_high
        if low > visit.risk + CLOSED_FORM_TOLERANCE or high < visit.risk - CLOSED_FORM_TOLERANCE:
            raise GliomaRiskError(
                f"Members' risks of visit {number} ({low:.5f} to {high:.5f}) must enclose its risk, {visit.risk:.5f}."
            )

    def horizon_hazard(self, visit: VisitRecord) -> float:
        """Cumulative hazard of one visit over the horizon: -log(1 - risk)."""
        return sum(
            hazard
            for hazard, (_, end) in zip(visit.hazards, self.intervals_days, strict=True)
            if end <= self.horizon_days
        )

    @property
    def gaps_days(self) -> tuple[int | None, ...]:
        """Days since the previous visit, None for the first."""
        days = [visit.days_since_first for visit in self.visits]
        return (None, *[later - earlier for earlier, later in itertools.pairwise(days)])


def to_json(record: RiskRecord) -> dict[str, Any]:
    """The record as ``risk.json`` holds it.

    Raises:
        InputError: If it breaks the file's schema (a probability above 1, an absolute path).
    """
    content: dict[str, Any] = without_numpy(config.to_json(record))
    check_content(content, "risk")
    return content


def from_json(content: Mapping[str, Any]) -> RiskRecord:
    """The record from ``risk.json``'s content.

    Raises:
        InputError: If the content breaks the schema, or its numbers contradict each other.
    """
    check_content(content, "risk")
    try:
        return config.from_json(RiskRecord, content)
    except InputError:
        raise
    except GliomaRiskError as error:
        raise InputError(f"risk.json contradicts itself. {error}") from None


def read_risk_record(path: Path) -> RiskRecord:
    """Read ``risk.json``, checked against its schema and against itself.

    Raises:
        InputError: If the file is missing, not JSON, breaks the schema or contradicts itself.
    """
    return from_json(read_checked(path, "risk"))


def write_risk_json(record: RiskRecord, path: Path) -> None:
    """Write ``risk.json``, whole or not at all."""
    write_json_whole(path, to_json(record))


def without_numpy(value: Any) -> Any:
    """JSON-ready content with numpy's numbers and arrays made Python's own, so that ``json`` takes them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): without_numpy(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [without_numpy(item) for item in value]
    return value
