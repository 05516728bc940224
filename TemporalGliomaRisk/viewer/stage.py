"""The views of the present layout: what they show, how they are fitted, and where their slices lie."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from trame_slicer.core import SlicerApp

from TemporalGliomaRisk.scene.copies import Comparison, VisitRow
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.settings import MapKind
from TemporalGliomaRisk.scene.slices import fit
from TemporalGliomaRisk.scene.views import look_at_head
from TemporalGliomaRisk.scene.volumes import array_of
from TemporalGliomaRisk.timeline.volume import FloatArray
from TemporalGliomaRisk.viewer.compass import compass
from TemporalGliomaRisk.viewer.layouts import (
    ALONG,
    AXIAL,
    COMPARE,
    CORONAL,
    FOUR,
    MOST_IN_ROW,
    ROW,
    SAGITTAL,
    THREE_D,
    Grid,
    all_visits,
    four_views,
    large_3d,
    letters,
    place_words,
    two_visits,
)
from TemporalGliomaRisk.viewer.views import Views

_MARGIN = 1.12
"""Room around the head, for the letters at the edges."""


class Stage:
    """Arranges Slicer's views for a patient.

    Args:
        server: trame's server, whose state tells the page.
        host: Slicer's scene and application logic.
        with_3d: Whether 3D can be drawn on this computer.
    """

    def __init__(self, server: Any, host: SlicerApp, *, with_3d: bool) -> None:
        self._server = server
        self.with_3d = with_3d
        self._views = Views(
            server,
            host,
            with_opengl=with_3d,
            changed=self._slice_moved,
            resized=self._fit,
            stepped=self.step_slice,
            turned=self._camera_moved,
        )
        self._patient: PatientScene | None = None
        self._grid = Grid(tiles=(), columns="1fr", rows="1fr")
        self._copies: Comparison | VisitRow | None = None
        self._key: tuple[Any, ...] = ()
        self._fitted_for: PatientScene | None = None
        self._fitted: dict[str, str] = {}
        self._moved: set[str] = set()
        self._camera: Any = None

    def set_patient(self, patient: PatientScene | None) -> None:
        """Another patient, or the same with other nodes: whatever was arranged is not any more."""
        self.leave()
        self._patient = patient
        if patient is not None and patient is not self._fitted_for:
            self._fitted_for, self._fitted = patient, {}

    def leave(self) -> None:
        """Give back the nodes that a layout of several visits made."""
        copies, self._copies, self._key = self._copies, None, ()
        if copies is not None:
            copies.close()

    def arrange(self, layout: str, visit: int, compare_with: int, orientation: str) -> None:
        """Show a layout.

        Args:
            layout: One of the layouts' names.
            visit: The selected one.
            compare_with: The other one, for two side by side.
            orientation: Of the slices of "All visits".
        """
        patient = self._patient
        if patient is None:
            return
        first, second = sorted((visit, compare_with))
        grids: dict[str, Callable[[], Grid]] = {
            FOUR: lambda: four_views(with_3d=self.with_3d),
            THREE_D: large_3d,
            COMPARE: lambda: two_visits(
                patient.visits[first - 1], patient.visits[second - 1], with_difference=bool(patient.map_kinds)
            ),
            ROW: lambda: all_visits(patient.visits, orientation),
        }
        grid = grids[layout]()
        key = {COMPARE: (COMPARE, first, second), ROW: (ROW,)}.get(layout, ())
        place = self.place()
        if key != self._key:
            self.leave()
        self._grid = grid
        self._views.show(grid.slices(), grid.three_d())
        if key and key != self._key:
            self._show_copies(layout, first, second)
            self._key = key
        # A view that stays keeps the reader's zoom and pan.
        for name, seen in grid.slices().items():
            if self._fitted.get(name) != seen:
                self._fit(name)
        self._fitted = grid.slices()
        if place is not None:
            self.go_to(place)

    def visits_of_slices(self, selected: int) -> dict[str, int]:
        """Slice view -> number of the visit it shows; a difference belongs to neither of its two."""
        differences = {tile.name for tile in self._grid.tiles if tile.name.startswith("difference")}
        return {
            tile.name: tile.visit or selected
            for tile in self._grid.tiles
            if tile.orientation is not None and tile.name not in differences
        }

    def tell(self, layout: str) -> None:
        """Tell the page how a layout's views stand, and its name with them: it never shows one layout as another."""
        with self._server.state as state:
            state.shown_layout = layout
            state.grid = {
                "tiles": [tile.to_page() for tile in self._grid.tiles],
                "columns": self._grid.columns,
                "rows": self._grid.rows,
            }
        self._tell_slices(self._grid.slices())

    def _show_copies(self, layout: str, first: int, second: int) -> None:
        patient = self._patient
        if patient is None:
            return
        nodes = {tile.name: self._views.slice_node(tile.name) for tile in self._grid.tiles if tile.orientation}
        if layout == ROW:
            row = patient.row([visit.number for visit in patient.visits[-MOST_IN_ROW:]])
            row.show(list(nodes.values()))
            self._copies = row
            return
        comparison = patient.compare(first, second)
        comparison.show(
            **{
                part: [node for name, node in nodes.items() if name.startswith(part)]
                for part in ("first", "second", "difference")
            }
        )
        self._copies = comparison

    @property
    def difference_kind(self) -> MapKind | None:
        """The kind of map in whose scale a difference of two visits is drawn; None where none is shown."""
        return self._copies.difference_kind if isinstance(self._copies, Comparison) else None

    # Where slices lie

    def place(self) -> FloatArray | None:
        """(3,), world RAS, mm, where the slices of the present layout cross; None before there are any."""
        place, found = np.zeros(3), False
        for name, orientation in self._grid.slices().items():
            axis = ALONG[orientation][0]
            place[axis] = self._offset(name, axis)
            found = True
        if not found:
            return None
        # A layout without one of the orientations keeps the place where that one was last.
        for name, orientation in ((AXIAL.lower(), AXIAL), (CORONAL.lower(), CORONAL), (SAGITTAL.lower(), SAGITTAL)):
            if orientation not in self._grid.slices().values() and name in self._views.names():
                place[ALONG[orientation][0]] = self._offset(name, ALONG[orientation][0])
        return place

    def go_to(self, ras: Sequence[float] | FloatArray) -> None:
        """Jump every slice to a place (3,) in world RAS, mm."""
        if self._patient is not None:
            self._patient.go_to(ras, [self._views.slice_node(name) for name in self._views.slice_names()])
            self._views.draw()

    def set_slice(self, name: str, offset_mm: float) -> None:
        """Move one slice to where its slider is."""
        if name in self._grid.slices():
            for other in self._together(name):
                self._views.slice(other).set_slice_value(float(offset_mm))

    def step_slice(self, name: str, steps: int) -> None:
        """Move a slice by steps of its volume's spacing; the first slice where the name is no slice's."""
        slices = self._grid.slices()
        chosen = name if name in slices else next(iter(slices), None)
        if chosen is not None:
            view = self._views.slice(chosen)
            self.set_slice(chosen, view.get_slice_value() + steps * view.get_slice_step())

    def look_from_the_side_of(self, ras: FloatArray) -> None:
        """Turn the 3D views so that a place (3,) in world RAS, mm, is on the near side, and the head fills them."""
        if self._patient is None:
            return
        centre, size = self._patient.head_box()
        for view in self._views.three_d():
            look_at_head(view.get_camera_node(), centre, size, ras)
            view.renderer().ResetCameraClippingRange()
            view.schedule_render()

    def expect_slow_3d(self) -> None:
        """Something else is shown in 3D from now on, such as volumes in place of surfaces."""
        self._views.expect_slow_3d()

    def draw(self, *, with_3d: bool = True) -> None:
        """Draw the present layout again, its 3D views or without them."""
        self._views.draw(with_3d=with_3d)

    async def close(self) -> None:
        """Give everything back."""
        self.leave()
        await self._views.close()

    def _together(self, name: str) -> list[str]:
        """The slices that move with one: all of its orientation where several visits are shown."""
        slices = self._grid.slices()
        return [other for other, orientation in slices.items() if orientation == slices[name]]

    def _offset(self, name: str, axis: int) -> float:
        return float(self._views.slice_node(name).GetSliceToRAS().GetElement(axis, 3))

    def _fit(self, name: str) -> None:
        """Make a slice view hold the head, in the same scale as every other view of its size."""
        orientation = self._grid.slices().get(name)
        if self._patient is None or orientation is None:
            return
        centre, size = self._patient.head_box()
        fit(self._views.slice_node(name), centre, _MARGIN * size)

    def _slice_moved(self, name: str) -> None:
        """Tell the page once, after everything that one cause moved."""
        if not self._moved:
            asyncio.get_running_loop().call_soon(self._tell_moved)
        self._moved.add(name)

    def _camera_moved(self, camera: Any) -> None:
        """Tell the page once where the patient's sides are, after everything that one cause moved."""
        if self._camera is None:
            asyncio.get_running_loop().call_soon(self._tell_camera)
        self._camera = camera

    def _tell_camera(self) -> None:
        camera, self._camera = self._camera, None
        with self._server.state as state:
            state.compass = compass(camera.GetPosition(), camera.GetFocalPoint(), camera.GetViewUp())

    def _tell_moved(self) -> None:
        names, self._moved = self._moved, set()
        self._tell_slices({name: kind for name, kind in self._grid.slices().items() if name in names})

    def _tell_slices(self, slices: dict[str, str]) -> None:
        with self._server.state as state:
            state.slices = {**state.slices, **{name: self._slice_words(name, slices[name]) for name in slices}}

    def _slice_words(self, name: str, orientation: str) -> dict[str, Any]:
        view = self._views.slice(name)
        least, most = view.get_slice_range()
        return {
            "value": round(view.get_slice_value(), 2),
            "least": round(least, 2),
            "most": round(most, 2),
            "step": round(view.get_slice_step(), 3),
            "place": place_words(orientation, self._offset(name, ALONG[orientation][0])),
            "letters": letters(array_of(self._views.slice_node(name).GetSliceToRAS())),
        }
