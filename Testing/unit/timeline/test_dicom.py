"""DICOM folders: told apart by patient, day and series, and slice stacks that are no volume are refused."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from TemporalGliomaRisk.errors import VolumeError
from TemporalGliomaRisk.timeline.orientation import to_nearest_ras
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.refusals import TimelineRefused
from TemporalGliomaRisk.timeline.sequence_names import (
    sequence_from_description,
    sequence_from_name,
    sequence_from_series,
    sequence_from_timing,
)
from TemporalGliomaRisk.timeline.sitk_images import write_nifti


@pytest.fixture
def series(tmp_path, make_head, write_dicom_series):
    def write(name="a", *, seed=0, **options):
        options = {"date": "20200101", "description": "t2_tirm_dark-fluid", **options}
        return write_dicom_series(make_head(seed), tmp_path / "d" / name, **options)

    return write


def refusal(path):
    with pytest.raises(TimelineRefused) as caught:
        read_timeline(path)
    return caught.value


def test_two_patients_are_refused_without_their_names(series, tmp_path, planted):
    series("a", patient_id=f"{planted}1", patient_name=f"{planted}^A")
    series("b", patient_id=f"{planted}2", patient_name=f"{planted}^A", date="20210101")
    message = str(refusal(tmp_path / "d"))
    assert "2 patients" in message
    assert planted not in message
    assert len(read_timeline(tmp_path / "d", patient=f"{planted}2").visits) == 1


def test_one_identifier_with_two_names_warns_but_spelling_does_not(series, tmp_path):
    series("a", patient_name="Doe^Jane")
    series("b", patient_name="DOE JANE", date="20200301")
    assert not read_timeline(tmp_path / "d").findings
    series("c", patient_name="Roe^Jim", date="20200601")
    assert {f.code for f in read_timeline(tmp_path / "d").findings} == {"patient_unsure"}


def test_a_lost_slice_and_a_doubled_one_are_refused(series, tmp_path):
    paths = series()
    kept = paths[20].read_bytes()
    paths[20].unlink()
    assert "1 slices missing" in str(refusal(tmp_path / "d"))
    paths[20].write_bytes(kept)
    extra = pydicom.dcmread(paths[20])
    extra.SOPInstanceUID = extra.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    extra.save_as(tmp_path / "d" / "a" / "again.dcm")
    assert "1 slices lie at the place of another" in str(refusal(tmp_path / "d"))


def test_copied_files_are_left_out_and_instance_numbers_do_not_order_slices(series, tmp_path, make_head):
    paths = series()
    (tmp_path / "d" / "copy.dcm").write_bytes(paths[3].read_bytes())
    for number, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber = 1 + number // 2
        dataset.save_as(path)
    timeline = read_timeline(tmp_path / "d")
    assert {f.code for f in timeline.findings} == {"duplicate_files", "instance_numbers"}
    read = timeline.visits[0].sources["FLAIR"].read()
    np.testing.assert_array_equal(read.voxels, make_head(0).voxels)


def test_of_copies_the_first_whole_one_is_read(series, tmp_path):
    paths = series("b")
    for name, cut in (("a.dcm", 2000), ("y.dcm", 0), ("z.dcm", 2000)):
        data = paths[3].read_bytes()
        (tmp_path / "d" / name).write_bytes(data[: len(data) - cut])
    timeline = read_timeline(tmp_path / "d")
    assert {f.code for f in timeline.findings} == {"duplicate_files"}
    assert timeline.visits[0].sources["FLAIR"].files[3] == paths[3]


def test_mixed_orientations_in_one_series_are_refused(series, tmp_path):
    paths = series()
    dataset = pydicom.dcmread(paths[5])
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.save_as(paths[5])
    assert "differ in orientation" in str(refusal(tmp_path / "d"))


def test_localizers_colour_and_unclassed_series_are_told_not_dropped_in_silence(series, tmp_path):
    series("a")
    series("b", description="whatever", series_number=2)
    series("c", description="T2", series_number=3, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series("e", description="T1", series_number=4, seed=2)
    series("f", description="T1 repeat", series_number=5, seed=3)
    (tmp_path / "d" / "notes.txt").write_text("x")
    timeline = read_timeline(tmp_path / "d")
    assert {f.code for f in timeline.findings} == {
        "unknown_files", "series_skipped", "series_unclassed", "competing_series"}  # fmt: skip
    assert timeline.visits[0].sequences == ("FLAIR", "T1w")
    assert "05_" in timeline.visits[0].sources["T1w"].files[0].name


def test_truncated_pixels_are_refused_not_filled_with_zeros(series, tmp_path):
    paths = series()
    timeline = read_timeline(tmp_path / "d")
    paths[7].write_bytes(paths[7].read_bytes()[:-2000])
    with pytest.raises(VolumeError, match="FLAIR of visit 1"):
        timeline.visits[0].sources["FLAIR"].read()


@pytest.mark.parametrize(
    ("description", "agent", "wanted"),
    [
        ("t2_tirm_tra_dark-fluid_3mm", "", "FLAIR"), ("AX T2 FLAIR", "", "FLAIR"), ("T2W_TSE", "", "T2w"),
        ("t1_mprage_sag_p2_iso", "", "T1w"), ("t1_mprage_sag_p2_iso", "Gadovist", "ce-gd_T1w"),
        ("AX T1 POST GAD", "", "ce-gd_T1w"), ("Ax T1 +C", "", "ce-gd_T1w"), ("T1 PRE CONTRAST", "Dotarem", "T1w"),
        ("AX FLAIR POST", "Gadovist", "FLAIR"), ("ep2d_diff_3scan_trace_ADC", "", None), ("T2* SWI", "", None),
        ("3-plane localizer T1", "", None), ("", "", None),
        ("AX T1 FLAIR", "", "T1w"), ("Ax T1 FLAIR +C", "", "ce-gd_T1w"), ("SAG_T1_FLAIR", "Gadovist", "ce-gd_T1w"),
        ("AX T1 T2 FLAIR", "", "FLAIR"),
        ("AX T1 WO CONTRAST", "", "T1w"), ("T1 WO GAD", "", "T1w"), ("T1_WO_CONTRAST", "", "T1w"),
        ("T1 ohne KM", "", "T1w"), ("T1 vor KM", "", "T1w"), ("T1 sans gado", "", "T1w"),
        ("T1 NON-ENHANCED", "", "T1w"), ("T1 before contrast", "", "T1w"), ("T1 postop", "", "T1w"),
        ("AX T1 POSTERIOR FOSSA", "", "T1w"), ("T1 WO", "Gadovist", "T1w"), ("AX T1 NC", "Gadovist", "T1w"),
        ("T1 senza mdc", "Gadovist", "T1w"), ("T1 C-", "Gadovist", "T1w"), ("SAG T1", "NONE GIVEN", "T1w"),
        ("SAG T1", "0 ml", "T1w"), ("T1 PRE-OP POST GAD", "", "ce-gd_T1w"), ("AX T1 POST WITHOUT FS", "", "ce-gd_T1w"),
        ("T1 POST W/O FATSAT", "", "ce-gd_T1w"), ("AX T1 GD WITHOUT FATSAT", "", "ce-gd_T1w"),
        ("AX T1 C+", "", "ce-gd_T1w"), ("AX T1 W CONTRAST", "", "ce-gd_T1w"), ("T1 nach KM", "", "ce-gd_T1w"),
        ("T1 POSTOP", "Dotarem", "ce-gd_T1w"), ("T1 W WO CONTRAST", "", None), ("T1 PRE/POST", "Gadovist", None),
        ("T1 +/- C", "", None), ("AX T2 GRE", "", None), ("t2_fl2d_tra", "", None), ("T2 FFE", "", None),
        ("b1000 T2", "", None), ("T2 LWS", "", None), ("SAG T1 CERVICAL", "", None), ("AX T2 NECK", "", None),
        ("T1_FFE", "", "T1w"), ("t1_fl3d_tra", "", "T1w"),
        ("t2_spc_da-fl_sag_p2_iso", "", "FLAIR"), ("T2_SPC_DA_FL", "", "FLAIR"), ("t2_tirm_da-fl_tra", "", "FLAIR"),
        ("t2_spc_irprep_dafl_sag", "", "FLAIR"), ("t2_space_dark__fluid", "", "FLAIR"), ("t2_da_fl3d_tra", "", None),
        ("t1_tirm_da-fl_tra", "", "T1w"), ("t1_da_fl3d_tra", "", "T1w"), ("t2_tse_dafloor", "", "T2w"),
        ("t2_tse_panda-fl", "", "T2w"), ("t1_flash_3d", "", "T1w"),
        ("T1 3D INJ", "", "ce-gd_T1w"), ("SAG T1 INJECTÉ", "", "ce-gd_T1w"), ("T1_apres_injection", "", "ce-gd_T1w"),
        ("T1 PDC", "", "ce-gd_T1w"), ("AX T1 CIV", "", "ce-gd_T1w"), ("T1 sans inj", "Gadovist", "T1w"),
        ("T1 non injecté", "", "T1w"), ("T1 avant injection", "", "T1w"), ("T1 sans et avec injection", "", None),
    ],
)  # fmt: skip
def test_descriptions_tell_sequences_by_the_written_rule(description, agent, wanted):
    assert sequence_from_description(description, agent) == wanted


@pytest.mark.parametrize(
    ("description", "protocol", "wanted"),
    [
        ("AX T2 FLAIR", "BRAIN AND SPINE W WO CONTRAST", "FLAIR"), ("AX T1", "BRAIN W WO CONTRAST", "T1w"),
        ("AX T1 POST", "BRAIN WITHOUT AND WITH CONTRAST", "ce-gd_T1w"), ("AX T2", "Brain T1 T2 FLAIR", "T2w"),
        ("AX T2 FLAIR", "ROUTINE BRAIN PERFUSION", "FLAIR"), ("DWI", "t1_mprage", None),
        ("", "t1_mprage", "T1w"), ("Ax Post", "T1 MPRAGE", "ce-gd_T1w"), ("Series 4", "DTI", None),
    ],
)  # fmt: skip
def test_a_protocol_of_the_whole_examination_says_nothing_of_a_series_that_tells_itself(description, protocol, wanted):
    assert sequence_from_series(description, protocol, "") == wanted


def test_a_t1_flair_is_read_beside_the_flair_and_not_for_it(series, tmp_path):
    series("a", description="AX T2 FLAIR", series_number=1)
    series("b", description="AX T1 FLAIR", series_number=2, seed=4)
    (visit,) = read_timeline(tmp_path / "d").visits
    assert visit.sequences == ("FLAIR", "T1w")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("T1 C-", "T1w"), ("T1c-", "T1w"), ("T1 C+", "ce-gd_T1w"), ("T1+", "ce-gd_T1w"), ("T1 + Gd", "ce-gd_T1w"),
        ("FLAIR+", "FLAIR"), ("T1-c", "ce-gd_T1w"), ("T1 - Gd", "ce-gd_T1w"), ("T1 -C", "T1w"), ("T2-FLAIR", "FLAIR"),
    ],
)  # fmt: skip
def test_a_minus_behind_a_sequence_s_name_is_no_hyphen(name, wanted):
    assert sequence_from_name(name) == wanted


@pytest.mark.parametrize(
    "image_type",
    [
        ["DERIVED", "SECONDARY", "PROJECTION IMAGE", "MIP"], ["ORIGINAL", "PRIMARY", "P"],
        ["DERIVED", "PRIMARY", "ADC"], ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"],
        ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"], ["DERIVED", "PRIMARY", "T2 MAP"],
    ],
)  # fmt: skip
def test_a_projection_a_phase_or_a_computed_image_is_not_read_for_the_sequence(series, tmp_path, image_type):
    series("a", series_number=1)
    series("b", series_number=2, seed=2, ImageType=image_type)
    timeline = read_timeline(tmp_path / "d")
    assert {f.code for f in timeline.findings} == {"series_skipped"}
    assert "01_" in timeline.visits[0].sources["FLAIR"].files[0].name


def test_examinations_that_repeat_under_one_date_are_refused_and_a_spine_beside_a_head_is_not(series, tmp_path):
    series("a", date="19000101", study_uid="1.2.3")
    series("b", date="19000101", study_uid="1.2.4", description="SAG T1", seed=2)
    assert {f.code for f in read_timeline(tmp_path / "d").findings} == {"several_studies", "date_implausible"}
    series("c", date="19000101", study_uid="1.2.4", seed=3, series_number=2)
    error = refusal(tmp_path / "d")
    assert {f.code for f in error.findings} >= {"dates_missing"}
    assert "2 DICOM studies have one and the same date" in str(error)


def test_studies_of_one_date_that_were_acquired_on_other_days_are_refused_but_over_midnight_are_not(series, tmp_path):
    series("a", study_uid="1.2.3", AcquisitionDate="20190304")
    series("b", study_uid="1.2.4", AcquisitionDate="20190305", description="SAG T1", seed=2)
    assert {f.code for f in read_timeline(tmp_path / "d").findings} == {"several_studies"}
    series("c", study_uid="1.2.5", AcquisitionDate="20190704", description="AX T2", seed=3)
    message = str(refusal(tmp_path / "d"))
    assert "up to 122 days apart" in message
    assert "2019" not in message


def test_a_siemens_flair_does_not_displace_the_t2w_of_its_visit(series, tmp_path):
    series("a", description="t2_tse_tra", series_number=1)
    series("b", description="t2_spc_da-fl_sag_p2_iso", series_number=2, seed=4)
    timeline = read_timeline(tmp_path / "d")
    (visit,) = timeline.visits
    assert visit.sequences == ("FLAIR", "T2w")
    assert "01_" in visit.sources["T2w"].files[0].name
    assert not timeline.findings


DARK_TIMES = {"EchoTime": 388, "RepetitionTime": 5000, "InversionTime": 1800}


def test_a_t2w_with_a_flair_s_times_is_read_as_flair_and_told(series, tmp_path):
    series("a", description="t2_tse_tra", series_number=1, EchoTime=100, RepetitionTime=4000)
    series("b", description="t2_spc_sag", series_number=2, seed=4, **DARK_TIMES)
    timeline = read_timeline(tmp_path / "d")
    (visit,) = timeline.visits
    assert visit.sequences == ("FLAIR", "T2w")
    assert "01_" in visit.sources["T2w"].files[0].name
    assert [(one.code, one.sequence) for one in timeline.findings] == [("sequence_overruled", "FLAIR")]


def test_a_t2w_with_a_flair_s_times_takes_no_place_of_one_that_is_called_so(series, tmp_path):
    series("a", series_number=1)
    series("b", description="t2_spc_dir_sag", series_number=2, seed=4, **DARK_TIMES)
    series("c", description="t2_stir", series_number=3, seed=5, EchoTime=80, RepetitionTime=4000, InversionTime=160)
    timeline = read_timeline(tmp_path / "d")
    (visit,) = timeline.visits
    assert visit.sequences == ("FLAIR", "T2w")
    assert ["01_" in visit.sources["FLAIR"].files[0].name, "03_" in visit.sources["T2w"].files[0].name] == [True, True]
    assert {one.code for one in timeline.findings} == {"series_unclassed"}


def test_timing_tells_flair_from_t2w_and_t1w():
    assert sequence_from_timing(120, 9000, 2500) == "FLAIR"
    assert sequence_from_timing(100, 4000, None) == "T2w"
    assert sequence_from_timing(3, 2300, 900) == "T1w"
    assert sequence_from_timing(50, 1500, None) is None


@pytest.mark.parametrize("first", [None, "SpecificCharacterSet", "0008,0000"])
def test_files_without_dicom_s_preamble_are_read_as_gdcm_reads_them(series, tmp_path, make_head, first):
    """As older archives keep them: the dataset alone, implicit, little-endian."""
    for path in series("a"):
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        if first == "SpecificCharacterSet":
            dataset.SpecificCharacterSet = "ISO_IR 100"
        elif first:
            dataset.add_new(0x00080000, "UL", 400)
        dataset.preamble = None
        pydicom.dcmwrite(path, dataset, implicit_vr=True, little_endian=True)
        assert path.read_bytes()[:2] == b"\x08\x00"
    timeline = read_timeline(tmp_path / "d")
    np.testing.assert_array_equal(to_nearest_ras(timeline.visits[0].sources["FLAIR"].read()).voxels,
                                  to_nearest_ras(make_head()).voxels)  # fmt: skip
    assert {item.code for item in timeline.findings} == set()


def test_a_file_that_only_begins_like_a_dataset_is_no_dicom(series, tmp_path):
    series("a")
    (tmp_path / "d" / "no.bin").write_bytes(b"\x08\x00\x08\x00" + bytes(range(256)))
    assert [(item.code, item.message[:2]) for item in read_timeline(tmp_path / "d").findings] == [
        ("unknown_files", "1 ")
    ]


@pytest.mark.parametrize("given", ["d/sub-P", "d"])
def test_dicom_in_folders_called_as_those_of_bids_is_read_as_dicom(series, tmp_path, given):
    series("sub-P/ses-1", date="20200101")
    series("sub-P/ses-2/anat", date="20200501", seed=2)
    timeline = read_timeline(tmp_path / given)
    assert [visit.days_since_first for visit in timeline.visits] == [0, 121]
    assert timeline.patient_id == "sub-01"


def test_a_mask_beside_a_folder_of_dicom_hides_none_of_it(series, tmp_path, make_head):
    series("a", date="20200101")
    series("b", date="20200501", seed=2)
    write_nifti(make_head(), tmp_path / "d" / "mask.nii.gz")
    timeline = read_timeline(tmp_path / "d")
    assert [visit.days_since_first for visit in timeline.visits] == [0, 121]
    assert [(item.code, item.message[:2]) for item in timeline.findings] == [("unknown_files", "1 ")]


def test_a_study_without_an_identifier_is_the_patient_s_of_the_same_name(series, tmp_path):
    series("a", date="20200101", patient_id="P1")
    series("b", date="20200501", patient_id="", seed=2)
    for patient in (None, "P1"):
        assert len(read_timeline(tmp_path / "d", patient=patient).visits) == 2


def write_enhanced(volume, folder, write_dicom_series, rescales):
    """The series as one file of a frame a slice, each with its own slope and intercept."""
    slices = [pydicom.dcmread(path) for path in write_dicom_series(
        volume, folder, date="20200101", description="t2_tirm_dark-fluid")]  # fmt: skip
    for path in folder.iterdir():
        path.unlink()
    frames = []
    for one, (slope, intercept) in zip(slices, rescales, strict=True):
        frame = Dataset()
        for group, names in {
            "PlanePositionSequence": ("ImagePositionPatient",),
            "PlaneOrientationSequence": ("ImageOrientationPatient",),
            "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
        }.items():
            item = Dataset()
            for name in names:
                setattr(item, name, one.get(name))
            setattr(frame, group, [item])
        rescale = Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = slope, intercept, "US"
        frame.PixelValueTransformationSequence = [rescale]
        frames.append(frame)
    whole = slices[0]
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(whole, name)
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    whole.NumberOfFrames, whole.PerFrameFunctionalGroupsSequence = len(slices), frames
    whole.PixelData = b"".join(one.PixelData for one in slices)
    whole.save_as(folder / "enhanced.dcm", enforce_file_format=True)


@pytest.mark.parametrize(
    ("description", "agent", "times", "wanted"),
    [
        ("t1_mprage_sag", "Gadobutrol", (2.3, 1900.0, 900.0), ("ce-gd_T1w", set())),
        ("t1_mprage_sag", "None", (2.3, 1900.0, [900.0]), ("T1w", set())),
        ("t2_tirm_tra", "", (90.0, 9000.0, [2500.0, 2600.0]), ("FLAIR", {"sequence_overruled"})),
        ("t2_tse_tra", "", (90.0, 9000.0, None), ("T2w", set())),
    ],
)  # fmt: skip
def test_agent_and_times_of_an_enhanced_file_are_read_where_it_keeps_them(
    tmp_path, make_head, write_dicom_series, description, agent, times, wanted
):
    volume = make_head()
    write_enhanced(volume, tmp_path / "d", write_dicom_series, [(1.0, 0.0)] * volume.geometry.shape[2])
    (path,) = (tmp_path / "d").iterdir()
    dataset = pydicom.dcmread(path)
    dataset.SeriesDescription = description
    code = Dataset()
    code.CodeMeaning = agent
    dataset.ContrastBolusAgentSequence = [code] if agent else []
    shared = Dataset()
    for group, name, value in zip(
        ("MREchoSequence", "MRTimingAndRelatedParametersSequence", "MRModifierSequence"),
        ("EffectiveEchoTime", "RepetitionTime", "InversionTimes"), times, strict=True,
    ):  # fmt: skip
        item = Dataset()
        setattr(item, name, value)
        setattr(shared, group, [item])
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.save_as(path)
    timeline = read_timeline(tmp_path / "d")
    assert timeline.visits[0].sequences == (wanted[0],)
    assert {item.code for item in timeline.findings} == wanted[1]


@pytest.mark.parametrize("last", [(2.0, 5.0), (3.0, 5.0), (2.0, 6.0)])
def test_frames_of_one_file_are_rescaled_alike_or_refused(tmp_path, make_head, write_dicom_series, last):
    volume = make_head()
    rescales = [(2.0, 5.0)] * (volume.geometry.shape[2] - 1) + [last]
    write_enhanced(volume, tmp_path / "d", write_dicom_series, rescales)
    if last == rescales[0]:
        read = read_timeline(tmp_path / "d").visits[0].sources["FLAIR"].read()
        np.testing.assert_array_equal(read.voxels, 2.0 * volume.voxels + 5.0)
    else:
        assert "differ in rescale slope or intercept" in str(refusal(tmp_path / "d"))


HEADER = "path,sequence,days_since_treatment"


@pytest.fixture
def named_by(tmp_path):
    """Write a table into the folder that holds the series."""

    def write(*rows, header=HEADER):
        (tmp_path / "t.csv").write_text("\n".join([header, *rows]) + "\n")
        return tmp_path / "t.csv"

    return write


def test_a_row_names_a_folder_of_one_series_beside_rows_that_name_files(series, named_by, tmp_path, make_head):
    series("a", description="whatever the scanner says")
    series("a/scout", description="loc", series_number=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series("b", seed=1, date="20200331", description="t2")
    (tmp_path / "d" / "a" / "notes.txt").write_text("x")
    write_nifti(make_head(2), tmp_path / "c.nii.gz")
    timeline = read_timeline(named_by("d/a,flair,10", "d\\b,FLAIR,100", "c.nii.gz,T1,100"))
    assert [visit.days_since_treatment for visit in timeline.visits] == [10, 100]
    assert [visit.sequences for visit in timeline.visits] == [("FLAIR",), ("FLAIR", "T1w")]
    for number, visit in enumerate(timeline.visits):
        read = visit.sources["FLAIR"].read()
        np.testing.assert_array_equal(to_nearest_ras(read).voxels, to_nearest_ras(make_head(number)).voxels)
    assert {item.code for item in timeline.findings} == {"unknown_files", "series_skipped"}
    assert timeline.patient_id == "sub-01"
    assert read_timeline(named_by("d/a,flair,10", "d/b,FLAIR,100"), identified=True).patient_id == "sub-P"


def test_the_days_of_a_table_that_contradict_the_dates_of_its_dicom_are_refused(series, named_by):
    for number, date in enumerate(("20200101", "20200331", "20200701")):
        series(f"{number}", seed=number, date=date)

    def rows(*days):
        return [f"d/{number},FLAIR,{day}" for number, day in enumerate(days)]

    assert [visit.days_since_first for visit in read_timeline(named_by(*rows(5, 94, 187))).visits] == [0, 89, 182]
    words = "Line 4: days_since_treatment of the table and the study date of its DICOM disagree by 30 days. Correct"
    assert words in str(refusal(named_by(*rows(5, 95, 217))))
    words = "Line 2: the date of the table and the study date of its DICOM disagree by 10 days. Correct"
    table = named_by(*rows("2019-01-11", "2019-04-01", "2019-07-02"), header="path,sequence,date")
    assert words in str(refusal(table))


def test_dates_that_were_taken_out_of_dicom_do_not_contradict_a_table(series, named_by):
    for number, date in enumerate(("19000101", "19000101", "")):
        series(f"{number}", seed=number, date=date)
    rows = [f"d/{number},FLAIR,{90 * number}" for number in range(3)]
    assert [visit.days_since_first for visit in read_timeline(named_by(*rows)).visits] == [0, 90, 180]


def test_a_folder_without_one_whole_series_is_told_by_its_line_without_its_path(series, named_by, tmp_path, planted):
    series(f"{planted}/a")
    series(f"{planted}/b", seed=1, description="T1", series_number=2)
    series("c", description="loc", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (tmp_path / "empty").mkdir()
    series("e", seed=2)[20].unlink()
    table = named_by(f"d/{planted},FLAIR,0", "d/c,FLAIR,90", "empty,FLAIR,180", "nowhere,FLAIR,200", "d/c/,T9,300")
    message = str(refusal(table))
    assert planted not in message
    for words in (
        "Line 2: the folder holds 2 DICOM series, wanted one; name the folder of one series.",
        "Line 3: the folder's DICOM is no volume (localizers, maps, fewer than 5 slices); name another.",
        "Line 4: the folder holds no DICOM image that can be read; name a volume's file, or such a folder.",
        "Line 5: path does not end in one of .nii.gz, .nii, .nrrd, .mha, and is no folder with a DICOM series.",
        "Line 6: sequence is none of",
    ):
        assert words in message
    assert "FLAIR of visit 2: slice positions leave a gap (1 slices missing" in str(
        refusal(named_by(f"d/{planted}/a,FLAIR,0", "d/e,FLAIR,90"))
    )


def test_series_of_two_patients_in_one_table_are_refused(series, named_by, planted):
    series("a", patient_id=f"{planted}1")
    series("b", seed=1, date="20200331", patient_id=f"{planted}2")
    series("c", seed=2, date="20200331", patient_id="")
    message = str(refusal(named_by("d/a,FLAIR,0", "d/b,FLAIR,90")))
    assert "Line 3: the DICOM series is of another patient than that of line 2." in message
    assert planted not in message
    assert len(read_timeline(named_by("d/a,FLAIR,0", "d/c,FLAIR,90")).visits) == 2


def test_a_folder_of_very_many_files_is_refused_before_any_is_opened(named_by, tmp_path):
    (tmp_path / "d").mkdir()
    for number in range(10_001):
        (tmp_path / "d" / f"{number}").touch()
    assert "Line 2: the folder holds more than 10000 files" in str(refusal(named_by("d,FLAIR,0")))
