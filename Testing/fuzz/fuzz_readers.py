"""Every reader of files that others wrote, as a function of bytes: for fuzzing, and for replaying what it found.

A reader may take the bytes or refuse them with one of our sentences; anything else is a find.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pydicom

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.timeline.checks import check_volume
from TemporalGliomaRisk.timeline.dicom_headers import DicomHeader, read_dicom_headers
from TemporalGliomaRisk.timeline.dicom_series import DicomSeries, order_slices
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

SECRET = "SECRETNAME"
"""Stands for a patient's name in the seeds."""
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
    for label in ("01", "02"):
        place = folder / f"sub-01/ses-{label}/anat"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"sub-01_ses-{label}_FLAIR.nii").touch()
    (folder / "sub-01" / "sub-01_sessions.tsv").write_bytes(content)
    read_timeline(folder / "sub-01")


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


def read_result(folder: Path, content: bytes) -> None:
    """``risk.json`` and ``audit.json``, as hosts read them."""
    from TemporalGliomaRisk.report.audit import read_audit_record  # noqa: PLC0415
    from TemporalGliomaRisk.report.record import read_risk_record  # noqa: PLC0415

    for name, read in (("risk.json", read_risk_record), ("audit.json", read_audit_record)):
        (folder / name).write_bytes(content)
        with contextlib.suppress(InputError):
            read(folder / name)


def read_model(folder: Path, content: bytes) -> None:
    """A model bundle: the first byte says which file the others are; hashes are made right."""
    from TemporalGliomaRisk import bundle  # noqa: PLC0415

    names = (bundle.WEIGHTS, bundle.INFERENCE, bundle.METADATA, bundle.CALIBRATION, bundle.SUMS)
    place = Path(shutil.copytree(_bundle(), folder / "model", dirs_exist_ok=True))
    name = names[content[0] % len(names)] if content else bundle.SUMS
    (place / name).write_bytes(content[1:])
    if name != bundle.SUMS:
        bundle.seal_bundle(place)
    bundle.load_bundle(place)


@functools.cache
def _bundle() -> Path:
    """A very small model in a folder that stays."""
    import torch  # noqa: PLC0415

    from TemporalGliomaRisk.bundle import write_bundle  # noqa: PLC0415
    from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel  # noqa: PLC0415
    from TemporalGliomaRisk.preprocess.config import PreprocessConfig  # noqa: PLC0415
    from TemporalGliomaRisk.risk.calibration import Calibration  # noqa: PLC0415

    torch.manual_seed(1)
    config = EvidenceConfig(feature_channels=2, convolutions=0, comparison_channels=2, history_channels=2)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-bundle-")) / "small"
    one = Calibration(background_scale=1.0, local_scale=1.0)
    write_bundle(
        folder,
        network=EvidenceModel(config, members=1),
        preprocessing=PreprocessConfig(),
        calibration=one,
        single_visit_calibration=one,
        metadata={"name": "small", "caveat": "none", "trained_gaps_days": [1, 2]},
        card="# small\n",
        licence="Apache-2.0\n",
    )
    return folder


READERS: dict[str, Read] = {
    "nifti": read_nifti,
    "nrrd": read_nrrd,
    "metaimage": read_metaimage,
    "table": read_table,
    "sessions": read_sessions,
    "dicom": read_dicom,
    "result": read_result,
    "model": read_model,
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
    elif reader == "dicom":
        path = _dicom(Path(tempfile.mkdtemp()))[2]
        yield path.read_bytes()
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        buffer = io.BytesIO()
        dataset.save_as(buffer, implicit_vr=True, little_endian=True)
        yield buffer.getvalue()
    elif reader == "result":
        yield from _results()
    elif reader == "model":
        from TemporalGliomaRisk import bundle  # noqa: PLC0415

        names = (bundle.WEIGHTS, bundle.INFERENCE, bundle.METADATA, bundle.CALIBRATION, bundle.SUMS)
        for number, name in enumerate(names):
            yield bytes([number]) + (_bundle() / name).read_bytes()


def _results() -> Iterator[bytes]:
    visit = {
        "session_id": "ses-01", "days_since_first": 0, "days_since_treatment": None, "sequences": ["FLAIR"],
        "reference_sequence": "FLAIR", "risk": 0.0, "risk_low": None, "risk_high": None, "single_visit_risk": 0.1,
        "hazards": [0.0, 0.0, 0.0, 0.0], "background_hazard": 0.0, "outside_field_of_view_hazard": None,
        "heatmap": "heatmaps/a.nii.gz", "change_heatmap": None, "measurements": [],
        "peaks": [{"name": "A", "ras_mm": [1, 2, 3], "share_of_hazard": 0.5, "hazard_per_mL": 0.1}],
        "warnings": [{"code": "a", "message": "b", "severity": "note"}],
    }  # fmt: skip
    yield json.dumps(
        {
            "schema_version": "1.0", "patient": "sub-01", "horizon_days": 365, "research_use_only": "x",
            "model": {"name": "m", "sha256": "0" * 64, "version": "1", "caveat": "c"}, "visits": [visit],
            "intervals_days": [[0, 90], [90, 180], [180, 365], [365, 730]], "warnings": [],
        }
    ).encode()  # fmt: skip
    yield json.dumps(
        {
            "schema_version": "1.0", "research_use_only": "x", "patient": "sub-01", "device": "cpu", "seed": None,
            "inputs": {"sub-01_ses-01_FLAIR": ["0" * 64]}, "versions": {"python": "3"}, "platform": "x", "model": "m",
            "options": {}, "preprocessing": {}, "model_files": {"a": "0" * 64}, "timings_s": {"a": 1.0},
            "findings": [], "alignments": [],
        }
    ).encode()  # fmt: skip


def replay(reader: str, folder: Path, content: bytes) -> None:
    """Read some bytes; returns where they are taken or refused as promised.

    Raises:
        AssertionError: If the refusal is no single line of text, or names a path.
        Exception: Whatever the reader lets out: a find.
    """
    try:
        READERS[reader](folder, content)
    except InputError as error:
        message = str(error)
        if "\n" in message or str(folder) in message or SECRET in message or not message.isprintable():
            raise AssertionError("A refusal is one line of text without a path or a name.") from error
