"""What the scene knows of each visit; kept as JSON in a node, so that a saved scene knows it too."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.result_visit import ResultMeasurement, ResultPeak, ResultVisit, ResultWarning
from TemporalGliomaRisk.timeline.days import day_count
from TemporalGliomaRisk.timeline.visit import Timeline


@dataclass(frozen=True, kw_only=True)
class SceneVisit:
    """One visit; what comes from a result is None or empty without one.

    Args:
        number: From 1.
        session_id: BIDS label.
        days_since_first: Days since the first visit.
        days_since_treatment: None when unknown.
        gap_days: Days since the previous visit, None for the first.
        sequences: Pulse sequences of the timeline that this visit has.
        risk: Within the horizon, 0 to 1.
        risk_low: Smallest member's.
        risk_high: Largest member's.
        single_visit_risk: From this visit alone, by the model's head for single visits.
        reference_sequence: The sequence on whose grid the maps lie.
        peaks: Highest first, in the visit's own RAS.
        measurements: Measured quantities.
        warnings: What the checks found at this visit.
        uncertain_because: Codes of the warnings by which the risk is uncertain.
    """

    number: int
    session_id: str
    days_since_first: int
    days_since_treatment: int | None
    gap_days: int | None
    sequences: tuple[str, ...]
    risk: float | None = None
    risk_low: float | None = None
    risk_high: float | None = None
    single_visit_risk: float | None = None
    reference_sequence: str | None = None
    peaks: tuple[ResultPeak, ...] = ()
    measurements: tuple[ResultMeasurement, ...] = ()
    warnings: tuple[ResultWarning, ...] = ()
    uncertain_because: tuple[str, ...] = ()

    @property
    def certainty(self) -> str:
        """What stands beside the number: ``uncertain: one visit so far``, or nothing."""
        return "" if self.risk is None else numbers.uncertain(self.uncertain_because)

    def to_json(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> SceneVisit:
        """From what :meth:`to_json` gave."""
        return cls(
            **{
                **content,
                "sequences": tuple(content["sequences"]),
                "peaks": tuple(ResultPeak(**{**peak, "ras_mm": tuple(peak["ras_mm"])}) for peak in content["peaks"]),
                "measurements": tuple(ResultMeasurement(**one) for one in content["measurements"]),
                "warnings": tuple(ResultWarning(**one) for one in content["warnings"]),
                "uncertain_because": tuple(content.get("uncertain_because", ())),
            }
        )


def scene_visits(timeline: Timeline, result: RiskResult | None) -> tuple[SceneVisit, ...]:
    """The timeline's visits, each with what the result says of it."""
    said: dict[str, ResultVisit] = {} if result is None else {visit.session_id: visit for visit in result.visits}
    return tuple(
        SceneVisit(
            number=number,
            session_id=visit.session_id,
            days_since_first=visit.days_since_first,
            days_since_treatment=visit.days_since_treatment,
            gap_days=gap_days,
            sequences=tuple(visit.sequences),
            **_of_result(said.get(visit.session_id)),
        )
        for number, (visit, gap_days) in enumerate(zip(timeline.visits, timeline.gaps_days, strict=True), start=1)
    )


def _of_result(visit: ResultVisit | None) -> dict[str, Any]:
    names = ("risk", "risk_low", "risk_high", "single_visit_risk", "reference_sequence", "peaks", "measurements")
    return {} if visit is None else {name: getattr(visit, name) for name in (*names, "warnings", "uncertain_because")}


@dataclass(frozen=True, kw_only=True)
class VisitIndex:
    """How a patient's sequence nodes are indexed.

    Args:
        name: ``"days since treatment"`` where every visit's are known, else ``"days since the first visit"``.
        values: One a visit, rising: ``"207"``.
    """

    name: str
    values: tuple[str, ...]


def visit_index(visits: tuple[SceneVisit, ...]) -> VisitIndex:
    """Index values of the visits: days, and a tenth of a day more for a visit not on a later day than the one before.

    Sequence nodes hold one item a value; a second visit on the same day must not replace the first.
    """
    count = day_count(visits)
    rising = itertools.accumulate((10 * day for day in count.days), lambda before, now: max(now, before + 1))
    return VisitIndex(name=f"days since {count.since}", values=tuple(f"{value / 10:g}" for value in rising))
