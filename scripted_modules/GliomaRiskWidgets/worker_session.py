"""One worker process for as long as the module needs it, polled by a timer, so that Slicer stays responsive."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt

from TemporalGliomaRisk.errors import Cancelled, GliomaRiskError, InputError
from TemporalGliomaRisk.worker.client import WorkerClient

from .wording import in_panel_words

POLL_MS = 100
Message = dict[str, Any]


def ignore(message: Message) -> None:
    """The listener that nobody set."""


@dataclass
class Listeners:
    """Who hears what of one request."""

    progress: Callable[[Message], None] = ignore
    result: Callable[[Message], None] = ignore
    error: Callable[[Message], None] = ignore


class WorkerFailure(GliomaRiskError):
    """The worker ended a request with an error.

    Args:
        message: The worker's ``error``.
    """

    def __init__(self, message: Message) -> None:
        self.kind = str(message["kind"])
        self.findings = list(message.get("findings") or [])
        super().__init__(in_panel_words(str(message["message"])))


def error_of(message: Message) -> GliomaRiskError:
    """The exception that a worker's ``error`` stands for."""
    if message["kind"] == "cancelled":
        return Cancelled(str(message["message"]))
    if message["kind"] == "input":
        return InputError(str(message["message"]))
    return WorkerFailure(message)


class WorkerSession:
    """Asks the worker, and tells listeners what it answers.

    Args:
        make_client: Makes the client when it is first needed: the interpreter may be named by then.

    Attributes:
        changed: Called with every ``hello`` and ``ready``, when models and devices are known; set by the panel.
    """

    def __init__(self, make_client: Callable[[], WorkerClient]) -> None:
        self._make_client = make_client
        self._client: WorkerClient | None = None
        self._listeners: dict[str, Listeners] = {}
        self.changed: Callable[[Message], None] = ignore
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.poll)

    @property
    def client(self) -> WorkerClient:
        """The client, made now if it was not there."""
        if self._client is None:
            self._client = self._make_client()
        return self._client

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._client is not None and self._client.busy is not None

    @property
    def hello(self) -> Message | None:
        """What the worker said of itself, None before."""
        return None if self._client is None else self._client.hello

    @property
    def ready(self) -> Message | None:
        """Which devices the worker has, None before it is warm."""
        return None if self._client is None else self._client.ready

    def warm_up(self) -> None:
        """Start the worker while the reader is still choosing."""
        self.client.start()
        self._timer.start()

    def predict(self, timeline: Any, output: Any, listeners: Listeners, **options: Any) -> str:
        """Ask for a risk; see :meth:`WorkerClient.predict`."""
        return self._asked(self.client.predict(timeline, output, **options), listeners)

    def register(self, timeline: Any, listeners: Listeners, **options: Any) -> str:
        """Ask for the visits brought onto the first; see :meth:`WorkerClient.register`."""
        return self._asked(self.client.register(timeline, **options), listeners)

    def check(self, timeline: Any, listeners: Listeners, **options: Any) -> str:
        """Ask for a check; see :meth:`WorkerClient.check`."""
        return self._asked(self.client.check(timeline, **options), listeners)

    def _asked(self, request_id: str, listeners: Listeners) -> str:
        self._listeners[request_id] = listeners
        self._timer.start()
        return request_id

    def cancel(self) -> None:
        """Stop the request under way; its listener hears an error of kind ``cancelled``."""
        if self._client is not None:
            self._client.cancel()

    def poll(self) -> None:
        """Hand out what the worker said since the last time. Called by the timer; never waits."""
        if self._client is None:
            self._timer.stop()
            return
        for message in self._client.poll():
            self._tell(message)
        waiting = self._client is not None and self._client.running and self._client.ready is None
        if not self._listeners and not waiting:
            self._timer.stop()

    def _tell(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("hello", "ready"):
            self.changed(message)
        elif kind == "progress":
            self._listeners.get(str(message["id"]), Listeners()).progress(message)
        elif kind in ("result", "error"):
            listeners = self._listeners.pop(str(message["id"]), Listeners())
            if kind == "error":
                self._log_end(message)
                if message["kind"] == "start":
                    self.restart()  # the next request asks anew which Python it is, and finds what was installed in it
            (listeners.result if kind == "result" else listeners.error)(message)

    def _log_end(self, message: Message) -> None:
        """Of a worker that could not start or died the log has its last words, without paths, dates and names."""
        said = "" if self._client is None else self._client.diagnostics().strip()
        if said and message["kind"] in ("start", "crashed"):
            logging.error("The worker of Temporal Glioma Risk ended; its last words:\n%s", said)

    def wait(self, request_id: str, *, tick: Callable[[], None]) -> None:
        """Poll until a request has ended, for scripts: ``tick`` keeps Slicer's window alive meanwhile."""
        while request_id in self._listeners:
            self.poll()
            tick()
            time.sleep(0.02)

    def restart(self) -> None:
        """End the worker, so that the next request finds packages that were installed meanwhile."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        """End the worker and the timer; listeners are not told any more."""
        self._timer.stop()
        self._listeners.clear()
        self.restart()
