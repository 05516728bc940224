"""``predict`` on real MRI, as it comes: raw, registered, thick-sliced, stripped, and as DICOM.

None of these patients is a child and none has three dates: what is tested is reading, alignment, geometry and sums, not
whether a risk is right. Risks are printed (``pytest -s``).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.report.record import RiskRecord, read_risk_record
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk, write_nifti
from TemporalGliomaRisk.timeline.visit import Timeline
from TemporalGliomaRisk.timeline.volume import Geometry, Volume


@dataclass(frozen=True)
class Ran:
    """What ``predict`` made of an input."""

    status: int
    said: str
    output: Path
    timeline: Timeline

    @property
    def record(self) -> RiskRecord:
        assert self.status == 0, self.said
        return read_risk_record(self.output / "risk.json")


Predict = Callable[..., Ran]


@pytest.fixture(scope="module")
def predict(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Predict:
    """Runs the command once for each set of options; the cache of encoded visits is this file's own."""
    cache = tmp_path_factory.mktemp("cache")
    ran: dict[tuple[str, ...], Ran] = {}

    def run(path: Path, *options: str) -> Ran:
        key = (str(path), *options)
        if key not in ran:
            output = tmp_path_factory.mktemp("real")
            with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as said:
                patch.setenv("TEMPORAL_GLIOMA_RISK_CACHE", str(cache))
                given = ["predict", str(path), "--output", str(output / "out"), "--model", str(small_bundle)]
                status = main([*given, *options])
            ran[key] = Ran(status=status, said=said.getvalue(), output=output / "out", timeline=read_timeline(path))
            if status == 0:
                risks = [round(visit.risk, 4) for visit in read_risk_record(output / "out" / "risk.json").visits]
                said.write(f"risks {risks}")
            print("\n", path.parent.name, path.name, *options, "->", status, said.getvalue())  # noqa: T201
        return ran[key]

    return run


def corners_of(geometry: Geometry) -> np.ndarray:
    ends = [(0, length - 1) for length in geometry.shape]
    return np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).T


def assert_maps_lie_on_their_own_grids_and_add_up(ran: Ran) -> None:
    """Every map has its reference file's own grid, read by another library, and its integral is the risk's hazard."""
    for visit, scanned in zip(ran.record.visits, ran.timeline.visits, strict=True):
        source = scanned.sources[visit.reference_sequence].read()
        totals = {}
        for kind, name in (("risk", visit.heatmap), ("change", visit.change_heatmap)):
            if name is None:
                continue
            image = nibabel.load(ran.output / name)
            assert image.shape == source.voxels.shape
            corners = corners_of(source.geometry)
            found = corners @ image.affine[:3, :3].T + image.affine[:3, 3]
            assert np.abs(found - source.geometry.to_ras(corners)).max() < 1e-2
            assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-3)
            voxels = np.asarray(image.dataobj, dtype=np.float64)
            assert np.isfinite(voxels).all()
            totals[kind] = voxels.sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000
            if kind == "risk":
                assert voxels.min() >= 0
        total = totals["risk"] + visit.outside_field_of_view_hazard + visit.background_hazard
        # Not by -log(1 - risk): an untrained network may find a risk of 1 to the last digit.
        assert total == pytest.approx(sum(visit.hazards[:3]), rel=1e-5, abs=1e-4)
        assert visit.risk == pytest.approx(-math.expm1(-total), abs=1e-4)
        assert 0 < visit.risk <= 1


def share_in_head(ran: Ran, number: int) -> float:
    """Share of a map's hazard that lies in the head: within 4 mm of voxels brighter than air."""
    visit, scanned = ran.record.visits[number - 1], ran.timeline.visits[number - 1]
    source = scanned.sources[visit.reference_sequence].read()
    bright = source.voxels > 0.1 * np.percentile(source.voxels, 98)
    near = ndimage.distance_transform_edt(~bright, sampling=source.geometry.spacing_mm) <= 4.0
    heat = np.asarray(nibabel.load(ran.output / visit.heatmap).dataobj, dtype=np.float64)
    return float(heat[near].sum() / heat.sum())


@pytest.fixture(scope="module")
def ms_pair(shared_data: Path) -> Path:
    return shared_data / "ms_pair"


def test_an_unregistered_pair_is_aligned_mapped_and_adds_up(predict: Predict, ms_pair: Path) -> None:
    ran = predict(ms_pair / "sub-01")
    assert_maps_lie_on_their_own_grids_and_add_up(ran)
    assert [visit.days_since_first for visit in ran.record.visits] == [0, 203]
    assert min(share_in_head(ran, number) for number in (1, 2)) > 0.97
    oblique = ran.timeline.visits[1].sources[ran.record.visits[1].reference_sequence].read().geometry
    axes = np.abs(oblique.ijk_to_ras[:3, :3] / oblique.spacing_mm)
    assert np.sort(axes.ravel())[-4] > 0.01


def test_a_registered_pair_s_hazard_lies_in_the_brain_that_the_authors_drew(predict: Predict, ms_pair: Path) -> None:
    folder = ms_pair / "derivatives" / "registered" / "sub-01"
    ran = predict(folder)
    assert_maps_lie_on_their_own_grids_and_add_up(ran)
    mask = nibabel.load(folder / "sub-01_space-common_desc-brain_mask.nii.gz")
    away_mm = ndimage.distance_transform_edt(np.asarray(mask.dataobj) == 0, sampling=mask.header.get_zooms())
    for visit in ran.record.visits:
        image = nibabel.load(ran.output / visit.heatmap)
        assert np.allclose(image.affine, mask.affine, atol=1e-3)
        heat = np.asarray(image.dataobj, dtype=np.float64)
        assert heat[away_mm <= 6].sum() / heat.sum() > 0.9


def test_a_stripped_single_visit_keeps_its_map_inside_the_brain(predict: Predict, shared_data: Path) -> None:
    ran = predict(shared_data / "glioma_single" / "sub-01")
    assert_maps_lie_on_their_own_grids_and_add_up(ran)
    assert ran.record.visits[0].change_heatmap is None
    assert share_in_head(ran, 1) > 0.97


@pytest.mark.parametrize("patient", ["sub-01", "sub-05"])
def test_thick_unaligned_slices_run_or_are_refused_for_a_true_reason(
    predict: Predict, shared_data: Path, patient: str
) -> None:
    folder, options = shared_data / "glioblastoma_pairs" / patient, []
    # A refusal must be true and name what to do; doing that must work.
    for words, advice in (
        ("template brain does not match ce-gd_T1w of visit 1", ["--mask", "none"]),
        ("of visit 2 cannot be brought onto", ["--register", "never"]),
    ):
        ran = predict(folder, *options)
        if ran.status == 0:
            break
        assert ran.status == 2
        assert ran.said.count("\n") == 1
        if words in ran.said:
            assert advice[0] in ran.said
            options += advice
    ran = predict(folder, *options)
    assert_maps_lie_on_their_own_grids_and_add_up(ran)
    assert ran.record.visits[1].change_heatmap is not None


# BIDS and DICOM of the same integer voxels.

DATES = ("20200105", "20200726")


@pytest.fixture(scope="module")
def whole_numbers(ms_pair: Path) -> list[Volume]:
    """FLAIR of both raw visits as integers, on their own (oblique) grids, every other voxel in the plane."""
    volumes = []
    for number in (1, 2):
        name = f"sub-01/ses-0{number}/anat/sub-01_ses-0{number}_FLAIR.nii.gz"
        image = sitk.Shrink(sitk.ReadImage(str(ms_pair / name), sitk.sitkFloat64), [2, 2, 1])
        volume = volume_from_sitk(image)
        scaled = np.clip(volume.voxels, 0, None) * (4000 / volume.voxels.max())
        volumes.append(Volume(voxels=np.rint(scaled).astype(np.uint16), geometry=volume.geometry))
    return volumes


@pytest.fixture(scope="module")
def as_bids(whole_numbers: list[Volume], tmp_path_factory: pytest.TempPathFactory) -> Path:
    patient = tmp_path_factory.mktemp("bids") / "sub-01"
    for number, volume in enumerate(whole_numbers, start=1):
        write_nifti(volume, patient / f"ses-0{number}" / "anat" / f"sub-01_ses-0{number}_FLAIR.nii.gz")
    (patient / "sub-01_sessions.tsv").write_text(
        "session_id\tdays_since_first_scan\nses-01\t0\nses-02\t203\n", encoding="utf-8"
    )
    return patient


@pytest.fixture(scope="module")
def as_dicom(whole_numbers: list[Volume], tmp_path_factory: pytest.TempPathFactory, write_dicom_series) -> Path:
    folder = tmp_path_factory.mktemp("dicom")
    for number, (volume, date) in enumerate(zip(whole_numbers, DATES, strict=True), start=1):
        write_dicom_series(volume, folder / f"study{number}", date=date, description="t2 flair tra")
    return folder


def test_bids_and_dicom_of_the_same_voxels_give_the_same_risk(predict: Predict, as_bids: Path, as_dicom: Path) -> None:
    bids, dicom = predict(as_bids), predict(as_dicom)
    assert [visit.days_since_first for visit in dicom.record.visits] == [0, 203]
    for one, other in zip(bids.record.visits, dicom.record.visits, strict=True):
        assert other.risk == pytest.approx(one.risk, abs=1e-5)
        assert other.single_visit_risk == pytest.approx(one.single_visit_risk, abs=1e-5)
        assert np.linalg.norm(np.subtract(one.peaks[0].ras_mm, other.peaks[0].ras_mm)) < 0.1 if one.peaks else True
    assert_maps_lie_on_their_own_grids_and_add_up(dicom)
    assert_maps_lie_on_their_own_grids_and_add_up(bids)
