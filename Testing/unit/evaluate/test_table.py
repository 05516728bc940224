from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from TemporalGliomaRisk.errors import ShapeError, UsageError
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig, interval, patient_resamples
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.table import (
    AUROC_SHARE,
    EvaluationConfig,
    auroc_by_visits,
    auroc_shares,
    compare_risks,
    evaluate_risks,
    format_table,
)
from TemporalGliomaRisk.evaluate.words import _headline

FEW = EvaluationConfig(threshold=0.4, bootstrap=BootstrapConfig(resamples=100, seed=4))


def cohort(patients: int = 150, visits: int = 5, seed: int = 0) -> tuple[np.ndarray, LandmarkRows]:
    rng = np.random.default_rng(seed)
    risk = np.repeat(rng.beta(1.5, 3, patients).clip(0.01, 0.99), visits)
    event = rng.exponential(-365 / np.log1p(-risk))
    stop = rng.exponential(900, risk.size)
    return risk, LandmarkRows(
        patient=np.repeat(np.arange(patients), visits),
        visits=np.tile(np.arange(1, visits + 1), patients),
        days=np.minimum(event, stop),
        event_observed=event <= stop,
    )


def test_timelines_become_a_row_a_visit() -> None:
    rows = LandmarkRows.of_timelines([([0.0, 90.0], 400.0, True), ([0.0], 30.0, False)])
    assert rows.patient.tolist() == [0, 0, 1]
    assert rows.visits.tolist() == [1, 2, 1]
    assert rows.days.tolist() == [400.0, 310.0, 30.0]
    assert rows.event_observed.tolist() == [True, True, False]


def test_a_score_ranks_as_the_same_risk_does_and_need_be_none() -> None:
    risk, rows = cohort()
    config = EvaluationConfig(bootstrap=FEW.bootstrap)
    wanted = {group["name"]: group for group in evaluate_risks(risk, rows, config)["groups"]}
    found = auroc_by_visits(100 * risk - 3, rows, FEW.bootstrap)
    assert found.keys() == wanted.keys()
    for name, group in found.items():
        assert (group["rows"], group["events"]) == (wanted[name]["rows"], wanted[name]["events"])
        for end in ("value", "low", "high"):
            assert group[end] == pytest.approx(wanted[name]["metrics"]["auroc"][end])


def test_all_rows_of_a_patient_are_drawn_together() -> None:
    patient = np.array([7, 7, 3, 9, 9, 9])
    counts = patient_resamples(patient, BootstrapConfig(resamples=50))

    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 3] == counts[:, 4]).all()
    assert (counts[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert (counts[:, 0] != counts[:, 2]).any()


def test_intervals_over_clustered_rows_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(8)
    config = BootstrapConfig(resamples=200)
    patient = np.repeat(np.arange(60), 4)
    by_patient = by_row = 0
    for repeat in range(150):
        values = np.repeat(rng.normal(size=60), 4)
        for clusters, covered in ((patient, "patient"), (np.arange(240), "row")):
            counts = patient_resamples(clusters, dataclasses.replace(config, seed=repeat))
            found = interval(values.mean(), counts @ values / counts.sum(axis=1), config)
            inside = found.low is not None and found.high is not None and found.low <= 0 <= found.high
            by_patient += inside and covered == "patient"
            by_row += inside and covered == "row"

    assert 0.87 <= by_patient / 150 <= 0.99
    assert by_row / 150 < 0.8


def test_resamples_without_a_number_are_counted_and_most_missing_gives_no_interval() -> None:
    config = BootstrapConfig(resamples=4)
    some = interval(0.5, np.array([0.4, 0.6, np.nan, 0.5]), config)
    most = interval(0.5, np.array([0.4, np.nan, np.nan, np.nan]), config)

    assert (some.undefined_resamples, some.low is not None) == (1, True)
    assert (most.undefined_resamples, most.low, most.value) == (3, None, 0.5)


def test_the_table_counts_rows_patients_and_events_by_number_of_visits() -> None:
    risk, rows = cohort()
    groups = {group["name"]: group for group in evaluate_risks(risk, rows, FEW)["groups"]}

    assert list(groups) == ["all", "4 or more", "1 visit", "2 visits", "3 visits", "4 visits", "5 visits"]
    assert (groups["4 or more"]["rows"], groups["4 or more"]["patients"]) == (300, 150)
    assert groups["all"]["events"] == int((rows.event_observed & (rows.days <= 365)).sum())
    assert groups["all"]["censored"] == int((~rows.event_observed & (rows.days < 365)).sum())


def test_the_table_is_ready_for_json_and_the_same_seed_gives_the_same_table() -> None:
    risk, rows = cohort()
    first = json.dumps(evaluate_risks(risk, rows, FEW), allow_nan=False)

    assert first == json.dumps(evaluate_risks(risk, rows, FEW), allow_nan=False)


def test_an_interval_holds_its_value_and_a_good_risk_is_above_chance() -> None:
    risk, rows = cohort()
    found = evaluate_risks(risk, rows, FEW)["groups"][0]["metrics"]

    for name in ("auroc", "auprc", "f1", "brier", "concordance"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    assert found["auroc"]["low"] > 0.5


def test_fewer_than_2000_rows_give_no_calibration_figure_and_2000_do() -> None:
    risk, rows = cohort(patients=400)
    enough = evaluate_risks(risk, rows, FEW)["groups"][0]["metrics"]
    fewer = evaluate_risks(risk[1:], rows.chosen(np.arange(2000) > 0), FEW)["groups"][0]["metrics"]

    for name in ("calibration_slope", "calibration_intercept", "calibration_error"):
        assert fewer[name]["value"] is None
        assert fewer[name]["reason"] == "1999 rows, fewer than 2000"
    assert enough["calibration_slope"]["low"] < 1 < enough["calibration_slope"]["high"]


def test_a_risk_does_not_differ_from_itself_and_pairing_narrows_the_interval() -> None:
    risk, rows = cohort()
    noisy = np.clip(risk + np.random.default_rng(1).normal(0, 0.05, risk.size), 0, 1)
    same = compare_risks(risk, risk, rows, FEW)[0]["metrics"]["auroc"]
    near = compare_risks(risk, noisy, rows, FEW)[0]["metrics"]["auroc"]
    alone = evaluate_risks(risk, rows, FEW)["groups"][0]["metrics"]["auroc"]

    assert (same["value"], same["low"], same["high"]) == (0.0, 0.0, 0.0)
    assert near["high"] - near["low"] < 0.6 * (alone["high"] - alone["low"])


def test_a_comparison_is_the_first_less_the_second_each_by_its_own_threshold() -> None:
    risk, rows = cohort()
    lower = np.clip(noisy(risk), 0, 1) / 2
    (ours, *_), (theirs, *_) = (
        evaluate_risks(which, rows, dataclasses.replace(FEW, threshold=threshold))["groups"]
        for which, threshold in ((risk, 0.4), (lower, 0.2))
    )
    found = compare_risks(risk, lower, rows, FEW, 0.2)[0]["metrics"]

    for name in ("auroc", "auprc", "f1", "brier", "concordance"):
        assert found[name]["value"] == pytest.approx(ours["metrics"][name]["value"] - theirs["metrics"][name]["value"])
    assert found["auroc"]["low"] > 0
    # The other's own threshold is not known: nothing is said of F1.
    assert compare_risks(risk, lower, rows, FEW)[0]["metrics"]["f1"]["value"] is None


def test_another_horizon_is_another_unit_of_time() -> None:
    risk, rows = cohort()
    faster, sooner = dataclasses.replace(rows, days=rows.days / 2), dataclasses.replace(FEW, horizon_days=182.5)
    half = evaluate_risks(risk, faster, sooner)
    whole = evaluate_risks(risk, rows, FEW)

    assert half["horizon_days"] == 182.5
    assert half["groups"] == whole["groups"]


def test_a_group_without_cases_says_that_its_auroc_is_undefined() -> None:
    rows = LandmarkRows(
        patient=np.arange(5), visits=np.ones(5, int), days=np.full(5, 500.0), event_observed=np.zeros(5, bool)
    )
    found = evaluate_risks(np.full(5, 0.1), rows, FEW)["groups"][0]["metrics"]

    assert found["auroc"]["value"] is None
    assert found["auroc"]["reason"] == "undefined on these rows"
    assert found["f1"]["value"] is None
    assert found["brier"]["value"] == pytest.approx(0.01)


@pytest.mark.parametrize(("events", "given"), [(3, False), (9, False), (10, True)])
def test_few_patients_with_an_event_have_a_number_and_no_interval(events: int, given: bool) -> None:
    # Each has two rows, so that rows with an event are enough and patients with one are not.
    patient = np.repeat(np.arange(60), 2)
    rows = LandmarkRows(
        patient=patient,
        visits=np.tile([1, 2], 60),
        days=np.where(patient < events, 100.0, 800.0),
        event_observed=patient < events,
    )
    risk = np.random.default_rng(5).uniform(size=120)
    group = evaluate_risks(risk, rows, FEW)["groups"][0]
    assert (group["events"], group["patients_with_event"]) == (2 * events, events)
    assert group["metrics"]["auroc"]["value"] is not None
    assert (group["metrics"]["auroc"]["low"] is not None) == given
    assert (compare_risks(risk, risk[::-1], rows, FEW)[0]["metrics"]["brier"]["high"] is not None) == given


def test_the_calibration_error_of_a_calibrated_risk_lies_in_its_interval_down_to_zero() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        risk = np.repeat(rng.beta(2, 6, 450), 5)
        event = rng.random(risk.size) < risk
        rows = LandmarkRows(
            patient=np.repeat(np.arange(450), 5),
            visits=np.tile(np.arange(1, 6), 450),
            days=np.where(event, 100.0, 800.0),
            event_observed=event,
        )
        found = evaluate_risks(risk, rows, FEW)["groups"][0]["metrics"]["calibration_error"]
        assert 0 <= found["low"] <= found["value"] <= found["high"]


def test_one_patient_has_numbers_and_no_interval() -> None:
    rows = LandmarkRows(
        patient=np.zeros(3, int),
        visits=np.arange(1, 4),
        days=np.array([700.0, 500.0, 200.0]),
        event_observed=np.ones(3, bool),
    )
    found = evaluate_risks(np.array([0.1, 0.2, 0.6]), rows, FEW)["groups"][0]["metrics"]

    for name in ("auroc", "brier", "f1"):
        assert found[name]["value"] is not None
        assert (found[name]["low"], found[name]["high"]) == (None, None)


def test_a_score_that_only_ranks_gets_no_brier_and_may_leave_0_to_1() -> None:
    risk, rows = cohort()
    config = dataclasses.replace(FEW, probabilities=False)
    ranked = evaluate_risks(risk * 30 - 4, rows, config)["groups"][0]["metrics"]

    assert ranked["brier"]["reason"] == "a score that only ranks"
    assert ranked["auroc"]["value"] == evaluate_risks(risk, rows, FEW)["groups"][0]["metrics"]["auroc"]["value"]
    with pytest.raises(UsageError, match="between 0 and 1"):
        evaluate_risks(risk * 30, rows, FEW)


def test_a_risk_that_is_not_a_number_is_refused() -> None:
    risk, rows = cohort()
    risk[3] = np.nan
    with pytest.raises(ShapeError, match="finite in every landmark row, got 1 not"):
        evaluate_risks(risk, rows, FEW)


def test_the_printed_table_shows_values_intervals_and_gaps() -> None:
    risk, rows = cohort()
    groups = evaluate_risks(risk, rows, FEW)["groups"]
    lines = format_table(groups, ("auroc", "calibration_slope")).splitlines()
    found = groups[0]["metrics"]["auroc"]

    assert lines[0] == "| visits | rows | patients | rows with event | auroc | calibration_slope |"
    cell = f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    assert lines[2] == f"| all | 750 | 150 | {groups[0]['events']} | {cell} | – |"


def noisy(risk: np.ndarray) -> np.ndarray:
    return risk + np.random.default_rng(5).normal(0, 0.25, risk.size)


def test_a_share_of_the_way_from_chance_is_of_both_aurocs_on_the_same_resamples() -> None:
    risk, rows = cohort()
    worse = noisy(risk)
    groups = auroc_shares(worse, risk, rows, FEW)
    assert [group["name"] for group in groups] == ["all", "4 or more"]
    ranks = dataclasses.replace(FEW, probabilities=False)
    pairs = [evaluate_risks(one, rows, ranks)["groups"] for one in (worse, risk)]
    for group, ours, theirs in zip(groups, *pairs, strict=False):
        found, (above, below) = group["metrics"][AUROC_SHARE], (one["metrics"]["auroc"] for one in (ours, theirs))
        assert found["value"] == pytest.approx((above["value"] - 0.5) / (below["value"] - 0.5))
        assert found["low"] < found["value"] < found["high"]
        # What moves both alike does not move their ratio: resamples drawn apart would give a wider one.
        apart = (above["high"] - 0.5) / (below["low"] - 0.5) - (above["low"] - 0.5) / (below["high"] - 0.5)
        assert found["high"] - found["low"] < 0.8 * apart


def test_a_score_goes_all_of_its_own_way_in_every_resample_and_nothing_is_a_share_of_chance() -> None:
    risk, rows = cohort()
    itself = auroc_shares(risk, risk, rows, FEW)[0]["metrics"][AUROC_SHARE]
    assert (itself["value"], itself["low"], itself["high"]) == (1.0, 1.0, 1.0)
    chance = auroc_shares(risk, np.zeros(len(rows)), rows, FEW)[0]["metrics"][AUROC_SHARE]
    assert (chance["value"], chance["reason"]) == (None, "undefined on these rows")


def test_the_headline_tells_the_share_with_its_interval_and_nothing_of_it_where_none_was_written() -> None:
    risk, rows = cohort()
    worse, ranks = noisy(risk), dataclasses.replace(FEW, probabilities=False)
    found = {
        "several_visits": evaluate_risks(worse, rows, ranks),
        "ideal_observer": evaluate_risks(risk, rows, ranks),
    }
    share = auroc_shares(worse, risk, rows, ranks)
    wanted = share[1]["metrics"][AUROC_SHARE]
    said = _headline({**found, "share_of_ideal_observer": share})
    assert f"goes {wanted['value']:.0%} [{wanted['low']:.0%}, {wanted['high']:.0%}] of that observer's way" in said
    assert "ideal observer" in _headline(found)
    assert "way from chance" not in _headline(found)
