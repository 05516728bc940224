"""NIfTI files that are cut, forged, bombs, or odd but right."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from io import BytesIO

import numpy as np
from hostile_workshop import Expected, Workshop, head, nifti, squeezed, zeros_zipped

NAN, INF = math.nan, math.inf
WHOLE = len(nifti())


def test_ends_in_one_sentence_or_a_right_result(case, run_case) -> None:
    run_case(case)


# Cut and damaged files


def case_empty_file(at: Workshop) -> Expected:
    return at.refused(at.patient(b""), "cut short")


def case_one_byte(at: Workshop) -> Expected:
    return at.refused(at.patient(b"\x5c"), "cut short")


def case_header_only(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti()[:352]), "cut short")


def case_ends_inside_the_header(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti()[:200]), "ends inside its header")


def case_ends_inside_the_voxels(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti()[: WHOLE // 2]), f"of {WHOLE} bytes are there")


def case_last_byte_missing(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti()[:-1]), f"{WHOLE - 1} of {WHOLE} bytes are there")


def case_gzip_of_nothing(at: Workshop) -> Expected:
    return at.refused(at.zipped(squeezed(b"")), "cut short")


def case_gzip_cut_inside_its_own_header(at: Workshop) -> Expected:
    return at.refused(at.zipped(squeezed(nifti())[:7]), "cut short")


def case_gzip_cut_inside_the_nifti_header(at: Workshop) -> Expected:
    return at.refused(at.zipped(squeezed(nifti())[:60]), "cut short")


def case_gzip_cut_inside_the_voxels(at: Workshop) -> Expected:
    content = squeezed(nifti())
    return at.refused(at.zipped(content[: len(content) // 2]), "cut short")


def case_gzip_cut_inside_the_checksum(at: Workshop) -> Expected:
    return at.refused(at.zipped(squeezed(nifti())[:-6]), "cut short")


def case_gzip_without_its_last_byte(at: Workshop) -> Expected:
    return at.refused(at.zipped(squeezed(nifti())[:-1]), "cut short")


def case_gzip_with_a_flipped_bit(at: Workshop) -> Expected:
    content = bytearray(squeezed(nifti()))
    content[len(content) // 2] ^= 0x10
    return at.refused(at.zipped(bytes(content)), "damaged")


def case_gzip_with_a_wrong_checksum(at: Workshop) -> Expected:
    content = bytearray(squeezed(nifti()))
    content[-8] ^= 1
    return at.refused(at.zipped(bytes(content)), "checksum")


def case_gzip_with_a_wrong_length(at: Workshop) -> Expected:
    content = bytearray(squeezed(nifti()))
    content[-1] ^= 1
    return at.refused(at.zipped(bytes(content)), "checksum")


def case_gzip_of_an_unknown_method(at: Workshop) -> Expected:
    return at.refused(at.zipped(b"\x1f\x8b\x07" + squeezed(nifti())[3:]), "damaged")


def case_gzip_in_gzip(at: Workshop) -> Expected:
    return at.refused(at.zipped(squeezed(squeezed(nifti()))), "not a NIfTI header")


def case_gzip_with_rubbish_behind(at: Workshop) -> Expected:
    return at.refused(at.zipped(squeezed(nifti()) + b"rubbish"), "damaged")


def case_gzip_with_zeros_behind_as_tapes_pad(at: Workshop) -> Expected:
    return at.right(at.zipped(squeezed(nifti(head(2))) + bytes(512)))


def case_gzip_in_two_members(at: Workshop) -> Expected:
    content = nifti(head(2))
    return at.right(at.zipped(squeezed(content[:5000]) + squeezed(content[5000:])))


def case_gzip_with_a_file_name_inside(at: Workshop) -> Expected:
    buffer = BytesIO()
    with gzip.GzipFile("SECRETNAME.nii", "wb", 1, buffer) as handle:
        handle.write(nifti(head(2)))
    return at.right(at.zipped(buffer.getvalue()))


def case_zlib_stream_called_gz(at: Workshop) -> Expected:
    return at.refused(at.zipped(zlib.compress(nifti(), 1)), "not a NIfTI header")


def case_zip_called_gz(at: Workshop) -> Expected:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../SECRETNAME.nii", nifti())
    return at.refused(at.zipped(buffer.getvalue()), "not a NIfTI header")


def case_zipped_file_called_nii(at: Workshop) -> Expected:
    return at.refused(at.patient(squeezed(nifti(head(2)))), "name it .nii.gz")


def case_plain_file_called_gz(at: Workshop) -> Expected:
    return at.right(at.zipped(nifti(head(2))))


def case_text(at: Workshop) -> Expected:
    return at.refused(at.patient(b"SECRETNAME, born 2012-01-01\n" * 100), "not a NIfTI header")


def case_web_page(at: Workshop) -> Expected:
    return at.refused(at.patient(b"<!DOCTYPE html><title>Log in</title>" * 30), "not a NIfTI header")


def case_zeros(at: Workshop) -> Expected:
    return at.refused(at.patient(bytes(WHOLE)), "not a NIfTI header")


def case_all_bits_set(at: Workshop) -> Expected:
    return at.refused(at.patient(b"\xff" * WHOLE), "not a NIfTI header")


def case_git_annex_pointer(at: Workshop) -> Expected:
    pointer = b"/annex/objects/MD5E-s123--0123456789abcdef.nii.gz\n"
    return at.refused(at.zipped(pointer), "cut short")


# Bombs and absurd sizes


def case_bomb_behind_the_voxels(at: Workshop) -> Expected:
    return at.refused(at.zipped(zeros_zipped(20_000, nifti(head(2)))), "than its header says")


def case_bomb_that_keeps_its_word(at: Workshop) -> Expected:
    shape = (3, 10_000, 10_000, 50, 1, 1, 1, 1)
    return at.refused(at.zipped(zeros_zipped(10_000, nifti(head(2), dim=shape)[:352])), "voxels, more than")


def case_bomb_in_the_header(at: Workshop) -> Expected:
    return at.refused(at.zipped(zeros_zipped(3_000)), "not a NIfTI header")


def case_a_million_million_voxels(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(3, 10_000, 10_000, 10_000, 1, 1, 1, 1)), "voxels, more than")


def case_the_largest_size_of_every_axis(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(7, *[32767] * 7)), "")


def case_nifti_2_with_sizes_whose_product_wraps_to_0(at: Workshop) -> Expected:
    content = nifti(head(2), version=2, dim=(3, 2**32, 2**32, 2, 1, 1, 1, 1))
    return at.refused(at.patient(content), "voxels, more than")


def case_nifti_2_with_the_largest_size(at: Workshop) -> Expected:
    content = nifti(head(2), version=2, dim=(3, 2**62, 2**62, 2**62, 1, 1, 1, 1))
    return at.refused(at.patient(content), "voxels, more than")


def case_nifti_2_with_a_negative_size(at: Workshop) -> Expected:
    content = nifti(head(2), version=2, dim=(3, -44, 52, 40, 1, 1, 1, 1))
    return at.refused(at.patient(content), "impossible size")


def case_negative_size(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(3, 44, -52, 40, 1, 1, 1, 1)), "impossible size")


def case_size_0(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(3, 44, 0, 40, 1, 1, 1, 1)), "impossible size")


def case_no_axes(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(0, 44, 52, 40, 1, 1, 1, 1)), "impossible size")


def case_eight_axes(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(8, 44, 52, 40, 1, 1, 1, 1)), "impossible size")


def case_negative_number_of_axes(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(-3, 44, 52, 40, 1, 1, 1, 1)), "impossible size")


def case_one_axis(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(1, 32767, 1, 1, 1, 1, 1, 1)), "1 dimensions, wanted 3")


def case_two_axes(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(2, 2288, 40, 1, 1, 1, 1, 1)), "2 dimensions, wanted 3")


def case_time_series(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(4, 44, 52, 20, 2, 1, 1, 1)), "4 dimensions, wanted 3")


def case_seven_axes_four_of_them_of_length_1(at: Workshop) -> Expected:
    return at.right(at.header(dim=(7, 44, 52, 40, 1, 1, 1, 1)))


def case_a_single_slice(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(3, 44, 2080, 1, 1, 1, 1, 1)), "2 dimensions, wanted 3")


def case_two_slices(at: Workshop) -> Expected:
    return at.refused(at.header(dim=(3, 44, 1040, 2, 1, 1, 1, 1)), "")


# Voxel types and where voxels begin


def case_big_endian(at: Workshop) -> Expected:
    return at.right(at.patient(nifti(head(2), order=">")))


def case_big_endian_header_and_little_endian_voxels(at: Workshop) -> Expected:
    """Read as the header says these are numbers, but no picture: a risk would rest on nothing."""
    voxels = head(2).voxels.byteswap()
    return at.refused(at.patient(nifti(head(2), voxels=voxels, order=">")), "in the other order than the header says")


def case_little_endian_header_and_big_endian_voxels_of_32_bits(at: Workshop) -> Expected:
    voxels = head(2).voxels.astype("i4").byteswap()
    return at.refused(at.patient(nifti(head(2), voxels=voxels)), "in the other order than the header says")


def case_length_of_the_header_in_the_other_byte_order(at: Workshop) -> Expected:
    return at.refused(at.header(sizeof_hdr=struct.unpack("<i", struct.pack(">i", 348))[0]), "")


def case_wrong_length_of_the_header(at: Workshop) -> Expected:
    return at.refused(at.header(sizeof_hdr=1000), "not a NIfTI header")


def case_wrong_magic(at: Workshop) -> Expected:
    return at.refused(at.header(magic=b"n+9\0"), "not a NIfTI header")


def case_magic_of_a_pair_of_files(at: Workshop) -> Expected:
    return at.refused(at.header(magic=b"ni1\0"), "two files")


def case_analyze_without_a_magic(at: Workshop) -> Expected:
    return at.refused(at.header(magic=bytes(4)), "not a NIfTI header")


def case_nifti_2(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti(head(2), version=2)), "it is NIfTI-2")


def case_nifti_2_with_the_magic_of_text_mode(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti(head(2), version=2, magic=b"n+2\0\n\n\x1a\n")), "")


def case_unknown_voxel_type(at: Workshop) -> Expected:
    return at.refused(at.header(datatype=9999), "unknown kind")


def case_voxel_type_0(at: Workshop) -> Expected:
    return at.refused(at.header(datatype=0), "unknown kind")


def case_bits_as_voxels(at: Workshop) -> Expected:
    return at.refused(at.header(datatype=1, bitpix=1), "unknown kind")


def case_complex_voxels(at: Workshop) -> Expected:
    return at.refused(at.header(datatype=32, bitpix=64), "complex")


def case_colour(at: Workshop) -> Expected:
    return at.refused(at.header(datatype=128, bitpix=24), "colour")


def case_float_of_128_bits(at: Workshop) -> Expected:
    return at.refused(at.header(datatype=1536, bitpix=128), "unknown kind")


def case_bits_a_voxel_that_contradict_the_type(at: Workshop) -> Expected:
    return at.right(at.header(bitpix=64))


def case_type_larger_than_the_voxels(at: Workshop) -> Expected:
    return at.refused(at.header(datatype=64, bitpix=64), "cut short")


def case_whole_numbers_of_64_bits(at: Workshop) -> Expected:
    return at.right(at.patient(nifti(head(2), voxels=head(2).voxels.astype("i8"))))


def case_unsigned_numbers_of_32_bits(at: Workshop) -> Expected:
    return at.right(at.patient(nifti(head(2), voxels=head(2).voxels.astype("u4"))))


def case_double_precision(at: Workshop) -> Expected:
    return at.right(at.patient(nifti(head(2), voxels=head(2).voxels.astype("f8"))))


def case_double_precision_beyond_single(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti(head(2), voxels=head(2).voxels * 1e300)), "NaN or infinite")


def case_voxels_begin_at_0(at: Workshop) -> Expected:
    return at.refused(at.header(vox_offset=0.0), "voxels begin")


def case_voxels_begin_inside_the_header(at: Workshop) -> Expected:
    return at.refused(at.header(vox_offset=100.0), "voxels begin")


def case_voxels_begin_before_the_file(at: Workshop) -> Expected:
    return at.refused(at.header(vox_offset=-352.0), "voxels begin")


def case_voxels_begin_at_nan(at: Workshop) -> Expected:
    return at.refused(at.header(vox_offset=NAN), "voxels begin")


def case_voxels_begin_at_infinity(at: Workshop) -> Expected:
    return at.refused(at.header(vox_offset=INF), "voxels begin")


def case_voxels_begin_far_beyond_any_file(at: Workshop) -> Expected:
    return at.refused(at.header(vox_offset=1e38), "voxels begin")


def case_voxels_begin_a_little_beyond_the_file(at: Workshop) -> Expected:
    return at.refused(at.header(vox_offset=1e6), "cut short")


def case_voxels_begin_between_two_bytes(at: Workshop) -> Expected:
    return at.refused(at.header(vox_offset=352.5), "voxels begin")


def case_nifti_2_with_voxels_at_a_negative_place(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti(head(2), version=2, vox_offset=-(2**62))), "voxels begin")


def _extended(size: int, body: bytes) -> bytes:
    """A file with one header extension that states ``size``."""
    content = nifti(head(2), vox_offset=352.0 + 8 + len(body), extension=b"\1\0\0\0")
    return content[:352] + struct.pack("<2i", size, 6) + body + content[352:]


def case_extension(at: Workshop) -> Expected:
    return at.right(at.patient(_extended(32, b"SECRETNAME 20120101".ljust(24, b"\0"))))


def case_extension_of_negative_size(at: Workshop) -> Expected:
    return at.right(at.patient(_extended(-16, bytes(24))))


def case_extension_of_size_0(at: Workshop) -> Expected:
    return at.right(at.patient(_extended(0, bytes(24))))


def case_extension_larger_than_the_file(at: Workshop) -> Expected:
    return at.right(at.patient(_extended(2**31 - 16, bytes(24))))


def case_extension_of_an_odd_size(at: Workshop) -> Expected:
    return at.right(at.patient(_extended(13, bytes(24))))


# Place in space


def case_spacing_nan(at: Workshop) -> Expected:
    return at.refused(at.header(pixdim=(1, NAN, NAN, NAN, 1, 1, 1, 1)), "true size is not known")


def case_spacing_nan_without_a_matrix(at: Workshop) -> Expected:
    return at.refused(at.header(pixdim=(1, NAN, 4, 4, 1, 1, 1, 1), sform_code=0, qform_code=1), "finite")


def case_spacing_infinite_without_a_matrix(at: Workshop) -> Expected:
    return at.refused(at.header(pixdim=(1, 4, INF, 4, 1, 1, 1, 1), sform_code=0, qform_code=1), "finite")


def case_spacing_0_without_a_matrix(at: Workshop) -> Expected:
    return at.refused(at.header(pixdim=(1, 4, 4, 0, 1, 1, 1, 1), sform_code=0, qform_code=1), "singular")


def case_spacing_0_and_no_form_at_all(at: Workshop) -> Expected:
    return at.refused(at.header(pixdim=(1, 0, 0, 0, 1, 1, 1, 1), sform_code=0), "")


def case_spacing_nan_and_no_form_at_all(at: Workshop) -> Expected:
    return at.refused(at.header(pixdim=(1, NAN, NAN, NAN, 1, 1, 1, 1), sform_code=0), "")


def case_negative_spacing_without_a_matrix(at: Workshop) -> Expected:
    return at.refused(at.header(pixdim=(1, -4, 4, 4.5, 1, 1, 1, 1), sform_code=0, qform_code=1), "not known")


def case_huge_spacing(at: Workshop) -> Expected:
    return at.refused(at.header(pixdim=(1, 1e30, 1e30, 1e30, 1, 1, 1, 1), sform_code=0, qform_code=1), "")


def case_tiny_spacing(at: Workshop) -> Expected:
    return at.refused(at.header(pixdim=(1, 1e-30, 1e-30, 1e-30, 1, 1, 1, 1), sform_code=0, qform_code=1), "singular")


def case_metres_in_a_header_that_says_millimetres(at: Workshop) -> Expected:
    matrix = head(2).geometry.ijk_to_ras / 1000.0
    return at.refused(at.header(srow=matrix[:3].ravel().tolist()), "true size is not known")


def case_metres_in_a_header_that_says_so(at: Workshop) -> Expected:
    matrix = head(2).geometry.ijk_to_ras / 1000.0
    spacing = head(2).geometry.spacing_mm / 1000.0
    fields = {"srow": matrix[:3].ravel().tolist(), "pixdim": (1, *spacing, 1, 1, 1, 1), "units": 1}
    return at.right(at.header(**fields))


def case_unknown_unit(at: Workshop) -> Expected:
    return at.right(at.header(units=7))


def case_matrix_with_nan(at: Workshop) -> Expected:
    return at.refused(at.header(srow=[NAN] * 12), "finite")


def case_matrix_with_infinity(at: Workshop) -> Expected:
    return at.refused(at.header(srow=[INF, *[0.0] * 11]), "finite")


def case_matrix_of_zeros(at: Workshop) -> Expected:
    return at.refused(at.header(srow=[0.0] * 12), "singular")


def case_matrix_with_two_equal_columns(at: Workshop) -> Expected:
    return at.refused(at.header(srow=[4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]), "sheared or singular")


def case_sheared_matrix(at: Workshop) -> Expected:
    return at.refused(at.header(srow=[4, 1, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0]), "sheared")


def case_matrix_far_away(at: Workshop) -> Expected:
    matrix = head(2).geometry.ijk_to_ras.copy()
    matrix[:3, 3] += 1e7
    return at.refused(at.header(srow=matrix[:3].ravel().tolist()), "m from the scanner")


def case_matrix_whose_squares_overflow(at: Workshop) -> Expected:
    return at.refused(at.header(srow=[3e38, 0, 0, 0, 0, 3e38, 0, 0, 0, 0, 3e38, 0]), "")


def case_mirrored_forms(at: Workshop) -> Expected:
    return at.refused(at.header(qform_code=1, srow=[-4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 4.5, 0]), "mirror images")


def case_forms_that_disagree(at: Workshop) -> Expected:
    return at.warned(at.header(qform_code=1, quatern=(0, 0, 1.0)), "mm apart")


def case_no_forms(at: Workshop) -> Expected:
    return at.warned(at.header(sform_code=0), "left and right are a guess")


def case_quaternion_of_nan(at: Workshop) -> Expected:
    return at.refused(at.header(qform_code=1, sform_code=0, quatern=(NAN, NAN, NAN)), "finite")


def case_quaternion_of_nan_beside_a_right_matrix(at: Workshop) -> Expected:
    return at.warned(at.header(qform_code=1, quatern=(NAN, NAN, NAN)), "finite one")


def case_quaternion_longer_than_1(at: Workshop) -> Expected:
    return at.warned(at.header(qform_code=1, sform_code=0, quatern=(3, 4, 5)), "")


def case_negative_codes_of_the_forms(at: Workshop) -> Expected:
    return at.warned(at.header(qform_code=-1, sform_code=-7), "left and right are a guess")


def case_absurd_code_of_a_form(at: Workshop) -> Expected:
    return at.right(at.header(sform_code=32767))


# Intensities


def case_slope_nan(at: Workshop) -> Expected:
    return at.right(at.header(scl_slope=NAN))


def case_slope_0_means_none(at: Workshop) -> Expected:
    return at.right(at.header(scl_slope=0.0))


def case_slope_infinite(at: Workshop) -> Expected:
    return at.right(at.header(scl_slope=INF))


def case_slope_that_overflows(at: Workshop) -> Expected:
    return at.refused(at.header(scl_slope=3e38), "")


def case_negative_slope(at: Workshop) -> Expected:
    return at.warned(at.header(scl_slope=-1.0), "cut off")


def case_offset_nan(at: Workshop) -> Expected:
    return at.right(at.header(scl_inter=NAN))


def case_one_voxel_nan(at: Workshop) -> Expected:
    voxels = head(2).voxels.astype("f4")
    voxels[10, 20, 30] = NAN
    return at.refused(at.patient(nifti(head(2), voxels=voxels)), "1 voxels are NaN or infinite")


def case_zipped_and_one_voxel_infinite(at: Workshop) -> Expected:
    voxels = head(2).voxels.astype("f8")
    voxels[10, 20, 30] = -INF
    return at.refused(at.zipped(squeezed(nifti(head(2), voxels=voxels))), "1 voxels are NaN or infinite")


def case_all_voxels_nan(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti(head(2), voxels=np.full((44, 52, 40), NAN, "f4"))), "NaN or infinite")


def case_all_voxels_0(at: Workshop) -> Expected:
    return at.refused(at.patient(nifti(head(2), voxels=np.zeros((44, 52, 40), "i2"))), "every voxel has the same value")


def case_noise(at: Workshop) -> Expected:
    noise = np.random.default_rng(3).integers(0, 1000, (44, 52, 40)).astype("i2")
    return at.warned(at.patient(nifti(head(2), voxels=noise)), "cut off")


def case_denormal_voxels(at: Workshop) -> Expected:
    """To be read they are, but the squares and logarithms of what follows overflow, and a risk would mean nothing."""
    voxels = (head(2).voxels * np.float32(1e-40)).astype("f4")
    return at.refused(at.patient(nifti(head(2), voxels=voxels)), "wanted between 1e-08 and 1e+12")


def case_faint_voxels(at: Workshop) -> Expected:
    return at.right(at.patient(nifti(head(2), voxels=(head(2).voxels * np.float32(1e-10)).astype("f4"))))


def case_strong_voxels(at: Workshop) -> Expected:
    return at.right(at.patient(nifti(head(2), voxels=(head(2).voxels * np.float32(1e9)).astype("f4"))))


def case_largest_single_precision_voxels(at: Workshop) -> Expected:
    voxels = (head(2).voxels / 2000.0 * 3e38).astype("f4")
    return at.refused(at.patient(nifti(head(2), voxels=voxels)), "wanted between 1e-08 and 1e+12")


def case_a_mask_in_place_of_an_image(at: Workshop) -> Expected:
    mask = (head(2).voxels > 0).astype("u1")
    return at.refused(at.patient(nifti(head(2), voxels=mask)), "as a mask does")


def case_text_fields_full_of_control_characters(at: Workshop) -> Expected:
    evil = b"\x1b[2JSECRETNAME\r\n\0" * 8
    return at.right(at.header(descrip=evil[:80], aux_file=evil[:24], intent_name=evil[:16]))
