"""From a visit to the model grid: orientation, causality, intensity, the way back."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from TemporalGliomaRisk.errors import BrainMaskError
from TemporalGliomaRisk.preprocess.alignment import measure_alignment
from TemporalGliomaRisk.preprocess.brain_mask import background_of, stripped_mask
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.grid import canonical, grid_around
from TemporalGliomaRisk.preprocess.intensity import block_means, exponents, fit_bias
from TemporalGliomaRisk.preprocess.loaded import load, on_grid
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.preprocess.reference import reference_sequence
from TemporalGliomaRisk.timeline.resampling import block_sum, coarsened, resample
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk
from TemporalGliomaRisk.timeline.visit import Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Geometry, Volume
from TemporalGliomaRisk.timeline.voxel_checks import head_of

NEVER = PreprocessConfig(register="never")
RAW = dataclasses.replace(NEVER, correct_bias=False, harmonise=False)


def visit_of(volumes, day=0):
    sources = {name: VolumeInMemory(volume=volume) for name, volume in volumes.items()}
    return Visit(session_id=f"ses-{day:02d}", days_since_first=day, days_since_treatment=None, sources=sources)


def read(path):
    return volume_from_sitk(sitk.ReadImage(str(path)))


def oblique(degrees=17.0):
    """A rotation about an axis that is none of R, A, S."""
    axis = np.array([1.0, 2.0, -1.5]) / np.linalg.norm([1.0, 2.0, -1.5])
    cross = np.cross(np.eye(3), axis)
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross.T + (1 - np.cos(angle)) * (cross @ cross)


@pytest.fixture(scope="module")
def glioma(shared_data):
    """The glioma at 2 mm, all four sequences."""
    volumes = {}
    for name in ("FLAIR", "T2w", "T1w", "ce-gd_T1w"):
        volume = canonical(read(shared_data / "glioma_single" / "sub-01" / "anat" / f"sub-01_{name}.nii.gz"))
        voxels = block_sum(volume.voxels, (2, 2, 2)) / 8
        volumes[name] = Volume(voxels=voxels, geometry=coarsened(volume.geometry, 2))
    return volumes


@pytest.fixture(scope="module")
def flair_first(glioma):
    return prepare_first_visit(visit_of({"FLAIR": glioma["FLAIR"]}), NEVER)


def phantom(turn=None, spacing=(1.5, 1.5, 2.0)):
    """A stripped ellipsoid brain of 1.2 L with smooth tissue, on a grid turned by a rotation."""
    turn = np.eye(3) if turn is None else turn
    shape = tuple(int(190 / step) for step in spacing)
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.array(spacing)
    matrix[:3, 3] = np.array([11.0, -7.0, 23.0]) - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    geometry = Geometry(shape=shape, ijk_to_ras=matrix)
    ras = geometry.to_ras(np.stack(np.indices(shape), axis=-1)) - np.array([11.0, -7.0, 23.0])
    inside = ((ras / np.array([65.0, 80.0, 55.0])) ** 2).sum(axis=-1) < 1
    tissue = 500 + 120 * np.sin(ras[..., 0] / 9) * np.cos(ras[..., 1] / 11) + 80 * np.sin(ras[..., 2] / 8)
    return Volume(voxels=np.where(inside, tissue, 0).astype(np.float32), geometry=geometry)


def test_all_48_axis_orders_give_one_and_the_same_array(shared_data):
    config = PreprocessConfig(register="never", mask="none")
    files = sorted((shared_data / "orientations").glob("*.nii.gz"))
    assert len(files) == 48
    arrays = []
    for file in files:
        frame, prepared = prepare_first_visit(visit_of({"T1w": read(file)}), config)
        arrays.append((frame.grid, prepared.intensities))
    for grid, intensities in arrays[1:]:
        assert grid.same_as(arrays[0][0])
        assert np.abs(intensities - arrays[0][1]).max() < 1e-3
    assert arrays[0][1].std() > 0.1


def test_the_same_scan_stored_obliquely_keeps_its_voxels_under_canonical_axes():
    volume = phantom(oblique(40.0))
    flipped = Volume(
        voxels=volume.voxels.transpose(2, 0, 1)[:, ::-1],
        geometry=Geometry(
            shape=(volume.voxels.shape[2], volume.voxels.shape[0], volume.voxels.shape[1]),
            ijk_to_ras=volume.geometry.ijk_to_ras
            @ np.array([[0, -1, 0, volume.voxels.shape[0] - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]),
        ),
    )
    one, other = canonical(volume), canonical(flipped)
    assert np.array_equal(one.voxels, other.voxels)
    assert one.geometry.same_as(other.geometry, 2e-3)
    assert np.array_equal(one.geometry.ijk_to_ras, other.geometry.ijk_to_ras)


@pytest.mark.parametrize("turn", [np.eye(3), oblique()])
def test_resampling_keeps_a_linear_ramp_and_its_place(turn):
    shape = (40, 44, 30)
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.array([1.0, 1.0, 2.0])
    matrix[:3, 3] = (-20, -30, 5)
    geometry = Geometry(shape=shape, ijk_to_ras=matrix)
    ramp = np.array([1.0, -2.0, 0.5])
    volume = Volume(
        voxels=(geometry.to_ras(np.stack(np.indices(shape), axis=-1)) @ ramp + 100).astype(np.float32),
        geometry=geometry,
    )
    centre = geometry.to_ras((np.array(shape) - 1) / 2)
    grid = Geometry(
        shape=(6, 6, 6), ijk_to_ras=np.diag([2.0, 2, 2, 1]) + np.pad((centre - 5)[:, None], ((0, 1), (3, 0)))
    )
    expected = grid.to_ras(np.stack(np.indices(grid.shape), axis=-1)) @ ramp + 100
    np.testing.assert_allclose(resample(volume, grid), expected, atol=1e-3)


def test_a_volume_on_the_grids_own_lattice_is_copied_and_not_blurred(glioma, flair_first):
    frame, _ = flair_first
    array = resample(glioma["FLAIR"], frame.grid)
    low = np.round(glioma["FLAIR"].geometry.to_ijk(frame.grid.to_ras((0, 0, 0)))).astype(int)
    i, j, k = np.argwhere(frame.brain_mask)[1000]
    assert array[i, j, k] == pytest.approx(float(glioma["FLAIR"].voxels[tuple(low + np.array([i, j, k]))]), rel=1e-5)
    inside = array[frame.brain_mask]
    assert inside.std() == pytest.approx(glioma["FLAIR"].voxels[glioma["FLAIR"].voxels > 0].std(), rel=0.05)


@pytest.mark.parametrize("turn", [np.eye(3), oblique(), oblique(63.0)])
def test_the_grid_holds_the_whole_mask_with_its_margin(turn):
    volume = canonical(phantom(turn))
    mask = volume.voxels > 0
    grid = grid_around(mask, volume.geometry, 2.0, 6.0)
    corners = grid.to_ijk(volume.geometry.to_ras(np.argwhere(mask)))
    clear_mm = np.minimum(corners.min(axis=0) + 0.5, np.array(grid.shape) - 0.5 - corners.max(axis=0)) * 2.0
    assert (clear_mm >= 6.0).all()
    assert (clear_mm <= 6.0 + 8.0 + 2.0).all()
    assert all(length % 4 == 0 for length in grid.shape)


@pytest.mark.parametrize("turn", [np.eye(3), oblique(), oblique(130.0)])
def test_a_bright_point_comes_back_at_its_own_voxel(turn):
    volume = phantom(turn)
    place = np.array([30.0, 10.0, 40.0])
    there = np.round(volume.geometry.to_ijk(place))
    away = np.linalg.norm(volume.geometry.to_ras(np.stack(np.indices(volume.voxels.shape), axis=-1)) - place, axis=-1)
    voxels = volume.voxels + (700 * np.exp(-0.5 * (away / 4.0) ** 2)).astype(np.float32) * (volume.voxels > 0)
    marked = Volume(voxels=voxels, geometry=volume.geometry)
    frame, prepared = prepare_first_visit(visit_of({"FLAIR": marked}), RAW)
    peak = np.array(np.unravel_index(prepared.intensities[0].argmax(), frame.grid.shape))
    to_frame = frame.grid.ras_to_ijk @ prepared.visit_ras_to_frame_ras @ prepared.reference_geometry.ijk_to_ras
    back = np.linalg.inv(to_frame)
    returned = volume.geometry.to_ras(back[:3, :3] @ peak + back[:3, 3])
    half_diagonal = np.linalg.norm(np.full(3, 1.0))
    assert np.linalg.norm(returned - place) <= half_diagonal + 0.1
    assert np.abs(volume.geometry.to_ijk(returned) - there).max() <= 2.0 / volume.geometry.spacing_mm.min() * 0.9


def test_a_later_visit_changed_leaves_an_earlier_one_the_same_bit_for_bit(glioma):
    first, second = visit_of({"FLAIR": glioma["FLAIR"]}), visit_of({"FLAIR": glioma["FLAIR"], "T1w": glioma["T1w"]}, 90)
    frame, before = prepare_first_visit(first, NEVER)
    second_before = prepare_visit(second, frame, NEVER)
    brighter = Volume(voxels=glioma["FLAIR"].voxels * 3 + 5, geometry=glioma["FLAIR"].geometry)
    prepare_visit(visit_of({"FLAIR": brighter}, 200), frame, NEVER)
    frame_again, after = prepare_first_visit(first, NEVER)
    second_after = prepare_visit(second, frame_again, NEVER)
    assert before.intensities.tobytes() == after.intensities.tobytes()
    assert second_before.intensities.tobytes() == second_after.intensities.tobytes()


def test_gain_gamma_and_bias_of_another_scanner_are_taken_away(glioma, flair_first):
    frame, first = flair_first
    x, y, z = (np.linspace(-1, 1, length) for length in glioma["FLAIR"].voxels.shape)
    bias = np.exp(0.3 * x[:, None, None] + 0.2 * y[None, :, None] ** 2 - 0.2 * x[:, None, None] * z[None, None, :])
    scanned = (0.37 * glioma["FLAIR"].voxels ** np.float32(1.15) * bias).astype(np.float32)
    later = visit_of({"FLAIR": Volume(voxels=scanned, geometry=glioma["FLAIR"].geometry)}, 90)
    harmonised = prepare_visit(later, frame, NEVER).intensities[0] - first.intensities[0]
    untouched = prepare_visit(later, frame, dataclasses.replace(NEVER, harmonise=False)).intensities[0]
    assert np.std(harmonised[frame.brain_mask]) < 0.02
    assert np.std((untouched - first.intensities[0])[frame.brain_mask]) > 0.5


@pytest.mark.parametrize("radius_mm", [4.0, 15.0])
def test_a_new_nodule_keeps_95_percent_of_its_contrast(glioma, flair_first, radius_mm):
    frame, first = flair_first
    volume = glioma["FLAIR"]
    centre = frame.grid.to_ras(np.argwhere(frame.brain_mask).mean(axis=0)) + np.array([20.0, 15.0, 20.0])
    away = np.linalg.norm(volume.geometry.to_ras(np.stack(np.indices(volume.voxels.shape), axis=-1)) - centre, axis=-1)
    added = 3.0 * frame.scales["FLAIR"].scale
    grown = Volume(
        voxels=np.where(away < radius_mm, volume.voxels + np.float32(added), volume.voxels), geometry=volume.geometry
    )
    later = prepare_visit(visit_of({"FLAIR": grown}, 90), frame, NEVER)
    plain = prepare_visit(visit_of({"FLAIR": volume}, 90), frame, NEVER)
    nodule = (
        np.linalg.norm(frame.grid.to_ras(np.stack(np.indices(frame.grid.shape), axis=-1)) - centre, axis=-1)
        < radius_mm - 1
    )
    gained = float((later.intensities - first.intensities)[0][nodule].mean())
    wanted = added / frame.scales["FLAIR"].scale
    assert gained > 0.95 * wanted * float(np.exp(-_log_bias(volume, frame)[nodule].mean()))
    elsewhere = frame.brain_mask & ~nodule
    assert np.median(np.abs((later.intensities - plain.intensities)[0][elsewhere])) < 0.02


def _log_bias(volume, frame):
    """How much the first visit's bias correction divides by: contrast added before it is divided too."""
    raw = np.maximum(resample(volume, frame.grid), 1)
    return np.where(frame.brain_mask, np.log(raw / np.maximum(frame.references["FLAIR"], 1)), 0)


def test_a_known_bias_field_is_found():
    volume = canonical(phantom(spacing=(2.0, 2.0, 2.0)))
    random = np.random.default_rng(4)
    classes = random.choice([300.0, 500.0, 650.0], size=tuple(-(-n // 9) for n in volume.voxels.shape))
    tissue = np.kron(classes, np.ones((9, 9, 9)))[tuple(slice(n) for n in volume.voxels.shape)]
    mask = volume.voxels > 0
    x, y, _ = (np.linspace(-1, 1, length) for length in volume.voxels.shape)
    log_bias = 0.25 * x[:, None, None] - 0.2 * y[None, :, None] * x[:, None, None] + np.zeros(volume.voxels.shape)
    scanned = np.where(mask, tissue * np.exp(log_bias), 0).astype(np.float32)
    found = fit_bias(block_means(scanned, mask, (3, 3, 3), 3), 3).on_grid(volume.voxels.shape)
    left = (log_bias - found)[mask]
    assert left.std() < 0.35 * log_bias[mask].std()


def test_the_polynomials_terms_come_in_order_of_degree():
    assert exponents(1) == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    assert len(exponents(3)) == 20


def test_a_sequence_absent_at_the_first_visit_is_scaled_by_itself_and_says_so(glioma, flair_first):
    frame, _ = flair_first
    prepared = prepare_visit(visit_of({"FLAIR": glioma["FLAIR"], "T1w": glioma["T1w"]}, 90), frame, NEVER, number=2)
    assert [finding.code for finding in prepared.findings] == ["no_first_reference"]
    assert prepared.findings[0].visit == 2
    assert prepared.present.tolist() == [True, False, True, False]
    inside = prepared.intensities[2][frame.brain_mask]
    assert np.median(inside) == pytest.approx(0.0, abs=0.05)
    assert not prepared.intensities[1].any()


def test_brain_that_a_later_visit_does_not_cover_is_zero_and_reported(glioma, flair_first):
    frame, _ = flair_first
    volume = glioma["FLAIR"]
    cut = Volume(
        voxels=volume.voxels[:, :, :45],
        geometry=Geometry(shape=(*volume.voxels.shape[:2], 45), ijk_to_ras=volume.geometry.ijk_to_ras),
    )
    prepared = prepare_visit(visit_of({"FLAIR": cut}, 90), frame, NEVER, number=2)
    assert [finding.code for finding in prepared.findings] == ["brain_not_covered"]
    above = (
        frame.grid.to_ras(np.stack(np.indices(frame.grid.shape), axis=-1))[..., 2]
        > cut.geometry.to_ras((0, 0, 45.6))[2]
    )
    assert not prepared.intensities[0][above].any()


def test_brain_that_another_sequence_of_the_first_visit_does_not_cover_is_zero_and_reported(glioma):
    volume = glioma["T1w"]
    cut = Volume(
        voxels=volume.voxels[:, :, :45],
        geometry=Geometry(shape=(*volume.voxels.shape[:2], 45), ijk_to_ras=volume.geometry.ijk_to_ras),
    )
    frame, first = prepare_first_visit(visit_of({"FLAIR": glioma["FLAIR"], "T1w": cut}), NEVER)
    found = [finding.sequence for finding in first.findings if finding.code == "brain_not_covered"]
    places = frame.grid.to_ras(np.stack(np.indices(frame.grid.shape), axis=-1))
    above = frame.brain_mask & (places[..., 2] > cut.geometry.to_ras((0, 0, 45.6))[2])

    assert found == ["T1w"]
    assert not first.intensities[2][above].any()
    assert first.intensities[0][above].all()


@pytest.mark.parametrize("turn", [np.eye(3), oblique()])
def test_the_rim_of_a_stripped_brain_is_as_bright_as_its_middle(turn):
    brain = phantom(turn)
    even = Volume(voxels=np.where(brain.voxels > 0, 500, 37).astype(np.int16), geometry=brain.geometry)
    loaded = load(visit_of({"FLAIR": even}), "FLAIR", 1)
    grid = grid_around(canonical(brain).voxels > 0, canonical(brain).geometry, 2.0, 6.0)
    array = on_grid(loaded, grid, np.eye(4), None)

    np.testing.assert_allclose(array.voxels[array.covered], 463, rtol=1e-5)
    assert not array.voxels[~array.covered].any()
    assert array.covered.sum() * 8 == pytest.approx(
        (brain.voxels > 0).sum() * np.prod(brain.geometry.spacing_mm), rel=0.02
    )


@pytest.mark.parametrize("background", [0, -1024, 37])
def test_a_stripped_brain_is_recognised_on_any_constant_background(shared_data, background):
    volume = canonical(read(shared_data / "glioma_single" / "sub-01" / "anat" / "sub-01_T2w.nii.gz"))
    inside = volume.voxels != 0
    shifted = Volume(
        voxels=np.where(inside, volume.voxels.astype(np.int32) + 100, background), geometry=volume.geometry
    )
    mask = stripped_mask(shifted, background_of(shifted))
    assert mask is not None
    assert (mask >= inside).all()
    assert mask.sum() < 1.1 * inside.sum()


def test_no_unstripped_head_is_taken_for_a_stripped_one(shared_data):
    files = sorted((shared_data / "ms_pair" / "sub-01").rglob("*.nii.gz"))
    files += sorted((shared_data / "glioblastoma_pairs").glob("sub-*/ses-*/anat/*.nii.gz"))
    files += [shared_data / "orientations" / "RAS.nii.gz"]
    assert len(files) == 11
    for file in files:
        volume = canonical(read(file))
        assert stripped_mask(volume, background_of(volume)) is None, file.name


def test_a_given_mask_that_is_too_small_in_pieces_or_cut_is_refused(glioma):
    geometry = glioma["FLAIR"].geometry
    first = visit_of({"FLAIR": glioma["FLAIR"]})
    small, pieces, cut = (np.zeros(geometry.shape, np.uint8) for _ in range(3))
    small[50:60, 50:60, 30:40] = 1
    pieces[30:60, 20:60, 20:60] = 1
    pieces[70:100, 20:60, 20:60] = 1
    cut[20:100, 20:100, :30] = 1
    for mask, message in ((small, r"holds 8 mL.*--mask FILE"), (pieces, "in 2 pieces"), (cut, "cut by the edge")):
        with pytest.raises(BrainMaskError, match=message):
            prepare_first_visit(first, NEVER, brain_mask=Volume(voxels=mask, geometry=geometry))


def test_a_given_mask_beside_the_head_is_refused_and_one_a_little_off_is_not(glioma):
    first = visit_of({"FLAIR": glioma["FLAIR"]})
    frame, _ = prepare_first_visit(first, NEVER)
    for distance_mm, refused in ((500.0, True), (90.0, True), (10.0, False)):
        matrix = np.array(frame.grid.ijk_to_ras)
        matrix[2, 3] += distance_mm
        grid = Geometry(shape=frame.grid.shape, ijk_to_ras=matrix)
        mask = Volume(voxels=frame.brain_mask.astype(np.uint8), geometry=grid)
        if refused:
            with pytest.raises(BrainMaskError, match="lies on the head of the first visit"):
                prepare_first_visit(first, NEVER, brain_mask=mask)
        else:
            prepare_first_visit(first, NEVER, brain_mask=mask)


def test_a_given_mask_30_mm_off_or_turned_over_is_refused_where_the_brain_is_known(glioma):
    first = visit_of({"FLAIR": glioma["FLAIR"]})
    frame, _ = prepare_first_visit(first, NEVER)

    def prepared_with(voxels, shift_mm=(0.0, 0.0, 0.0)):
        matrix = np.array(frame.grid.ijk_to_ras)
        matrix[:3, 3] += shift_mm
        grid = Geometry(shape=frame.grid.shape, ijk_to_ras=matrix)
        return prepare_first_visit(first, NEVER, brain_mask=Volume(voxels=voxels.astype(np.uint8), geometry=grid))

    brain = frame.brain_mask
    for shift_mm in np.vstack([30.0 * np.eye(3), -30.0 * np.eye(3)]):
        with pytest.raises(BrainMaskError, match=r"beside the brain of the stripped FLAIR: (6|7)\d % .* at least 80 %"):
            prepared_with(brain, shift_mm)
    for axes in (1, 2, (1, 2)):
        with pytest.raises(BrainMaskError, match=r"upside down or back to front on the stripped FLAIR.*--mask out"):
            prepared_with(np.flip(brain, axes))
    # Good masks are drawn wider or tighter than the images were stripped, and may leave out an open cavity.
    places = frame.grid.to_ras(np.moveaxis(np.indices(brain.shape), 0, -1))
    vertex = places[brain][places[brain][:, 2].argmax()]
    without_cavity = brain & (np.linalg.norm(places - vertex, axis=-1) > 40.0)
    for good in (
        ndimage.binary_dilation(brain, iterations=2),
        ndimage.binary_erosion(brain, iterations=2),
        without_cavity,
    ):
        prepared_with(good)


def test_a_given_mask_on_another_oblique_grid_is_used(glioma):
    first = visit_of({"FLAIR": glioma["FLAIR"]})
    frame, _ = prepare_first_visit(first, NEVER)
    matrix = np.eye(4)
    matrix[:3, :3] = oblique(20.0) * 1.5
    centre = frame.grid.to_ras((np.array(frame.grid.shape) - 1) / 2)
    matrix[:3, 3] = centre - matrix[:3, :3] @ np.full(3, 79.5)
    grid = Geometry(shape=(160, 160, 160), ijk_to_ras=matrix)
    own = Volume(voxels=frame.brain_mask.astype(np.uint8), geometry=frame.grid)
    given = Volume(voxels=(resample(own, grid) > 0.5).astype(np.uint8), geometry=grid)
    again, _ = prepare_first_visit(first, NEVER, brain_mask=given)
    there = resample(Volume(voxels=again.brain_mask.astype(np.uint8), geometry=again.grid), frame.grid) > 0.5
    overlap = 2 * (there & frame.brain_mask).sum() / (there.sum() + frame.brain_mask.sum())
    assert overlap > 0.97


def header_off(volume, shift_mm):
    matrix = np.array(volume.geometry.ijk_to_ras)
    matrix[:3, 3] += shift_mm
    return Volume(voxels=volume.voxels, geometry=Geometry(shape=volume.geometry.shape, ijk_to_ras=matrix))


def test_the_mask_of_another_sequence_goes_where_that_sequence_goes(glioma):
    flair = glioma["FLAIR"]
    noise = np.abs(np.random.default_rng(3).normal(0, 0.02 * flair.voxels.max(), flair.voxels.shape))
    head = Volume(voxels=(flair.voxels + noise).astype(np.float32), geometry=flair.geometry)
    config = PreprocessConfig()
    right, still = prepare_first_visit(visit_of({"FLAIR": head, "ce-gd_T1w": glioma["ce-gd_T1w"]}), config)
    off = header_off(glioma["ce-gd_T1w"], (7.0, 7.0, 7.0))
    frame, moved = prepare_first_visit(visit_of({"FLAIR": head, "ce-gd_T1w": off}), config)
    assert still.reference_sequence == moved.reference_sequence == "FLAIR"
    assert [one.moved for one in (*still.alignments, *moved.alignments)] == [False, True]
    there = resample(Volume(voxels=frame.brain_mask.astype(np.uint8), geometry=frame.grid), right.grid) > 0.5
    overlap = 2 * (there & right.brain_mask).sum() / (there.sum() + right.brain_mask.sum())
    assert overlap > 0.97
    middle = (np.array(flair.geometry.shape) - 1) / 2
    back = moved.alignments[0].to_target_ras @ np.append(off.geometry.to_ras(middle), 1.0)
    assert np.linalg.norm(back[:3] - flair.geometry.to_ras(middle)) < 1.0
    assert "brain_not_covered" not in {one.code for one in moved.findings}


@pytest.mark.parametrize("noise", [0.0, 12.0])
def test_without_a_mask_the_air_around_a_head_sets_no_scale(noise):
    inside = phantom(oblique(25.0), spacing=(2.0, 2.0, 2.0))
    air = np.abs(np.random.default_rng(1).normal(0, noise, inside.voxels.shape)) if noise else 0.0
    volume = Volume(voxels=(inside.voxels + air).astype(np.float32), geometry=inside.geometry)
    wide = dataclasses.replace(NEVER, mask="none")
    frame, first = prepare_first_visit(visit_of({"FLAIR": volume}), wide)
    masked, _ = prepare_first_visit(visit_of({"FLAIR": inside}), NEVER)
    assert frame.scales["FLAIR"].centre == pytest.approx(masked.scales["FLAIR"].centre, rel=0.05)
    assert frame.scales["FLAIR"].scale == pytest.approx(masked.scales["FLAIR"].scale, rel=0.1)
    brighter = Volume(voxels=volume.voxels * np.float32(1.7), geometry=volume.geometry)
    later = prepare_visit(visit_of({"FLAIR": brighter}, 90), frame, wide)
    head = resample(inside, frame.grid) > 250
    assert np.abs((later.intensities - first.intensities)[0][head]).max() < 0.05


def test_the_reference_is_the_finest_in_its_worst_direction_and_ties_go_to_flair():
    def geometry(*spacing):
        return Geometry(shape=(9, 9, 9), ijk_to_ras=np.diag([*spacing, 1.0]))

    assert reference_sequence({"FLAIR": geometry(0.5, 0.5, 4), "T1w": geometry(1, 1, 1)}) == "T1w"
    assert reference_sequence({"T1w": geometry(1, 1, 3.01), "FLAIR": geometry(0.7, 0.7, 3)}) == "FLAIR"


def standardised(volume):
    """A stripped brain of mean 0 and spread 1, air at 0, as many pipelines leave it."""
    inside = volume.voxels != background_of(volume).value
    brain = volume.voxels[inside]
    voxels = np.where(inside, (volume.voxels - brain.mean()) / brain.std(), 0).astype(np.float32)
    return Volume(voxels=voxels, geometry=volume.geometry)


def test_a_standardised_brain_is_aligned_as_it_was_before(glioma):
    raw = measure_alignment(glioma["T1w"], glioma["FLAIR"])
    found = measure_alignment(standardised(glioma["T1w"]), standardised(glioma["FLAIR"]))
    assert found.similarity == pytest.approx(raw.similarity, abs=0.03)
    assert found.displacement_mm == pytest.approx(raw.displacement_mm, abs=0.3)


def test_the_head_of_a_standardised_brain_is_the_brain(glioma):
    raw, voxels = glioma["FLAIR"].voxels, standardised(glioma["FLAIR"]).voxels
    plain, found = head_of(np.asarray(raw, np.float64)), head_of(np.asarray(voxels, np.float64))
    assert (plain & found).sum() > 0.95 * (plain | found).sum()
