"""Lesions laid into a pair of crops: growth, standstill and retreat in more looks and sizes than any cohort has.

A cohort shows few recurrences, none of them large, since its visits end with the event, and all of them in the looks
that its simulator knows. An implant is a rough blob whose signal, sequence by sequence, is drawn from far wider ranges
than tumours have, so that what is learnt is that something grew and not how a simulator draws it. As many implants
stand still, fade or vanish as grow; and some are signal voids, as metal and blood make them, which are no growth
however suddenly they come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional

FATES = ("appears", "grows", "vanishes", "stays", "fades", "void")
BRIGHT = (1.0, 1.0, -1.0, 0.0)
"""Usual sign of a lesion's signal against its surroundings in FLAIR, T2w, T1w and ce-gd_T1w; 0: either."""

RIM_VOXELS = 1.5


@dataclass(frozen=True, kw_only=True)
class ImplantConfig:
    """How implants are drawn; lengths in voxels of the crop, signals in units of the scaled intensities.

    Args:
        chance: Chance that a pair of crops is given one.
        fates: Chances of :data:`FATES`.
        radius_voxels: Range of the larger radius; its logarithm is drawn evenly.
        smaller_share: Range of the smaller radius over the larger one, where the lesion grows.
        roughness: Standard deviation of the border's smooth irregularity, relative to the radius.
        edge_voxels: Range of the border's width.
        signal: Range of the signal's size; its logarithm is drawn evenly.
        unusual_sign_chance: Chance that a sequence's signal has the sign that tumours seldom have.
        rim_chance: Chance that a sequence shows only the lesion's rim.
        void_depth: Range of how far a void lies below its surroundings; its logarithm is drawn evenly.
        void_chance: Chance that a sequence shows a void, if it is not the only one to show it.
    """

    chance: float = 0.3
    fates: tuple[float, ...] = (0.3, 0.22, 0.12, 0.12, 0.09, 0.15)
    radius_voxels: tuple[float, ...] = (1.2, 7.0)
    smaller_share: tuple[float, ...] = (0.3, 0.9)
    roughness: float = 0.2
    edge_voxels: tuple[float, ...] = (0.15, 0.8)
    signal: tuple[float, ...] = (0.5, 5.0)
    unusual_sign_chance: float = 0.05
    rim_chance: float = 0.15
    void_depth: tuple[float, ...] = (2.0, 8.0)
    void_chance: float = 0.5


def implant(
    earlier: Tensor, later: Tensor, inside: Tensor, config: ImplantConfig, random: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A lesion laid into both crops, in its size at each visit.

    Args:
        earlier: (4, D, D, D) intensities of the earlier visit.
        later: (4, D, D, D), of the later one.
        inside: (D, D, D), brain voxels, 0 or 1; some brain.
        config: How it is drawn.
        random: Source of the draws.

    Returns:
        Both crops with it, and (2, D, D, D) boolean, the brain's voxels that it takes up at each visit; a void is none.
    """
    fate = FATES[int(torch.multinomial(torch.tensor(config.fates), 1, generator=random))]
    lesion = draw_lesion(inside, random_voxel(inside, random), config, random)
    if fate == "void":
        void, radius = as_void(lesion, config, random), log_uniform(config.radius_voxels, random)
        first, second = (radius, 0.0) if torch.rand((), generator=random) < 0.5 else (0.0, radius)
        nothing = torch.zeros((2, *inside.shape), dtype=torch.bool)
        return void.laid_into(earlier, first), void.laid_into(later, second), nothing
    sizes = _radii(fate, config, random)
    remains = uniform((0.2, 0.7), random) if fate == "fades" else 1.0
    masks = torch.stack([lesion.mask(size) for size in sizes])
    return lesion.laid_into(earlier, sizes[0]), lesion.laid_into(later, sizes[1], remains), masks


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """A lesion's shape and look; how large it is depends on the visit.

    Args:
        distance: (D, D, D) distance from its centre in voxels, stretched and roughened.
        inside: (D, D, D), brain voxels, 0 or 1.
        edge: Width of its border in voxels.
        signals: (4,), what it adds to each sequence.
        rims: (4,) boolean, sequences that show its rim only.
        flattening: (4,), how far it takes away what lies under it, 0 to 1.
    """

    distance: Tensor
    inside: Tensor
    edge: float
    signals: Tensor
    rims: Tensor
    flattening: Tensor

    def mask(self, radius: float) -> Tensor:
        """(D, D, D) boolean, the brain's voxels that it takes up at a radius."""
        taken: Tensor = (self.distance < radius) & (self.inside > 0)
        return taken

    def laid_into(self, volumes: Tensor, radius: float, strength: float = 1.0) -> Tensor:
        """(4, D, D, D) intensities with the lesion of a radius in voxels; none at radius 0."""
        if radius == 0:
            return volumes
        body = torch.sigmoid((radius - self.distance) / self.edge) * self.inside
        rim = body * torch.sigmoid((self.distance - radius + RIM_VOXELS) / self.edge)
        shapes = torch.where(self.rims[:, None, None, None], rim, body)
        return _laid_in(volumes, shapes, strength * self.signals, strength * self.flattening)


def draw_lesion(inside: Tensor, centre: Tensor, config: ImplantConfig, random: Generator) -> Lesion:
    """A lesion about a voxel.

    Args:
        inside: (D, D, D), brain voxels, 0 or 1.
        centre: (3,), the voxel.
        config: How it is drawn.
        random: Source of the draws.
    """
    return Lesion(
        distance=_distance(inside.shape, centre, config, random),
        inside=inside,
        edge=uniform(config.edge_voxels, random),
        signals=torch.tensor([_signal(sequence, config, random) for sequence in range(len(BRIGHT))]),
        rims=torch.rand(len(BRIGHT), generator=random) < config.rim_chance,
        flattening=torch.rand((), generator=random).expand(len(BRIGHT)),
    )


def as_void(lesion: Lesion, config: ImplantConfig, random: Generator) -> Lesion:
    """A signal void in a lesion's shape: dark in one or several sequences, the others as they are."""
    shown = torch.rand(len(BRIGHT), generator=random) < config.void_chance
    shown[int(torch.randint(len(BRIGHT), (), generator=random))] = True
    return replace(
        lesion,
        signals=-log_uniform(config.void_depth, random) * shown,
        rims=torch.zeros_like(lesion.rims),
        flattening=shown.to(torch.float32),
    )


def random_voxel(inside: Tensor, random: Generator) -> Tensor:
    """(3,), one of the brain's voxels, all alike."""
    voxels = torch.nonzero(inside > 0)
    return voxels[int(torch.randint(len(voxels), (), generator=random))]


def _radii(fate: str, config: ImplantConfig, random: Generator) -> tuple[float, float]:
    """The implant's radius at the earlier and at the later visit, 0 where it is not there."""
    radius = log_uniform(config.radius_voxels, random)
    if fate == "appears":
        return 0.0, radius
    if fate == "grows":
        return radius * uniform(config.smaller_share, random), radius
    return radius, 0.0 if fate == "vanishes" else radius


def _laid_in(volumes: Tensor, shapes: Tensor, signals: Tensor, flattening: Tensor) -> Tensor:
    """Each sequence drawn towards its mean under the shape, then raised by its signal; (4, D, D, D)."""
    under = (volumes * shapes).sum(dim=(1, 2, 3)) / shapes.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    flat = flattening[:, None, None, None] * (under[:, None, None, None] - volumes)
    return volumes + shapes * (flat + signals[:, None, None, None])


def _distance(shape: Sequence[int], centre: Tensor, config: ImplantConfig, random: Generator) -> Tensor:
    """Distance from a voxel in voxels, stretched and roughened, over a grid of that shape."""
    axes = [torch.arange(length, dtype=torch.float32) for length in shape]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) - centre
    stretch = torch.eye(3) + 0.25 * torch.randn((3, 3), generator=random)
    stretch = stretch / torch.linalg.det(stretch).abs().clamp(min=0.1).pow(1 / 3)
    coarse = torch.randn((1, 1, 6, 6, 6), generator=random)
    rough = functional.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0]
    found: Tensor = (offsets @ stretch).norm(dim=-1) * (1 + config.roughness * rough).clamp(min=0.3)
    return found


def _signal(sequence: int, config: ImplantConfig, random: Generator) -> float:
    size = log_uniform(config.signal, random)
    sign = BRIGHT[sequence] or (1.0 if torch.rand((), generator=random) < 0.5 else -1.0)
    return -sign * size if torch.rand((), generator=random) < config.unusual_sign_chance else sign * size


def uniform(between: tuple[float, ...], random: Generator) -> float:
    """A number drawn evenly between two."""
    return between[0] + (between[1] - between[0]) * float(torch.rand((), generator=random))


def log_uniform(between: tuple[float, ...], random: Generator) -> float:
    """A number between two whose logarithm is drawn evenly."""
    return math.exp(uniform((math.log(between[0]), math.log(between[1])), random))
