"""What the worker says of itself: versions and models at once, devices once torch is loaded."""

from __future__ import annotations

import json
import os
import platform
from typing import Any

import TemporalGliomaRisk
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.resources import library_version, resource_path


def hello() -> dict[str, Any]:
    """Without loading anything heavy."""
    return {
        "package": TemporalGliomaRisk.__version__,
        "pid": os.getpid(),
        "python": platform.python_version(),
        "torch": library_version("torch"),
        "models": shipped_models(),
        "research_use_only": TemporalGliomaRisk.RESEARCH_USE_ONLY,
    }


def shipped_models() -> list[dict[str, str]]:
    """The models of this installation, as their own metadata describe them; an unreadable one is left out."""
    try:
        folders = sorted(path for path in resource_path("Models").iterdir() if path.is_dir())
    except UsageError:
        return []
    found = []
    for folder in folders:
        try:
            metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
            found.append(
                {
                    "name": str(metadata["name"]),
                    "folder": str(folder),
                    "version": str(metadata["version"]),
                    "caveat": str(metadata["caveat"]),
                    "card": str(folder / "docs" / "README.md"),
                    "licence": str(folder / "LICENSE"),
                }
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def devices() -> list[dict[str, str]]:
    """What the network can run on; loads torch."""
    import torch  # noqa: PLC0415

    cores = os.cpu_count() or 1
    found = [{"name": "cpu", "label": f"Processor, {cores} core{'s' if cores != 1 else ''}"}]
    cards = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if not torch.cuda.is_available():
        return found
    if len(cards) == 1:
        return [*found, {"name": "cuda", "label": cards[0]}]
    return [*found, *({"name": f"cuda:{number}", "label": f"{number}: {card}"} for number, card in enumerate(cards))]
