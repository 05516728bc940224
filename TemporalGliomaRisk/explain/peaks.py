"""The few places that a map's hazard gathers at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.timeline.volume import FloatArray, Volume

PEAK_RADIUS_MM = 12.0
LEAST_SHARE = 0.05
MOST_PEAKS = 3


@dataclass(frozen=True, kw_only=True)
class Peak:
    """A place where hazard gathers.

    Args:
        ras_mm: (3,), hazard-weighted centre of the highest cell and its neighbours, in the map's RAS.
        hazard_per_mL: Of the highest cell.
        hazard: Local hazard within :data:`PEAK_RADIUS_MM` of the highest cell, not counted for an earlier peak.
        share: That hazard over the whole hazard, background included.
    """

    ras_mm: FloatArray
    hazard_per_mL: float  # noqa: N815 (mL is the unit's own spelling)
    hazard: float
    share: float


def find_peaks(density: Volume, background_hazard: float) -> tuple[Peak, ...]:
    """Up to :data:`MOST_PEAKS` peaks, highest first, each with at least :data:`LEAST_SHARE` of the whole hazard.

    Args:
        density: Hazard per mL, not negative.
        background_hazard: Hazard that belongs to no place.
    """
    places = np.argwhere(density.voxels > 0)
    ras = density.geometry.to_ras(places)
    hazards = density.voxels[tuple(places.T)] * density.geometry.voxel_mL
    whole = float(hazards.sum()) + background_hazard
    left = hazards.copy()
    peaks: list[Peak] = []
    while len(peaks) < MOST_PEAKS and len(left) and left.max() > 0:
        top = int(np.argmax(left))
        distance = np.linalg.norm(ras - ras[top], axis=1)
        near = distance <= PEAK_RADIUS_MM
        hazard = float(left[near].sum())
        if hazard < LEAST_SHARE * whole:
            break
        core = distance <= 1.01 * float(density.geometry.spacing_mm.max()) * np.sqrt(3)
        centre = (ras[core] * left[core, None]).sum(axis=0) / left[core].sum()
        height = float(left[top]) / density.geometry.voxel_mL
        peaks.append(Peak(ras_mm=centre, hazard_per_mL=height, hazard=hazard, share=hazard / whole))
        left[near] = 0.0
    return tuple(peaks)
