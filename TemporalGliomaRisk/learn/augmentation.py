"""What differs between two scans of an unchanged head, drawn for every visit by itself.

Drawn per visit, the first included, so that neither a scanner's signature nor leftover misalignment tells the order or
looks like growth. What is shared by a timeline (flips, exchanged axes, a sequence's contrast) is drawn once a timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Sizes of the random changes, in units of the scaled intensities and of voxels.

    Args:
        shift_voxels: Largest translation along each axis.
        rotation_degrees: Largest rotation about each axis, about the crop's centre.
        gain: Standard deviation of the relative gain.
        bend: Standard deviation of the quadratic term, a change of gamma.
        bias: Standard deviation of a smooth additive field.
        noise: Largest standard deviation of white noise.
        low_signal_chance: Chance that the noise is up to three times that.
        blur_chance: Chance that an axis is smoothed a little, as by another resolution.
        thick_chance: Chance that one axis is averaged over three voxels, as by thick slices.
        single_sequence_chance: Chance that all but one of the sequences are dropped.
    """

    shift_voxels: float = 0.5
    rotation_degrees: float = 1.0
    gain: float = 0.06
    bend: float = 0.015
    bias: float = 0.12
    noise: float = 0.15
    low_signal_chance: float = 0.0
    blur_chance: float = 0.2
    thick_chance: float = 0.0
    single_sequence_chance: float = 0.4


def scanner_variation(volumes: Tensor, inside: Tensor, config: AugmentationConfig, random: Generator) -> Tensor:
    """Another scanner and another placement of the same visit.

    Args:
        volumes: (N, I, J, K), the visit's sequences; one placement for all of them.
        inside: (I, J, K), brain voxels, 0 or 1; outside stays zero.
        config: Sizes.
        random: Source of the draws.

    Returns:
        (N, I, J, K).
    """
    count, shape = volumes.shape[0], volumes.shape[1:]
    moved = functional.grid_sample(
        volumes[None],
        _placement(shape, config, random),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0]

    def normal(scale: float) -> Tensor:
        return scale * torch.randn((count, 1, 1, 1), generator=random)

    moved = moved * (1 + normal(config.gain)) + normal(config.bend) * moved.clamp(-4, 4) ** 2
    coarse = config.bias * torch.randn((1, count, 3, 3, 3), generator=random)
    moved = moved + functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0]
    for axis in range(1, 4):
        if torch.rand((), generator=random) < config.blur_chance:
            share = 0.3 * torch.rand((), generator=random)
            moved = _smoothed(moved, axis, share)
    if torch.rand((), generator=random) < config.thick_chance:
        axis = 1 + int(torch.randint(3, (), generator=random))
        moved = _smoothed(moved, axis, 2 / 3)
    noise = config.noise * torch.rand((count, 1, 1, 1), generator=random)
    if torch.rand((), generator=random) < config.low_signal_chance:
        noise = 3 * noise
    moved = moved + noise * torch.randn(moved.shape, generator=random)
    return moved * inside


def _smoothed(volumes: Tensor, axis: int, share: Tensor | float) -> Tensor:
    """Every voxel gives way, by a share, to the mean of its two neighbours along an axis."""
    return (1 - share) * volumes + share * 0.5 * (volumes.roll(1, axis) + volumes.roll(-1, axis))


def _placement(shape: torch.Size, config: AugmentationConfig, random: Generator) -> Tensor:
    """(1, I, J, K, 3) sampling grid of a small rigid move, small-angle rotation."""
    angles = torch.deg2rad(config.rotation_degrees * (2 * torch.rand(3, generator=random) - 1))
    a, b, c = angles.tolist()
    matrix = torch.eye(3) + torch.tensor([[0.0, -c, b], [c, 0.0, -a], [-b, a, 0.0]])
    lengths = torch.tensor([float(length) for length in reversed(shape)])
    shift = config.shift_voxels * (2 * torch.rand(3, generator=random) - 1) * 2 / lengths
    return functional.affine_grid(torch.cat([matrix, shift[:, None]], dim=1)[None], [1, 1, *shape], align_corners=False)


def shared_flips(random: Generator) -> tuple[list[int], list[int]]:
    """Axes to flip (of three) and a permutation of the three axes, one draw for a whole timeline."""
    flips = [axis for axis in range(3) if torch.rand((), generator=random) < 0.5]
    return flips, torch.randperm(3, generator=random).tolist()


def apply_flips(volumes: Tensor, flips: list[int], order: list[int]) -> Tensor:
    """(..., I, J, K) with its last three axes flipped and exchanged."""
    lead = volumes.ndim - 3
    turned = volumes.flip([lead + axis for axis in flips]) if flips else volumes
    return turned.permute(*range(lead), *(lead + axis for axis in order)).contiguous()


@dataclass(frozen=True, kw_only=True)
class ContrastConfig:
    """Another contrast of a sequence, the same at every visit of a timeline.

    Args:
        chance: Chance that a sequence is given another contrast.
        spread: Standard deviation of the logarithm of the curve's slope, drawn anew between each two of its knots.
        invert_chance: Chance that dark and bright change places.
    """

    chance: float = 0.35
    spread: float = 0.4
    invert_chance: float = 0.05


KNOTS = (-6.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 12.0)
"""Where a contrast curve bends, in units of the scaled intensities: closer where most of the brain lies."""


def shared_contrast(visits: Sequence[Tensor], config: ContrastConfig, random: Generator) -> tuple[Tensor, ...]:
    """Every visit's sequences through one monotone curve a sequence, drawn anew.

    Args:
        visits: (N, I, J, K) each, the same sequences in the same order.
        config: How curves are drawn.
        random: Source of the draws.

    Returns:
        As many of the same shapes; 0 stays 0, so that what is outside the brain does.
    """
    changed = [visit.clone() for visit in visits]
    for sequence in range(len(visits[0])):
        if torch.rand((), generator=random) >= config.chance:
            continue
        slopes = torch.exp(config.spread * torch.randn(len(KNOTS) - 1, generator=random))
        if torch.rand((), generator=random) < config.invert_chance:
            slopes = -slopes
        for visit in changed:
            visit[sequence] = _through_curve(visit[sequence], slopes.tolist())
    return tuple(changed)


def _through_curve(values: Tensor, slopes: list[float]) -> Tensor:
    """Piecewise linear through 0, with a slope between each two knots, the outermost going on."""
    at_zero = KNOTS.index(0.0)
    found = torch.zeros_like(values)
    for number, slope in enumerate(slopes):
        low = KNOTS[number] if number else -torch.inf
        high = KNOTS[number + 1] if number + 2 < len(KNOTS) else torch.inf
        base = KNOTS[number] if number >= at_zero else KNOTS[number + 1]
        found += slope * (values.clamp(low, high) - base)
    return found
