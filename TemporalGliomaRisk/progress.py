"""How long work says how far it has come, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ProgressEvent:
    """One step of progress: the stage's name, the fraction of the whole done (0 to 1), and a sentence for people."""

    stage: str
    fraction: float
    message: str


ProgressListener = Callable[[ProgressEvent], None]
"""Called with every event, on the working thread; raise :class:`errors.Cancelled` from it to stop the work."""


def ignore_progress(event: ProgressEvent) -> None:
    """The listener that nobody set."""


def part_of(listener: ProgressListener, start: float, end: float, prefix: str = "") -> ProgressListener:
    """A listener for a part of the work: its 0 to 1 is the whole's ``start`` to ``end``."""

    def listen(event: ProgressEvent) -> None:
        fraction = start + (end - start) * event.fraction
        listener(ProgressEvent(stage=event.stage, fraction=fraction, message=prefix + event.message))

    return listen
