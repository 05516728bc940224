"""A visit in a few numbers a sequence: what its features and intensities are like, and how they changed.

They are compared with those of the visits that a model was trained on, to tell when a visit is unlike all of them.
Everything is measured inside the brain; places count by their position in it, so that a head that stands upside down
differs from one that does not. Left and right are not told apart: a lesion is on either side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from TemporalGliomaRisk.shapes import check_shape

SUMMARY_VERSION = 1
"""Raised when the same visit gives other numbers: kept features and fitted models are of one version."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SMALLEST = 1e-4
"""Below this a spread counts as this: the logarithm of nothing says nothing."""
BRAIN_FACTS = 4
ROUGHNESS_FACTS = 3


def summary_length(channels: int) -> int:
    """Length of a sequence's summary for a number of feature channels."""
    return 4 * channels + len(QUANTILES) + ROUGHNESS_FACTS + BRAIN_FACTS


def change_length(channels: int) -> int:
    """Numbers in the summary of a sequence's change."""
    return 3 * channels


@torch.inference_mode()
def summarise_visit(features: Tensor, present: Tensor, cells: Tensor, intensities: Tensor, brain: Tensor) -> Tensor:
    """What each sequence of a visit is like.

    Args:
        features: (4, places, channels), of the encoder.
        present: (4,), which sequences the visit has.
        cells: (I/2, J/2, K/2), the places, cells that hold brain.
        intensities: (4, I, J, K), scaled, as the encoder was given them.
        brain: (I, J, K), brain mask.

    Returns:
        (4, :func:`summary_length`) double: mean and log spread of every channel, its correlation with the place along
        P-A and I-S, quantiles and roughness of the intensities, size of the brain; zero for absent sequences.
    """
    lengths = check_shape(features, "features", ("sequences", "places", "channels"))
    check_shape(intensities, "intensities", (lengths["sequences"], "I", "J", "K"))
    place = torch.nonzero(cells).double()[:, 1:]
    place = (place - place.mean(dim=0)) / place.std(dim=0, correction=0).clamp(min=SMALLEST)
    shape = _brain_facts(brain)
    summaries = features.new_zeros((lengths["sequences"], summary_length(lengths["channels"])), dtype=torch.float64)
    for sequence in torch.nonzero(present).flatten().tolist():
        values = features[sequence].double()
        mean, spread = values.mean(dim=0), values.std(dim=0, correction=0).clamp(min=SMALLEST)
        along = ((values - mean) / spread).T @ place / max(len(place), 1)
        inside = intensities[sequence][brain].double()
        quantiles = torch.quantile(inside[:: max(1, len(inside) // 100_000)], inside.new_tensor(QUANTILES))
        summaries[sequence] = torch.cat(
            [mean, spread.log(), along.T.reshape(-1), quantiles, _roughness(intensities[sequence], brain), shape]
        )
    return summaries


@torch.inference_mode()
def summarise_change(first: Tensor, features: Tensor, common: Tensor) -> Tensor:
    """How each sequence of a visit differs from the first visit, place by place.

    Args:
        first: (4, places, channels), features of the first visit.
        features: (4, places, channels), of this visit.
        common: (4,), sequences that both have.

    Returns:
        (4, :func:`change_length`) double: mean difference, log of its root mean square, and correlation of the two
        over the places (by Fisher's transform) of every channel; zero for sequences not in common.
    """
    lengths = check_shape(features, "features", ("sequences", "places", "channels"))
    check_shape(first, "first", (lengths["sequences"], lengths["places"], lengths["channels"]))
    changes = features.new_zeros((lengths["sequences"], change_length(lengths["channels"])), dtype=torch.float64)
    for sequence in torch.nonzero(common).flatten().tolist():
        one, other = first[sequence].double(), features[sequence].double()
        difference = other - one
        size = difference.square().mean(dim=0).sqrt().clamp(min=SMALLEST)
        changes[sequence] = torch.cat([difference.mean(dim=0), size.log(), _correlation(one, other)])
    return changes


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    one, other = one - one.mean(dim=0), other - other.mean(dim=0)
    sizes = (one.square().sum(dim=0) * other.square().sum(dim=0)).sqrt().clamp(min=SMALLEST)
    return torch.atanh(((one * other).sum(dim=0) / sizes).clamp(-0.9999, 0.9999))


def _roughness(volume: Tensor, brain: Tensor) -> Tensor:
    """(3,), log of the mean step between neighbours in the brain along each axis: noise, blur, thick slices."""
    steps = []
    for axis in range(3):
        both = brain.narrow(axis, 1, brain.shape[axis] - 1) & brain.narrow(axis, 0, brain.shape[axis] - 1)
        step = volume.diff(dim=axis)[both].double().abs()
        steps.append(step.mean() if len(step) else step.new_zeros(()))
    return torch.stack(steps).clamp(min=SMALLEST).log()


def _brain_facts(brain: Tensor) -> Tensor:
    """(4,), log of the voxels in the brain and of its extent along each axis."""
    along = [brain.sum(dim=tuple(other for other in range(3) if other != axis)).gt(0).sum() for axis in range(3)]
    return torch.stack([brain.sum(), *along]).double().clamp(min=1).log()
