"""The published architecture in spirit, the peer that ``evidence`` is measured against.

A 3-D ResNet-18 pools every visit to one vector; visits attend to one another; an LSTM reads them in order; the last
valid step gives the hazards. Here with masks for padding and missing sequences, days, and discrete-time hazards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from monai.networks.nets import resnet18
from torch import Tensor, nn
from torch.nn import functional

from TemporalGliomaRisk.encode.days import DAY_FEATURES, day_features
from TemporalGliomaRisk.errors import ShapeError, UsageError
from TemporalGliomaRisk.shapes import check_shape

RESNET18_FEATURES = 512
MOST_CHANNELS, MOST_TIMES_WIDER = 4096, 8.0
"""Bounds on what settings ask for, so that nothing is allocated by a file's word."""


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """How the reference model is built.

    Args:
        sequences: Pulse sequences a visit can have: the channels of its intensities.
        interval_ends_days: End of each follow-up interval after a visit; the first begins at 0.
        prevalence: Risk of an event within ``prevalence_days`` that the untrained model gives.
        prevalence_days: See ``prevalence``.
        causal: False as published: a visit attends to later ones too, so every prefix of a timeline is read anew for
            the risk at its last visit. True: a visit attends to itself and earlier ones, all risks in one pass.
        norm: ``batch`` as published; ``instance`` or ``group`` when a step sees few visits. ``instance`` needs over
            32 voxels along an axis with ``first_stride`` 2, or it has one value a channel at the end.
        first_stride: Stride of the first convolution (2 as in the ResNet paper; MONAI's own default is 1).
        widen: Factor on the ResNet's channels, 1 as published.
        width: Channels of attention and LSTM.
        heads: Attention heads.
        dropout: On attention's output and before the readout, in training only.
    """

    sequences: int = 4
    interval_ends_days: tuple[float, ...] = (90.0, 180.0, 365.0, 730.0)
    prevalence: float = 0.15
    prevalence_days: float = 365.0
    causal: bool = False
    norm: str = "batch"
    first_stride: int = 2
    widen: float = 1.0
    width: int = 256
    heads: int = 4
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            UsageError: If the norm is unknown, the prevalence not inside (0, 1), or the intervals don't rise.
        """
        if self.norm not in _NORMS:
            raise UsageError(f"norm must be one of {', '.join(_NORMS)}, got {self.norm}.")
        if not 0 < self.prevalence < 1:
            raise UsageError(f"prevalence must lie between 0 and 1, got {self.prevalence}.")
        sizes = (self.sequences, self.first_stride, self.width, self.heads)
        if not all(1 <= size <= MOST_CHANNELS for size in sizes) or not 0 < self.widen <= MOST_TIMES_WIDER:
            raise UsageError("The sizes of the reference model are outside what this version builds.")
        if self.width % self.heads or not 0 <= self.dropout < 1 or not self.interval_ends_days:
            raise UsageError("width must be a multiple of heads, dropout in [0, 1), and there must be an interval.")
        starts = (0.0, *self.interval_ends_days[:-1])
        if any(start >= end for start, end in zip(starts, self.interval_ends_days, strict=True)):
            raise UsageError(f"interval_ends_days must rise from above 0, got {self.interval_ends_days}.")


_NORMS = ("batch", "instance", "group")


def _with_norm(network: nn.Module, norm: str) -> nn.Module:
    """Replace every batch norm: MONAI (1.6.1) gives the norm it is asked for to the first layer alone."""
    if norm == "batch":
        return network
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm3d):
            groups = child.num_features if norm == "instance" else min(8, child.num_features)
            setattr(network, name, nn.GroupNorm(groups, child.num_features))
        else:
            _with_norm(child, norm)
    return network


class ReferenceModel(nn.Module):
    """3-D ResNet-18 over each visit, self-attention over visits, LSTM, last valid step.

    In evaluation visits are encoded one by one, so one visit's features never depend on another's. In training with
    batch norm all valid visits of the batch share statistics, as published.

    Source:
        Tak D, et al. NEJM AI 2025;2(5):AIoa2400703, figure 1; widths, days and hazards are ours.
    """

    def __init__(self, config: ReferenceConfig) -> None:
        """Build the model untrained: random weights, risk near ``config.prevalence``."""
        super().__init__()
        self.config = config
        resnet: nn.Module = resnet18(
            spatial_dims=3,
            n_input_channels=config.sequences,
            conv1_t_stride=config.first_stride,
            widen_factor=config.widen,
            feed_forward=False,
            shortcut_type="B",
            bias_downsample=False,
        )
        self.visit_encoder = _with_norm(resnet, config.norm)
        self.features = int(RESNET18_FEATURES * config.widen) + config.sequences
        self.to_width = nn.Linear(self.features + DAY_FEATURES, config.width)
        self.attention = nn.MultiheadAttention(config.width, config.heads, batch_first=True)
        self.attention_norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrence = nn.LSTM(config.width, config.width, batch_first=True)
        self.readout = nn.Linear(config.width, len(config.interval_ends_days))
        self._start_near_prevalence()

    def _start_near_prevalence(self) -> None:
        """A constant rate that gives the prevalence, written into the readout's bias; its weights start small."""
        ends = torch.tensor(self.config.interval_ends_days, dtype=torch.float64)
        lengths = torch.diff(ends, prepend=torch.zeros(1, dtype=torch.float64))
        hazards = -math.log1p(-self.config.prevalence) / self.config.prevalence_days * lengths
        with torch.no_grad():
            self.readout.bias.copy_(torch.log(torch.expm1(hazards)))
            nn.init.normal_(self.readout.weight, std=0.01)

    def encode_visit(self, intensities: Tensor, present: Tensor) -> Tensor:
        """Features of one visit.

        Args:
            intensities: (sequences, I, J, K), ignored where a sequence is absent.
            present: (sequences,), boolean, which sequences the visit has.

        Returns:
            (features,), the pooled ResNet features and the presence of each sequence.

        Raises:
            ShapeError: If a shape differs from the above.
        """
        check_shape(intensities, "intensities", (self.config.sequences, "I", "J", "K"))
        check_shape(present, "present", (self.config.sequences,))
        return self._encode(intensities[None], present[None])[0]

    def _encode(self, intensities: Tensor, present: Tensor) -> Tensor:
        seen = present.to(torch.bool)
        shown = torch.where(seen[:, :, None, None, None], intensities, torch.zeros_like(intensities))
        pooled: Tensor = self.visit_encoder(shown)
        return torch.cat([pooled, seen.to(pooled.dtype)], dim=1)

    def encode_visits(self, intensities: Tensor, present: Tensor, valid: Tensor) -> Tensor:
        """Features of every valid visit of a batch; zero where padded, and padding is never looked at.

        Args:
            intensities: (timelines, visits, sequences, I, J, K).
            present: (timelines, visits, sequences), boolean.
            valid: (timelines, visits), boolean, False where padded.

        Returns:
            (timelines, visits, features).
        """
        if self.training:
            encoded = self._encode(intensities[valid], present[valid])
        else:
            visits = zip(intensities[valid], present[valid], strict=True)
            encoded = torch.stack([self.encode_visit(volume, which) for volume, which in visits])
        features = encoded.new_zeros(*valid.shape, self.features)
        features[valid] = encoded
        return features

    def hazards(
        self, features: Tensor, days_since_first: Tensor, days_since_treatment: Tensor, valid: Tensor
    ) -> Tensor:
        """Interval hazards at every visit, each from that visit and earlier ones only.

        Args:
            features: (timelines, visits, features), from :meth:`encode_visits`.
            days_since_first: (timelines, visits).
            days_since_treatment: (timelines, visits), NaN where unknown.
            valid: (timelines, visits), boolean, False where padded; padding follows the visits.

        Returns:
            (timelines, visits, intervals), cumulative hazard of each interval, > 0; 0 where padded.

        Raises:
            ShapeError: If shapes disagree, a timeline has no visit, or padding comes before a visit.
        """
        check_shape(features, "features", ("timelines", "visits", self.features))
        _check_padding(valid, features)
        days = day_features(days_since_first, days_since_treatment).to(features.dtype)
        days = torch.where(valid[..., None], days, torch.zeros_like(days))
        tokens = self.to_width(torch.cat([features, days], dim=-1))
        if self.config.causal:
            history = self._history(tokens, valid)
        else:
            prefixes = range(1, tokens.shape[1] + 1)
            history = torch.stack([self._history(tokens[:, :k], valid[:, :k])[:, -1] for k in prefixes], dim=1)
        hazards = functional.softplus(self.readout(self.dropout(history)))
        return torch.where(valid[..., None], hazards, torch.zeros_like(hazards))

    def _history(self, tokens: Tensor, valid: Tensor) -> Tensor:
        later = None
        if self.config.causal:
            visits = tokens.shape[1]
            later = torch.ones(visits, visits, dtype=torch.bool, device=tokens.device).triu(diagonal=1)
        attended, _ = self.attention(
            tokens, tokens, tokens, key_padding_mask=~valid, attn_mask=later, need_weights=False
        )
        steps, _ = self.recurrence(self.attention_norm(tokens + self.dropout(attended)))
        return steps  # type: ignore[no-any-return]

    def forward(
        self,
        intensities: Tensor,
        present: Tensor,
        days_since_first: Tensor,
        days_since_treatment: Tensor,
        valid: Tensor,
    ) -> Tensor:
        """Interval hazards at every visit; see :meth:`encode_visits` and :meth:`hazards` for shapes."""
        check_shape(intensities, "intensities", ("timelines", "visits", self.config.sequences, "I", "J", "K"))
        features = self.encode_visits(intensities, present, valid)
        return self.hazards(features, days_since_first, days_since_treatment, valid)


def _check_padding(valid: Tensor, features: Tensor) -> None:
    if valid.dtype != torch.bool or valid.shape != features.shape[:2]:
        raise ShapeError(f"valid must be boolean {tuple(features.shape[:2])}, got {valid.dtype} {tuple(valid.shape)}.")
    if not bool(valid[:, 0].all()) or bool((valid[:, 1:] & ~valid[:, :-1]).any()):
        raise ShapeError("valid must begin with at least one visit a timeline, and padding must follow the visits.")
