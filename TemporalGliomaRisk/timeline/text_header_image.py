"""NRRD and MetaImage files of one volume, read here and not by a library.

Both begin with lines of text that may name any file of the machine for the voxels and any size for them. ITK's reader
of MetaImage crashes on forged ones and gives whatever lay in memory where unpacking fails; so the few forms that an
image of a head takes are read strictly, and everything else is refused.
"""

from __future__ import annotations

import contextlib
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import SimpleITK as sitk

from TemporalGliomaRisk.timeline.sitk_images import sitk_from_axes
from TemporalGliomaRisk.timeline.volume import MOST_VOXELS, FloatArray

MOST_HEADER_BYTES = 1 << 20
MOST_LINES = 10_000
MOST_AXES = 16
LPS, RAS, LAS = (-1.0, -1.0, 1.0), (1.0, 1.0, 1.0), (-1.0, 1.0, 1.0)
_SPACES = {
    "left-posterior-superior": LPS, "lps": LPS, "right-anterior-superior": RAS, "ras": RAS,
    "left-anterior-superior": LAS, "las": LAS,
}  # fmt: skip
_NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"), "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"), "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",), "f8": ("double",),
}  # fmt: skip
_META_TYPES = {
    "met_char": "i1", "met_uchar": "u1", "met_short": "i2", "met_ushort": "u2", "met_int": "i4", "met_uint": "u4",
    "met_long_long": "i8", "met_ulong_long": "u8", "met_float": "f4", "met_double": "f8",
}  # fmt: skip


class TextHeaderError(ValueError):
    """The file cannot be used; the message says why, without repeating what stands in it."""


class CutShortError(TextHeaderError):
    """Bytes are missing or damaged."""


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What both forms say, once understood: lengths, numpy's voxel type, and places in a patient space."""

    sizes: tuple[int, ...]
    dtype: str
    zipped: bool
    axes: FloatArray
    origin: FloatArray
    space: tuple[float, float, float]


def is_text_header_image(path: Path) -> bool:
    """Whether a file's name says NRRD or MetaImage in one piece."""
    return path.name.lower().endswith((".nrrd", ".mha"))


def read_text_header_image(path: Path) -> sitk.Image:
    """Read an ``.nrrd`` or ``.mha`` file whose voxels follow its header, plain or zipped.

    Raises:
        TextHeaderError: If it is no such file, or its header contradicts itself or states more than is read.
        OSError: If the file cannot be opened.
    """
    with path.open("rb") as handle:
        header = _nrrd(handle) if path.name.lower().endswith(".nrrd") else _metaimage(handle)
        voxels = math.prod(header.sizes)
        if voxels > MOST_VOXELS:
            raise TextHeaderError(
                f"its header states {voxels:.3g} voxels, more than the {MOST_VOXELS:.3g} that are read"
            )
        content = _voxel_bytes(handle, voxels * np.dtype(header.dtype).itemsize, zipped=header.zipped)
    array = np.frombuffer(content, dtype=header.dtype).reshape(header.sizes[::-1])
    if not (np.isfinite(header.axes).all() and np.isfinite(header.origin).all()):
        raise TextHeaderError("its header places the voxels nowhere finite")
    if np.linalg.norm(header.axes, axis=0).min() < 1e-6:
        raise TextHeaderError("its header states voxels without size")
    return sitk_from_axes(array.astype(array.dtype.newbyteorder("=")), header.axes, header.origin, header.space)


def _voxel_bytes(handle: IO[bytes], wanted: int, *, zipped: bool) -> bytes:
    """The voxels' bytes, never more in memory than wanted."""
    if not zipped:
        content = handle.read(wanted)
    else:
        # 32 more: gzip's or zlib's own header, told by itself.
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        pieces, found = [], 0
        try:
            while found < wanted and not unpacker.eof and (block := unpacker.unconsumed_tail or handle.read(1 << 20)):
                pieces.append(unpacker.decompress(block, wanted - found))
                found += len(pieces[-1])
            # The checksum comes behind the last byte.
            while not unpacker.eof and (block := unpacker.unconsumed_tail or handle.read(1 << 10)):
                if unpacker.decompress(block, 1):
                    raise TextHeaderError("it holds more bytes than its header says")
        except zlib.error as error:
            raise CutShortError("its compressed bytes are damaged") from error
        if not unpacker.eof:
            raise CutShortError("its compressed bytes end too soon")
        content = b"".join(pieces)
    if len(content) < wanted:
        raise CutShortError(f"{len(content)} of {wanted} bytes of voxels are there")
    return content


def _nrrd(handle: IO[bytes]) -> _Header:
    if not re.fullmatch(rb"NRRD000[1-5]\s*\n", handle.readline(80)):
        raise TextHeaderError("its first bytes are not an NRRD header")
    fields: dict[str, str] = {}
    while line := _line(handle, fields):
        name, separator, value = line.partition(":")
        # "name:=value" is a remark of the writer's, "#" a comment
        if separator and not value.startswith("=") and not line.startswith("#"):
            fields[name.strip().lower()] = value.strip()
    if "data file" in fields or "datafile" in fields:
        raise TextHeaderError("its header names another file for the voxels; wanted both in one file")
    skips = [fields.get(name, "0") for name in ("line skip", "lineskip", "byte skip", "byteskip")]
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz") or any(skip != "0" for skip in skips):
        raise TextHeaderError("its voxels are packed in a way that is not read; wanted raw or gzip")
    sizes, dtype = _sizes(fields, "sizes"), _nrrd_type(fields)
    vectors = re.findall(r"none|\([^()]*\)", fields.get("space directions", ""))
    space = _SPACES.get(fields.get("space", "").lower())
    if space is None or fields.get("space units", "").replace('"', "").split() not in ([], ["mm"] * 3):
        raise TextHeaderError("its header does not say how the voxels lie in the patient, in mm")
    if len(vectors) != len(sizes) or vectors[:-3].count("none") != len(sizes) - 3 or math.prod(sizes[:-3]) != 1:
        raise TextHeaderError("it does not have three axes in space, one number a voxel")
    axes = [_numbers(vector.strip("()").replace(",", " "), 3) for vector in vectors[-3:]]
    origin = _numbers(fields.get("space origin", "").strip("()").replace(",", " "), 3)
    return _Header(
        sizes=sizes[-3:],
        dtype=dtype,
        zipped=encoding != "raw",
        axes=np.array(axes).T,
        origin=np.array(origin),
        space=space,
    )


def _nrrd_type(fields: Mapping[str, str]) -> str:
    kind = next((code for code, names in _NRRD_TYPES.items() if fields.get("type", "").lower() in names), None)
    endian = fields.get("endian", "").lower()
    if kind is None or (endian not in ("little", "big") and kind[1] != "1"):
        raise TextHeaderError("its voxels are of an unknown kind, wanted real numbers")
    return (">" if endian == "big" else "<") + kind


def _metaimage(handle: IO[bytes]) -> _Header:
    fields: dict[str, str] = {}
    while line := _line(handle, fields):
        name, separator, value = line.partition("=")
        if not separator:
            raise TextHeaderError("its first bytes are not a MetaImage header")
        fields[name.strip().lower()] = value.strip()
        if "elementdatafile" in fields:
            break
    if fields.get("elementdatafile", "").lower() != "local":
        raise TextHeaderError("its header names another file for the voxels; wanted both in one file")
    if fields.get("elementnumberofchannels", "1") != "1":
        raise TextHeaderError("its voxels are colour or complex, wanted one real number each")
    wanted = {"binarydata": "true", "headersize": "0", "objecttype": "image"}
    if any(fields.get(name, right).lower() not in (right, "-1") for name, right in wanted.items()):
        raise TextHeaderError("its voxels are packed in a way that is not read; wanted binary ones behind the header")
    sizes = _sizes(fields, "dimsize")
    kind = _META_TYPES.get(fields.get("elementtype", "").lower())
    if kind is None:
        raise TextHeaderError("its voxels are of an unknown kind, wanted real numbers")
    if fields.get("ndims") != str(len(sizes)) or len(sizes) != 3:
        raise TextHeaderError("it does not have three axes in space, one number a voxel")
    big = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "false")).lower() == "true"
    spacing = np.array(_numbers(fields.get("elementspacing", ""), 3))
    if not spacing.min() > 0:
        raise TextHeaderError("its header states voxels without size")
    matrix = next(
        (fields[n] for n in ("transformmatrix", "rotation", "orientation") if n in fields), "1 0 0 0 1 0 0 0 1"
    )
    origin = next((fields[name] for name in ("offset", "position", "origin") if name in fields), "")
    rows = np.array(_numbers(matrix, 9)).reshape(3, 3)
    return _Header(
        sizes=sizes,
        dtype=(">" if big else "<") + kind,
        zipped=fields.get("compresseddata", "false").lower() == "true",
        axes=rows.T * spacing,
        origin=np.array(_numbers(origin, 3)),
        space=LPS,
    )


def _line(handle: IO[bytes], fields: Mapping[str, str]) -> str:
    """The header's next line; bounded, so that a file without line ends is no trap."""
    line = handle.readline(MOST_HEADER_BYTES)
    if not line.endswith(b"\n") or handle.tell() > MOST_HEADER_BYTES or len(fields) > MOST_LINES:
        raise TextHeaderError("its header has no end")
    return line.decode("latin-1").strip("\r\n")


def _sizes(fields: Mapping[str, str], name: str) -> tuple[int, ...]:
    words = fields.get(name, "").split()
    if not 1 <= len(words) <= MOST_AXES or not all(re.fullmatch(r"[0-9]{1,9}", word) for word in words):
        raise TextHeaderError("its header states an impossible size")
    sizes = tuple(int(word) for word in words)
    if min(sizes) < 1:
        raise TextHeaderError("its header states an impossible size")
    return sizes


def _numbers(text: str, count: int) -> list[float]:
    values: list[float] = []
    with contextlib.suppress(ValueError):
        values = [float(word) for word in text.split()]
    if len(values) != count:
        raise TextHeaderError("its header does not say where the voxels lie")
    return values
