"""Slice views for a computer without OpenGL: Slicer's blended slice itself, drawn by no graphics library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from trame_slicer.core import SlicerApp

from TemporalGliomaRisk.scene.slices import slice_pixels


class PlainSliceView:
    """What the stage uses of trame-slicer's SliceView, without a window behind it.

    Args:
        host: Slicer's scene and application logic.
        name: Of the view.
    """

    def __init__(self, host: SlicerApp, name: str) -> None:
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(host.app_logic)
        host.app_logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(host.scene)
        self._node = self.logic.AddSliceNode(name)
        self._blocked = False
        self._strategy: Any = None
        self.logic.AddObserver("ModifiedEvent", self.schedule_render)
        self._node.AddObserver("ModifiedEvent", self.schedule_render)

    def get_view_node(self) -> Any:
        """The vtkMRMLSliceNode."""
        return self._node

    def get_orientation(self) -> str:
        """Axial, Coronal or Sagittal."""
        return str(self._node.GetOrientation())

    def set_orientation(self, orientation: str) -> None:
        """Axial, Coronal or Sagittal."""
        self._node.SetOrientation(orientation)

    def get_slice_value(self) -> float:
        """Place along the slice's normal, mm."""
        return float(self.logic.GetSliceOffset())

    def set_slice_value(self, offset_mm: float) -> None:
        """Move along the slice's normal."""
        self.logic.SetSliceOffset(offset_mm)

    def get_slice_range(self) -> tuple[float, float]:
        """Ends of the volume along the slice's normal, mm."""
        return self._range_and_step()[0]

    def get_slice_step(self) -> float:
        """Spacing of the volume along the slice's normal, mm."""
        return self._range_and_step()[1]

    def set_mapped_in_layout(self, mapped: bool) -> None:
        """Whether the present layout shows it."""
        self._node.SetMappedInLayout(mapped)

    def set_render_blocked(self, blocked: bool) -> None:
        """Whether it is drawn at all."""
        self._blocked = blocked
        self.schedule_render()

    def set_scheduled_render(self, strategy: Any) -> None:
        """Who draws it when something changed."""
        self._strategy = strategy

    def schedule_render(self, *_: Any) -> None:
        """Something changed."""
        if self._strategy is not None and not self._blocked:
            self._strategy.schedule_render()

    def finalize(self) -> None:
        """There is no window to give back."""

    def _range_and_step(self) -> tuple[tuple[float, float], float]:
        ends, step = [-1.0, -1.0], vtk.reference(1.0)
        if not self.logic.GetSliceOffsetRangeResolution(ends, step):
            return (0.0, 1.0), 0.1
        return (float(ends[0]), float(ends[1])), float(step.get())


class PlainSliceArea:
    """The same view as trame-rca drives it.

    Args:
        view: The view.
        stepped: Called with the number of slices when the wheel turns.
    """

    def __init__(self, view: PlainSliceView, stepped: Callable[[int], None]) -> None:
        self._view = view
        self._stepped = stepped
        self.resized: Callable[[], None] = lambda: None

    @property
    def img_cols_rows(self) -> tuple[npt.NDArray[np.uint8], int, int]:
        """The picture, (rows, columns, 3), and its columns and rows."""
        pixels = np.ascontiguousarray(slice_pixels(self._view.logic))
        return pixels, pixels.shape[1], pixels.shape[0]

    def process_resize_event(self, width: int, height: int) -> None:
        """The page gave the view another size."""
        self._view.logic.ResizeSliceNode(width, height)
        self.resized()

    def process_interaction_event(self, event: dict[str, Any]) -> None:
        """The wheel moves the slice; there is nothing else to turn or draw here."""
        if event.get("type") == "MouseWheel" and event.get("spinY"):
            self._stepped(1 if event["spinY"] < 0 else -1)
