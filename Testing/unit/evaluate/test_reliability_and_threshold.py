from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score

from TemporalGliomaRisk.evaluate import metrics, table
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.censoring import censoring_survival, censoring_weights
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.reliability import bin_members, observed_by_bin
from TemporalGliomaRisk.evaluate.table import EvaluationConfig, evaluate_risks
from TemporalGliomaRisk.evaluate.threshold import choose_thresholds, largest_f1


def drawn(rows: int = 600, seed: int = 1, censor: float = 500.0) -> tuple[np.ndarray, LandmarkRows]:
    rng = np.random.default_rng(seed)
    risk = rng.beta(1.5, 3, rows).clip(0.01, 0.99)
    event, stop = rng.exponential(-365 / np.log1p(-risk)), rng.exponential(censor, rows)
    return risk, LandmarkRows(
        patient=np.arange(rows) // 2,
        visits=1 + np.arange(rows) % 2,
        days=np.minimum(event, stop),
        event_observed=event <= stop,
    )


@pytest.fixture
def curve(monkeypatch: pytest.MonkeyPatch) -> tuple[list[dict], dict]:
    """The curve of 600 rows and the metrics beside it, as if 600 were rows enough."""
    monkeypatch.setattr(table, "LEAST_ROWS_FOR_CALIBRATION", 600)
    risk, rows = drawn()
    groups = evaluate_risks(risk, rows, EvaluationConfig(bootstrap=BootstrapConfig(resamples=60)))["groups"]
    assert [group["name"] for group in groups if group["reliability"] is not None] == ["all"]
    return groups[0]["reliability"], groups[0]["metrics"]


def test_the_bins_gaps_add_up_to_the_calibration_error(curve: tuple[list[dict], dict]) -> None:
    bins, found = curve
    error = sum(one["share"] * abs(one["observed"] - one["predicted"]) for one in bins)

    assert error == pytest.approx(found["calibration_error"]["value"], abs=1e-12)
    assert sum(one["share"] for one in bins) == pytest.approx(1)


def test_bins_are_equal_in_rows_rise_in_risk_and_hold_their_value_in_the_interval(
    curve: tuple[list[dict], dict],
) -> None:
    bins, _ = curve

    assert [one["rows"] for one in bins] == [60] * 10
    assert (np.diff([one["predicted"] for one in bins]) > 0).all()
    assert all(one["low"] <= one["observed"] <= one["high"] for one in bins)


def test_the_observed_share_of_one_bin_is_one_less_kaplan_meier() -> None:
    _, rows = drawn()
    weights = censoring_weights(rows)[None]
    share = observed_by_bin(np.ones((len(rows), 1), bool), rows.cases(), weights)[0, 0]
    events = LandmarkRows(patient=rows.patient, visits=rows.visits, days=rows.days, event_observed=~rows.event_observed)
    survival = censoring_survival(events, np.array([365.0 + 1e-9]))[0]

    # Both estimate the same; they differ by how the last censored row is treated.
    assert share == pytest.approx(1 - survival, abs=0.01)


def test_equal_risks_lie_in_one_bin() -> None:
    members = bin_members(np.repeat([0.1, 0.5], [70, 30]), 10)

    assert sorted(members.sum(axis=0))[-2:] == [30, 70]


def test_the_threshold_has_the_largest_f1_of_all_by_scikit_learn_and_is_the_lowest_such() -> None:
    risk, rows = drawn(censor=1e9)
    risk = risk.round(2)
    cases, weights = rows.cases(), censoring_weights(rows)
    threshold, value = largest_f1(risk, cases, weights)
    every = {at: f1_score(cases, risk >= at) for at in np.unique(risk)}

    assert value == pytest.approx(max(every.values()))
    assert threshold == min(at for at, one in every.items() if one == pytest.approx(value))


def test_with_censoring_the_threshold_is_the_best_by_our_own_f1() -> None:
    risk, rows = drawn()
    cases, weights = rows.cases(), censoring_weights(rows)
    threshold, value = largest_f1(risk, cases, weights)
    every = [metrics.f1(risk, cases, weights[None], at)[0] for at in risk]

    assert metrics.f1(risk, cases, weights[None], threshold)[0] == pytest.approx(value)
    assert value == pytest.approx(max(every))


def test_what_a_bundle_says_of_thresholds_counts_its_rows_and_is_absent_without_an_event() -> None:
    risk, rows = drawn()
    said = choose_thresholds(risk, risk**2, rows)
    none = dataclasses.replace(rows, event_observed=np.zeros(len(rows), bool))

    assert (said["rows"], said["patients"], said["events"]) == (600, 300, int(rows.cases().sum()))
    assert said["single_visit_risk"] == pytest.approx(said["risk"] ** 2)
    assert "validation" in said["definition"]
    assert choose_thresholds(risk, risk, none) is None


def test_where_nobody_s_fate_is_known_there_is_no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LEAST_ROWS_FOR_CALIBRATION", 40)
    rows = LandmarkRows(
        patient=np.arange(40), visits=np.ones(40, int), days=np.full(40, 100.0), event_observed=np.zeros(40, bool)
    )
    (found, *_) = evaluate_risks(np.linspace(0.01, 0.4, 40), rows, EvaluationConfig())["groups"]

    assert found["reliability"] == []
    assert found["metrics"]["auroc"]["value"] is None
