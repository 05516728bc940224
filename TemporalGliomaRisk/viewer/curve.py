"""Where everything lies in the risk curve; the page draws it as SVG, so that its points can be clicked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.scene.scene_visit import SceneVisit
from TemporalGliomaRisk.timeline.days import day_count

WIDTH, HEIGHT = 340.0, 196.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 328.0, 14.0, 158.0
"""The edges of the plotting area within WIDTH x HEIGHT."""
_DAY_STEPS = (10, 20, 30, 60, 100, 200, 500, 1000, 2000, 5000)
_RISK_STEPS = (0.02, 0.05, 0.1, 0.2)
_LEAST_TOP = 0.1
_MOST_TICKS = 5
_WORD = 48.0
"""Width of the word that stands at an uncertain point."""


def risk_curve(visits: Sequence[SceneVisit]) -> dict[str, Any] | None:
    """The curve as the page wants it, None where no visit has a risk.

    Args:
        visits: Oldest first.

    Returns:
        Places in a drawing of ``WIDTH`` x ``HEIGHT``: ``points`` (with the members' extremes, the risk of the visit
        alone, and why a risk is uncertain), ``line``, ``band``, ``x_ticks``, ``y_ticks``, and the words of the axes.
    """
    count = day_count(visits)
    known = [(visit, day) for visit, day in zip(visits, count.days, strict=True) if visit.risk is not None]
    if not known:
        return None
    risks = [
        value
        for visit, _ in known
        for value in (visit.risk, visit.risk_high, visit.single_visit_risk)
        if value is not None
    ]
    risk_step, top = _risk_axis(max(risks))
    first, last = _day_ends([day for _, day in known])

    def x(day: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (day - first) / (last - first), 1)

    def y(risk: float | None) -> float | None:
        return None if risk is None else round(BOTTOM - (BOTTOM - TOP) * risk / top, 1)

    points = [
        {
            "number": visit.number,
            "x": x(day),
            "y": y(visit.risk),
            "low": y(visit.risk_low),
            "high": y(visit.risk_high),
            "single": y(visit.single_visit_risk),
            "doubt": visit.certainty,
            "words": _words(visit, day, count.since),
        }
        for visit, day in known
    ]
    _place_doubts(points)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": RIGHT,
        "top": TOP,
        "bottom": BOTTOM,
        "points": points,
        "line": _path([(point["x"], point["y"]) for point in points]),
        "band": _band(points),
        "x_ticks": [{"at": x(day), "label": str(day)} for day in _day_ticks(first, last)],
        "y_ticks": [
            {"at": y(risk_step * index), "label": f"{100 * risk_step * index:.0f}"}
            for index in range(round(top / risk_step) + 1)
        ],
        "x_title": f"days since {count.since}",
        "y_title": "risk within 365 days, %",
    }


def _risk_axis(greatest: float) -> tuple[float, float]:
    """Step and top of the axis of risk: at least 10 %, at most 100 %, with some room above the curve."""
    wanted = min(1.0, max(_LEAST_TOP, greatest * 1.08))
    step = next((step for step in _RISK_STEPS if wanted / step <= _MOST_TICKS), _RISK_STEPS[-1])
    return step, min(1.0, math.ceil(wanted / step - 1e-9) * step)


def _day_ends(days: Sequence[int]) -> tuple[float, float]:
    """Ends of the axis of time, a little beyond the visits."""
    margin = max(15.0, 0.04 * (days[-1] - days[0]))
    return min(days) - margin, max(days) + margin


def _day_ticks(first: float, last: float) -> list[int]:
    step = next((step for step in _DAY_STEPS if (last - first) / step <= _MOST_TICKS), _DAY_STEPS[-1])
    return [number * step for number in range(math.ceil(first / step), math.floor(last / step) + 1)]


def _path(places: Sequence[tuple[Any, Any]]) -> str:
    return "M" + " L".join(f"{x} {y}" for x, y in places)


def _band(points: Sequence[dict[str, Any]]) -> str | None:
    """The members' extremes as one area; None where a point has none, or there is a single point."""
    if len(points) < 2 or any(point["low"] is None or point["high"] is None for point in points):
        return None
    upper = [(point["x"], point["high"]) for point in points]
    lower = [(point["x"], point["low"]) for point in reversed(points)]
    return _path([*upper, *lower]) + " Z"


def _words(visit: SceneVisit, day: int, since: str) -> str:
    words = f"Visit {visit.number}, day {day} since {since}: risk {numbers.percent(visit.risk)}"
    if visit.risk_low is not None and visit.risk_high is not None:
        words += f", ensemble's range {numbers.percent_range(visit.risk_low, visit.risk_high)}"
    if visit.single_visit_risk is not None:
        words += f", this visit alone {numbers.percent(visit.single_visit_risk)}"
    return words + (f", {visit.certainty}" if visit.certainty else "")


def _place_doubts(points: Sequence[dict[str, Any]]) -> None:
    """Where the word stands over or under an uncertain point; None where it would run into the one before."""
    last = -math.inf
    for point in points:
        x = min(max(point["x"], LEFT + _WORD / 2), RIGHT - _WORD / 2)
        point["doubt_at"] = None
        if point["doubt"] and x - last >= _WORD:
            drawn = [point[name] for name in ("y", "low", "high", "single") if point[name] is not None]
            above = min(drawn) - 8
            point["doubt_at"] = {"x": x, "y": above if above > TOP + 4 else max(drawn) + 15}
            last = x
