"""What a model says of its own risks, asked for every landmark row of a cohort."""

from __future__ import annotations

from dataclasses import replace

from TemporalGliomaRisk.bundle import load_bundle
from TemporalGliomaRisk.learn.scoring import encoded_visits, score_by_model
from TemporalGliomaRisk.patient_scoring import _doubted
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path


def test_noise_is_unlike_training_and_nothing_is_to_a_model_that_minds_nothing(make_stored) -> None:
    model = load_bundle(resource_path(DEFAULT_MODEL))
    patient = make_stored(1)
    encoded = list(encoded_visits(model.network, patient))
    rows = score_by_model(model, patient, encoded)
    assert _doubted(model, patient, encoded, rows) == [True] * patient.visits
    assert model.doubt is not None
    calm = replace(model, doubt=replace(model.doubt, unusual_above=1e9, at_odds_above=1e9))
    assert _doubted(calm, patient, encoded, rows) == [False] * patient.visits
    assert _doubted(replace(model, doubt=None), patient, encoded, rows) == []
