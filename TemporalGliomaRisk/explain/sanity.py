"""Does the map depend on what the network learnt? The same network with random weights, and how alike its maps are.

Weights are randomised in a cascade, from the heads' last layers down to the encoder, so that a map that only outlines
what is bright in the image would be found out: it would stay the same. Computed once for a model, kept in its bundle,
and shown beside every map.

Source:
    Adebayo J, et al. Sanity checks for saliency maps. NeurIPS 2018.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from TemporalGliomaRisk.encode.evidence import EvidenceModel
from TemporalGliomaRisk.errors import ModelError

TOP_SHARE = 0.01
"""Places of a map that count as its highest."""

STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("last layers of the heads", ("members.*.local_last.", "members.*.growth")),
    ("heads", ("members.",)),
    ("heads and encoder layers", ("members.", "encoder.layers.")),
    ("every weight", ("members.", "encoder.")),
)
"""What is randomised, each stage more than the one before: a name for readers, and the parameters' names."""


@dataclass(frozen=True, kw_only=True)
class StageSanity:
    """Likeness of the maps once some weights are random.

    Args:
        randomised: Which weights.
        correlation: Rank correlation over the brain's places, mean over visits and seeds.
        correlation_low: Its 5th percentile over them.
        correlation_high: Its 95th percentile.
        top_overlap: Share of the map's highest places that are among the random network's highest too, mean.
    """

    randomised: str
    correlation: float
    correlation_low: float
    correlation_high: float
    top_overlap: float


@dataclass(frozen=True, kw_only=True)
class HeatmapSanity:
    """The weight-randomisation test of a model's maps.

    Args:
        stages: From the least randomised to a network of random weights alone.
        members_correlation: The same correlation between the maps of two of its own members; None for one member.
        members_top_overlap: The same overlap between them.
        visits: Visits compared.
        seeds: Random networks compared with.
        top_share: Share of the places that count as highest, which is the overlap by chance.

    Raises:
        ModelError: If there is no stage.
    """

    stages: tuple[StageSanity, ...]
    members_correlation: float | None
    members_top_overlap: float | None
    visits: int
    seeds: int
    top_share: float = TOP_SHARE

    def __post_init__(self) -> None:
        if not self.stages:
            raise ModelError("The test of the heatmap holds no stage; fetch the model again.")

    @property
    def sentence(self) -> str:
        """What a reader of a map is told."""
        last = self.stages[-1]
        between = (
            "" if self.members_correlation is None else f" (its own members' maps: r = {self.members_correlation:.2f})"
        )
        return (
            f"Maps of the same network with random weights resemble these by r = {last.correlation:.2f} over the "
            f"brain{between}; of the highest {self.top_share:.0%} of places they share {last.top_overlap:.0%}. "
            f"Measured on {self.visits} visits; the more alike, the less a map says of what was learnt."
        )


def randomised(network: EvidenceModel, names: Sequence[str], seed: int) -> EvidenceModel:
    """A copy with the parameters of some names as a fresh network of that seed has them.

    Args:
        network: The trained network.
        names: Beginnings of parameters' names; ``*`` stands for a member's number.
        seed: Of the fresh weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = EvidenceModel(network.config, len(network.members)).state_dict()
    changed = copy.deepcopy(network)
    state = changed.state_dict()
    for name in state:
        parts = name.split(".")
        general = ".".join([parts[0], "*", *parts[2:]]) if parts[0] == "members" else name
        if any(name.startswith(wanted) or general.startswith(wanted) for wanted in names):
            state[name] = fresh[name]
    changed.load_state_dict(state)
    return changed.eval()


def likeness(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Rank correlation of two maps over their places, and the share of the highest places that they share.

    Args:
        one: (places,), local hazards.
        other: (places,), local hazards.
    """
    first, second = one.double().numpy(), other.double().numpy()
    flat = np.ptp(first) == 0 or np.ptp(second) == 0
    correlation = 0.0 if flat else float(stats.spearmanr(first, second).statistic)
    top = max(1, round(TOP_SHARE * len(first)))
    highest = set(np.argsort(-first, kind="stable")[:top].tolist())
    shared = highest & set(np.argsort(-second, kind="stable")[:top].tolist())
    return correlation, len(shared) / top


MapsOf = Callable[[EvidenceModel], Iterable[Tensor]]
"""The maps of a network: (members, places) local hazards within the horizon, one a visit, always the same visits."""


def heatmap_sanity(network: EvidenceModel, maps_of: MapsOf, *, seeds: int = 2) -> HeatmapSanity:
    """Compare a network's maps with those of itself with ever more weights random.

    Args:
        network: The trained network.
        maps_of: Gives the maps of any network of this form, on the same visits.
        seeds: Random networks a stage.
    """
    own = list(maps_of(network))
    stages = []
    for name, parameters in STAGES:
        found = np.array(
            [
                likeness(ours.mean(dim=0), theirs.mean(dim=0))
                for seed in range(1, seeds + 1)
                for ours, theirs in zip(own, maps_of(randomised(network, parameters, seed)), strict=True)
            ]
        )
        low, high = np.percentile(found[:, 0], [5, 95])
        stages.append(
            StageSanity(
                randomised=name,
                correlation=round(float(found[:, 0].mean()), 4),
                correlation_low=round(float(low), 4),
                correlation_high=round(float(high), 4),
                top_overlap=round(float(found[:, 1].mean()), 4),
            )
        )
    between = [likeness(ours[0], ours[1]) for ours in own if len(ours) > 1]
    return HeatmapSanity(
        stages=tuple(stages),
        members_correlation=round(float(np.mean([pair[0] for pair in between])), 4) if between else None,
        members_top_overlap=round(float(np.mean([pair[1] for pair in between])), 4) if between else None,
        visits=len(own),
        seeds=seeds,
    )
