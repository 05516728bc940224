"""A run's numbers as curves for TensorBoard, where its package is there; ``log.jsonl`` holds the same in any case."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from TemporalGliomaRisk.timeline.finding import Finding

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def can_draw() -> bool:
    """Whether the package that writes curves is installed."""
    return importlib.util.find_spec("tensorboard") is not None


def no_curves() -> tuple[Finding, ...]:
    """What to tell the reader where no curves can be written."""
    if can_draw():
        return ()
    message = "The package tensorboard is not installed (extra train), so the run has no curves, only its log.jsonl."
    return (Finding.note("no_tensorboard", message),)


class Curves:
    """Event files in a folder, a sub-folder for each curve's owner: ``pretrain``, ``member-1``, ``order``.

    Every process writes files of its own, and every number stands at its step, so a run that was killed goes on in the
    same curves, and several processes do not write over each other.

    Args:
        folder: Made with the first number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def add(self, owner: str, step: int, numbers: Mapping[str, float]) -> None:
        """Put numbers at a step, on disk before this returns; nothing where the package is missing."""
        if not can_draw():
            return
        if owner not in self._writers:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (slow to import, and may be missing)

            self._writers[owner] = SummaryWriter(str(self._folder / owner))
        writer = self._writers[owner]
        for name, value in numbers.items():
            writer.add_scalar(name, value, global_step=step)
        writer.flush()
