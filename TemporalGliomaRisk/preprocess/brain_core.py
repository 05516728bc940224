"""The brain of an unstripped head by its grey levels alone: the largest piece of middling tissue inside the skull.

Rough: it may lose what is brighter or darker than brain at its rim (an open resection cavity, a draining sinus) and
keep a muscle that touches it. So it serves where a template's match is unsure: to take the scalp away, and to be met.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TemporalGliomaRisk.preprocess.brain_mask import (
    SMALLEST_BRAIN_ML,
    fill_holes_by_slices,
    head_mask,
)
from TemporalGliomaRisk.timeline.sitk_images import sitk_from_volume
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Volume
from TemporalGliomaRisk.timeline.voxel_checks import LARGEST_BRAIN_ML

BRIDGE_MM = 4.0
"""Pieces that hang together by less than twice this are apart: thinner than a brain's stem, thicker than vessels."""
NEAR_MM = 6.0


def brain_core(volume: Volume) -> BoolArray | None:
    """The largest connected piece of the middle of three grey-level classes (Otsu), opened by 4 mm, holes filled.

    Args:
        volume: About 2 mm in plane, background at zero.

    Returns:
        (I, J, K), or None where that piece holds no brain's volume.
    """
    spacing = volume.geometry.spacing_mm
    voxels = np.asarray(volume.voxels, dtype=np.float32)
    classes = sitk.OtsuMultipleThresholdsImageFilter()
    classes.SetNumberOfThresholds(2)
    classes.SetNumberOfHistogramBins(128)
    clipped = np.clip(voxels, 0.0, np.percentile(voxels, 99.5))
    classes.Execute(sitk_from_volume(Volume(voxels=clipped, geometry=volume.geometry)))
    low, high = classes.GetThresholds()
    deep = ndimage.distance_transform_edt((voxels > low) & (voxels < high), sampling=spacing) > BRIDGE_MM
    labels, pieces = ndimage.label(deep)
    if not pieces:
        return None
    largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    core = fill_holes_by_slices(ndimage.distance_transform_edt(~largest, sampling=spacing) <= BRIDGE_MM + 1.0)
    return core if SMALLEST_BRAIN_ML <= float(core.sum()) * volume.geometry.voxel_mL <= LARGEST_BRAIN_ML else None


def without_scalp(volume: Volume, core: BoolArray) -> Volume:
    """Ranks of the head's grey levels from 0.5 to 1 inside the core, zero outside: only a brain is left to be matched.

    Ranks, because fat after contrast is so bright that a histogram of even bins puts all the brain into a few.

    Args:
        volume: Background at zero.
        core: (I, J, K), from :func:`brain_core`.
    """
    ordered = np.sort(volume.voxels[head_mask(volume)], axis=None)
    ranks = np.searchsorted(ordered, volume.voxels) / ordered.size
    return Volume(voxels=np.where(core, 0.5 + 0.5 * ranks, 0.0).astype(np.float32), geometry=volume.geometry)


def met(core: BoolArray, template: BoolArray, spacing_mm: FloatArray) -> BoolArray:
    """The core within 6 mm of the template's outline: it is trusted at the brim, the template in the depth.

    Args:
        core: (I, J, K), follows the brim closely, with notches at cavities.
        template: (I, J, K), smooth, whole, but off by some millimetres.
        spacing_mm: (3,).
    """
    near = ndimage.distance_transform_edt(~template, sampling=spacing_mm) <= NEAR_MM
    deep = ndimage.distance_transform_edt(template, sampling=spacing_mm) > NEAR_MM
    joined = fill_holes_by_slices((core & near) | deep)
    labels, _ = ndimage.label(joined)
    return np.asarray(labels == np.bincount(labels.ravel())[1:].argmax() + 1)


def dice(one: BoolArray, other: BoolArray) -> float:
    """Overlap of two masks of one shape: 0 where they are apart, 1 where they are the same."""
    return float(2.0 * (one & other).sum() / max(float(one.sum() + other.sum()), 1.0))
