"""Checks: every fault that can be planted in a volume is noticed, by the rule that the table writes."""

from __future__ import annotations

import gzip
import struct

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from TemporalGliomaRisk.errors import GeometryError, VolumeError
from TemporalGliomaRisk.resources import resource_path
from TemporalGliomaRisk.timeline.checks import check_timeline
from TemporalGliomaRisk.timeline.finding import Severity
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.nifti_header import read_nifti_header
from TemporalGliomaRisk.timeline.orientation import to_nearest_ras
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.rules import RULES
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.volume import Geometry, Volume
from TemporalGliomaRisk.timeline.voxel_checks import check_voxels


def checked(path):
    return check_timeline(read_timeline(path), trained_gaps_days=(1, 9_999))


def codes(report):
    return {item.code for item in report.findings} - {"single_visit"}


@pytest.fixture
def one_file(tmp_path, make_head):
    """Path of one whole head in a table of one row, and the table's path."""
    path = tmp_path / "a.nii.gz"
    write_nifti(make_head(), path)
    table = tmp_path / "t.csv"
    table.write_text("path,sequence,days_since_treatment\na.nii.gz,FLAIR,10\n")
    return path, table


def save(path, voxels, qform=None, sform=None, codes=(1, 1)):
    image = nibabel.Nifti1Image(voxels, sform if sform is not None else np.eye(4))
    image.set_sform(sform, codes[1] if sform is not None else 0)
    image.set_qform(qform, codes[0] if qform is not None else 0)
    nibabel.save(image, path)


def test_a_whole_oblique_head_breaks_no_rule(one_file):
    report = checked(one_file[1])
    assert codes(report) == set()
    assert not report.refused
    (grid,) = report.rows[0].grids
    assert (grid.orientation, grid.coverage_mm) == ("LPS~", (176.0, 208.0, 180.0))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_header_bytes_read_as_nibabel_reads_them(tmp_path, oblique, order, kind):
    image = kind(np.zeros((5, 6, 7), np.int16), None)
    header = image.header.as_byteswapped(order) if image.header.endianness != order else image.header
    image = kind(np.zeros((5, 6, 7), np.int16), None, header=header)
    image.header.set_zooms((2, 3, 4))
    matrix = oblique((5, 6, 7), (2, 3, 4)).ijk_to_ras @ np.diag([1, 1, -1, 1])  # left-handed
    image.set_qform(matrix, 1)
    image.set_sform(matrix + 0.5 * np.eye(4), 2)
    path = tmp_path / "x.nii.gz"
    nibabel.save(image, path)
    read, peer = read_nifti_header(path), nibabel.load(path).header
    assert read.shape == (5, 6, 7)
    np.testing.assert_allclose(read.qform, peer.get_qform(), atol=1e-4)
    np.testing.assert_allclose(read.sform, peer.get_sform(), atol=1e-5)


@pytest.mark.parametrize("cut", ["half", "last byte", "flipped bit", "plain half"])
def test_cut_and_damaged_files_are_refused_not_filled_with_zeros(one_file, tmp_path, cut):
    path, table = one_file
    content = path.read_bytes()
    if cut == "half":
        content = content[: len(content) // 2]
    elif cut == "last byte":
        content = content[:-1]
    elif cut == "flipped bit":
        content = content[:-200] + bytes([content[-200] ^ 1]) + content[-199:]
    else:
        plain = gzip.decompress(content)
        content = plain[: len(plain) // 2]
        table.write_text(table.read_text().replace("a.nii.gz", "a.nii"))
        path = tmp_path / "a.nii"
    path.write_bytes(content)
    report = checked(table)
    assert report.refused
    assert [item.visit for item in report.findings if item.code in ("truncated", "unreadable")] == [1]
    with pytest.raises(VolumeError, match="cut short or damaged"):
        read_timeline(table).visits[0].sources["FLAIR"].read()


@pytest.mark.parametrize(
    ("shape", "words"), [((30, 30), "2 dimensions"), ((30, 30, 1), "2 dimensions"), ((9, 9, 9, 4), "4 dimensions")]
)
def test_images_that_are_not_three_dimensional_are_refused(one_file, shape, words):
    save(one_file[0], np.ones(shape, np.int16), sform=np.eye(4))
    with pytest.raises(VolumeError, match=words):
        read_timeline(one_file[1]).visits[0].sources["FLAIR"].read()


def test_a_singular_form_is_refused_as_geometry(one_file):
    path, table = one_file
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[252:254] = struct.pack("<h", 0)
    raw[312:328] = struct.pack("<4f", 0, 0, 0, 0)
    path.write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(GeometryError, match=r"FLAIR of visit 1: .*singular"):
        read_timeline(table).visits[0].sources["FLAIR"].read()


@pytest.mark.parametrize("codes", [(1, 1), (0, 1)])
def test_a_matrix_with_nan_is_refused_in_a_sentence_and_nothing_else(one_file, make_head, capfd, codes):
    path, table = one_file
    head = make_head()
    matrix = head.geometry.ijk_to_ras.copy()
    save(path, head.voxels, qform=matrix, sform=matrix, codes=codes)
    raw = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<f", raw, 280, np.nan)
    path.write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(GeometryError, match="must be finite"):
        read_timeline(table).visits[0].sources["FLAIR"].read()
    assert capfd.readouterr().err == ""


def test_forms_that_disagree_warn_and_mirror_images_are_refused(one_file, make_head):
    volume = make_head()
    matrix, moved, mirrored = volume.geometry.ijk_to_ras, volume.geometry.ijk_to_ras.copy(), np.eye(4)
    moved[:3, 3] += [3.0, 0, 4.0]
    mirrored = np.diag([-1.0, 1, 1, 1]) @ matrix
    save(one_file[0], volume.voxels, matrix, moved, (1, 2))
    report = checked(one_file[1])
    assert codes(report) == {"forms_disagree"}
    assert "up to 5.0 mm apart; the qform is used" in report.findings[-1].message
    save(one_file[0], volume.voxels, matrix, mirrored)
    report = checked(one_file[1])
    assert codes(report) == {"handedness_disagrees"}
    assert report.refused
    save(one_file[0], volume.voxels)
    assert "orientation_unknown" in codes(checked(one_file[1]))


def changed(volume, **changes):
    voxels = volume.voxels.astype(np.float32)
    if changes.get("nan"):
        voxels[3, 4, 5] = np.nan
    if changes.get("constant"):
        voxels[:] = 7
    if changes.get("smooth_mask"):
        head = ndimage.binary_fill_holes(voxels > 0.1 * voxels.max())
        voxels = 1000 * ndimage.gaussian_filter(head.astype(np.float32), 1.0)
    if changes.get("tiny"):
        voxels[np.arange(44) > 25] = 0
        voxels[:, np.arange(52) > 25] = 0
        voxels[:, :, np.arange(40) > 18] = 0
    matrix = volume.geometry.ijk_to_ras.copy()
    matrix[:3, :3] *= changes.get("scale", 1.0)
    geometry = Geometry(shape=volume.geometry.shape, ijk_to_ras=matrix)
    if "top" in changes:
        voxels = voxels[:, :, : changes["top"]]
        geometry = Geometry(shape=voxels.shape, ijk_to_ras=matrix)
    if "blank_from" in changes:
        voxels[:, :, changes["blank_from"] :] = 0
    if "blank_to" in changes:
        voxels[:, :, : changes["blank_to"]] = 0
    return Volume(voxels=voxels, geometry=geometry)


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"nan": True}, "not_finite", Severity.REFUSAL),
        ({"constant": True}, "empty", Severity.REFUSAL),
        ({"smooth_mask": True}, "flat_inside", Severity.REFUSAL),
        ({"tiny": True}, "no_head", Severity.REFUSAL),
        ({"scale": 0.001}, "spacing_outside", Severity.REFUSAL),
        ({"scale": 3.0}, "spacing_outside", Severity.REFUSAL),
        ({"top": 28}, "brain_cut_off", Severity.WARNING),
        ({"blank_from": 22}, "brain_cut_off", Severity.WARNING),
        ({"blank_to": 20}, "brain_cut_off", Severity.WARNING),
    ],
)
def test_unusable_voxels_and_spacings_are_noticed(one_file, make_head, changes, code, severity):
    write_nifti(changed(make_head(), **changes), one_file[0])
    found = [item for item in checked(one_file[1]).findings if item.code == code]
    assert [item.severity for item in found] == [severity]
    assert "FLAIR of visit 1" in found[0].message


def test_bright_fluid_called_flair_and_dark_fluid_called_t2w_warn(bids, make_head):
    folder = bids({"01": {"FLAIR": make_head(0, fluid="bright"), "T2w": make_head(1, fluid="dark")}})
    found = [item.message for item in checked(folder).findings if item.code == "content_contradicts_label"]
    assert any(message.startswith("FLAIR of visit 1: fluid looks bright") for message in found)
    assert any(message.startswith("T2w of visit 1: fluid looks dark") for message in found)


@pytest.mark.parametrize("fault", ["spacing_outside", "handedness_disagrees"])
def test_of_a_volume_whose_geometry_is_refused_no_content_is_told(one_file, make_head, fault):
    volume = changed(make_head(0, fluid="bright"), scale=0.001 if fault == "spacing_outside" else 1.0)
    matrix = volume.geometry.ijk_to_ras
    mirrored = np.diag([-1.0, 1, 1, 1]) @ matrix if fault == "handedness_disagrees" else matrix
    save(one_file[0], volume.voxels, matrix, mirrored)
    assert codes(checked(one_file[1])) == {fault}


def test_voxels_of_one_value_are_told_beside_a_geometry_that_is_refused(one_file, make_head):
    write_nifti(changed(make_head(), scale=0.001, constant=True), one_file[0])
    assert codes(checked(one_file[1])) == {"spacing_outside", "empty"}


def without_its_lowest(path, cut_mm):
    """A volume whose field of view ends so much higher, in RAS order."""
    whole = to_nearest_ras(VolumeFile(path=path, role="x").read())
    slices = round(cut_mm / whole.geometry.spacing_mm[2])
    matrix = whole.geometry.ijk_to_ras.copy()
    matrix[:3, 3] = whole.geometry.to_ras((0, 0, slices))
    voxels = np.ascontiguousarray(whole.voxels[:, :, slices:])
    return Volume(voxels=voxels, geometry=Geometry(shape=voxels.shape, ijk_to_ras=matrix))


def said_cut_off(path, cut_mm, sequence):
    found = check_voxels(without_its_lowest(path, cut_mm), visit=1, sequence=sequence).findings
    return [item.message for item in found if item.code == "brain_cut_off"]


@pytest.mark.parametrize("sequence", ["FLAIR", "ce-gd_T1w"])
@pytest.mark.parametrize("cut_mm", [20, 30, 45, 60, 80])
def test_a_stripped_brain_that_is_cut_off_below_is_told_however_large_the_cut(sequence, cut_mm):
    anat = resource_path("SampleData") / "sub-01" / "ses-02" / "anat"
    path = anat / f"sub-01_ses-02_{sequence}.nii.gz"
    assert said_cut_off(path, 0, sequence) == []
    (said,) = said_cut_off(path, cut_mm, sequence)
    assert "at its inferior side" in said


@pytest.mark.parametrize("sequence", ["FLAIR", "T2w", "T1w", "ce-gd_T1w"])
def test_so_is_a_real_stripped_brain_and_no_head_that_is_cut_at_the_neck(shared_data, sequence):
    stripped = shared_data / "glioma_single/sub-01/anat" / f"sub-01_{sequence}.nii.gz"
    assert ["at its inferior side" in said for said in said_cut_off(stripped, 45, sequence)] == [True]
    if sequence != "ce-gd_T1w":
        folder = shared_data / "ms_pair/derivatives/registered/sub-01/ses-01/anat"
        assert said_cut_off(folder / f"sub-01_ses-01_space-common_{sequence}.nii.gz", 45, sequence) == []


def test_no_real_volume_contradicts_its_label(shared_data):
    for name in ("ms_pair/sub-01", "glioma_single/sub-01", "glioblastoma_pairs/sub-01", "glioblastoma_pairs/sub-05"):
        report = checked(shared_data / name)
        assert not report.refused
        assert "content_contradicts_label" not in codes(report)


def test_flair_and_t2w_exchanged_on_real_mri_are_noticed(shared_data, tmp_path):
    anat = shared_data / "ms_pair" / "sub-01" / "ses-01" / "anat"
    table = tmp_path / "t.csv"
    rows = [f"{anat}/sub-01_ses-01_T2w.nii.gz,FLAIR,1", f"{anat}/sub-01_ses-01_FLAIR.nii.gz,T2w,1"]
    table.write_text("path,sequence,days_since_treatment\n" + "\n".join(rows))
    found = [item.sequence for item in checked(table).findings if item.code == "content_contradicts_label"]
    assert found == ["FLAIR", "T2w"]


def test_the_same_voxels_stored_otherwise_under_two_dates_are_refused(bids, make_head):
    volume = make_head()
    flipped = Volume(
        voxels=volume.voxels[::-1].astype(np.float32),
        geometry=Geometry(
            shape=volume.geometry.shape,
            ijk_to_ras=volume.geometry.ijk_to_ras
            @ np.array([[-1, 0, 0, 43], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        ),
    )
    report = checked(bids({"01": {"T1w": volume}, "02": {"T1w": flipped}}, rows=[("01", 0), ("02", 90)]))
    assert codes(report) == {"same_voxels_two_visits", "handedness_differs"}
    assert report.refused


def test_gaps_are_compared_with_what_the_model_was_trained_on(bids, make_head):
    visits = {f"{n:02d}": {"FLAIR": make_head(n)} for n in range(1, 6)}
    timeline = read_timeline(bids(visits, rows=[("01", 0), ("02", 100), ("03", 105), ("04", 205), ("05", 206)]))
    assert codes(check_timeline(timeline)) == {"gaps_not_compared"}
    found = check_timeline(timeline, trained_gaps_days=(20, 900)).findings
    assert [item.visit for item in found if item.code == "gap_untrained"] == [3, 5]
    # What is seen later rests on the first odd gap too; a visit is told of its own gap alone.
    (later,) = [item for item in found if item.code == "rests_on_untrained_gap"]
    assert later.visit == 4
    assert "the gap before visit 3" in later.message


def test_one_unreadable_file_does_not_hide_what_the_others_show(bids, make_head):
    folder = bids({"01": {"FLAIR": make_head(0), "T2w": make_head(1)}})
    (folder / "ses-01" / "anat" / "sub-01_ses-01_FLAIR.nii.gz").write_bytes(b"not an image")
    assert codes(checked(folder)) == {"days_unknown", "truncated", "content_contradicts_label"}


def test_every_rule_speaks_one_sentence_that_ends():
    for code, rule in RULES.items():
        assert rule.sentence.endswith((".", "}")), code
