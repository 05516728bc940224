"""The brain of an unstripped head, by a template: rigid, then affine, then a smooth deformation, by mutual information.

The template is the MNI152 brain at 2 mm (``Resources/Templates``); mutual information lets one T1 brain find the brain
of any sequence. Every refinement must make the match better and keep a brain's size, else the step before it stands.

Thick slices with a bright scalp draw the template out to the scalp. A match that is unsure, or could not be refined, is
therefore made again on the head without its scalp (``brain_core``), and taken only if the two ways to find the brain
meet.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TemporalGliomaRisk.preprocess.alignment import SEEDS, similarity_at
from TemporalGliomaRisk.preprocess.brain_core import brain_core, dice, met, without_scalp
from TemporalGliomaRisk.preprocess.brain_mask import head_mask
from TemporalGliomaRisk.preprocess.descent import (
    Fixed,
    centroid,
    dilated,
    execute,
    flattened,
    level_of,
    run_level,
    shrunk,
)
from TemporalGliomaRisk.preprocess.grid import canonical
from TemporalGliomaRisk.resources import resource_path
from TemporalGliomaRisk.timeline.sitk_images import (
    lps_from_ras_transform,
    lps_point,
    ras_matrix_of,
    sitk_from_volume,
    volume_from_sitk,
)
from TemporalGliomaRisk.timeline.volume import FloatArray, Geometry, Volume

TEMPLATE = "Templates/mni152_brain_T1w_2mm.nii.gz"
BRAIN_TO_VERTEX_MM = 75.0
PITCHES_DEGREES = (-25.0, 0.0, 25.0)
CORE_PITCHES_DEGREES = (0.0, 20.0)
TEMPLATE_SCALE = 0.9
"""The template's brain with its fluid holds 1900 mL; most brains, children's above all, are nearer to 1385."""
KNOTS_MM = 45.0
LEAST_GROWTH, MOST_GROWTH = 0.3, 1.3
"""An affine match that makes the template's brain smaller or larger than this has found something else."""
SURE_SIMILARITY = 1.05
"""Right matches of real heads had 1.06 to 1.10, those that ended in the scalp less than 1.04."""
LEAST_MEETING = 0.85
LARGEST_BEND = 1.15
"""A deformation that changes the volume by more is left out."""


@functools.lru_cache(maxsize=1)
def template() -> Fixed:
    """The template brain, on its 2 mm grid; its rim takes part in the metric."""
    volume = canonical(volume_from_sitk(sitk.ReadImage(str(resource_path(TEMPLATE)))))
    smaller = np.diag([TEMPLATE_SCALE, TEMPLATE_SCALE, TEMPLATE_SCALE, 1.0]) @ volume.geometry.ijk_to_ras
    volume = Volume(voxels=volume.voxels, geometry=Geometry(shape=volume.geometry.shape, ijk_to_ras=smaller))
    brain = volume.voxels > 0
    return Fixed(
        volume=Volume(voxels=volume.voxels.astype(np.float32), geometry=volume.geometry),
        mask=dilated(brain),
        brain=brain,
    )


def template_mask(volume: Volume) -> tuple[Volume, float]:
    """Find the brain of an unstripped head.

    Args:
        volume: About 2 mm in plane (``alignment.prepared_for_metric``), background at zero.

    Returns:
        The mask on the volume's own grid, and the normalised mutual information of template and head at the end.
    """
    mask, similarity = _found(volume)
    # A template reaches below a short field of view, where there is nothing but air.
    inside = mask.voxels.astype(bool) & head_mask(volume)
    return Volume(voxels=inside, geometry=volume.geometry), similarity


def _found(volume: Volume) -> tuple[Volume, float]:
    """The mask by the whole head or, where that is unsure, by the head without its scalp."""
    fixed = template()
    mask, similarity, refined = _matched(fixed, volume, _starts(fixed, volume), lambda head: head)
    core = None if refined and similarity >= SURE_SIMILARITY else brain_core(volume)
    if core is None:
        return mask, similarity
    goal = centroid(core, volume.geometry)
    starts = (_pitched(fixed, goal, degrees) for degrees in CORE_PITCHES_DEGREES)
    again, better, _ = _matched(fixed, volume, starts, lambda head: without_scalp(head, core))
    found = again.voxels.astype(bool)
    if dice(found, core) < LEAST_MEETING:
        return mask, similarity
    return Volume(voxels=met(core, found, volume.geometry.spacing_mm), geometry=volume.geometry), better


def _matched(
    fixed: Fixed, volume: Volume, starts: Iterable[FloatArray], seen: Callable[[Volume], Volume]
) -> tuple[Volume, float, bool]:
    """The best start's rigid match, and whether it could be refined; ``seen`` makes of a head what the metric sees."""
    plain = seen(volume)
    best, _ = max((_rigid(fixed, plain, start) for start in starts), key=lambda found: found[1])
    flat = seen(flattened(volume, fixed, best))
    similarity = similarity_at(fixed, flat, best)
    affine = _affine(fixed, flat, best)
    matrix = ras_matrix_of(affine)
    growth = float(np.linalg.det(matrix[:3, :3]))
    refined = similarity_at(fixed, flat, matrix)
    if refined > similarity and LEAST_GROWTH <= growth <= MOST_GROWTH:
        return _deformed(fixed, seen(flattened(volume, fixed, matrix)), affine), refined, True
    return _carried(fixed, flat, sitk.AffineTransform(lps_from_ras_transform(best)).GetInverse()), similarity, False


def _starts(fixed: Fixed, volume: Volume) -> list[FloatArray]:
    """The template's middle 75 mm below the vertex, in the middle of the head there, at three pitches."""
    head = head_mask(volume)
    places = volume.geometry.to_ras(np.argwhere(head))
    top = float(np.percentile(places[:, 2], 99.8))
    upper = places[places[:, 2] > top - 2 * BRAIN_TO_VERTEX_MM]
    goal = np.array([np.median(upper[:, 0]), np.median(upper[:, 1]), top - BRAIN_TO_VERTEX_MM])
    return [_pitched(fixed, goal, degrees) for degrees in PITCHES_DEGREES]


def _pitched(fixed: Fixed, goal: FloatArray, degrees: float) -> FloatArray:
    """(4, 4), the template's middle at a place of the head, its front lifted by an angle."""
    angle = math.radians(degrees)
    start = np.eye(4)
    start[1, 1] = start[2, 2] = math.cos(angle)
    start[1, 2], start[2, 1] = -math.sin(angle), math.sin(angle)
    start[:3, 3] = goal - start[:3, :3] @ centroid(fixed.brain, fixed.volume.geometry)
    return start


def _rigid(fixed: Fixed, volume: Volume, start: FloatArray) -> tuple[FloatArray, float]:
    end = start
    try:
        for level_mm, step_mm, iterations in ((8.0, 4.0, 80), (4.0, 1.0, 40)):
            end = run_level(
                fixed, volume, end, level_mm=level_mm, step_mm=step_mm, iterations=iterations, seed=SEEDS[0]
            )
    except RuntimeError:  # ITK: all samples map outside the volume
        return start, 0.0
    return end, similarity_at(fixed, volume, end)


def _metric(fixed: Fixed, level_mm: float, most_samples: float) -> tuple[sitk.ImageRegistrationMethod, sitk.Image]:
    image, mask = level_of(fixed, level_mm)
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.RANDOM)
    samples = int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))
    method.SetMetricSamplingPercentage(min(1.0, most_samples / max(samples, 1)), SEEDS[0])
    method.SetInterpolator(sitk.sitkLinear)
    return method, image


def _affine(fixed: Fixed, flat: Volume, rigid: FloatArray) -> sitk.AffineTransform:
    start = lps_from_ras_transform(rigid)
    transform = sitk.AffineTransform(3)
    centre = lps_point(centroid(fixed.brain, fixed.volume.geometry))
    transform.SetMatrix(start.GetMatrix())
    transform.SetCenter(centre)
    moved = np.array(start.TransformPoint(centre)) - np.array(centre)
    transform.SetTranslation(moved.tolist())
    for level_mm, step_mm, iterations in ((8.0, 2.0, 80), (4.0, 1.0, 80)):
        method, image = _metric(fixed, level_mm, 20000.0)
        method.SetOptimizerAsRegularStepGradientDescent(step_mm, 0.005, iterations, 0.7, 1e-7)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(transform, inPlace=True)
        execute(method, image, sitk_from_volume(shrunk(flat, level_mm)))
    return transform


def _deformed(fixed: Fixed, flat: Volume, affine: sitk.AffineTransform) -> Volume:
    """The template's brain on the volume's grid, after a smooth deformation of the affine match.

    Here the head is fixed and the template moves, so that the mask comes by one look-up a voxel.
    """
    back = affine.GetInverse()
    carried = _carried(fixed, flat, back)
    first = carried.voxels.astype(bool)
    if not first.any():
        return carried
    head = Fixed(volume=flat, mask=np.asarray(ndimage.binary_dilation(first, iterations=3)), brain=first)
    method, image = _metric(head, 4.0, 10000.0)
    knots = [
        max(3, round(length * step / KNOTS_MM))
        for length, step in zip(image.GetSize(), image.GetSpacing(), strict=True)
    ]
    bending = sitk.BSplineTransformInitializer(image, knots, 3)
    method.SetInitialTransform(bending, inPlace=True)
    method.SetMovingInitialTransform(back)
    method.SetOptimizerAsLBFGSB(gradientConvergenceTolerance=1e-5, numberOfIterations=10)
    execute(method, image, sitk_from_volume(shrunk(fixed.volume, 4.0)))
    whole = sitk.CompositeTransform([back, bending])
    bent = _carried(fixed, flat, whole)
    ratio = float(bent.voxels.sum()) / float(first.sum())
    return bent if 1.0 / LARGEST_BEND <= ratio <= LARGEST_BEND else carried


def _carried(fixed: Fixed, head: Volume, head_to_template: sitk.Transform) -> Volume:
    """The template's brain on the head's own grid."""
    brain = sitk_from_volume(Volume(voxels=fixed.brain.astype(np.float32), geometry=fixed.volume.geometry))
    image = sitk.Resample(brain, sitk_from_volume(head), head_to_template, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return Volume(voxels=volume_from_sitk(image).voxels > 0.5, geometry=head.geometry)
