"""The whole path on simulated timelines: causal to the bit, cached to the bit, and maps that add up on disk."""

from __future__ import annotations

import importlib.metadata
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from TemporalGliomaRisk import pipeline
from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.pipeline import Prediction, PredictOptions, predict_risk
from TemporalGliomaRisk.report.record import RiskRecord, read_risk_record
from TemporalGliomaRisk.resources import library_version
from TemporalGliomaRisk.results import ORDER_CONFIDENCE, write_results
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.sitk_images import (
    lps_from_ras_transform,
    sitk_from_volume,
    volume_from_sitk,
    write_nifti,
)
from TemporalGliomaRisk.timeline.visit import Timeline, Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Geometry, Volume
from TemporalGliomaRisk.visit_cache import VisitCache
from TemporalGliomaRisk.visit_encoding import VisitEncoding

TRUSTED = PredictOptions(device="cpu", register="never")


@pytest.fixture(scope="module")
def model(small_bundle: Path) -> RiskModel:
    return load_bundle(small_bundle)


def oblique(volume: Volume) -> Volume:
    """The same head on another oblique grid, 1.5 x 2.5 x 3 mm, cut a little below its top."""
    a, b = math.radians(12), math.radians(-7)
    turn = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]]
    )
    shape, spacing = (110, 76, 42), np.array([1.5, 2.5, 3.0])
    centre = volume.geometry.to_ras((np.array(volume.geometry.shape) - 1) / 2) - (0, 0, 14)
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = turn * spacing
    ijk_to_ras[:3, 3] = centre - ijk_to_ras[:3, :3] @ ((np.array(shape) - 1) / 2)
    onto = Volume(voxels=np.zeros(shape, np.int16), geometry=Geometry(shape=shape, ijk_to_ras=ijk_to_ras))
    moved = sitk.Resample(sitk_from_volume(volume), sitk_from_volume(onto), lps_from_ras_transform(np.eye(4)))
    return volume_from_sitk(moved)


@pytest.fixture(scope="module")
def patient(simulated_patient: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three visits on disk, the second on a grid of its own that cuts the head."""
    folder = Path(shutil.copytree(simulated_patient, tmp_path_factory.mktemp("bids") / simulated_patient.name))
    for path in (folder / "ses-02" / "anat").glob("*.nii.gz"):
        write_nifti(oblique(VolumeFile(path=path, role="a test").read()), path)
    return folder


@pytest.fixture(scope="module")
def brain(simulated_patient: Path) -> Volume:
    name = simulated_patient.name
    path = simulated_patient.parent / "truth" / name / f"{name}_desc-brain_mask.nii.gz"
    return VolumeFile(path=path, role="brain mask").read()


@pytest.fixture(scope="module")
def on_disk(patient: Path) -> Timeline:
    return read_timeline(patient)


def in_memory(visit: Visit) -> Visit:
    return replace(
        visit, sources={name: VolumeInMemory(volume=source.read()) for name, source in visit.sources.items()}
    )


@pytest.fixture(scope="module")
def timeline(on_disk: Timeline) -> Timeline:
    return replace(on_disk, visits=tuple(in_memory(visit) for visit in on_disk.visits))


@pytest.fixture(scope="module")
def trusted(timeline: Timeline, model: RiskModel, brain: Volume) -> Prediction:
    return predict_risk(timeline, model, options=TRUSTED, brain_mask=brain)


@pytest.fixture(scope="module")
def written(on_disk: Timeline, model: RiskModel, brain: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(predict_risk(on_disk, model, options=TRUSTED, brain_mask=brain), folder)
    return folder


def without(visit: Visit, *names: str) -> Visit:
    return replace(visit, sources={name: source for name, source in visit.sources.items() if name not in names})


def risks(prediction: Prediction) -> list[float]:
    return [result.hazards.risk for result in prediction.visits]


def test_the_order_of_two_visits_is_told_by_their_pictures_alone(
    timeline: Timeline, trusted: Prediction, model: RiskModel, brain: Volume
) -> None:
    assert trusted.visits[0].order_confidence is None
    for earlier, later in pairwise(trusted.visits):
        features = [result.encoded.tensors(torch.device("cpu"))[0] for result in (earlier, later)]
        common = torch.logical_and(*(result.encoded.tensors(torch.device("cpu"))[1] for result in (earlier, later)))
        even = torch.full((features[0].shape[1],), 1 / features[0].shape[1]).log()
        logit = model.order.order_logit(*features, common, even).item()
        assert abs(logit) > 1e-3
        assert later.order_confidence == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)
    visits = (
        timeline.visits[0],
        *(replace(visit, days_since_first=9000 + visit.days_since_first) for visit in timeline.visits[1:]),
    )
    other_dates = predict_risk(replace(timeline, visits=visits), model, options=TRUSTED, brain_mask=brain)
    assert [one.order_confidence for one in other_dates.visits] == [one.order_confidence for one in trusted.visits]
    apart = (timeline.visits[0], without(timeline.visits[1], *set(timeline.visits[0].sequences)))
    if apart[1].sources:
        nothing_common = predict_risk(replace(timeline, visits=apart), model, options=TRUSTED, brain_mask=brain)
        assert nothing_common.visits[1].order_confidence is None


def assert_same_bits(one: Prediction, other: Prediction, visits: int) -> None:
    for number in range(visits):
        first, second = one.visits[number], other.visits[number]
        assert first.hazards.risk == second.hazards.risk
        assert first.hazards.single_visit_risk == second.hazards.single_visit_risk
        assert first.order_confidence == second.order_confidence
        assert torch.equal(first.hazards.terms, second.hazards.terms)
        assert torch.equal(first.hazards.member_hazards, second.hazards.member_hazards)
        assert np.array_equal(first.density.voxels, second.density.voxels)
        assert np.array_equal(first.encoded.visit_ras_to_frame_ras, second.encoded.visit_ras_to_frame_ras)
        assert [(peak.ras_mm.tolist(), peak.share) for peak in first.peaks] == [
            (peak.ras_mm.tolist(), peak.share) for peak in second.peaks
        ]


@contextmanager
def encodings_counted(model: RiskModel) -> Iterator[list[int]]:
    """Counts how often the real encoder runs."""
    calls: list[int] = []
    handle = model.network.encoder.register_forward_hook(lambda *given: calls.append(1))
    try:
        yield calls
    finally:
        handle.remove()


@pytest.mark.parametrize("register", ["never", "auto"])
def test_a_later_visit_changes_no_earlier_risk_by_a_bit(
    timeline: Timeline, model: RiskModel, brain: Volume, trusted: Prediction, register: str
) -> None:
    options = replace(TRUSTED, register=register)
    visits = timeline.visits if register == "never" else timeline.visits[:1] + timeline.visits[2:]
    before = trusted
    if register == "auto":
        before = predict_risk(replace(timeline, visits=visits), model, options=options, brain_mask=brain)
    random = np.random.default_rng(0)
    last = visits[-1]
    sources = {}
    for name, source in last.sources.items():
        volume = source.read()
        voxels = np.roll(volume.voxels, 2, axis=0) * 1.4 + random.normal(0, 30, volume.voxels.shape)
        sources[name] = VolumeInMemory(volume=Volume(voxels=voxels.astype(np.float32), geometry=volume.geometry))
    changed = replace(last, sources=sources, days_since_first=last.days_since_first + 500, days_since_treatment=None)
    after = predict_risk(replace(timeline, visits=(*visits[:-1], changed)), model, options=options, brain_mask=brain)
    assert_same_bits(before, after, len(visits) - 1)
    assert after.visits[-1].hazards.risk != before.visits[-1].hazards.risk


def test_leaving_later_visits_out_changes_no_earlier_risk_by_a_bit(
    timeline: Timeline, model: RiskModel, brain: Volume, trusted: Prediction
) -> None:
    for count in (1, 2):
        shorter = replace(timeline, visits=timeline.visits[:count])
        assert_same_bits(predict_risk(shorter, model, options=TRUSTED, brain_mask=brain), trusted, count)


def test_the_test_model_s_maps_are_not_flat(trusted: Prediction) -> None:
    for result in trusted.visits:
        terms = result.hazards.horizon_terms
        assert float(terms.max()) > 3 * float(terms.median())
    assert len(set(risks(trusted))) == 3


def test_volumes_in_memory_and_on_disk_give_the_same_bits(
    on_disk: Timeline, model: RiskModel, brain: Volume, trusted: Prediction
) -> None:
    assert_same_bits(predict_risk(on_disk, model, options=TRUSTED, brain_mask=brain), trusted, 3)


def test_a_further_visit_costs_one_encoding_and_changes_no_bit(
    on_disk: Timeline, model: RiskModel, brain: Volume, trusted: Prediction, tmp_path: Path
) -> None:
    cache = VisitCache(folder=tmp_path / "cache")
    with encodings_counted(model) as calls:
        shorter = replace(on_disk, visits=on_disk.visits[:2])
        predict_risk(shorter, model, options=TRUSTED, brain_mask=brain, cache=cache)
        assert len(calls) == 2
        cached = predict_risk(on_disk, model, options=TRUSTED, brain_mask=brain, cache=cache)
        assert len(calls) == 3
        again = predict_risk(on_disk, model, options=TRUSTED, brain_mask=brain, cache=cache)
        assert len(calls) == 3
    assert_same_bits(cached, trusted, 3)
    assert_same_bits(again, trusted, 3)
    assert again.findings == trusted.findings
    for one, other in zip(again.visits, trusted.visits, strict=True):
        assert one.encoded.reference_geometry.same_as(other.encoded.reference_geometry, tolerance_mm=1e-9)
        assert [alignment.mode for alignment in one.encoded.alignments] == [
            alignment.mode for alignment in other.encoded.alignments
        ]


def test_a_visit_put_in_between_renumbers_what_is_known_of_the_later_one(
    on_disk: Timeline, model: RiskModel, brain: Volume, tmp_path: Path
) -> None:
    cache = VisitCache(folder=tmp_path / "cache")
    first, second, third = on_disk.visits
    first = without(first, "ce-gd_T1w")
    with encodings_counted(model) as calls:
        two = predict_risk(
            replace(on_disk, visits=(first, third)), model, options=TRUSTED, brain_mask=brain, cache=cache
        )
        three = predict_risk(
            replace(on_disk, visits=(first, second, third)), model, options=TRUSTED, brain_mask=brain, cache=cache
        )
    assert len(calls) == 3
    assert [finding.visit for finding in two.findings if finding.code == "no_first_reference"] == [2]
    assert [finding.visit for finding in three.findings if finding.code == "no_first_reference"] == [2, 3]


def test_a_damaged_entry_of_the_cache_heals(
    on_disk: Timeline, model: RiskModel, brain: Volume, trusted: Prediction, tmp_path: Path
) -> None:
    cache = VisitCache(folder=tmp_path / "cache")
    shorter = replace(on_disk, visits=on_disk.visits[:2])
    predict_risk(shorter, model, options=TRUSTED, brain_mask=brain, cache=cache)
    first, second = sorted(cache.folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    whole = second.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 4
    for damaged in (whole[:-9], bytes(flipped), b"x" * 99, b"", first.read_bytes()):
        second.write_bytes(damaged)
        with encodings_counted(model) as calls:
            healed = predict_risk(shorter, model, options=TRUSTED, brain_mask=brain, cache=cache)
        assert len(calls) == 1
        assert_same_bits(healed, trusted, 2)
        assert cache.load(second.stem) is not None


def test_another_first_visit_is_another_entry(
    on_disk: Timeline, model: RiskModel, brain: Volume, tmp_path: Path
) -> None:
    cache = VisitCache(folder=tmp_path / "cache")
    first, second, _ = on_disk.visits
    predict_risk(replace(on_disk, visits=(first, second)), model, options=TRUSTED, brain_mask=brain, cache=cache)
    with encodings_counted(model) as calls:
        alone = replace(on_disk, visits=(replace(second, days_since_first=0),))
        predict_risk(alone, model, options=replace(TRUSTED, mask="none"), cache=cache)
        assert len(calls) == 1


def test_nothing_is_kept_of_a_visit_whose_first_lies_in_memory(
    on_disk: Timeline, model: RiskModel, brain: Volume, tmp_path: Path
) -> None:
    cache = VisitCache(folder=tmp_path / "cache")
    first, second, _ = on_disk.visits

    def after(power: float, cache: VisitCache | None) -> Prediction:
        read = {name: source.read() for name, source in first.sources.items()}
        sources = {
            name: VolumeInMemory(
                volume=Volume(voxels=volume.voxels.astype(np.float32) ** power, geometry=volume.geometry)
            )
            for name, volume in read.items()
        }
        visits = (replace(first, sources=sources), second)
        return predict_risk(replace(on_disk, visits=visits), model, options=TRUSTED, brain_mask=brain, cache=cache)

    after(1.0, cache)
    assert_same_bits(after(1.5, cache), after(1.5, None), 2)
    assert not [*cache.folder.glob("*")]


def test_another_mask_model_preprocessing_or_name_of_a_sequence_is_another_entry(
    on_disk: Timeline, model: RiskModel, brain: Volume, tmp_path: Path
) -> None:
    cache = VisitCache(folder=tmp_path / "cache")
    (visit, *_) = on_disk.visits
    kept = next(iter(visit.sources))
    alone = replace(on_disk, visits=(replace(visit, sources={kept: visit.sources[kept]}),))
    renamed = replace(visit, sources={"FLAIR": visit.sources[kept]})
    smaller = Volume(voxels=brain.voxels.copy(), geometry=brain.geometry)
    i, j, k = np.argwhere(smaller.voxels)[0]
    smaller.voxels[i, j, k] = 0

    def encodings(timeline: Timeline, of: RiskModel, mask: Volume) -> int:
        with encodings_counted(model) as calls:
            predict_risk(timeline, of, options=TRUSTED, brain_mask=mask, cache=cache)
        return len(calls)

    runs = (
        (alone, model, brain),
        (alone, model, smaller),
        (alone, replace(model, sha256="another"), brain),
        (alone, replace(model, preprocessing=replace(model.preprocessing, harmonise=False)), brain),
        (replace(on_disk, visits=(renamed,)), model, brain),
    )
    assert kept != "FLAIR"
    assert [encodings(*run) for run in runs] == [1] * len(runs)
    assert [encodings(*run) for run in runs] == [0] * len(runs)


def test_a_visit_after_another_first_visit_is_another_entry(
    on_disk: Timeline, model: RiskModel, brain: Volume, tmp_path: Path
) -> None:
    cache = VisitCache(folder=tmp_path / "cache")
    first, second, third = on_disk.visits
    after = replace(third, days_since_first=third.days_since_first + 1)

    def encodings(*visits: Visit) -> int:
        with encodings_counted(model) as calls:
            timeline = replace(on_disk, visits=visits)
            predict_risk(timeline, model, options=TRUSTED, brain_mask=brain, cache=cache)
        return len(calls)

    assert encodings(first, after) == 2
    # Encoded as a first visit, the one now first is none that was seen, and what comes after it is prepared by it.
    assert encodings(replace(second, days_since_first=0), after) == 2


def test_another_version_of_a_library_is_another_entry(
    on_disk: Timeline, model: RiskModel, brain: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = VisitCache(folder=tmp_path / "cache")
    alone = replace(on_disk, visits=on_disk.visits[:1])
    known = importlib.metadata.version

    def encodings(upgraded: str) -> int:
        monkeypatch.setattr(
            importlib.metadata, "version", lambda name: f"{known(name)}{'.1' if name == upgraded else ''}"
        )
        with encodings_counted(model) as calls:
            predict_risk(alone, model, options=TRUSTED, brain_mask=brain, cache=cache)
        return len(calls)

    upgrades = ("", "", "torch", "monai", "SimpleITK", "numpy", "scipy", "pydicom", "torch")
    assert [encodings(upgraded) for upgraded in upgrades] == [1, 0, 1, 1, 1, 1, 1, 0, 0]


def test_a_library_that_a_host_brought_without_a_record_tells_its_own_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    assert {name: library_version(name) for name in ("SimpleITK", "numpy")} == {
        "SimpleITK": sitk.__version__,
        "numpy": np.__version__,
    }


def integral(path: Path) -> float:
    image = nibabel.load(path)
    return float(np.asarray(image.dataobj, dtype=np.float64).sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000)


def test_the_written_map_and_what_lies_outside_and_the_background_are_the_risk(written: Path) -> None:
    record = read_risk_record(written / "risk.json")
    outside = [visit.outside_field_of_view_hazard for visit in record.visits]
    assert outside[0] == 0
    assert outside[1] > 1e-4
    for visit in record.visits:
        total = integral(written / visit.heatmap) + visit.outside_field_of_view_hazard + visit.background_hazard
        assert total == pytest.approx(-math.log1p(-visit.risk), abs=1e-4)
        assert total == pytest.approx(sum(visit.hazards[:3]), abs=1e-4)


def test_the_written_change_is_the_difference_of_the_hazards_within_the_field_of_view(
    written: Path, trusted: Prediction
) -> None:
    record = read_risk_record(written / "risk.json")
    assert record.visits[0].change_heatmap is None
    for number in (2, 3):
        now, before = trusted.visits[number - 1], trusted.visits[number - 2]
        wanted = 0.0
        for sign, result in ((1, now), (-1, before)):
            drawn = now.map_of(result.density)
            wanted += sign * (float(result.hazards.horizon_terms.sum()) - drawn.outside_hazard)
        assert integral(written / record.visits[number - 1].change_heatmap) == pytest.approx(wanted, abs=1e-5)
    # The third visit's field of view holds the whole brain: there it is the change of the local hazards itself.
    local = [float(result.hazards.horizon_terms.sum()) for result in trusted.visits]
    assert integral(written / record.visits[2].change_heatmap) == pytest.approx(local[2] - local[1], abs=1e-5)


def test_maps_lie_on_their_visit_s_own_oblique_grid(written: Path, patient: Path) -> None:
    record = read_risk_record(written / "risk.json")
    affines = []
    for visit in record.visits:
        name = f"{patient.name}_{visit.session_id}_{visit.reference_sequence}.nii.gz"
        reference = nibabel.load(patient / visit.session_id / "anat" / name)
        affines.append(reference.affine)
        off_axis = np.abs(reference.affine[:3, :3] / np.linalg.norm(reference.affine[:3, :3], axis=0))
        assert np.sort(off_axis.ravel())[-4] > 0.05
        for path in filter(None, (visit.heatmap, visit.change_heatmap)):
            image = nibabel.load(written / path)
            assert image.shape == reference.shape
            corners = np.array(np.meshgrid(*[(0, length - 1) for length in image.shape])).reshape(3, -1)
            apart = (image.affine - reference.affine)[:3, :3] @ corners + (image.affine - reference.affine)[:3, 3:]
            assert np.abs(apart).max() < 1e-3
            assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-4)
            assert (image.header["qform_code"], image.header["sform_code"]) != (0, 0)
    assert not np.allclose(affines[0], affines[1], atol=0.1)


def test_a_place_of_the_head_is_the_same_place_on_every_visit_s_grid(trusted: Prediction) -> None:
    density = trusted.visits[0].density
    cell = tuple(length // 2 + 3 for length in density.voxels.shape)
    voxels = np.zeros(density.voxels.shape)
    voxels[cell] = 1.0
    for result in trusted.visits:
        drawn = result.map_of(Volume(voxels=voxels, geometry=density.geometry)).volume
        peak = drawn.geometry.to_ras(np.unravel_index(int(np.argmax(drawn.voxels)), drawn.voxels.shape))
        apart = np.abs((peak - density.geometry.to_ras(cell)) @ drawn.geometry.ijk_to_ras[:3, :3])
        assert (apart <= drawn.geometry.spacing_mm**2).all()  # within a voxel along each of its axes


def test_every_file_that_predict_promises_is_there_and_nothing_half_written(written: Path, patient: Path) -> None:
    maps = {f"{patient.name}_ses-0{k}_desc-risk_heatmap.nii.gz" for k in (1, 2, 3)}
    maps |= {f"{patient.name}_ses-0{k}_desc-change_heatmap.nii.gz" for k in (2, 3)}
    assert {path.name for path in (written / "heatmaps").iterdir()} == maps
    files = {"risk.json", "risk.tsv", "report.html", "montage.png", "audit.json", "heatmaps"}
    assert {path.name for path in written.iterdir()} == files


def test_risk_json_says_what_was_predicted(written: Path, trusted: Prediction, small_bundle: Path) -> None:
    record: RiskRecord = read_risk_record(written / "risk.json")
    assert record.patient == "sub-00027"
    assert record.model.sha256 == load_bundle(small_bundle).sha256
    for visit, result in zip(record.visits, trusted.visits, strict=True):
        assert visit.risk == result.hazards.risk
        assert visit.single_visit_risk == result.hazards.single_visit_risk
        assert (visit.risk_low, visit.risk_high) == result.hazards.risk_extremes
        assert visit.days_since_treatment == result.visit.days_since_treatment
        told = {one.name: one.value for one in visit.measurements}
        assert told.get(ORDER_CONFIDENCE) == result.order_confidence


@pytest.fixture(scope="module")
def sparse(
    timeline: Timeline, model: RiskModel, brain: Volume, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Prediction, Path]:
    """One visit, one sequence, day of treatment unknown, no maps asked for."""
    visit = replace(without(timeline.visits[0], "T2w"), days_since_treatment=None)
    prediction = predict_risk(replace(timeline, visits=(visit,)), model, options=TRUSTED, brain_mask=brain)
    folder = tmp_path_factory.mktemp("sparse")
    write_results(prediction, folder, heatmaps=False)
    return prediction, folder


def test_no_heatmaps_means_no_maps_and_null_names(sparse: tuple[Prediction, Path]) -> None:
    prediction, folder = sparse
    assert not (folder / "heatmaps").exists()
    visit = json.loads((folder / "risk.json").read_text(encoding="utf-8"))["visits"][0]
    assert visit["heatmap"] is None
    assert visit["change_heatmap"] is None
    assert visit["outside_field_of_view_hazard"] is None
    assert visit["risk"] == prediction.visits[0].hazards.risk
    assert (folder / "report.html").stat().st_size > 10_000


def test_an_unknown_day_of_treatment_is_null_and_not_0(
    sparse: tuple[Prediction, Path], timeline: Timeline, model: RiskModel, brain: Volume
) -> None:
    prediction, folder = sparse
    content = (folder / "risk.json").read_text(encoding="utf-8")
    assert json.loads(content)["visits"][0]["days_since_treatment"] is None
    header, row = (folder / "risk.tsv").read_text(encoding="utf-8").splitlines()
    assert dict(zip(header.split("\t"), row.split("\t"), strict=True))["days_since_treatment"] == "n/a"
    visit = replace(without(timeline.visits[0], "T2w"), days_since_treatment=0)
    known = predict_risk(replace(timeline, visits=(visit,)), model, options=TRUSTED, brain_mask=brain)
    assert known.visits[0].hazards.risk != prediction.visits[0].hazards.risk
    assert torch.equal(known.visits[0].hazards.single_visit_hazards, prediction.visits[0].hazards.single_visit_hazards)


def test_missing_sequences_are_no_obstacle_and_are_no_change(
    timeline: Timeline, model: RiskModel, brain: Volume, trusted: Prediction
) -> None:
    first, second, third = timeline.visits
    mixed = replace(timeline, visits=(first, without(second, "T2w"), without(third, "ce-gd_T1w")))
    found = predict_risk(mixed, model, options=TRUSTED, brain_mask=brain)
    assert_same_bits(found, trusted, 1)
    assert all(0 < risk < 1 for risk in risks(found))
    assert found.visits[1].visit.sequences == ("ce-gd_T1w",)
    assert found.visits[1].hazards.risk != trusted.visits[1].hazards.risk


def test_cuda_that_is_not_there_falls_back_and_says_so(
    timeline: Timeline, model: RiskModel, brain: Volume, trusted: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    one = replace(timeline, visits=timeline.visits[:1])
    found = predict_risk(one, model, options=replace(TRUSTED, device="cuda"), brain_mask=brain)
    assert found.device == "cpu"
    assert [finding.code for finding in found.findings if finding.code == "no_cuda"] == ["no_cuda"]
    assert_same_bits(found, trusted, 1)
    quiet = predict_risk(one, model, options=replace(TRUSTED, device="auto"), brain_mask=brain)
    assert "no_cuda" not in [finding.code for finding in quiet.findings]


def test_cuda_that_fails_on_the_way_is_replaced_by_the_cpu_and_said(
    timeline: Timeline, model: RiskModel, brain: Volume, trusted: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "choose_device", lambda asked: (torch.device("cuda"), ()))
    plain = torch.nn.Module.to
    monkeypatch.setattr(
        torch.nn.Module, "to", lambda self, device: self if device.type == "cuda" else plain(self, device)
    )
    encode, exact = VisitEncoding.encode, []

    def out_of_memory(self, visit, number, progress):
        if self._device.type == "cuda":
            exact.append(not torch.backends.cudnn.allow_tf32)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return encode(self, visit, number, progress)

    monkeypatch.setattr(VisitEncoding, "encode", out_of_memory)
    monkeypatch.setattr(pipeline, "_days", lambda given, days=pipeline._days: OnCpu(days(given)))
    found = predict_risk(replace(timeline, visits=timeline.visits[:1]), model, options=TRUSTED, brain_mask=brain)
    assert (found.device, exact) == ("cpu", [True])
    assert "The GPU failed (OutOfMemoryError)" in next(f for f in found.findings if f.code == "gpu_failed").message
    assert_same_bits(found, trusted, 1)


class OnCpu:
    """Days that stay where they are, for a machine without a GPU."""

    def __init__(self, days: torch.Tensor) -> None:
        self._days = days

    def to(self, device: torch.device) -> torch.Tensor:
        return self._days


def test_the_number_of_threads_changes_no_risk_beyond_a_hundred_thousandth(
    timeline: Timeline, model: RiskModel, brain: Volume
) -> None:
    found = {}
    before, before_itk = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            found[threads] = risks(predict_risk(timeline, model, options=TRUSTED, brain_mask=brain))
    finally:
        torch.set_num_threads(before)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before_itk)
    assert found[2] == pytest.approx(found[1], abs=1e-5)
