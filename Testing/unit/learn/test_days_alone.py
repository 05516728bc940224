"""What the days alone are worth: Testing/science/days_alone.py."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from TemporalGliomaRisk.bundle import load_bundle
from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.risk.ensemble import TimelineRisk
from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.outcome import draw_event_day
from TemporalGliomaRisk.simulate.population import POPULATION
from TemporalGliomaRisk.simulate.truth import draw_truth


@pytest.fixture
def days_alone(science):
    return science("days_alone")


@pytest.mark.parametrize("population", ["main", "shifted"])
def test_the_law_is_the_one_that_events_are_drawn_from(days_alone, population) -> None:
    config = SimulationConfig(population=population)
    random, draws = np.random.default_rng(3), 2500
    law = POPULATION[population].event_law
    drawn = [draw_event_day(random, config, "biopsy", law) for _ in range(draws)]
    days = np.array([30.0, 150.0, 600.0, 1500.0, 5000.0])
    found = np.array([sum(day is not None and day <= end for day in drawn) for end in days]) / draws
    said = days_alone.share_recurred(days, config)
    assert said[0] == 0
    assert said[-1] == pytest.approx(config.recurrent_fraction)
    assert (np.abs(found - said) <= 3.5 * np.sqrt(said * (1 - said) / draws)).all()


def test_the_risk_of_a_day_counts_those_only_who_are_free_of_an_event_by_then(days_alone) -> None:
    config = replace(SimulationConfig(), recurrent_fraction=0.5)
    at_the_end = days_alone.risk_of_days(np.array([3000.0]), config)
    to_the_median = days_alone.risk_of_days(np.array([600.0]), config)
    shares = days_alone.share_recurred(np.array([600.0, 965.0]), config)
    assert at_the_end == pytest.approx(0)
    assert to_the_median == pytest.approx((shares[1] - shares[0]) / (1 - shares[0]))


@pytest.mark.parametrize(("population", "number"), [("main", 1), ("shifted", 2)])
def test_a_timeline_drawn_again_is_that_of_the_simulated_patient(days_alone, population, number) -> None:
    config = SimulationConfig(population=population)
    truth = draw_truth(config, 900016, number)
    visits = [day for day in truth.visit_days if day < truth.follow_up_days]
    found = (visits, truth.follow_up_days, truth.event_observed, truth.schedule.first_days_since_treatment)
    assert days_alone.timeline(config, 900016, number) == found


def test_the_background_s_risk_is_the_model_s_where_no_place_has_hazard(days_alone) -> None:
    model = load_bundle(resource_path(DEFAULT_MODEL))
    running = TimelineRisk(model.network, model.calibration, model.single_visit_calibration)
    days, treatment = [0.0, 84.0, 480.0], 11.0
    features = day_features(torch.tensor(days), torch.tensor(days) + treatment).float()
    nothing = torch.zeros((4, 5, model.network.config.feature_channels))
    said = [running.see(nothing, torch.tensor([True, False, False, False]), one).background_hazard for one in features]
    assert days_alone.background_risks(model, days, treatment) == pytest.approx(-np.expm1(-np.array(said)), rel=1e-5)


def test_the_file_is_of_the_rows_that_the_models_were_measured_on(days_alone) -> None:
    found = json.loads(days_alone.OUTPUT.read_text(encoding="utf-8"))
    for population in ("main", "shifted"):
        file = f"evaluation-{population}.json"
        evaluation = json.loads((days_alone.RESULTS / file).read_text(encoding="utf-8"))
        days_alone.check_rows(found[population], evaluation["several_visits"]["groups"], file)
    science = json.loads((days_alone.RESULTS / "science.json").read_text(encoding="utf-8"))
    groups = science["main"]["rows"]["evidence, shipped"]["groups"]
    days_alone.check_rows(found[days_alone.ROWS_COMPARED], groups, "science.json")


def test_other_rows_than_those_measured_are_refused(days_alone) -> None:
    found = {"auroc": {"all": {"rows": 10, "events": 2}}}
    with pytest.raises(SystemExit, match=r"Other rows of all than those of evaluation-main\.json were drawn"):
        days_alone.check_rows(found, [{"name": "all", "rows": 10, "events": 3}], "evaluation-main.json")
