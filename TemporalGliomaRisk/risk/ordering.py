"""How sure the pictures alone are that a visit came after the one before: the ordering head, read out."""

from __future__ import annotations

import torch
from torch import Tensor

from TemporalGliomaRisk.encode.pairs import OrderHead, even_shares


class OrderKeeper:
    """Compares each visit with the one before, oldest first; sees no date.

    Args:
        head: Trained on whole visits, None for a model that has none.
    """

    def __init__(self, head: OrderHead | None) -> None:
        self._head = head
        self._previous: tuple[Tensor, Tensor] | None = None

    @torch.inference_mode()
    def see(self, features: Tensor, present: Tensor) -> float | None:
        """Take in the next visit.

        Args:
            features: (4, places, channels).
            present: (4,).

        Returns:
            Probability that this visit came after the one before: near one half where the pictures do not tell. None
            at the first visit, without a sequence in common, and without a head.
        """
        previous, self._previous = self._previous, (features, present)
        if self._head is None or previous is None:
            return None
        earlier, present_earlier = previous
        common = present & present_earlier
        if not common.any():
            return None
        shares = even_shares(features.new_ones(features.shape[1], dtype=torch.bool))
        return float(torch.sigmoid(self._head.order_logit(earlier, features, common, shares)))
