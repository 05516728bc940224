"""Display settings carried out on a patient's nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from TemporalGliomaRisk.scene.colour_nodes import add_colours, fill_colour_node
from TemporalGliomaRisk.scene.hierarchy import put_below
from TemporalGliomaRisk.scene.record import SceneRecord
from TemporalGliomaRisk.scene.settings import AUTOMATIC, DisplaySettings, MapKind
from TemporalGliomaRisk.scene.slices import HELD, nodes_of_class, set_layers
from TemporalGliomaRisk.scene.three_d import hide_3d, show_3d
from TemporalGliomaRisk.scene.visit_sequences import make_proxies


def shown_window(automatic: tuple[float, float], display: DisplaySettings) -> tuple[float, float]:
    """Intensities of black and white, from a visit's automatic window and the reader's parts of it."""
    low, high = automatic
    black, white = display.window or AUTOMATIC
    return low + black * (high - low), low + white * (high - low)


def window_of(record: SceneRecord, sequence: str, visit_number: int) -> tuple[float, float] | None:
    """Automatic window of a visit; None where it lacks the sequence."""
    window = record.get("windows")[sequence][visit_number - 1]
    return None if window is None else (float(window[0]), float(window[1]))


def set_windows(record: SceneRecord, display: DisplaySettings) -> None:
    """Give every visit's greys the same parts of its own automatic window.

    Only where they are others than those last given: a window that a reader set by hand at a visit stays.
    """
    parts = list(display.window or AUTOMATIC)
    if record.get("window_parts") == parts:
        return
    record.put("window_parts", parts)
    browser = record.find("browser")
    selected = browser.GetSelectedItemNumber() + 1
    for sequence, windows in record.get("windows").items():
        items = record.find(f"window.{sequence}")
        values = record.find("visits")
        for number, automatic in enumerate(windows, start=1):
            if automatic is None:
                continue
            low, high = shown_window((automatic[0], automatic[1]), display)
            value = values.GetNthIndexValue(number - 1)
            items.GetDataNodeAtValue(value, True).SetWindowLevelMinMax(low, high)
            if number == selected:
                record.find(f"proxy.window.{sequence}").SetWindowLevelMinMax(low, high)


def style_map(shown: Any, record: SceneRecord, kind: MapKind, display: DisplaySettings) -> None:
    """Give a map's display node the fixed scale and the threshold, as the settings say."""
    top = float(record.get("tops")[kind.value])
    modifying = shown.StartModify()
    shown.SetAutoWindowLevel(0)
    shown.SetInterpolate(1)
    shown.SetAndObserveColorNodeID(record.find("change colours" if kind.is_change else "risk colours").GetID())
    shown.SetWindowLevelMinMax(-top if kind.is_change else 0.0, top)
    # A change is hidden around zero by its colours; a display node can only hide what lies outside a range.
    least = -2 * top if kind.is_change else max(display.threshold * top, 1e-12)
    shown.SetAutoThreshold(0)
    shown.SetThreshold(least, 2 * top)
    shown.SetApplyThreshold(1)
    shown.EndModify(modifying)


def show(record: SceneRecord, display: DisplaySettings) -> None:
    """Show a patient as the settings say: windows, maps, slice views, 3D views, peaks.

    Nodes of the selected visit that a reader deleted are made again.

    Raises:
        InputError: If a whole sequence of the patient was deleted.
    """
    for node in (*make_proxies(record), *add_colours(record)):
        put_below(record, node)
    set_windows(record, display)
    for value in record.get("map_kinds"):
        style_map(record.find(f"proxy.map.{value}").GetDisplayNode(), record, MapKind(value), display)
    changes = record.find("change colours")
    if changes is not None and changes.GetAttribute("threshold") != str(display.threshold):
        fill_colour_node(changes, is_change=True, threshold=display.threshold)
        changes.SetAttribute("threshold", str(display.threshold))
    background = record.find(f"proxy.volume.{display.sequence}")
    foreground = None if display.map_kind is None else record.find(f"proxy.map.{display.map_kind.value}")
    for composite in free_composites(record.scene):
        set_layers(composite, background, foreground, display.opacity)
    selected = record.find("browser").GetSelectedItemNumber() + 1
    automatic = window_of(record, display.sequence, selected)
    show_3d(record, display, None if automatic is None else shown_window(automatic, display))
    _show_peaks(record, visible=foreground is not None)


def hide(record: SceneRecord) -> None:
    """Take a patient out of the 3D views and its peaks out of all views; another one is shown."""
    hide_3d(record)
    _show_peaks(record, visible=False)


def _show_peaks(record: SceneRecord, *, visible: bool) -> None:
    peaks = record.find("proxy.peaks")
    if peaks is not None and peaks.GetDisplayNode() is not None:
        peaks.GetDisplayNode().SetVisibility(visible)


def free_composites(scene: Any) -> Iterable[Any]:
    """Composite nodes that no comparison or row has taken."""
    return [node for node in nodes_of_class(scene, "vtkMRMLSliceCompositeNode") if node.GetAttribute(HELD) is None]
