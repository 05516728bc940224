"""DICOM headers: what of each file is needed to tell patients, days, series and slices apart. No pixels are read."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import struct
import warnings
from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.timeline.days import is_unknown
from TemporalGliomaRisk.timeline.volume import FloatArray

_TAGS = [
    "PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "AcquisitionDate", "SeriesDate",
    "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName", "ContrastBolusAgent",
    "ContrastBolusAgentSequence", "Modality", "SOPClassUID", "SOPInstanceUID", "ImageType", "SamplesPerPixel", "Rows",
    "Columns", "BitsAllocated", "BitsStored", "NumberOfFrames", "RescaleSlope", "RescaleIntercept", "PixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber",
    "EchoTime", "RepetitionTime", "InversionTime", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
PIXELS = {"<": b"\xe0\x7f\x10\x00", ">": b"\x7f\xe0\x00\x10"}
"""The tag of PixelData, in either byte order."""
DEFLATED = "1.2.840.10008.1.2.1.99"
WITHOUT_PREAMBLE = tuple(
    b"\x08\x00" + bytes((element, 0)) for element in (0x00, 0x01, 0x05, 0x08, 0x12, 0x14, 0x16, 0x18)
)
"""How a file begins that is a dataset alone, as older archives keep them: group 8, by its first elements."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_NO_ANATOMY = re.compile(
    r"LOCALIZER|PROJECTION IMAGE|MIP|M(?:AX|IN)[ _]?IP|MINIP|MNIP|P|PHASE|.*PHASE[ _]MAP|I|IMAGINARY|ADC.*|DIFFUSION.*|"
    r"TRACEW?|FA|TENSOR.*|DWI|SWI|PERFUSION.*|ASL|R?[CM]B[FV]|MTT|TTP|.*SUBTRACT.*|SUB|.*[ _]MAP"
)
"""Words of ImageType by which a picture is no magnitude of the tissue: projections, phases, what is computed."""


@dataclass(frozen=True, kw_only=True)
class DicomHeader:
    """One image file's header, places in LPS mm as DICOM has them (for checks only; volumes get theirs by SimpleITK).

    Nothing of it is shown: names, identifiers and descriptions stay inside the reader.
    """

    path: Path = field(repr=False)
    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    birth_date: str = field(repr=False)
    study_uid: str = field(repr=False)
    date_text: str = field(repr=False)
    acquired_text: str = field(repr=False)
    series_uid: str = field(repr=False)
    sop_uid: str = field(repr=False)
    description: str = field(repr=False)
    protocol: str = field(repr=False)
    contrast_agent: str = field(repr=False)
    series_number: int
    instance_number: int | None
    is_picture: bool
    frames: int
    pixels_whole: bool
    size: tuple[int, int]
    pixel_spacing_mm: tuple[float, ...]
    slice_distance_mm: float | None
    slope_is_0: bool
    frames_rescaled_alike: bool
    orientation: FloatArray | None
    positions_lps: FloatArray | None
    echo_ms: float | None
    repetition_ms: float | None
    inversion_ms: float | None


@dataclass(frozen=True, kw_only=True)
class DicomFiles:
    """What the files of a folder are.

    Args:
        headers: Of the images.
        broken: How many begin as DICOM and cannot be read.
        others: How many are anything else.
    """

    headers: list[DicomHeader]
    broken: int
    others: int


def read_dicom_headers(files: Iterable[Path]) -> DicomFiles:
    """Headers of the files that are DICOM images, and how many files are not."""
    headers: list[DicomHeader] = []
    others = broken = 0
    for path in files:
        check_cancelled()
        try:
            with _in_silence():
                header = _read(path)
        except (InvalidDicomError, OSError):
            header = None
        except Exception:  # noqa: BLE001  (whatever forged bytes make pydicom raise, the file is one that isn't read)
            broken += 1
            continue
        if header is None:
            others += 1
        else:
            headers.append(header)
    return DicomFiles(headers=headers, broken=broken, others=others)


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """While inside, pydicom warns and logs nothing: its words hold values of the header."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _read(path: Path) -> DicomHeader | None:
    with path.open("rb") as handle:
        begin = handle.read(132)
        bare = begin[128:] != b"DICM"
        if bare and not begin.startswith(WITHOUT_PREAMBLE):
            return None
        if not bare and str(read_file_meta_info(path).get("TransferSyntaxUID", "")) == DEFLATED:
            raise ValueError("It would be unpacked as a whole, to whatever size.")
        handle.seek(0)
        dataset = pydicom.dcmread(handle, stop_before_pixels=True, specific_tags=_TAGS, force=bare)
        return _header(path, dataset, _pixel_bytes(handle, dataset))


def _pixel_bytes(handle: IO[bytes], dataset: pydicom.Dataset) -> float:
    """Length of the pixels behind a header that was just read; 0 without, infinite where they are compressed."""
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    begin = handle.read(12)
    if begin[:4] != PIXELS[order] or len(begin) < 12:
        return 0
    (length,) = struct.unpack(f"{order}I", begin[4:8] if implicit else begin[8:12])
    if length == 0xFFFFFFFF:
        return math.inf
    left = os.fstat(handle.fileno()).st_size - handle.tell() + (4 if implicit else 0)
    return float(min(length, left))


def _header(path: Path, dataset: pydicom.Dataset, pixel_bytes: float) -> DicomHeader | None:
    """The header's parts; None for DICOM objects without rows and columns (DICOMDIR, reports)."""
    if not dataset.get("Rows") or not dataset.get("Columns") or not dataset.get("SeriesInstanceUID"):
        return None
    orientation, positions, spacing = _place(dataset)
    rescales = _frame_rescales(dataset)
    image_type = [str(word).upper() for word in dataset.get("ImageType") or []]
    number = _number(dataset, "InstanceNumber")
    echo_ms, repetition_ms, inversion_ms = _times(dataset)
    frames = int(_number(dataset, "NumberOfFrames") or 1)
    dates = [_text(dataset, name) for name in ("StudyDate", "AcquisitionDate", "SeriesDate")]
    return DicomHeader(
        path=path,
        patient_id=_text(dataset, "PatientID"),
        patient_name=_text(dataset, "PatientName"),
        birth_date=_text(dataset, "PatientBirthDate"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        date_text=next((date for date in dates if not is_unknown(date)), ""),
        acquired_text=_text(dataset, "AcquisitionDate"),
        series_uid=_text(dataset, "SeriesInstanceUID"),
        sop_uid=_text(dataset, "SOPInstanceUID"),
        description=_text(dataset, "SeriesDescription"),
        protocol=_text(dataset, "ProtocolName"),
        contrast_agent=_contrast_agent(dataset),
        series_number=int(_number(dataset, "SeriesNumber") or 0),
        instance_number=None if number is None else int(number),
        is_picture=(
            int(dataset.get("SamplesPerPixel") or 1) > 1
            or any(_NO_ANATOMY.fullmatch(word) for word in image_type)
            or str(dataset.get("SOPClassUID", "")).startswith(SECONDARY_CAPTURE)
            or _text(dataset, "Modality") not in ("MR", "")
        ),
        frames=frames,
        pixels_whole=frames > 0 and pixel_bytes >= _bytes_wanted(dataset, frames),
        size=(int(dataset.Rows), int(dataset.Columns)),
        pixel_spacing_mm=spacing,
        slice_distance_mm=_slice_distance(dataset),
        slope_is_0=0.0 in (_number(dataset, "RescaleSlope"), *(slope for slope, _ in rescales)),
        frames_rescaled_alike=len(set(rescales)) < 2,
        orientation=orientation,
        positions_lps=positions,
        echo_ms=echo_ms,
        repetition_ms=repetition_ms,
        inversion_ms=inversion_ms,
    )


def _place(dataset: pydicom.Dataset) -> tuple[FloatArray | None, FloatArray | None, tuple[float, ...]]:
    """Orientation (2, 3) and positions (frames, 3) in LPS mm, and pixel spacing; None where the header lacks them."""
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups:
        shared = _shared(dataset)
        orientations = [
            _group(frame, shared, "PlaneOrientationSequence", "ImageOrientationPatient") for frame in groups
        ]
        positions = [_group(frame, shared, "PlanePositionSequence", "ImagePositionPatient") for frame in groups]
        spacing = _group(groups[0], shared, "PixelMeasuresSequence", "PixelSpacing")
        if any(one is None for one in [*orientations, *positions]):
            return None, None, tuple(spacing or ())
        same = np.ptp(np.array(orientations, dtype=float), axis=0).max() < 1e-3
        place = np.array(positions, dtype=float)
        return (
            (np.reshape(np.array(orientations[0], dtype=float), (2, 3)) if same else None),
            place,
            tuple(spacing or ()),
        )
    orientation = dataset.get("ImageOrientationPatient")
    position = dataset.get("ImagePositionPatient")
    spacing = dataset.get("PixelSpacing")
    return (
        np.reshape(np.array(orientation, dtype=float), (2, 3)) if orientation else None,
        np.reshape(np.array(position, dtype=float), (1, 3)) if position else None,
        tuple(float(value) for value in spacing or ()),
    )


def _slice_distance(dataset: pydicom.Dataset) -> float | None:
    """The largest distance in mm from slice to slice that the header speaks for, None where it says nothing.

    Some writers put the gap alone into SpacingBetweenSlices, and then the thickness is the larger.
    """
    names = ("SliceThickness", "SpacingBetweenSlices")
    said = [_number(dataset, name) for name in names]
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups:
        shared = _shared(dataset)
        said += [_number(_item(groups[0], shared, "PixelMeasuresSequence"), name) for name in names]
    return max((abs(distance) for distance in said if distance), default=None)


def _contrast_agent(dataset: pydicom.Dataset) -> str:
    """What was given, as text, or by the codes in which alone the enhanced form tells it."""
    codes = dataset.get("ContrastBolusAgentSequence") or ()
    told = (_text(dataset, "ContrastBolusAgent"), *(_text(code, "CodeMeaning") for code in codes))
    return next(filter(None, told), "")


def _times(dataset: pydicom.Dataset) -> tuple[float | None, float | None, float | None]:
    """Echo, repetition and inversion time in ms; the enhanced form has them among its first frame's groups."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        return _number(dataset, "EchoTime"), _number(dataset, "RepetitionTime"), _number(dataset, "InversionTime")
    shared = _shared(dataset)
    return (
        _number(_item(frames[0], shared, "MREchoSequence"), "EffectiveEchoTime"),
        _number(_item(frames[0], shared, "MRTimingAndRelatedParametersSequence"), "RepetitionTime"),
        _number(_item(frames[0], shared, "MRModifierSequence"), "InversionTimes", first=True),
    )


def _frame_rescales(dataset: pydicom.Dataset) -> list[tuple[float, float]]:
    """Rescale slope and intercept of every frame, of its own or shared; 1 and 0 where none is told."""
    shared = _shared(dataset)
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    rescales = []
    for frame in frames:
        item = _item(frame, shared, "PixelValueTransformationSequence")
        slope, intercept = _number(item, "RescaleSlope"), _number(item, "RescaleIntercept")
        rescales.append((1.0 if slope is None else slope, intercept or 0.0))
    return rescales


def _shared(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """The functional groups that all frames of an enhanced file share; empty where there are none."""
    items: Sequence[pydicom.Dataset] = dataset.get("SharedFunctionalGroupsSequence") or ()
    return items[0] if items else pydicom.Dataset()


def _item(frame: pydicom.Dataset, shared: pydicom.Dataset, group: str) -> pydicom.Dataset:
    """A functional group, per frame or shared; empty where there is none."""
    for dataset in (frame, shared):
        items: Sequence[pydicom.Dataset] = dataset.get(group) or ()
        if items:
            return items[0]
    return pydicom.Dataset()


def _group(frame: pydicom.Dataset, shared: pydicom.Dataset, group: str, name: str) -> list[float] | None:
    """A value of a functional group, per frame or shared."""
    for dataset in (frame, shared):
        items = dataset.get(group)
        if items and items[0].get(name) is not None:
            return [float(value) for value in items[0].get(name)]
    return None


def _text(dataset: pydicom.Dataset, name: str) -> str:
    value: Any = dataset.get(name)
    return "" if value is None else str(value).strip()


def _number(dataset: pydicom.Dataset, name: str, *, first: bool = False) -> float | None:
    """A finite number, ``first`` of several if asked for, None where there is none or something else."""
    try:
        value: Any = dataset.get(name)
        if first and isinstance(value, MutableSequence) and value:
            value = value[0]
        number = None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _bytes_wanted(dataset: pydicom.Dataset, frames: int) -> float:
    """Bytes that the pixels need uncompressed; infinite where the header contradicts itself about them."""
    allocated, stored = _number(dataset, "BitsAllocated"), _number(dataset, "BitsStored")
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= (stored or allocated) <= allocated:
        return math.inf
    samples = int(_number(dataset, "SamplesPerPixel") or 1)
    return int(dataset.Rows) * int(dataset.Columns) * max(frames, 1) * samples * allocated / 8


def plain_name(name: str) -> str:
    """A person's name for comparing: letters only, in capitals, so that ``Doe^Jane`` and ``DOE JANE`` are one."""
    return re.sub(r"[\W_]+", "", name).upper()
