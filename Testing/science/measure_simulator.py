"""What a simulated population is like, and how far an ideal observer gets on it: truth alone, no image is rendered.

    python Testing/science/measure_simulator.py --population wide --patients 250 --seed 1 --truths FOLDER
    python Testing/science/measure_simulator.py --truths FOLDER... --output Testing/benchmarks/results/simulator.json

The first form draws truths into FOLDER/sub-*.json (a stopped run goes on); ``simulate``'s own ``truth`` folders hold
the same numbers and may be named instead. The second reads such folders, one a population, and writes the table.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.landmarks import HORIZON_DAYS, LandmarkRows
from TemporalGliomaRisk.evaluate.observer import PLACES, ObserverConfig, by_worst_lesion, ideal_observer_score
from TemporalGliomaRisk.evaluate.table import auroc_by_visits
from TemporalGliomaRisk.files import write_json_whole
from TemporalGliomaRisk.simulate.config import POPULATIONS, SimulationConfig
from TemporalGliomaRisk.simulate.record import distractors_of, parameters_of
from TemporalGliomaRisk.simulate.truth import PatientTruth, draw_truth

READER_SEED = 5
PERMUTATIONS = 100
BOOTSTRAP = BootstrapConfig(resamples=500)


def record_of(truth: PatientTruth) -> dict[str, Any]:
    """The part of ``truth.json`` that this file reads."""
    return {
        "config": truth.config.record(),
        "patient_number": truth.patient_number,
        "fate": truth.fate,
        "event_observed": truth.event_observed,
        "follow_up_days": truth.follow_up_days,
        "extent_of_resection": truth.surgery.extent,
        "distractors": list(distractors_of(truth)),
        "parameters": parameters_of(truth),
        "visits": [
            {
                "days_since_first": day,
                "days_since_treatment": truth.schedule.first_days_since_treatment + day,
                "lesion_diameter_mm": truth.diameter_at(day),
                "lesion_diameters_mm": truth.diameters_at(day),
            }
            for day in truth.visit_days
        ],
    }


def draw(population: str, patients: int, seed: int, folder: Path) -> None:
    """Draw truths that aren't there yet."""
    config = SimulationConfig(population=population)
    for number in range(1, patients + 1):
        path = folder / f"sub-{number:05d}.json"
        if not path.exists():
            write_json_whole(path, record_of(draw_truth(config, seed, number)))


def read(folder: Path) -> list[dict[str, Any]]:
    """All truths of a folder, this file's or ``simulate``'s."""
    paths = sorted([*folder.glob("sub-*.json"), *folder.glob("sub-*/truth.json")])
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def landmark_rows(records: list[dict[str, Any]]) -> tuple[LandmarkRows, np.ndarray]:
    """Rows at every visit before the event or the last contact, and the ideal observer's score of each."""
    generator = np.random.default_rng(READER_SEED)
    timelines: list[tuple[list[float], float, bool]] = []
    scores: list[float] = []
    for record in records:
        visits = [visit for visit in record["visits"] if visit["days_since_first"] < record["follow_up_days"]]
        if not visits:
            continue
        days = [visit["days_since_first"] for visit in visits]
        diameters = [visit["lesion_diameters_mm"] for visit in visits]
        scores += by_worst_lesion(ideal_observer_score, diameters, days, generator).tolist()
        timelines.append((days, record["follow_up_days"], record["event_observed"]))
    return LandmarkRows.of_timelines(timelines), np.array(scores)


def learned_reader(records: list[dict[str, Any]]) -> np.ndarray:
    """(rows,) scores, cross-validated by patient, of all that can be measured of two lesions: is the ceiling one?

    Logistic regression on growth since the smallest and since the mean of the visits before, on size and on what is
    missing to the threshold, of the lesion that grew most, growth of the other, and the number and days of the visits.
    """
    generator = np.random.default_rng(READER_SEED)
    config = ObserverConfig()
    features, cases, groups = [], [], []
    for number, record in enumerate(records):
        visits = [visit for visit in record["visits"] if visit["days_since_first"] < record["follow_up_days"]]
        names = sorted({name for visit in visits for name in visit["lesion_diameters_mm"]})
        true = [[visit["lesion_diameters_mm"].get(name, 0.0) for visit in visits] for name in names]
        true += [[0.0] * len(visits)] * (PLACES - len(true))
        error = 2 * config.radius_error_mm
        measured = [np.maximum(one + error * generator.standard_normal(len(visits)), 0) for one in np.array(true)]
        for visit in range(len(visits)):
            seen = []
            for one in (lesion[: visit + 1] for lesion in measured):
                smallest = one.min()
                threshold = max(config.least_diameter_mm, smallest * (1 + config.cross_section_growth) ** 0.5)
                over_mean = one[-1] - one[:-1].mean() if visit else 0.0
                seen.append((one[-1] - smallest, over_mean, one[-1], threshold - one[-1]))
            (rise, over_mean, size, missing), (other, *_) = sorted(seen, reverse=True)[:2]
            day = visits[visit]["days_since_first"]
            steps = (min(rise, 3.0), rise > 2.5, max(missing, 0.0), visit == 0, np.log(visit + 1), np.log1p(day))
            features.append([rise, over_mean, size, missing, other, *steps])
            end = record["follow_up_days"] - day
            cases.append(record["event_observed"] and end <= HORIZON_DAYS)
            groups.append(number)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = GroupKFold(10)
    found: np.ndarray = cross_val_predict(
        model, np.array(features), np.array(cases), groups=groups, cv=folds, method="predict_proba"
    )[:, 1]
    return found


def first_visit_classifier(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Logistic regression on what is true at the first visit, for an event within a year, against shuffled events.

    Shuffles, not a bootstrap of the scores, tell what chance is: they hold the scatter of the fit too.
    """
    rows, cases = [], []
    for record in records:
        within = record["event_observed"] and record["follow_up_days"] <= HORIZON_DAYS
        if not within and record["follow_up_days"] <= HORIZON_DAYS:
            continue
        parameters, visit = record["parameters"], record["visits"][0]
        extents = [record["extent_of_resection"] == name for name in ("gross_total", "near_total", "subtotal")]
        regions = [parameters["region"] == name for name in ("cerebellum", "hemisphere", "midline")]
        rows.append(
            [
                visit["lesion_diameter_mm"],
                visit["days_since_treatment"],
                parameters["age_years"],
                parameters["tumour_radius_before_surgery_mm"],
                parameters["high_grade"],
                parameters["enhances"],
                *extents,
                *regions,
            ]
        )
        cases.append(within)
    labels, features = np.array(cases), np.array(rows, dtype=np.float64)
    generator = np.random.default_rng(READER_SEED)
    found = cross_validated_auroc(features, labels)
    shuffled = np.array([cross_validated_auroc(features, generator.permutation(labels)) for _ in range(PERMUTATIONS)])
    return {
        "patients": len(labels),
        "events": int(labels.sum()),
        "auroc": found,
        "shuffled_mean": float(shuffled.mean()),
        "shuffled_sd": float(shuffled.std()),
        "share_of_shuffles_at_least_as_high": float((1 + (shuffled >= found).sum()) / (1 + PERMUTATIONS)),
    }


def cross_validated_auroc(features: np.ndarray, labels: np.ndarray) -> float:
    """Ten-fold AUROC of logistic regression."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    scores = cross_val_predict(model, features, labels, cv=10, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, scores))


def shares_of(values: list[str | None]) -> dict[str, float]:
    """How often each value comes."""
    names = sorted({str(value) for value in values})
    return {name: round(sum(str(value) == name for value in values) / len(values), 3) for name in names}


def measure(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The table of one population."""
    rows, scores = landmark_rows(records)
    cases, controls = rows.cases(), rows.controls()
    counts = np.array([len(record["visits"]) for record in records])
    gaps = np.concatenate([np.diff([visit["days_since_first"] for visit in record["visits"]]) for record in records])
    growing = [record["parameters"] for record in records if record["parameters"]["growth_law"] is not None]
    found = sorted({name for record in records for name in record["distractors"]})
    return {
        "population": records[0]["config"].get("population", "main"),
        "simulator_version": records[0]["parameters"]["simulator_version"],
        "patients": len(records),
        "events_observed": round(float(np.mean([record["event_observed"] for record in records])), 3),
        "visits": [float(value) for value in np.quantile(counts, [0, 0.25, 0.5, 0.75, 1])],
        "gap_days": [round(float(value)) for value in np.quantile(gaps, [0.1, 0.25, 0.5, 0.75, 0.9])],
        "rows": len(rows),
        "rows_with_known_label": int((cases | controls).sum()),
        "label_rate": round(float(cases.sum() / (cases | controls).sum()), 3),
        "rows_censored": int((~cases & ~controls).sum()),
        "first_visit_classifier": first_visit_classifier(records),
        "growth_laws": shares_of([parameters["growth_law"] for parameters in growing]),
        "growth_origins": shares_of([parameters["growth_origin"] for parameters in growing]),
        "velocity_mm_per_year": [
            round(float(value), 1)
            for value in np.quantile([one["growth_velocity_mm_per_year"] for one in growing], [0.1, 0.5, 0.9])
        ],
        "distractors": {
            name: round(float(np.mean([name in record["distractors"] for record in records])), 3) for name in found
        },
        "ideal_observer_auroc": auroc_by_visits(scores, rows, BOOTSTRAP),
        "learned_reader_auroc": auroc_by_visits(learned_reader(records), rows, BOOTSTRAP),
    }


def main(words: list[str]) -> None:
    """Draw, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--population", choices=POPULATIONS)
    parser.add_argument("--patients", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--truths", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args(words)
    if arguments.population is not None:
        draw(arguments.population, arguments.patients, arguments.seed, arguments.truths[0])
    if arguments.output is not None:
        write_json_whole(arguments.output, {"tables": [measure(read(folder)) for folder in arguments.truths]})


if __name__ == "__main__":
    main(sys.argv[1:])
