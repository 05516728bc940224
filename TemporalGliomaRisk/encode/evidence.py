"""The ``evidence`` model: recurrence as local sources of hazard that add up over the brain.

Each visit's sequences go singly through one shared encoder to features on cells of 2 x 2 x 2 voxels. At every place
in the brain the visit is compared with the first and with the previous visit at that same place, a recurrence carries
what was seen so far, and a head gives the logarithm ``z_j`` of a local hazard for each follow-up interval j. The
patient's hazard is ``H_j = H0_j + sum over places of exp z_j``; ``H0`` sees days only. So the map shown is the very
terms of the sum.

Nothing is normalised over space, batch or visits, and features outside the brain are held at zero, so a place's term
depends on nothing further away than the receptive field and not on how large a box surrounds the brain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from TemporalGliomaRisk.encode.brain_blocks import SLOPE, BrainGrid
from TemporalGliomaRisk.encode.days import DAY_FEATURES, day_features
from TemporalGliomaRisk.encode.head_stack import Earlier, HeadStack
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.shapes import check_shape

SEQUENCE_COUNT = 4
CELL_VOXELS = 2
STEM_VOXELS = 4
INTERVAL_COUNT = 4
BACKGROUND_CHANNELS = 8
MOST_CHANNELS = 512
"""Of anything in a network that is trained or read; more would fill the memory before it is noticed."""


@dataclass(frozen=True, kw_only=True)
class EvidenceConfig:
    """Sizes of the ``evidence`` model.

    Args:
        feature_channels: Features of a sequence at a place.
        convolutions: 3 x 3 x 3 convolutions after the stem; they set the receptive field.
        comparison_channels: Channels of a comparison of two visits at a place.
        history_channels: Channels of the recurrence over visits at a place.
        prior_interval_hazards: Cumulative hazards of the four intervals at the start of training, near the prevalence.
        prior_places: Places in a typical brain, over which half of the prior is spread at the start.
        largest_log_term: Bound, approached smoothly, on the logarithm of one place's hazard in one interval, so that a
            visit unlike any other cannot drive a sum over 1e4 places out of all proportion.
    """

    feature_channels: int = 32
    convolutions: int = 3
    comparison_channels: int = 32
    history_channels: int = 32
    prior_interval_hazards: tuple[float, ...] = (0.04, 0.04, 0.08, 0.15)
    prior_places: int = 22_000
    largest_log_term: float = -2.0

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            UsageError: If a size or the prior is none.
        """
        hazards = self.prior_interval_hazards
        if len(hazards) != INTERVAL_COUNT or not all(0 < hazard < math.inf for hazard in hazards):
            raise UsageError("prior_interval_hazards must be a number above 0 for each interval.")
        if self.convolutions < 0 or self.prior_places < 1:
            raise UsageError("convolutions must be 0 or more, and prior_places 1 or more.")

    @property
    def receptive_field_voxels(self) -> int:
        """Full width of what one place sees, in voxels of the model grid."""
        return STEM_VOXELS + 2 * CELL_VOXELS * self.convolutions


def brain_cells(brain_mask: Tensor) -> Tensor:
    """(I, J, K) boolean brain mask with even axes to (I/2, J/2, K/2): cells that hold any brain."""
    check_shape(brain_mask, "brain_mask", ("I", "J", "K"))
    pooled = nn.functional.max_pool3d(brain_mask[None, None].float(), kernel_size=CELL_VOXELS)
    cells: Tensor = pooled[0, 0] > 0
    return cells


class VisitEncoder(nn.Module):
    """One visit's sequences to features on cells, each sequence on its own: a stem a sequence, then shared layers."""

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        channels = config.feature_channels
        self.stems = nn.ModuleList(
            nn.Conv3d(1, channels, kernel_size=STEM_VOXELS, stride=CELL_VOXELS, padding=1)
            for _ in range(SEQUENCE_COUNT)
        )
        self.layers = nn.ModuleList(
            nn.Conv3d(channels, channels, kernel_size=3, padding=1) for _ in range(config.convolutions)
        )
        self.channels = channels

    def encode_sequence(self, volumes: Tensor, sequence: int, cells: Tensor) -> Tensor:
        """Features of one pulse sequence.

        Args:
            volumes: (N, I, J, K), scaled intensities of that sequence, zero outside the brain.
            sequence: Its index in the order of the input channels.
            cells: (N, I/2, J/2, K/2), cells that hold brain.

        Returns:
            (N, channels, I/2, J/2, K/2), zero outside the brain's cells.
        """
        features: Tensor = self.stems[sequence](volumes[:, None])
        inside = cells[:, None].to(features.dtype)
        features = features * inside
        for layer in self.layers:
            if not torch.compiler.is_compiling():  # what asks whether to stop cannot be part of a compiled graph
                check_cancelled()
            features = features + layer(nn.functional.leaky_relu(features, SLOPE)) * inside
        return features

    def forward(self, intensities: Tensor, present: Tensor, cells: Tensor) -> Tensor:
        """Features of one visit.

        Args:
            intensities: (4, I, J, K), in the order of the sequences, zero outside the brain.
            present: (4,), which sequences the visit has; absent ones are neither read nor encoded.
            cells: (I/2, J/2, K/2), from :func:`brain_cells`.

        Returns:
            (4, places, channels), at the brain's cells in row-major order; zero for absent sequences. Without
            gradients, on a processor, in full precision, cells around the brain are not computed (:class:`BrainGrid`).
        """
        check_shape(intensities, "intensities", (SEQUENCE_COUNT, "I", "J", "K"))
        check_shape(present, "present", (SEQUENCE_COUNT,))
        features = intensities.new_empty((SEQUENCE_COUNT, int(cells.sum()), self.channels))
        features[~present] = 0
        having = torch.nonzero(present).flatten().tolist()
        if torch.is_grad_enabled() or intensities.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            for sequence in having:
                grid = self.encode_sequence(intensities[sequence : sequence + 1], sequence, cells[None])
                features[sequence] = grid[0][:, cells].T.to(features.dtype)
        else:
            brain = BrainGrid(cells, self.channels, intensities)
            stems, layers = (
                [layer for layer in of if isinstance(layer, nn.Conv3d)] for of in (self.stems, self.layers)
            )
            for sequence in having:
                brain.encode(intensities[sequence], stems[sequence], layers, features[sequence])
        return features


class Comparison(nn.Module):
    """Two visits at the same place: what is there, and how it differs, by the sequences that both have.

    A sequence that the earlier visit lacks is compared with itself (no difference can be claimed), and a flag says what
    share of the later visit's sequences was truly compared.
    """

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * config.feature_channels, config.comparison_channels)
        self.refine = nn.Linear(config.comparison_channels + 1, config.comparison_channels)

    def forward(self, earlier: Tensor, later: Tensor, present_earlier: Tensor, present_later: Tensor) -> Tensor:
        """Compare two visits.

        Args:
            earlier: (..., 4, places, channels), features of the earlier visit.
            later: (..., 4, places, channels), features of the later visit.
            present_earlier: (..., 4), sequences of the earlier visit.
            present_later: (..., 4), sequences of the later visit, at least one.

        Returns:
            (..., places, comparison_channels).
        """
        check_cancelled()
        used = torch.nonzero(present_later.reshape(-1, SEQUENCE_COUNT).any(dim=0)).flatten()
        earlier, later = earlier[..., used, :, :], later[..., used, :, :]
        present_earlier, present_later = present_earlier[..., used], present_later[..., used]
        common = present_earlier & present_later
        difference = (later - earlier) * common[..., None, None].to(later.dtype)
        mixed = nn.functional.gelu(self.mix(torch.cat([later, difference], dim=-1)))
        weights = present_later.to(later.dtype)
        counted = weights.sum(dim=-1, keepdim=True).clamp(min=1)
        mixed = (mixed * (weights / counted)[..., None, None]).sum(dim=-3)
        compared = (common.to(later.dtype).sum(dim=-1, keepdim=True) / counted)[..., None]
        compared = compared.expand(*mixed.shape[:-1], 1)
        refined: Tensor = nn.functional.gelu(self.refine(torch.cat([mixed, compared], dim=-1)))
        return refined


class HistoryHead(nn.Module):
    """One member of the ensemble: comparisons, the recurrence over visits at a place, local and background hazards."""

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        self.config = config
        self.comparison = Comparison(config)
        self.recurrence = nn.GRUCell(2 * config.comparison_channels + DAY_FEATURES, config.history_channels)
        self.local = nn.Linear(config.history_channels + 2 * config.comparison_channels, config.history_channels)
        self.local_last = nn.Linear(config.history_channels, INTERVAL_COUNT)
        self.growth = nn.Linear(config.comparison_channels, 1)
        self.growth_gain = nn.Parameter(torch.zeros(INTERVAL_COUNT))
        self.background = nn.Linear(DAY_FEATURES, BACKGROUND_CHANNELS)
        self.background_last = nn.Linear(BACKGROUND_CHANNELS, INTERVAL_COUNT)
        self._start_near_prevalence()

    def _start_near_prevalence(self) -> None:
        """Half of the prior in the background, half spread over the places: the untrained risk is the prevalence."""
        prior = torch.tensor(self.config.prior_interval_hazards)
        with torch.no_grad():
            _start_at(self.background_last, prior / 2)
            _start_at(self.local_last, prior / 2 / self.config.prior_places)

    def background_hazards(self, days: Tensor) -> Tensor:
        """(visits, day features) to (visits, 4) background hazards: days only, no image."""
        hidden = nn.functional.gelu(self.background(days))
        return torch.exp(self.background_last(hidden))

    def begin(self, places: int, like: Tensor) -> Tensor:
        """(places, history channels), the state before any visit."""
        return like.new_zeros((places, self.config.history_channels))

    def step(self, state: Tensor, with_first: Tensor, with_previous: Tensor, days: Tensor) -> tuple[Tensor, Tensor]:
        """One visit: the new state, and the logarithms of the local hazards.

        Args:
            state: (places, history channels).
            with_first: (places, comparison channels), the visit compared with the first.
            with_previous: (places, comparison channels), the visit compared with the previous one.
            days: (day features,), of this visit.

        Returns:
            (places, history channels), and (places, 4).
        """
        check_cancelled()
        both = torch.cat([with_first, with_previous], dim=1)
        given = torch.cat([both, days.expand(both.shape[0], -1)], dim=1)
        state = self.recurrence(given, state)
        hidden = nn.functional.gelu(self.local(torch.cat([state, both], dim=1)))
        # Growth since the first visit, as pretraining learnt to mark it, moves z directly: a start that a sum over
        # some 1e4 places could find only slowly by itself.
        logs = self.local_last(hidden) + self.growth_gain * self.growth(with_first)
        bound = self.config.largest_log_term
        return state, bound - nn.functional.softplus(bound - logs)

    def forward(self, features: Tensor, present: Tensor, days: Tensor) -> tuple[Tensor, Tensor]:
        """A whole timeline in one causal pass, for training.

        Args:
            features: (visits, 4, places, channels).
            present: (visits, 4).
            days: (visits, day features).

        Returns:
            (visits, 4) background hazards, and (visits, places, 4) logarithms of local hazards.
        """
        visits = features.shape[0]
        before = [0, *range(visits - 1)]
        with_first = self.comparison(
            features[:1].expand_as(features), features, present[:1].expand_as(present), present
        )
        with_previous = self.comparison(features[before], features, present[before], present)
        state = self.begin(features.shape[2], features)
        logs = []
        for visit in range(visits):
            state, local_logs = self.step(state, with_first[visit], with_previous[visit], days[visit])
            logs.append(local_logs)
        return self.background_hazards(days), torch.stack(logs)


def _start_at(last: nn.Linear, level: Tensor) -> None:
    last.weight.mul_(0.1)
    last.bias.copy_(level.log())


@dataclass
class VisitMemory:
    """What a causal pass keeps of the visits so far: the first and the previous visit's features, a state a member."""

    first: Tensor
    first_present: Tensor
    previous: Tensor
    previous_present: Tensor
    states: Tensor


class EvidenceModel(nn.Module):
    """Encoder, ensemble of history heads, and the head that sees one visit only (the single-visit risk).

    Args:
        config: Sizes.
        members: Number of history heads.
    """

    def __init__(self, config: EvidenceConfig, members: int = 1) -> None:
        super().__init__()
        self.config = config
        self.encoder = VisitEncoder(config)
        self.members = nn.ModuleList(HistoryHead(config) for _ in range(members))
        self.single = HistoryHead(config)

    def encodes_as(self, other: EvidenceModel) -> bool:
        """Whether both give the same features of any visit, their encoders having the same weights."""
        ours, theirs = (model.encoder.state_dict() for model in (self, other))
        return ours.keys() == theirs.keys() and all(
            ours[name].shape == theirs[name].shape and bool((ours[name].cpu() == theirs[name].cpu()).all())
            for name in ours
        )

    def encode_visit(self, intensities: Tensor, present: Tensor, cells: Tensor) -> Tensor:
        """(4, I, J, K) intensities of one visit to (4, places, channels) features; see :class:`VisitEncoder`."""
        features: Tensor = self.encoder(intensities, present, cells)
        return features

    @torch.no_grad()
    def see(
        self, memory: VisitMemory | None, features: Tensor, present: Tensor, days: Tensor
    ) -> tuple[VisitMemory, Tensor]:
        """Take in the next visit, without gradients; training goes through :meth:`HistoryHead.forward`.

        Args:
            memory: Of the visits before, None at the first.
            features: (4, places, channels) of this visit.
            present: (4,), its sequences.
            days: (day features,), from :func:`day_features`.

        Returns:
            The memory with this visit, and (members, places, 4) logarithms of local hazards.
        """
        having = torch.nonzero(present).flatten().tolist()
        stack = HeadStack(self._heads(), having, days)
        if memory is None:
            states, local_logs = stack.see(features, None, None, None)
            return VisitMemory(features, present, features, present, states), local_logs
        first = Earlier(features=memory.first, common=_common(memory.first_present, having))
        previous = Earlier(features=memory.previous, common=_common(memory.previous_present, having))
        states, local_logs = stack.see(features, first, previous, memory.states)
        return VisitMemory(memory.first, memory.first_present, features, present, states), local_logs

    @torch.no_grad()
    def see_alone(self, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """One visit without dates: (4,) background and (places, 4) logarithms of local hazards of the single head."""
        days = single_visit_days(features)
        stack = HeadStack([self.single], torch.nonzero(present).flatten().tolist(), days)
        logs = stack.see(features, None, None, None)[1][0]
        return self.single.background_hazards(days[None])[0], logs

    def background_hazards(self, days: Tensor) -> Tensor:
        """(visits, day features) to (members, visits, 4) background hazards."""
        return torch.stack([head.background_hazards(days) for head in self._heads()])

    def _heads(self) -> list[HistoryHead]:
        return [head for head in self.members if isinstance(head, HistoryHead)]


def _common(present: Tensor, having: list[int]) -> frozenset[int]:
    """Which of the sequences ``having`` another visit, with presence (4,), has too."""
    return frozenset(having) & frozenset(torch.nonzero(present).flatten().tolist())


def single_visit_days(like: Tensor) -> Tensor:
    """(day features,) of a visit of which only the picture is known."""
    first = torch.zeros(1, dtype=torch.float32)
    return day_features(first, torch.full((1,), math.nan))[0].to(like)


def interval_hazards(background: Tensor, local_logs: Tensor) -> Tensor:
    """(4,) background and (places, 4) logarithms of local hazards to (4,) interval hazards, by log-sum-exp."""
    return background + torch.logsumexp(local_logs, dim=0).exp()
