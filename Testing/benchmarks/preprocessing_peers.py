"""A later visit prepared by us, and by a plain pipeline of SimpleITK and MONAI that does the same steps.

Both read the same two files of the sample patient and are given the first visit's grid and brain mask; both register
the visit to the first, resample each sequence once onto the grid and bring its intensities to a common scale. For the
smooth bias, which we measure against the first visit, the plain pipeline has N4 (timed with and without). Ours checks
its own registration from a second start, which the plain one doesn't.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.transforms import NormalizeIntensity

from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.timeline.visit import Visit
from TemporalGliomaRisk.timeline.volume import Geometry

SHRINK, N4_SHRINK = (4, 2, 1), 4


def empty_image(grid: Geometry) -> sitk.Image:
    image = sitk.Image([int(length) for length in grid.shape], sitk.sitkFloat32)
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.ijk_to_ras
    image.SetOrigin(to_lps[:3, 3].tolist())
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetDirection((to_lps[:3, :3] / grid.spacing_mm).ravel().tolist())
    return image


def registered(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """SimpleITK's usual recipe: rigid, Mattes mutual information, three levels."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(SHRINK))
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(fixed, moving)


def plain(visit: Visit, fixed: sitk.Image, grid: sitk.Image, brain: np.ndarray, *, n4: bool) -> np.ndarray:
    images = [
        sitk.DICOMOrient(sitk.ReadImage(str(visit.sources[name].files[0]), sitk.sitkFloat32), "LPS")
        for name in visit.sequences
    ]
    transform = registered(fixed, images[0])
    scale = NormalizeIntensity(nonzero=True)
    mask = sitk.GetImageFromArray(brain.astype(np.uint8).transpose(2, 1, 0))
    mask.CopyInformation(grid)
    prepared = []
    for image in images:
        on_grid = sitk.Resample(image, grid, transform, sitk.sitkBSpline)
        if n4:
            corrector = sitk.N4BiasFieldCorrectionImageFilter()
            corrector.Execute(sitk.Shrink(on_grid, [N4_SHRINK] * 3), sitk.Shrink(mask, [N4_SHRINK] * 3))
            on_grid = on_grid / sitk.Exp(corrector.GetLogBiasFieldAsImage(on_grid))
        voxels = sitk.GetArrayFromImage(on_grid).transpose(2, 1, 0) * brain
        prepared.append(np.asarray(scale(voxels[None])[0]))
    return np.stack(prepared)


def test_a_later_visit_is_prepared(once: Any, figures: Any, shipped: Any, sample_timeline: Any) -> None:
    config = replace(shipped.preprocessing, register="always")
    first, later = sample_timeline.visits[:2]
    frame, _ = prepare_first_visit(first, config)
    fixed = sitk.DICOMOrient(sitk.ReadImage(str(first.sources[first.sequences[0]].files[0]), sitk.sitkFloat32), "LPS")
    grid = empty_image(frame.grid)
    trusting = replace(config, register="never")
    sides = {
        "ours, registered": lambda: prepare_visit(later, frame, config),
        "ours, alignment measured first": lambda: prepare_visit(later, frame, replace(config, register="auto")),
        "ours, taken as aligned": lambda: prepare_visit(later, frame, trusting),
        "plain, registered, N4": lambda: plain(later, fixed, grid, frame.brain_mask, n4=True),
        "plain, registered, no bias correction": lambda: plain(later, fixed, grid, frame.brain_mask, n4=False),
    }
    once(lambda: figures.compare("preparing a later visit", sides, rounds=5, to="ours, registered"))
