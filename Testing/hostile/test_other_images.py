"""NRRD and MetaImage files that point elsewhere, lie about their size, or are cut."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from hostile_workshop import Expected, Workshop, head, squeezed

LPS = np.diag([-1.0, -1.0, 1.0])


def test_ends_in_one_sentence_or_a_right_result(case, run_case) -> None:
    run_case(case)


def _voxels() -> bytes:
    return head(2).voxels.astype("<i2").tobytes(order="F")


def _nrrd(body: bytes | None = None, **changes: str) -> bytes:
    """A right NRRD file, then its fields changed; an empty value drops the field."""
    matrix = LPS @ head(2).geometry.ijk_to_ras[:3]
    directions = " ".join("(" + ",".join(f"{value:.9g}" for value in column) + ")" for column in matrix[:, :3].T)
    fields = {
        "type": "int16", "dimension": "3", "space": "left-posterior-superior", "sizes": "44 52 40",
        "space directions": directions, "kinds": "domain domain domain", "endian": "little", "encoding": "raw",
        "space origin": "(" + ",".join(f"{value:.9g}" for value in matrix[:, 3]) + ")",
    }  # fmt: skip
    fields |= {name.replace("_", " "): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return ("NRRD0004\n" + "\n".join(lines) + "\n\n").encode() + (_voxels() if body is None else body)


def _mha(body: bytes | None = None, **changes: str) -> bytes:
    """A right MetaImage file in one piece, then its fields changed."""
    matrix = LPS @ head(2).geometry.ijk_to_ras[:3]
    spacing = head(2).geometry.spacing_mm
    fields = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False", "TransformMatrix": " ".join(f"{v:.9g}" for v in (matrix[:, :3] / spacing).T.ravel()),
        "Offset": " ".join(f"{v:.9g}" for v in matrix[:, 3]), "ElementSpacing": " ".join(f"{v:.9g}" for v in spacing),
        "DimSize": "44 52 40", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL",
    }  # fmt: skip
    fields |= changes
    fields["ElementDataFile"] = fields.pop("ElementDataFile")  # the last line of a header, always
    lines = [f"{name} = {value}" for name, value in fields.items() if value]
    return ("\n".join(lines) + "\n").encode() + (_voxels() if body is None else body)


def _second(at: Workshop, content: bytes, suffix: str = ".nrrd") -> Path:
    return at.patient(content, suffix=suffix)


def case_nrrd(at: Workshop) -> Expected:
    return at.right(_second(at, _nrrd()))


def case_nrrd_zipped(at: Workshop) -> Expected:
    return at.right(_second(at, _nrrd(squeezed(_voxels()), encoding="gzip")))


def case_nrrd_with_key_value_pairs_that_name_the_patient(at: Workshop) -> Expected:
    content = _nrrd().replace(b"\n\n", b"\nPatientName:=SECRETNAME\n# data file: x\ndata file:=note\n\n", 1)
    return at.right(_second(at, content))


def case_nrrd_of_an_unknown_version(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd().replace(b"NRRD0004", b"NRRD9999")), "")


def case_nrrd_with_another_magic(at: Workshop) -> Expected:
    return at.refused(_second(at, b"NRRX" + _nrrd()[4:]), "not an NRRD header")


def case_nrrd_empty(at: Workshop) -> Expected:
    return at.refused(_second(at, b""), "not an NRRD header")


def case_nrrd_without_an_end_of_its_header(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd().split(b"\n\n", maxsplit=1)[0]), "")


def case_nrrd_whose_header_never_ends(at: Workshop) -> Expected:
    return at.refused(_second(at, b"NRRD0004\n" + b"# more\n" * 2_000_000), "no end")


def case_nrrd_with_one_line_of_20_million_characters(at: Workshop) -> Expected:
    return at.refused(_second(at, b"NRRD0004\nsizes: " + b"4" * 20_000_000), "no end")


def case_nrrd_whose_voxels_are_in_another_file(at: Workshop) -> Expected:
    at.write("SECRETNAME.raw", _voxels())
    return at.refused(_second(at, _nrrd(b"", data_file="../../../SECRETNAME.raw")), "names another file")


def case_nrrd_whose_voxels_are_in_a_device(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(b"", datafile="/dev/zero")), "names another file")


def case_nrrd_with_a_list_of_files(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(b"/etc/passwd\n", data_file="LIST")), "names another file")


def case_nrrd_of_a_million_million_voxels(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(sizes="10000 10000 10000")), "voxels, more than")


def case_nrrd_zipped_bomb(at: Workshop) -> Expected:
    content = _nrrd(zlib.compress(bytes(50_000_000)), encoding="gzip", sizes="99999 99999 9999")
    return at.refused(_second(at, content), "voxels, more than")


def case_nrrd_of_negative_size(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(sizes="44 -52 40")), "impossible size")


def case_nrrd_of_size_0(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(sizes="44 0 40")), "impossible size")


def case_nrrd_of_a_size_beyond_64_bits(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(sizes="44 99999999999999999999999 40")), "impossible size")


def case_nrrd_without_sizes(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(sizes="")), "impossible size")


def case_nrrd_cut_inside_the_voxels(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd()[:-5000]), "")


def case_nrrd_zipped_and_cut(at: Workshop) -> Expected:
    body = squeezed(_voxels())
    return at.refused(_second(at, _nrrd(body[: len(body) // 2], encoding="gzip")), "")


def case_nrrd_zipped_with_a_flipped_bit(at: Workshop) -> Expected:
    body = bytearray(squeezed(_voxels()))
    body[len(body) // 2] ^= 4
    return at.refused(_second(at, _nrrd(bytes(body), encoding="gzip")), "")


def case_nrrd_of_four_axes(at: Workshop) -> Expected:
    fields = {"sizes": "2 22 52 40", "dimension": "4", "kinds": "vector domain domain domain"}
    content = _nrrd(**fields).replace(b"space directions: ", b"space directions: none ")
    return at.refused(_second(at, content), "")


def case_nrrd_with_directions_of_nan(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(space_directions="(nan,0,0) (0,4,0) (0,0,4)")), "")


def case_nrrd_with_directions_of_0(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(space_directions="(0,0,0) (0,4,0) (0,0,4)")), "")


def case_nrrd_with_sheared_directions(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(space_directions="(4,0,0) (2,4,0) (0,0,4.5)")), "")


def case_nrrd_without_directions(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(space_directions="", space="", space_origin="")), "")


def case_nrrd_with_blocks_as_voxels(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(type="block")), "")


def case_nrrd_with_a_negative_byte_skip(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(byte_skip="-1")), "wanted raw or gzip")


def case_nrrd_with_an_absurd_byte_skip(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(byte_skip="999999999999")), "")


def case_nrrd_with_an_absurd_line_skip(at: Workshop) -> Expected:
    return at.refused(_second(at, _nrrd(line_skip="999999999")), "")


def case_mha(at: Workshop) -> Expected:
    return at.right(_second(at, _mha(), ".mha"))


def case_mha_zipped(at: Workshop) -> Expected:
    return at.right(_second(at, _mha(zlib.compress(_voxels(), 1), CompressedData="True"), ".mha"))


def case_mha_in_a_comment_of_which_stands_a_name(at: Workshop) -> Expected:
    return at.right(_second(at, _mha(Comment="SECRETNAME 2012-01-01"), ".mha"))


def case_mha_empty(at: Workshop) -> Expected:
    return at.refused(_second(at, b"", ".mha"), "")


def case_mha_of_rubbish(at: Workshop) -> Expected:
    return at.refused(_second(at, b"\x89PNG\r\n\x1a\n" * 50, ".mha"), "not a MetaImage header")


def case_mha_whose_voxels_are_in_another_file(at: Workshop) -> Expected:
    at.write("SECRETNAME.raw", _voxels())
    content = _mha(b"", ElementDataFile="../../../SECRETNAME.raw")
    return at.refused(_second(at, content, ".mha"), "names another file")


def case_mha_whose_voxels_are_in_a_file_by_absolute_path(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(b"", ElementDataFile="/dev/zero"), ".mha"), "names another file")


def case_mha_with_a_pattern_of_files(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(b"", ElementDataFile="%s%s%s%n.raw 1 9999 1"), ".mha"), "names another file")


def case_mha_with_a_list_of_files(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(b"/etc/passwd\n", ElementDataFile="LIST"), ".mha"), "names another file")


def case_mha_of_a_million_million_voxels(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(DimSize="10000 10000 10000"), ".mha"), "voxels, more than")


def case_mha_of_negative_size(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(DimSize="44 52 -40"), ".mha"), "impossible size")


def case_mha_of_99999_axes(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(NDims="99999"), ".mha"), "")


def case_mha_of_more_axes_than_sizes(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(NDims="9"), ".mha"), "")


def case_mha_of_minus_3_axes(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(NDims="-3"), ".mha"), "")


def case_mha_with_spacing_nan(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(ElementSpacing="nan nan nan"), ".mha"), "")


def case_mha_with_spacing_0(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(ElementSpacing="0 4 4"), ".mha"), "")


def case_mha_with_negative_spacing(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(ElementSpacing="-4 4 4.5"), ".mha"), "")


def case_mha_with_a_singular_matrix(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(TransformMatrix="1 0 0 1 0 0 0 0 1"), ".mha"), "")


def case_mha_with_a_matrix_of_nan(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(TransformMatrix="nan 0 0 0 1 0 0 0 1"), ".mha"), "")


def case_mha_cut_inside_the_voxels(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha()[:-5000], ".mha"), "")


def case_mha_zipped_and_cut(at: Workshop) -> Expected:
    body = zlib.compress(_voxels(), 1)
    return at.refused(_second(at, _mha(body[: len(body) // 2], CompressedData="True"), ".mha"), "")


def case_mha_with_an_absurd_size_of_its_zipped_voxels(at: Workshop) -> Expected:
    content = _mha(zlib.compress(_voxels(), 1), CompressedData="True", CompressedDataSize="999999999999999")
    return at.right(_second(at, content, ".mha"))


def case_mha_with_a_negative_size_of_its_zipped_voxels(at: Workshop) -> Expected:
    content = _mha(zlib.compress(_voxels(), 1), CompressedData="True", CompressedDataSize="-5")
    return at.right(_second(at, content, ".mha"))


def case_mha_with_an_absurd_size_of_its_header(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(HeaderSize="999999999999"), ".mha"), "")


def case_mha_with_colour(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(DimSize="44 26 40", ElementNumberOfChannels="2"), ".mha"), "colour")


def case_mha_with_a_million_channels(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(ElementNumberOfChannels="1000000"), ".mha"), "")


def case_mha_of_an_unknown_type(at: Workshop) -> Expected:
    return at.refused(_second(at, _mha(ElementType="MET_SECRETNAME"), ".mha"), "")


def case_mha_as_text(at: Workshop) -> Expected:
    content = _mha(b"1 2 3 4 5 6", BinaryData="False")
    return at.refused(_second(at, content, ".mha"), "")
