"""The same voxels and days as BIDS, as a table (NIfTI, NRRD, MetaImage), as dated files and as DICOM: the same risk."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.pipeline import PredictOptions, predict_risk
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.volume import Volume

DAYS = (0, 91)
FIRST = datetime.date(2019, 3, 4)
DATES = tuple((FIRST + datetime.timedelta(days=days)).strftime("%Y%m%d") for days in DAYS)
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def volumes(simulated_patient: Path) -> list[Volume]:
    """One sequence of two visits, on an oblique grid, in whole numbers, as DICOM holds them."""
    read = []
    for visit in (1, 2):
        path = simulated_patient / f"ses-0{visit}" / "anat" / f"{simulated_patient.name}_ses-0{visit}_T2w.nii.gz"
        volume = VolumeFile(path=path, role="a test").read()
        voxels = np.rint(np.clip(volume.voxels, 0, None)).astype(np.uint16)
        read.append(Volume(voxels=voxels, geometry=volume.geometry))
    assert np.abs(read[0].geometry.ijk_to_ras[:3, :3] / read[0].geometry.spacing_mm).round(3).max() < 1
    return read


def as_bids(volumes: list[Volume], folder: Path) -> Path:
    patient = folder / "sub-01"
    rows = ["session_id\tdays_since_first_scan"]
    for number, (volume, days) in enumerate(zip(volumes, DAYS, strict=True), start=1):
        write_nifti(volume, patient / f"ses-0{number}" / "anat" / f"sub-01_ses-0{number}_T2w.nii.gz")
        rows.append(f"ses-0{number}\t{days}")
    (patient / "sub-01_sessions.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return patient


def as_table(volumes: list[Volume], folder: Path, suffix: str = ".nii.gz") -> Path:
    rows = ["path,sequence,date"]
    for number, (volume, date) in enumerate(zip(volumes, DATES, strict=True), start=1):
        write_nifti(volume, folder / f"scan{number}.nii.gz")
        if suffix != ".nii.gz":
            # By another implementation, whose NRRD and MetaImage say LPS where NIfTI says RAS.
            sitk.WriteImage(sitk.ReadImage(str(folder / f"scan{number}.nii.gz")), str(folder / f"scan{number}{suffix}"))
            (folder / f"scan{number}.nii.gz").unlink()
        rows.append(f"scan{number}{suffix},T2w,{date[:4]}-{date[4:6]}-{date[6:]}")
    path = folder / "timeline.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def as_dated_files(volumes: list[Volume], folder: Path) -> Path:
    for volume, date in zip(volumes, DATES, strict=True):
        write_nifti(volume, folder / f"P1_{date}_T2w.nii.gz")
    return folder


@pytest.fixture(scope="module")
def as_dicom(write_dicom_series: Callable[..., object]) -> Callable[[list[Volume], Path], Path]:
    def write(volumes: list[Volume], folder: Path) -> Path:
        for number, (volume, date) in enumerate(zip(volumes, DATES, strict=True), start=1):
            write_dicom_series(volume, folder / f"study{number}", date=date, description="t2 tse tra")
        return folder

    return write


@pytest.fixture(scope="module")
def model(small_bundle: Path) -> RiskModel:
    return load_bundle(small_bundle)


def risks_of(path: Path, model: RiskModel) -> list[tuple[float, ...]]:
    options = PredictOptions(device="cpu", register="never")
    prediction = predict_risk(read_timeline(path), model, options=options)
    assert [result.visit.days_since_first for result in prediction.visits] == list(DAYS)
    assert {result.visit.days_since_treatment for result in prediction.visits} == {None}
    return [
        (result.hazards.risk, result.hazards.single_visit_risk, *result.hazards.interval_hazards.tolist())
        for result in prediction.visits
    ]


@pytest.fixture(scope="module")
def of_bids(volumes: list[Volume], model: RiskModel, tmp_path_factory: pytest.TempPathFactory) -> list:
    return risks_of(as_bids(volumes, tmp_path_factory.mktemp("bids")), model)


@pytest.mark.parametrize("form", ["table", "NRRD", "MetaImage", "dated files", "DICOM"])
def test_the_form_of_the_files_changes_no_risk(
    form: str, volumes: list[Volume], model: RiskModel, of_bids: list, as_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    write = {
        "table": as_table,
        "NRRD": functools.partial(as_table, suffix=".nrrd"),
        "MetaImage": functools.partial(as_table, suffix=".mha"),
        "dated files": as_dated_files,
        "DICOM": as_dicom,
    }[form]
    found = risks_of(write(volumes, tmp_path), model)
    for one, other in zip(found, of_bids, strict=True):
        assert one == pytest.approx(other, abs=TOLERANCE, rel=0)
    assert abs(found[0][0] - found[1][0]) > 100 * TOLERANCE
