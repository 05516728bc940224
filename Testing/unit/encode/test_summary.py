"""A visit in a few numbers: closed forms, and what may and may not change them."""

from __future__ import annotations

import math

import pytest
import torch

from TemporalGliomaRisk.encode.evidence import brain_cells
from TemporalGliomaRisk.encode.summary import (
    QUANTILES,
    change_length,
    summarise_change,
    summarise_visit,
    summary_length,
)

CHANNELS = 3
SHAPE = (12, 16, 20)


@pytest.fixture
def brain() -> torch.Tensor:
    inside = torch.zeros(SHAPE, dtype=torch.bool)
    inside[2:10, 2:14, 2:18] = True
    return inside


def given(brain: torch.Tensor, seed: int = 0) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    cells = brain_cells(brain)
    features = torch.randn(4, int(cells.sum()), CHANNELS, generator=random)
    intensities = torch.randn(4, *SHAPE, generator=random) * brain
    present = torch.tensor([True, False, True, False])
    return features * present[:, None, None], present, cells, intensities, brain


def test_every_number_of_a_ramp_is_the_one_worked_out_by_hand(brain: torch.Tensor) -> None:
    features, present, cells, intensities, _ = given(brain)
    height = torch.nonzero(cells)[:, 2].float()
    features[0] = torch.stack([height, -height, torch.full_like(height, 5.0)], dim=1)
    intensities[0] = torch.arange(SHAPE[2]).float().expand(SHAPE)
    found = summarise_visit(features, present, cells, intensities, brain)[0]
    layers = torch.arange(1, 9).double()
    spread = layers.std(correction=0)
    assert found[:3].tolist() == pytest.approx([4.5, -4.5, 5.0])
    assert found[3:6].tolist() == pytest.approx([math.log(spread), math.log(spread), math.log(1e-4)])
    assert found[6:9].tolist() == pytest.approx([0, 0, 0], abs=1e-9)  # along P-A
    assert found[9:12].tolist() == pytest.approx([1, -1, 0], abs=1e-9)  # along I-S
    quantiles = found[12 : 12 + len(QUANTILES)]
    assert quantiles[3] == pytest.approx(9.5)
    assert found[-7:-4].tolist() == pytest.approx([math.log(1e-4), math.log(1e-4), 0.0])  # a step of 1 along k alone
    assert found[-4:].exp().tolist() == pytest.approx([8 * 12 * 16, 8, 12, 16])


def test_an_absent_sequence_is_zero_whatever_lies_in_its_place(brain: torch.Tensor) -> None:
    features, present, cells, intensities, _ = given(brain)
    before = summarise_visit(features, present, cells, intensities, brain)
    intensities[1] = 99.0
    assert torch.equal(summarise_visit(features, present, cells, intensities, brain), before)
    assert before.shape == (4, summary_length(CHANNELS))
    assert not before[1].any()
    assert not before[3].any()


def test_a_head_upside_down_changes_only_what_goes_along_the_body(brain: torch.Tensor) -> None:
    features, present, cells, intensities, _ = given(brain)
    grid = torch.zeros(*cells.shape, CHANNELS)
    grid[cells] = features[0]
    turned = features.clone()
    turned[0] = grid.flip(2)[cells]
    one = summarise_visit(features, present, cells, intensities, brain)[0]
    other = summarise_visit(turned, present, cells, intensities.flip(3), brain.flip(2))[0]
    along = slice(3 * CHANNELS, 4 * CHANNELS)
    assert torch.allclose(other[along], -one[along], atol=1e-6)
    kept = [index for index in range(len(one)) if not along.start <= index < along.stop]
    assert torch.allclose(other[kept], one[kept], atol=1e-6)


def test_voxels_outside_the_brain_change_nothing(brain: torch.Tensor) -> None:
    features, present, cells, intensities, _ = given(brain)
    before = summarise_visit(features, present, cells, intensities, brain)
    spoilt = torch.where(brain, intensities, torch.full_like(intensities, 1e6))
    assert torch.equal(summarise_visit(features, present, cells, spoilt, brain), before)


def test_change_is_the_difference_its_size_and_the_correlation(brain: torch.Tensor) -> None:
    first = given(brain)[0]
    common = torch.tensor([True, False, False, False])
    later = 2.0 * first + 1.0
    found = summarise_change(first, later, common)
    assert found.shape == (4, change_length(CHANNELS))
    assert not found[1:].any()
    difference = (first[0] + 1.0).double()
    assert torch.allclose(found[0, :3], difference.mean(dim=0))
    assert torch.allclose(found[0, 3:6], difference.square().mean(dim=0).sqrt().log())
    assert found[0, 6:9].tolist() == pytest.approx([math.atanh(0.9999)] * 3)
    unrelated = summarise_change(first, given(brain, seed=5)[0], common)
    assert unrelated[0, 6:9].abs().max() < 0.2
