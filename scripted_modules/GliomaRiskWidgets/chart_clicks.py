"""A click on the risk chart goes to the nearest visit, whatever the chart's own mouse mode is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import vtk

SELECTED = "dataSelected(vtkStringArray*,vtkCollection*)"
"""Signal of a qMRMLPlotView: the series, and an array of picked points for each."""
STILL_PX = 4
"""A press and release closer than this is a click, not a pan or a zoom."""


def nearest_visit(chart: Any, position_px: tuple[int, int], days: Sequence[float]) -> int | None:
    """Number of the visit nearest to a place in a chart, along its axis of days; None outside the axes.

    Args:
        chart: A vtkChartXY that was drawn at least once.
        position_px: From the lower left corner of its view.
        days: Of every visit, as on the axis.
    """
    bottom, left = chart.GetAxis(vtk.vtkAxis.BOTTOM), chart.GetAxis(vtk.vtkAxis.LEFT)
    (x_low, y_low), (x_high, _) = bottom.GetPoint1(), bottom.GetPoint2()
    y_high = left.GetPoint2()[1]
    x, y = position_px
    if not days or x_high <= x_low or not (x_low <= x <= x_high and y_low <= y <= max(y_high, y_low)):
        return None
    low, high = bottom.GetUnscaledMinimum(), bottom.GetUnscaledMaximum()
    day = low + (high - low) * (x - x_low) / (x_high - x_low)
    return min(range(len(days)), key=lambda index: abs(days[index] - day)) + 1


class ChartClicks:
    """Listens to the clicks on one chart view.

    Args:
        clicked: Told the visit's number.
        days: Of every visit, asked for at each click.
    """

    def __init__(self, clicked: Callable[[int], None], days: Callable[[], Sequence[float]]) -> None:
        self._clicked = clicked
        self._days = days
        self._interactor: Any = None
        self._chart: Any = None
        self._tags: list[int] = []
        self._pressed_px: tuple[int, int] | None = None
        self._view: Any = None

    def follow(self, plot_view: Any) -> None:
        """Listen to a chart view (a qMRMLPlotView) from now on; None listens to nothing."""
        interactor = None
        if plot_view is not None:
            renderer = plot_view.scene().GetRenderer()
            window = None if renderer is None else renderer.GetRenderWindow()
            interactor = None if window is None else window.GetInteractor()
        if plot_view is not None and self._view is not None and interactor is self._interactor:
            return
        self.close()
        if plot_view is None:
            return
        self._view = plot_view
        plot_view.connect(SELECTED, self._on_selected)
        if interactor is not None:
            self.listen(interactor, plot_view.chart())

    def listen(self, interactor: Any, chart: Any) -> None:
        """Listen to an interactor whose window shows a chart."""
        self._interactor, self._chart = interactor, chart
        self._tags = [
            interactor.AddObserver(vtk.vtkCommand.LeftButtonPressEvent, self._on_press, 1.0),
            interactor.AddObserver(vtk.vtkCommand.LeftButtonReleaseEvent, self._on_release, 1.0),
        ]

    def close(self) -> None:
        """Listen no more."""
        for tag in self._tags:
            self._interactor.RemoveObserver(tag)
        self._tags = []
        if self._view is not None:
            self._view.disconnect(SELECTED, self._on_selected)
        self._interactor = self._chart = self._pressed_px = self._view = None

    def _on_selected(self, series: Any, selections: Any) -> None:
        """A point was picked by the chart's own selection, which the reader may have switched on."""
        for index in range(selections.GetNumberOfItems()):
            points = selections.GetItemAsObject(index)
            if points is not None and points.GetNumberOfValues() > 0:
                # A row of the table a visit.
                self._clicked(int(points.GetValue(0)) + 1)
                return

    def _on_press(self, interactor: Any, event: str) -> None:
        self._pressed_px = tuple(interactor.GetEventPosition())

    def _on_release(self, interactor: Any, event: str) -> None:
        pressed, self._pressed_px = self._pressed_px, None
        now = tuple(interactor.GetEventPosition())
        if pressed is None or max(abs(now[0] - pressed[0]), abs(now[1] - pressed[1])) > STILL_PX:
            return
        visit = nearest_visit(self._chart, now, self._days())
        if visit is not None:
            self._clicked(visit)
