"""The scene as a file for Slicer: with Slicer's own three slice views, not those of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trame_slicer.core import SlicerApp

from TemporalGliomaRisk.scene.host import SLICE_VIEWS
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.slices import composite_of, fit
from TemporalGliomaRisk.timeline.volume import FloatArray
from TemporalGliomaRisk.viewer.plain_slices import PlainSliceView

_PIXELS = (640, 480, 1)
VIEW_CLASSES = (
    "vtkMRMLAbstractViewNode",
    "vtkMRMLSliceCompositeNode",
    "vtkMRMLCameraNode",
    "vtkMRMLLayoutNode",
    "vtkMRMLColorLegendDisplayNode",
)
"""Nodes that say how a host shows a scene, not what is in it."""


def save_for_slicer(host: SlicerApp, patient: PatientScene, place: FloatArray | None, path: Path) -> None:
    """Write the scene as .mrb, its slices where the reader's are.

    Args:
        host: Slicer's scene and application logic.
        patient: Who is open.
        place: (3,), world RAS, of the slices; None where there are none.
        path: Of the file, which appears whole or not at all.
    """
    views = {name: PlainSliceView(host, name) for name in SLICE_VIEWS}
    try:
        centre, size = patient.head_box()
        for name, (orientation, colour) in SLICE_VIEWS.items():
            node = views[name].get_view_node()
            node.SetOrientation(orientation)
            node.SetLayoutColor(*colour)
            node.SetDimensions(*_PIXELS)
            fit(node, centre, size)
        patient.apply(patient.display)
        if place is not None:
            patient.go_to(place, [view.get_view_node() for view in views.values()])
        patient.save(path)
    finally:
        for view in views.values():
            host.app_logic.GetSliceLogics().RemoveItem(view.logic)
            nodes = nodes_of_view(host.scene, view.get_view_node())
            view.logic.SetMRMLScene(None)
            for node in nodes:
                host.scene.RemoveNode(node)


def nodes_of_view(scene: Any, view_node: Any) -> list[Any]:
    """A view's node, and the layers of a slice or the camera of a 3D view."""
    layers = composite_of(scene, view_node) if view_node.IsA("vtkMRMLSliceNode") else None
    cameras = [
        camera
        for camera in (
            scene.GetNthNodeByClass(index, "vtkMRMLCameraNode")
            for index in range(scene.GetNumberOfNodesByClass("vtkMRMLCameraNode"))
        )
        if camera.GetLayoutName() == view_node.GetLayoutName()
    ]
    return [node for node in (view_node, layers, *cameras) if node is not None]


def remove_views(scene: Any, before: set[str]) -> None:
    """Remove the views that came with a file, for the page has its own.

    Args:
        scene: vtkMRMLScene.
        before: Ids of the nodes that were there before it was read.
    """
    for node in nodes_besides(scene, before):
        if any(node.IsA(name) for name in VIEW_CLASSES):
            scene.RemoveNode(node)


def nodes_besides(scene: Any, before: set[str]) -> list[Any]:
    """The nodes that came with a file; arguments as of :func:`remove_views`."""
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    return [node for node in nodes if node.GetID() not in before]
