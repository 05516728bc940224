"""Visits with nodes of their own, for layouts that show several at once.

They share voxels with the sequences and are not saved with the scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.maps import difference
from TemporalGliomaRisk.scene.record import SceneRecord, remove_nodes
from TemporalGliomaRisk.scene.settings import DisplaySettings, MapKind
from TemporalGliomaRisk.scene.showing import shown_window, style_map, window_of
from TemporalGliomaRisk.scene.slices import HELD, composite_of, set_layers
from TemporalGliomaRisk.scene.visit_sequences import GREY, MAPS
from TemporalGliomaRisk.scene.volumes import is_empty, set_volume, volume_of, world_from_node


@dataclass(kw_only=True)
class VisitCopy:
    """One visit's nodes, apart from the browser's.

    Args:
        number: Of the visit, from 1.
        volume: vtkMRMLScalarVolumeNode of the sequence shown; None where the visit lacks it.
        map: Of the kind shown; None where the visit lacks it.
    """

    number: int
    volume: Any = None
    map: Any = None


class _Copies:
    """Nodes apart from the browser's, the slice views that show them, and the settings they follow."""

    def __init__(self, record: SceneRecord, display: DisplaySettings) -> None:
        self._record = record
        self._display = display
        self._nodes: dict[str, Any] = {}
        self._windows: dict[str, tuple[float, float]] = {}
        self._held: list[tuple[Any, Callable[[], tuple[Any, Any]]]] = []
        self._when_closed: Callable[[], None] | None = None
        self._open = True

    def on_close(self, call: Callable[[], None]) -> None:
        """Be told when it is closed."""
        self._when_closed = call

    def close(self) -> None:
        """Remove all its nodes and give the slice views back; a second time nothing."""
        if not self._open:
            return
        self._open = False
        for composite, _ in self._held:
            if composite.GetScene() is not None:
                set_layers(composite, None, None, 0.0)
                composite.RemoveAttribute(HELD)
        self._held.clear()
        remove_nodes(self._record.scene, list(self._nodes.values()))
        self._nodes.clear()
        if self._when_closed is not None:
            self._when_closed()

    def apply(self, display: DisplaySettings) -> None:
        """Follow the patient's display settings."""
        self._display = display
        self._refresh()
        for composite, layers in self._held:
            background, foreground = layers()
            set_layers(composite, background, foreground, display.opacity)

    def _refresh(self) -> None:
        raise NotImplementedError

    def _hold(self, slice_nodes: Iterable[Any], layers: Callable[[], tuple[Any, Any]]) -> None:
        """Take slice views and show layers in them until closed."""
        for slice_node in slice_nodes:
            composite = composite_of(self._record.scene, slice_node)
            if composite is None:
                raise InputError("A slice view without layers of its own cannot show a visit.")
            composite.SetAttribute(HELD, self._record.node.GetID())
            composite.SetLinkedControl(1)
            self._held.append((composite, layers))
            background, foreground = layers()
            set_layers(composite, background, foreground, self._display.opacity)

    def _item(self, role: str, number: int) -> Any:
        """A visit's item of a sequence; None where it has none."""
        sequence = self._record.find(role)
        value = self._record.find("visits").GetNthIndexValue(number - 1)
        return None if sequence is None else sequence.GetDataNodeAtValue(value, True)

    def _add(self, key: str, class_name: str) -> Any:
        node = self._record.scene.AddNewNodeByClass(class_name, f"{self._record.label} {key}")
        node.SetSaveWithScene(False)
        node.SetHideFromEditors(True)
        self._nodes[key] = node
        return node

    def _place(self, what: str, number: int) -> Any:
        key = f"visit {number} {what} place"
        if key not in self._nodes:
            item = self._item(f"place.{what}", number)
            self._add(key, "vtkMRMLLinearTransformNode").CopyContent(item)
        return self._nodes[key]

    def _volume(self, number: int) -> Any:
        """A visit's volume of the sequence shown, in its window."""
        sequence = self._display.sequence
        item, key = self._item(f"volume.{sequence}", number), f"visit {number} {sequence}"
        automatic = window_of(self._record, sequence, number)
        if item is None or automatic is None:
            return None
        if key not in self._nodes:
            self._copy_volume(key, item, self._place(sequence, number))
        shown = self._nodes[key].GetDisplayNode()
        shown.SetAutoWindowLevel(0)
        shown.SetAndObserveColorNodeID(GREY)
        window = shown_window(automatic, self._display)
        if self._windows.get(key) != window:
            self._windows[key] = window  # one that the reader set by hand stays until another is asked for
            shown.SetWindowLevelMinMax(*window)
        return self._nodes[key]

    def _map(self, number: int, kind: MapKind | None) -> Any:
        """A visit's map of a kind, in the patient's colours."""
        item = None if kind is None else self._item(f"map.{kind.value}", number)
        if kind is None or is_empty(item):
            return None
        key = f"visit {number} {kind.label}"
        if key not in self._nodes:
            self._copy_volume(key, item, self._place(MAPS, number))
        style_map(self._nodes[key].GetDisplayNode(), self._record, kind, self._display)
        return self._nodes[key]

    def _copy_volume(self, key: str, item: Any, place: Any) -> None:
        node = self._add(key, "vtkMRMLScalarVolumeNode")
        node.CopyContent(item, False)
        node.SetAndObserveTransformNodeID(place.GetID())
        self._own_display(node)

    def _own_display(self, node: Any) -> None:
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetSaveWithScene(False)


class Comparison(_Copies):
    """Two visits side by side; the difference of their risk maps lies on the second one's grid.

    Args:
        record: Of the patient.
        first: Number of the one visit.
        second: Of the other.
        display: Settings to follow.
    """

    def __init__(self, record: SceneRecord, first: int, second: int, display: DisplaySettings) -> None:
        super().__init__(record, display)
        self.first = VisitCopy(number=first)
        self.second = VisitCopy(number=second)
        self.difference: Any = None
        """vtkMRMLScalarVolumeNode, hazard per mL of the second less that of the first; None without both maps."""
        self._refresh()
        self._subtract()

    def show(self, *, first: Iterable[Any] = (), second: Iterable[Any] = (), difference: Iterable[Any] = ()) -> None:
        """Show them in slice nodes, which are linked and belong to this comparison until it is closed."""
        self._hold(first, lambda: (self.first.volume, self.first.map))
        self._hold(second, lambda: (self.second.volume, self.second.map))
        self._hold(difference, lambda: (self.second.volume, self.difference))

    def _refresh(self) -> None:
        for visit in (self.first, self.second):
            visit.volume = self._volume(visit.number)
            visit.map = self._map(visit.number, self._display.map_kind)
        if self.difference is not None:
            self._style_difference()

    @property
    def difference_kind(self) -> MapKind | None:
        """The kind of map in whose colours and scale the difference is drawn; None without a difference."""
        if self.difference is None:
            return None
        kinds = self._record.get("map_kinds")
        return MapKind.CHANGE_FROM_FIRST if MapKind.CHANGE_FROM_FIRST.value in kinds else MapKind.CHANGE

    def _subtract(self) -> None:
        maps = [self._map(visit.number, MapKind.RISK) for visit in (self.first, self.second)]
        if maps[0] is None or maps[1] is None or self._record.find("change colours") is None:
            return
        later_to_earlier = np.linalg.inv(world_from_node(maps[0])) @ world_from_node(maps[1])
        earlier, later = (volume_of(node, in_world=False) for node in maps)
        self.difference = self._add(
            f"risk of visit {self.second.number} less visit {self.first.number}", "vtkMRMLScalarVolumeNode"
        )
        set_volume(self.difference, difference(later, earlier, later_to_earlier))
        self.difference.SetAndObserveTransformNodeID(self._place(MAPS, self.second.number).GetID())
        self._own_display(self.difference)
        self._style_difference()

    def _style_difference(self) -> None:
        kind = self.difference_kind
        if kind is not None:
            style_map(self.difference.GetDisplayNode(), self._record, kind, self._display)


class VisitRow(_Copies):
    """Every visit at the same place.

    Args:
        record: Of the patient.
        numbers: Of the visits.
        display: Settings to follow.
    """

    def __init__(self, record: SceneRecord, numbers: Sequence[int], display: DisplaySettings) -> None:
        super().__init__(record, display)
        self.visits = tuple(VisitCopy(number=number) for number in numbers)
        self._refresh()

    def show(self, slice_nodes: Iterable[Any]) -> None:
        """Show one visit in each slice node, linked; they belong to this row until it is closed.

        Raises:
            InputError: If there are not as many slice nodes as visits.
        """
        nodes = list(slice_nodes)
        if len(nodes) != len(self.visits):
            raise InputError(f"A row of {len(self.visits)} visits needs as many slice views, got {len(nodes)}.")
        for node, visit in zip(nodes, self.visits, strict=True):
            self._hold([node], lambda visit=visit: (visit.volume, visit.map))  # type: ignore[misc]

    def _refresh(self) -> None:
        for visit in self.visits:
            visit.volume = self._volume(visit.number)
            visit.map = self._map(visit.number, self._display.map_kind)
