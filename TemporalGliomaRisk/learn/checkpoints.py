"""Checkpoints without pickle: weights, Adam's moments and the place in training, in one safetensors file.

The settings that made them lie beside.

Random draws are seeded by the number of the update, so nothing else is needed to go on after a kill.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.bundle_weights import parts_added_later
from TemporalGliomaRisk.errors import InputError, ModelError
from TemporalGliomaRisk.files import read_json, write_json_whole, written_whole

WEIGHTS, MOMENTS = "weights.", "optimizer."


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where training stood: updates done, and whatever else the stage keeps (JSON-ready)."""

    updates: int
    notes: dict[str, Any]


def begin_with(
    path: Path,
    config: Any,
    *,
    what: str,
    understood: Callable[[Any], Any] = lambda written: written,
    other: str | None = None,
) -> None:
    """Write the settings of what is begun now; what was begun before goes on with the same ones.

    Args:
        path: JSON file of the settings.
        config: The settings, a dataclass.
        what: What they are of, to begin a sentence with.
        understood: Gives what an earlier version wrote as this one would have written it.
        other: What to say where it was begun with others, None for a sentence on settings.

    Raises:
        InputError: If it was begun with other settings, or what they were cannot be read.
    """
    content = configs.to_json(config)
    if not path.exists():
        write_json_whole(path, content)
    elif understood(read_settings(path, what=what)) != content:
        raise InputError(other or f"{what} was begun with other settings; ask for those, or name a new run folder.")


def read_settings(path: Path, *, what: str) -> Any:
    """The JSON of settings written by :func:`begin_with`.

    Raises:
        InputError: If the file is damaged.
    """
    return read_json(
        path,
        damaged=f"{what} has a damaged {path.name}, which held its settings; bring it back, or name a new run folder.",
    )


def save_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer | None, place: Place) -> None:
    """Write a checkpoint, whole or not at all; without an optimizer it is final weights."""
    tensors = {WEIGHTS + name: value.detach().contiguous() for name, value in network.state_dict().items()}
    if optimizer is not None:
        for number, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"{MOMENTS}{number}.{name}"] = torch.as_tensor(value).detach().contiguous()
    metadata = {"updates": str(place.updates), "notes": json.dumps(place.notes)}
    with written_whole(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Place:
    """Read a checkpoint into a network, and into an optimizer built the same way.

    Raises:
        ModelError: If the file is damaged or belongs to a network of another shape.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        place = _place(metadata)
        weights = _under(tensors, WEIGHTS)
        network.load_state_dict({**weights, **parts_added_later(network, weights)})
        moments = _under(tensors, MOMENTS)
        if optimizer is not None and moments:
            content = optimizer.state_dict()
            content["state"] = _state(moments, optimizer)
            optimizer.load_state_dict(content)
    except Exception as error:
        raise ModelError("A checkpoint is damaged or of another shape; delete it, or name a new run folder.") from error
    return place


def _place(metadata: dict[str, str]) -> Place:
    """Where training stood; raises ValueError where the file does not hold it as numbers by name."""
    updates, notes = int(metadata.get("updates", "0")), json.loads(metadata.get("notes", "{}"))
    are_numbers = isinstance(notes, dict) and all(isinstance(note, (int, float)) for note in notes.values())
    if not (0 <= updates < 2**31 and are_numbers):
        raise ValueError("No place in training.")
    return Place(updates=updates, notes=notes)


def _state(moments: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """Adam's moments by number of the parameter; raises ValueError where one is not of its parameter's shape."""
    shapes = [weight.shape for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        number, field = name.split(".", 1)
        state.setdefault(int(number), {})[field] = value
    for place, fields in state.items():
        wanted = {"step": torch.Size(()), "exp_avg": shapes[place], "exp_avg_sq": shapes[place]}
        if place < 0 or {field: value.shape for field, value in fields.items()} != wanted:
            raise ValueError("Moments of another network.")
        finite = all(bool(torch.isfinite(value).all()) for value in fields.values())
        if not (finite and 0 <= float(fields["step"]) < 2**31 and bool((fields["exp_avg_sq"] >= 0).all())):
            raise ValueError("Moments that no training has.")
    return state


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
