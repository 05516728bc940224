"""The map that is the risk: local hazard terms laid on a grid, and carried to a visit's own voxels without loss.

A map is a density, hazard per mL. Its integral over the brain plus the background hazard is ``-log(1 - risk)``;
carrying it to another grid keeps the integral, less what lies outside that grid's field of view, which is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.shapes import check_shape
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry, Volume


def hazard_map(terms: npt.NDArray[np.float64], cells: BoolArray, grid: Geometry) -> Volume:
    """Local hazards as a density on the cells' grid.

    Args:
        terms: (places,), local hazard of each brain cell, in row-major order of ``cells``.
        cells: (I, J, K), cells that hold brain.
        grid: Geometry of the cells.

    Returns:
        Hazard per mL, float64, zero outside the brain's cells.
    """
    check_shape(terms, "terms", (int(cells.sum()),))
    density = np.zeros(cells.shape)
    density[cells] = terms / grid.voxel_mL
    return Volume(voxels=density, geometry=grid)


@dataclass(frozen=True, kw_only=True)
class VisitMap:
    """A map on a visit's own voxel grid.

    Args:
        volume: Hazard per mL, float32.
        outside_hazard: Hazard of the cells whose centre lies outside the visit's field of view.
    """

    volume: Volume
    outside_hazard: float


def to_visit_grid(density: Volume, visit: Geometry, visit_ras_to_frame_ras: FloatArray) -> VisitMap:
    """Carry a map from the cells' grid to a visit's own voxels, keeping its integral.

    Voxels larger than a cell are filled with the mean over points inside them, so that thick slices miss nothing.

    Args:
        density: Hazard per mL on the cells' grid, not negative.
        visit: The visit's voxel grid.
        visit_ras_to_frame_ras: (4, 4) rigid, from the visit's RAS to the cells' RAS.
    """
    # A ring of empty cells around it, so that the outermost cells fade as those inside do.
    sampled = resample(_with_empty_ring(density), visit, visit_ras_to_frame_ras)
    filled = np.argwhere(density.voxels > 0)
    cells_to_visit = visit.ras_to_ijk @ np.linalg.inv(visit_ras_to_frame_ras) @ density.geometry.ijk_to_ras
    in_visit = filled @ cells_to_visit[:3, :3].T + cells_to_visit[:3, 3]
    inside = ((in_visit >= -0.5) & (in_visit <= np.array(visit.shape) - 0.5)).all(axis=1)
    hazards = density.voxels[tuple(filled.T)] * density.geometry.voxel_mL
    wanted, found = float(hazards[inside].sum()), float(sampled.sum(dtype=np.float64)) * visit.voxel_mL
    if found > 0:
        sampled = sampled * np.float32(wanted / found)
    return VisitMap(volume=Volume(voxels=sampled, geometry=visit), outside_hazard=float(hazards[~inside].sum()))


def _with_empty_ring(density: Volume) -> Volume:
    wider = np.eye(4)
    wider[:3, 3] = -1
    i, j, k = (length + 2 for length in density.geometry.shape)
    geometry = Geometry(shape=(i, j, k), ijk_to_ras=density.geometry.ijk_to_ras @ wider)
    return Volume(voxels=np.pad(density.voxels.astype(np.float32), 1), geometry=geometry)
