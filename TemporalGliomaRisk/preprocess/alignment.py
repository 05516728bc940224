"""Rigid alignment: how far two volumes are apart, and the transform that brings one onto the other.

SimpleITK's Mattes mutual information with a rigid transform, on a pyramid of box means of 8, 4 and 2 mm. Every voxel
inside the mask is a sample on the coarse levels, a fixed random tenth on the finest; the metric runs on one thread.
So the same input gives the same bits whatever the machine's number of threads.

Two runs from different starts must agree: their distance is the estimate of what misalignment remains, and too large
a distance refuses the registration. Mutual information alone cannot tell a good end from a bad one across sequences.

Matrices here are named ``fixed_to_moving``: (4, 4), RAS millimetres of the fixed volume to the moving volume's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.preprocess.brain_mask import background_of, head_mask, stripped_mask
from TemporalGliomaRisk.preprocess.descent import Fixed, centroid, dilated, flattened, run_level, shrunk
from TemporalGliomaRisk.preprocess.grid import canonical
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry, Volume

MEASURE = "normalised mutual information"
FINEST_MM = 2.0
LEVELS = ((8.0, 4.0, 60), (4.0, 1.0, 40), (2.0, 0.3, 30))
COARSE_LEVELS = LEVELS[:2]
QUICK_LEVELS = ((8.0, 2.0, 40), (4.0, 0.5, 40))
SEEDS = (20, 21)
AGREE_MM = 1.0
STANDARDISED_FROM = 0.1
"""Content so far below the background, in parts of its brightest, was standardised; noise about air lies nearer."""
LEAST_OVERLAP = 0.5


@dataclass(frozen=True, kw_only=True)
class AlignmentMeasure:
    """How well two volumes lie on each other.

    Args:
        similarity: Normalised mutual information as they lie, 1 (independent) to 2 (one tells the other).
        measure: That name.
        displacement_mm: How far a quick rigid registration would move the one, mean over the content.
    """

    similarity: float
    measure: str
    displacement_mm: float


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The end of a registration.

    Args:
        fixed_to_moving: (4, 4), RAS.
        disagreement_mm: Distance of the two runs' ends, mean over the brain.
        similarity: Normalised mutual information at the end.
        overlap: Share of the fixed brain inside the moving volume's field of view.
    """

    fixed_to_moving: FloatArray
    disagreement_mm: float
    similarity: float
    overlap: float


def mean_displacement_mm(one: FloatArray, other: FloatArray, mask: BoolArray, geometry: Geometry) -> float:
    """Mean distance over a mask (I, J, K) between where two (4, 4) RAS matrices, in mm, take the same point."""
    points = geometry.to_ras(np.argwhere(mask[::2, ::2, ::2]) * 2)
    difference = np.asarray(one) - np.asarray(other)
    return float(np.linalg.norm(points @ difference[:3, :3].T + difference[:3, 3], axis=1).mean())


def measure_alignment(moving: Volume, fixed: Volume) -> AlignmentMeasure:
    """How well two volumes lie on each other as they are, at low resolution, in a fraction of a second.

    Args:
        moving: Any volume with a head in it, stripped or not.
        fixed: The same.
    """
    target, source = canonical(fixed), canonical(moving)
    small = shrunk(target, FINEST_MM)
    background = background_of(target)
    own = stripped_mask(target, background)
    content = (
        head_mask(small)
        if own is None
        else shrunk(Volume(voxels=own.astype(np.float32), geometry=target.geometry), FINEST_MM).voxels > 0.5
    )
    flat = _above_background(small, background.value)
    around = Fixed(volume=flat, mask=content if own is None else dilated(content), brain=content)
    around = Fixed(volume=flattened(flat, around, np.eye(4)), mask=around.mask, brain=content)
    return quick_measure(around, prepared_for_metric(source, background_of(source).value))


def prepared_for_metric(volume: Volume, background: float) -> Volume:
    """A canonical volume at about 2 mm, its background at zero and its content above it."""
    return _above_background(shrunk(volume, FINEST_MM), background)


def _above_background(volume: Volume, background: float) -> Volume:
    """The same volume with its background at zero; a stripped brain that was standardised lies on both sides of it.

    There fluid and air would look alike to any measure, so all of the content is raised above the background.
    """
    voxels = volume.voxels - np.float32(background)
    content = voxels[voxels != 0][::7]
    if content.size:
        low, high = np.percentile(content, (0.1, 99.9))
        if high > 0 and low < -STANDARDISED_FROM * high:
            voxels = np.where(voxels != 0, voxels - np.float32(low), np.float32(0))
    return Volume(voxels=voxels, geometry=volume.geometry)


def quick_measure(fixed: Fixed, moving: Volume) -> AlignmentMeasure:
    """Similarity of two volumes as they lie, and how far a descent at 8 and 4 mm from there goes."""
    if overlap_of(fixed, moving.geometry, np.eye(4)) < LEAST_OVERLAP:
        extent = float(np.linalg.norm(centre_of(moving.geometry) - centre_of(fixed.volume.geometry)))
        return AlignmentMeasure(similarity=1.0, measure=MEASURE, displacement_mm=extent)
    flat = flattened(moving, fixed, np.eye(4))
    start: FloatArray = np.eye(4)
    for level_mm, step_mm, iterations in QUICK_LEVELS:
        start = run_level(fixed, flat, start, level_mm=level_mm, step_mm=step_mm, iterations=iterations, seed=SEEDS[0])
    return AlignmentMeasure(
        similarity=similarity_at(fixed, flat, np.eye(4)),
        measure=MEASURE,
        displacement_mm=mean_displacement_mm(start, np.eye(4), fixed.brain, fixed.volume.geometry),
    )


def register(fixed: Fixed, moving: Volume) -> Registered:
    """Bring a volume onto another, from two starts that must meet.

    The first run starts where the headers put the two, the second where their middles meet. Where the ends are more
    than ``AGREE_MM`` apart, eight more starts (20 degrees about each axis, both ways) are tried at 8 mm, the best by
    similarity is followed to the end, and a last run from 8 mm and 6 degrees beside that end must come back to it.

    Args:
        fixed: Target.
        moving: About 2 mm (:func:`prepared_for_metric`).
    """
    starts: list[FloatArray] = [np.eye(4), _middles_meet(fixed, moving)]
    ends = [_descend(fixed, moving, start, seed) for start, seed in zip(starts, SEEDS, strict=True)]
    apart = _apart(fixed, ends[0], ends[1])
    best = max(ends, key=lambda end: similarity_at(fixed, moving, end))
    if not apart <= AGREE_MM:
        turned = [_turned(starts[1], axis, angle, fixed) for axis in range(3) for angle in (-20.0, 20.0)]
        trials = [*ends, *(_descend(fixed, moving, start, SEEDS[0], COARSE_LEVELS) for start in turned)]
        best = max(trials, key=lambda end: similarity_at(fixed, moving, end))
        best = _descend(fixed, moving, best, SEEDS[0])
        beside = _turned(best, 2, 6.0, fixed)
        beside[:3, 3] += 8.0 / math.sqrt(3.0)
        apart = _apart(fixed, best, _descend(fixed, moving, beside, SEEDS[1]))
    return Registered(
        fixed_to_moving=best,
        disagreement_mm=apart,
        similarity=similarity_at(fixed, flattened(moving, fixed, best), best),
        overlap=overlap_of(fixed, moving.geometry, best),
    )


def _descend(
    fixed: Fixed, moving: Volume, start: FloatArray, seed: int, levels: tuple[tuple[float, float, int], ...] = ()
) -> FloatArray:
    """Down the pyramid from a start; a descent that leaves the volume ends where it was."""
    end = start
    for number, (level_mm, step_mm, iterations) in enumerate(levels or LEVELS):
        try:
            flat = moving if number == 0 else flattened(moving, fixed, end)
            end = run_level(fixed, flat, end, level_mm=level_mm, step_mm=step_mm, iterations=iterations, seed=seed)
        except RuntimeError:  # ITK: all samples map outside the moving volume
            return end
    return end


def _middles_meet(fixed: Fixed, moving: Volume) -> FloatArray:
    """Translation from the fixed brain's middle to the middle of the moving volume's content."""
    content = head_mask(moving)
    start = np.eye(4)
    start[:3, 3] = centroid(content, moving.geometry) - centroid(fixed.brain, fixed.volume.geometry)
    return start


def _turned(start: FloatArray, axis: int, degrees: float, fixed: Fixed) -> FloatArray:
    """A start after a turn about an axis through the fixed brain's middle."""
    centre = centroid(fixed.brain, fixed.volume.geometry)
    angle = math.radians(degrees)
    turn = np.eye(4)
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turn[one, one] = turn[other, other] = math.cos(angle)
    turn[one, other], turn[other, one] = -math.sin(angle), math.sin(angle)
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    return np.asarray(start @ turn)


def _apart(fixed: Fixed, one: FloatArray, other: FloatArray) -> float:
    return mean_displacement_mm(one, other, fixed.brain, fixed.volume.geometry)


def similarity_at(fixed: Fixed, moving: Volume, fixed_to_moving: FloatArray) -> float:
    """Normalised mutual information at 4 mm inside the fixed mask, the moving volume put there by a (4, 4) matrix."""
    coarse, share = (
        shrunk(fixed.volume, 4.0),
        shrunk(Volume(voxels=fixed.mask.astype(np.float32), geometry=fixed.volume.geometry), 4.0),
    )
    there = resample(moving, coarse.geometry, fixed_to_moving)
    return normalised_mutual_information(coarse.voxels, there, share.voxels > 0.5)


def normalised_mutual_information(one: FloatArray, other: FloatArray, mask: BoolArray) -> float:
    """(H(a) + H(b)) / H(a, b) inside a mask: 1 if independent, 2 if one tells the other; 16 bins from 1 to 99 %.

    Args:
        one: (I, J, K), intensities.
        other: (I, J, K).
        mask: (I, J, K).

    Source:
        Studholme C, Hill DLG, Hawkes DJ. An overlap invariant entropy measure of 3D medical image alignment. Pattern
        Recognition 1999;32(1):71-86.
    """
    if not mask.any():
        return 1.0
    codes = []
    for array in (one, other):
        values = array[mask].astype(np.float64)
        low, high = np.percentile(values, (1, 99))
        codes.append(np.clip((values - low) / max(high - low, 1e-12) * 16, 0, 15).astype(int))
    joint = np.bincount(codes[0] * 16 + codes[1], minlength=256).reshape(16, 16) / codes[0].size
    both = _entropy(joint.ravel())
    return (_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / both if both > 0 else 1.0


def _entropy(shares: FloatArray) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())


def overlap_of(fixed: Fixed, moving: Geometry, fixed_to_moving: FloatArray) -> float:
    """Share of the fixed brain that a (4, 4) RAS matrix takes into the moving volume's field of view."""
    points = fixed.volume.geometry.to_ras(np.argwhere(fixed.brain[::3, ::3, ::3]) * 3)
    ijk = moving.to_ijk(points @ fixed_to_moving[:3, :3].T + fixed_to_moving[:3, 3])
    inside = ((ijk >= -0.5) & (ijk <= np.array(moving.shape) - 0.5)).all(axis=1)
    return float(inside.mean()) if inside.size else 0.0


def centre_of(geometry: Geometry) -> FloatArray:
    """(3,), RAS middle of a field of view."""
    return geometry.to_ras((np.array(geometry.shape) - 1) / 2.0)
