"""Exact intervals of shares by another implementation's numbers, by what they promise, and by their ends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.shares import exact_share, mean_of_patients


def answers(yes: int, patients: int) -> np.ndarray:
    return np.repeat([1.0, 0.0], [yes, patients - yes])


@pytest.mark.parametrize(("yes", "patients"), [(70, 70), (0, 9), (1, 1), (203, 204), (7, 10), (41, 57)])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_is_that_of_scipy(yes: int, patients: int, level: float) -> None:
    found = exact_share(answers(yes, patients), level)
    other = binomtest(yes, patients).proportion_ci(level, method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((yes / patients, other.low, other.high), abs=1e-9)


def test_all_right_leaves_room_for_being_wrong_now_and_then() -> None:
    found = exact_share(answers(70, 70), 0.95)
    assert (found.low, found.high) == (pytest.approx(0.025 ** (1 / 70)), 1.0)


@pytest.mark.parametrize("truth", [0.02, 0.5, 0.93])
def test_the_interval_holds_the_truth_as_often_as_promised(truth: float) -> None:
    found = [exact_share(answers(yes, 30), 0.9) for yes in range(31)]
    held = sum(binom.pmf(yes, 30, truth) for yes, one in enumerate(found) if one.low <= truth <= one.high)
    assert held >= 0.9


def test_a_tie_lies_between_wrong_and_right() -> None:
    ties = exact_share(np.array([1.0] * 8 + [0.5] + [0.0]), 0.95)
    fewer, more = (exact_share(answers(yes, 10), 0.95) for yes in (8, 9))
    assert fewer.low < ties.low < more.low
    assert fewer.high < ties.high < more.high


def test_a_mean_s_interval_is_about_four_standard_errors_wide_and_one_patient_has_none() -> None:
    values = np.random.default_rng(3).beta(2, 5, 400)
    found = mean_of_patients(values, BootstrapConfig(resamples=2000))
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(3.92 * values.std() / 20, rel=0.1)
    one = mean_of_patients(values[:1], BootstrapConfig())
    assert (one.value, one.low, one.high) == (values[0], None, None)
