"""The module's own arrangements of Slicer's viewers, known to the layout node from the start of Slicer on.

A saved scene may name one of them, and is loaded before the panel is opened.
"""

from __future__ import annotations

from typing import Any

import slicer

from .parameters import LayoutChoice

IDENTIFIERS = {LayoutChoice.FOUR_UP: 7301, LayoutChoice.VOLUME: 7302, LayoutChoice.SIDE_BY_SIDE: 7303}
"""Slicer's own identifiers lie below 100; no other extension is known to use these."""

CHART_VIEW = "PlotView1"
FIRST, SECOND, DIFFERENCE = "GliomaRiskFirst", "GliomaRiskSecond", "GliomaRiskDifference"
ROWS = ("Axial", "Coronal")
"""Orientations of the views side by side, from above."""

_COLOURS = {"Red": "#F34A33", "Green": "#6EB04B", "Yellow": "#EDD54C", FIRST: "#6f93c8", SECOND: "#dc9c42"}


def _slice(tag: str, orientation: str, label: str) -> str:
    colour = next((colour for name, colour in _COLOURS.items() if tag.startswith(name)), "#9a9a9a")
    return (
        f'<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
        f'<property name="orientation" action="default">{orientation}</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{colour}</property></view></item>'
    )


def _split(direction: str, *items: str) -> str:
    return f'<layout type="{direction}" split="true">{"".join(items)}</layout>'


def _item(content: str, size: int) -> str:
    return f'<item splitSize="{size}">{content}</item>'


RED, GREEN, YELLOW = _slice("Red", "Axial", "R"), _slice("Green", "Coronal", "G"), _slice("Yellow", "Sagittal", "Y")
_VOLUME_VIEW = (
    '<view class="vtkMRMLViewNode" singletontag="1"><property name="viewlabel" action="default">1</property></view>'
)
_CHART = (
    f'<view class="vtkMRMLPlotViewNode" singletontag="{CHART_VIEW}">'
    '<property name="viewlabel" action="default">P</property></view>'
)


def side_by_side_tag(column: str, orientation: str) -> str:
    """Singleton tag of a slice view of the layout side by side."""
    return f"{column}{orientation}"


def _side_by_side() -> str:
    labels = {FIRST: "1st", SECOND: "2nd", DIFFERENCE: "±"}
    rows = [
        _split("horizontal", *[_slice(side_by_side_tag(name, row), row, labels[name] + row[0]) for name in labels])
        for row in ROWS
    ]
    return _split("vertical", *[_item(row, 500) for row in rows])


DESCRIPTIONS = {
    LayoutChoice.FOUR_UP: _split(
        "vertical",
        _item(
            _split(
                "vertical",
                _item(_split("horizontal", RED, f"<item>{_VOLUME_VIEW}</item>"), 500),
                _item(_split("horizontal", GREEN, YELLOW), 500),
            ),
            760,
        ),
        _item(_CHART, 240),
    ),
    LayoutChoice.VOLUME: _split(
        "vertical",
        _item(_split("horizontal", _item(_VOLUME_VIEW, 760), _item(_split("vertical", RED, GREEN, YELLOW), 240)), 760),
        _item(_CHART, 240),
    ),
    LayoutChoice.SIDE_BY_SIDE: _side_by_side(),
}


def register(layout_node: Any) -> None:
    """Make the layouts known; does nothing for those that are."""
    for choice, identifier in IDENTIFIERS.items():
        if not layout_node.IsLayoutDescription(identifier):
            layout_node.AddLayoutDescription(identifier, DESCRIPTIONS[choice])


def switch_to(choice: LayoutChoice) -> bool:
    """Arrange the viewers; False where there are none (no main window) or Slicer's own layout is to stay."""
    manager = slicer.app.layoutManager()
    if manager is None or choice not in IDENTIFIERS:
        return False
    register(manager.layoutLogic().GetLayoutNode())
    manager.setLayout(IDENTIFIERS[choice])
    return True


def shown() -> LayoutChoice | None:
    """Which of ours is on, AS_IT_IS for any other, None without a main window."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return None
    choices = {identifier: choice for choice, identifier in IDENTIFIERS.items()}
    return choices.get(manager.layoutLogic().GetLayoutNode().GetViewArrangement(), LayoutChoice.AS_IT_IS)


def slice_nodes(column: str, scene: Any) -> list[Any]:
    """The slice nodes of a column of the layout side by side, linked; those that were never shown are missing."""
    tags = [side_by_side_tag(column, row) for row in ROWS]
    nodes = [scene.GetSingletonNode(tag, "vtkMRMLSliceNode") for tag in tags]
    return [node for node in nodes if node is not None]


def link(nodes: list[Any]) -> None:
    """Let views of one orientation move together, also while a slider is dragged."""
    for node in nodes:
        logic = slicer.app.applicationLogic().GetSliceLogic(node)
        if logic is not None:
            composite = logic.GetSliceCompositeNode()
            composite.SetLinkedControl(True)
            composite.SetHotLinkedControl(True)


def show_chart(chart: Any) -> Any:
    """Put a chart into the chart view of a layout of ours; that view's Qt widget, None where none is shown."""
    manager = slicer.app.layoutManager()
    if manager is None or chart is None or shown() is LayoutChoice.AS_IT_IS:
        return None
    for index in range(manager.plotViewCount):
        widget = manager.plotWidget(index)
        node = widget.mrmlPlotViewNode()
        if node is not None and node.GetSingletonTag() == CHART_VIEW:
            if node.GetPlotChartNodeID() != chart.GetID():
                node.SetPlotChartNodeID(chart.GetID())
            return widget.plotView()
    return None
