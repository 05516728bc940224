"""A larger pair model that computes the same function as a smaller one, so that training can go on from there."""

from __future__ import annotations

import torch
from torch import Tensor

from TemporalGliomaRisk.encode.evidence import EvidenceConfig
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import UsageError


@torch.no_grad()
def widened(model: PairModel, config: EvidenceConfig) -> PairModel:
    """A model of larger sizes that gives what ``model`` gives.

    New channels carry random functions of the input that nothing of old reads yet; new convolutions add nothing yet.

    Args:
        model: The smaller model.
        config: The larger sizes, none below the model's.

    Returns:
        A new model; ``model`` is left alone.

    Raises:
        UsageError: If a size is smaller than the model's.

    Source:
        After Chen, Goodfellow and Shlens, Net2Net, ICLR 2016 (arXiv 1511.05641), with zeros instead of copies.
    """
    for name in ("feature_channels", "comparison_channels", "convolutions"):
        if getattr(config, name) < getattr(model.config, name):
            raise UsageError(
                f"A model of {name} {getattr(model.config, name)} cannot begin one of {getattr(config, name)}; "
                "ask for as many or more."
            )
    large = PairModel(config)
    small_state, state = model.state_dict(), large.state_dict()
    for name, weight in state.items():
        small = small_state.get(name)
        if small is None:  # A convolution more.
            weight.zero_()
        elif weight.ndim == 1:
            weight[: len(small)] = small
        else:
            outputs, inputs = slice(small.shape[0]), _old_inputs(name, model.config, config, small)
            weight[outputs] = 0
            weight[outputs, inputs] = small
    return large


def _old_inputs(name: str, old: EvidenceConfig, new: EvidenceConfig, small: Tensor) -> Tensor:
    """Which inputs of the larger layer are those of the smaller one."""
    inputs = torch.arange(small.shape[1])
    if name == "comparison.mix.weight":  # Later features, then differences.
        return torch.where(inputs < old.feature_channels, inputs, inputs - old.feature_channels + new.feature_channels)
    if name == "comparison.refine.weight":  # The comparison, then the share compared.
        return torch.where(inputs < old.comparison_channels, inputs, torch.tensor(new.comparison_channels))
    return inputs
