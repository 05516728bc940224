"""Weights of a bundle as safetensors: no pickle, sizes and shapes bounded by the network before anything is read."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from TemporalGliomaRisk.errors import ModelError
from TemporalGliomaRisk.files import written_whole

LARGEST_WEIGHTS_BYTES = 200_000_000
Network = TypeVar("Network", bound=nn.Module)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights, whole or not at all."""
    tensors = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    with written_whole(path) as temporary:
        temporary.write_bytes(save(tensors))


def parts_added_later(network: nn.Module, found: Container[str]) -> dict[str, Tensor]:
    """What weights of an earlier version lack, as the network begins with it.

    Args:
        network: One that names such parts in ``ADDED_LATER``, or any other, which has none.
        found: Names of the weights that are there.

    Returns:
        The network's own tensors by name.
    """
    state = network.state_dict()
    return {name: state[name] for name in getattr(network, "ADDED_LATER", ()) if name not in found}


def load_weights(network: Network, path: Path) -> Network:
    """Read weights into a network built for them, and put it in evaluation mode.

    Raises:
        ModelError: If the file is too large, no safetensors file, of other names or shapes, or holds no finite numbers.
    """
    if path.stat().st_size > LARGEST_WEIGHTS_BYTES:
        raise ModelError("The model's weights are larger than any this version makes; fetch the model again.")
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    try:
        with safe_open(str(path), framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            lacking = parts_added_later(network, found)
            if {**found, **{name: wanted[name] for name in lacking}} != wanted:
                raise ModelError("The model's weights do not fit its configuration; fetch the model again.")
            tensors = {name: file.get_tensor(name) for name in found}
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise ModelError("The model's weights hold values that are not finite; fetch the model again.")
        network.load_state_dict({**tensors, **lacking})
    except ModelError:
        raise
    except Exception as error:
        raise ModelError("The model's weights cannot be read as safetensors; fetch the model again.") from error
    return network.eval()
