"""How long work says how far it has come, and hears that it is no longer wanted, without knowing who listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
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


def _go_on() -> None:
    """The check that nobody set."""


_check: ContextVar[Callable[[], None]] = ContextVar("_check", default=_go_on)


@contextlib.contextmanager
def cancellable(check: Callable[[], None]) -> Iterator[None]:
    """While inside, :func:`check_cancelled` calls ``check``, on this thread.

    Args:
        check: Called often, so it must be quick; raises :class:`errors.Cancelled` to stop the work.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def check_cancelled() -> None:
    """Called inside every step that may take longer than half a second, several times; it is no step of progress.

    Raises:
        Cancelled: If the reader asked to stop.
    """
    _check.get()()
