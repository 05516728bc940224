"""One volume as read: canonical axes, its background, its own brain mask if it is stripped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.errors import VolumeError
from TemporalGliomaRisk.preprocess.brain_mask import Background, background_of, stripped_mask
from TemporalGliomaRisk.preprocess.grid import canonical
from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.visit import SequenceName, Visit
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry, Volume

LEAST_COVERED = 0.5


@dataclass(frozen=True, kw_only=True)
class LoadedVolume:
    """A volume ready to be put on the grid.

    Args:
        volume: Canonical axes, its own voxel type.
        geometry: The grid as it was stored, on which heatmaps return.
        background: What surrounds the content.
        stripped: (I, J, K), the brain if the volume is stripped already, else None.
    """

    volume: Volume
    geometry: Geometry
    background: Background
    stripped: BoolArray | None


@dataclass(frozen=True, kw_only=True)
class GridArray:
    """A volume on the model grid.

    Args:
        voxels: (I, J, K) float32, background at 0, never negative, 0 where not covered.
        covered: (I, J, K), where the volume has something to say: its own brain if stripped, else its field of view.
        lifted: Whether intensities below the background were found, so that all were raised by a constant.
    """

    voxels: FloatArray
    covered: BoolArray
    lifted: bool


def load(visit: Visit, name: SequenceName, number: int | None) -> LoadedVolume:
    """Read one sequence of a visit.

    Raises:
        VolumeError: If it holds NaN or infinite voxels.
    """
    check_cancelled()
    stored = visit.sources[name].read()
    check_cancelled()
    where = f"{name} of visit {number}" if number else f"{name}"
    if np.issubdtype(stored.voxels.dtype, np.floating) and not np.isfinite(stored.voxels).all():
        raise VolumeError(f"{where} holds NaN or infinite voxels; finite intensities are needed. Export it again.")
    volume = canonical(stored)
    background = background_of(volume)
    return LoadedVolume(
        volume=volume,
        geometry=stored.geometry,
        background=background,
        stripped=stripped_mask(volume, background),
    )


def on_grid(
    loaded: LoadedVolume, grid: Geometry, grid_ras_to_volume_ras: FloatArray, brain: BoolArray | None
) -> GridArray:
    """Put a volume on the grid by one interpolation.

    At the rim of a stripped brain a grid voxel is partly background; the mean is taken over its covered part, so that
    the rim keeps the brightness of brain and different visits' rims compare.

    Args:
        loaded: The volume.
        grid: Target.
        grid_ras_to_volume_ras: (4, 4).
        brain: (I, J, K) on the grid, where negative intensities are looked for; None for everywhere.
    """
    value = loaded.background.value if loaded.background.share_of_faces >= LEAST_COVERED else 0.0
    voxels = resample(loaded.volume, grid, grid_ras_to_volume_ras, outside=value) - np.float32(value)
    inside = loaded.stripped
    weights = Volume(
        voxels=np.ones(loaded.volume.voxels.shape, np.uint8) if inside is None else inside.view(np.uint8),
        geometry=loaded.volume.geometry,
    )
    share = resample(weights, grid, grid_ras_to_volume_ras)
    covered = share > LEAST_COVERED
    voxels = np.where(covered, voxels / np.maximum(share, np.float32(LEAST_COVERED)), np.float32(0.0))
    within = voxels[covered if brain is None else covered & brain]
    floor = float(np.percentile(within[::7], 0.1)) if within.size else 0.0
    lifted = floor < -1e-3 * float(np.abs(within).max(initial=0.0))
    if lifted:
        voxels = np.where(covered, voxels - np.float32(floor), np.float32(0.0))
    return GridArray(voxels=np.maximum(voxels, np.float32(0.0)), covered=covered, lifted=lifted)
