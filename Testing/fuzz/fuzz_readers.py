"""Every reader of files that others wrote, as a function of bytes: for fuzzing, and for replaying what it found.

A reader may take the bytes or refuse them with one of our sentences; anything else is a find.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pydicom

from TemporalGliomaRisk.learn.cohort import cohort_sha256, read_cohort
from TemporalGliomaRisk.timeline.checks import check_volume
from TemporalGliomaRisk.timeline.dicom_headers import DicomHeader, read_dicom_headers
from TemporalGliomaRisk.timeline.dicom_series import DicomSeries, order_slices
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

FINDS = Path(__file__).with_name("finds")
"""Inputs that broke a reader once, a folder a reader; they are replayed by the tests for ever."""

Read = Callable[[Path, bytes], None]


def support(name: str) -> ModuleType:
    """A file of Testing that is no test, by its path without ``.py``."""
    module_name = Path(name).name
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, Path(__file__).resolve().parents[1] / f"{name}.py")
        sys.modules[module_name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[module_name]


own = support("fuzz/fuzz_own_files")
SECRET: str = own.SECRET


@functools.cache
def small_volume() -> Volume:
    """Six by five by four oblique voxels, all different."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * [2, 2, 3]
    voxels = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    return Volume(voxels=voxels, geometry=Geometry(shape=(6, 5, 4), ijk_to_ras=matrix))


def _volume(folder: Path, content: bytes, name: str) -> None:
    path = folder / name
    path.write_bytes(content)
    source = VolumeFile(path=path, role="FLAIR of visit 1")
    check_volume(source.read(), source, visit=1, sequence="FLAIR")


def read_nifti(folder: Path, content: bytes) -> None:
    """A NIfTI file, zipped or not by its first bytes."""
    _volume(folder, content, "x.nii.gz" if content[:2] == b"\x1f\x8b" else "x.nii")


def read_nrrd(folder: Path, content: bytes) -> None:
    """An NRRD file."""
    _volume(folder, content, "x.nrrd")


def read_metaimage(folder: Path, content: bytes) -> None:
    """A MetaImage file."""
    _volume(folder, content, "x.mha")


def read_table(folder: Path, content: bytes) -> None:
    """A table of volumes; those it names first are there."""
    for name in ("a.nii", "b.nii"):
        (folder / name).touch()
    (folder / "table.csv").write_bytes(content)
    read_timeline(folder / "table.csv")


def read_sessions(folder: Path, content: bytes) -> None:
    """A sessions table of two visits."""
    patient = _two_sessions(folder)
    (patient / "sub-01_sessions.tsv").write_bytes(content)
    read_timeline(patient)


def read_scans(folder: Path, content: bytes) -> None:
    """The scans table of the second of two sessions, where there is no sessions table."""
    patient = _two_sessions(folder)
    right = b"filename\tacq_time\nanat/sub-01_ses-01_FLAIR.nii\t2020-01-01T10:00:00\n"
    for label, table in (("01", right), ("02", content)):
        (patient / f"ses-{label}" / f"sub-01_ses-{label}_scans.tsv").write_bytes(table)
    read_timeline(patient)


def _two_sessions(folder: Path) -> Path:
    for label in ("01", "02"):
        place = folder / f"sub-01/ses-{label}/anat"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"sub-01_ses-{label}_FLAIR.nii").touch()
    return folder / "sub-01"


def read_dicom(folder: Path, content: bytes) -> None:
    """A series of six slices of which one is replaced; the others' headers are read once."""
    changed = folder / "changed.dcm"
    changed.write_bytes(content)
    found = read_dicom_headers([changed])
    order = order_slices([*found.headers, *_right_slices()])
    if not order.problems:
        DicomSeries(paths=order.paths, role="FLAIR of visit 1").read()


@functools.cache
def _right_slices() -> list[DicomHeader]:
    paths = _dicom(Path(tempfile.mkdtemp(prefix="fuzz-dicom-")))
    return read_dicom_headers(path for number, path in enumerate(paths) if number != 2).headers


def _dicom(place: Path) -> list[Path]:
    volume = small_volume()
    geometry = Geometry(shape=(6, 5, 6), ijk_to_ras=volume.geometry.ijk_to_ras)
    voxels = np.arange(180).reshape(6, 5, 6)
    write_series = support("dicom_writing").write_dicom_series
    paths: list[Path] = write_series(
        Volume(voxels=voxels, geometry=geometry),
        place,
        date="20200101",
        description="FLAIR",
        study_uid="1.2.3",
        patient_id=SECRET,
        patient_name=SECRET,
    )
    return paths


def read_participants(folder: Path, content: bytes) -> None:
    """A cohort's ``participants.tsv``; two patients are there."""
    for label in ("sub-01", f"sub-{SECRET}"):
        (folder / label).mkdir(exist_ok=True)
    (folder / "participants.tsv").write_bytes(content)
    patients = read_cohort(folder)
    cohort_sha256(patients)


def read_names(folder: Path, content: bytes) -> None:
    """Files named by a line each, in one folder: dates, patients and sequences are read off their names."""
    _read_folder(_filled(folder / "named", content.replace(b"/", b""), most=40))


def read_bids(folder: Path, content: bytes) -> None:
    """A BIDS dataset; a line is a file's path."""
    _read_folder(_filled(folder / "bids", content, most=60))


def _read_folder(place: Path) -> None:
    timeline = read_timeline(place)
    words = [finding.message for finding in timeline.findings]
    words += [timeline.patient_id, *(visit.session_id for visit in timeline.visits)]
    if any(SECRET in word or str(place) in word or not word.isprintable() for word in words):
        raise AssertionError("What is noticed and how a patient is called names nobody.")


def _filled(place: Path, content: bytes, *, most: int) -> Path:
    """A folder of empty files, a path a line, of any bytes that this system takes for names."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for line in content.split(b"\n")[:most]:
        parts = [part[:250] for part in line.replace(b"\0", b"").split(b"/") if part not in (b"", b".", b"..")]
        path = place.joinpath(*map(os.fsdecode, parts[:6]))
        with contextlib.suppress(OSError):  # a file where a folder is wanted, or the other way round
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return place


READERS: dict[str, Read] = {
    "nifti": read_nifti,
    "nrrd": read_nrrd,
    "metaimage": read_metaimage,
    "table": read_table,
    "sessions": read_sessions,
    "scans": read_scans,
    "dicom": read_dicom,
    "participants": read_participants,
    "names": read_names,
    "bids": read_bids,
    **own.READERS,
}


def seeds(reader: str) -> Iterator[bytes]:
    """Right inputs of a reader, to start from."""
    shop = support("hostile/hostile_workshop")
    volume = small_volume()
    if reader == "nifti":
        for kind in ("i2", "f4"):
            plain = shop.nifti(volume, voxels=volume.voxels.astype(kind), qform_code=1, descrip=SECRET.encode())
            yield plain
            yield shop.squeezed(plain)
        yield shop.nifti(volume, order=">")
    elif reader in ("nrrd", "metaimage"):
        import SimpleITK as sitk  # noqa: PLC0415

        from TemporalGliomaRisk.timeline.sitk_images import sitk_from_volume  # noqa: PLC0415

        for zipped in (False, True):
            path = Path(tempfile.mkdtemp()) / ("x.nrrd" if reader == "nrrd" else "x.mha")
            sitk.WriteImage(sitk_from_volume(volume), str(path), useCompression=zipped)
            yield path.read_bytes()
    elif reader == "table":
        yield b"path,sequence,days_since_treatment,date\na.nii,FLAIR,9,2020-01-01\nb.nii,T2w,19,2020-01-11,SECRETNAME\n"
        german = 'path;sequence;days_since_first_scan;patient\r\n"a.nii";t1ce;0;SECRETNAME\r\nb.nii;T1;7;SECRETNAME\r\n'
        yield german.encode("utf-16")
    elif reader == "sessions":
        yield b"session_id\tdays_since_treatment\tacq_time\nses-01\t10\t2020-01-01T10:00:00\nses-02\t20\t2020-01-11\n"
        yield b"session_id\tdays_since_first_scan\tnote\n01\t0\tSECRETNAME\nSECRETNAME\t1\n02\t90\tSECRETNAME\n"
    elif reader == "scans":
        yield b"filename\tacq_time\nanat/sub-01_ses-02_FLAIR.nii\t2020-04-01T10:00:00.5\nperf/x.nii\tSECRETNAME\n"
        yield b"filename\tacq_time\toperator\r\nanat/a.nii\tn/a\tSECRETNAME\r\nanat/b.nii\t2020-04-02\t\r\n"
    elif reader == "dicom":
        path = _dicom(Path(tempfile.mkdtemp()))[2]
        yield path.read_bytes()
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        buffer = io.BytesIO()
        dataset.save_as(buffer, implicit_vr=True, little_endian=True)
        whole = buffer.getvalue()
        yield whole
        yield whole[whole.index(b"\x08\x00\x08\x00") :]  # a dataset alone, as older archives keep them
    elif reader == "participants":
        columns = b"participant_id\tevent_observed\tfollow_up_days"
        yield columns + b"\tage_years\nsub-01\ttrue\t485\t7.5\nsub-SECRETNAME\t0\t90\t\n"
        yield columns + b"\tevent_day_at_visit\nsub-01\tyes\t4.5e2\t566\n"
    elif reader == "names":
        yield b"SECRETNAME_20200101.nii.gz\nSECRETNAME_20200401_FLAIR.nii.gz\nSECRETNAME_2020-07-01_T1w.mha\nx.txt\n"
        yield "SECRETNAME \u00fc_20191231_t1ce.nrrd\n._SECRETNAME_20200102.nii\nother.nii".encode()
        yield b"SECRETNAME_T1_post_20200101.nii\nSECRETNAME_T1_20200401.nii\nSECRETNAME_T2_20200701.nii\n"
    elif reader == "bids":
        yield b"".join(
            b"sub-01/ses-%s/anat/sub-01_ses-%s_%s.nii.gz\n" % (visit, visit, sequence)
            for visit in (b"01", b"02")
            for sequence in (b"FLAIR", b"T2w", b"ce-gd_T1w", b"run-2_FLAIR", b"desc-x_mask")
        )
        yield b"sub-02/anat/sub-02_T1w.nii\nsub-02/anat/x.json\nsub-03 Sur name/ses-19990101/anat/sub-4_ses-1_T2w.mha\n"
    else:
        yield from own.SEEDS[reader]()


def replay(reader: str, folder: Path, content: bytes) -> None:
    """Read some bytes; returns where they are taken or refused as promised.

    Raises:
        AssertionError: If the refusal is no single line of text, or names a path.
        Exception: Whatever the reader lets out: a find.
    """
    with own.refused_in_one_sentence(folder):
        READERS[reader](folder, content)
