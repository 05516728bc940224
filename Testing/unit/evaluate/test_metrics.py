from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from TemporalGliomaRisk.errors import ShapeError
from TemporalGliomaRisk.evaluate import metrics
from TemporalGliomaRisk.evaluate.censoring import censoring_survival, censoring_weights
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows


def some_rows(days: list[float], events: list[int]) -> LandmarkRows:
    count = len(days)
    return LandmarkRows(
        patient=np.arange(count),
        visits=np.ones(count, int),
        days=np.array(days, float),
        event_observed=np.array(events, bool),
    )


def drawn(rows: int = 400, seed: int = 1, censor: float = 1e9) -> tuple[np.ndarray, LandmarkRows]:
    """Risks, and event times that follow them exactly: a constant hazard gives the risk at 365 days."""
    rng = np.random.default_rng(seed)
    risk = rng.beta(1.5, 3, rows).clip(0.01, 0.99)
    event = rng.exponential(-365 / np.log1p(-risk))
    stop = rng.exponential(censor, rows)
    return risk, LandmarkRows(
        patient=np.arange(rows), visits=np.ones(rows, int), days=np.minimum(event, stop), event_observed=event <= stop
    )


def once(rows: LandmarkRows) -> np.ndarray:
    return censoring_weights(rows)[None]


def test_censoring_survival_equals_a_kaplan_meier_by_hand() -> None:
    # day 10: event; day 20: event and censoring tied (the event leaves first: 1 of 3 at risk is censored);
    # day 30: censoring (1 of 2); day 400: outlives the horizon
    rows = some_rows([10, 20, 20, 30, 400], [1, 1, 0, 0, 0])
    survival = censoring_survival(rows, np.array([10, 20, 20.5, 30, 30.5, 365]))

    np.testing.assert_allclose(survival, [1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(censoring_weights(rows), [1, 1, 0, 0, 3])


def test_a_row_followed_to_the_horizon_itself_is_a_control_and_an_event_that_day_is_a_case() -> None:
    rows = some_rows([365, 365, 364], [0, 1, 0])

    assert rows.controls().tolist() == [True, False, False]
    assert rows.cases().tolist() == [False, True, False]


def test_counting_a_row_twice_is_the_same_as_having_it_twice() -> None:
    _, rows = drawn(60, censor=500)
    counts = np.random.default_rng(0).integers(0, 4, 60)
    repeated = np.repeat(np.arange(60), counts)
    twice = some_rows(rows.days[repeated].tolist(), rows.event_observed[repeated].tolist())

    batch = censoring_weights(rows, counts=counts[None].astype(float))[0]
    alone = np.bincount(repeated, censoring_weights(twice), minlength=60)
    np.testing.assert_allclose(batch, alone)


def test_weights_restore_the_share_of_cases_that_censoring_hid() -> None:
    risk, rows = drawn(40000, censor=400)
    weights = censoring_weights(rows)
    naive = rows.cases().sum() / (rows.cases() | rows.controls()).sum()

    assert weights @ rows.cases() / weights.sum() == pytest.approx(risk.mean(), abs=0.008)
    assert abs(naive - risk.mean()) > 0.04
    assert weights.sum() == pytest.approx(len(rows), rel=0.01)


def test_a_patient_s_rows_share_one_clock_and_count_once_by_hand() -> None:
    # One is seen on days 0 and 100 and lost on day 300, one on day 0 with an event on day 200, one on days 0 and 250
    # and lost on day 400, one on day 0 and lost on day 150.
    rows = LandmarkRows.of_timelines(
        [([0, 100], 300, False), ([0], 200, True), ([0, 250], 400, False), ([0], 150, False)]
    )
    # Lost on day 150: one of four. On day 300, the event gone: one of two. On day 400: the last.
    at_365 = censoring_survival(rows, np.full(len(rows), 365.0))
    np.testing.assert_allclose(at_365, [3 / 8, 0, 3 / 8, 3 / 8, 0, 3 / 8], atol=1e-200)
    np.testing.assert_allclose(
        censoring_survival(rows, np.minimum(rows.days, 365.0)), [3 / 4, 3 / 4, 3 / 4, 3 / 8, 1 / 2, 1]
    )
    # Of rows from the second visit on, nobody is at risk before that visit.
    later = rows.chosen(rows.visits == 2)
    np.testing.assert_allclose(censoring_survival(later, later.days + 0.5), [1 / 2, 0], atol=1e-200)


def test_nobody_is_at_risk_of_being_lost_before_or_on_the_day_of_their_first_row_by_hand() -> None:
    # Second visits: one seen on day 100 and lost on day 200; one seen on day 150 and lost on day 500; one seen on the
    # very day 200 and lost on day 600; one seen on day 250, with an event on day 400.
    rows = LandmarkRows.of_timelines(
        [([0, 100], 200, False), ([0, 150], 500, False), ([0, 200], 600, False), ([0, 250], 400, True)]
    )
    later = rows.chosen(rows.visits == 2)
    # On day 200 one of the two who were there is lost; on day 500 one of two.
    found = censoring_survival(later, np.array([100.5, 350, 390, 150]))
    np.testing.assert_allclose(found, [1 / 2, 1 / 2, 1 / 2, 1])


def test_weights_restore_the_share_of_cases_where_later_landmarks_have_less_follow_up_left() -> None:
    rng = np.random.default_rng(4)
    timelines, fates = [], []
    for _ in range(20_000):
        # Who is to have an event has it late: risk and time since the first visit go together.
        event, lost = rng.uniform(300, 1100) if rng.random() < 0.4 else np.inf, rng.uniform(300, 1000)
        visits = [day for day in (0.0, 200.0, 400.0, 600.0) if day < min(event, lost)]
        timelines.append((visits, min(event, lost), event <= lost))
        fates += [event - day <= 365 for day in visits]
    rows, truly = LandmarkRows.of_timelines(timelines), np.array(fates)
    each = LandmarkRows(patient=rows.patient, visits=rows.visits, days=rows.days, event_observed=rows.event_observed)
    for some in (rows.visits >= 3, np.ones(len(rows), bool)):
        ours, pooled = (censoring_weights(one.chosen(some)) for one in (rows, each))
        cases, number = rows.chosen(some).cases(), rows.visits[some].astype(float)
        assert ours @ cases / ours.sum() == pytest.approx(truly[some].mean(), abs=0.004)
        ranked = roc_auc_score(truly[some], number)
        assert metrics.auroc(number, cases, ours[None])[0] == pytest.approx(ranked, abs=0.01)
    # With a clock for each row, loss is shared out among landmarks that have more of it and those that have less.
    assert abs(pooled @ cases / pooled.sum() - truly[some].mean()) > 0.01
    assert metrics.auroc(number, cases, pooled[None])[0] > ranked + 0.05


@pytest.mark.parametrize("decimals", [1, 6])
def test_without_censoring_all_agree_with_scikit_learn_ties_included(decimals: int) -> None:
    risk, rows = drawn()
    risk, cases = risk.round(decimals), rows.cases()

    assert metrics.auroc(risk, cases, once(rows))[0] == pytest.approx(roc_auc_score(cases, risk))
    assert metrics.auprc(risk, cases, once(rows))[0] == pytest.approx(average_precision_score(cases, risk))
    assert metrics.brier(risk, cases, once(rows))[0] == pytest.approx(brier_score_loss(cases, risk))
    assert metrics.f1(risk, cases, once(rows), 0.4)[0] == pytest.approx(f1_score(cases, risk >= 0.4))


def test_with_censoring_all_agree_with_scikit_learn_given_the_weights() -> None:
    risk, rows = drawn(censor=500)
    cases, weights = rows.cases(), censoring_weights(rows)

    for ours, theirs in (
        (metrics.auroc, roc_auc_score),
        (metrics.auprc, average_precision_score),
        (metrics.brier, brier_score_loss),
    ):
        assert ours(risk, cases, weights[None])[0] == pytest.approx(theirs(cases, risk, sample_weight=weights))


def test_auroc_does_not_change_when_risks_are_stretched() -> None:
    risk, rows = drawn(censor=500)
    stretched = metrics.auroc(risk**3 / 7 - 5, rows.cases(), once(rows))

    assert stretched[0] == metrics.auroc(risk, rows.cases(), once(rows))[0]


def test_auroc_of_the_opposite_risk_is_the_rest() -> None:
    risk, rows = drawn(censor=500)
    together = metrics.auroc(risk, rows.cases(), once(rows)) + metrics.auroc(-risk, rows.cases(), once(rows))

    assert together[0] == pytest.approx(1)


def test_the_calibration_line_is_scikit_learns_logistic_regression() -> None:
    risk, rows = drawn(censor=500)
    skewed = risk**1.7
    logit = np.log(skewed / (1 - skewed))[:, None]
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    fit.fit(logit, rows.cases(), sample_weight=censoring_weights(rows))

    slope, intercept = metrics.calibration_line(skewed, rows.cases(), once(rows))
    assert slope[0] == pytest.approx(fit.coef_[0, 0], abs=1e-4)
    assert intercept[0] == pytest.approx(fit.intercept_[0], abs=1e-4)


def test_true_risks_are_calibrated_and_doubled_logits_have_slope_one_half() -> None:
    risk, rows = drawn(60000, censor=500)
    slope, intercept = metrics.calibration_line(risk, rows.cases(), once(rows))
    assert slope[0] == pytest.approx(1, abs=0.05)
    assert intercept[0] == pytest.approx(0, abs=0.05)
    assert metrics.calibration_error(risk, rows.cases(), once(rows))[0] < 0.015

    bold = 1 / (1 + np.exp(-2 * np.log(risk / (1 - risk))))
    assert metrics.calibration_line(bold, rows.cases(), once(rows))[0][0] == pytest.approx(slope[0] / 2, rel=1e-4)


def test_the_calibration_line_is_undefined_where_risk_separates_cases_from_controls() -> None:
    rows = some_rows([10, 20, 400, 500], [1, 1, 0, 0])
    slope, _ = metrics.calibration_line(np.array([0.9, 0.8, 0.2, 0.1]), rows.cases(), once(rows))

    assert np.isnan(slope[0])


def test_calibration_error_is_the_mean_gap_by_hand() -> None:
    rows = some_rows([10, 400, 400, 400], [1, 0, 0, 0])
    found = metrics.calibration_error(np.array([0.8, 0.6, 0.2, 0.1]), rows.cases(), once(rows), bins=2)

    assert found[0] == pytest.approx((abs(0.7 - 0.5) * 2 + 0.15 * 2) / 4)


def test_concordance_counts_pairs_as_a_double_loop_does() -> None:
    risk, rows = drawn(120, censor=500)
    risk = risk.round(1)
    days, event = rows.days.round(-1), rows.event_observed
    rows = some_rows(days.tolist(), event.tolist())
    survival = censoring_survival(rows, days)
    agree = pairs = 0.0
    for i in range(120):
        for j in range(120):
            later = days[j] > days[i] or (days[j] == days[i] and not event[j])
            if event[i] and days[i] <= 365 and later:
                pairs += survival[i] ** -2
                agree += survival[i] ** -2 * (float(risk[i] > risk[j]) + 0.5 * float(risk[i] == risk[j]))

    found = metrics.concordance(risk, rows, once(rows), np.ones((1, 120)))
    assert found[0] == pytest.approx(agree / pairs)


def test_concordance_of_a_row_drawn_twice_is_that_of_two_such_rows() -> None:
    risk, rows = drawn(120, censor=500)
    counts = np.random.default_rng(0).integers(0, 4, 120)
    repeated = np.repeat(np.arange(120), counts)
    twice = some_rows(rows.days[repeated].tolist(), rows.event_observed[repeated].tolist())
    drawn_twice = counts[None].astype(float)

    batch = metrics.concordance(risk, rows, censoring_weights(rows, counts=drawn_twice), drawn_twice)
    alone = metrics.concordance(risk[repeated], twice, once(twice), np.ones((1, len(repeated))))
    assert batch[0] == pytest.approx(alone[0])


def test_shuffled_risks_give_chance() -> None:
    risk, rows = drawn(20000, censor=500)
    shuffled = np.random.default_rng(3).permutation(risk)
    counts = np.ones((1, len(rows)))

    assert metrics.auroc(shuffled, rows.cases(), once(rows))[0] == pytest.approx(0.5, abs=0.015)
    assert metrics.concordance(shuffled, rows, once(rows), counts)[0] == pytest.approx(0.5, abs=0.015)


def test_without_a_control_or_a_case_ranking_is_undefined() -> None:
    risk = np.array([0.2, 0.7])
    for rows in (some_rows([10, 20], [1, 1]), some_rows([400, 500], [0, 0])):
        assert np.isnan(metrics.auroc(risk, rows.cases(), once(rows))[0])
        assert np.isnan(metrics.auprc(risk, rows.cases(), once(rows))[0])


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"days must be \(2\), got \(3,\)"):
        LandmarkRows(patient=np.arange(2), visits=np.ones(2, int), days=np.ones(3), event_observed=np.ones(2, bool))
