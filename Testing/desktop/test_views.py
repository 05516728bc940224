"""What the module does with Slicer's viewers: layouts, clicks on the chart, the strip of visits."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
import vtk

DAYS = (0.0, 91.0, 200.0, 700.0)


@pytest.fixture
def layouts(helper: Callable[[str], Any]) -> Any:
    return helper("layouts")


def views(description: str) -> list[tuple[str, str]]:
    """Class and singleton tag of every view of a layout."""
    return [(view.get("class"), view.get("singletontag")) for view in ET.fromstring(description).iter("view")]


def test_every_layout_shows_each_view_once_and_the_first_two_have_the_chart(layouts: Any, helper: Any) -> None:
    choices = helper("parameters").LayoutChoice
    shown = {choice: views(text) for choice, text in layouts.DESCRIPTIONS.items()}

    assert all(len(set(one)) == len(one) for one in shown.values())
    for choice in (choices.FOUR_UP, choices.VOLUME):
        assert ("vtkMRMLPlotViewNode", layouts.CHART_VIEW) in shown[choice]
        assert {tag for kind, tag in shown[choice] if kind == "vtkMRMLSliceNode"} == {"Red", "Green", "Yellow"}
        assert ("vtkMRMLViewNode", "1") in shown[choice]
    tags = {tag for _kind, tag in shown[choices.SIDE_BY_SIDE]}
    columns = (layouts.FIRST, layouts.SECOND, layouts.DIFFERENCE)
    assert tags == {layouts.side_by_side_tag(column, row) for column in columns for row in layouts.ROWS}


def test_layouts_are_registered_once_and_keep_slicer_s_own(layouts: Any) -> None:
    import slicer  # noqa: PLC0415

    node = slicer.vtkMRMLLayoutNode()
    own = node.GetLayoutDescription(node.SlicerLayoutFourUpView)
    layouts.register(node)
    layouts.register(node)

    for choice, identifier in layouts.IDENTIFIERS.items():
        assert identifier > 1000
        assert node.IsLayoutDescription(identifier)
        assert views(node.GetLayoutDescription(identifier)) == views(layouts.DESCRIPTIONS[choice])
    assert node.GetLayoutDescription(node.SlicerLayoutFourUpView) == own


def test_without_a_main_window_no_layout_is_switched_and_nothing_fails(layouts: Any, helper: Any) -> None:
    assert not layouts.switch_to(helper("parameters").LayoutChoice.FOUR_UP)
    assert layouts.shown() is None
    assert layouts.show_chart(object()) is None


class Chart:
    """A chart of four visits, drawn off the screen, with an interactor that tests move."""

    def __init__(self) -> None:
        self.view = vtk.vtkContextView()
        self.view.GetRenderWindow().SetOffScreenRendering(True)
        self.view.GetRenderWindow().SetSize(500, 300)
        self.chart = vtk.vtkChartXY()
        self.view.GetScene().AddItem(self.chart)
        table = vtk.vtkTable()
        for name, values in (("days", DAYS), ("risk", (0.05, 0.1, 0.3, 0.2))):
            column = vtk.vtkFloatArray()
            column.SetName(name)
            for value in values:
                column.InsertNextValue(value)
            table.AddColumn(column)
        self.chart.AddPlot(vtk.vtkChart.LINE).SetInputData(table, 0, 1)
        self.view.Render()
        self.interactor = self.view.GetInteractor()

    def place_of(self, day: float) -> tuple[int, int]:
        """Where a day lies, half way up."""
        bottom, left = self.chart.GetAxis(vtk.vtkAxis.BOTTOM), self.chart.GetAxis(vtk.vtkAxis.LEFT)
        low, high = bottom.GetUnscaledMinimum(), bottom.GetUnscaledMaximum()
        x = bottom.GetPoint1()[0] + (day - low) / (high - low) * (bottom.GetPoint2()[0] - bottom.GetPoint1()[0])
        return round(x), round((left.GetPoint1()[1] + left.GetPoint2()[1]) / 2)

    def press(self, place: tuple[int, int], release: tuple[int, int] | None = None) -> None:
        self.interactor.SetEventPosition(*place)
        self.interactor.InvokeEvent("LeftButtonPressEvent")
        self.interactor.SetEventPosition(*(release or place))
        self.interactor.InvokeEvent("LeftButtonReleaseEvent")


@pytest.fixture
def chart() -> Chart:
    return Chart()


@pytest.mark.parametrize(("day", "visit"), [(0, 1), (40, 1), (60, 2), (91, 2), (190, 3), (440, 3), (460, 4), (700, 4)])
def test_a_click_finds_the_nearest_visit_along_the_days(
    chart: Chart, helper: Callable[[str], Any], day: float, visit: int
) -> None:
    assert helper("chart_clicks").nearest_visit(chart.chart, chart.place_of(day), DAYS) == visit


def test_a_click_beside_the_axes_finds_none(chart: Chart, helper: Callable[[str], Any]) -> None:
    clicks = helper("chart_clicks")

    assert clicks.nearest_visit(chart.chart, (2, 2), DAYS) is None
    assert clicks.nearest_visit(chart.chart, chart.place_of(91), ()) is None


def test_a_click_goes_to_the_visit_and_a_drag_does_not(chart: Chart, helper: Callable[[str], Any]) -> None:
    gone_to: list[int] = []
    clicks = helper("chart_clicks").ChartClicks(gone_to.append, lambda: DAYS)
    clicks.listen(chart.interactor, chart.chart)
    chart.press(chart.place_of(200))
    chart.press(chart.place_of(200), chart.place_of(600))
    assert gone_to == [3]

    clicks.close()
    chart.press(chart.place_of(200))
    assert gone_to == [3]


class PlotView:
    """A qMRMLPlotView, as far as listening to it goes."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self.listeners: list[Any] = []

    def chart(self) -> Any:
        return self._chart.chart

    def scene(self) -> Any:
        return self._chart.view.GetScene()

    def connect(self, signal: str, call: Any) -> None:
        assert signal == "dataSelected(vtkStringArray*,vtkCollection*)"
        self.listeners.append(call)

    def disconnect(self, signal: str, call: Any) -> None:
        self.listeners.remove(call)


def test_a_chart_view_is_listened_to_once_and_let_go(chart: Chart, helper: Callable[[str], Any]) -> None:
    gone_to: list[int] = []
    clicks = helper("chart_clicks").ChartClicks(gone_to.append, lambda: DAYS)
    view = PlotView(chart)
    clicks.follow(view)
    clicks.follow(view)
    chart.press(chart.place_of(200))
    points, selections = vtk.vtkIdTypeArray(), vtk.vtkCollection()
    points.InsertNextValue(1)
    selections.AddItem(points)
    (listener,) = view.listeners
    listener(vtk.vtkStringArray(), selections)
    assert gone_to == [3, 2]

    clicks.follow(None)
    chart.press(chart.place_of(200))
    assert view.listeners == []
    assert gone_to == [3, 2]


def visits(*days: int) -> tuple[Any, ...]:
    from TemporalGliomaRisk.scene.scene_visit import SceneVisit  # noqa: PLC0415

    return tuple(
        SceneVisit(
            number=number,
            session_id=f"ses-{number:02d}",
            days_since_first=day,
            days_since_treatment=None,
            gap_days=None if number == 1 else day - days[number - 2],
            sequences=("FLAIR",),
            risk=number / (len(days) + 1),
        )
        for number, day in enumerate(days, start=1)
    )


def test_the_strip_is_as_wide_as_the_days_between_and_never_too_narrow_to_see(helper: Callable[[str], Any]) -> None:
    assert helper("risk_strip").gap_stretches(visits(0, 100, 120, 420)) == [33, 10, 100]
    assert helper("risk_strip").gap_stretches(visits(0)) == []


@pytest.mark.parametrize("count", [1, 2, 6, 8, 12, 24])
def test_a_strip_of_any_number_of_visits_fits_beside_the_panel_s_margins(
    helper: Callable[[str], Any], standin_slicer: Any, count: int
) -> None:
    import qt  # noqa: PLC0415

    chosen: list[int] = []
    frame = qt.QWidget()
    strip = helper("risk_strip").RiskStrip(frame, chosen.append)
    strip.show(visits(*range(0, 90 * count, 90)), 1)

    assert len(strip.buttons) == count
    assert frame.minimumSizeHint().width() <= 344
    strip.buttons[-1].click()
    assert chosen == [count]


@pytest.mark.parametrize("risk", [0.002, 0.88, 0.999])
def test_a_visit_s_number_risk_and_doubt_fit_into_its_button(
    helper: Callable[[str], Any], standin_slicer: Any, risk: float
) -> None:
    import dataclasses  # noqa: PLC0415
    import re  # noqa: PLC0415

    import qt  # noqa: PLC0415

    frame = qt.QWidget()
    strip = helper("risk_strip").RiskStrip(frame, lambda number: None)
    doubtful = [dataclasses.replace(one, risk=risk, uncertain_because=("one_visit_so_far",)) for one in visits(0, 204)]
    strip.show(doubtful, 1)
    font = qt.QFont(frame.font)
    font.setPixelSize(11)
    for button in strip.buttons:
        border = int(re.search(r"border: (\d)px", button.styleSheet)[1])
        lines = button.text.split("\n")
        assert max(qt.QFontMetrics(font).horizontalAdvance(line) for line in lines) <= button.width - 2 * border


def test_a_risk_has_the_colour_it_has_everywhere(helper: Callable[[str], Any], standin_slicer: Any) -> None:
    import qt  # noqa: PLC0415

    from TemporalGliomaRisk.colours import risk_colour  # noqa: PLC0415

    strip = helper("risk_strip").RiskStrip(qt.QWidget(), lambda number: None)
    strip.show(visits(0, 90), 2)

    assert risk_colour(1 / 3) in strip.buttons[0].styleSheet
    assert "palette(highlight)" in strip.buttons[1].styleSheet


@pytest.mark.parametrize("name", ["risk", "change"])
def test_the_map_s_scale_has_the_colours_that_the_map_is_drawn_in_and_none_under_its_text(
    helper: Callable[[str], Any], standin_slicer: Any, name: str
) -> None:
    import numpy as np  # noqa: PLC0415
    import qt  # noqa: PLC0415
    from PySide6 import QtWidgets  # noqa: PLC0415

    from TemporalGliomaRisk.colours import change_colours, heat_colours  # noqa: PLC0415
    from TemporalGliomaRisk.scene.settings import MapKind  # noqa: PLC0415

    kind = MapKind(name)
    sheet, text = helper("map_legend").legend(kind, 0.27, 0.25)
    label = qt.QLabel(text)
    label.setStyleSheet(sheet)
    label.resize(401, 30)
    picture = QtWidgets.QWidget.grab(label).toImage()
    drawn = np.array([picture.pixelColor(x, 4).getRgb()[:3] for x in range(401)], dtype=int)

    fractions = np.linspace(-1 if kind.is_change else 0, 1, 401)
    wanted = (change_colours if kind.is_change else heat_colours)(fractions).astype(int)
    shown = np.abs(fractions) >= 0.27
    np.testing.assert_allclose(drawn[shown], wanted[shown], atol=6)
    hidden = np.abs(fractions) <= 0.23
    assert np.ptp(drawn[hidden], axis=1).max() == 0  # grey
    background = label.palette.window().color().getRgb()[:3]
    assert picture.pixelColor(399, 12).getRgb()[:3] == background
