from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from TemporalGliomaRisk.errors import InputError, ModelError, ShapeError
from TemporalGliomaRisk.risk.calibration import Calibration, fit_calibration
from TemporalGliomaRisk.risk.hazards import (
    INTERVAL_EDGES_DAYS,
    horizon_hazard,
    negative_log_likelihood,
)

HAZARDS = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.02, 0.01, 0.05, 0.5]], dtype=torch.float64)


def rate_at(day: float, hazards: np.ndarray) -> float:
    """Hazard rate per day, constant within an interval, zero after the last."""
    for start, end, hazard in zip(INTERVAL_EDGES_DAYS, INTERVAL_EDGES_DAYS[1:], hazards, strict=False):
        if start < day <= end:
            return hazard / (end - start)
    return 0.0


def test_horizon_hazard_is_minus_the_log_of_surviving_every_interval_of_the_year():
    survival = torch.cumprod(torch.exp(-HAZARDS), dim=1)
    torch.testing.assert_close(horizon_hazard(HAZARDS), -torch.log(survival[:, 2]))


def test_hazards_of_another_shape_are_refused_by_what_they_are():
    with pytest.raises(ShapeError, match=r"must be \(visits, 4\), got \(4,\)"):
        horizon_hazard(HAZARDS[0])


@pytest.mark.parametrize("day", [30.0, 90.0, 100.0, 364.0, 500.0, 730.0, 900.0])
def test_a_censored_row_contributes_the_integral_of_the_rate_up_to_its_last_day(day):
    hazards = HAZARDS[0]
    expected, _ = quad(rate_at, 0, day, args=(hazards.numpy(),), points=INTERVAL_EDGES_DAYS, limit=200)
    found = negative_log_likelihood(hazards[None], torch.tensor([day]), torch.tensor([False]))
    assert float(found) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("day", "interval"), [(1.0, 0), (90.0, 0), (91.0, 1), (365.0, 2), (366.0, 3)])
def test_an_event_contributes_the_probability_of_its_interval(day, interval):
    hazards = HAZARDS[1]
    survival = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(torch.exp(-hazards), dim=0)])
    probability = survival[interval] - survival[interval + 1]
    found = negative_log_likelihood(hazards[None], torch.tensor([day]), torch.tensor([True]))
    assert float(found) == pytest.approx(-math.log(float(probability)), rel=1e-9)


def test_an_event_after_the_last_interval_is_a_row_that_survived_them_all():
    found = negative_log_likelihood(HAZARDS, torch.tensor([800.0, 800.0]), torch.tensor([True, False]))
    torch.testing.assert_close(found, HAZARDS.sum(dim=1))


def test_probabilities_of_all_outcomes_of_a_row_add_up_to_one():
    days = torch.tensor([45.0, 120.0, 300.0, 600.0, 730.0])
    event = torch.tensor([True, True, True, True, False])
    likelihood = torch.exp(-negative_log_likelihood(HAZARDS[:1].expand(5, -1), days, event))
    assert float(likelihood.sum()) == pytest.approx(1.0, rel=1e-12)


def test_gradients_stay_finite_for_tiny_hazards_and_any_outcome():
    logs = torch.full((2, 4), -30.0, requires_grad=True)
    loss = negative_log_likelihood(logs.exp(), torch.tensor([40.0, 40.0]), torch.tensor([True, False])).sum()
    (gradient,) = torch.autograd.grad(loss, logs)
    assert torch.isfinite(gradient).all()


def test_calibration_recovers_the_constants_that_made_the_data():
    random = np.random.default_rng(3)
    rows = 40_000
    background = torch.full((rows, 4), 0.02, dtype=torch.float64)
    local = torch.from_numpy(random.gamma(0.5, 0.1, (rows, 4)))
    true = 0.5 * background + 2.0 * local
    survival = torch.exp(-torch.cumsum(true, dim=1)).numpy()
    draw = random.random(rows)
    interval = (draw[:, None] < survival).sum(axis=1)
    event = interval < 4
    ends = np.array(INTERVAL_EDGES_DAYS[1:], dtype=float)
    days = np.where(event, ends[np.minimum(interval, 3)], 730.0)
    found = fit_calibration(background, local, torch.from_numpy(days), torch.from_numpy(event))
    assert found.local_scale == pytest.approx(2.0, rel=0.05)
    assert found.background_scale == pytest.approx(0.5, abs=0.15)


def test_a_calibration_that_silences_what_misleads_says_which_constant_it_took_as_far_as_it_may() -> None:
    # Whoever has the event has no local hazard at all, so that no constant is small enough.
    event = torch.tensor([True, False] * 20)
    background = torch.full((40, 4), 0.1)
    local = torch.where(event, 1e-6, 5.0)[:, None].expand(40, 4)
    found = fit_calibration(background, local, torch.where(event, 80.0, 730.0), event)
    assert found.bounds_reached == {"local terms": "low"}
    assert Calibration(background_scale=0.67, local_scale=1.08).bounds_reached == {}


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_calibration_takes_positive_finite_constants_only(value):
    with pytest.raises(ModelError, match="positive and finite"):
        Calibration(local_scale=value)


@pytest.mark.parametrize(("days", "event"), [(500.0, False), (800.0, True)])
def test_rows_without_an_event_calibrate_nothing(days, event):
    rows = torch.full((6, 4), 0.1)
    with pytest.raises(InputError, match="within 730 days"):
        fit_calibration(rows, rows, torch.full((6,), days), torch.full((6,), event))
