"""The measure of how the risk answers growth: what it lays in has the size asked for, and its controls do not grow."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.learn.scoring import score_patient
from TemporalGliomaRisk.learn.stored_patient import StoredPatient


@pytest.fixture(scope="module")
def script(science: Callable[[str], Any]) -> Any:
    return science("growth_response")


@pytest.fixture(scope="module")
def model(small_bundle: Path) -> RiskModel:
    return load_bundle(small_bundle)


def test_what_is_laid_in_has_the_diameter_asked_for_and_absent_sequences_stay_empty(
    script: Any, model: RiskModel, make_stored: Callable[..., StoredPatient]
) -> None:
    look = script.LOOKS["signal 2.5, as tumours have it"]
    shares = []
    for seed in range(12):
        patient = script.Patient(model, make_stored(seed, grows=False), seed, 1.0)
        volumes, where = patient.with_lesion(2, 6.0, look)
        shares.append(float(where.sum()) / (math.pi / 6 * 6.0**3))
        assert not volumes[1:3].any()
        change = (volumes - patient.plain(2))[0]
        assert change[where].mean() > 5 * change[~where].abs().mean()
    # Rough borders, and brains that end: the middle of them is the sphere's volume.
    assert 0.5 < np.median(shares) < 1.5


def test_without_a_lesion_the_risk_is_that_of_evaluate_and_the_answers_are_whole(
    script: Any, model: RiskModel, make_stored: Callable[..., StoredPatient]
) -> None:
    stored = make_stored(4, grows=False)
    answers = script.Patient(model, stored, 1, 2.0).answers()
    calibrations = model.calibration, model.single_visit_calibration
    rows = score_patient(model.network, stored, calibration=calibrations[0], single_visit_calibration=calibrations[1])
    assert answers["plain"] == pytest.approx(rows[-1].hazards.risk, abs=1e-9)
    assert all(row["risk"] != answers["plain"] for rows in answers["looks"].values() for row in rows)
    found = script.summary([answers, answers])
    assert found["plain"]["median"] == answers["plain"]
    assert [row["diameter_mm"] for row in next(iter(found["looks"].values()))] == list(script.DIAMETERS_MM)
    assert set(found["controls"]) == set(script.CONTROLS)
    figure = script.picture(found, "a heading", "a caveat")
    assert [text.get_text() for text in figure.texts][::2] == ["a heading", "a caveat"]


def test_only_patients_in_whom_nothing_happens_are_asked(
    script: Any, make_stored: Callable[..., StoredPatient]
) -> None:
    assert script.stable(make_stored(1, grows=False))
    assert not script.stable(make_stored(1))
    assert not script.stable(make_stored(1, visits=1, grows=False))
    assert not script.stable(make_stored(1, grows=False, truth=False))
