"""One rigid descent at one resolution: what is registered to, the same coarser, and a volume without its bias field.

SimpleITK's Mattes mutual information with a rigid transform. Every voxel inside the mask is a sample on coarse levels,
a fixed random part on fine ones, and the metric runs on one thread: the same input gives the same bits whatever the
machine's number of threads.

Matrices here are named ``fixed_to_moving``: (4, 4), RAS millimetres of the fixed volume to the moving volume's.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TemporalGliomaRisk.preprocess.intensity import block_means, fit_bias
from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.timeline.resampling import block_sum, resample
from TemporalGliomaRisk.timeline.sitk_images import LPS_FROM_RAS, ras_matrix_of, sitk_from_volume
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry, Volume

HISTOGRAM_BINS = 32
BLOCK_MM = 6.0
BIAS_ORDER = 3


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What is registered to: a volume, where its metric is evaluated, and the same coarser.

    Args:
        volume: About 2 mm.
        mask: (I, J, K), where the metric is evaluated.
        brain: (I, J, K), over which displacements are averaged.
    """

    volume: Volume
    mask: BoolArray
    brain: BoolArray


def shrunk(volume: Volume, spacing_mm: float) -> Volume:
    """Box means of a volume, each axis as near to a spacing as whole factors allow; finer axes stay."""
    factors = [max(1, math.floor(spacing_mm / float(step) + 0.3)) for step in volume.geometry.spacing_mm]
    cut = tuple(
        slice(0, length - length % factor if length >= factor else length)
        for length, factor in zip(volume.voxels.shape, factors, strict=True)
    )
    factors = [min(factor, length) for factor, length in zip(factors, volume.voxels.shape, strict=True)]
    voxels = block_sum(volume.voxels[cut], (factors[0], factors[1], factors[2])) / np.float32(math.prod(factors))
    scale = np.diag([*map(float, factors), 1.0])
    scale[:3, 3] = (np.array(factors) - 1.0) / 2.0
    shape = (voxels.shape[0], voxels.shape[1], voxels.shape[2])
    return Volume(voxels=voxels, geometry=Geometry(shape=shape, ijk_to_ras=volume.geometry.ijk_to_ras @ scale))


def flattened(moving: Volume, fixed: Fixed, fixed_to_moving: FloatArray) -> Volume:
    """A volume less its smooth bias field, estimated where the fixed brain lies on it by a first guess.

    Both volumes must be flat for mutual information: with a bias field of 15 % left in one of them, the maximum lay
    0.3 to 0.7 mm off on a real glioma at 2 mm.

    Args:
        moving: The volume.
        fixed: What it is registered to.
        fixed_to_moving: (4, 4), from the fixed volume's RAS to the moving one's, mm: the first guess.
    """
    geometry = moving.geometry
    brain = Volume(voxels=fixed.brain.astype(np.uint8), geometry=fixed.volume.geometry)
    inside = resample(brain, geometry, np.linalg.inv(fixed_to_moving)) > 0.5
    factors = tuple(max(1, round(BLOCK_MM / float(step))) for step in geometry.spacing_mm)
    voxels = np.asarray(moving.voxels, dtype=np.float32)
    field = fit_bias(block_means(voxels, inside, (factors[0], factors[1], factors[2]), BIAS_ORDER), BIAS_ORDER)
    log_field = field.on_grid(geometry.shape)
    if inside.any():
        log_field = np.clip(log_field, log_field[inside].min(), log_field[inside].max())
    return Volume(voxels=voxels * np.exp(-log_field), geometry=geometry)


def run_level(
    fixed: Fixed, moving: Volume, start: FloatArray, *, level_mm: float, step_mm: float, iterations: int, seed: int
) -> FloatArray:
    """One rigid descent at one resolution.

    Args:
        fixed: Target.
        moving: About 2 mm or coarser.
        start: (4, 4), ``fixed_to_moving``.
        level_mm: Resolution of both.
        step_mm: First step's length.
        iterations: At most so many.
        seed: Of the sampling on the finest level.

    Returns:
        (4, 4), ``fixed_to_moving``.
    """
    image, mask = level_of(fixed, level_mm)
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.RANDOM)
    samples = int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))
    method.SetMetricSamplingPercentage(min(1.0, 20000.0 / max(samples, 1)), seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=step_mm,
        minStep=0.004,
        numberOfIterations=iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-7,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    transform = _euler(start, fixed)
    method.SetInitialTransform(transform, inPlace=True)
    execute(method, image, sitk_from_volume(shrunk(moving, level_mm)))
    return ras_matrix_of(transform)


def execute(method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image) -> None:
    """Run a registration to its end; a cancel, or Ctrl-C, ends it at the next iteration.

    Args:
        method: All set; its transform is changed in place.
        fixed: Target.
        moving: What is moved.
    """
    raised: list[BaseException] = []

    def look() -> None:
        try:
            check_cancelled()
        except BaseException as error:
            raised.append(error)
            raise

    def quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not raised:
            before(kind, error, trace)

    check_cancelled()
    method.AddCommand(sitk.sitkIterationEvent, look)
    # StopRegistration does not stop LBFGSB, an error in the callback stops every optimiser; SimpleITK hands it to
    # sys.excepthook, for printing, and raises a RuntimeError of its own.
    before, sys.excepthook = sys.excepthook, quietly
    # The method's own number of threads does not reach the metric, whose sums then differ from run to run.
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        method.Execute(fixed, moving)
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        sys.excepthook = before
        if raised:
            raise raised[0]


def level_of(fixed: Fixed, level_mm: float) -> tuple[sitk.Image, sitk.Image]:
    """A target's volume and metric mask at a resolution."""
    volume = shrunk(fixed.volume, level_mm)
    share = shrunk(Volume(voxels=fixed.mask.astype(np.float32), geometry=fixed.volume.geometry), level_mm)
    mask = Volume(voxels=share.voxels > 0.5, geometry=share.geometry)
    return sitk_from_volume(volume), sitk_from_volume(mask)


def _euler(fixed_to_moving: FloatArray, fixed: Fixed) -> sitk.Euler3DTransform:
    """The rigid transform with its centre in the middle of the fixed brain."""
    centre = centroid(fixed.brain, fixed.volume.geometry)
    lps = LPS_FROM_RAS @ fixed_to_moving @ LPS_FROM_RAS
    centre_lps = LPS_FROM_RAS[:3, :3] @ centre
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre_lps.tolist())
    u, _, vt = np.linalg.svd(lps[:3, :3])
    transform.SetMatrix((u @ vt).ravel().tolist(), 1e-6)
    transform.SetTranslation((lps[:3, :3] @ centre_lps + lps[:3, 3] - centre_lps).tolist())
    return transform


def centroid(mask: BoolArray, geometry: Geometry) -> FloatArray:
    """(3,), RAS middle of a mask."""
    return geometry.to_ras(np.argwhere(mask).mean(axis=0))


def dilated(mask: BoolArray) -> BoolArray:
    """A mask (I, J, K) grown by two voxels: a stripped brain's outline is its strongest landmark."""
    return np.asarray(ndimage.binary_dilation(mask, iterations=2))
