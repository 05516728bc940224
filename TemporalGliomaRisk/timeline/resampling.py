"""Volumes carried from one grid to another."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk

from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.timeline.sitk_images import (
    lps_from_ras_transform,
    set_geometry,
    sitk_from_volume,
    volume_from_sitk,
)
from TemporalGliomaRisk.timeline.volume import FloatArray, Geometry, Volume

MOST_SUBSAMPLES = 4


def resample(
    volume: Volume,
    grid: Geometry,
    grid_ras_to_volume_ras: FloatArray | None = None,
    *,
    outside: float = 0.0,
    nearest: bool = False,
) -> FloatArray:
    """A volume on a grid: the mean of the trilinear interpolant over each grid voxel.

    Where the grid is coarser than the volume, each grid voxel is the mean of up to ``MOST_SUBSAMPLES`` points an axis,
    about one a source voxel: a box filter against aliasing that keeps the intensity per millilitre and, unlike plain
    trilinear interpolation, hardly depends on where between two source voxels a grid centre falls. A spline of higher
    order would ring at the edges of stripped brains.

    Args:
        volume: Any real voxels.
        grid: Target, any geometry.
        grid_ras_to_volume_ras: (4, 4), from the grid's RAS to the volume's; identity by default.
        outside: What lies outside the volume's field of view.
        nearest: Nearest neighbour instead, one point a voxel.

    Returns:
        Shape of the grid, float32; ``outside`` outside the volume's field of view.
    """
    check_cancelled()
    matrix = np.eye(4) if grid_ras_to_volume_ras is None else np.asarray(grid_ras_to_volume_ras)
    factors = (1, 1, 1) if nearest else _subsamples(volume.geometry, grid, matrix)
    fine = subdivided(grid, factors)
    target = sitk.Image(1, 1, 1, sitk.sitkUInt8)
    set_geometry(target, fine)
    resampled = sitk.Resample(
        sitk_from_volume(volume),
        list(fine.shape),
        lps_from_ras_transform(matrix),
        sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear,
        target.GetOrigin(),
        target.GetSpacing(),
        target.GetDirection(),
        outside,
        sitk.sitkFloat32,
    )
    return block_sum(volume_from_sitk(resampled).voxels, factors) / np.float32(math.prod(factors))


def _subsamples(source: Geometry, grid: Geometry, matrix: FloatArray) -> tuple[int, int, int]:
    """Points an axis of the grid: its spacing over the source's sampling distance along it, at most four."""
    steps = source.ras_to_ijk[:3, :3] @ matrix[:3, :3] @ grid.ijk_to_ras[:3, :3]
    voxels_crossed = np.abs(steps).max(axis=0)
    counts = np.clip(np.round(voxels_crossed), 1, MOST_SUBSAMPLES).astype(int)
    return int(counts[0]), int(counts[1]), int(counts[2])


def subdivided(grid: Geometry, factors: tuple[int, int, int]) -> Geometry:
    """The same box cut ``factors`` times finer along each axis."""
    scale = np.diag([*(1.0 / np.array(factors)), 1.0])
    scale[:3, 3] = (1.0 / np.array(factors) - 1.0) / 2.0
    i, j, k = grid.shape
    shape = (i * factors[0], j * factors[1], k * factors[2])
    return Geometry(shape=shape, ijk_to_ras=grid.ijk_to_ras @ scale)


def coarsened(grid: Geometry, factor: int) -> Geometry:
    """The grid of ``block_sum``'s blocks; the last block of an axis may reach past the grid."""
    scale = np.diag([float(factor)] * 3 + [1.0])
    scale[:3, 3] = (factor - 1.0) / 2.0
    i, j, k = (-(-length // factor) for length in grid.shape)
    return Geometry(shape=(i, j, k), ijk_to_ras=grid.ijk_to_ras @ scale)


def block_sum(array: FloatArray, factors: tuple[int, int, int]) -> FloatArray:
    """Sums over blocks of voxels (I, J, K), float32, an entry a block; zeros fill up an axis that doesn't divide."""
    summed = np.asarray(array, dtype=np.float32)
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        missing = -summed.shape[axis] % factor
        if missing:
            summed = np.concatenate([summed, np.zeros_like(summed.take(range(missing), axis=axis))], axis=axis)
        summed = sum(
            (summed[(slice(None),) * axis + (slice(start, None, factor),)] for start in range(1, factor)),
            start=summed[(slice(None),) * axis + (slice(0, None, factor),)],
        )
    return np.ascontiguousarray(summed)
