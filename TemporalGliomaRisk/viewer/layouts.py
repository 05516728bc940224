"""The layouts: which views stand where, and what each is called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.colours import ink_on, risk_colour
from TemporalGliomaRisk.scene.scene_visit import SceneVisit
from TemporalGliomaRisk.timeline.volume import FloatArray
from TemporalGliomaRisk.viewer.words import day_words, short_title, visit_title

FOUR, THREE_D, COMPARE, ROW = "four", "three_d", "compare", "row"
LABELS = {FOUR: "Four views", THREE_D: "3D", COMPARE: "Compare", ROW: "All visits"}
MOST_IN_ROW = 24
"""Visits that "All visits" shows at once; of a longer timeline the last ones."""

AXIAL, CORONAL, SAGITTAL = "Axial", "Coronal", "Sagittal"
ORIENTATIONS = (AXIAL, CORONAL, SAGITTAL)
_SIDES = (("R", "L"), ("A", "P"), ("S", "I"))
ALONG = {AXIAL: (2, "S", "I"), CORONAL: (1, "A", "P"), SAGITTAL: (0, "R", "L")}
"""The axis of RAS that a slice moves along, and the names of its two sides."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One view in a layout.

    Args:
        name: Of the view; the same name is the same view in every layout.
        orientation: Of a slice; None for 3D.
        title: What it is, such as ``Axial``.
        column: From 1.
        row: From 1.
        words: Whose and when, such as ``visit 3 · day 207 after treatment``; empty where it shows the selected visit.
        short: The same where there is little room.
        rows: How many rows it spans.
        visit: The visit that a click on its name goes to; None where it shows the selected one.
        risk: Of its visit, where tiles of several visits stand side by side.
        doubt: Why that risk is uncertain; empty where it is not.
    """

    name: str
    orientation: str | None
    title: str
    column: int
    row: int
    words: str = ""
    short: str = ""
    rows: int = 1
    visit: int | None = None
    risk: float | None = None
    doubt: str = ""

    def to_page(self) -> dict[str, Any]:
        """As the page wants it."""
        colour = None if self.risk is None else risk_colour(self.risk)
        return {
            "name": self.name,
            "slice": self.orientation is not None,
            "title": self.title,
            "words": self.words,
            "short": self.short,
            "risk": None if self.risk is None else numbers.percent(self.risk),
            "doubt": self.doubt,
            "colour": colour,
            "ink": None if colour is None else ink_on(colour),
            "area": f"{self.row} / {self.column} / span {self.rows} / span 1",
            "visit": self.visit,
        }


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A layout of tiles; ``columns`` and ``rows`` are CSS track lists."""

    tiles: tuple[Tile, ...]
    columns: str
    rows: str

    def slices(self) -> dict[str, str]:
        """Name -> orientation of its slice views."""
        return {tile.name: tile.orientation for tile in self.tiles if tile.orientation is not None}

    def three_d(self) -> list[str]:
        """Names of its 3D views."""
        return [tile.name for tile in self.tiles if tile.orientation is None]


def four_views(*, with_3d: bool) -> Grid:
    """Axial, coronal, sagittal and 3D; without 3D the axial slice takes its place."""
    places = (
        {AXIAL: (1, 1, 1), CORONAL: (1, 2, 1), SAGITTAL: (2, 2, 1)}
        if with_3d
        else {AXIAL: (1, 1, 2), CORONAL: (2, 1, 1), SAGITTAL: (2, 2, 1)}
    )
    tiles = [_slice(orientation, *place) for orientation, place in places.items()]
    if with_3d:
        tiles.append(_three_d(column=2, rows=1))
    return Grid(tiles=tuple(tiles), columns="1fr 1fr", rows="1fr 1fr")


def large_3d() -> Grid:
    """3D, and the three slices in a column beside it."""
    tiles = [_three_d(column=1, rows=3)]
    tiles += [_slice(orientation, 2, row) for row, orientation in enumerate(ORIENTATIONS, start=1)]
    return Grid(tiles=tuple(tiles), columns="3fr 1.15fr", rows="1fr 1fr 1fr")


def two_visits(first: SceneVisit, second: SceneVisit, *, with_difference: bool) -> Grid:
    """Two visits and their difference side by side, in axial and coronal slices."""
    difference = f"visit {second.number} less visit {first.number}"
    columns = [
        ("first", visit_title(first), short_title(first), first),
        ("second", visit_title(second), short_title(second), second),
        ("difference", difference, difference, None),
    ][: 3 if with_difference else 2]
    tiles = tuple(
        Tile(
            name=f"{part}_{orientation.lower()}",
            orientation=orientation,
            title="Difference" if part == "difference" else orientation,
            words=words,
            short=short,
            column=column,
            row=row,
            visit=None if visit is None else visit.number,
            risk=None if visit is None or row > 1 else visit.risk,
            doubt="" if visit is None or row > 1 else visit.certainty,
        )
        for column, (part, words, short, visit) in enumerate(columns, start=1)
        for row, orientation in enumerate((AXIAL, CORONAL), start=1)
    )
    return Grid(tiles=tiles, columns=f"repeat({len(columns)}, 1fr)", rows="1fr 1fr")


def all_visits(visits: Sequence[SceneVisit], orientation: str) -> Grid:
    """Every visit at the same place, oldest first."""
    shown = visits[-MOST_IN_ROW:]
    columns = columns_for(len(shown))
    tiles = tuple(
        Tile(
            name=f"row_{index + 1}",
            orientation=orientation,
            title=f"visit {visit.number}",
            words=day_words(visit),
            short=short_title(visit).split(" · ")[1],
            column=index % columns + 1,
            row=index // columns + 1,
            visit=visit.number,
            risk=visit.risk,
            doubt=visit.certainty,
        )
        for index, visit in enumerate(shown)
    )
    rows = math.ceil(len(shown) / columns)
    return Grid(tiles=tiles, columns=f"repeat({columns}, 1fr)", rows=f"repeat({rows}, 1fr)")


def columns_for(count: int) -> int:
    """Columns in which so many heads are largest, in an area a little wider than high."""
    return count if count <= 3 else math.ceil(math.sqrt(count))


def letters(slice_to_ras: FloatArray) -> dict[str, str]:
    """Sides of the patient at the edges of a slice, from where the slice really lies.

    Args:
        slice_to_ras: (4, 4) of the slice node, columns across, up and along the slice.
    """

    def side(direction: FloatArray) -> str:
        axis = int(np.argmax(np.abs(direction)))
        return _SIDES[axis][int(direction[axis] < 0)]

    across, up = slice_to_ras[:3, 0], slice_to_ras[:3, 1]
    return {"left": side(-across), "right": side(across), "top": side(up), "bottom": side(-up)}


def place_words(orientation: str, millimetres: float) -> str:
    """Where a slice lies, as ``S 40 mm``."""
    _, positive, negative = ALONG[orientation]
    rounded = round(millimetres)
    return f"{positive if rounded >= 0 else negative} {abs(rounded)}\u202fmm"


def _slice(orientation: str, column: int, row: int, rows: int = 1) -> Tile:
    return Tile(name=orientation.lower(), orientation=orientation, title=orientation, column=column, row=row, rows=rows)


def _three_d(*, column: int, rows: int) -> Tile:
    return Tile(name="three_d", orientation=None, title="3D", column=column, row=1, rows=rows)
