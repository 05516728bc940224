"""Implants: what grew is the target, what stands still, fades or vanishes is none, and the rest is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from TemporalGliomaRisk.learn.implants import FATES, ImplantConfig, implant

CRISP = ImplantConfig(chance=1, edge_voxels=(1e-6, 1e-6), rim_chance=0.0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(fate: str, config: ImplantConfig = CRISP) -> ImplantConfig:
    return replace(config, fates=tuple(float(name == fate) for name in FATES))


@pytest.fixture
def inside() -> torch.Tensor:
    mask = torch.zeros(20, 22, 18)
    mask[3:17, 4:19, 2:15] = 1
    return mask


def drawn(fate: str, inside: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    empty = torch.zeros(4, *inside.shape)
    earlier, later, masks = implant(empty, empty, inside, only(fate), seeded(seed))
    if fate != "void":  # The masks are where each crop shows it.
        for crop, mask in zip((earlier, later), masks, strict=True):
            assert torch.equal(mask, crop.abs().amax(dim=0) > 1e-3)
    assert masks.any() == (fate != "void")
    return earlier, later, masks[1] & ~masks[0]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fate", ["appears", "grows"])
def test_the_target_is_where_the_later_crop_shows_more_than_the_earlier(
    fate: str, seed: int, inside: torch.Tensor
) -> None:
    earlier, later, grown = drawn(fate, inside, seed)
    assert grown.any()
    seen_earlier, seen_later = (crop.abs().amax(dim=0) > 1e-3 for crop in (earlier, later))
    assert torch.equal(grown, seen_later & ~seen_earlier)
    assert bool(earlier.any()) == (fate == "grows")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fate", ["vanishes", "stays", "fades"])
def test_what_does_not_grow_is_no_target(fate: str, seed: int, inside: torch.Tensor) -> None:
    earlier, later, grown = drawn(fate, inside, seed)
    assert not grown.any()
    assert earlier.any()
    if fate == "stays":
        assert torch.equal(earlier, later)
    else:
        assert later.abs().sum() < 0.75 * earlier.abs().sum()


@pytest.mark.parametrize("seed", range(8))
def test_a_signal_void_comes_or_goes_in_one_sequence_or_more_and_is_no_target(seed: int, inside: torch.Tensor) -> None:
    earlier, later, grown = drawn("void", inside, seed)
    assert not grown.any()
    assert earlier.any() != later.any()
    shown = earlier if earlier.any() else later
    assert shown.min() <= -0.9 * CRISP.void_depth[0]
    assert shown.max() <= 0


def test_outside_the_brain_and_away_from_the_implant_nothing_changes(inside: torch.Tensor) -> None:
    volumes = torch.randn((4, *inside.shape), generator=seeded(1)) * inside
    for seed in range(20):
        earlier, later, masks = implant(volumes, volumes, inside, only("appears"), seeded(seed))
        assert torch.equal(earlier, volumes)
        moved, grown = (later - volumes).abs().amax(dim=0) > 1e-3, masks[1]
        assert torch.equal(moved, grown)
        assert not masks[0].any()
        assert not grown[inside == 0].any()


def test_sizes_span_the_range_and_every_sequence_may_turn_bright_or_dark(inside: torch.Tensor) -> None:
    volumes, signs = [], []
    for seed in range(60):
        _, later, grown = drawn("appears", torch.ones(40, 40, 40), seed)
        volumes.append(float(grown.sum()))
        signs.append(torch.sign(later[:, grown].mean(dim=1)).tolist())
    assert min(volumes) < 40
    assert max(volumes) > 700
    assert all({sign[sequence] for sign in signs} == {-1.0, 1.0} for sequence in range(4))
    # FLAIR and T2w mostly bright, T1w mostly dark, as tumours are.
    means = torch.tensor(signs).mean(dim=0)
    assert means[0] > 0.3
    assert means[1] > 0.3
    assert means[2] < -0.3
