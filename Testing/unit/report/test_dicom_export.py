"""DICOM objects of a visit, read back by other code: place, values, references, and nothing that identifies."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from scipy.spatial.transform import Rotation

from TemporalGliomaRisk.errors import GeometryError, InputError
from TemporalGliomaRisk.report.dicom_export import DicomVisit, export_visit, new_patient
from TemporalGliomaRisk.timeline.dicom_folder import read_dicom_folder
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

SHAPE = (11, 9, 7)
THRESHOLD = 0.004


def oblique(*, flipped: bool) -> Geometry:
    """A tilted grid of three unequal spacings; left-handed where flipped."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (11, -23, 37), degrees=True).as_matrix() * (0.9, 1.3, 4.0)
    if flipped:
        matrix[:3, 0] *= -1
    matrix[:3, 3] = (-31.0, 12.5, 47.25)
    return Geometry(shape=SHAPE, ijk_to_ras=matrix)


@pytest.fixture(params=[False, True], ids=["right-handed", "left-handed"])
def visit(request: pytest.FixtureRequest) -> DicomVisit:
    random = np.random.default_rng(5)
    geometry = oblique(flipped=request.param)
    heat = np.zeros(SHAPE, np.float32)
    heat[2:5, 3:6, 1:4] = random.uniform(0.001, 0.009, (3, 3, 3))
    return DicomVisit(
        number=3,
        days_since_first=182,
        sequence="FLAIR",
        volume=Volume(voxels=random.uniform(-40, 900, SHAPE).astype(np.float32), geometry=geometry),
        heatmap=Volume(voxels=heat, geometry=geometry),
    )


@pytest.fixture
def written(visit: DicomVisit, tmp_path: Path) -> dict[str, pydicom.Dataset]:
    paths = export_visit(visit, new_patient("sub-01"), threshold_per_mL=THRESHOLD, folder=tmp_path)
    return {path.name: pydicom.dcmread(path) for path in paths}


def at_places_of(volume: hd.Volume, geometry: Geometry) -> np.ndarray:
    """A highdicom volume's values at the centres of a grid's voxels, which must be centres of its own."""
    ijk = np.stack(np.meshgrid(*[np.arange(length) for length in geometry.shape], indexing="ij"), axis=-1)
    lps = geometry.to_ras(ijk.reshape(-1, 3)) * (-1.0, -1.0, 1.0)
    places = volume.map_reference_to_indices(lps)
    assert np.abs(places - np.rint(places)).max() < 1e-3
    return volume.array[tuple(np.rint(places).astype(int).T)].reshape(geometry.shape)


def test_the_map_has_its_values_at_the_same_places_of_the_patient(visit: DicomVisit, written: dict) -> None:
    read = hd.pm.ParametricMap.from_dataset(written["map.dcm"]).get_volume(apply_real_world_transform=True)

    np.testing.assert_allclose(at_places_of(read, visit.volume.geometry), visit.heatmap.voxels, rtol=1e-6, atol=0)


def test_the_region_is_where_the_map_reaches_the_threshold(visit: DicomVisit, written: dict) -> None:
    segmentation = hd.seg.Segmentation.from_dataset(written["region.dcm"])
    read = segmentation.get_volume(segment_numbers=[1], combine_segments=True, rescale_fractional=False)
    # Frames without a voxel of the region are left out, so its volume is a part of the grid.
    padded = read.match_geometry(hd.pm.ParametricMap.from_dataset(written["map.dcm"]).get_volume())

    wanted = visit.heatmap.voxels >= THRESHOLD
    assert 0 < wanted.sum() < wanted.size
    np.testing.assert_array_equal(at_places_of(padded, visit.volume.geometry) > 0, wanted)


def test_this_package_s_own_reader_finds_the_volume_where_it_was(
    visit: DicomVisit, written: dict, tmp_path: Path
) -> None:
    for name in ("map.dcm", "region.dcm"):
        (tmp_path / name).unlink()
    timeline = read_dicom_folder(tmp_path)
    assert timeline is not None
    read = timeline.visits[0].sources["FLAIR"].read()
    step = np.ptp(visit.volume.voxels) / 65535

    places = read.geometry.to_ijk(visit.volume.geometry.to_ras(np.argwhere(np.ones(SHAPE))))
    assert np.abs(places - np.rint(places)).max() < 1e-3
    values = read.voxels[tuple(np.rint(places).astype(int).T)].reshape(SHAPE)
    np.testing.assert_allclose(values, visit.volume.voxels, atol=step)


def test_map_and_region_refer_to_the_images_that_lie_beside_them(written: dict) -> None:
    images = {dataset.SOPInstanceUID for name, dataset in written.items() if name.startswith("image")}

    for name in ("map.dcm", "region.dcm"):
        (series,) = written[name].ReferencedSeriesSequence
        assert {one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence} <= images
        assert {one.StudyInstanceUID for one in written.values()} == {written[name].StudyInstanceUID}
        assert {one.FrameOfReferenceUID for one in written.values()} == {written[name].FrameOfReferenceUID}


def test_the_objects_tell_days_and_neither_dates_of_the_visit_nor_a_name(written: dict) -> None:
    today = {datetime.date.today().strftime("%Y%m%d")}
    for dataset in written.values():
        assert str(dataset.PatientName) == "sub-01^"
        assert dataset.PatientID == "sub-01"
        assert dataset.LongitudinalTemporalOffsetFromEvent == 182
        assert dataset.PatientIdentityRemoved == "YES"
        dates = {str(element.value) for element in dataset.iterall() if element.VR in ("DA", "DT") and element.value}
        assert {date[:8] for date in dates} <= today  # when it was written


def test_units_and_code_say_what_the_map_holds(written: dict) -> None:
    mapping = written["map.dcm"].SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]

    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "/mL"
    assert written["region.dcm"].SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"


def test_two_visits_are_one_patient_and_two_exports_are_two(visit: DicomVisit, tmp_path: Path) -> None:
    patient = new_patient("sub-01")
    first = export_visit(visit, patient, threshold_per_mL=THRESHOLD, folder=tmp_path / "a")[0]
    again = export_visit(visit, patient, threshold_per_mL=THRESHOLD, folder=tmp_path / "b")[0]
    other = export_visit(visit, new_patient("sub-01"), threshold_per_mL=THRESHOLD, folder=tmp_path / "c")[0]
    studies = [pydicom.dcmread(path).StudyInstanceUID for path in (first, again, other)]

    assert studies[0] == studies[1] != studies[2]


def test_a_map_below_the_threshold_has_no_region(visit: DicomVisit, tmp_path: Path) -> None:
    paths = export_visit(visit, new_patient("sub-01"), threshold_per_mL=1.0, folder=tmp_path)

    assert [path.name for path in paths][-1] == "map.dcm"


def test_what_makes_no_sense_is_refused(visit: DicomVisit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 0"):
        export_visit(visit, new_patient("sub-01"), threshold_per_mL=0.0, folder=tmp_path)
    moved = np.array(visit.volume.geometry.ijk_to_ras)
    moved[0, 3] += 1
    elsewhere = Volume(voxels=visit.heatmap.voxels, geometry=Geometry(shape=SHAPE, ijk_to_ras=moved))
    wrong = DicomVisit(number=1, days_since_first=0, sequence="FLAIR", volume=visit.volume, heatmap=elsewhere)
    with pytest.raises(GeometryError, match="grid"):
        export_visit(wrong, new_patient("sub-01"), threshold_per_mL=THRESHOLD, folder=tmp_path)


def studies_in(folder: Path) -> set[str]:
    return {pydicom.dcmread(path).StudyInstanceUID for path in folder.glob("*.dcm")}


def test_a_second_export_leaves_nothing_of_the_first_and_what_others_put_there(
    visit: DicomVisit, tmp_path: Path
) -> None:
    export_visit(visit, new_patient("sub-01"), threshold_per_mL=THRESHOLD, folder=tmp_path)
    (tmp_path / "image_9999.dcm").write_bytes(b"no DICOM")
    foreign = pydicom.dcmread(tmp_path / "image_0001.dcm")
    foreign.Manufacturer = "Someone"
    foreign.save_as(tmp_path / "image_0888.dcm")
    (tmp_path / "notes.txt").write_text("kept")
    geometry = Geometry(shape=(11, 9, 5), ijk_to_ras=visit.volume.geometry.ijk_to_ras)
    fewer = replace(
        visit,
        volume=Volume(voxels=visit.volume.voxels[:, :, :5], geometry=geometry),
        heatmap=Volume(voxels=visit.heatmap.voxels[:, :, :5], geometry=geometry),
    )
    paths = export_visit(fewer, new_patient("sub-01"), threshold_per_mL=1.0, folder=tmp_path)

    assert (tmp_path / "image_9999.dcm").read_bytes() == b"no DICOM"
    others = {"image_9999.dcm", "image_0888.dcm", "notes.txt"}
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths} | others
    assert [path.name for path in paths] == [f"image_{number:04d}.dcm" for number in range(1, 6)] + ["map.dcm"]
    for name in ("image_9999.dcm", "image_0888.dcm"):
        (tmp_path / name).unlink()
    assert len(studies_in(tmp_path)) == 1


def test_an_export_that_fails_leaves_the_earlier_one_whole(
    visit: DicomVisit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_visit(visit, new_patient("sub-01"), threshold_per_mL=THRESHOLD, folder=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    save = pydicom.dataset.Dataset.save_as

    def full(dataset: pydicom.Dataset, path: Path, **options: bool) -> None:
        if path.name == "map.dcm":
            raise OSError(28, "No space left on device")
        save(dataset, path, **options)

    monkeypatch.setattr(pydicom.dataset.Dataset, "save_as", full)
    with pytest.raises(OSError, match="No space left"):
        export_visit(visit, new_patient("sub-01"), threshold_per_mL=THRESHOLD, folder=tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_axes_as_little_off_as_a_grid_allows_are_made_perpendicular_and_lie_where_they_were(
    visit: DicomVisit, tmp_path: Path
) -> None:
    matrix = np.array(visit.volume.geometry.ijk_to_ras)
    matrix[:3, 1] += 9e-4 * matrix[:3, 0] * np.linalg.norm(matrix[:3, 1]) / np.linalg.norm(matrix[:3, 0])
    geometry = Geometry(shape=SHAPE, ijk_to_ras=matrix)
    off = replace(
        visit,
        volume=Volume(voxels=visit.volume.voxels, geometry=geometry),
        heatmap=Volume(voxels=visit.heatmap.voxels, geometry=geometry),
    )
    export_visit(off, new_patient("sub-01"), threshold_per_mL=THRESHOLD, folder=tmp_path)
    read = hd.pm.ParametricMap.from_dataset(pydicom.dcmread(tmp_path / "map.dcm")).get_volume()

    corners = np.array(np.meshgrid(*[(0, length - 1) for length in SHAPE], indexing="ij")).reshape(3, -1).T
    lps = geometry.to_ras(corners) * (-1.0, -1.0, 1.0)
    found = read.map_reference_to_indices(lps)
    apart = np.linalg.norm(read.map_indices_to_reference(np.rint(found).astype(int)) - lps, axis=1)
    assert 1e-4 < apart.max() < 0.01
