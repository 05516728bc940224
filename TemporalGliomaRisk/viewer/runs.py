"""A prediction started in the page: the worker computes it, while the page shows progress, can cancel and responds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.failures import shown_sentence_of
from TemporalGliomaRisk.worker.client import WorkerClient

POLL_SECONDS = 0.1
IDLE: dict[str, Any] = {"active": False, "words": "", "percent": 0, "left": "", "cancelling": False}
"""What the page shows of a run while there is none."""
_LOGGER = logging.getLogger(__name__)


class Runs:
    """One worker, one prediction at a time.

    Args:
        show: Given what the page shows of the run, whenever that changes.
        finished: Given the folder of the results.
        failed: Given the sentence that says why there are none.
        client: Speaks with the worker.
    """

    def __init__(
        self,
        *,
        show: Callable[[dict[str, Any]], None],
        finished: Callable[[Path], None],
        failed: Callable[[str], None],
        client: WorkerClient | None = None,
    ) -> None:
        self._show = show
        self._finished = finished
        self._failed = failed
        self._client = client or WorkerClient()
        self._shown = dict(IDLE)
        self._request: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether a prediction is under way."""
        return self._request is not None

    def warm_up(self) -> None:
        """Start the worker, so that it is ready when it is asked."""
        self._client.start()

    def predict(self, timeline: Path, output: Path, *, patient: str | None = None) -> None:
        """Ask for a timeline's risks, of one patient where it holds several."""
        if self.active:
            return
        self._request = self._client.predict(timeline, output, patient=patient)
        self._tell(active=True, words="Starting the worker", percent=0, left="", cancelling=False)
        self._task = asyncio.get_running_loop().create_task(self._listen())

    def cancel(self) -> None:
        """Ask the worker to stop; it says when it has."""
        if self.active:
            self._client.cancel()
            self._tell(cancelling=True)

    def close(self) -> None:
        """End the worker."""
        if self._task is not None:
            self._task.cancel()
        self._client.close(timeout_s=0.5)

    async def _listen(self) -> None:
        while self._request is not None:
            try:
                messages = self._client.poll()
            except Exception as error:  # a run that nobody listens to would never end on the page
                _LOGGER.debug("The worker could not be asked.", exc_info=True)
                self._end()
                self._failed(shown_sentence_of(error, advice="; the run was ended, start it again"))
                self._client.close(timeout_s=0.0)
                return
            for message in messages:
                if message.get("id") == self._request:
                    self._take(message)
            await asyncio.sleep(POLL_SECONDS)

    def _end(self) -> None:
        self._request = None
        self._tell(**IDLE)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "progress":
            self._tell(
                words=message["message"],
                percent=max(self._shown["percent"], int(100 * message["fraction"])),
                left=time_left(message.get("seconds_left")),
            )
            return
        self._end()
        if message["type"] == "result":
            self._finished(Path(message["output"]))
        elif message["kind"] != "cancelled":
            self._failed(str(message["message"]))

    def _tell(self, **changes: Any) -> None:
        self._shown = {**self._shown, **changes}
        self._show(self._shown)


def time_left(seconds: float | None) -> str:
    """``about 8 s left``, ``about 3 min left``; empty while it cannot be told."""
    if seconds is None:
        return ""
    if seconds < 1.5:
        return "almost done"
    if seconds < 90:
        return f"about {max(2, round(seconds))}\u202fs left"
    return f"about {round(seconds / 60)}\u202fmin left"
