"""Another model on the same rows: its own features where its encoder is another, the shared ones where it is not."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.learn.scoring import encoded_visits, score_by_model
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.patient_scoring import Rival
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path


def risks_of(model: RiskModel, patient: StoredPatient) -> list[float]:
    return [row.hazards.risk for row in score_by_model(model, patient)]


def test_a_rival_says_what_it_would_say_alone(make_stored) -> None:
    model, patient = load_bundle(resource_path(DEFAULT_MODEL)), make_stored(2)
    other = replace(model, network=copy.deepcopy(model.network))
    encoded = list(encoded_visits(model.network, patient))
    assert Rival.of(other, model).same_features
    assert Rival.of(other, model).risks(patient, encoded) == pytest.approx(risks_of(model, patient), abs=1e-6)
    with torch.no_grad():
        other.network.encoder.layers[0].weight.mul_(1.5)
    assert not Rival.of(other, model).same_features
    found = Rival.of(other, model).risks(patient, encoded)
    assert found == pytest.approx(risks_of(other, patient), abs=1e-6)
    assert found != pytest.approx(risks_of(model, patient), abs=1e-6)
    with pytest.raises(UsageError, match="name a model of the same preprocessing"):
        Rival.of(replace(other, preprocessing=replace(other.preprocessing, grid_mm=1.0)), model)
