"""What is learnt from two visits: where a lesion grew between them, and which of them came first.

Both tasks share the encoder and the comparison with the ``evidence`` model, and neither sees a date.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from TemporalGliomaRisk.encode.evidence import Comparison, EvidenceConfig, VisitEncoder

ORDER_CHANNELS = 16


class PairModel(nn.Module):
    """Encoder, comparison, and the two heads of pretraining.

    Args:
        config: Sizes, shared with the ``evidence`` model.
    """

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = VisitEncoder(config)
        self.comparison = Comparison(config)
        self.growth = nn.Linear(config.comparison_channels, 1)
        self.order_places = nn.Linear(config.comparison_channels, ORDER_CHANNELS)
        self.order_pooled = nn.Linear(2 * ORDER_CHANNELS, 1)
        with torch.no_grad():
            self.growth.bias.fill_(-4.0)

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

    def both_logits(self, earlier: Tensor, later: Tensor, present: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Growth and order of pairs that have the same sequences, for the price of two comparisons instead of three.

        Args:
            earlier: (..., 4, places, channels), features of the earlier visit.
            later: (..., 4, places, channels), features of the later visit.
            present: (..., 4), sequences of both.
            inside: (..., places), places that count for the order.

        Returns:
            (..., places) as :meth:`growth_logits`, and (...,) as :meth:`order_logit`.
        """
        forward = self.comparison(earlier, later, present, present)
        backward = self.comparison(later, earlier, present, present)
        growth: Tensor = self.growth(forward)[..., 0]
        return growth, self._order_evidence(forward, inside) - self._order_evidence(backward, inside)

    def order_logit(self, one: Tensor, other: Tensor, common: Tensor, inside: Tensor) -> Tensor:
        """Log-odds that ``one`` came before ``other``; swapping the two changes the sign and nothing else.

        Args:
            one: (..., 4, places, channels), features of one visit.
            other: (..., 4, places, channels), features of the other.
            common: (..., 4), sequences that both have.
            inside: (..., places), places that count.

        Returns:
            (...,).
        """
        return self.both_logits(one, other, common, inside)[1]

    def _order_evidence(self, compared: Tensor, inside: Tensor) -> Tensor:
        """Pool the places by their mean and by log-mean-exp, which a small focus can move."""
        evidence = self.order_places(compared)
        mask = inside[..., None]
        count = inside.sum(dim=-1, keepdim=True).clamp(min=1).to(evidence.dtype)
        mean = (evidence * mask).sum(dim=-2) / count
        log_mean_exp = torch.logsumexp(evidence.masked_fill(~mask, -math.inf), dim=-2) - count.log()
        pooled: Tensor = self.order_pooled(torch.cat([mean, log_mean_exp], dim=-1))[..., 0]
        return pooled
