"""Doubt on the way of ``predict``: said of the right visits, in every file; nothing later changes what is earlier."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.encode.summary import change_length, summary_length
from TemporalGliomaRisk.explain.sanity import HeatmapSanity, StageSanity
from TemporalGliomaRisk.learn.cohort import read_cohort
from TemporalGliomaRisk.learn.doubting import last_maps, summarised
from TemporalGliomaRisk.learn.prepared_store import prepare_patient
from TemporalGliomaRisk.learn.scoring import score_patient
from TemporalGliomaRisk.learn.stored_patient import load_patient
from TemporalGliomaRisk.pipeline import Prediction, PredictOptions, predict_risk
from TemporalGliomaRisk.results import write_results
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.doubt import Doubt, Usual
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.visit import Timeline, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Volume
from TemporalGliomaRisk.visit_cache import VisitCache

TRUSTED = PredictOptions(device="cpu", register="never")
SANE = HeatmapSanity(
    stages=(
        StageSanity(
            randomised="every weight", correlation=0.12, correlation_low=0.0, correlation_high=0.2, top_overlap=0.03
        ),
    ),
    members_correlation=0.9,
    members_top_overlap=0.7,
    visits=16,
    seeds=2,
)


@pytest.fixture(scope="module")
def timeline(simulated_patient: Path) -> Timeline:
    return read_timeline(simulated_patient)


@pytest.fixture(scope="module")
def brain(simulated_patient: Path) -> Volume:
    name = simulated_patient.name
    path = simulated_patient.parent / "truth" / name / f"{name}_desc-brain_mask.nii.gz"
    return VolumeFile(path=path, role="brain mask").read()


def around(found: torch.Tensor, spread: float, length: int) -> Usual:
    """What is usual is this summary, with a spread: so that it, and what is near, scores low."""
    return Usual(
        centre=found.float(),
        whitening=torch.eye(length).repeat(4, 1, 1) / spread,
        level=torch.tensor([[0.0, 1.0]] * 4),
        known=torch.ones(4).bool(),
    )


@pytest.fixture(scope="module")
def model(small_bundle: Path, timeline: Timeline, brain: Volume) -> RiskModel:
    """A model to which the timeline's first visit is the usual one, and any change within bounds."""
    plain = load_bundle(small_bundle)
    first = predict_risk(replace(timeline, visits=timeline.visits[:1]), plain, options=TRUSTED, brain_mask=brain)
    channels = plain.network.config.feature_channels
    doubt = Doubt(
        appearance=around(torch.from_numpy(first.visits[0].encoded.summary), 1.0, summary_length(channels)),
        change=around(torch.zeros(4, change_length(channels)), 1e5, change_length(channels)),
        unusual_above=-1.0,  # the good visits lie near -2, the spoilt one near 0
        at_odds_above=50.0,
        training_visits=9,
        validation_visits=9,
        validation_patients=3,
    )
    return replace(plain, doubt=doubt, heatmap_sanity=SANE)


def spoilt(timeline: Timeline, number: int) -> Timeline:
    """The timeline with one visit's slices in reverse and its contrast squared."""
    visit = timeline.visits[number - 1]
    sources = {}
    for name, source in visit.sources.items():
        volume = source.read()
        voxels = (volume.voxels[:, :, ::-1].astype(np.float32) ** 2 / 100.0) + 30.0 * (volume.voxels > 0)
        sources[name] = VolumeInMemory(volume=Volume(voxels=voxels, geometry=volume.geometry))
    visits = [*timeline.visits]
    visits[number - 1] = replace(visit, sources=sources)
    return replace(timeline, visits=tuple(visits))


@pytest.fixture(scope="module")
def odd_third(timeline: Timeline, model: RiskModel, brain: Volume) -> Prediction:
    return predict_risk(spoilt(timeline, 3), model, options=TRUSTED, brain_mask=brain)


def codes(prediction: Prediction) -> list[set[str]]:
    return [{finding.code for finding in result.doubts} for result in prediction.visits]


def test_the_odd_visit_is_called_odd_and_the_others_are_not(odd_third: Prediction) -> None:
    assert codes(odd_third) == [{"one_visit_so_far"}, set(), {"unlike_training"}]


def test_a_visit_after_an_odd_one_is_told_to_rest_on_it(timeline: Timeline, model: RiskModel, brain: Volume) -> None:
    found = codes(predict_risk(spoilt(timeline, 2), model, options=TRUSTED, brain_mask=brain))
    assert found[1] == {"unlike_training"}
    assert found[2] == {"rests_on_unlike_visit"}


def test_upside_down_from_the_first_visit_on_makes_every_risk_uncertain(
    timeline: Timeline, model: RiskModel, brain: Volume, tmp_path: Path
) -> None:
    lenient = replace(model, doubt=replace(model.doubt, unusual_above=1e6))
    visits = []
    for visit in timeline.visits:
        volumes = {name: source.read() for name, source in visit.sources.items()}
        turned = {
            name: VolumeInMemory(volume=Volume(voxels=volume.voxels[:, :, ::-1], geometry=volume.geometry))
            for name, volume in volumes.items()
        }
        visits.append(replace(visit, sources=turned))
    mask = Volume(voxels=brain.voxels[:, :, ::-1], geometry=brain.geometry)
    prediction = predict_risk(replace(timeline, visits=tuple(visits)), lenient, options=TRUSTED, brain_mask=mask)
    write_results(prediction, tmp_path, heatmaps=False)
    record = json.loads((tmp_path / "risk.json").read_text(encoding="utf-8"))
    first, *later = (visit["uncertain_because"] for visit in record["visits"])
    assert first == ["one_visit_so_far", "brain_turned"]
    assert later == [["rests_on_unlike_visit"]] * 2
    (said,) = (warning for warning in record["visits"][0]["warnings"] if warning["code"] == "brain_turned")
    assert "upside down" in said["message"]


def test_a_later_visit_changes_no_earlier_doubt_and_no_doubt_changes_a_risk(
    timeline: Timeline, model: RiskModel, brain: Volume, odd_third: Prediction
) -> None:
    plain = predict_risk(timeline, replace(model, doubt=None), options=TRUSTED, brain_mask=brain)
    assert [result.doubts for result in odd_third.visits[:1]] == [result.doubts for result in plain.visits[:1]]
    for one, other in zip(odd_third.visits[:2], plain.visits[:2], strict=True):
        assert one.hazards.risk == other.hazards.risk
        assert np.array_equal(one.encoded.summary, other.encoded.summary)
    assert codes(plain) == [{"one_visit_so_far"}, set(), set()]


def test_a_visit_from_the_cache_is_doubted_the_same(
    timeline: Timeline, model: RiskModel, brain: Volume, tmp_path: Path
) -> None:
    strict = replace(model, doubt=replace(model.doubt, unusual_above=-100.0))
    cache = VisitCache(folder=tmp_path)
    encodings: list[int] = []
    handle = model.network.encoder.register_forward_hook(lambda *given: encodings.append(1))
    made, kept = (predict_risk(timeline, strict, options=TRUSTED, brain_mask=brain, cache=cache) for _ in range(2))
    handle.remove()
    assert len(encodings) == len(timeline.visits)
    assert kept.findings == made.findings
    assert "change_unlike_training" in codes(kept)[1]


def test_every_file_says_which_risk_is_uncertain_and_why(odd_third: Prediction, tmp_path: Path) -> None:
    write_results(odd_third, tmp_path, heatmaps=True)
    record = json.loads((tmp_path / "risk.json").read_text(encoding="utf-8"))
    wanted = [["one_visit_so_far"], [], ["unlike_training"]]
    assert [visit["uncertain_because"] for visit in record["visits"]] == wanted
    for visit in record["visits"]:
        said = {warning["code"]: warning["message"] for warning in visit["warnings"]}
        assert all("uncertain" in said[code] for code in visit["uncertain_because"])
    assert record["model"]["heatmap_check"] == SANE.sentence
    with (tmp_path / "risk.tsv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert [row["uncertain_because"] for row in rows] == ["one_visit_so_far", "n/a", "unlike_training"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for reason in ("one visit so far", "unlike training"):
        assert page.count(f'<b class="uncertain">uncertain: {reason}</b>') == 1
    assert "r = 0.12 over the brain" in page


def test_a_single_visit_is_uncertain_because_it_is_single(
    timeline: Timeline, model: RiskModel, brain: Volume, tmp_path: Path
) -> None:
    alone = replace(timeline, visits=timeline.visits[:1])
    write_results(predict_risk(alone, model, options=TRUSTED, brain_mask=brain), tmp_path, heatmaps=False)
    record = json.loads((tmp_path / "risk.json").read_text(encoding="utf-8"))
    assert record["visits"][0]["uncertain_because"] == ["one_visit_so_far"]


def test_prepared_patients_are_summed_up_as_predict_sums_them_up(
    simulated_cohort: Path, timeline: Timeline, model: RiskModel, brain: Volume, tmp_path: Path
) -> None:
    patient = next(one for one in read_cohort(simulated_cohort) if one.patient_id == "sub-00027")
    config = replace(model.preprocessing, register="never")
    prepare_patient(patient, folder=tmp_path, config=config)
    stored = load_patient(tmp_path, patient.patient_id)
    found = summarised(model.network, stored, members=True)
    summaries = found.with_spread(model.calibration)
    prediction = predict_risk(timeline, model, options=TRUSTED, brain_mask=brain)
    for summary, result in zip(summaries, prediction.visits, strict=False):
        # Prepared volumes are kept in 16 bits.
        assert np.allclose(summary.appearance.numpy(), result.encoded.summary, atol=2e-3)
        logs = result.hazards.member_hazards[:, :3].sum(dim=1).log()
        assert summary.spread == pytest.approx(float(logs.max() - logs.min()), abs=1e-3)
    assert not summaries[0].common.any()
    assert torch.equal(summaries[1].common, summaries[0].present & summaries[1].present)
    calibrations = {"calibration": Calibration(), "single_visit_calibration": Calibration()}
    for row, alone in zip(found.rows, score_patient(model.network, stored, **calibrations), strict=True):
        assert (row.patient_id, row.visit_number, row.days_to_end) == (
            alone.patient_id,
            alone.visit_number,
            alone.days_to_end,
        )
        assert torch.equal(row.hazards.member_hazards, alone.hazards.member_hazards)
        assert torch.equal(row.hazards.single_visit_hazards, alone.hazards.single_visit_hazards)
    without = summarised(model.network, stored, members=False)
    assert without.rows == []
    assert torch.equal(without.summaries[1].change, summaries[1].change)
    (drawn,) = last_maps(model.network, [stored])
    last = prediction.visits[stored.visits - 1].hazards
    scaled = drawn.mean(dim=0) * model.calibration.local_scale
    assert torch.allclose(scaled, last.horizon_terms, rtol=0.02, atol=1e-7)
    assert Calibration() != model.calibration
