"""What differs between two pictures of an unchanged head, drawn anew for every visit.

Drawn per visit, the first included, so that neither a scanner's signature nor leftover misalignment tells the order or
looks like growth. What is shared by a timeline (flips, exchanged axes) is drawn once a timeline.
"""

from __future__ import annotations

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
        blur_chance: Chance that an axis is smoothed, as by thicker slices.
        single_sequence_chance: Chance that all but one of the sequences are dropped.
    """

    shift_voxels: float = 0.5
    rotation_degrees: float = 1.0
    gain: float = 0.06
    bend: float = 0.015
    bias: float = 0.12
    noise: float = 0.15
    blur_chance: float = 0.2
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
            moved = (1 - share) * moved + share * 0.5 * (moved.roll(1, axis) + moved.roll(-1, axis))
    noise = config.noise * torch.rand((count, 1, 1, 1), generator=random)
    moved = moved + noise * torch.randn(moved.shape, generator=random)
    return moved * inside


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
