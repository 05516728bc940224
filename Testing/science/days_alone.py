"""How well the days alone rank the rows that models were measured on: no image, no lesion, nothing learnt.

    python Testing/science/days_alone.py        writes Testing/benchmarks/results/days_alone.json

Visits, follow-up and fate have random streams of their own, so the rows of an evaluation are drawn again in a moment.
Each is scored by the chance of an event within 365 days of its day, given that none has come so far, by the law that
the population's events are drawn from: what a model that is told the days could rank by without looking at an image.
Beside it stands what the shipped model makes of the days itself: the risk by its background, without any image.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from redo import TEST_SEED
from scipy import stats

from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.landmarks import HORIZON_DAYS, FloatArray, LandmarkRows
from TemporalGliomaRisk.evaluate.table import auroc_by_visits
from TemporalGliomaRisk.files import write_json_whole
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.risk.hazards import horizon_hazard
from TemporalGliomaRisk.simulate.config import PopulationName, SimulationConfig
from TemporalGliomaRisk.simulate.outcome import (
    EARLIEST_EVENT_DAY,
    EVENT_LOG_SPREAD,
    LATEST_EVENT_DAY,
    WEIBULL_SHAPE,
    draw_event_day,
)
from TemporalGliomaRisk.simulate.population import POPULATION
from TemporalGliomaRisk.simulate.randomness import stream

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
OUTPUT = RESULTS / "days_alone.json"
BOOTSTRAP = BootstrapConfig(seed=1)
TENTHS = (10, 50, 90)
"""Percentiles of a risk over the rows that are written down."""
ROWS_COMPARED = "rows compared"
"""The patients of ``make science``, of the population ``main``."""


def share_recurred(days: FloatArray, config: SimulationConfig) -> FloatArray:
    """(rows,), share of patients whose event comes by a day since the first visit; the law of ``draw_event_day``.

    Args:
        days: (rows,), since the first visit.
        config: Without ``extent_hazard_ratios``.
    """
    inside = np.clip(days, EARLIEST_EVENT_DAY, LATEST_EVENT_DAY)
    ends = np.array([EARLIEST_EVENT_DAY, LATEST_EVENT_DAY])
    if POPULATION[config.population].event_law == "weibull":
        scale = config.median_event_days / np.log(2.0) ** (1.0 / WEIBULL_SHAPE)
        law = stats.weibull_min(WEIBULL_SHAPE, scale=scale)
    else:
        law = stats.lognorm(EVENT_LOG_SPREAD, scale=config.median_event_days)
    low, high = law.cdf(ends)
    share: FloatArray = config.recurrent_fraction * (law.cdf(inside) - low) / (high - low)
    return share


def risk_of_days(days: FloatArray, config: SimulationConfig) -> FloatArray:
    """(rows,), chance of an event within the horizon after a day without one so far."""
    free, still_free = (1.0 - share_recurred(day, config) for day in (days, days + HORIZON_DAYS))
    risk: FloatArray = 1.0 - still_free / free
    return risk


def timeline(config: SimulationConfig, seed: int, patient_number: int) -> tuple[list[float], float, bool, float]:
    """Days of a simulated patient's visits before the end, day of the end, whether it is the event, treatment's age.

    Days count from the first visit; the last number is the days since treatment at that visit.
    """
    population, stream_seed = POPULATION[config.population], config.stream_seed(seed)
    schedule = population.draw_schedule(stream(stream_seed, patient_number, "schedule"))
    # The extent of resection has no part in a fate without hazard ratios.
    drawn = draw_event_day(stream(stream_seed, patient_number, "fate"), config, "biopsy", population.event_law)
    observed = drawn is not None and bool(np.ceil(drawn) <= schedule.last_contact_day)
    end = float(np.ceil(drawn)) if drawn is not None and observed else float(schedule.last_contact_day)
    days = [float(day) for day in schedule.visit_days if day < end]
    return days, end, observed, float(schedule.first_days_since_treatment)


@torch.inference_mode()
def background_risks(model: RiskModel, days: list[float], since_treatment: float) -> list[float]:
    """(visits,), the risk by a model's background alone, as if no place of the brain had any hazard."""
    first = torch.tensor(days)
    features = day_features(first, first + since_treatment).float()
    hazards = model.calibration.background_scale * model.network.background_hazards(features).mean(dim=0)
    return [float(risk) for risk in -torch.expm1(-horizon_hazard(hazards))]


def measured(config: SimulationConfig, seed: int, numbers: range) -> dict[str, Any]:
    """AUROC by the number of visits, of patients of one seed, and how far the risks spread."""
    model = load_bundle(resource_path(DEFAULT_MODEL))
    drawn = [timeline(config, seed, number) for number in numbers]
    rows = LandmarkRows.of_timelines((days, end, observed) for days, end, observed, _ in drawn)
    if rows.days_since_first is None:
        raise RuntimeError("Rows of timelines have a clock.")
    law = risk_of_days(rows.days_since_first, config)
    background = np.array([one for days, _, _, treatment in drawn for one in background_risks(model, days, treatment)])
    return {
        "population": config.population,
        "seed": seed,
        "patients": len(numbers),
        "auroc": auroc_by_visits(law, rows, BOOTSTRAP),
        "risks": _percentiles(law),
        "background": {
            "model": model.name,
            "risk_files_sha256": model.risk_files,
            "auroc": auroc_by_visits(background, rows, BOOTSTRAP),
            "risks": _percentiles(background),
        },
    }


def _percentiles(risks: FloatArray) -> dict[str, float]:
    return {str(one): float(np.percentile(risks, one)) for one in TENTHS}


def as_evaluated(population: PopulationName) -> dict[str, Any]:
    """The same patients as an evaluation's, whose rows and events must come out."""
    evaluation = json.loads((RESULTS / f"evaluation-{population}.json").read_text(encoding="utf-8"))
    (drawn,) = evaluation["cohort"]["drawn"]
    config = SimulationConfig(population=population, recurrent_fraction=drawn["recurrent_fraction"])
    found = measured(config, drawn["seed"], range(drawn["first_patient"], drawn["last_patient"] + 1))
    check_rows(found, evaluation["several_visits"]["groups"], f"evaluation-{population}.json")
    return found


def as_compared() -> dict[str, Any]:
    """Of the test patients of ``make science``."""
    known = json.loads((RESULTS / "science.json").read_text(encoding="utf-8"))["main"]
    found = measured(SimulationConfig(), TEST_SEED, range(1, known["patients"] + 1))
    check_rows(found, known["rows"]["evidence, shipped"]["groups"], "science.json")
    return found


def check_rows(found: dict[str, Any], groups: list[dict[str, Any]], file: str) -> None:
    """End where the rows drawn again are not those that were measured."""
    for group in groups:
        counts = [found["auroc"][group["name"]][name] for name in ("rows", "events")]
        if counts != [group["rows"], group["events"]]:
            raise SystemExit(f"Other rows of {group['name']} than those of {file} were drawn.")


if __name__ == "__main__":
    tables: dict[str, Any] = {"main": as_evaluated("main"), "shifted": as_evaluated("shifted")}
    write_json_whole(OUTPUT, {**tables, ROWS_COMPARED: as_compared()})
