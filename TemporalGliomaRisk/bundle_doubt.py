"""The part of a bundle that says when not to believe it; a bundle without it loads, and then says less.

``doubt.json`` holds thresholds and counts, ``models/doubt.safetensors`` what is usual of a visit, ``sanity.json`` the
weight-randomisation test of the heatmap. Shapes follow from the network, so nothing is allocated by a file's word.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.encode.evidence import SEQUENCE_COUNT
from TemporalGliomaRisk.encode.summary import SUMMARY_VERSION, change_length, summary_length
from TemporalGliomaRisk.errors import GliomaRiskError, ModelError
from TemporalGliomaRisk.explain.sanity import HeatmapSanity
from TemporalGliomaRisk.files import write_json_whole, written_whole
from TemporalGliomaRisk.risk.doubt import Doubt, Usual

DOUBT, DOUBT_TENSORS, SANITY = "doubt.json", "models/doubt.safetensors", "sanity.json"
PARTS = ("appearance", "change")
NUMBERS = (
    *("unusual_above", "at_odds_above", "false_alarm_rate", "at_odds_rate"),
    *("training_visits", "validation_visits", "validation_patients"),
)


def write_doubt(folder: Path, doubt: Doubt | None, sanity: HeatmapSanity | None) -> None:
    """Write what is given; files of an earlier bundle in the folder that are not given go."""
    for name in (DOUBT, DOUBT_TENSORS, SANITY):
        (folder / name).unlink(missing_ok=True)
    if doubt is not None:
        tensors = {
            f"{part}.{name}": tensor.contiguous()
            for part in PARTS
            for name, tensor in getattr(doubt, part).__dict__.items()
        }
        with written_whole(folder / DOUBT_TENSORS) as temporary:
            temporary.write_bytes(save(tensors))
        numbers = {name: getattr(doubt, name) for name in NUMBERS}
        write_json_whole(folder / DOUBT, {"summary_version": SUMMARY_VERSION, **numbers})
    if sanity is not None:
        write_json_whole(folder / SANITY, configs.to_json(sanity))


def doubt_of(content: Mapping[str, Any], tensors: Path, channels: int) -> Doubt | None:
    """What ``doubt.json`` and its tensors say; None where they were made with another form of summary.

    Args:
        content: Of ``doubt.json``.
        tensors: Path of ``models/doubt.safetensors``.
        channels: Feature channels of the network.

    Raises:
        ModelError: If a number or a tensor is missing, of another shape or not finite.
    """
    if content.get("summary_version") != SUMMARY_VERSION:
        return None
    parts = {
        part: Usual(**_read_part(tensors, part, length))
        for part, length in zip(PARTS, (summary_length(channels), change_length(channels)), strict=True)
    }
    try:
        numbers = {name: float(content[name]) for name in NUMBERS}
        counts = {name: int(numbers[name]) for name in NUMBERS if name.endswith(("visits", "patients"))}
        return Doubt(**{**numbers, **counts, **parts})  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError("doubt.json of the model is incomplete or not understood; fetch the model again.") from error


def sanity_of(content: Mapping[str, Any]) -> HeatmapSanity:
    """What ``sanity.json`` says.

    Raises:
        ModelError: If it is incomplete.
    """
    try:
        sanity = configs.from_json(HeatmapSanity, content)
        # The sentence is made now, so that a number that is none is found here and not in a report.
        if not sanity.sentence:
            raise ValueError("no sentence")
    except ModelError:
        raise
    except (TypeError, ValueError, AttributeError, GliomaRiskError) as error:
        raise ModelError("sanity.json of the model is incomplete or not understood; fetch the model again.") from error
    return sanity


def _read_part(path: Path, part: str, length: int) -> dict[str, Tensor]:
    wanted = {
        "centre": (SEQUENCE_COUNT, length),
        "whitening": (SEQUENCE_COUNT, length, length),
        "level": (SEQUENCE_COUNT, 2),
        "known": (SEQUENCE_COUNT,),
    }
    try:
        with safe_open(str(path), framework="pt") as file:
            found = {name: tuple(file.get_slice(f"{part}.{name}").get_shape()) for name in wanted}
            if found != wanted:
                raise ModelError("doubt.safetensors of the model does not fit its network; fetch the model again.")
            tensors = {name: file.get_tensor(f"{part}.{name}") for name in wanted}
    except ModelError:
        raise
    except Exception as error:
        raise ModelError("doubt.safetensors of the model cannot be read; fetch the model again.") from error
    kinds = {name: torch.bool if name == "known" else torch.float32 for name in wanted}
    if any(tensors[name].dtype != kinds[name] for name in wanted) or not all(
        bool(torch.isfinite(tensors[name]).all()) for name in wanted if name != "known"
    ):
        raise ModelError("doubt.safetensors of the model holds unusable numbers; fetch the model again.")
    if not bool((tensors["level"][:, 1] > 0).all()):
        raise ModelError("doubt.safetensors of the model holds a spread that is not above 0; fetch the model again.")
    return tensors
