"""The 3D view: ray-cast volumes, or surfaces where speed counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk

from TemporalGliomaRisk.colours import change_colours, heat_colours
from TemporalGliomaRisk.scene.hierarchy import put_below
from TemporalGliomaRisk.scene.host import CPU_RENDERING, module_logic
from TemporalGliomaRisk.scene.record import SceneRecord
from TemporalGliomaRisk.scene.settings import DisplaySettings, MapKind
from TemporalGliomaRisk.scene.shells import shells_of
from TemporalGliomaRisk.scene.slices import nodes_of_class
from TemporalGliomaRisk.scene.surfaces import brain_surface
from TemporalGliomaRisk.scene.visit_sequences import MAPS
from TemporalGliomaRisk.scene.volumes import array_of, is_empty, volume_of
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

BRAIN_COLOUR = (0.93, 0.89, 0.86)
GREY_OPACITY = ((0.0, 0.0), (0.18, 0.0), (0.35, 0.04), (0.60, 0.07), (1.0, 0.10))
"""Opacity of the grey volume by part of its window."""


def show_3d(record: SceneRecord, display: DisplaySettings, window: tuple[float, float] | None) -> None:
    """Show what the settings say in the 3D views, and nothing else of this patient.

    Args:
        record: Of the patient.
        display: The reader's.
        window: Intensities of black and white at the selected visit; None where it lacks the sequence.
    """
    shown: list[Any] = []
    if display.volume_rendering == "surface":
        shown = _shown_surfaces(record, display)
    elif display.volume_rendering == "volume":
        shown = _shown_volumes(record, display, window)
    hide_3d(record, but=shown)
    for node in shown:
        node.SetVisibility(True)


def _shown_surfaces(record: SceneRecord, display: DisplaySettings) -> list[Any]:
    """Display nodes of the surfaces that the settings ask for."""
    for view in nodes_of_class(record.scene, "vtkMRMLViewNode"):
        view.SetUseDepthPeeling(True)
    models = [record.find("brain") or _add_brain(record, display.sequence)]
    if display.map_kind is not None:
        models.append(shells_of(record, display.map_kind, display.threshold_in_3d))
    return [model.GetDisplayNode() for model in models if model is not None]


def _shown_volumes(record: SceneRecord, display: DisplaySettings, window: tuple[float, float] | None) -> list[Any]:
    """Volume rendering nodes that the settings ask for."""
    kind = display.map_kind
    shown = [_rendering(record, f"proxy.volume.{display.sequence}")]
    fit_grey(record, display.sequence, window)
    if shown[0].IsA(CPU_RENDERING):
        # Peeling translucent peaks off volumes that the processor casts leaves debris and takes ten times as long.
        for view in nodes_of_class(record.scene, "vtkMRMLViewNode"):
            view.SetUseDepthPeeling(False)
    if kind is not None:
        shown.append(_rendering(record, f"proxy.map.{kind.value}"))
        _fit_map(shown[1], record.get("tops")[kind.value], display.threshold_in_3d, is_change=kind.is_change)
    return shown


def hide_3d(record: SceneRecord, *, but: Sequence[Any] = ()) -> None:
    """Show nothing of this patient in the 3D views, but these display nodes."""
    displays = []
    for node in record.owned():
        if node.IsA("vtkMRMLModelNode"):
            displays.append(node.GetDisplayNode())
        if node.IsA("vtkMRMLVolumeNode"):
            found = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
            displays += [one for one in found if one is not None and one.IsA("vtkMRMLVolumeRenderingDisplayNode")]
    for display in displays:
        if display is not None and display not in but:
            display.SetVisibility(False)


# Volumes


def _rendering(record: SceneRecord, role: str) -> Any:
    """The volume rendering of a proxy, by the host's own method: its graphics processor's, or the processor's."""
    proxy = record.find(role)
    logic = module_logic("volumerendering")
    found = logic.GetFirstVolumeRenderingDisplayNode(proxy)
    return found if found is not None else logic.CreateDefaultVolumeRenderingNodes(proxy)


def fit_grey(record: SceneRecord, sequence: str, window: tuple[float, float] | None) -> None:
    """Fit the grey volume's transfer functions to the selected visit's window, where it is rendered."""
    found = module_logic("volumerendering").GetFirstVolumeRenderingDisplayNode(record.find(f"proxy.volume.{sequence}"))
    if found is None or window is None:
        return
    low, high = window
    span = high - low
    colour, opacity, gradient = vtk.vtkColorTransferFunction(), vtk.vtkPiecewiseFunction(), vtk.vtkPiecewiseFunction()
    for part, grey in ((0.0, 0.0), (0.2, 0.28), (0.6, 0.8), (1.0, 1.0)):
        colour.AddRGBPoint(low + part * span, grey, grey, grey)
    for part, value in GREY_OPACITY:
        opacity.AddPoint(low + part * span, value)
    for part, value in ((0.0, 0.0), (0.03, 0.1), (0.14, 1.0)):
        gradient.AddPoint(part * span, value)
    _set_functions(found.GetVolumePropertyNode(), colour, opacity, gradient, shade=True)


def _fit_map(node: Any, top: float, threshold: float, *, is_change: bool) -> None:
    colour, opacity = vtk.vtkColorTransferFunction(), vtk.vtkPiecewiseFunction()
    start = max(threshold, 0.02)
    parts = np.linspace(start, 1.0, 12)
    sides = (-1.0, 1.0) if is_change else (1.0,)
    for side in sides:
        for part in parts:
            rgb = (change_colours(side * part) if is_change else heat_colours(part)) / 255.0
            colour.AddRGBPoint(float(side * part * top), *(float(channel) for channel in rgb))
            strength = 0.08 + 0.5 * float(np.clip((part - start) / max(0.75 - start, 0.1), 0, 1))
            opacity.AddPoint(float(side * part * top), strength)
        opacity.AddPoint(float(side * 0.98 * start * top), 0.0)
    if not is_change:
        opacity.AddPoint(0.0, 0.0)
    gradient = vtk.vtkPiecewiseFunction()
    gradient.AddPoint(0.0, 1.0)
    _set_functions(node.GetVolumePropertyNode(), colour, opacity, gradient, shade=False)


def _set_functions(node: Any, colour: Any, opacity: Any, gradient: Any, *, shade: bool) -> None:
    node.SetColor(colour)
    node.SetScalarOpacity(opacity)
    node.SetGradientOpacity(gradient)
    lighting = node.GetVolumeProperty()
    lighting.SetShade(shade)
    lighting.SetInterpolationTypeToLinear()
    lighting.SetAmbient(0.25)
    lighting.SetDiffuse(0.9)
    lighting.SetSpecular(0.15)


# The brain


def _add_brain(record: SceneRecord, sequence: str) -> Any:
    """The brain (the head where no map says what is brain) of the earliest visit with the sequence, in world RAS."""
    windows = record.get("windows")[sequence]
    value = record.find("visits").GetNthIndexValue(next(i for i, window in enumerate(windows) if window is not None))
    volume = _item_in_world(record, f"volume.{sequence}", f"place.{sequence}", value)
    if volume is None:
        return None
    support = _item_in_world(record, f"map.{MapKind.RISK.value}", f"place.{MAPS}", value)
    name = f"{record.label} {'brain' if support else 'head'} surface"
    model = record.add("vtkMRMLModelNode", name, "brain")
    model.SetAndObservePolyData(brain_surface(volume, support))
    model.CreateDefaultDisplayNodes()
    shown = model.GetDisplayNode()
    shown.SetColor(*BRAIN_COLOUR)
    shown.SetOpacity(0.30)
    shown.SetAmbient(0.10)
    shown.SetDiffuse(0.95)
    shown.SetSpecular(0.20)
    shown.SetPower(20)
    shown.SetBackfaceCulling(True)
    shown.SetVisibility2D(False)
    put_below(record, model)
    return model


def _item_in_world(record: SceneRecord, role: str, place_role: str, value: str) -> Volume | None:
    """A sequence's volume at an index value, moved to world RAS; None where it has none."""
    sequence, places = record.find(role), record.find(place_role)
    item = None if sequence is None else sequence.GetDataNodeAtValue(value, True)
    if is_empty(item):
        return None
    volume = volume_of(item, in_world=False)
    place = None if places is None else places.GetDataNodeAtValue(value, True)
    if place is None:
        return volume
    matrix = vtk.vtkMatrix4x4()
    place.GetMatrixTransformToParent(matrix)
    moved = Geometry(shape=volume.geometry.shape, ijk_to_ras=array_of(matrix) @ volume.geometry.ijk_to_ras)
    return Volume(voxels=volume.voxels, geometry=moved)
