"""Our concordance, which is fast enough to resample, against torchsurv's, which is reported."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torchsurv.stats.ipcw import get_ipcw

from TemporalGliomaRisk.evaluate import metrics
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.censoring import censoring_weights
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.table import EvaluationConfig, compare_risks, evaluate_risks
from TemporalGliomaRisk.learn.concordance import torchsurv_concordance


def drawn(seed: int, *, rows: int = 250, tied: bool = True, censor: float = 600.0) -> tuple[np.ndarray, LandmarkRows]:
    rng = np.random.default_rng(seed)
    risk = rng.beta(1.5, 3, rows).clip(0.01, 0.99)
    event, stop = rng.exponential(-365 / np.log1p(-risk)), rng.exponential(censor, rows)
    if tied:
        risk, event, stop = risk.round(1), event.round(-1), stop.round(-1)
    days = np.minimum(event, stop)
    if tied:
        days[:6] = 365.0
    return risk, LandmarkRows(
        patient=np.arange(rows) // 3, visits=1 + np.arange(rows) % 3, days=days, event_observed=event <= stop
    )


def both(risk: np.ndarray, rows: LandmarkRows) -> tuple[float, float]:
    weights = censoring_weights(rows)
    ours = metrics.concordance(risk, rows, weights[None], np.ones((1, len(rows))))[0]
    return float(ours), torchsurv_concordance(risk, rows.days, rows.cases(), weights)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tied", [True, False])
def test_ours_is_torchsurv_s_with_ties_and_censoring(seed: int, tied: bool) -> None:
    ours, theirs = both(*drawn(seed, tied=tied))

    assert ours == pytest.approx(theirs, abs=1e-9)


def test_risks_that_differ_by_less_than_single_precision_are_still_told_apart() -> None:
    rows = LandmarkRows(
        patient=np.arange(3), visits=np.ones(3, int), days=np.array([10.0, 20.0, 400.0]), event_observed=[1, 1, 0]
    )
    risk = 0.5 + np.array([2e-12, 1e-12, 0.0])

    assert both(risk, rows) == (1.0, 1.0)


def test_the_weights_are_torchsurv_s_where_no_day_holds_an_event_and_a_censoring() -> None:
    _, rows = drawn(3, tied=False)
    cases = rows.cases()
    theirs = get_ipcw(torch.from_numpy(rows.event_observed), torch.from_numpy(rows.days).float())

    np.testing.assert_allclose(censoring_weights(rows)[cases], theirs.double().numpy()[cases], rtol=1e-5)


def test_a_doubled_row_counts_for_torchsurv_as_a_count_of_two_does_for_ours() -> None:
    risk, rows = drawn(1)
    counts = np.random.default_rng(2).integers(0, 3, len(rows))
    repeated = np.repeat(np.arange(len(rows)), counts)
    weights = censoring_weights(rows, counts=counts[None].astype(float))
    ours = metrics.concordance(risk, rows, weights, counts[None].astype(float))[0]

    assert ours == pytest.approx(both(risk[repeated], rows.chosen(repeated))[1], abs=1e-9)


def test_without_a_comparable_pair_both_are_undefined() -> None:
    for days, events in (([400.0, 500.0], [0, 0]), ([10.0, 10.0], [1, 1])):
        rows = LandmarkRows(patient=np.arange(2), visits=np.ones(2, int), days=np.array(days), event_observed=events)
        assert np.isnan(both(np.array([0.2, 0.7]), rows)).all()


def test_the_table_reports_the_value_it_is_given_and_resamples_with_ours() -> None:
    risk, rows = drawn(5)
    config = EvaluationConfig(bootstrap=BootstrapConfig(resamples=20))
    theirs = dataclasses.replace(config, concordance=torchsurv_concordance)
    plain, reported = (
        evaluate_risks(risk, rows, one)["groups"][0]["metrics"]["concordance"] for one in (config, theirs)
    )
    marked = evaluate_risks(risk, rows, dataclasses.replace(config, concordance=lambda *given: 0.75))

    assert reported["value"] == pytest.approx(plain["value"], abs=1e-9)
    assert (reported["low"], reported["high"]) == (plain["low"], plain["high"])
    assert marked["groups"][0]["metrics"]["concordance"]["value"] == 0.75
    assert compare_risks(risk, -risk, rows, theirs)[0]["metrics"]["concordance"]["value"] == pytest.approx(
        2 * plain["value"] - 1, abs=1e-9
    )
