"""``make science``: rows are trained, kept, scored and compared; on very small patients, so no figure means much."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from TemporalGliomaRisk.bundle import load_bundle
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.learn.scoring import score_by_model
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path

MakeStored = Callable[..., StoredPatient]
Science = Callable[[str], ModuleType]
MODEL = resource_path(DEFAULT_MODEL)


@pytest.fixture(scope="module")
def rows(science: Science) -> ModuleType:
    return science("redo_rows")


@pytest.fixture(scope="module")
def shop(rows: ModuleType, make_stored: MakeStored, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    train = [make_stored(number, grows=number % 2 == 0) for number in range(6)]
    validation = [make_stored(number, grows=number % 2 == 0) for number in range(10, 13)]
    sizes = rows.Sizes(updates=2, passes=1)
    return rows.Workshop(folder=tmp_path_factory.mktemp("shop"), sizes=sizes, train=train, validation=validation)


@pytest.fixture(scope="module")
def scorer(rows: ModuleType, shop: ModuleType):
    variants = {name: rows.VARIANTS[name] for name in ("both", "ordering", "ordering, shuffled outcomes")}
    variants["ordering, 4 patients"] = rows.Variant(truth=False, patients=4)
    for name, variant in variants.items():
        rows.train_variant(name, variant, shop)
    rows.train_dates(shop)
    return rows.Scorer(shop=shop, variants=variants, model=MODEL)


def test_every_row_says_something_of_every_visit(rows: ModuleType, scorer, make_stored: MakeStored) -> None:
    patient = make_stored(20)
    wanted = [*scorer.variants, rows.DATES, rows.SHIPPED, rows.SINGLE, rows.SHUFFLED_VISITS, *rows.RULES]
    found = scorer.scores(patient, 3, wanted)
    assert found.keys() == set(wanted)
    assert all(len(scores) == patient.visits for scores in found.values())
    assert all(0 < risk < 1 for name in wanted if name not in rows.RULES for risk in found[name])
    # Rows asked for alone say the same, and nothing that was not asked.
    for some in (["ordering, shuffled outcomes"], [rows.SHIPPED], [rows.SHUFFLED_VISITS]):
        assert scorer.scores(patient, 3, some) == {name: found[name] for name in some}
    # One picture can't be exchanged for another; the shipped row is what the pipeline's own pass says.
    assert found[rows.SHUFFLED_VISITS][0] == found[rows.SHIPPED][0]
    shipped = score_by_model(load_bundle(MODEL), patient)
    assert found[rows.SHIPPED] == [row.hazards.risk for row in shipped]


def test_variants_differ_in_what_they_are_told_alone(rows: ModuleType, scorer, shop) -> None:
    networks = {name: scorer._trained(name)[0] for name in scorer.variants}
    both, shuffled = networks["both"], networks["ordering, shuffled outcomes"]
    shared = networks["ordering"].encoder.state_dict()
    assert all(torch.equal(one, shared[at]) for at, one in shuffled.encoder.state_dict().items())
    assert not torch.equal(networks["ordering"].members[0].local.weight, shuffled.members[0].local.weight)
    # Without the truth the growth head learns nothing, and half of the patients make another encoder.
    ordering, fewer = networks["ordering"], networks["ordering, 4 patients"]
    assert not torch.equal(ordering.encoder.layers[0].weight, both.encoder.layers[0].weight)
    assert not torch.equal(ordering.encoder.layers[0].weight, fewer.encoder.layers[0].weight)
    assert len([*(shop.of("ordering, 4 patients") / "features").glob("sub-?????.safetensors")]) == 4 + 3


def test_an_exchanged_outcome_is_anothers_and_no_visit_lies_after_it(rows: ModuleType, make_stored: MakeStored) -> None:
    patients = [make_stored(number, visits=2 + number % 3, grows=number % 2 == 0) for number in range(12)]
    exchanged = rows._outcomes_exchanged(patients)
    lived = sorted((one.follow_up_days, one.event_observed) for one in patients)
    assert sorted((one.follow_up_days, one.event_observed) for one in exchanged) == lived
    assert any(one.follow_up_days != other.follow_up_days for one, other in zip(patients, exchanged, strict=True))
    assert all(one.visits >= 1 and (one.days_to_end > 0).all() for one in exchanged)
    assert all(len(one.present) == one.visits == len(one.days_since_treatment) for one in exchanged)


def test_the_row_without_images_counts_visits(rows: ModuleType, shop) -> None:
    network = rows.DatesOnly()
    with torch.no_grad():
        hazards = network(torch.zeros(3, 5), torch.arange(1, 4))
    assert not torch.equal(hazards[0], hazards[1])


def test_a_variant_that_is_trained_stays(rows: ModuleType, scorer, shop) -> None:
    path = shop.of("ordering") / "network.safetensors"
    before = path.stat().st_mtime_ns
    rows.train_variant("ordering", rows.VARIANTS["ordering"], shop)
    assert path.stat().st_mtime_ns == before
    assert [shop.is_trained(name) for name in ("ordering", "growth maps")] == [True, False]
    assert shop.calibration("ordering") == scorer._trained("ordering")[1] != shop.calibration("both")


def test_scores_of_a_row_that_was_trained_anew_are_forgotten_and_others_stay(science: Science, tmp_path: Path) -> None:
    redo, scored = science("redo"), tmp_path / "scored"
    trained = {name: tmp_path / name for name in ("both", "ordering")}
    for folder in trained.values():
        folder.mkdir()
        (folder / "network.safetensors").write_bytes(b"weights")
        (folder / "calibration.json").write_text("{}", "utf-8")
    scored.mkdir()
    patient = scored / "sub-00001.json"
    scores = {"both": [0.1], "ordering": [0.2], "ideal observer": [3.0]}
    patient.write_text(json.dumps(scores), "utf-8")
    redo.forget_trained_anew(scored, trained)  # Nobody knows what scores of before were made with.
    assert redo.read_scores(patient) == scores
    (trained["both"] / "calibration.json").write_text('{"local_scale": 2}', "utf-8")
    redo.forget_trained_anew(scored, {"ordering": trained["ordering"]})
    assert redo.read_scores(patient) == scores
    redo.forget_trained_anew(scored, trained)
    assert redo.read_scores(patient) == {"ordering": [0.2], "ideal observer": [3.0]}


def test_rows_are_compared_in_pairs_with_the_shipped_and_with_and_without_ordering(science: Science) -> None:
    redo = science("redo")
    random = np.random.default_rng(1)
    timelines = [([0.0, 100.0, 200.0, 300.0], float(random.integers(320, 900)), bool(one % 2)) for one in range(80)]
    landmarks = LandmarkRows.of_timelines(timelines)
    fate = landmarks.cases().astype(float)
    noise = {name: random.uniform(0.1, 0.4, len(landmarks)) for name in ("shipped", "ordering", "random")}
    columns = {
        "evidence, shipped": noise["shipped"] + 0.5 * fate,
        "random encoder": noise["random"],
        "ordering": noise["ordering"] + 0.2 * fate,
        "ordering, 50 patients": noise["ordering"],
        "random encoder, 50 patients": noise["random"],
        "ordering, shuffled outcomes": noise["random"],
        "growth rule": 7 + 3 * fate,
    }
    found = redo.compared(columns, landmarks, BootstrapConfig(resamples=20, seed=1), 80)
    assert found["rows"].keys() == columns.keys()
    assert found["shipped_less"].keys() == columns.keys() - {"evidence, shipped", "growth rule"}
    assert found["ordering_gain"].keys() == {
        "ordering less random encoder",
        "ordering, 50 patients less random encoder, 50 patients",
    }
    gain = found["ordering_gain"]["ordering less random encoder"][0]["metrics"]["auroc"]["value"]
    table = {name: one["groups"][0]["metrics"]["auroc"]["value"] for name, one in found["rows"].items()}
    assert gain == pytest.approx(table["ordering"] - table["random encoder"])
    assert table["growth rule"] == 1.0
    without = redo.compared({"ordering": columns["ordering"]}, landmarks, BootstrapConfig(resamples=5, seed=1), 80)
    assert without["shipped_less"] == {}


def test_a_plan_is_the_scales_but_where_a_number_is_given(science: Science, tmp_path: Path) -> None:
    redo = science("redo")

    def plan(*words: str):
        return redo.Plan.of(redo.parser().parse_args(["--output", str(tmp_path), *words]))

    assert plan().patients == 1300
    assert plan("--scale", "0.1").sizes.updates == 700
    assert plan("--scale", "0.001").test_patients == 30
    assert plan("--scale", "0.1", "--test-patients", "7").test_patients == 7
    variants = plan("--learning-sizes", "50", "100").variants(80)
    assert "both, 50 patients" in variants
    assert variants["both, 50 patients"].encoder is None
    assert variants["random encoder, 50 patients"].encoder == "random encoder"
    assert not any(name.endswith("100 patients") for name in variants)
