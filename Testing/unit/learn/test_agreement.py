"""A visit of a contrast unlike that of the others is told by the order of its intensities, and not learnt from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from TemporalGliomaRisk.encode.evidence import EvidenceConfig
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.learn.agreement import contrast_agreement
from TemporalGliomaRisk.learn.feature_store import PlaceSampling, cache_features, load_features
from TemporalGliomaRisk.learn.finetune import FinetuneConfig, finetune_head, plain_rows, training_rows
from TemporalGliomaRisk.learn.prepared_store import StoredPatient

SMALL = EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6)


def turned(patient: StoredPatient, visit: int, sequence: int) -> StoredPatient:
    """The patient with what is bright in one file dark."""
    volumes = patient.volumes.copy()
    volumes[patient.volume_index(visit, sequence)] *= -1
    return replace(patient, volumes=volumes)


def test_a_turned_contrast_in_one_sequence_is_told_whatever_the_scale_of_the_others(make_stored) -> None:
    patient = make_stored(1, visits=4)
    assert contrast_agreement(patient).min() > 0.6
    found = contrast_agreement(turned(patient, 2, 3))
    assert found[2] < -0.6
    assert found[[0, 1, 3]].min() > 0.6
    brighter = patient.volumes.copy()
    brighter[patient.volume_index(1, 0)] = 2 * brighter[patient.volume_index(1, 0)] + 1
    np.testing.assert_allclose(
        contrast_agreement(replace(patient, volumes=brighter)), contrast_agreement(patient), atol=1e-3
    )


def test_a_sequence_that_no_other_visit_has_agrees(make_stored) -> None:
    assert contrast_agreement(make_stored(1, visits=1)).tolist() == [1]


def test_training_neither_draws_nor_watches_a_visit_that_does_not_agree(make_stored, tmp_path) -> None:
    torch.manual_seed(0)
    model, config = PairModel(SMALL).eval(), FinetuneConfig(epochs=1, sampled_places=20)
    patient = turned(make_stored(1, visits=4), 2, 0)
    unlike = turned(make_stored(2, visits=2), 1, 3)
    cache_features(model, [patient, unlike], tmp_path, PlaceSampling(foremost=20, sampled=40), seed=1)

    def load(name):
        return load_features(tmp_path, name)

    cached = load(patient.patient_id)
    every = plain_rows(patient, cached, replace(config, least_agreement=-1.0))
    kept = plain_rows(patient, cached, config)
    assert every.days_to_end.tolist() == [430, 330, 230, 130]
    assert kept.days_to_end.tolist() == [430, 330, 130]
    torch.testing.assert_close(kept.features, every.features[[0, 1, 3]])
    drawn = [training_rows(patient, cached, config, torch.Generator().manual_seed(seed)) for seed in range(60)]
    assert {days for rows in drawn for days in rows.days_to_end.tolist()} == {430, 330, 130}
    # None of the second patient's visits agrees: with it or without it, the head comes out the same.
    heads = [
        finetune_head(model, train, [patient, unlike], load, tmp_path / f"{len(train)}.safetensors", config=config)
        for train in ([patient], [patient, unlike])
    ]
    for one, other in zip(*(head.state_dict().values() for head in heads), strict=True):
        assert torch.equal(one, other)


def test_an_agreement_that_is_no_correlation_is_refused() -> None:
    with pytest.raises(UsageError, match="--least-agreement"):
        FinetuneConfig(least_agreement=60.0)
