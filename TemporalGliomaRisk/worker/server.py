"""The worker's process: one thread listens, the main thread works, one request at a time.

A cancel is heard at once and takes effect at the work's next look (``progress.check_cancelled``). Where the host is
gone, which its closed pipe or an orphaned process tells, the work is cancelled, so that its unfinished files go, and
what has not ended half a second later is ended.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from TemporalGliomaRisk.errors import Cancelled, InputError
from TemporalGliomaRisk.failures import shown_sentence_of
from TemporalGliomaRisk.progress import ProgressEvent, cancellable
from TemporalGliomaRisk.worker.channel import Channel
from TemporalGliomaRisk.worker.greeting import devices, hello
from TemporalGliomaRisk.worker.messages import ErrorKind, Message, MessageError
from TemporalGliomaRisk.worker.schema import check_request

if TYPE_CHECKING:
    from TemporalGliomaRisk.worker.work import Work

GRACE_S = 0.5
ORPHAN_LOOK_S = 0.25
TELLING_FRACTION = 0.05
"""Before so much is done, how long the rest takes cannot be told."""
CANCELLED = "Cancelled."


class WorkerServer:
    """Serves one host until it says ``bye`` or is gone.

    Args:
        own_group: Whether this process and what it starts are a process group of their own, which ends as a whole.
    """

    def __init__(self, *, own_group: bool) -> None:
        self._own_group = own_group
        # Before anything that takes time: an orphan's parent is another process, and to it nothing would happen.
        self._parent = os.getppid() if os.name == "posix" else None
        self._channel = Channel.over_standard_streams(self._host_gone)
        self._queue: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._current: str | None = None
        self._waiting = False
        self._cancelled = threading.Event()
        self._ending = threading.Event()
        self._ended = threading.Event()
        self._work: Work | None = None
        self._cannot: dict[str, Any] | None = None

    def serve(self) -> None:
        """Work until the end."""
        faulthandler.enable()
        self._channel.say("hello", None, hello())
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        if self._parent is not None:
            threading.Thread(target=self._watch_parent, daemon=True).start()
        try:
            self._load()
            while (message := self._queue.get()) is not None:
                self._answer(message)
        finally:
            self._channel.say("bye", None)
            self._ended.set()
            if self._ending.is_set():
                # The thread that waits for this may not get to it before the interpreter is gone.
                self._end_group()

    def _load(self) -> None:
        """Everything heavy, before the first request; without it every request is told why."""
        began = time.perf_counter()
        try:
            from TemporalGliomaRisk.worker.work import Work  # noqa: PLC0415

            import torch  # noqa: PLC0415  (isort: skip)

            self._work = Work()
            found = devices()
            with contextlib.suppress(InputError):
                self._work.model(None)
        except Exception as error:  # noqa: BLE001  (a broken torch fails in many ways, and each request is told how)
            self._work = None
            self._cannot = {**_error_of(error), "kind": "start"}
            self._channel.say("error", None, self._cannot)
            return
        seconds = round(time.perf_counter() - began, 3)
        self._channel.say("ready", None, {"torch": torch.__version__, "devices": found, "seconds": seconds})

    # On the listening thread

    def _listen(self) -> None:
        try:
            self._channel.listen(self._heard, self._misheard)
        finally:
            self._host_gone()

    def _heard(self, message: Message) -> None:
        if message["type"] == "bye":
            self._cancelled.set()
            self._queue.put(None)
        elif message["type"] == "cancel":
            self._cancel(message["id"])
        else:
            self._take(message)

    def _misheard(self, error: MessageError) -> None:
        self._channel.say("error", error.request_id, _error("protocol", str(error)))

    def _take(self, message: Message) -> None:
        request_id = message["id"]
        if request_id is None:
            self._misheard(MessageError("A request needs an id, by which its answers are known."))
            return
        with self._lock:
            if self._current is None:
                self._current, self._waiting = request_id, True
                self._cancelled.clear()
                self._queue.put(message)
                return
            again = request_id == self._current
        sentence = "The worker is busy with another request. Wait for its end, or cancel it first."
        # The answer to an id in use would be taken for the other request's.
        self._channel.say("error", None if again else request_id, _error("busy", sentence))

    def _cancel(self, request_id: str | None) -> None:
        """Stop a request; one that waits for the start is answered here, for nothing looks while torch loads."""
        with self._lock:
            if request_id is None or request_id != self._current:
                return  # ended on its own in the meantime
            self._cancelled.set()
            answer = self._waiting
            if answer:
                self._current, self._waiting = None, False
        if answer:
            self._channel.say("error", request_id, _error("cancelled", CANCELLED))

    def _host_gone(self) -> None:
        """Nobody is there to work for: end within a second, from whichever thread found out."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._cancelled.set()
        self._queue.put(None)
        threading.Thread(target=self._end_soon, daemon=True).start()

    def _end_soon(self) -> None:
        self._ended.wait(GRACE_S)
        self._end_group()

    def _end_group(self) -> None:
        """End, with the launcher and all that it started where they are a group of our own."""
        if self._own_group and hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(0)

    def _watch_parent(self) -> None:
        """An orphan ends too where something else still holds its pipe open."""
        while os.getppid() == self._parent:
            time.sleep(ORPHAN_LOOK_S)
        self._host_gone()

    # On the main thread

    def _answer(self, message: Message) -> None:
        request_id = message["id"]
        if self._work is not None:
            self._work.load_for(message)
        with self._lock:
            if self._current != request_id or not self._waiting:
                return  # cancelled while it waited
            self._waiting = False
        kind, content = self._outcome(message)
        with self._lock:
            self._current = None
        self._channel.say(kind, request_id, content)

    def _outcome(self, message: Message) -> tuple[str, dict[str, Any]]:
        if self._work is None:
            return "error", dict(self._cannot or _error("start", "The worker could not start."))
        teller = _Teller(self._channel, message["id"], self._look)
        work = {"predict": self._work.predict, "register": self._work.register, "check": self._work.check}[
            message["type"]
        ]
        try:
            check_request(message)
            with cancellable(self._look):
                return "result", work(message, teller)
        except KeyboardInterrupt:
            self._queue.put(None)
            return "error", _error("cancelled", CANCELLED)
        except Exception as error:  # noqa: BLE001  (the worker outlives whatever one request breaks)
            return "error", _error_of(error)

    def _look(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled(CANCELLED)


class _Teller:
    """A progress listener that tells the host, with time gone and left; fractions never fall."""

    def __init__(self, channel: Channel, request_id: str, look: Callable[[], None]) -> None:
        self._channel = channel
        self._request_id = request_id
        self._look = look
        self._began = time.perf_counter()
        self._fraction = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        self._look()
        elapsed = time.perf_counter() - self._began
        self._fraction = min(1.0, max(self._fraction, event.fraction))
        left = elapsed * (1 - self._fraction) / self._fraction if self._fraction > TELLING_FRACTION else None
        content = {
            "stage": event.stage,
            "fraction": round(self._fraction, 4),
            "message": event.message,
            "seconds_elapsed": round(elapsed, 2),
            "seconds_left": None if left is None else round(left, 1),
        }
        self._channel.say("progress", self._request_id, content)


def _error(kind: ErrorKind, sentence: str, findings: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"kind": kind, "message": " ".join(sentence.split()), "findings": findings or []}


def _error_of(error: Exception) -> dict[str, Any]:
    """The content of the ``error`` that an exception becomes."""
    if isinstance(error, Cancelled):
        return _error("cancelled", CANCELLED)
    if isinstance(error, MessageError):
        return _error("protocol", str(error))
    if isinstance(error, InputError):
        return _error("input", str(error), [finding.to_json() for finding in getattr(error, "findings", ())])
    if isinstance(error, ImportError) and not (error.name or "").startswith("TemporalGliomaRisk"):
        what = f"the Python package {error.name.split('.')[0]!r}" if error.name else "a library"
        sentence = f"The worker's Python lacks {what}, which this needs. Install it there, or name another Python."
        return _error("failure", sentence)
    return _error("failure", shown_sentence_of(error))
