"""What a NIfTI header says, byte by byte: SimpleITK hides qform against sform, and reads cut files in silence."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

import numpy as np

from TemporalGliomaRisk.timeline.volume import MOST_VOXELS, FloatArray

HEADER_BYTES = 348
MOST_BYTES_BEFORE_VOXELS = 1 << 26
"""Header extensions hold some text; a file whose voxels begin further on is forged or damaged."""
MOST_BYTES_BEHIND = 1 << 20
"""Some writers pad their files; more bytes behind the voxels contradict the header, and unpacking them could go on
for hours."""
_BYTES_BY_DATATYPE = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}
"""Bytes a voxel of the real scalar datatypes; colour, complex and 128-bit ones are not volumes here."""


class NiftiError(ValueError):
    """The bytes are no usable NIfTI file; the message says why, without the path."""


class TruncatedNiftiError(NiftiError):
    """The file ends too soon or its compressed bytes are damaged."""


@dataclass(frozen=True, kw_only=True)
class NiftiHeader:
    """The parts of a NIfTI-1 or NIfTI-2 header that tell size and place.

    Args:
        version: 1 or 2.
        in_one_file: Whether the header says that the voxels follow it.
        zipped: Whether the file's bytes are gzip.
        shape: Length of every axis, trailing axes of length 1 left out (but at least three kept where stated).
        qform: (4, 4) RAS mm, or None when its code is 0.
        sform: (4, 4) RAS mm, or None when its code is 0.
        spacing_mm: pixdim of the first three axes, signs dropped.
        voxels_at: Where the voxels begin, uncompressed.
        bytes_wanted: Length of the whole file, uncompressed.
        float_type: numpy's name of the voxels' type where it is floating point, else None.
    """

    version: int
    in_one_file: bool
    zipped: bool
    shape: tuple[int, ...]
    qform: FloatArray | None
    sform: FloatArray | None
    spacing_mm: tuple[float, float, float]
    voxels_at: int
    bytes_wanted: int
    float_type: str | None


def is_nifti(path: Path) -> bool:
    """Whether a file's name says NIfTI, in one file or as a compressed one."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def read_nifti_header(path: Path) -> NiftiHeader:
    """Read the header of a ``.nii`` or ``.nii.gz`` file, either byte order, NIfTI-1 or NIfTI-2.

    Raises:
        NiftiError: If the bytes are no NIfTI header or describe no real scalar image.
        OSError: If the file cannot be opened.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as handle:
            head = handle.read(540)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TruncatedNiftiError("its compressed bytes are damaged") from error
    return replace(parse_nifti_header(head), zipped=zipped)


def parse_nifti_header(head: bytes) -> NiftiHeader:
    """Parse header bytes.

    Raises:
        NiftiError: As :func:`read_nifti_header`.

    Source:
        The layout of nifti1.h and nifti2.h (nifti.nimh.nih.gov), "method 2" and "method 3".
    """
    if len(head) < HEADER_BYTES:
        raise TruncatedNiftiError("it ends inside its header")
    for order in "<>":
        size = struct.unpack(f"{order}i", head[:4])[0]
        older = size == 348 and head[344:347] in (b"n+1", b"ni1")
        if older or (size == 540 and head[4:7] in (b"n+2", b"ni2") and len(head) >= 540):
            with np.errstate(invalid="ignore", over="ignore"):  # a form of NaN or infinity is refused later, in words
                return _parse(head, order, first=older)
    raise NiftiError("its first bytes are not a NIfTI header")


def _parse(head: bytes, order: str, *, first: bool) -> NiftiHeader:
    def get(form: str, at: int) -> tuple[float, ...]:
        return struct.unpack_from(f"{order}{form}", head, at)

    dim = [int(value) for value in (get("8h", 40) if first else get("8q", 16))]
    datatype = int(get("h", 70 if first else 12)[0])
    pixdim = get("8f", 76) if first else get("8d", 104)
    offset = get("f", 108)[0] if first else get("q", 168)[0]
    in_one_file = head[345:346] == b"+" if first else head[5:6] == b"+"
    units = int(head[123] if first else get("i", 500)[0])
    q_code, s_code = (int(code) for code in (get("2h", 252) if first else get("2i", 344)))
    quaternion = get("6f", 256) if first else get("6d", 352)
    rows = get("12f", 280) if first else get("12d", 400)
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise NiftiError("its header states an impossible size")
    if datatype not in _BYTES_BY_DATATYPE:
        raise NiftiError("its voxels are colour, complex or of an unknown kind, wanted real numbers")
    voxels = math.prod(dim[1 : dim[0] + 1])
    if voxels > MOST_VOXELS:
        raise NiftiError(f"its header states {voxels:.3g} voxels, more than the {MOST_VOXELS:.3g} that are read")
    least = HEADER_BYTES + 4 if first else 544
    if in_one_file and not (least <= offset <= MOST_BYTES_BEFORE_VOXELS and offset == int(offset)):
        raise NiftiError("its header states an impossible place where the voxels begin")
    begin = int(offset) if in_one_file else 0
    shape = dim[1 : dim[0] + 1]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    mm = {1: 1000.0, 3: 0.001}.get(units & 7, 1.0)
    scale = np.diag([mm, mm, mm, 1.0])
    return NiftiHeader(
        version=1 if first else 2,
        in_one_file=in_one_file,
        zipped=False,
        shape=tuple(shape),
        qform=scale @ _from_quaternion(quaternion, pixdim) if q_code > 0 else None,
        sform=scale @ np.vstack([np.reshape(rows, (3, 4)), [0, 0, 0, 1]]) if s_code > 0 else None,
        spacing_mm=(abs(pixdim[1]) * mm, abs(pixdim[2]) * mm, abs(pixdim[3]) * mm),
        voxels_at=begin,
        bytes_wanted=begin + voxels * _BYTES_BY_DATATYPE[datatype],
        float_type={16: f"{order}f4", 64: f"{order}f8"}.get(datatype),
    )


def _from_quaternion(values: tuple[float, ...], pixdim: tuple[float, ...]) -> FloatArray:
    """The qform's matrix; NIfTI's "method 2", qfac 0 taken as 1, voxel sizes by their absolute values."""
    b, c, d = values[:3]
    a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    norm = np.sqrt(a * a + b * b + c * c + d * d)
    a, b, c, d = (value / norm for value in (a, b, c, d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.abs(pixdim[1:4]) * np.array([1.0, 1.0, -1.0 if pixdim[0] < 0 else 1.0])
    matrix[:3, 3] = values[3:6]
    return matrix


def check_nifti_is_whole(path: Path, header: NiftiHeader) -> int:
    """Check that a file holds all bytes its header promises, and that compressed bytes pass their checksum.

    Returns:
        How many stored voxels are NaN or infinite.

    Raises:
        TruncatedNiftiError: If bytes are missing or damaged.
        NiftiError: If it holds far more than its header says.

    SimpleITK fills missing bytes with zeros and sets NaN to zero, and says neither.
    """
    zipped = header.zipped
    if not zipped and header.float_type is None:
        found, not_finite = path.stat().st_size, 0
    else:
        try:
            with gzip.open(path, "rb") if zipped else path.open("rb") as handle:
                found, not_finite = _scan(cast(IO[bytes], handle), header)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise TruncatedNiftiError("its compressed bytes end too soon or fail their checksum") from error
    if found < header.bytes_wanted:
        raise TruncatedNiftiError(f"{found} of {header.bytes_wanted} bytes are there")
    if found > header.bytes_wanted + MOST_BYTES_BEHIND:
        raise NiftiError("it holds far more bytes than its header says")
    return not_finite


def _scan(handle: IO[bytes], header: NiftiHeader) -> tuple[int, int]:
    """Bytes in a stream as far as they matter, and stored floating-point voxels that are not finite."""
    found = len(handle.read(header.voxels_at))
    not_finite = 0
    most = header.bytes_wanted + MOST_BYTES_BEHIND
    # Blocks are a multiple of every voxel size; only the last one may be shorter.
    while found <= most and (block := handle.read(1 << 22)):
        if header.float_type is not None:
            end = min(len(block), max(header.bytes_wanted - found, 0))
            values = np.frombuffer(block[: end - end % int(header.float_type[-1])], dtype=header.float_type)
            not_finite += int(values.size - np.isfinite(values).sum())
        found += len(block)
    return found, not_finite
