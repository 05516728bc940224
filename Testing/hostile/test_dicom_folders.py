"""Folders of DICOM with slices missing, doubled or turned, forged lengths, and headers that name the patient."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
from hostile_workshop import SECRET, Expected, Workshop
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    generate_uid,
)


def test_ends_in_one_sentence_or_a_right_result(case, run_case) -> None:
    run_case(case)


Change = Callable[[pydicom.Dataset, int], Any]


def _each(change: Change) -> Callable[[list[Path]], None]:
    """Change every file of the last series by its number."""

    def edit(paths: list[Path]) -> None:
        for number, path in enumerate(paths):
            dataset = pydicom.dcmread(path)
            change(dataset, number)
            dataset.save_as(path)

    return edit


def _one(change: Callable[[pydicom.Dataset], Any], number: int = 20) -> Callable[[list[Path]], None]:
    """Change one file of the last series."""

    def edit(paths: list[Path]) -> None:
        dataset = pydicom.dcmread(paths[number])
        change(dataset)
        dataset.save_as(paths[number])

    return edit


def _set(**elements: Any) -> Change:
    def change(dataset: pydicom.Dataset, number: int = 0) -> None:
        for name, value in elements.items():
            setattr(dataset, name, value)

    return change


def case_plain(at: Workshop) -> Expected:
    return at.right(at.dicom())


def case_a_slice_missing(at: Workshop) -> Expected:
    return at.refused(at.dicom(lambda paths: paths[20].unlink()), "1 slices missing")


def case_every_second_slice_missing(at: Workshop) -> Expected:
    """The slices that are there are even, so their places are right; that there were more, only the header tells.

    A gap as wide as the slice is rare and allowed, so this is a warning, with both distances.
    """
    path = at.dicom(lambda paths: [path.unlink() for path in paths[1::2]])
    return at.warned(path, "slices lie 9 mm apart, which is used, and the header says 4.5 mm")


def case_every_second_slice_missing_and_only_the_distance_told(at: Workshop) -> Expected:
    def edit(paths: list[Path]) -> None:
        _each(lambda dataset, number: dataset.pop("SliceThickness"))(paths)
        _each(_set(SpacingBetweenSlices="4.5"))(paths)
        for number, path in enumerate(paths):
            if number % 2:
                path.unlink()

    return at.warned(at.dicom(edit), "slices lie 9 mm apart, which is used, and the header says 4.5 mm")


def case_slices_with_a_gap_of_a_third(at: Workshop) -> Expected:
    return at.right(at.dicom(_each(_set(SliceThickness="3.4", SpacingBetweenSlices="1.1"))))


def case_slices_thicker_than_their_distance(at: Workshop) -> Expected:
    return at.right(at.dicom(_each(_set(SliceThickness="9"))))


def case_all_slices_but_three_missing(at: Workshop) -> Expected:
    return at.warned(at.dicom(lambda paths: [path.unlink() for path in paths[3:]]), "one visit only", days=(0,))


def case_a_file_copied(at: Workshop) -> Expected:
    path = at.dicom(lambda paths: shutil.copy(paths[20], paths[20].with_name("copy.dcm")))
    return at.warned(path, "1 DICOM files are copies")


def case_a_slice_doubled_under_another_identifier(at: Workshop) -> Expected:
    def edit(paths: list[Path]) -> None:
        dataset = pydicom.dcmread(paths[20])
        dataset.SOPInstanceUID = generate_uid()
        dataset.save_as(paths[20].with_name("copy.dcm"))

    return at.refused(at.dicom(edit), "lie at the place of another")


def case_instance_numbers_all_the_same(at: Workshop) -> Expected:
    return at.warned(at.dicom(_each(_set(InstanceNumber=1))), "instance numbers occur twice")


def case_instance_numbers_absent(at: Workshop) -> Expected:
    return at.right(at.dicom(_each(lambda dataset, number: dataset.pop("InstanceNumber"))))


def case_instance_numbers_in_reverse(at: Workshop) -> Expected:
    return at.right(at.dicom(_each(lambda dataset, number: setattr(dataset, "InstanceNumber", 100 - number))))


def case_a_slice_turned(at: Workshop) -> Expected:
    return at.refused(at.dicom(_one(_set(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))), "differ in orientation")


def case_a_slice_without_orientation(at: Workshop) -> Expected:
    return at.refused(at.dicom(_one(lambda dataset: dataset.pop("ImageOrientationPatient"))), "in 1 DICOM files")


def case_no_slice_with_a_position(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(lambda dataset, number: dataset.pop("ImagePositionPatient"))), "in 40 DICOM files")


def case_orientation_of_zeros(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]))), "is missing or impossible")


def case_orientation_of_five_numbers(at: Workshop) -> Expected:
    return at.warned(
        at.dicom(_each(_set(ImageOrientationPatient=[1, 0, 0, 0, 1]))), "40 DICOM files are damaged", days=(0,)
    )


def case_orientation_of_sheared_axes(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(ImageOrientationPatient=[1, 0, 0, 0.5, 0.8, 0]))), "is missing or impossible")


def case_position_of_nan(at: Workshop) -> Expected:
    return at.refused(at.dicom(_raw(b"ImagePositionPatient", "nan\\nan\\nan")), "missing or impossible")


def _raw(name: bytes, text: str) -> Callable[[list[Path]], None]:
    """Write a text that the standard forbids into an element, past pydicom's checks."""

    def edit(paths: list[Path]) -> None:
        for path in paths:
            dataset = pydicom.dcmread(path)
            element = dataset[name.decode()]
            dataset[element.tag] = pydicom.DataElement(element.tag, "LO", text)
            dataset.save_as(path)

    return edit


def case_spacing_of_0(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(PixelSpacing=["0", "0"]))), "is missing or impossible")


def case_negative_spacing(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(PixelSpacing=["-4", "4"]))), "is missing or impossible")


def case_spacing_of_text(at: Workshop) -> Expected:
    return at.warned(at.dicom(_raw(b"PixelSpacing", f"{SECRET}\\{SECRET}")), "40 DICOM files are damaged", days=(0,))


def case_spacing_absent(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(lambda dataset, number: dataset.pop("PixelSpacing"))), "is missing or impossible")


def case_spacing_that_changes(at: Workshop) -> Expected:
    return at.refused(at.dicom(_one(_set(PixelSpacing=["5", "5"]))), "pixel spacing")


def case_size_that_changes(at: Workshop) -> Expected:
    def change(dataset: pydicom.Dataset) -> None:
        dataset.Rows, dataset.PixelData = 26, dataset.PixelData[: 26 * 44 * 2]

    return at.refused(at.dicom(_one(change)), "rows and columns")


def case_slices_at_uneven_distances(at: Workshop) -> Expected:
    def change(dataset: pydicom.Dataset) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z + 1.3]

    return at.refused(at.dicom(_one(change)), "")


def case_slices_all_at_one_place(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(ImagePositionPatient=[0, 0, 0]))), "lie at the place of another")


def case_no_pixels(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(lambda dataset, number: dataset.pop("PixelData"))), "no pixels or too few")


def case_one_slice_without_pixels(at: Workshop) -> Expected:
    return at.refused(at.dicom(_one(lambda dataset: dataset.pop("PixelData"))), "no pixels or too few")


def case_too_few_pixels(at: Workshop) -> Expected:
    return at.refused(
        at.dicom(_one(lambda dataset: setattr(dataset, "PixelData", dataset.PixelData[:1000]))), "no pixels or too few"
    )


def case_a_file_cut_inside_its_pixels(at: Workshop) -> Expected:
    return at.refused(
        at.dicom(lambda paths: paths[20].write_bytes(paths[20].read_bytes()[:-2000])), "no pixels or too few"
    )


def case_a_file_cut_inside_its_header(at: Workshop) -> Expected:
    return at.refused(at.dicom(lambda paths: paths[20].write_bytes(paths[20].read_bytes()[:400])), "slices missing")


def case_65535_rows_and_columns(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(Rows=65535, Columns=65535))), "voxels, more than")


def case_a_milliard_frames(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(NumberOfFrames=1_000_000_000))), "")


def case_a_milliard_frames_in_one_file(at: Workshop) -> Expected:
    def edit(paths: list[Path]) -> None:
        _each(_set(NumberOfFrames=1_000_000_000))(paths[:1])
        for path in paths[1:]:
            path.unlink()

    return at.warned(at.dicom(edit), "one visit only", days=(0,))


def case_negative_frames(at: Workshop) -> Expected:
    """An impossible number; with it the count of voxels, by which memory is bounded, would be below 0."""
    return at.refused(at.dicom(_each(_set(NumberOfFrames=-5))), "contradict themselves")


def case_0_frames(at: Workshop) -> Expected:
    """As some write it of a file with one picture, which is what its pixels hold: nothing is left open."""
    return at.right(at.dicom(_each(_set(NumberOfFrames=0))))


def case_0_rows(at: Workshop) -> Expected:
    return at.warned(at.dicom(_each(_set(Rows=0))), "one visit only", days=(0,))


def case_7_bits_allocated(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(BitsAllocated=7, BitsStored=7, HighBit=6))), "no pixels or too few")


def case_bits_stored_beyond_allocated(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(BitsStored=60000, HighBit=59999))), "no pixels or too few")


def case_slope_of_text(at: Workshop) -> Expected:
    return at.refused(at.dicom(_raw(b"RescaleSlope", SECRET)), "")


def case_slope_of_0(at: Workshop) -> Expected:
    """By the standard every voxel is the intercept; GDCM reads 1 for 0, and what was meant nobody knows."""
    return at.refused(at.dicom(_each(_set(RescaleSlope="0"))), "rescale slope is 0 in 40 DICOM files")


def case_slope_of_0_in_one_slice(at: Workshop) -> Expected:
    return at.refused(at.dicom(_one(_set(RescaleSlope="0"))), "rescale slope is 0 in 1 DICOM files")


def case_slope_of_nan(at: Workshop) -> Expected:
    return at.refused(at.dicom(_raw(b"RescaleSlope", "nan")), "")


def case_colour(at: Workshop) -> Expected:
    path = at.dicom(_each(_set(SamplesPerPixel=3, PhotometricInterpretation="RGB")))
    return at.warned(path, "one visit only", days=(0,))


def case_computed_tomography(at: Workshop) -> Expected:
    return at.warned(at.dicom(_each(_set(Modality="CT"))), "one visit only", days=(0,))


def _syntax(uid: str) -> Callable[[list[Path]], None]:
    """Say that the pixels are compressed, which they are not."""

    def edit(paths: list[Path]) -> None:
        for path in paths:
            content = path.read_bytes()
            at = content.index(b"1.2.840.10008.1.2.1\0")
            dataset = pydicom.dcmread(path)
            path.write_bytes(content[:at] + uid.encode()[:20].ljust(20, b"\0") + content[at + 20 :])
            assert dataset is not None

    return edit


def case_a_syntax_that_is_none(at: Workshop) -> Expected:
    return at.refused(at.dicom(_syntax("1.2.3.4.5.6.7.8.9")), "")


def case_big_endian_said_of_little_endian(at: Workshop) -> Expected:
    return at.warned(at.dicom(_syntax(ExplicitVRBigEndian)), "one visit only", days=(0,))


def case_implicit_said_of_explicit(at: Workshop) -> Expected:
    return at.refused(at.dicom(_syntax(ImplicitVRLittleEndian)), "")


def _encapsulated(uid: str, fragment: bytes) -> Callable[[list[Path]], None]:
    def change(dataset: pydicom.Dataset, number: int) -> None:
        dataset.file_meta.TransferSyntaxUID = uid
        dataset.PixelData = pydicom.encaps.encapsulate([fragment])
        dataset["PixelData"].is_undefined_length = True

    return _each(change)


def case_jpeg_of_rubbish(at: Workshop) -> Expected:
    return at.refused(at.dicom(_encapsulated(JPEGLosslessSV1, b"\xff\xd8" + b"rubbish!" * 9)), "")


def case_jpeg_2000_of_rubbish(at: Workshop) -> Expected:
    return at.refused(at.dicom(_encapsulated(JPEG2000Lossless, b"\xff\x4f\xff\x51" + bytes(80))), "")


def case_a_film(at: Workshop) -> Expected:
    return at.refused(at.dicom(_encapsulated(MPEG2MPML, b"\0\0\1\xb3" + bytes(80))), "")


def case_deflated_bomb(at: Workshop) -> Expected:
    def edit(paths: list[Path]) -> None:
        for path in paths[:6]:
            dataset = pydicom.dcmread(path)
            dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
            dataset.save_as(path)
            content = path.read_bytes()
            begin = 132 + 12 + struct.unpack("<I", content[140:144])[0]
            squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
            front = squeezer.compress(struct.pack("<HH2sHI", 9, 0x10, b"OB", 0, 3_000_000_000))
            front += squeezer.flush(zlib.Z_FULL_FLUSH)
            block = squeezer.compress(bytes(1_000_000)) + squeezer.flush(zlib.Z_FULL_FLUSH)
            path.write_bytes(content[:begin] + front + block * 3_000 + squeezer.flush())
        for path in paths[6:]:
            path.unlink()

    return at.warned(at.dicom(edit), "6 DICOM files are damaged", days=(0,))


def case_sequences_nested_10_000_deep(at: Workshop) -> Expected:
    def edit(paths: list[Path]) -> None:
        opening = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
        item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        content = paths[0].read_bytes()
        meta = 132 + 12 + struct.unpack("<I", content[140:144])[0]
        paths[0].write_bytes(content[:meta] + (opening + item) * 10_000)

    return at.warned(at.dicom(edit), "1 DICOM files are damaged")


def case_an_element_longer_than_the_file(at: Workshop) -> Expected:
    def edit(paths: list[Path]) -> None:
        content = paths[20].read_bytes()
        meta = 132 + 12 + struct.unpack("<I", content[140:144])[0]
        paths[20].write_bytes(content[:meta] + struct.pack("<HH2sHI", 8, 5, b"UN", 0, 0xFFFFFFF0) + content[meta:])

    return at.refused(at.dicom(edit), "slices missing")


def case_files_of_random_bytes_behind_a_right_preamble(at: Workshop) -> Expected:
    def edit(paths: list[Path]) -> None:
        for number, path in enumerate(paths):
            path.write_bytes(bytes(128) + b"DICM" + bytes((7 * index + number) % 256 for index in range(3000)))

    return at.warned(at.dicom(edit), "one visit only", days=(0,))


def case_no_preamble(at: Workshop) -> Expected:
    return at.warned(
        at.dicom(lambda paths: [path.write_bytes(path.read_bytes()[132:]) for path in paths]),
        "one visit only",
        days=(0,),
    )


def case_several_patients(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(PatientID=f"{SECRET}-2"))), "2 patients")


def case_another_name_under_one_identifier(at: Workshop) -> Expected:
    return at.warned(at.dicom(_each(_set(PatientName=f"{SECRET}^Other"))), "different names")


def case_names_in_unknown_character_sets(at: Workshop) -> Expected:
    return at.right(at.dicom(_each(_set(SpecificCharacterSet=f"ISO_IR {SECRET}"))))


def case_a_name_in_bytes_of_no_character_set(at: Workshop) -> Expected:
    def edit(paths: list[Path]) -> None:
        for path in paths:
            path.write_bytes(path.read_bytes().replace(b"Test^Patient", b"\xff\xfe\x1b$B\x80^\x81x\0"[:12].ljust(12)))

    return at.warned(at.dicom(edit), "different names")


def case_no_date(at: Workshop) -> Expected:
    return at.refused(at.dicom(_each(_set(StudyDate=""))), "no date")


def case_31_february(at: Workshop) -> Expected:
    return at.refused(at.dicom(_raw(b"StudyDate", "20200231")), "cannot be read")


def case_a_date_of_text(at: Workshop) -> Expected:
    return at.refused(at.dicom(_raw(b"StudyDate", SECRET)), "cannot be read")


def case_two_visits_on_one_day(at: Workshop) -> Expected:
    return at.warned(at.dicom(dates=("20200101", "20200101")), "series compete", days=(0,))


def case_a_series_without_an_identifier(at: Workshop) -> Expected:
    return at.warned(
        at.dicom(_each(lambda dataset, number: dataset.pop("SeriesInstanceUID"))), "one visit only", days=(0,)
    )


def case_identifiers_of_3_000_characters(at: Workshop) -> Expected:
    return at.right(at.dicom(_raw(b"StudyInstanceUID", "1." * 1_500)))


def case_identifiers_that_are_paths(at: Workshop) -> Expected:
    return at.right(at.dicom(_raw(b"SeriesInstanceUID", f"../../../{SECRET}")))


def case_files_without_a_suffix_and_a_directory_file(at: Workshop) -> Expected:
    path = at.dicom(lambda paths: [one.rename(one.with_suffix("")) for one in paths])
    at.write("dicom/DICOMDIR", b"\0" * 128 + b"DICM" + b"\0" * 50)
    return at.right(path)


def case_a_series_number_of_text(at: Workshop) -> Expected:
    return at.right(at.dicom(_raw(b"SeriesNumber", SECRET)))
