"""Several history heads in one go over the places, in pieces that stay in a core's cache.

Computes what the heads' comparison and step do, for inference: heads side by side in batched products, what is the
same at every place (days, what share was compared) worked out once, and a matrix that would meet two things put side by
side met by each with its own half instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from TemporalGliomaRisk.errors import ShapeError
from TemporalGliomaRisk.progress import check_cancelled

if TYPE_CHECKING:
    from TemporalGliomaRisk.encode.evidence import HistoryHead

PLACES_AT_ONCE = 1024
"""Places of a piece on a processor: some 0.4 MB for each thing kept of three heads."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A visit to compare with.

    Args:
        features: (4, places, channels).
        common: Indices of the sequences that both visits have.
    """

    features: Tensor
    common: frozenset[int]


class HeadStack:
    """Some heads side by side, with what one visit's sequences and days make of their weights.

    Args:
        heads: Of one configuration.
        sequences: Indices of the visit's sequences, at least one.
        days: (day features,), of the visit.
    """

    def __init__(self, heads: Sequence[HistoryHead], sequences: Sequence[int], days: Tensor) -> None:
        config = heads[0].config
        compared, history = config.comparison_channels, config.history_channels
        self._sequences = sequences
        self._history = history
        self._bound = config.largest_log_term
        # One matrix for all heads here, because all are given the same.
        mix = _stacked(heads, lambda head: head.comparison.mix.weight).flatten(0, 1).T
        self._mix_bias = _stacked(heads, lambda head: head.comparison.mix.bias).flatten()
        self._mix_later, self._mix_difference = torch.split(mix, config.feature_channels)
        refine, self._refine_bias = _side_by_side(heads, lambda head: head.comparison.refine)
        self._refine, self._refine_share = torch.split(refine, [compared, 1], dim=1)
        given = _stacked(heads, lambda head: head.recurrence.weight_ih).transpose(1, 2)
        self._gates_first, self._gates_previous, gates_days = torch.split(given, [compared, compared, len(days)], dim=1)
        self._gates_bias = (_stacked(heads, lambda head: head.recurrence.bias_ih) + days @ gates_days)[:, None]
        self._gates_state = _stacked(heads, lambda head: head.recurrence.weight_hh).transpose(1, 2)
        self._gates_state_bias = _stacked(heads, lambda head: head.recurrence.bias_hh)[:, None]
        local, self._local_bias = _side_by_side(heads, lambda head: head.local)
        self._local_state, self._local_first, self._local_previous = torch.split(
            local, [history, compared, compared], dim=1
        )
        self._last, self._last_bias = _side_by_side(heads, lambda head: head.local_last)
        self._growth, self._growth_bias = _side_by_side(heads, lambda head: head.growth)
        self._growth_gain = _stacked(heads, lambda head: head.growth_gain)[:, None]

    def see(
        self, features: Tensor, first: Earlier | None, previous: Earlier | None, states: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Take in the visit at every place.

        Args:
            features: (4, places, channels), of the visit.
            first: The first visit; None where that is the visit itself.
            previous: The visit before; None where that is the visit itself.
            states: (heads, places, history channels); None before any visit.

        Returns:
            (heads, places, history channels) states, and (heads, places, 4) logarithms of local hazards.
        """
        heads, places = len(self._last), features.shape[1]
        after = features.new_empty((heads, places, self._history))
        logs = features.new_empty((heads, places, self._last.shape[2]))
        step = PLACES_AT_ONCE if features.device.type == "cpu" else max(places, 1)
        same = previous is first or (first is not None and previous is not None and first.features is previous.features)
        for start in range(0, places, step):
            check_cancelled()
            piece = slice(start, start + step)
            with_first = self._compared(features, first, piece)
            with_previous = with_first if same else self._compared(features, previous, piece)
            state = self._recurred(None if states is None else states[:, piece], with_first, with_previous)
            after[:, piece] = state
            logs[:, piece] = self._local_logs(state, with_first, with_previous)
        return after, logs

    def _compared(self, features: Tensor, earlier: Earlier | None, piece: slice) -> Tensor:
        """(heads, piece, comparison channels), see :class:`Comparison`."""
        count = len(self._sequences)
        mixed: Tensor | None = None
        for sequence in self._sequences:
            later = features[sequence, piece]
            found = torch.addmm(self._mix_bias, later, self._mix_later)
            if earlier is not None and sequence in earlier.common:
                found.addmm_(later - earlier.features[sequence, piece], self._mix_difference)
            found = nn.functional.gelu(found)
            mixed = found.mul_(1 / count) if mixed is None else mixed.add_(found, alpha=1 / count)
        if mixed is None:
            raise ShapeError("A visit must have at least one sequence to be compared by.")
        by_head = mixed.view(len(mixed), len(self._refine), -1).transpose(0, 1)
        share = 1.0 if earlier is None else len(earlier.common) / count
        bias = self._refine_bias + share * self._refine_share
        return nn.functional.gelu(torch.baddbmm(bias, by_head, self._refine))

    def _recurred(self, state: Tensor | None, with_first: Tensor, with_previous: Tensor) -> Tensor:
        """(heads, piece, history channels), the gated recurrent unit's new state."""
        given = torch.baddbmm(self._gates_bias, with_first, self._gates_first)
        given.baddbmm_(with_previous, self._gates_previous)
        if state is None:
            held = self._gates_state_bias
        else:
            held = torch.baddbmm(self._gates_state_bias, state, self._gates_state)
        gates = (given[..., : 2 * self._history] + held[..., : 2 * self._history]).sigmoid_()
        reset, keep = torch.split(gates, self._history, dim=2)
        new = torch.addcmul(given[..., 2 * self._history :], reset, held[..., 2 * self._history :]).tanh_()
        return new - keep * new if state is None else torch.lerp(new, state, keep)

    def _local_logs(self, state: Tensor, with_first: Tensor, with_previous: Tensor) -> Tensor:
        """(heads, piece, 4), logarithms of local hazards."""
        hidden = torch.baddbmm(self._local_bias, state, self._local_state)
        hidden.baddbmm_(with_first, self._local_first).baddbmm_(with_previous, self._local_previous)
        logs = torch.baddbmm(self._last_bias, nn.functional.gelu(hidden), self._last)
        logs.addcmul_(torch.baddbmm(self._growth_bias, with_first, self._growth), self._growth_gain)
        return self._bound - nn.functional.softplus(self._bound - logs)


def _stacked(heads: Sequence[HistoryHead], weights: Callable[[HistoryHead], Tensor]) -> Tensor:
    return torch.stack([weights(head) for head in heads])


def _side_by_side(heads: Sequence[HistoryHead], layer: Callable[[HistoryHead], nn.Linear]) -> tuple[Tensor, Tensor]:
    """(heads, in, out) weights and (heads, 1, out) biases of one layer of each head."""
    weights = _stacked(heads, lambda head: layer(head).weight).transpose(1, 2).contiguous()
    return weights, _stacked(heads, lambda head: layer(head).bias)[:, None]
