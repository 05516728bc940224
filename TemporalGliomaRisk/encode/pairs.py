"""What is learnt from two visits: where a lesion is at each, where it grew between them, and which of them came first.

The tasks share the encoder and the comparison with the ``evidence`` model, and none sees a date.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from TemporalGliomaRisk.encode.evidence import Comparison, EvidenceConfig, VisitEncoder

ORDER_CHANNELS = 16


def even_shares(inside: Tensor) -> Tensor:
    """(..., places) places that count to the logarithms of their equal shares, minus infinity for the others."""
    count = inside.sum(dim=-1, keepdim=True).clamp(min=1)
    return torch.where(inside, -count.log(), -math.inf)


class OrderHead(nn.Module):
    """Which of two visits came first: a comparison at every place, pooled over the brain.

    Args:
        config: Sizes, shared with the ``evidence`` model.
    """

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        self.config = config
        self.comparison = Comparison(config)
        self.order_places = nn.Linear(config.comparison_channels, ORDER_CHANNELS)
        self.order_pooled = nn.Linear(2 * ORDER_CHANNELS, 1)

    def order_logit(self, one: Tensor, other: Tensor, common: Tensor, log_shares: Tensor) -> Tensor:
        """Log-odds that ``one`` came before ``other``; swapping the two changes the sign and nothing else.

        Args:
            one: (..., 4, places, channels), features of one visit.
            other: (..., 4, places, channels), features of the other.
            common: (..., 4), sequences that both have.
            log_shares: (..., places), logarithm of each place's share of the brain; see :func:`even_shares`.

        Returns:
            (...,).
        """
        forward, backward = self._both_ways(one, other, common)
        return self._evidence(forward, log_shares) - self._evidence(backward, log_shares)

    def _both_ways(self, one: Tensor, other: Tensor, common: Tensor) -> tuple[Tensor, Tensor]:
        return self.comparison(one, other, common, common), self.comparison(other, one, common, common)

    def _evidence(self, compared: Tensor, log_shares: Tensor) -> Tensor:
        """Pool the places by their mean and by log-mean-exp, which a small focus can move."""
        evidence = self.order_places(compared)
        shares = log_shares[..., None]
        mean = (evidence * shares.exp()).sum(dim=-2)
        log_mean_exp = torch.logsumexp(evidence + shares, dim=-2)
        pooled: Tensor = self.order_pooled(torch.cat([mean, log_mean_exp], dim=-1))[..., 0]
        return pooled


@dataclass(frozen=True, kw_only=True)
class PairLogits:
    """What two visits with the same sequences say.

    Args:
        growth: (..., places), as :meth:`PairModel.growth_logits`.
        order: (...,), as :meth:`OrderHead.order_logit`.
        lesions: (..., 2, places), log-odds of the share of each place that is tumour, at the earlier and later visit.
    """

    growth: Tensor
    order: Tensor
    lesions: Tensor


class PairModel(OrderHead):
    """Encoder, comparison, and the heads of pretraining.

    Args:
        config: Sizes, shared with the ``evidence`` model.
    """

    ADDED_LATER = ("lesion.weight", "lesion.bias")
    """What weights written by an earlier version lack; it then begins anew."""

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__(config)
        self.encoder = VisitEncoder(config)
        self.growth, self.lesion = (nn.Linear(config.comparison_channels, 1) for _ in range(2))
        with torch.no_grad():
            for head in (self.growth, self.lesion):
                head.bias.fill_(-4.0)

    def growth_logits(self, earlier: Tensor, later: Tensor, present_earlier: Tensor, present_later: Tensor) -> Tensor:
        """Log-odds that a lesion grew into each place between two visits.

        Args:
            earlier: (..., 4, places, channels), features of the earlier visit.
            later: (..., 4, places, channels), features of the later visit.
            present_earlier: (..., 4), its sequences.
            present_later: (..., 4), its sequences.

        Returns:
            (..., places).
        """
        compared = self.comparison(earlier, later, present_earlier, present_later)
        logits: Tensor = self.growth(compared)[..., 0]
        return logits

    def all_logits(self, earlier: Tensor, later: Tensor, present: Tensor, inside: Tensor) -> PairLogits:
        """All that is learnt from pairs that have the same sequences, for the price of two comparisons.

        Args:
            earlier: (..., 4, places, channels), features of the earlier visit.
            later: (..., 4, places, channels), features of the later visit.
            present: (..., 4), sequences of both.
            inside: (..., places), places that count for the order.
        """
        forward, backward = self._both_ways(earlier, later, present)
        shares = even_shares(inside)
        return PairLogits(
            growth=self.growth(forward)[..., 0],
            order=self._evidence(forward, shares) - self._evidence(backward, shares),
            lesions=torch.stack([self.lesion(compared)[..., 0] for compared in (backward, forward)], dim=-2),
        )

    def head_of_order(self) -> OrderHead:
        """The part that tells the order, without the encoder: a copy."""
        head = OrderHead(self.config)
        wanted = set(head.state_dict())
        head.load_state_dict({name: value for name, value in self.state_dict().items() if name in wanted})
        return head
