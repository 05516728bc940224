"""Where the head lies in a volume, and the greys that show what is in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.timeline.volume import FloatArray, Volume

MARGIN_MM = 9.0
HEAD_HEIGHT_MM = 185.0
"""What lies further below the vertex than this is neck."""
DEEP_SHARE = 0.7
"""Part of the head's box, along each axis, whose ellipsoid holds brain and little else."""


@dataclass(frozen=True, kw_only=True)
class HeadBox:
    """Where the head lies: centre in RAS mm, and its size along R, A and S in mm, margins included."""

    centre_ras: FloatArray
    size_mm: FloatArray


def head_box(volume: Volume) -> HeadBox:
    """Box around what is brighter than air, or the whole field of view where nothing stands out."""
    stride = [max(1, length // 64) for length in volume.geometry.shape]
    coarse = np.nan_to_num(np.asarray(volume.voxels[:: stride[0], :: stride[1], :: stride[2]], dtype=np.float32))
    indices = np.argwhere(coarse > 0.15 * np.percentile(coarse, 99.5))
    if len(indices) < 8:
        corners = np.array(np.meshgrid(*[(0, length - 1) for length in volume.geometry.shape])).reshape(3, -1).T
        places = volume.geometry.to_ras(corners)
        low, high = places.min(axis=0), places.max(axis=0)
    else:
        low, high = np.percentile(volume.geometry.to_ras(indices * stride), (0.2, 99.8), axis=0)
    low, high = low - MARGIN_MM, high + MARGIN_MM
    low[2] = max(low[2], high[2] - HEAD_HEIGHT_MM)
    return HeadBox(centre_ras=(low + high) / 2, size_mm=high - low)


@dataclass(frozen=True, kw_only=True)
class TissueLevels:
    """Intensities of what lies deep in the head: its darkest (zero where it has none below), median and brightest."""

    low: float
    median: float
    high: float


def tissue_levels(volume: Volume) -> TissueLevels:
    """Intensities of the tissue deep in the head.

    The scalp's fat, brighter than any brain on T1w, and a few very bright voxels do not count.
    """
    stride = [max(1, length // 96) for length in volume.geometry.shape]
    coarse = np.asarray(volume.voxels[:: stride[0], :: stride[1], :: stride[2]], dtype=np.float32)
    deep = _inside_ellipsoid(volume, head_box(volume), stride, coarse.shape)
    voxels = coarse[deep & np.isfinite(coarse)]
    tissue = voxels[voxels > 0.15 * np.percentile(voxels, 99.5)] if voxels.size else voxels
    if tissue.size < 8:
        return TissueLevels(low=0.0, median=0.5, high=1.0)
    low, median, high = float(min(0.0, tissue.min())), float(np.median(tissue)), float(np.percentile(tissue, 99.7))
    return TissueLevels(low=low, median=median, high=high if high > low else low + 1.0)


def grey_window(volume: Volume) -> tuple[float, float]:
    """Intensities shown as black and as white, set by the tissue deep in the head."""
    levels = tissue_levels(volume)
    return levels.low, levels.high


def _inside_ellipsoid(volume: Volume, box: HeadBox, stride: list[int], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which of every ``stride``-th voxels lie in the ellipsoid of :data:`DEEP_SHARE` of the head's box."""
    to_unit = volume.geometry.ijk_to_ras[:3] / (DEEP_SHARE * box.size_mm / 2)[:, None]
    start = to_unit[:, 3] - box.centre_ras / (DEEP_SHARE * box.size_mm / 2)
    distance = np.zeros(shape, np.float32)
    for world in range(3):
        # A place is a sum over the voxel axes, so one line an axis is all that needs computing.
        steps = [to_unit[world, axis] * stride[axis] * np.arange(shape[axis]) for axis in range(3)]
        along = (start[world] + steps[0])[:, None, None] + steps[1][:, None] + steps[2]
        distance += np.square(along, dtype=np.float32, casting="same_kind")
    return np.asarray(distance <= 1)
