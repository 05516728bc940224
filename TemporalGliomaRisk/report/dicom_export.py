"""A visit as DICOM: its volume, the map as a Parametric Map, and the region over a threshold as a Segmentation.

The objects carry new identifiers, the patient's BIDS label for a name, and days in place of dates; the volume goes
with them, because a segmentation and a map refer to the images they were made from. Needs the extra ``dicom-export``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from TemporalGliomaRisk import RESEARCH_USE_ONLY, __version__
from TemporalGliomaRisk.errors import GeometryError, InputError
from TemporalGliomaRisk.files import remove_leftovers, written_together
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

MANUFACTURER = "TemporalGliomaRisk"
MODEL = "Temporal Glioma Risk, research use only"
SERIAL = "none"
PER_ML = Code("/mL", "UCUM", "per milliliter")
LOCAL_HAZARD = Code("local-hazard-365", "99TGR", "Local hazard of recurrence within 365 days")
SELECTED_REGION = Code("111099", "DCM", "Selected region")
RELATIONAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")
MAP, REGION = "map.dcm", "region.dcm"
METHOD = "Identifiers and names replaced, dates removed, days kept"


@dataclass(frozen=True, kw_only=True)
class DicomPatient:
    """The patient of the objects, de-identified: a label, and the study of every visit by the visit's number."""

    label: str
    root: str


@dataclass(frozen=True, kw_only=True)
class DicomVisit:
    """What is written of one visit.

    Args:
        number: From 1.
        days_since_first: Days since the first visit.
        sequence: Pulse sequence of the volume.
        volume: In the visit's own RAS.
        heatmap: Hazard per mL on the volume's grid.
        research_use_only: The sentence that goes with every number of the model's.
    """

    number: int
    days_since_first: int
    sequence: str
    volume: Volume
    heatmap: Volume
    research_use_only: str = RESEARCH_USE_ONLY


def new_patient(label: str) -> DicomPatient:
    """An identity for one export: the same patient in every visit of it, another one in the next export."""
    return DicomPatient(label=label, root=str(generate_uid()))


def export_visit(
    visit: DicomVisit,
    patient: DicomPatient,
    *,
    threshold_per_mL: float,  # noqa: N803  (mL is the unit's own spelling)
    folder: Path,
) -> tuple[Path, ...]:
    """Write a visit's images, map and region, all of them or none, in place of an earlier export's.

    Args:
        visit: What is written.
        patient: Of :func:`new_patient`.
        threshold_per_mL: The region is where the map reaches this, more than 0.
        folder: Where to; made if missing. What an earlier export left there goes; files of others stay.

    Returns:
        The images' files in order of their slices, then ``map.dcm``, then ``region.dcm`` where the region is not empty.

    Raises:
        InputError: If the threshold is not positive.
        GeometryError: If map and volume lie on different grids.
        OutputError: If a file can't be written; what was there before stays.
    """
    if not threshold_per_mL > 0:
        raise InputError(f"The threshold must be more than 0 hazard per mL, got {threshold_per_mL:g}.")
    if not visit.heatmap.geometry.same_as(visit.volume.geometry, tolerance_mm=1e-2):
        raise GeometryError(f"The map of visit {visit.number} is not on the grid of its volume. Compute it again.")
    images = _images(visit, patient)
    made: dict[str, Dataset] = {f"image_{int(image.InstanceNumber):04d}.dcm": image for image in images}
    heat = _slices(np.nan_to_num(np.asarray(visit.heatmap.voxels, dtype=np.float32)), visit)
    made[MAP] = _parametric_map(images, heat, visit)
    region = heat.array >= threshold_per_mL
    if region.any():
        made[REGION] = _segmentation(images, heat.with_array(region), threshold_per_mL, visit)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    with written_together(folder, last=MAP, stale=_of_earlier_export(folder)) as staged:
        for name, dataset in made.items():
            _mark(dataset, visit, patient)
            dataset.save_as(staged / name, enforce_file_format=True)
    return tuple(folder / name for name in made)


def _of_earlier_export(folder: Path) -> list[str]:
    """Files by our names that this package wrote: of other identifiers than the new ones, or of more slices."""
    names = [path.name for path in folder.iterdir() if re.fullmatch(rf"image_\d{{4,}}\.dcm|{REGION}", path.name)]
    return sorted(name for name in names if _is_ours(folder / name))


def _is_ours(path: Path) -> bool:
    try:
        header = pydicom.dcmread(path, specific_tags=["Manufacturer"], stop_before_pixels=True)
    except (OSError, InvalidDicomError):
        return False
    return bool(header.get("Manufacturer") == MANUFACTURER)


def _perpendicular(geometry: Geometry) -> Any:
    """(4, 4), a grid's place with the nearest axes that are perpendicular as exactly as DICOM wants; its middle stays.

    A grid may be off by what a header's rounded numbers are, a tenth of a millimetre at the edge of a head.
    """
    matrix = np.array(geometry.ijk_to_ras)
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    left, _, right = np.linalg.svd(matrix[:3, :3] / lengths)
    middle = (np.array(geometry.shape) - 1) / 2
    matrix[:3, :3] = left @ right * lengths
    matrix[:3, 3] = geometry.to_ras(middle) - matrix[:3, :3] @ middle
    return matrix


def _slices(voxels: Any, visit: DicomVisit) -> Any:
    """Voxels as highdicom's volume of slices, rows and columns, right-handed as DICOM is; it turns RAS into LPS."""
    volume = hd.Volume(
        array=voxels,
        affine=_perpendicular(visit.volume.geometry),
        coordinate_system="PATIENT",
        from_reference_convention="RAS",
    )
    return volume.permute_spatial_axes((2, 1, 0)).ensure_handedness("RIGHT_HANDED", flip_axis=0)


def _images(visit: DicomVisit, patient: DicomPatient) -> list[FileDataset]:
    """The volume as one MR image a slice, in 16 bits with slope and intercept."""
    voxels = np.asarray(visit.volume.voxels, dtype=np.float64)
    low, high = float(voxels.min()), float(voxels.max())
    slope = (high - low) / 65535 or 1.0
    slices = _slices(np.round((voxels - low) / slope).astype(np.uint16), visit)
    positions, orientation = slices.get_plane_positions(), slices.get_plane_orientation()
    measures = slices.get_pixel_measures()
    series = generate_uid(entropy_srcs=[patient.root, str(visit.number), "images"])
    images = []
    for number, (pixels, position) in enumerate(zip(slices.array, positions, strict=True), start=1):
        dataset = _image(pixels)
        dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.InstanceNumber = series, 1, number
        dataset.SeriesDescription = visit.sequence
        dataset.ImagePositionPatient = position[0].ImagePositionPatient
        dataset.ImageOrientationPatient = orientation[0].ImageOrientationPatient
        dataset.PixelSpacing, dataset.SliceThickness = measures[0].PixelSpacing, measures[0].SliceThickness
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = f"{slope:.9g}", f"{low:.9g}", "US"
        _mark(dataset, visit, patient)
        images.append(dataset)
    return images


def _image(pixels: Any) -> FileDataset:
    """An MR image of (rows, columns), without a place."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.ImageType, dataset.Modality = ["DERIVED", "SECONDARY"], "MR"
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "RM", "NONE", ""
    dataset.MRAcquisitionType, dataset.EchoTime, dataset.RepetitionTime, dataset.EchoTrainLength = "", None, None, None
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, MODEL
    dataset.PositionReferenceIndicator, dataset.Laterality = "", ""
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    return dataset


def _mark(dataset: Dataset, visit: DicomVisit, patient: DicomPatient) -> None:
    """Patient, study and day of a visit, alike in all its objects."""
    dataset.PatientName, dataset.PatientID = f"{patient.label}^", patient.label
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", METHOD
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[patient.root, str(visit.number), "study"])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[patient.root, str(visit.number), "frame"])
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyID, dataset.StudyDescription = str(visit.number), f"Visit {visit.number}"
    dataset.ClinicalTrialTimePointID = f"visit {visit.number}"
    dataset.LongitudinalTemporalOffsetFromEvent = float(visit.days_since_first)
    dataset.LongitudinalTemporalEventType = "BASELINE"


def _titled(what: str, visit: DicomVisit) -> str:
    """A series' description, which holds 64 letters."""
    taught = ", simulated training" if visit.research_use_only == RESEARCH_USE_ONLY else ""
    return f"RESEARCH ONLY{taught}: {what}"


def _parametric_map(images: list[FileDataset], heat: Any, visit: DicomVisit) -> Dataset:
    top = float(heat.array.max())
    return hd.pm.ParametricMap(
        source_images=images,
        pixel_array=heat,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number=SERIAL,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            hd.pm.RealWorldValueMapping(
                lut_label="hazard/mL",
                lut_explanation="Local hazard of recurrence within 365 days, per mL",
                unit=PER_ML,
                value_range=(0.0, max(top, 1e-12)),
                slope=1.0,
                intercept=0.0,
                quantity_definition=LOCAL_HAZARD,
            )
        ],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=top / 2, window_width=max(top, 1e-12))],
        content_label="RISK_MAP",
        content_description=visit.research_use_only[:64],
        series_description=_titled("risk map, hazard per mL", visit),
    )


def _segmentation(images: list[FileDataset], region: Any, threshold_per_mL: float, visit: DicomVisit) -> Dataset:  # noqa: N803
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=f"Hazard from {threshold_per_mL:.3g} per mL on",
        segmented_property_category=RELATIONAL_CONCEPT,
        segmented_property_type=SELECTED_REGION,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="TemporalGliomaRisk", family=codes.cid7162.ArtificialIntelligence, version=__version__
        ),
    )
    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=region,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[description],
        series_instance_uid=generate_uid(),
        series_number=3,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number=SERIAL,
        content_label="REGION",
        content_description=visit.research_use_only[:64],
        series_description=_titled("region over threshold", visit),
    )
