"""Volumes and matrices between this package and MRML: the other one of the two files where axes are turned.

VTK keeps voxels with i fastest, which numpy sees as [k, j, i]; MRML is in RAS as this package is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from TemporalGliomaRisk.errors import GeometryError, VolumeError
from TemporalGliomaRisk.timeline.volume import FloatArray, Geometry, Volume


def vtk_matrix(matrix: FloatArray) -> Any:
    """(4, 4) as a vtkMatrix4x4."""
    made = vtk.vtkMatrix4x4()
    made.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel().tolist())
    return made


def array_of(matrix: Any) -> FloatArray:
    """A vtkMatrix4x4 as (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def world_from_node(node: Any) -> FloatArray:
    """(4, 4), from a node's own RAS to world RAS through its parent transforms.

    Raises:
        GeometryError: If a parent transform is not linear.
    """
    parent = node.GetParentTransformNode()
    matrix = vtk.vtkMatrix4x4()
    if parent is not None and not parent.IsTransformToWorldLinear():
        raise GeometryError("A volume lies under a transform that bends it; harden the transform first.")
    if parent is not None:
        parent.GetMatrixTransformToWorld(matrix)
    return array_of(matrix)


def image_of(voxels: Any) -> Any:
    """(I, J, K) voxels as vtkImageData, copied, in a type that Slicer draws and writes."""
    voxels = voxels.astype(_type_for_slicer(voxels), copy=False)
    flat = np.ascontiguousarray(voxels.transpose(2, 1, 0)).ravel()
    scalars = numpy_support.numpy_to_vtk(flat.astype(flat.dtype.newbyteorder("="), copy=False), deep=True)
    scalars.SetName("voxels")
    image = vtk.vtkImageData()
    image.SetDimensions(*voxels.shape)
    image.GetPointData().SetScalars(scalars)
    return image


def _type_for_slicer(voxels: Any) -> Any:
    """The voxels' own type where Slicer has it; else one that holds the same numbers, beyond 2^53 nearly the same."""
    kind, size = voxels.dtype.kind, voxels.dtype.itemsize
    if kind == "b":
        return np.uint8
    if kind == "i" and size == 1:  # a scene with signed bytes is not written
        return np.int16
    if kind in "iu" and size == 8:  # drawn in no view, and not written either
        bounds = np.iinfo(np.int32)
        fits = voxels.size == 0 or (voxels.min() >= bounds.min and voxels.max() <= bounds.max)
        return np.int32 if fits else np.float64
    if kind == "f" and size not in (4, 8):
        return np.float32 if size == 2 else np.float64
    return voxels.dtype


def set_volume(node: Any, volume: Volume) -> None:
    """Give a volume node a volume's voxels and place."""
    node.SetIJKToRASMatrix(vtk_matrix(volume.geometry.ijk_to_ras))
    node.SetAndObserveImageData(image_of(volume.voxels))


def new_volume_node(volume: Volume, name: str) -> Any:
    """A vtkMRMLScalarVolumeNode that is in no scene yet."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(name)
    set_volume(node, volume)
    return node


def blank_image(image: Any) -> Any:
    """An image like another, all zero."""
    blank = vtk.vtkImageData()
    blank.CopyStructure(image)
    blank.AllocateScalars(image.GetScalarType(), 1)
    blank.GetPointData().GetScalars().Fill(0)
    return blank


def is_empty(node: Any) -> bool:
    """Whether a volume node shows nothing: no voxels, or none other than zero, as where a visit lacks a volume."""
    image = None if node is None else node.GetImageData()
    return image is None or image.GetNumberOfPoints() == 0 or tuple(image.GetScalarRange()) == (0.0, 0.0)


def volume_of(node: Any, *, in_world: bool = True) -> Volume:
    """Voxels of a scalar volume node with their place.

    A parent transform that only moves or scales along the axes is taken into the place, voxels untouched; one that
    shears or bends is applied to a copy, which Slicer resamples.

    Args:
        node: vtkMRMLScalarVolumeNode in a scene.
        in_world: Whether parent transforms count.

    Raises:
        VolumeError: If it holds no voxels or several numbers a voxel.
        GeometryError: If its own place cannot be used.
    """
    if node.GetImageData() is None or node.GetImageData().GetNumberOfPoints() == 0:
        raise VolumeError("A volume of the scene holds no voxels. Load it anew or leave it out.")
    if node.GetImageData().GetNumberOfScalarComponents() != 1:
        raise VolumeError("A volume of the scene has several numbers a voxel, wanted one. Leave it out.")
    parent = node.GetParentTransformNode() if in_world else None
    if parent is None:
        return _volume(node, np.eye(4))
    if parent.IsTransformToWorldLinear():
        try:
            return _volume(node, world_from_node(node))
        except GeometryError:
            pass  # a shear: resampled below
    return _hardened(node)


def _volume(node: Any, to_world: FloatArray) -> Volume:
    image, matrix = node.GetImageData(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    shape = image.GetDimensions()
    voxels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape[::-1]).transpose(2, 1, 0)
    return Volume(voxels=voxels, geometry=Geometry(shape=shape, ijk_to_ras=to_world @ array_of(matrix)))


def _hardened(node: Any) -> Volume:
    scene = node.GetScene()
    copy = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hardened copy")
    try:
        copy.CopyContent(node, True)
        copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        if not copy.HardenTransform():
            raise GeometryError("A volume of the scene could not be hardened. Harden its transform in Slicer first.")
        own = _volume(copy, np.eye(4))
        return Volume(voxels=own.voxels.copy(), geometry=own.geometry)
    finally:
        scene.RemoveNode(copy)
