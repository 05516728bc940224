"""The sample patients' risks by the shipped model, which nothing but a purpose may change.

After a change of model, preprocessing or pipeline that is meant, write them anew and commit the file with the change:

    python Testing/regression/test_sample_risks.py
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk.bundle import CALIBRATION, INFERENCE, WEIGHTS
from TemporalGliomaRisk.explain.certainty import uncertain_codes
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.pipeline import PredictOptions, predict_risk
from TemporalGliomaRisk.resources import resource_path
from TemporalGliomaRisk.run import load_model
from TemporalGliomaRisk.timeline.reading import read_timeline

EXPECTED = Path(__file__).with_name("sample_risks.json")
PATIENTS = ("sub-01", "sub-02", "sub-03")
DECIDING = (WEIGHTS, INFERENCE, CALIBRATION)
"""The files of the model that decide a risk; its card may change without harm."""
TOLERANCE = 1e-5
ADVICE = (
    "The sample patients' risks are not those of sample_risks.json. If that was meant, write the file anew with "
    "`python Testing/regression/test_sample_risks.py` and say why in the commit; if not, find what changed them."
)


@functools.cache
def found_risks(patient: str) -> dict[str, Any]:
    """What the pipeline says of a sample patient, the visits taken as aligned.

    Not registered, though ``predict`` would: where a registration ends hangs on the processor's last digits.
    """
    model = load_model(None)
    prediction = predict_risk(
        read_timeline(resource_path("SampleData") / patient),
        model,
        options=PredictOptions(device="cpu", register="never"),
    )
    return {
        "model": {"name": model.name, **{name: sha256_of(model.folder / name) for name in DECIDING}},
        "visits": [
            {
                "session_id": result.visit.session_id,
                "risk": result.hazards.risk,
                "risk_low": result.hazards.risk_extremes[0],
                "risk_high": result.hazards.risk_extremes[1],
                "single_visit_risk": result.hazards.single_visit_risk,
                "background_hazard": result.hazards.background_hazard,
                "highest_hazard_per_mL": float(result.density.voxels.max()),
                "uncertain_because": list(uncertain_codes(result.doubts)),
            }
            for result in prediction.visits
        ],
    }


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads(EXPECTED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("patient", PATIENTS)
def test_the_sample_patient_s_risks_are_those_that_were_written_down(patient: str, expected: dict[str, Any]) -> None:
    wanted, found = expected[patient], found_risks(patient)
    assert len(found["visits"]) == len(wanted["visits"]), ADVICE
    for one, other in zip(found["visits"], wanted["visits"], strict=True):
        words = {name for name, value in other.items() if not isinstance(value, float)}
        assert words == {"session_id", "uncertain_because"}
        assert {name: one[name] for name in words} == {name: other[name] for name in words}, ADVICE
        numbers = {name: value for name, value in other.items() if name not in words}
        assert {name: one[name] for name in numbers} == pytest.approx(numbers, abs=TOLERANCE, rel=0), ADVICE


def test_the_file_is_of_the_model_that_ships(expected: dict[str, Any]) -> None:
    model = load_model(None)
    shipped = {"name": model.name, **{name: sha256_of(model.folder / name) for name in DECIDING}}
    assert {patient: expected[patient]["model"] for patient in PATIENTS} == dict.fromkeys(PATIENTS, shipped), ADVICE


def test_the_patients_and_the_visits_of_each_are_told_apart(expected: dict[str, Any]) -> None:
    # Two patients may well have a visit of the same risk, but not all, and no patient stands still.
    courses = {tuple(round(visit["risk"], 4) for visit in expected[patient]["visits"]) for patient in PATIENTS}
    assert len(courses) == len(PATIENTS)
    for course in courses:
        assert len(set(course)) == len(course)


if __name__ == "__main__":
    content = json.dumps({patient: found_risks(patient) for patient in PATIENTS}, indent=1)
    EXPECTED.write_text(content + "\n", encoding="utf-8")
