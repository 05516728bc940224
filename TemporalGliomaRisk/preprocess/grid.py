"""One grid around the brain, the one interpolation onto it, and the way back.

Volumes are first brought to *canonical* axes: i, j and k run nearest to right, anterior and superior, by flips and
swaps alone, and the matrix is snapped to a micrometre lattice. So a scan gives the same array in whatever axis order
it was stored.
"""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk

from TemporalGliomaRisk.timeline.sitk_images import lps_from_ras_transform, set_geometry, sitk_from_volume
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry, Volume

MOST_SUBSAMPLES = 4


def canonical(volume: Volume) -> Volume:
    """The same volume with axes nearest to R, A, S by flips and swaps, and its matrix snapped to 1e-6 (origin 1e-3 mm).

    Reading the same scan from DICOM and from NIfTI leaves matrices that differ in the seventh digit; snapped, they
    are alike. Over 300 voxels the snap moves nothing by more than 0.001 mm.
    """
    matrix = volume.geometry.ijk_to_ras
    order, signs = _nearest_axes(matrix[:3, :3])
    voxels = volume.voxels.transpose(order)
    voxels = voxels[tuple(slice(None, None, -1 if sign < 0 else 1) for sign in signs)]
    turned = np.eye(4)
    turned[:3, :3] = matrix[:3, order] * signs
    first_voxel = np.zeros(3)
    for axis, source in enumerate(order):
        first_voxel[source] = 0 if signs[axis] > 0 else volume.geometry.shape[source] - 1
    turned[:3, 3] = volume.geometry.to_ras(first_voxel)
    turned[:3, :3] = np.round(turned[:3, :3], 6) + 0.0
    turned[:3, 3] = np.round(turned[:3, 3], 3) + 0.0
    return Volume(voxels=np.ascontiguousarray(voxels), geometry=Geometry(shape=voxels.shape, ijk_to_ras=turned))


def _nearest_axes(directions: FloatArray) -> tuple[list[int], FloatArray]:
    """For R, A and S in turn: the voxel axis that runs nearest to it, and whether along (+1) or against it (-1)."""
    cosines = directions / np.linalg.norm(directions, axis=0)
    order = [-1, -1, -1]
    left = np.abs(np.round(cosines, 4))
    for _ in range(3):
        ras_axis, voxel_axis = np.unravel_index(int(np.argmax(left)), left.shape)
        order[int(ras_axis)] = int(voxel_axis)
        left[ras_axis, :] = -1
        left[:, voxel_axis] = -1
    signs = np.array([1.0 if cosines[axis, order[axis]] >= 0 else -1.0 for axis in range(3)])
    return order, signs


def grid_around(mask: BoolArray, geometry: Geometry, grid_mm: float, margin_mm: float) -> Geometry:
    """The model grid: a box in RAS around a mask, isotropic, each voxel count a multiple of 4.

    Where the mask's own voxels lie along R, A and S, grid edges coincide with voxel edges, so that an input of the
    grid's spacing is copied and not interpolated.

    Args:
        mask: (I, J, K), at least one voxel true.
        geometry: The mask's canonical grid.
        grid_mm: Spacing wanted.
        margin_mm: Least distance from the mask's voxels to the box.

    Raises:
        ValueError: If the mask is empty.
    """
    low, high = _bounds_ras(mask, geometry)
    lengths = high - low + 2.0 * margin_mm
    counts = 4 * np.ceil((lengths - 0.01) / (4.0 * grid_mm)).astype(int)
    spare = counts * grid_mm - (high - low)
    before = spare / 2.0
    off_axis = geometry.ijk_to_ras[:3, :3] - np.diag(np.diag(geometry.ijk_to_ras[:3, :3]))
    if np.abs(off_axis).max() < 1e-3:
        steps = np.floor(before / geometry.spacing_mm + 0.499)
        snapped = steps * geometry.spacing_mm
        fits = (snapped >= margin_mm - 0.01) & (spare - snapped >= margin_mm - 0.01)
        before = np.where(fits, snapped, before)
    matrix = np.diag([grid_mm, grid_mm, grid_mm, 1.0])
    matrix[:3, 3] = np.round(low - before + grid_mm / 2.0, 3)
    return Geometry(shape=(int(counts[0]), int(counts[1]), int(counts[2])), ijk_to_ras=matrix)


def _bounds_ras(mask: BoolArray, geometry: Geometry) -> tuple[FloatArray, FloatArray]:
    """Smallest box in RAS that holds every true voxel, edges included."""
    columns = mask.any(axis=1)
    if not columns.any():
        raise ValueError("The brain mask is empty.")
    i, k = np.nonzero(columns)
    first = mask.argmax(axis=1)[i, k]
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)[i, k]
    ends = np.concatenate([np.stack([i, first, k], axis=1), np.stack([i, last, k], axis=1)])
    half_voxel = np.abs(geometry.ijk_to_ras[:3, :3]).sum(axis=1) / 2.0
    ras = geometry.to_ras(ends)
    return ras.min(axis=0) - half_voxel, ras.max(axis=0) + half_voxel


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
    array = sitk.GetArrayViewFromImage(resampled).transpose(2, 1, 0)
    return block_sum(array, factors) / np.float32(math.prod(factors))


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
    """Sums over blocks of voxels, float32; an axis that doesn't divide is filled up with zeros."""
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


def to_visit_grid(visit: Geometry, grid: Geometry, visit_ras_to_frame_ras: FloatArray) -> FloatArray:
    """The way back: (4, 4), from a visit's voxel indices to the model grid's indices, fractions meant.

    Args:
        visit: The visit's own voxel grid (``PreparedVisit.reference_geometry``).
        grid: ``Frame.grid``.
        visit_ras_to_frame_ras: ``PreparedVisit.visit_ras_to_frame_ras``.
    """
    return np.asarray(grid.ras_to_ijk @ visit_ras_to_frame_ras @ visit.ijk_to_ras)
