"""Landmark rows for fine-tuning: sums over sampled places without bias, days and visits dropped as promised."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from TemporalGliomaRisk.encode.evidence import EvidenceConfig, brain_cells
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import InputError, UsageError
from TemporalGliomaRisk.learn.checkpoints import begin_with
from TemporalGliomaRisk.learn.feature_store import (
    PatientFeatures,
    PlaceSampling,
    cache_features,
    grown_places,
    load_features,
)
from TemporalGliomaRisk.learn.finetune import (
    FinetuneConfig,
    begin_head,
    finetune_head,
    match_prevalence,
    place_losses,
    plain_rows,
    rows_hazards,
    softened,
    training_rows,
    with_later_settings,
)
from TemporalGliomaRisk.learn.implanted_timelines import TimelineImplantConfig
from TemporalGliomaRisk.learn.timeline_features import timeline_features

SMALL = EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6)
PLAIN = FinetuneConfig(drop_visit_chance=0, drop_sequence_chance=0)


@pytest.fixture
def cached() -> PatientFeatures:
    features = torch.randn((3, 4, 50, 4), generator=torch.Generator().manual_seed(0)).to(torch.float16)
    return PatientFeatures(features=features, foremost=20, rest=600)


def test_places_stand_for_all_of_the_brain_exactly(cached: PatientFeatures) -> None:
    for sampled in (1, 7, 30):
        assert float(cached.log_weights(sampled).exp().sum()) == pytest.approx(620)
    assert cached.log_weights(30)[:20].tolist() == [0] * 20


def test_the_weighted_sum_over_a_sample_is_right_on_average_over_all_samples() -> None:
    values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    whole = PatientFeatures(features=torch.zeros(1, 4, 8, 1), foremost=2, rest=6)
    weights = whole.log_weights(2).exp()
    sums = [
        float(weights[:2].sum() * 0 + weights[2] * values[one] + weights[3] * values[other])
        for one, other in itertools.permutations(range(6), 2)
    ]
    assert sum(sums) / len(sums) == pytest.approx(sum(values))


def test_training_rows_draw_the_sampled_places_evenly(make_stored, cached: PatientFeatures) -> None:
    # Each place's own number as its feature: the foremost always come, the others with an even chance.
    cached = replace(cached, features=torch.arange(50.0).expand(3, 4, 50)[..., None].repeat(1, 1, 1, 4))
    config = replace(PLAIN, sampled_places=10)
    counts = torch.zeros(50)
    for seed in range(300):
        rows = training_rows(make_stored(1), cached, config, torch.Generator().manual_seed(seed))
        places = rows.features[0, 0, :, 0].long()
        assert places[:20].tolist() == list(range(20))
        assert len(set(places.tolist())) == 30
        counts[places] += 1
        assert float(rows.log_weights.exp().sum()) == pytest.approx(620)
    assert counts[:20].tolist() == [300] * 20
    assert counts[20:] / 300 == pytest.approx(torch.full((30,), 1 / 3), abs=0.12)


def test_the_day_of_treatment_is_unknown_in_about_half_of_training_and_never_0(make_stored, cached) -> None:
    patient = make_stored(1)
    known = []
    for seed in range(400):
        rows = training_rows(patient, cached, PLAIN, torch.Generator().manual_seed(seed))
        flags = rows.days[:, 4]
        assert len(set(flags.tolist())) == 1
        known.append(bool(flags[0]))
        if known[-1]:
            assert rows.days[:, 3].tolist() == pytest.approx([math.log1p(days / 90) for days in (40, 140, 240)])
    assert sum(known) / 400 == pytest.approx(0.5, abs=0.08)
    assert plain_rows(patient, cached).days[:, 4].tolist() == [1, 1, 1]


def test_dropped_visits_leave_one_at_least_and_the_days_count_from_the_first_kept(make_stored, cached) -> None:
    patient = make_stored(1)
    config = replace(PLAIN, drop_visit_chance=0.7)
    lengths = set()
    for seed in range(200):
        rows = training_rows(patient, cached, config, torch.Generator().manual_seed(seed))
        lengths.add(len(rows.days))
        assert float(rows.days[0, 0]) == 0
        assert float(rows.days[0, 2]) == 0
        to_end = rows.days_to_end
        assert set(to_end.tolist()) <= {330.0, 230.0, 130.0}
        assert float(rows.days[-1, 0]) == pytest.approx(math.log1p(float(to_end[0] - to_end[-1]) / 90))
    assert lengths == {1, 2, 3}


def test_a_dropped_sequence_is_neither_there_nor_seen(make_stored, cached) -> None:
    config = replace(PLAIN, drop_sequence_chance=1.0)
    kept = set()
    for seed in range(30):
        rows = training_rows(make_stored(1), cached, config, torch.Generator().manual_seed(seed))
        assert rows.present.sum(dim=1).tolist() == [1, 1, 1]
        assert not rows.features[~rows.present].any()
        kept.add(int(torch.nonzero(rows.present[0])))
    assert kept == {0, 3}


@pytest.fixture
def pair_model() -> PairModel:
    torch.manual_seed(0)
    model = PairModel(SMALL).eval()
    with torch.no_grad():
        model.growth.weight.mul_(5)
    return model


def test_kept_features_are_the_encoder_s_at_the_foremost_places_and_a_sample(make_stored, pair_model, tmp_path) -> None:
    patient = make_stored(1)
    sampling = PlaceSampling(foremost=40, sampled=100)
    done: list[int] = []
    cache_features(pair_model, [patient], tmp_path, sampling, seed=1, advance=done.append)
    kept = load_features(tmp_path, patient.patient_id)
    cells = int(brain_cells(torch.from_numpy(patient.brain)).sum())
    assert (kept.foremost, kept.rest, done) == (40, cells - 40, [1])
    assert kept.features.shape[2] == 140
    whole = timeline_features(pair_model, patient).to(torch.float16)
    rows = {tuple(place) for place in whole.permute(2, 0, 1, 3).reshape(cells, -1).tolist()}
    assert {tuple(place) for place in kept.features.permute(2, 0, 1, 3).reshape(140, -1).tolist()} <= rows
    assert not kept.features[:, 1:3].any()
    path = tmp_path / f"{patient.patient_id}.safetensors"
    before = path.stat().st_mtime_ns
    cache_features(pair_model, [patient], tmp_path, sampling, seed=1)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="cache of features in this run was begun with other settings"):
        cache_features(pair_model, [patient], tmp_path, sampling, seed=1, bfloat16=True)


def test_several_processes_keep_the_same_features(make_stored, pair_model, tmp_path) -> None:
    patients, sampling = [make_stored(number) for number in range(3)], PlaceSampling(foremost=40, sampled=100)
    for jobs in (1, 2):
        cache_features(pair_model, patients, tmp_path / str(jobs), sampling, seed=1, jobs=jobs)
    for patient in patients:
        alone, helped = (load_features(tmp_path / str(jobs), patient.patient_id) for jobs in (1, 2))
        assert torch.equal(alone.features, helped.features)
        assert torch.equal(alone.grown, helped.grown)


def test_features_in_bfloat16_are_those_of_full_precision_within_its_rounding(make_stored, pair_model) -> None:
    patient = make_stored(1)
    exact, quick = (timeline_features(pair_model, patient, bfloat16=choice) for choice in (False, True))
    assert quick.dtype == torch.float32
    assert not torch.equal(exact, quick)
    assert (exact - quick).abs().mean() < 0.01 * exact.abs().mean()


def test_with_every_place_kept_the_hazards_are_those_of_the_whole_brain(make_stored, pair_model, tmp_path) -> None:
    patient = make_stored(1)
    cache_features(pair_model, [patient], tmp_path, PlaceSampling(foremost=300, sampled=10**6), seed=1)
    kept = load_features(tmp_path, patient.patient_id)
    head = begin_head(pair_model, FinetuneConfig()).eval()
    rows = plain_rows(patient, kept)
    _, local = rows_hazards(head, rows, single_visit=False)
    features = timeline_features(pair_model, patient).to(torch.float16).float()
    _, logs = head(features, rows.present, rows.days)
    torch.testing.assert_close(local, logs.exp().sum(dim=1), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("single_visit", [False, True])
def test_a_head_starts_at_the_prevalence(make_stored, pair_model, tmp_path, single_visit: bool) -> None:
    patients = [make_stored(number) for number in (1, 2)]
    cache_features(pair_model, patients, tmp_path, PlaceSampling(foremost=50, sampled=80), seed=1)
    config = FinetuneConfig(single_visit=single_visit)
    head = begin_head(pair_model, config)
    match_prevalence(head, patients, lambda name: load_features(tmp_path, name), config)
    sums = [
        rows_hazards(head, plain_rows(one, load_features(tmp_path, one.patient_id)), single_visit=single_visit)[1]
        for one in patients
    ]
    median = torch.cat(sums).median(dim=0).values
    torch.testing.assert_close(median, torch.tensor(SMALL.prior_interval_hazards) / 2 / math.e, rtol=1e-3, atol=0)


def test_a_visit_in_which_everything_changed_does_not_silence_the_others(make_stored, pair_model, tmp_path) -> None:
    patients = [make_stored(number) for number in (1, 2, 3)]
    cache_features(pair_model, patients, tmp_path, PlaceSampling(foremost=50, sampled=80), seed=1)

    def matched(strange: float) -> list[float]:
        """Each patient's mean sum once a head was matched with the first patient ``strange`` times itself."""

        def load(name: str) -> PatientFeatures:
            found = load_features(tmp_path, name)
            return replace(found, features=found.features * (strange if name == patients[0].patient_id else 1.0))

        head = begin_head(pair_model, FinetuneConfig())
        match_prevalence(head, patients, load, FinetuneConfig())
        with torch.no_grad():
            every = [
                rows_hazards(head, plain_rows(one, load(one.patient_id)), single_visit=False)[1] for one in patients
            ]
        return [float(one.mean()) for one in every]

    plain = matched(1.0)
    strange = max((matched(by) for by in (100.0, -100.0)), key=lambda found: found[0])
    assert strange[0] > 30 * plain[0]
    assert strange[1] > plain[1] / 3
    assert strange[2] > plain[2] / 3


def test_softened_hazards_are_themselves_below_the_bound_and_smooth_across_it() -> None:
    hazards = torch.tensor([0.01, 1.4, 1.5, 1.501, 150.0], requires_grad=True)
    found = softened(hazards, 1.5)
    found.sum().backward()
    assert found[:3].tolist() == hazards[:3].tolist()
    assert found[3].item() == pytest.approx(1.501, rel=1e-5)
    assert found[4].item() == pytest.approx(1.5 * (1 + math.log(100)))
    assert hazards.grad is not None
    assert hazards.grad.tolist() == pytest.approx([1, 1, 1, 1.5 / 1.501, 0.01])


def test_one_visit_at_a_time_knows_neither_dates_nor_neighbours(make_stored, pair_model, tmp_path) -> None:
    patient = make_stored(1)
    cache_features(pair_model, [patient], tmp_path, PlaceSampling(foremost=50, sampled=80), seed=1)
    rows = plain_rows(patient, load_features(tmp_path, patient.patient_id))
    head = begin_head(pair_model, FinetuneConfig())
    background, local = rows_hazards(head, rows, single_visit=True)
    changed = replace(rows, features=rows.features.clone(), days=rows.days + 1)
    changed.features[[0, 2]] += 1.0
    other_background, other = rows_hazards(head, changed, single_visit=True)
    assert torch.equal(local[1], other[1])
    assert not torch.equal(local[0], other[0])
    assert torch.equal(background, other_background)


def test_grown_places_are_the_cells_that_new_lesion_reaches(make_stored) -> None:
    patient = make_stored(1)
    cells = brain_cells(torch.from_numpy(patient.brain))
    grown = grown_places(patient)
    assert grown is not None
    # The cube of edge 3 at (10, 11, 9) becomes one of edge 5; faces join three new squares of 3 x 3 to it.
    new = torch.zeros(patient.brain.shape, dtype=torch.bool)
    new[10:15, 11:16, 9:14] = True
    new[10:14, 11:14, 9:12] = False
    new[10:13, 11:15, 9:12] = False
    new[10:13, 11:14, 9:13] = False
    wanted = torch.nn.functional.max_pool3d(new.float()[None], 2)[0] > 0
    assert not grown[0].any()
    assert torch.equal(grown[2], wanted[cells])
    assert not grown_places(make_stored(1, grows=False)).any()
    assert grown_places(make_stored(1, truth=False)) is None


def test_true_growth_is_always_kept_and_known_where_the_truth_is(make_stored, pair_model, tmp_path) -> None:
    patient, unknown = make_stored(1), make_stored(2, truth=False)
    cache_features(pair_model, [patient, unknown], tmp_path, PlaceSampling(foremost=40, sampled=10), seed=1)
    kept, grown = load_features(tmp_path, patient.patient_id), grown_places(patient)
    assert kept.grown.sum(dim=1).tolist() == grown.sum(dim=1).tolist()
    assert not kept.grown[:, kept.foremost :].any()
    assert load_features(tmp_path, unknown.patient_id).grown is None


def test_the_place_loss_is_minus_the_logarithm_of_the_share_in_true_growth(make_stored, cached) -> None:
    grown = torch.zeros(3, 50, dtype=torch.bool)
    grown[1, [0, 30]] = grown[2, 4] = True
    rows = replace(plain_rows(make_stored(1), replace(cached, grown=grown)), log_weights=torch.zeros(50))
    hazards = torch.rand((3, 50, 4), generator=torch.Generator().manual_seed(0)) + 0.1
    losses = place_losses(hazards.log(), rows)
    shares = [float((hazards[visit] * grown[visit, :, None]).sum() / hazards[visit].sum()) for visit in (1, 2)]
    assert losses.tolist() == pytest.approx([0.0, *(-math.log(share) for share in shares)], rel=1e-5, abs=1e-6)
    assert not place_losses(hazards.log(), replace(rows, event=~rows.event)).any()
    assert not place_losses(hazards.log(), replace(rows, grown=None)).any()


def test_the_place_loss_pulls_hazard_to_the_growth_with_finite_gradients(make_stored, cached) -> None:
    grown = torch.zeros(3, 50, dtype=torch.bool)
    grown[2, 4] = True
    rows = plain_rows(make_stored(1), replace(cached, grown=grown))
    logs = torch.zeros((3, 50, 4), requires_grad=True)
    place_losses(logs, rows).sum().backward()
    assert logs.grad.isfinite().all()
    assert not logs.grad[:2].any()
    assert (logs.grad[2, 4] < 0).all()
    assert (logs.grad[2, [0, 49]] > 0).all()


def test_a_head_begun_before_a_setting_had_a_name_goes_on(tmp_path: Path) -> None:
    config, path = FinetuneConfig(), tmp_path / "member-1.json"
    begin_with(path, config, what="A head")
    written = json.loads(path.read_text("utf-8"))
    del written["begun_from"], written["implants"]["each"]
    path.write_text(json.dumps(written), "utf-8")
    begin_with(path, config, what="A head", understood=with_later_settings)
    for other in (replace(config, begun_from="abc"), replace(config, implants=TimelineImplantConfig(each=2))):
        with pytest.raises(InputError, match="other settings"):
            begin_with(path, other, what="A head", understood=with_later_settings)


def test_a_head_that_finds_nothing_better_stays_what_it_began_with(make_stored, tmp_path: Path) -> None:
    sizes = EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6)
    pretrained = PairModel(sizes)
    patients = [make_stored(number, grows=number % 2 == 0) for number in range(6)]
    cache_features(pretrained, patients, tmp_path / "features", PlaceSampling(foremost=40, sampled=40), seed=1)
    start = begin_head(pretrained, FinetuneConfig())
    wild = FinetuneConfig(epochs=1, learning_rate=50.0)
    found = finetune_head(
        pretrained,
        patients[:4],
        patients[4:],
        lambda one: load_features(tmp_path / "features", one),
        tmp_path / "head.safetensors",
        config=wild,
        start_from=start,
    )
    assert all(torch.equal(value, start.state_dict()[name]) for name, value in found.state_dict().items())


@pytest.mark.parametrize(("foremost", "sampled"), [(0, 10), (1, 0)])
def test_some_places_must_stand_for_the_rest_of_the_brain(foremost: int, sampled: int) -> None:
    with pytest.raises(UsageError, match="--places"):
        PlaceSampling(foremost=foremost, sampled=sampled)
