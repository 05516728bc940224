"""Alignment on real MRI: known moves come back, and the authors' registration of a real pair is met."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from TemporalGliomaRisk.errors import RegistrationError
from TemporalGliomaRisk.preprocess.alignment import (
    mean_displacement_mm,
    measure_alignment,
    prepared_for_metric,
    register,
)
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.descent import Fixed, dilated, flattened, shrunk
from TemporalGliomaRisk.preprocess.grid import canonical
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk
from TemporalGliomaRisk.timeline.visit import Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Geometry, Volume


def read(path):
    return volume_from_sitk(sitk.ReadImage(str(path)))


def visit_of(volumes, day=0):
    sources = {name: VolumeInMemory(volume=volume) for name, volume in volumes.items()}
    return Visit(session_id=f"ses-{day:02d}", days_since_first=day, days_since_treatment=None, sources=sources)


def rigid(degrees, millimetres, about, seed):
    """A rotation about a random axis through a point, then a random shift: (4, 4) in RAS."""
    random = np.random.default_rng(seed)
    axis, shift = random.normal(size=3), random.normal(size=3)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * axis / np.linalg.norm(axis)).as_matrix()
    matrix[:3, 3] = about + millimetres * shift / np.linalg.norm(shift) - matrix[:3, :3] @ about
    return matrix


def moved(volume, matrix):
    """The same head elsewhere: where a place was, ``matrix`` times that place is now."""
    return Volume(
        voxels=volume.voxels,
        geometry=Geometry(shape=volume.geometry.shape, ijk_to_ras=matrix @ volume.geometry.ijk_to_ras),
    )


def rescanned(volume, matrix, spacing, seed):
    """The moved head on another, oblique grid with its own spacing, as a second scan would have it."""
    there = moved(volume, matrix)
    centre = there.geometry.to_ras((np.array(there.geometry.shape) - 1) / 2)
    shape = tuple(int(np.ceil(250 / step)) for step in spacing)
    turn = rigid(9, 0, np.zeros(3), seed)[:3, :3]
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = turn * np.array(spacing)
    ijk_to_ras[:3, 3] = centre - ijk_to_ras[:3, :3] @ ((np.array(shape) - 1) / 2)
    grid = Geometry(shape=shape, ijk_to_ras=ijk_to_ras)
    return Volume(voxels=np.round(resample(there, grid)).astype(np.int16), geometry=grid)


@pytest.fixture(scope="module")
def glioma(shared_data):
    folder = shared_data / "glioma_single" / "sub-01" / "anat"
    return {name: read(folder / f"sub-01_{name}.nii.gz") for name in ("FLAIR", "T1w")}


@pytest.fixture(scope="module")
def first(glioma):
    return prepare_first_visit(visit_of({"FLAIR": glioma["FLAIR"]}), PreprocessConfig())


@pytest.mark.parametrize(
    "scan",
    [
        (0.0, 0.0, (1.0, 1.0, 1.0)),
        (2.0, 3.0, (1.0, 1.0, 3.0)),
        (7.0, 10.0, (0.9, 0.9, 5.0)),
        (15.0, 20.0, (1.0, 1.0, 1.0)),
        (15.0, 20.0, (1.2, 4.0, 1.2)),
    ],
)
def test_a_known_move_onto_an_oblique_grid_is_recovered_to_half_a_millimetre(glioma, first, scan, record_property):
    degrees, millimetres, spacing = scan
    frame, _ = first
    centre = frame.grid.to_ras(np.argwhere(frame.brain_mask).mean(axis=0))
    truth = rigid(degrees, millimetres, centre, seed=int(degrees) + 11)
    later = rescanned(glioma["FLAIR"], truth, spacing, seed=5)
    prepared = prepare_visit(visit_of({"FLAIR": later}, 100), frame, PreprocessConfig(register="always"), number=2)
    found = np.linalg.inv(prepared.visit_ras_to_frame_ras)
    error = mean_displacement_mm(found, truth, frame.brain_mask, frame.grid)
    record_property("mean_error_mm", error)
    print(f"{degrees} degrees, {millimetres} mm, spacing {spacing}: {error:.3f} mm")  # noqa: T201
    assert error < 0.5
    assert prepared.alignments[0].residual_mm < 0.5


def test_auto_moves_a_visit_that_is_2_mm_off_and_leaves_one_that_is_not(glioma, first):
    frame, _ = first
    shifted = np.eye(4)
    shifted[:3, 3] = (1.2, -1.2, 1.0)
    config = PreprocessConfig(register="auto")
    still = prepare_visit(visit_of({"FLAIR": glioma["FLAIR"]}, 90), frame, config, number=2)
    off = prepare_visit(visit_of({"FLAIR": moved(glioma["FLAIR"], shifted)}, 90), frame, config, number=2)
    assert not still.alignments[0].moved
    assert np.array_equal(still.visit_ras_to_frame_ras, np.eye(4))
    assert off.alignments[0].moved
    np.testing.assert_allclose(off.visit_ras_to_frame_ras @ shifted, np.eye(4), atol=0.3)
    assert any("moved by 2.0 mm" in finding.message for finding in off.findings)


def test_measure_alignment_tells_how_far_two_volumes_are_apart(glioma):
    matrix = np.eye(4)
    matrix[:3, 3] = (3.0, 0.0, -4.0)
    together = measure_alignment(glioma["FLAIR"], glioma["FLAIR"])
    apart = measure_alignment(moved(glioma["FLAIR"], matrix), glioma["FLAIR"])
    assert together.displacement_mm < 0.2
    assert apart.displacement_mm == pytest.approx(5.0, abs=0.5)
    assert apart.similarity < together.similarity


def test_registration_gives_the_same_numbers_on_one_thread_and_on_two(glioma, first):
    frame, _ = first
    matrix = rigid(4, 5, np.zeros(3), seed=3)
    later = visit_of({"FLAIR": moved(glioma["FLAIR"], matrix)}, 30)
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    results = []
    try:
        for threads in (1, 2):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            assert sitk.ResampleImageFilter().GetNumberOfThreads() == threads
            with threadpool_limits(threads):
                results.append(prepare_visit(later, frame, PreprocessConfig(register="always")))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert results[0].alignments[0].moved
    np.testing.assert_allclose(results[0].visit_ras_to_frame_ras, results[1].visit_ras_to_frame_ras, rtol=0, atol=1e-5)
    assert np.abs(results[0].intensities - results[1].intensities).max() <= 1e-5


def test_another_body_part_of_noise_is_refused_by_name(first):
    frame, _ = first
    random = np.random.default_rng(0)
    noise = Volume(
        voxels=random.integers(1, 1000, (90, 90, 90)).astype(np.int16),
        geometry=Geometry(shape=(90, 90, 90), ijk_to_ras=frame.grid.ijk_to_ras),
    )
    with pytest.raises(RegistrationError, match=r"FLAIR of visit 3 cannot be brought onto the first visit.*never"):
        prepare_visit(visit_of({"FLAIR": noise}, 30), frame, PreprocessConfig(), number=3)


@pytest.mark.parametrize("name", ["FLAIR", "T1w", "T2w"])
def test_the_authors_registration_of_two_dates_is_met_to_a_millimetre(shared_data, name, record_property):
    """Theirs: each raw date to their common grid, found from the same image resampled. Ours: date 2 to date 1."""
    folder = shared_data / "ms_pair"
    common = folder / "derivatives" / "registered" / "sub-01"
    raws = [read(folder / "sub-01" / f"ses-0{n}" / "anat" / f"sub-01_ses-0{n}_{name}.nii.gz") for n in (1, 2)]
    theirs = [read(common / f"ses-0{n}" / "anat" / f"sub-01_ses-0{n}_space-common_{name}.nii.gz") for n in (1, 2)]
    mask = canonical(read(common / "sub-01_space-common_desc-brain_mask.nii.gz"))
    brain = shrunk(Volume(voxels=(mask.voxels > 0).astype(np.float32), geometry=mask.geometry), 2.0).voxels > 0.5
    to_raw = []
    for raw, registered in zip(raws, theirs, strict=True):
        small = shrunk(canonical(registered), 2.0)
        fixed = Fixed(volume=small, mask=dilated(brain), brain=brain)
        fixed = Fixed(volume=flattened(small, fixed, np.eye(4)), mask=fixed.mask, brain=brain)
        found = register(fixed, prepared_for_metric(canonical(raw), 0.0))
        assert found.disagreement_mm < 0.3, "the same image resampled must be found without doubt"
        to_raw.append(found.fixed_to_moving)
    authors = to_raw[1] @ np.linalg.inv(to_raw[0])
    given = Volume(
        voxels=(resample(mask_bytes(mask), raws[0].geometry, np.linalg.inv(to_raw[0])) > 0.5).astype(np.uint8),
        geometry=raws[0].geometry,
    )
    config = PreprocessConfig(register="always")
    frame, _ = prepare_first_visit(visit_of({name: raws[0]}), config, brain_mask=given)
    prepared = prepare_visit(visit_of({name: raws[1]}, 203), frame, config)
    ours = np.linalg.inv(prepared.visit_ras_to_frame_ras)
    difference = mean_displacement_mm(ours, authors, frame.brain_mask, frame.grid)
    before = mean_displacement_mm(np.eye(4), authors, frame.brain_mask, frame.grid)
    record_property("mean_difference_mm", difference)
    print(f"{name}: {difference:.3f} mm from the authors' registration; {before:.1f} mm before")  # noqa: T201
    assert difference < 1.0


def mask_bytes(mask):
    return Volume(voxels=(mask.voxels > 0).astype(np.uint8), geometry=mask.geometry)
