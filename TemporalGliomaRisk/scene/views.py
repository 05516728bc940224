"""The views that a saved scene opens with: slices at the highest place, overlay on, the head from its side."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from TemporalGliomaRisk.scene.host import module_logic
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.slices import fit, nodes_of_class
from TemporalGliomaRisk.timeline.volume import FloatArray

CAMERA_ANGLE_DEGREES = 22.0
NIGHT, DUSK = (0.03, 0.03, 0.05), (0.09, 0.10, 0.14)
"""Backgrounds of the 3D view, bottom and top: a reading room's."""
SLICE_MARGIN = 1.12
VIEW_PIXELS = (640, 480)


def arrange_views(patient: PatientScene, scene: Any) -> None:
    """Set a scene's slice views, 3D view and layout for a first look at a patient."""
    patient.selected_visit = patient.default_visit
    patient.apply(patient.display)
    centre, size = patient.head_box()
    place = patient.default_ras()
    for node in nodes_of_class(scene, "vtkMRMLSliceNode"):
        node.SetDimensions(*VIEW_PIXELS, 1)
        fit(node, centre, SLICE_MARGIN * size)
        node.SetRulerType(node.RulerTypeThin)
        node.SetOrientationMarkerType(node.OrientationMarkerTypeAxes)
    patient.go_to(place)
    for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        composite.SetLinkedControl(1)
    for view in nodes_of_class(scene, "vtkMRMLViewNode"):
        view.SetBackgroundColor(*NIGHT)
        view.SetBackgroundColor2(*DUSK)
        view.SetBoxVisible(False)
        view.SetAxisLabelsVisible(False)
        view.SetOrientationMarkerType(view.OrientationMarkerTypeAxes)
    for camera in nodes_of_class(scene, "vtkMRMLCameraNode"):
        look_at_head(camera, centre, size, place)
    _set_layout(scene)
    _add_legend(patient, scene)


def look_at_head(camera_node: Any, centre: FloatArray, size: FloatArray, place: FloatArray) -> None:
    """Look at a head obliquely from above, from the side on which a place lies, with all of it in sight.

    Args:
        camera_node: vtkMRMLCameraNode of the 3D view.
        centre: (3,), the head's, world RAS, mm.
        size: (3,), the head's along R, A and S, mm.
        place: (3,), world RAS, mm.
    """
    towards = np.asarray(place) - np.asarray(centre)
    side = 1.0 if towards[0] >= 0 else -1.0
    front = -1.0 if towards[1] < -0.15 * size[1] else 1.0
    direction = np.array([side, 0.9 * front, 0.55])
    distance = 0.48 * float(np.linalg.norm(size)) / np.tan(np.radians(CAMERA_ANGLE_DEGREES / 2))
    position = np.asarray(centre) + distance * direction / np.linalg.norm(direction)
    camera_node.SetFocalPoint(*(float(value) for value in centre))
    camera_node.SetPosition(*(float(value) for value in position))
    camera_node.SetViewUp(0.0, 0.0, 1.0)
    camera_node.SetViewAngle(CAMERA_ANGLE_DEGREES)
    camera_node.ResetClippingRange()


def _set_layout(scene: Any) -> None:
    found = nodes_of_class(scene, "vtkMRMLLayoutNode")
    layout = found[0] if found else scene.AddNode(slicer.vtkMRMLLayoutNode())
    if not layout.IsLayoutDescription(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView):
        # Without a desktop nobody has told the node what Slicer's own layouts look like; the one that reads it knows.
        layout.AddLayoutDescription(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView, "<layout/>")
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def _add_legend(patient: PatientScene, scene: Any) -> None:
    """The scale of the map, in a corner of the axial view."""
    kind = patient.display.map_kind
    if kind is None:
        return
    proxy = patient.map(kind)
    colours = module_logic("colors")
    legend = colours.GetColorLegendDisplayNode(proxy) or colours.AddDefaultColorLegendDisplayNode(proxy)
    legend.SetTitleText("Hazard per mL")
    legend.SetLabelFormat("%.4f")
    legend.SetNumberOfLabels(3)
    legend.SetMaxNumberOfColors(128)
    legend.SetSize(0.08, 0.4)
    legend.SetPosition(0.97, 0.62)
    legend.GetTitleTextProperty().SetFontSize(12)
    legend.GetLabelTextProperty().SetFontSize(11)
    legend.SetVisibility(True)
    axial = [node.GetID() for node in nodes_of_class(scene, "vtkMRMLSliceNode") if node.GetLayoutName() == "Red"]
    if axial:
        legend.SetDisplayableOnlyInView(axial[0])
