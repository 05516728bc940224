"""A patient's voxels, greys, places and peaks as sequence nodes under one browser.

Every sequence is indexed by the same days. A visit that lacks a volume or map has a blank one, all zero, instead: a
volume node without voxels is no answer, since slice views go on showing what was there before (seen in Slicer 5.11 and
5.12), which would be the neighbour's. The
window of each visit's greys is a sequence too, so that a desktop without any of our code steps through comparable
pictures; so is the transform that takes a visit's RAS to the first visit's: nothing is resampled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from TemporalGliomaRisk import RESEARCH_USE_ONLY, numbers
from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.documents import visit_label
from TemporalGliomaRisk.scene.host import module_logic
from TemporalGliomaRisk.scene.labels import browser_name
from TemporalGliomaRisk.scene.record import SceneRecord, remove_nodes
from TemporalGliomaRisk.scene.scene_visit import SceneVisit, VisitIndex
from TemporalGliomaRisk.scene.settings import MapKind
from TemporalGliomaRisk.scene.volumes import blank_image, new_volume_node, vtk_matrix
from TemporalGliomaRisk.timeline.days import DayCount
from TemporalGliomaRisk.timeline.volume import FloatArray, Volume

VISITS, PEAKS, MAPS = "visits", "peaks", "maps"
GREY = "vtkMRMLColorTableNodeGrey"
PEAK_COLOUR = (0.45, 0.95, 1.0)
"""Neither a hue of the maps nor grey."""


class VisitSequences:
    """The sequence nodes of one patient, filled visit by visit.

    Args:
        record: Of the patient.
        index: Of the visits.
    """

    def __init__(self, record: SceneRecord, index: VisitIndex) -> None:
        self.record = record
        self.index = index
        self.label = record.label
        self.browser = record.add("vtkMRMLSequenceBrowserNode", browser_name(self.label), "browser")
        self.browser.SetIndexDisplayMode(self.browser.IndexDisplayAsIndexValue)
        self.browser.SetPlaybackRateFps(1.0)

    def put(self, role: str, name: str, number: int, node: Any) -> None:
        """Keep a node as a visit's item of the sequence of a role, which is made with its first item."""
        sequence = self.record.find(role) or self._new_sequence(role, name)
        sequence.SetDataNodeAtValue(node, self.index.values[number - 1])

    def _new_sequence(self, role: str, name: str) -> Any:
        sequence = self.record.add("vtkMRMLSequenceNode", f"{self.label} {name} sequence", role)
        sequence.SetIndexName(self.index.name)
        sequence.SetIndexUnit("d")
        sequence.SetIndexTypeFromString("numeric")
        return sequence

    def put_visit(self, visit: SceneVisit, count: DayCount) -> None:
        """The visit in words: the master sequence, for every visit has one."""
        label = visit_label(visit, count.days[visit.number - 1])
        node = slicer.vtkMRMLTextNode()
        node.SetName(f"{self.label}_{visit.session_id}")
        gap = "" if visit.gap_days is None else f", {numbers.days(visit.gap_days)} after the previous visit"
        place = f"{label} ({visit.number} of {len(count.days)}){gap}"
        node.SetText(f"{self.label}, {place}. {count.origin} {RESEARCH_USE_ONLY}")
        self.put(VISITS, "visits", visit.number, node)

    def put_volume(self, visit: SceneVisit, sequence: str, volume: Volume, to_frame: FloatArray) -> None:
        """A visit's volume of a pulse sequence, and its place: (4, 4), from its RAS to the first visit's, mm."""
        label = f"{self.label}_{visit.session_id}_{sequence}"
        self.put(f"volume.{sequence}", sequence, visit.number, new_volume_node(volume, label))
        self._put_place(sequence, visit, to_frame)

    def put_window(self, visit: SceneVisit, sequence: str, window: tuple[float, float]) -> None:
        """The window of a visit's greys."""
        display = slicer.vtkMRMLScalarVolumeDisplayNode()
        display.SetName(f"{self.label}_{visit.session_id}_{sequence} window")
        display.SetAutoWindowLevel(0)
        display.SetWindowLevelMinMax(*window)
        display.SetAndObserveColorNodeID(GREY)
        self.put(f"window.{sequence}", f"{sequence} window", visit.number, display)

    def put_map(self, visit: SceneVisit, kind: MapKind, volume: Volume) -> None:
        """A visit's map."""
        label = f"{self.label}_{visit.session_id}_desc-{kind.value}_heatmap"
        self.put(f"map.{kind.value}", kind.label, visit.number, new_volume_node(volume, label))

    def put_peaks(self, visit: SceneVisit, to_frame: FloatArray) -> None:
        """A visit's peaks, with their share of the risk, and its maps' place: (4, 4), to the first visit's RAS, mm."""
        node = slicer.vtkMRMLMarkupsFiducialNode()
        node.SetName(f"{self.label}_{visit.session_id}_peaks")
        for peak in visit.peaks:
            index = node.AddControlPoint(*peak.ras_mm)
            node.SetNthControlPointLabel(index, f"{peak.name}: {numbers.percent(peak.share_of_hazard)} of the risk")
            node.SetNthControlPointDescription(index, f"{numbers.significant(peak.hazard_per_mL)} hazard per mL")
        node.SetLocked(True)
        self.put(PEAKS, PEAKS, visit.number, node)
        self._put_place(MAPS, visit, to_frame)

    def _put_place(self, what: str, visit: SceneVisit, to_frame: FloatArray) -> None:
        node = slicer.vtkMRMLLinearTransformNode()
        node.SetName(f"{self.label}_{visit.session_id}_{what}_to_first_visit")
        node.SetMatrixTransformToParent(vtk_matrix(to_frame))
        self.put(f"place.{what}", f"{what} place", visit.number, node)

    def _fill_gaps(self) -> None:
        """Give every sequence an item a visit: blank volumes, no peaks, no move, and some window."""
        patterns: dict[str, Any] = {}
        for node in self.record.owned():
            if not node.IsA("vtkMRMLSequenceNode"):
                continue
            for value in self.index.values:
                if node.GetDataNodeAtValue(value, True) is None:
                    pattern = patterns.setdefault(node.GetID(), emptied(node.GetNthDataNode(0)))
                    node.SetDataNodeAtValue(pattern, value)

    def finish(self) -> None:
        """Fill the gaps, make the proxies and let them follow the browser."""
        self._fill_gaps()
        # Otherwise every proxy would be filled anew at each of the steps below.
        modifying = self.browser.StartModify()
        self.browser.SetAndObserveMasterSequenceNodeID(self.record.find(VISITS).GetID())
        make_proxies(self.record)
        self.browser.EndModify(modifying)
        module_logic("sequences").UpdateProxyNodesFromSequences(self.browser)


def make_proxies(record: SceneRecord) -> list[Any]:
    """Make the nodes that show the selected visit: all at first, later those that a reader deleted; gives those made.

    Raises:
        InputError: If a sequence that one follows was deleted.
    """
    browser = record.find("browser")
    made: list[Any] = []
    for role, (name, class_name) in _proxies(record).items():
        if record.find(f"proxy.{role}") is not None:
            continue
        if record.find(role) is None:
            raise InputError(
                f"The sequence of every visit's {name} was deleted from the scene. Open the series again to show it."
            )
        made.append(follow(record, browser, role, name, class_name))
    if made:
        _join_proxies(record, made)
        module_logic("sequences").UpdateProxyNodesFromSequences(browser)
    return made


def _proxies(record: SceneRecord) -> dict[str, tuple[str, str]]:
    """Name and class of every node that shows the selected visit, by the role of the sequence that it follows."""
    proxies = {VISITS: ("selected visit", "vtkMRMLTextNode")}
    for sequence in record.get("sequences"):
        proxies[f"place.{sequence}"] = (f"{sequence} place", "vtkMRMLLinearTransformNode")
        proxies[f"window.{sequence}"] = (f"{sequence} window", "vtkMRMLScalarVolumeDisplayNode")
        proxies[f"volume.{sequence}"] = (sequence, "vtkMRMLScalarVolumeNode")
    if record.find(f"place.{MAPS}") is not None:
        proxies[f"place.{MAPS}"] = ("map place", "vtkMRMLLinearTransformNode")
        for kind in map(MapKind, record.get("map_kinds")):
            proxies[f"map.{kind.value}"] = (kind.label, "vtkMRMLScalarVolumeNode")
        proxies[PEAKS] = (PEAKS, "vtkMRMLMarkupsFiducialNode")
    return proxies


def _join_proxies(record: SceneRecord, made: list[Any]) -> None:
    """Give the proxies their windows, places and, where just made, their looks."""
    for sequence in record.get("sequences"):
        volume = record.find(f"proxy.volume.{sequence}")
        volume.SetAndObserveDisplayNodeID(record.find(f"proxy.window.{sequence}").GetID())
        volume.SetAndObserveTransformNodeID(record.find(f"proxy.place.{sequence}").GetID())
        # A reader's own window at a visit stays that visit's.
        record.find("browser").SetSaveChanges(record.find(f"window.{sequence}"), True)
    place, peaks = record.find(f"proxy.place.{MAPS}"), record.find(f"proxy.{PEAKS}")
    if place is None:
        return
    for kind in record.get("map_kinds"):
        volume = record.find(f"proxy.map.{kind}")
        volume.SetAndObserveTransformNodeID(place.GetID())
        if volume.GetDisplayNode() is None:
            volume.CreateDefaultDisplayNodes()
    peaks.SetAndObserveTransformNodeID(place.GetID())
    if peaks in made or peaks.GetDisplayNode() is None:
        peaks.CreateDefaultDisplayNodes()
        _style_peaks(peaks.GetDisplayNode())
    peaks.SetLocked(True)


def _style_peaks(display: Any) -> None:
    display.SetColor(*PEAK_COLOUR)
    display.SetSelectedColor(*PEAK_COLOUR)
    display.SetGlyphType(display.Cross2D)  # thin and open at its centre, so that what it marks is seen
    display.SetGlyphScale(4.0)
    display.SetTextScale(2.6)
    display.SetOccludedVisibility(True)
    display.SetOccludedOpacity(0.9)
    display.SetPropertiesLabelVisibility(False)


def emptied(item: Any) -> Any:
    """A node like an item, without what belongs to that item's visit."""
    node = item.CreateNodeInstance()
    node.CopyContent(item)
    node.SetName("blank")
    if node.IsA("vtkMRMLVolumeNode"):
        node.SetAndObserveImageData(blank_image(item.GetImageData()))
    elif node.IsA("vtkMRMLMarkupsNode"):
        node.RemoveAllControlPoints()
    elif node.IsA("vtkMRMLLinearTransformNode"):
        node.SetMatrixTransformToParent(vtk_matrix(np.eye(4)))
    return node


def follow(record: SceneRecord, browser: Any, role: str, name: str, class_name: str) -> Any:
    """Give a sequence its proxy, synchronized with the browser."""
    sequence = record.find(role)
    proxy = record.add(class_name, f"{record.label} {name}", f"proxy.{role}")
    if sequence.GetID() != browser.GetMasterSequenceNode().GetID():
        browser.AddSynchronizedSequenceNodeID(sequence.GetID())
    made = browser.GetProxyNode(sequence)
    browser.AddProxyNode(proxy, sequence, False)
    if made is not None:
        # A browser that is followed already makes a proxy by itself, with a name and display of its own.
        remove_nodes(record.scene, [made])
    browser.SetMissingItemMode(sequence, browser.MissingItemSetToDefault)
    browser.SetOverwriteProxyName(sequence, False)
    browser.SetSaveChanges(sequence, False)
    return proxy
