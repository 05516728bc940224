"""Shells round what is hot at every visit, items of a sequence, so that they follow the visits as the maps do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import slicer
import vtk

from TemporalGliomaRisk.colours import MORE
from TemporalGliomaRisk.scene.hierarchy import put_below
from TemporalGliomaRisk.scene.host import module_logic
from TemporalGliomaRisk.scene.record import SceneRecord
from TemporalGliomaRisk.scene.settings import DisplaySettings, MapKind
from TemporalGliomaRisk.scene.surfaces import hot_surface
from TemporalGliomaRisk.scene.visit_sequences import MAPS, VISITS, follow
from TemporalGliomaRisk.scene.volumes import volume_of

SHELLS = (0.12, 0.4)
"""Parts of the scale's top at which shells enclose what is hotter; none lies under the reader's threshold."""
LEVELS = "TemporalGliomaRisk.levels"
"""Attribute of a visit's shells: the hazards per mL that they enclose."""
_followed: set[str] = set()
"""Addresses of the browsers whose steps make shells, and of the storage nodes whose saving does."""


def shells_of(record: SceneRecord, kind: MapKind, threshold: float) -> Any:
    """The proxy of the shells of a map.

    All visits' shells are made when they are first asked for. At another threshold the selected visit's are made anew
    at once and every other's when it is stepped to or the sequence is saved; until then those enclose what the
    threshold before let through.
    """
    role, browser = f"hot.{kind.value}", record.find("browser")
    sequence = record.find(role)
    if sequence is None:
        sequence = record.add("vtkMRMLSequenceNode", f"{record.label} {kind.label} surface sequence", role)
        sequence.CopySequenceIndex(record.find(f"map.{kind.value}"))
        sequence.RemoveAllDataNodes()
        put_below(record, sequence)
    count = record.find(VISITS).GetNumberOfDataNodes()
    whole = sequence.GetNumberOfDataNodes() == count
    selected = [browser.GetSelectedItemNumber()]
    made = _make_shells(record, kind, threshold, selected if whole else range(count))
    _make_shells_when_saved(record, sequence)
    if made:
        # Whoever writes the same file anew must give its name again, and so tells.
        sequence.GetStorageNode().SetFileName("")
    proxy = record.find(f"proxy.{role}")
    if proxy is None:
        proxy = follow(record, browser, role, f"{kind.label} surface", "vtkMRMLModelNode")
        proxy.SetAndObserveTransformNodeID(record.find(f"proxy.place.{MAPS}").GetID())
        proxy.CreateDefaultDisplayNodes()
        _style_hot(record, proxy.GetDisplayNode(), kind, record.get("tops")[kind.value])
        made = True
    if made:
        module_logic("sequences").UpdateProxyNodesFromSequences(browser)
    _make_shells_at_steps(record)
    return proxy


def _make_shells(record: SceneRecord, kind: MapKind, threshold: float, indices: Iterable[int]) -> bool:
    """Make the shells of visits, by number from 0, that are not there at this threshold; gives whether any were."""
    top = record.get("tops")[kind.value]
    parts = sorted({max(part, threshold) for part in SHELLS})
    levels = [part * top for part in parts] + ([-part * top for part in parts] if kind.is_change else [])
    sequence, maps, made = record.find(f"hot.{kind.value}"), record.find(f"map.{kind.value}"), False
    for index in indices:
        value = maps.GetNthIndexValue(index)
        item = sequence.GetDataNodeAtValue(value, True)
        if item is not None and item.GetAttribute(LEVELS) == json.dumps(levels):
            continue
        model = slicer.vtkMRMLModelNode()
        model.SetName(f"{maps.GetNthDataNode(index).GetName()}_surface")
        model.SetAttribute(LEVELS, json.dumps(levels))
        model.SetAndObservePolyData(hot_surface(volume_of(maps.GetNthDataNode(index), in_world=False), tuple(levels)))
        sequence.SetDataNodeAtValue(model, value)
        made = True
    return made


def _make_shells_at_steps(record: SceneRecord) -> None:
    """Make the shells of every visit that is stepped to, by whomever, as the settings then say."""

    def stepped(browser: Any, _: str) -> None:
        scene, display = browser.GetScene(), record.get("display")
        if scene is None or scene.IsBatchProcessing() or record.find("browser") is not browser or display is None:
            return
        settings = DisplaySettings.from_json(display)
        if settings.volume_rendering == "surface" and settings.map_kind is not None:
            shells_of(record, settings.map_kind, settings.threshold_in_3d)

    _follow(record.find("browser"), stepped)


def _make_shells_when_saved(record: SceneRecord, sequence: Any) -> None:
    """Make all shells that are missing before anybody writes them, Slicer's own Save included.

    Slicer tells of no save before it writes (StartSaveEvent is never sent, seen in 5.11), but it gives the storage node
    the name of the file.
    """

    def named(storage: Any, _: str) -> None:
        scene = storage.GetScene()
        if scene is not None and not scene.IsBatchProcessing() and storage.GetFileName():
            finish_shells(record)

    if sequence.GetStorageNode() is None:
        sequence.AddDefaultStorageNode()
    _follow(sequence.GetStorageNode(), named)


def _follow(node: Any, told: Callable[[Any, str], None]) -> None:
    """Observe a node's changes, once; the callback must not hold a reference to the node.

    An observer that refers to what it observes is taken for garbage while that lives on in VTK.
    """
    address = node.GetAddressAsString("")
    if address in _followed:
        return
    _followed.add(address)
    node.AddObserver("ModifiedEvent", told)
    node.AddObserver("DeleteEvent", lambda *_: _followed.discard(address))


def finish_shells(record: SceneRecord) -> None:
    """Make what shells of any visit are missing, so that a saved scene steps through all at one threshold."""
    display = record.get("display")
    if display is None:
        return
    for kind in map(MapKind, record.get("map_kinds")):
        sequence = record.find(f"hot.{kind.value}")
        if sequence is not None:
            indices = range(sequence.GetNumberOfDataNodes())
            _make_shells(record, kind, DisplaySettings.from_json(display).threshold_in_3d, indices)


def _style_hot(record: SceneRecord, shown: Any, kind: MapKind, top: float) -> None:
    shown.SetColor(*(channel / 255 for channel in MORE))
    shown.SetScalarVisibility(True)
    shown.SetActiveScalar("hazard", vtk.vtkAssignAttribute.POINT_DATA)
    shown.SetAndObserveColorNodeID(record.find("change colours" if kind.is_change else "risk colours").GetID())
    shown.SetScalarRangeFlag(shown.UseManualScalarRange)
    shown.SetScalarRange(-top if kind.is_change else 0.0, top)
    shown.SetOpacity(0.65)
    shown.SetAmbient(0.35)
    shown.SetDiffuse(0.75)
    shown.SetSpecular(0.1)
    shown.SetVisibility2D(False)
