"""How a brain stands: told by its shape, whatever its mirror image, its nod and what the field of view leaves of it."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from TemporalGliomaRisk.preprocess.posture import posture
from TemporalGliomaRisk.preprocess.template_mask import template
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.orientation import to_nearest_ras

SPACING = np.array([2.0, 2.0, 2.0])


def real_brain(shared_data: Path) -> np.ndarray:
    """The stripped brain of an adult with a glioma, 1 mm averaged to 2 mm by leaving out."""
    path = shared_data / "glioma_single" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    volume = to_nearest_ras(VolumeFile(path=path, role="T1w").read())
    return ndimage.binary_fill_holes(volume.voxels[::2, ::2, ::2] > 0)


@pytest.fixture(params=["simulated", "real"])
def brain(request: pytest.FixtureRequest, simulated_cohort: Path, shared_data: Path) -> np.ndarray:
    if request.param == "real":
        return real_brain(shared_data)
    path = simulated_cohort / "truth" / "sub-00027" / "sub-00027_desc-brain_mask.nii.gz"
    volume = to_nearest_ras(VolumeFile(path=path, role="mask").read())
    steps = [max(1, round(2.0 / side)) for side in volume.geometry.spacing_mm]
    return volume.voxels[tuple(slice(None, None, step) for step in steps)] > 0


def test_an_upright_brain_is_upright_and_so_is_its_mirror_image(brain: np.ndarray) -> None:
    for seen in (brain, brain[::-1]):
        assert posture(seen, SPACING, cut=False) is None
        assert posture(seen, SPACING, cut=True) is None


@pytest.mark.parametrize("degrees", [-20, 20])
def test_a_nod_is_no_turn(brain: np.ndarray, degrees: int) -> None:
    nodding = ndimage.rotate(np.pad(brain, 12).astype(np.uint8), degrees, axes=(1, 2), reshape=False, order=0) > 0
    assert posture(nodding, SPACING, cut=False) is None


@pytest.mark.parametrize("cut", [False, True])
def test_reversed_slices_stand_upside_down(brain: np.ndarray, cut: bool) -> None:
    assert posture(brain[:, :, ::-1], SPACING, cut=cut) == "upside down"
    assert posture(brain[:, ::-1, ::-1], SPACING, cut=cut) == "upside down"


def test_swapped_axes_and_a_reversed_front_are_a_turn(brain: np.ndarray) -> None:
    assert posture(brain.transpose(0, 2, 1), SPACING, cut=False) == "turned"
    assert posture(brain.transpose(1, 0, 2), SPACING, cut=False) == "turned"
    assert posture(brain[:, ::-1], SPACING, cut=False) == "turned"


def test_a_cut_is_not_taken_for_a_turn(brain: np.ndarray) -> None:
    for axis, part in ((2, slice(12, None)), (2, slice(None, -10)), (1, slice(None, -12)), (1, slice(12, None))):
        levels = np.flatnonzero(brain.any(axis=tuple(other for other in range(3) if other != axis)))
        whole = brain.take(range(levels[0], levels[-1] + 1), axis)
        kept = whole[(slice(None),) * axis + (part,)]
        assert posture(kept, SPACING, cut=True) is None


def test_voxels_need_not_be_cubes() -> None:
    brain = template().brain
    assert posture(brain[:, :, ::3], np.array([2.0, 2.0, 6.0]), cut=False) is None
    assert posture(brain[:, :, ::-3], np.array([2.0, 2.0, 6.0]), cut=False) == "upside down"
