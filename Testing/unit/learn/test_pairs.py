"""Pairs of crops: the target is the change of the lesion, and nothing else of the head gives it away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from TemporalGliomaRisk.learn.augmentation import (
    AugmentationConfig,
    ContrastConfig,
    apply_flips,
    scanner_variation,
    shared_contrast,
    shared_flips,
)
from TemporalGliomaRisk.learn.implants import ImplantConfig
from TemporalGliomaRisk.learn.pair_crops import PairConfig, PairSampler
from TemporalGliomaRisk.learn.true_growth import true_growth

STILL = AugmentationConfig(
    shift_voxels=0, rotation_degrees=0, gain=0, bend=0, bias=0, noise=0, blur_chance=0, single_sequence_chance=0
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def inside() -> torch.Tensor:
    mask = torch.zeros(16, 18, 14)
    mask[3:13, 4:15, 2:11] = 1
    return mask


def test_without_any_variation_the_visit_stays_as_it_is(inside: torch.Tensor) -> None:
    volumes = torch.randn((2, *inside.shape), generator=seeded(0)) * inside
    torch.testing.assert_close(scanner_variation(volumes, inside, STILL, seeded(1)), volumes, rtol=0, atol=1e-5)


def test_outside_the_brain_stays_zero_whatever_is_drawn(inside: torch.Tensor) -> None:
    volumes = torch.randn((2, *inside.shape), generator=seeded(0)) * inside
    wild = AugmentationConfig(shift_voxels=2, rotation_degrees=9, gain=1, bend=1, bias=2, noise=2, blur_chance=1)
    for seed in range(20):
        varied = scanner_variation(volumes, inside, wild, seeded(seed))
        assert not varied[:, inside == 0].any()
        assert (varied[:, inside > 0] != 0).float().mean() > 0.99


def test_each_visit_is_drawn_anew_and_a_seed_gives_the_same_again(inside: torch.Tensor) -> None:
    volumes = torch.randn((2, *inside.shape), generator=seeded(0)) * inside
    random = seeded(5)
    one, other = (scanner_variation(volumes, inside, AugmentationConfig(), random) for _ in range(2))
    assert not torch.allclose(one, other, atol=0.05)
    assert torch.equal(one, scanner_variation(volumes, inside, AugmentationConfig(), seeded(5)))


def test_a_shift_moves_every_sequence_of_a_visit_by_the_same_voxels(inside: torch.Tensor) -> None:
    volumes = torch.zeros((2, *inside.shape))
    volumes[:, 8, 9, 6] = 1.0
    moving = replace(STILL, shift_voxels=1.5)
    distances = []
    for seed in range(30):
        moved = scanner_variation(volumes, torch.ones_like(inside), moving, seeded(seed))
        torch.testing.assert_close(moved[0], moved[1])
        places = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in inside.shape], indexing="ij"), dim=-1)
        centre = (places * moved[0][..., None]).sum(dim=(0, 1, 2)) / moved[0].sum()
        distances.append((centre - torch.tensor([8.0, 9.0, 6.0])).abs().max())
    assert 1.0 < max(distances) <= 1.5 + 1e-4


def test_a_contrast_is_shared_by_the_visits_keeps_their_order_of_grey_and_leaves_zero_alone() -> None:
    ramp = torch.linspace(-8, 14, 441).reshape(1, 21, 21, 1).repeat(2, 1, 1, 1)
    directions, bends = set(), []
    for seed in range(60):
        one, other = shared_contrast([ramp, 0.5 * ramp], ContrastConfig(chance=1, invert_chance=0.3), seeded(seed))
        for sequence in range(2):
            steps = one[sequence].flatten().diff()
            assert (steps > 0).all() or (steps < 0).all()
            directions.add(bool(steps[0] > 0))
            bends.append(float(steps.abs().max() / steps.abs().min()))
            # The same grey at another visit is given the same new grey.
            again = shared_contrast([0.5 * ramp], ContrastConfig(chance=1, invert_chance=0.3), seeded(seed))[0]
            torch.testing.assert_close(again, other)
    assert directions == {True, False}
    assert max(bends) > 3
    zero = torch.zeros(1, 2, 2, 2)
    assert not shared_contrast([zero], ContrastConfig(chance=1), seeded(1))[0].any()
    assert torch.equal(shared_contrast([ramp], ContrastConfig(chance=0), seeded(1))[0], ramp)


def test_implants_reach_the_crops_of_a_patient_whose_lesion_stands_still(make_stored) -> None:
    config = PairConfig(crop_voxels=16, augmentation=STILL, contrast=ContrastConfig(chance=0))
    still = make_stored(2, grows=False)
    batch = PairSampler([still], replace(config, implants=ImplantConfig(chance=1))).draw(20, seeded(0))
    plain = PairSampler([still], replace(config, implants=ImplantConfig(chance=0))).draw(20, seeded(0))
    assert 0.3 < batch.grown.flatten(1).any(dim=1).float().mean() < 0.9
    assert not plain.grown.any()
    assert not (batch.grown.bool() & ~batch.cells).any()


def test_flips_are_shared_by_a_timeline_and_undo_themselves() -> None:
    volume = torch.arange(2 * 4 * 4 * 4.0).reshape(2, 4, 4, 4)
    seen = set()
    for seed in range(800):
        flips, order = shared_flips(seeded(seed))
        turned = apply_flips(volume, flips, order)
        seen.add((tuple(flips), tuple(order)))
        back = turned.permute(0, *[1 + order.index(axis) for axis in range(3)])
        assert torch.equal(back.flip([1 + axis for axis in flips]) if flips else back, volume)
    assert len(seen) == 48


def test_the_growth_target_is_the_lesion_s_change_place_by_place(make_stored) -> None:
    patient = make_stored(1)
    # The later visit's picture shows its lesion and the earlier one's its own: the target follows from the two.
    pictures = np.stack([patient.lesions, patient.lesions], axis=1).reshape(-1, *patient.brain.shape)
    patient = replace(patient, volumes=pictures.astype(np.float16))
    plain = {"contrast": ContrastConfig(chance=0), "implants": ImplantConfig(chance=0)}
    sampler = PairSampler([patient], PairConfig(crop_voxels=16, focus_chance=1.0, augmentation=STILL, **plain))
    batch = sampler.draw(40, seeded(2))
    seen = zip(batch.earlier[:, 0].numpy() > 0.5, batch.later[:, 0].numpy() > 0.5, strict=True)
    new, border = (
        torch.from_numpy(np.stack(masks)) for masks in zip(*(true_growth(*two) for two in seen), strict=True)
    )
    grown, doubtful = (functional.max_pool3d(mask.float()[:, None], 2)[:, 0] for mask in (new, border))
    assert torch.equal(batch.grown == 1, grown == 1)
    assert torch.equal(batch.grown.isnan(), (grown == 0) & (doubtful == 1))
    assert batch.grown.isnan().any()
    assert ((batch.grown == 1).flatten(1).sum(dim=1) > 0).float().mean() > 0.9
    assert not ((batch.grown == 1) & ~batch.cells).any()
    shown = torch.stack([batch.earlier[:, 0], batch.later[:, 0]], dim=1) > 0.5
    assert torch.equal(batch.lesions, functional.avg_pool3d(shown.float(), 2))


def test_an_unchanged_lesion_has_an_empty_target_and_an_unknown_truth_none(make_stored) -> None:
    config = PairConfig(crop_voxels=16, implants=ImplantConfig(chance=0))
    still = PairSampler([make_stored(2, grows=False)], config).draw(10, seeded(0))
    assert not still.grown.any()
    unknown = PairSampler([make_stored(3, truth=False)], config).draw(10, seeded(0))
    assert torch.isnan(unknown.grown).all()
    assert torch.isnan(unknown.lesions).all()


def test_crops_are_zero_outside_the_brain_and_where_a_sequence_is_absent(make_stored) -> None:
    batch = PairSampler([make_stored(4)], PairConfig(crop_voxels=16)).draw(40, seeded(3))
    for volumes in (batch.earlier, batch.later):
        absent = ~batch.present[:, :, None, None, None].expand_as(volumes)
        assert not volumes[absent].any()
        cells = batch.cells[:, None].float().repeat(1, 4, 1, 1, 1)
        beyond = functional.interpolate(cells, scale_factor=2.0) == 0
        assert not volumes[beyond].any()
    counts = batch.present.sum(dim=1)
    assert set(counts.tolist()) == {1, 2}
    assert (counts == 1).float().mean() == pytest.approx(0.4, abs=0.3)


def test_the_two_visits_of_a_pair_are_varied_apart(make_stored) -> None:
    patient = make_stored(5, grows=False)
    same = replace(patient, volumes=np.concatenate([patient.volumes[:2]] * 3))
    batch = PairSampler([same], PairConfig(crop_voxels=16)).draw(10, seeded(1))
    for one, other in zip(batch.earlier, batch.later, strict=True):
        assert not torch.allclose(one, other, atol=0.05)


def test_a_crop_larger_than_the_grid_is_padded_with_nothing(make_stored) -> None:
    batch = PairSampler([make_stored(6)], PairConfig(crop_voxels=32, augmentation=STILL)).draw(6, seeded(4))
    brain = make_stored(6).brain
    assert [int(cells.sum()) for cells in batch.cells] == [int(brain.sum() / 8)] * 6


def test_patients_are_drawn_evenly_however_many_visits_they_have(make_stored) -> None:
    sampler = PairSampler([make_stored(7, visits=2), make_stored(8, visits=6)], PairConfig(crop_voxels=16))
    random = seeded(0)
    drawn = [sampler._choose(random)[0].patient_id for _ in range(800)]
    assert drawn.count("sub-00007") / 800 == pytest.approx(0.5, abs=0.07)
    assert len(PairSampler([make_stored(9, visits=1)], PairConfig()).pairs) == 0
