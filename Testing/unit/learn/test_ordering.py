"""The ordering head on whole visits: what it is taught, from what, and that it goes on after a kill."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.learn.feature_store import PlaceSampling, cache_features, load_features
from TemporalGliomaRisk.learn.order_scoring import ScoredOrder, order_of_patient
from TemporalGliomaRisk.learn.ordering import OrderConfig, comparable_pairs, order_losses, train_order
from TemporalGliomaRisk.learn.scoring import encoded_visits
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.learn.timeline_features import timeline_features

SMALL = EvidenceConfig(feature_channels=8, convolutions=1, comparison_channels=8, history_channels=8)


@pytest.fixture(scope="module")
def pair_model() -> PairModel:
    torch.manual_seed(3)
    return PairModel(SMALL).eval()


def test_a_visit_is_compared_with_the_one_before_and_with_the_first(make_stored) -> None:
    assert comparable_pairs(make_stored(1, visits=4)).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [2, 3]]
    assert comparable_pairs(make_stored(1, visits=1)).shape == (0, 2)
    present = np.array([[True, False, False, False], [False, False, False, True], [True, False, False, True]])
    assert comparable_pairs(replace(make_stored(1), present=present)).tolist() == [[0, 2], [1, 2]]


def test_a_sample_of_places_with_all_of_them_kept_gives_the_loss_of_the_whole_brain(
    make_stored, pair_model, tmp_path
) -> None:
    patient = make_stored(1)
    cache_features(pair_model, [patient], tmp_path, PlaceSampling(foremost=300, sampled=10**6), seed=1)
    kept = load_features(tmp_path, patient.patient_id)
    head, present = pair_model.head_of_order(), torch.from_numpy(patient.present)
    pairs = comparable_pairs(patient)
    places = torch.arange(kept.features.shape[2])
    found = order_losses(head, kept, present, pairs, places)
    whole = timeline_features(pair_model, patient).to(torch.float16).float()
    even = torch.full((whole.shape[2],), -math.log(whole.shape[2]))
    for loss, (one, two) in zip(found, pairs.tolist(), strict=True):
        logit = head.order_logit(whole[one], whole[two], present[one] & present[two], even)
        assert loss.item() == pytest.approx(torch.nn.functional.softplus(-logit).item(), rel=1e-4)


def test_growing_lesions_are_put_in_order_and_a_killed_run_goes_on_to_the_same_weights(
    make_stored, pair_model, tmp_path: Path
) -> None:
    patients = [make_stored(number, grows=True) for number in range(8)]
    cache_features(pair_model, patients, tmp_path / "f", PlaceSampling(foremost=60, sampled=100), seed=1)
    load = partial(load_features, tmp_path / "f")
    config = OrderConfig(epochs=40, patience=40, patients_per_update=2, learning_rate=0.03, sampled_places=60)
    seen: list[dict[str, float]] = []
    train = partial(train_order, pair_model, patients[:6], patients[6:], load, config=config)
    whole = train(tmp_path / "whole.safetensors", report=lambda epoch, numbers: seen.append(numbers))
    # Half of the loss of a coin toss: visits never trained on are put in their order.
    assert min(numbers["validation"] for numbers in seen) < math.log(2) / 2

    def kill(epoch: int, numbers: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed.safetensors", report=kill)
    again = train(tmp_path / "killed.safetensors")
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in again.state_dict().items())


def test_without_visits_to_compare_there_is_no_ordering_head(make_stored, pair_model, tmp_path: Path) -> None:
    alone = [make_stored(number, visits=1) for number in range(2)]
    path = tmp_path / "head.safetensors"
    assert (
        train_order(pair_model, alone[:1], alone[1:], partial(load_features, tmp_path), path, config=OrderConfig())
        is None
    )
    assert not path.exists()


def test_a_trained_head_orders_growth_and_is_undecided_about_repeats(make_stored, pair_model, tmp_path: Path) -> None:
    """The network is that of the pair model, so that the head meets the features it has learnt from."""
    patients = [make_stored(number, grows=True) for number in range(6)]
    cache_features(pair_model, patients, tmp_path / "f", PlaceSampling(foremost=60, sampled=100), seed=1)
    config = OrderConfig(epochs=30, patience=30, patients_per_update=2, learning_rate=0.03, sampled_places=60)
    load = partial(load_features, tmp_path / "f")
    head = train_order(pair_model, patients[:5], patients[5:], load, tmp_path / "head.safetensors", config=config)
    assert head is not None
    network = EvidenceModel(SMALL, 1).eval()
    network.encoder.load_state_dict(pair_model.encoder.state_dict())
    random = torch.Generator().manual_seed(0)

    def order_of(patient: StoredPatient) -> ScoredOrder | None:
        with torch.inference_mode():
            encoded = list(encoded_visits(network, patient))
        return order_of_patient(network, head.eval(), patient, encoded, grid_mm=2.0, random=random)

    found = [order_of(make_stored(number, visits=4)) for number in range(10, 14)]
    assert all(one is not None and one.confidence > 0.9 for one in found)
    # A cube of 3 voxels that became one of 6.
    assert found[0].growth_diameter_mm == pytest.approx((6 * (216 - 27) * 8 / math.pi) ** (1 / 3))
    assert abs(np.mean([one.repeat_confidence for one in found]) - 0.5) < 0.35
    assert order_of(make_stored(1, visits=1)) is None
