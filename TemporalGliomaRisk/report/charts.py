"""Where everything lies in the risk strip and the risk curve; the template draws it as SVG, so it can be themed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.colours import ink_on, risk_colour
from TemporalGliomaRisk.report.record import RiskRecord
from TemporalGliomaRisk.timeline.days import day_count

WIDTH = 1160.0
_MARGIN = 60.0
_GREATEST_TILE = 150.0
_VISITS_A_BAND = 12
"""So that no label of a day, a risk or a gap is wider than its visit's part of the strip."""
_BETWEEN_BANDS = 16.0
_GAP_AT_BEGIN = 16.0
"""From a row's left edge to the middle of the gap before its first visit, which lies half outside the row elsewhere."""
_LABEL, _WORD = 44.0, 58.0
"""Widths of a risk's label with its distance to the mark, and of the word beside it where the risk is uncertain."""
_AXIS_STEPS_DAYS = (30, 90, 180, 365, 730, 1825, 3650)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One visit of the strip: ``left`` of its tile, ``middle`` of it, and ``at`` on the time axis."""

    number: int
    left: float
    middle: float
    at: float
    risk: str
    certainty: str
    certainty_words: str
    colour: str
    ink: str
    day: str
    gap: str
    gap_at: float
    picture: str | None


@dataclass(frozen=True, kw_only=True)
class Band:
    """One row of the strip, ``top`` below its begin: tiles at even distances, each tied to its place on an axis.

    The axis is of time, to scale, and of the row's own days: on one of the whole timeline a row's visits would lie on
    top of each other.
    """

    tiles: tuple[Tile, ...]
    ticks: tuple[Tick, ...]
    top: float


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The risk strip: one row of tiles, or several where one would be too narrow to read.

    ``axis_y`` is counted from a row's top.
    """

    bands: tuple[Band, ...]
    side: float
    picture_height: float
    axis_y: float
    height: float
    axis_left: float
    axis_right: float

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """Of all rows."""
        return tuple(tile for band in self.bands for tile in band.tiles)


def risk_strip(record: RiskRecord, thumbnails: list[str | None], *, proportion: float = 1.2) -> Strip:
    """Lay out the strip.

    Args:
        record: The risks.
        thumbnails: A ``data:`` URI a visit, or None.
        proportion: Height over width of the thumbnails.
    """
    visits = record.visits
    count = -(-len(visits) // _VISITS_A_BAND)
    most = -(-len(visits) // count)
    pitch = (WIDTH - 2 * 10) / most
    side = min(_GREATEST_TILE, pitch - max(8.0, 0.12 * pitch))
    pitch = min(pitch, side * 1.35)
    start = (WIDTH - pitch * most) / 2 if len(visits) > 1 else -(pitch - side) / 2
    picture_height = side * proportion if any(thumbnails) else 0.0
    # A single visit has no gaps to show, so no axis is drawn under its tile.
    axis_y = 24 + picture_height + 40 + (92 if len(visits) > 1 else -40)
    height = axis_y + 44
    # Rows differ by one visit at most, so that none is left alone in the last one.
    firsts = [-(-len(visits) * number // count) for number in range(count + 1)]
    bands = []
    for number in range(count):
        of_band = range(firsts[number], firsts[number + 1])
        tiles, ticks = _tiles(record, thumbnails, of_band, start=start, pitch=pitch, side=side)
        bands.append(Band(tiles=tiles, ticks=ticks, top=number * (height + _BETWEEN_BANDS)))
    return Strip(
        bands=tuple(bands),
        side=side,
        picture_height=picture_height,
        axis_y=axis_y,
        height=bands[-1].top + height,
        axis_left=_MARGIN,
        axis_right=WIDTH - _MARGIN,
    )


def _tiles(
    record: RiskRecord, thumbnails: list[str | None], indices: range, *, start: float, pitch: float, side: float
) -> tuple[tuple[Tile, ...], tuple[Tick, ...]]:
    """The tiles of a row, and the ticks of its axis."""
    days, gaps = day_count(record.visits).days, record.gaps_days
    ends, ticks = _time_axis([days[index] for index in indices])
    tiles = []
    for column, index in enumerate(indices):
        visit, day, gap = record.visits[index], days[index], gaps[index]
        colour, middle = risk_colour(visit.risk), start + pitch * (column + 0.5)
        tiles.append(
            Tile(
                number=index + 1,
                left=middle - side / 2,
                middle=middle,
                at=_along(day, ends),
                risk=numbers.percent(visit.risk),
                certainty=visit.certainty,
                certainty_words=visit.certainty_words,
                colour=colour,
                ink=ink_on(colour),
                day=f"day {day}",
                gap="" if gap is None else f"+{gap}{numbers.NARROW}d",
                gap_at=middle - pitch / 2 if column else middle - side / 2 + _GAP_AT_BEGIN,
                picture=thumbnails[index],
            )
        )
    return tuple(tiles), ticks


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One visit of the curve: risk at (``x``, ``y``), the members' extremes, and the single-visit risk.

    The label, if any, begins right of the mark, or ends left of it (``label_before``) where the drawing ends.
    """

    x: float
    y: float
    low: float | None
    high: float | None
    single: float | None
    label: str | None
    label_before: bool
    certainty: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The risk curve over the visits' days."""

    marks: tuple[Mark, ...]
    line: str
    band: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float
    right: float
    top: float
    bottom: float
    height: float


def risk_curve(record: RiskRecord) -> Curve:
    """Lay out the curve; its axis of risk starts at 0 and ends at 10, 25, 50 or 100 %."""
    top, bottom = 22.0, 262.0
    days = day_count(record.visits).days
    ends, x_ticks = _time_axis(days)
    greatest = max(max(visit.risk, visit.risk_high or 0, visit.single_visit_risk or 0) for visit in record.visits)
    ceiling = next(end for end in (0.1, 0.25, 0.5, 1.0) if greatest <= end * 0.96 or end == 1.0)

    def height_of(risk: float | None) -> float | None:
        return None if risk is None else bottom - (bottom - top) * risk / ceiling

    marks: list[Mark] = []
    labelled = -math.inf
    for number, (visit, day) in enumerate(zip(record.visits, days, strict=True), start=1):
        x, y = _along(day, ends), height_of(visit.risk) or bottom
        width = _LABEL + (_WORD if visit.certainty else 0)
        before = x + width > WIDTH
        has_room = x - (width if before else 0) > labelled
        labelled = x + (0 if before else width) if has_room else labelled
        range_words = numbers.percent_range(visit.risk_low, visit.risk_high)
        marks.append(
            Mark(
                x=x,
                y=y,
                low=height_of(visit.risk_low),
                high=height_of(visit.risk_high),
                single=height_of(visit.single_visit_risk),
                label=numbers.percent(visit.risk) if has_room else None,
                label_before=before,
                certainty=visit.certainty,
                description=f"Visit {number}, day {day}: {numbers.percent(visit.risk)}, members "
                f"{range_words}, from this visit alone {numbers.percent(visit.single_visit_risk)}"
                + (f", {visit.certainty_words}" if visit.certainty else ""),
            )
        )
    uppers = [(mark.x, mark.high if mark.high is not None else mark.y) for mark in marks]
    lowers = [(mark.x, mark.low if mark.low is not None else mark.y) for mark in reversed(marks)]
    parts = 4 if ceiling == 1.0 else 5
    steps = [ceiling * part / parts for part in range(parts + 1)]
    return Curve(
        marks=tuple(marks),
        line=_points([(mark.x, mark.y) for mark in marks]),
        band=_points(uppers + lowers) if len(marks) > 1 else "",
        x_ticks=x_ticks,
        y_ticks=tuple(Tick(at=height_of(step) or bottom, label=f"{100 * step:g}{numbers.NARROW}%") for step in steps),
        left=_MARGIN,
        right=WIDTH - _MARGIN,
        top=top,
        bottom=bottom,
        height=bottom + 52,
    )


def _points(places: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _along(day: int, ends: tuple[float, float]) -> float:
    return _MARGIN + (WIDTH - 2 * _MARGIN) * (day - ends[0]) / (ends[1] - ends[0])


def _time_axis(days: Sequence[int]) -> tuple[tuple[float, float], tuple[Tick, ...]]:
    """First and last day of the axis, and ticks at round numbers of days or years, at most about ten."""
    first, span = days[0], max(days[-1] - days[0], 90)
    ends = (first - 0.03 * span, first + 1.03 * span)
    step = next((step for step in _AXIS_STEPS_DAYS if span / step <= 10), _AXIS_STEPS_DAYS[-1])
    ticks = []
    for day in range(step * math.ceil(first / step), first + span + 1, step):
        is_year = step % 365 == 0 and day > 0
        ticks.append(Tick(at=_along(day, ends), label=f"{day}{f' ({day // 365} y)' if is_year else ''}"))
    return ends, tuple(ticks)
