"""Surfaces: the head or brain once, and where hazard gathers at a visit."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from scipy import ndimage

from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.scene.volumes import image_of, vtk_matrix
from TemporalGliomaRisk.timeline.head import head_box
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry, Volume

STEP_MM = 2.0
"""Of the grid that the brain's surface is made on."""
BRIGHTER_THAN_AIR = 0.22
"""Part of the bright tissue's intensity from which a voxel is tissue."""


def brain_surface(volume: Volume, support: Volume | None) -> Any:
    """A smooth closed surface as vtkPolyData in the volume's RAS.

    Args:
        volume: A pulse sequence of the first visit, stripped or not.
        support: A risk map of the same visit in the same RAS: it is above zero inside the brain alone, so the surface
            is the brain's even where the skull is there. None: the surface of whatever is brighter than air.
    """
    box = head_box(volume)
    shape = np.maximum(np.ceil(box.size_mm / STEP_MM), 8).astype(int)
    ijk_to_ras = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    ijk_to_ras[:3, 3] = box.centre_ras - STEP_MM * (shape - 1) / 2
    grid = Geometry(shape=(int(shape[0]), int(shape[1]), int(shape[2])), ijk_to_ras=ijk_to_ras)
    grey = ndimage.gaussian_filter(resample(volume, grid), 0.6)
    inside = np.ones(grid.shape, bool)
    if support is not None:
        seen = Volume(voxels=(np.asarray(support.voxels) > 0).astype(np.uint8), geometry=support.geometry)
        # Map cells are some millimetres wide: their staircase is smoothed before it cuts anything.
        inside = ndimage.gaussian_filter(resample(seen, grid), 1.5) > 0.4
    level = BRIGHTER_THAN_AIR * (np.percentile(grey[inside], 90) if inside.any() else grey.max())
    tissue = _largest(inside & (grey > level))
    closed = ndimage.binary_closing(np.pad(tissue, 3), iterations=2)
    filled = ndimage.binary_fill_holes(closed)[3:-3, 3:-3, 3:-3]
    # The greys place the surface between voxels; ventricles stay inside, and nothing beyond the tissue is left.
    field = np.clip(grey / max(2 * level, 1e-12), 0.0, 1.0) * ndimage.binary_dilation(filled)
    field = np.pad(np.where(ndimage.binary_erosion(filled, iterations=2), 1.0, field), 2).astype(np.float32)
    field = ndimage.gaussian_filter(field, 0.6)
    return _smoothed(_shell(field, 0.5, _padded(grid, 2)))


def hot_surface(volume: Volume, levels: tuple[float, ...]) -> Any:
    """Nested shells where a map exceeds levels, as vtkPolyData in the map's RAS with ``hazard`` at every point.

    Args:
        volume: A map, hazard per mL.
        levels: Hazard per mL; negative ones enclose what lies below them.
    """
    appended = vtk.vtkAppendPolyData()
    for level in levels:
        voxels = np.asarray(volume.voxels, dtype=np.float32) * np.float32(np.sign(level))
        inside = np.argwhere(voxels > abs(level))
        if not len(inside):
            continue
        low = np.maximum(inside.min(axis=0) - 2, 0)
        cut = tuple(slice(a, b + 3) for a, b in zip(low, inside.max(axis=0), strict=True))
        matrix = volume.geometry.ijk_to_ras.copy()
        matrix[:3, 3] = volume.geometry.to_ras(low)
        part = np.pad(ndimage.gaussian_filter(voxels[cut], 0.6), 1)
        grid = Geometry(shape=_shape(part), ijk_to_ras=matrix @ _shift(-1))
        shell = _smoothed(_shell(part, abs(level), grid))
        scalars = vtk.vtkFloatArray()
        scalars.SetName("hazard")
        scalars.SetNumberOfTuples(shell.GetNumberOfPoints())
        scalars.Fill(level)
        shell.GetPointData().SetScalars(scalars)
        appended.AddInputData(shell)
    if not appended.GetNumberOfInputConnections(0):
        return vtk.vtkPolyData()
    appended.Update()
    return appended.GetOutput()


def _largest(mask: BoolArray) -> BoolArray:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


def _shell(field: FloatArray, level: float, grid: Geometry) -> Any:
    check_cancelled()
    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(image_of(field))
    edges.SetValue(0, level)
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    transform = vtk.vtkTransform()
    transform.SetMatrix(vtk_matrix(grid.ijk_to_ras))
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetInputConnection(edges.GetOutputPort())
    placed.SetTransform(transform)
    placed.Update()
    return placed.GetOutput()


def _smoothed(shell: Any) -> Any:
    check_cancelled()
    if not shell.GetNumberOfCells():
        return shell
    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(shell)
    smooth.SetNumberOfIterations(18)
    smooth.SetPassBand(0.12)
    smooth.NormalizeCoordinatesOn()
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(smooth.GetOutputPort())
    normals.AutoOrientNormalsOn()
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def _padded(grid: Geometry, by: int) -> Geometry:
    i, j, k = (length + 2 * by for length in grid.shape)
    return Geometry(shape=(i, j, k), ijk_to_ras=grid.ijk_to_ras @ _shift(-by))


def _shift(by: float) -> FloatArray:
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return matrix


def _shape(array: FloatArray) -> tuple[int, int, int]:
    return array.shape[0], array.shape[1], array.shape[2]
