"""Which way a grid's axes point, and the same voxels in the nearest RAS order."""

from __future__ import annotations

import itertools

import numpy as np

from TemporalGliomaRisk.timeline.volume import FloatArray, Geometry, Volume


def _axes(geometry: Geometry) -> tuple[tuple[int, int, int], FloatArray]:
    """For R, A and S: which voxel axis runs nearest along it, and with which sign."""
    cosines = geometry.ijk_to_ras[:3, :3] / geometry.spacing_mm
    order = max(
        itertools.permutations(range(3)),
        key=lambda axes: sum(abs(cosines[world, axis]) for world, axis in enumerate(axes)),
    )
    signs = np.array([1.0 if cosines[world, axis] >= 0 else -1.0 for world, axis in enumerate(order)])
    return (order[0], order[1], order[2]), signs


def orientation_code(geometry: Geometry) -> str:
    """Where i, j and k point, as ``RAS`` or ``LPS``; a ``~`` follows if an axis is over 5 degrees oblique."""
    order, signs = _axes(geometry)
    letters = [""] * 3
    for world, axis in enumerate(order):
        letters[axis] = ("RAS" if signs[world] > 0 else "LPI")[world]
    cosines = np.abs(geometry.ijk_to_ras[:3, :3] / geometry.spacing_mm).max(axis=0)
    return "".join(letters) + ("~" if cosines.min() < np.cos(np.radians(5.0)) else "")


def coverage_mm(geometry: Geometry) -> tuple[float, float, float]:
    """Length of the field of view along the axes nearest to R-L, A-P and S-I."""
    order, _ = _axes(geometry)
    extent = geometry.extent_mm
    return float(extent[order[0]]), float(extent[order[1]]), float(extent[order[2]])


def to_nearest_ras(volume: Volume) -> Volume:
    """The same voxels at the same places, axes permuted and flipped so that i, j, k run nearest to R, A, S."""
    order, signs = _axes(volume.geometry)
    shape = np.array(volume.geometry.shape)[list(order)]
    new_to_old = np.zeros((4, 4))
    new_to_old[3, 3] = 1.0
    for world, axis in enumerate(order):
        new_to_old[axis, world] = signs[world]
        new_to_old[axis, 3] = shape[world] - 1 if signs[world] < 0 else 0
    flips = tuple(slice(None, None, int(sign)) for sign in signs)
    geometry = Geometry(
        shape=(int(shape[0]), int(shape[1]), int(shape[2])), ijk_to_ras=volume.geometry.ijk_to_ras @ new_to_old
    )
    return Volume(voxels=volume.voxels.transpose(order)[flips], geometry=geometry)
