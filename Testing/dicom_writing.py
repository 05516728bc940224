"""Write a volume as a classic DICOM MR series with pydicom, for tests of what reads DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from TemporalGliomaRisk.timeline.volume import Volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])


def write_dicom_series(
    volume: Volume,
    folder: Path,
    *,
    date: str,
    description: str,
    patient_id: str = "P",
    patient_name: str = "Test^Patient",
    study_uid: str | None = None,
    series_number: int = 1,
    slope: float = 1.0,
    intercept: float = 0.0,
    **elements: Any,
) -> list[Path]:
    """Write integer voxels as one MR image file a slice, and give the files in order of k.

    A left-handed grid is written with its slices in reverse, as DICOM is always right-handed.

    Args:
        volume: Voxels that are whole numbers within 0 to 65535 after taking off slope and intercept.
        folder: Where to; made if missing.
        date: StudyDate, ``YYYYMMDD``.
        description: SeriesDescription.
        patient_id: PatientID.
        patient_name: PatientName.
        study_uid: StudyInstanceUID, one for all series of a study; made from the date when None.
        series_number: SeriesNumber.
        slope: RescaleSlope.
        intercept: RescaleIntercept.
        elements: Further DICOM keywords and values, set last.
    """
    stored = np.rint((np.asarray(volume.voxels, dtype=np.float64) - intercept) / slope)
    if (
        stored.min() < 0
        or stored.max() > 65535
        or np.abs(stored * slope + intercept - volume.voxels).max() > 1e-3 * slope
    ):
        raise ValueError("The voxels are no whole numbers within 0 to 65535.")
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = generate_uid()
    axes = LPS_FROM_RAS @ volume.geometry.ijk_to_ras[:3, :3] / volume.geometry.spacing_mm
    paths = []
    for k in range(stored.shape[2]):
        dataset = _slice(stored[:, :, k].astype(np.uint16))
        dataset.PatientID, dataset.PatientName = patient_id, patient_name
        dataset.StudyDate = date
        dataset.StudyInstanceUID = study_uid or generate_uid(entropy_srcs=[patient_id, date])
        dataset.SeriesInstanceUID, dataset.SeriesNumber = series_uid, series_number
        dataset.SeriesDescription, dataset.InstanceNumber = description, k + 1
        dataset.PixelSpacing = [_decimal(volume.geometry.spacing_mm[1]), _decimal(volume.geometry.spacing_mm[0])]
        dataset.SliceThickness = _decimal(volume.geometry.spacing_mm[2])
        dataset.ImageOrientationPatient = [_decimal(value) for value in (*axes[:, 0], *axes[:, 1])]
        dataset.ImagePositionPatient = [_decimal(v) for v in LPS_FROM_RAS @ volume.geometry.to_ras((0, 0, k))]
        dataset.RescaleSlope, dataset.RescaleIntercept = _decimal(slope), _decimal(intercept)
        for name, value in elements.items():
            setattr(dataset, name, value)
        path = folder / f"{series_number:02d}_{k + 1:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _slice(pixels: np.ndarray) -> FileDataset:
    """A dataset of one (I, J) slice; rows run along j, columns along i."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "NORM"]
    dataset.Rows, dataset.Columns = pixels.shape[1], pixels.shape[0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = np.ascontiguousarray(pixels.T).tobytes()
    return dataset


def _decimal(value: float) -> str:
    """A number in DICOM's 16 characters."""
    text = f"{value:.12g}"
    return text if len(text) <= 16 else f"{value:.9g}"[:16]
