"""A larger model begins as the same function, and then learns with all that it has."""

from __future__ import annotations

import pytest
import torch

from TemporalGliomaRisk.encode.evidence import EvidenceConfig
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.learn.pair_crops import PairConfig, PairSampler
from TemporalGliomaRisk.learn.pretrain import PretrainConfig, encode_crops, pair_losses
from TemporalGliomaRisk.learn.widening import widened

SMALL = EvidenceConfig(feature_channels=6, comparison_channels=5, convolutions=2)
LARGE = EvidenceConfig(feature_channels=9, comparison_channels=11, convolutions=3)


@pytest.fixture
def batch(make_stored):
    return PairSampler([make_stored(1)], PairConfig(crop_voxels=16)).draw(5, torch.Generator().manual_seed(1))


def test_the_larger_model_gives_the_losses_of_the_smaller_and_its_new_weights_learn(batch) -> None:
    torch.manual_seed(2)
    small = PairModel(SMALL)
    large = widened(small, LARGE)
    config = PretrainConfig()
    wanted, found = pair_losses(small, batch, config), pair_losses(large, batch, config)
    torch.testing.assert_close(found.growth, wanted.growth)
    torch.testing.assert_close(found.order, wanted.order)
    optimizer = torch.optim.SGD(large.parameters(), lr=0.1)
    for _ in range(2):
        losses = pair_losses(large, batch, config)
        optimizer.zero_grad()
        (losses.growth + losses.order).backward()
        optimizer.step()
    assert large.encoder.layers[2].weight.grad.abs().max() > 0
    assert large.growth.weight.grad[0, SMALL.comparison_channels :].abs().max() > 0


def test_a_smaller_model_cannot_be_begun_from_a_larger_one() -> None:
    with pytest.raises(UsageError, match="convolutions 2 cannot begin one of 1"):
        widened(PairModel(SMALL), EvidenceConfig(feature_channels=6, comparison_channels=5, convolutions=1))


def test_crops_encoded_together_are_those_encoded_one_by_one(batch) -> None:
    torch.manual_seed(3)
    encoder = PairModel(SMALL).encoder
    together = encode_crops(encoder, batch.later, batch.present, batch.cells)
    for pair, there in enumerate(batch.present):
        for sequence in range(4):
            alone = encoder.encode_sequence(batch.later[pair, sequence][None], sequence, batch.cells[pair][None])
            expected = alone[0].flatten(1).T if there[sequence] else torch.zeros_like(together[pair, sequence])
            torch.testing.assert_close(together[pair, sequence], expected)
