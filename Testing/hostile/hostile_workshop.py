"""Builders of hostile and broken input: NIfTI byte by byte, heads, BIDS folders, tables and DICOM to spoil."""

from __future__ import annotations

import functools
import gzip
import importlib.util
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from TemporalGliomaRisk.timeline.volume import Volume

TESTING = Path(__file__).resolve().parents[1]
SECRET = "SECRETNAME"
"""Stands for a patient's name in folder and file names and in headers; nothing printed may hold it."""

OLDER_FIELDS = {
    "sizeof_hdr": ("i", 0), "dim": ("8h", 40), "datatype": ("h", 70), "bitpix": ("h", 72), "pixdim": ("8f", 76),
    "vox_offset": ("f", 108), "scl_slope": ("f", 112), "scl_inter": ("f", 116), "units": ("B", 123),
    "descrip": ("80s", 148), "aux_file": ("24s", 228), "qform_code": ("h", 252), "sform_code": ("h", 254),
    "quatern": ("3f", 256), "qoffset": ("3f", 268), "srow": ("12f", 280), "intent_name": ("16s", 328),
    "magic": ("4s", 344), "extension": ("4s", 348),
}  # fmt: skip
"""Where NIfTI-1 keeps its fields: struct's form and the offset."""
NEWER_FIELDS = {
    "sizeof_hdr": ("i", 0), "magic": ("8s", 4), "datatype": ("h", 12), "bitpix": ("h", 14), "dim": ("8q", 16),
    "pixdim": ("8d", 104), "vox_offset": ("q", 168), "scl_slope": ("d", 176), "scl_inter": ("d", 184),
    "qform_code": ("i", 344), "sform_code": ("i", 348), "srow": ("12d", 400), "units": ("i", 500),
}  # fmt: skip
"""The same of NIfTI-2."""
DATATYPES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}


def support(name: str) -> ModuleType:
    """A file of Testing that is no test, by its path without ``.py``."""
    spec = importlib.util.spec_from_file_location(Path(name).name, TESTING / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def head(seed: int = 0, fluid: str = "dark") -> Volume:
    """A small head on an oblique grid, (44, 52, 40) voxels."""
    return support("unit/timeline/conftest").head(seed, fluid=fluid)


def pack(content: bytearray, fields: Mapping[str, tuple[str, int]], order: str, values: Mapping[str, Any]) -> None:
    """Set header fields in place."""
    for name, value in values.items():
        form, at = fields[name]
        struct.pack_into(f"{order}{form}", content, at, *(value if isinstance(value, (tuple, list)) else (value,)))


def nifti(
    volume: Volume | None = None, *, voxels: np.ndarray | None = None, order: str = "<", version: int = 1, **fields: Any
) -> bytes:
    """The bytes of a right NIfTI file of a volume, then the fields given set as they are."""
    volume = volume or head()
    array = np.asarray(volume.voxels if voxels is None else voxels)
    kind = array.dtype.str[1:]
    matrix = volume.geometry.ijk_to_ras
    size, table = (348, OLDER_FIELDS) if version == 1 else (540, NEWER_FIELDS)
    offset = size + 4
    content = bytearray(offset)
    right = {
        "sizeof_hdr": size,
        "dim": (array.ndim, *array.shape, *[1] * (7 - array.ndim)),
        "datatype": DATATYPES.get(kind, 4),
        "bitpix": 8 * array.dtype.itemsize,
        "pixdim": (1.0, *volume.geometry.spacing_mm, *[1.0] * 4),
        "vox_offset": offset,
        "scl_slope": 1.0,
        "units": 2,
        "sform_code": 1,
        "srow": matrix[:3].ravel().tolist(),
        "magic": b"n+1\0" if version == 1 else b"n+2\0\r\n\x1a\n",
    }
    pack(content, table, order, {**right, **fields})
    return bytes(content) + array.astype(f"{order}{kind}").ravel(order="F").tobytes()


def zeros_zipped(millions: int, head_bytes: bytes = b"") -> bytes:
    """A gzip stream of some bytes and then so many million zeros: a thousandth of that on disk, its end missing.

    One million compressed once and repeated: a full flush makes the pieces independent of each other.
    """
    squeezer = zlib.compressobj(6, zlib.DEFLATED, -15)
    front = squeezer.compress(head_bytes) + squeezer.flush(zlib.Z_FULL_FLUSH)
    block = squeezer.compress(bytes(1_000_000)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + front + block * millions + squeezer.flush(zlib.Z_FINISH) + bytes(8)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a case must come to.

    Args:
        path: What to give the command.
        outcome: ``refused``, ``warned`` or ``right``.
        words: What must be said, where something must.
        days: Days of the visits where it is read.
        options: Further options of the command.
    """

    path: Path
    outcome: str
    words: str = ""
    days: tuple[int, ...] = (0, 100)
    options: tuple[str, ...] = ()


@dataclass
class Workshop:
    """What builders build with; everything lies under ``folder``, whose name must not be told.

    Args:
        folder: An empty folder of the case's own.
    """

    folder: Path

    def refused(self, path: Path, words: str, *options: str) -> Expected:
        return Expected(path=path, outcome="refused", words=words, options=options)

    def warned(self, path: Path, words: str, days: Sequence[int] = (0, 100), options: Sequence[str] = ()) -> Expected:
        return Expected(path=path, outcome="warned", words=words, days=tuple(days), options=tuple(options))

    def right(self, path: Path, days: Sequence[int] = (0, 100), options: Sequence[str] = ()) -> Expected:
        return Expected(path=path, outcome="right", days=tuple(days), options=tuple(options))

    def write(self, name: str, content: bytes | str) -> Path:
        """A file, folders made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def visit(self, number: int, content: bytes | None = None, *, suffix: str = ".nii") -> Path:
        """A visit's FLAIR in BIDS, a right one where no bytes are given."""
        label = f"{number:02d}"
        name = f"sub-01/ses-{label}/anat/sub-01_ses-{label}_FLAIR{suffix}"
        return self.write(name, nifti(head(number)) if content is None else content)

    def sessions(self, text: str | bytes | None = None, visits: int = 2) -> Path:
        """The sessions table; days 0, 100, 200 where no text is given."""
        rows = [f"ses-{number:02d}\t{100 * (number - 1)}\n" for number in range(1, visits + 1)]
        given = "session_id\tdays_since_first_scan\n" + "".join(rows) if text is None else text
        return self.write("sub-01/sub-01_sessions.tsv", given)

    def patient(
        self, second: bytes | None = None, *, suffix: str = ".nii", sessions: str | bytes | None = None
    ) -> Path:
        """A BIDS patient of two visits; the second one's FLAIR holds the bytes given."""
        self.visit(1)
        self.visit(2, second, suffix=suffix)
        self.sessions(sessions)
        return self.folder / "sub-01"

    def zipped(self, content: bytes) -> Path:
        """A patient whose second visit's ``.nii.gz`` holds these bytes, zipped already."""
        return self.patient(content, suffix=".nii.gz")

    def header(self, **fields: Any) -> Path:
        """A patient whose second visit's header has these fields."""
        return self.patient(nifti(head(2), **fields))

    def table(self, text: str | bytes, name: str = "table.csv") -> Path:
        """A table beside two right volumes, ``a.nii`` and ``b.nii``."""
        self.write("a.nii", nifti(head(1)))
        self.write("b.nii", nifti(head(2)))
        return self.write(name, text)

    def dicom(self, edit: Any = None, *, dates: Iterable[str] = ("20200101", "20200410"), **elements: Any) -> Path:
        """A folder of DICOM, a FLAIR series a date; ``edit(paths of the last series)`` spoils it."""
        write_series = support("dicom_writing").write_dicom_series
        for number, date in enumerate(dates, start=1):
            more = {"ProtocolName": "t2_flair", **elements}
            place = self.folder / "dicom" / str(number)
            paths = write_series(head(number), place, date=date, description="FLAIR", patient_id=SECRET, **more)
        if edit is not None:
            edit(paths)
        return self.folder / "dicom"


def squeezed(content: bytes) -> bytes:
    """Bytes as gzip, quickly."""
    return gzip.compress(content, 1, mtime=0)
