"""The brain of unstripped heads: met by the masks that came with real MRI, turned heads included, or refused."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from TemporalGliomaRisk.errors import BrainMaskError
from TemporalGliomaRisk.preprocess.alignment import prepared_for_metric
from TemporalGliomaRisk.preprocess.brain_core import dice, met
from TemporalGliomaRisk.preprocess.brain_mask import background_of, check_plausible
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.descent import shrunk
from TemporalGliomaRisk.preprocess.find_brain import LEAST_TEMPLATE_SIMILARITY
from TemporalGliomaRisk.preprocess.grid import canonical
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit
from TemporalGliomaRisk.preprocess.template_mask import template_mask
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk
from TemporalGliomaRisk.timeline.visit import Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Geometry, Volume


def read(path):
    return canonical(volume_from_sitk(sitk.ReadImage(str(path))))


def on_small_grid(mask):
    return shrunk(Volume(voxels=(mask.voxels > 0).astype(np.float32), geometry=mask.geometry), 2.0).voxels > 0.5


def found_on(volume):
    mask, similarity = template_mask(prepared_for_metric(volume, background_of(volume).value))
    assert similarity >= LEAST_TEMPLATE_SIMILARITY
    check_plausible(mask.voxels.astype(bool), mask.geometry, origin="found")
    return mask.voxels.astype(bool)


def ms_head(shared_data, name):
    folder = shared_data / "ms_pair" / "derivatives" / "registered" / "sub-01"
    head = read(folder / "ses-01" / "anat" / f"sub-01_ses-01_space-common_{name}.nii.gz")
    return head, on_small_grid(read(folder / "sub-01_space-common_desc-brain_mask.nii.gz"))


@pytest.mark.parametrize(("name", "least"), [("FLAIR", 0.93), ("T1w", 0.93), ("T2w", 0.93)])
def test_the_brain_that_the_data_came_with_is_found_on_every_sequence(shared_data, name, least, record_property):
    head, wanted = ms_head(shared_data, name)
    overlap = dice(found_on(head), wanted)
    record_property("dice", overlap)
    print(f"{name}: Dice {overlap:.3f}")  # noqa: T201
    assert overlap > least


def test_a_head_that_lies_turned_and_far_off_gives_its_own_brain(shared_data):
    head, wanted = ms_head(shared_data, "T1w")
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (14.0, -6.0, 9.0), degrees=True).as_matrix()
    turn[:3, 3] = (40.0, -30.0, 60.0)
    turned = Geometry(shape=head.geometry.shape, ijk_to_ras=turn @ head.geometry.ijk_to_ras)
    assert dice(found_on(Volume(voxels=head.voxels, geometry=turned)), wanted) > 0.92


@pytest.mark.parametrize("patient", ["sub-01", "sub-05"])
def test_thick_slices_with_a_bright_scalp_keep_the_tumour_and_leave_the_scalp(shared_data, patient):
    folder = shared_data / "glioblastoma_pairs"
    where = f"{patient}/ses-01/anat/{patient}_ses-01_ce-gd_T1w"
    head = read(folder / f"{where}.nii.gz")
    tumour = on_small_grid(read(folder / "derivatives" / "tumour_masks" / f"{where}_desc-tumour_mask.nii.gz"))
    found = found_on(head)
    small = prepared_for_metric(head, 0.0)
    fat = small.voxels > np.percentile(small.voxels, 97)
    assert (tumour & found).sum() > 0.95 * tumour.sum()
    assert (fat & found & ~tumour).sum() < 0.05 * fat.sum()
    assert 1000 < found.sum() * small.geometry.voxel_mL < 1700


def test_an_outline_is_the_cores_and_the_depth_is_the_templates():
    ijk = np.stack(np.indices((60, 60, 20)), axis=-1) - np.array([30, 30, 10])
    spacing = np.array([2.0, 2.0, 4.0])
    radius = np.linalg.norm(ijk * spacing, axis=-1)
    core, template = radius < 32, radius < 30
    core &= ~((radius < 8) | ((ijk[..., 0] > 10) & (np.abs(ijk[..., 1]) < 3)))
    core[2:5, 2:5, 10] = True
    joined = met(core, template, spacing)
    assert joined[30, 30, 10]
    assert joined[15, 30, 10]
    assert joined[38, 30, 10]
    assert not joined[44, 30, 10], "what the core lacks at the brim stays out"
    assert not joined[3, 3, 10], "what lies far from the template stays out"


def test_something_that_is_no_head_is_refused_with_a_word_on_masks():
    random = np.random.default_rng(3)
    smooth = random.normal(500, 200, (20, 20, 20)).repeat(5, 0).repeat(5, 1).repeat(5, 2)
    volume = Volume(
        voxels=np.clip(smooth, 1, 2000).astype(np.int16),
        geometry=Geometry(shape=(100, 100, 100), ijk_to_ras=np.diag([2.0, 2.0, 2.0, 1.0])),
    )
    visit = Visit(
        session_id="ses-01",
        days_since_first=0,
        days_since_treatment=None,
        sources={"FLAIR": VolumeInMemory(volume=volume)},
    )
    with pytest.raises(BrainMaskError, match=r"--mask FILE.*--mask none"):
        prepare_first_visit(visit, PreprocessConfig(register="never"))
