"""Slices without a view: their pixels, layers and places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
from vtk.util import numpy_support

from TemporalGliomaRisk.scene.host import application_logic
from TemporalGliomaRisk.timeline.volume import FloatArray

HELD = "TemporalGliomaRisk.held"
"""Attribute of a composite node that a comparison or row has taken."""


def nodes_of_class(scene: Any, class_name: str) -> list[Any]:
    """All nodes of a class in a scene."""
    count = scene.GetNumberOfNodesByClass(class_name)
    return [scene.GetNthNodeByClass(index, class_name) for index in range(count)]


def slice_logics(scene: Any) -> list[Any]:
    """The application's slice logics of this scene."""
    app_logic = application_logic()
    found = None if app_logic is None else app_logic.GetSliceLogics()
    logics = [] if found is None else [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]
    return [logic for logic in logics if logic.GetMRMLScene() is scene]


def slice_pixels(slice_logic: Any) -> npt.NDArray[np.uint8]:
    """(rows, columns, 3) of a vtkMRMLSliceLogic's blended layers, top row first; no view is needed."""
    columns, rows = slice_logic.GetSliceNode().GetDimensions()[:2]
    slice_logic.UpdatePipeline()
    connection = slice_logic.GetImageDataConnection()
    if connection is None:
        return np.zeros((rows, columns, 3), np.uint8)
    producer = connection.GetProducer()
    producer.Update()
    image = producer.GetOutputDataObject(connection.GetIndex())
    width, height = image.GetDimensions()[:2]
    scalars = image.GetPointData().GetScalars()
    if scalars is None:
        return np.zeros((rows, columns, 3), np.uint8)
    pixels = numpy_support.vtk_to_numpy(scalars).reshape(height, width, -1)[::-1]
    if pixels.shape[2] == 4:
        opacity = pixels[..., 3:].astype(np.float32) / 255
        return np.asarray(np.round(pixels[..., :3] * opacity), dtype=np.uint8)
    return np.array(pixels[..., :3], dtype=np.uint8)


def composite_of(scene: Any, slice_node: Any) -> Any:
    """The vtkMRMLSliceCompositeNode of a slice node; None if it has none."""
    layout_name = slice_node.GetLayoutName()
    for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        if composite.GetLayoutName() == layout_name:
            return composite
    return None


def set_layers(composite: Any, background: Any, foreground: Any, opacity: float) -> None:
    """Lay a map over a volume in one slice view; None or a volume without voxels is nothing."""
    composite.SetBackgroundVolumeID(None if background is None else background.GetID())
    composite.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
    composite.SetLabelVolumeID(None)
    composite.SetForegroundOpacity(opacity if foreground is not None else 0.0)
    composite.SetCompositing(slicer.vtkMRMLSliceCompositeNode.Alpha)


def jump(scene: Any, ras: Sequence[float] | FloatArray, slice_nodes: Iterable[Any] | None = None) -> None:
    """Move slices (all, or those given) to a place in world RAS, and the crosshair with them."""
    place = [round(float(value), 2) for value in ras]
    for node in nodes_of_class(scene, "vtkMRMLSliceNode") if slice_nodes is None else slice_nodes:
        node.JumpSliceByOffsetting(*place)
    for crosshair in nodes_of_class(scene, "vtkMRMLCrosshairNode"):
        crosshair.SetCrosshairRAS(place)


def fit(slice_node: Any, centre_ras: FloatArray, size_mm: FloatArray) -> None:
    """Centre a slice on a box (3,) and (3,), world RAS, mm, and show all of it, without moving along its normal."""
    matrix = slice_node.GetSliceToRAS()
    axes = np.array([[matrix.GetElement(row, column) for column in range(3)] for row in range(3)])
    origin = np.array([matrix.GetElement(row, 3) for row in range(3)])
    offset = axes[:, 2] * float(axes[:, 2] @ (origin - centre_ras))
    for row, value in enumerate(np.asarray(centre_ras) + offset):
        matrix.SetElement(row, 3, round(float(value), 2))
    slice_node.UpdateMatrices()
    wide, high = (float(np.abs(axes[:, column]) @ size_mm) for column in range(2))
    columns, rows = slice_node.GetDimensions()[:2]
    # Steps that a saved scene keeps in full, so that it shows the same pixels when it is read again.
    a_pixel_mm = np.ceil(1000 * max(wide / max(columns, 1), high / max(rows, 1))) / 1000
    slice_node.SetFieldOfView(columns * a_pixel_mm, rows * a_pixel_mm, slice_node.GetFieldOfView()[2])
