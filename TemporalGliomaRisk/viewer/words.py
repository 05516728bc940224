"""What the panel says of a patient and of every visit, in the words and numbers of the report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.colours import ink_on, risk_colour
from TemporalGliomaRisk.scene.scene_visit import SceneVisit
from TemporalGliomaRisk.timeline.days import day_count


def in_page_words(sentence: str) -> str:
    """A sentence of the package with the page's own fields in place of the command line's options."""
    said = {
        "Choose with --patient.": "Name the one wanted under “Patient” where it is opened.",
        "The patient named with --patient": "The patient named",
        "Leave out --patient.": "Leave “Patient” empty.",
    }
    for words, ours in said.items():
        sentence = sentence.replace(words, ours)
    return sentence


def day_words(visit: SceneVisit) -> str:
    """``day 207 after treatment``, or after the first visit where treatment's day is unknown.

    A timeline knows the days since treatment of all its visits or of none, so a visit alone is counted as all are.
    """
    count = day_count([visit])
    if visit.days_since_treatment is None and visit.days_since_first == 0:
        return "first visit"
    return f"day {count.days[0]} after {count.since}"


def visit_title(visit: SceneVisit) -> str:
    """``visit 3 · day 207 after treatment``."""
    return f"visit {visit.number} · {day_words(visit)}"


def short_title(visit: SceneVisit) -> str:
    """``visit 3 · day 207``, counted as :func:`visit_title` does."""
    return f"visit {visit.number} · day {day_count([visit]).days[0]}"


def patient_words(label: str, visits: Sequence[SceneVisit]) -> dict[str, str]:
    """The patient's line: who, how many visits, over how long, and what days count from."""
    count = f"{len(visits)} visit{'' if len(visits) == 1 else 's'}"
    span = visits[-1].days_since_first
    years = numbers.years(span)
    over = f" over {numbers.days(span)}" + (f" ({years})" if years else "") if span else ""
    return {"label": label, "visits": f"{count}{over}", "day_zero": day_count(visits).origin}


def visit_rows(visits: Sequence[SceneVisit], peak_place: Callable[[int, str], Any]) -> list[dict[str, Any]]:
    """A row of the panel for every visit.

    Args:
        visits: Oldest first.
        peak_place: (3,) world RAS of a visit's peak by its name: the space in which slices tell their places, and in
            which a visit may lie elsewhere than in its own RAS.
    """
    count = day_count(visits)
    return [_row(visit, day, count.since, peak_place) for visit, day in zip(visits, count.days, strict=True)]


def _row(visit: SceneVisit, day: int, since: str, peak_place: Callable[[int, str], Any]) -> dict[str, Any]:
    colour = None if visit.risk is None else risk_colour(visit.risk)
    members = visit.risk_low is not None and visit.risk_high is not None
    return {
        "number": visit.number,
        "day": f"day {day}",
        "since": f"after {since}",
        "gap": None if visit.gap_days is None else f"+{visit.gap_days}{numbers.NARROW}d",
        "risk": None if visit.risk is None else numbers.percent(visit.risk),
        "members": numbers.percent_range(visit.risk_low, visit.risk_high) if members else None,
        "doubt": visit.certainty,
        "alone": None if visit.single_visit_risk is None else numbers.percent(visit.single_visit_risk),
        "colour": colour,
        "ink": None if colour is None else ink_on(colour),
        "warnings": _warnings(visit),
        "peaks": [
            {
                "name": peak.name,
                "share": numbers.percent(peak.share_of_hazard),
                "place": _place(peak_place(visit.number, peak.name)),
            }
            for peak in visit.peaks
        ],
        "measurements": [
            {"name": one.name, "value": numbers.quantity(one.value, one.unit)} for one in visit.measurements
        ],
    }


def _place(ras: Sequence[float]) -> str:
    right, front, top = (float(value) for value in ras)
    return numbers.place((right, front, top))


def _warnings(visit: SceneVisit) -> list[dict[str, Any]]:
    return [{"message": one.message, "note": one.severity == "note"} for one in visit.warnings]


def opening_visit(visits: Sequence[SceneVisit]) -> int:
    """Number of the visit shown first: where the risk rises most; else the highest risk; else the last visit."""
    known = [visit for visit in visits if visit.risk is not None]
    if not known:
        return visits[-1].number
    rises = [
        (later.risk - earlier.risk, later.number)
        for earlier, later in itertools.pairwise(visits)
        if earlier.risk is not None and later.risk is not None
    ]
    greatest = max(rises, default=(0.0, 0))
    if greatest[0] > 0:
        return greatest[1]
    return max(known, key=lambda visit: visit.risk or 0.0).number
