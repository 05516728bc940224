"""The worker as a host sees it: ask, poll, cancel. Nothing here waits, so it serves Slicer's timer and an event loop.

One client has one worker process and one request at a time. Whatever goes wrong in the worker, a crash included, comes
as a message: every request ends with exactly one ``result`` or ``error`` of its id.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from TemporalGliomaRisk.worker.diagnostics import Diagnostics
from TemporalGliomaRisk.worker.messages import (
    ANSWERS,
    LAST_ANSWERS,
    PROTOCOL,
    ErrorKind,
    LineBuffer,
    Message,
    MessageError,
    decode,
    encode,
)
from TemporalGliomaRisk.worker.process import (
    INTERPRETER_VARIABLE,
    WorkerProcess,
    interpreter_to_use,
    worker_command,
    worker_environment,
)

AnyPath = str | os.PathLike[str]
TimelineInput = AnyPath | Sequence[Mapping[str, Any]]
"""A folder or table, or the rows of a table."""
CANCEL_PATIENCE_S = 5.0
"""A worker that has not stopped so long after a cancel is ended."""
LONGEST_ANSWER_BYTES = 16 << 20
"""A check of many visits is the longest answer."""


class WorkerClient:
    """Starts a worker when it is needed, speaks with it, and restarts it when it is gone.

    Args:
        interpreter: Python that runs the worker; else the one that TEMPORAL_GLIOMA_RISK_PYTHON names, else this one.
            Slicer gives its PythonSlicer.
        environment: The worker's whole environment, None for this process's. PYTHONPATH is set for it.

    Attributes:
        hello: The worker's ``hello``: version, models; None before it came.
        ready: The worker's ``ready``: devices; None before it came.
    """

    def __init__(
        self,
        *,
        interpreter: AnyPath | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._interpreter = interpreter
        self._environment = environment
        self._process: WorkerProcess | None = None
        self._lines = LineBuffer(LONGEST_ANSWER_BYTES)
        self._diagnostics = Diagnostics()
        self._own: list[Message] = []
        self._asked: dict[str, str] = {}
        self._cancelled_at: dict[str, float] = {}
        self._count = 0
        self.hello: Message | None = None
        self.ready: Message | None = None

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether the worker's process lives."""
        return self._process is not None and self._process.exit_status() is None

    @property
    def busy(self) -> str | None:
        """Id of the request under way, None when there is none."""
        return next(iter(self._asked), None)

    @property
    def pid(self) -> int | None:
        """Of the process, None while there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the worker, so that it is warm when it is asked; it says ``hello``, then ``ready``.

        If the interpreter is not there, the next request ends with an ``error`` of kind ``start``.
        """
        self._tell_the_end()
        if not self.running:
            self._start()

    def predict(
        self,
        timeline: TimelineInput,
        output: AnyPath,
        *,
        model: AnyPath | None = None,
        device: str = "auto",
        register: str = "auto",
        mask: AnyPath = "auto",
        heatmaps: bool = True,
        identified: bool = False,
        scene: bool = False,
        patient: str | None = None,
        cache: bool = True,
    ) -> str:
        """Ask for a timeline's risks; see the command ``predict`` for the options.

        Args:
            timeline: A folder or table, or the rows of one: ``path``, ``sequence`` and ``days_since_treatment``,
                ``days_since_first_scan`` or ``date``.
            output: Folder for the results.
            model: Folder of a model, None for the one that is shipped.
            device: ``auto``, ``cpu``, ``cuda``, or ``cuda:1`` for one of several.
            register: ``auto``, ``always`` or ``never``.
            mask: ``auto``, ``none`` or the file of the first visit's brain mask.
            heatmaps: Whether maps are written.
            identified: Whether the report shows what the input calls the patient.
            scene: Whether ``scene.mrb`` is written.
            patient: Which one, where the input holds several.
            cache: Whether encoded visits are kept on disk for the next time.

        Returns:
            The request's id, which its messages carry.
        """
        options = {
            "model": _model(model),
            "device": device,
            "register": register,
            "mask": _mask(mask),
            "heatmaps": heatmaps,
            "identified": identified,
            "scene": scene,
            "patient": patient,
            "cache": cache,
        }
        return self._ask("predict", {**_named(timeline), "output": _absolute(output), "options": options})

    def register(
        self,
        timeline: TimelineInput,
        *,
        patient: str | None = None,
        model: AnyPath | None = None,
        register: str = "always",
        mask: AnyPath = "auto",
    ) -> str:
        """Ask for every visit brought onto the first, as a risk begins, and for nothing more; no file is written.

        Args:
            timeline: As for :meth:`predict`.
            patient: Which one, where the input holds several.
            model: Whose preprocessing is used, None for the one that is shipped.
            register: ``auto`` leaves alone what is aligned already, ``always`` does not.
            mask: As for :meth:`predict`.

        Returns:
            The request's id.
        """
        options = {
            "patient": patient,
            "model": _model(model),
            "register": register,
            "mask": _mask(mask),
        }
        return self._ask("register", {**_named(timeline), "options": options})

    def check(
        self,
        timeline: TimelineInput,
        *,
        patient: str | None = None,
        model: AnyPath | None = None,
        alignment: bool = True,
    ) -> str:
        """Ask what a timeline holds and what is wrong with it, as the command ``check`` tells.

        Args:
            timeline: As for :meth:`predict`.
            patient: Which one, where the input holds several.
            model: Whose training the gaps are compared with, None for the one that is shipped.
            alignment: Whether visits are measured against the first, a second each.

        Returns:
            The request's id.
        """
        options = {"patient": patient, "model": _model(model), "alignment": alignment}
        return self._ask("check", {**_named(timeline), "options": options})

    def cancel(self, request_id: str | None = None) -> None:
        """Ask the worker to stop a request, by default the one under way; it ends with an error ``cancelled``.

        Returns at once. A worker that has not stopped after ``CANCEL_PATIENCE_S`` is ended by :meth:`poll`.
        """
        chosen = request_id or self.busy
        if chosen is None or chosen not in self._asked or self._process is None:
            return
        self._cancelled_at.setdefault(chosen, time.monotonic())
        self._process.write(encode("cancel", chosen))

    def poll(self) -> list[Message]:
        """Messages since the last call, oldest first; never waits. A host calls it every 50 to 100 ms."""
        messages, self._own = self._own, []
        if self._process is None:
            return messages
        # Asked first: whatever an ended process wrote is in the pipe by then.
        status = self._process.exit_status()
        messages += self._read(self._process)
        if status is not None:
            messages += self._ended(status)
        elif self._overdue():
            self.kill()
            messages += self._lost("cancelled", "Cancelled; the worker did not stop in time and was ended.")
        return messages

    def wait(self, request_id: str, *, timeout_s: float, listener: Callable[[Message], None] | None = None) -> Message:
        """Poll until a request's last message, for scripts and tests; a host with a face polls by itself.

        Args:
            request_id: Of a request of this client that has not ended.
            timeout_s: Patience.
            listener: Given every other message.

        Raises:
            TimeoutError: If it has not ended by then.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for message in self.poll():
                if message["id"] == request_id and message["type"] in LAST_ANSWERS:
                    return message
                if listener is not None:
                    listener(message)
            time.sleep(0.01)
        raise TimeoutError(f"The worker has not answered within {timeout_s:.0f} s.")

    def diagnostics(self) -> str:
        """Last lines of the worker's error stream for a bug report; paths, dates and names are withheld."""
        if self._process is not None:
            self._diagnostics.feed(self._process.read_errors())
        return self._diagnostics.text()

    def close(self, timeout_s: float = 2.0) -> None:
        """End the worker politely, and by force what is left after some seconds."""
        if self._process is not None:
            self._process.write(encode("bye", None))
            self._process.close_input()
            self._process.wait(timeout_s)
        self.kill()
        self._asked.clear()
        self._cancelled_at.clear()  # else a later process would be ended for a cancel that it never heard

    def kill(self) -> None:
        """End the worker and everything it started, at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            self._diagnostics.feed(process.read_errors())
            process.release()

    def _tell_the_end(self) -> None:
        """Keep for the next poll what a process that has ended owes, before another takes its place."""
        if self._process is not None and self._process.exit_status() is not None:
            self._own = self.poll()

    def _start(self) -> None:
        self.kill()
        self._lines = LineBuffer(LONGEST_ANSWER_BYTES)
        self.hello = self.ready = None
        interpreter = interpreter_to_use(self._interpreter)
        try:
            self._process = WorkerProcess(worker_command(interpreter), worker_environment(self._environment))
        except OSError as error:
            self._own += self._lost(
                "start",
                f"The Python for the worker cannot be started ({error.strerror}). Name one that has this package's "
                f"requirements with {INTERPRETER_VARIABLE}.",
            )

    def _ask(self, kind: str, content: Mapping[str, Any]) -> str:
        self._count += 1
        request_id = f"{kind}-{self._count}"
        line = encode(kind, request_id, content)
        self._diagnostics.withhold(content)
        self._tell_the_end()
        self._asked[request_id] = kind
        if not self.running:
            self._start()
        if self._process is not None:
            self._process.write(line)  # where nobody reads, the next poll finds the process ended
        return request_id

    def _read(self, process: WorkerProcess) -> list[Message]:
        messages: list[Message] = []
        for line in self._lines.feed(process.read_answers()):
            try:
                message = decode(line, ANSWERS)
            except MessageError as error:
                if self.hello is None and not line.startswith(b"{"):
                    self._diagnostics.feed(line + b"\n")  # a launcher's remark, before the worker had its say
                    continue
                self.kill()
                return [*messages, *self._lost("start", f"The worker was not understood and was ended: {error}")]
            if message["type"] == "hello":
                self.hello = message
            elif message["type"] == "ready":
                self.ready = message
            elif message["type"] in LAST_ANSWERS:
                self._asked.pop(str(message["id"]), None)
                self._cancelled_at.pop(str(message["id"]), None)
            messages.append(message)
        self._diagnostics.feed(process.read_errors())
        return messages

    def _ended(self, status: int) -> list[Message]:
        was_ready, lost = self.ready is not None, bool(self._asked)
        self.kill()
        if not lost:
            return []
        if not was_ready:
            return self._lost(
                "start",
                f"The worker could not start (exit status {status}). Its Python needs this package's requirements, "
                f"torch among them; {INTERPRETER_VARIABLE} names another one.",
            )
        messages = self._lost(
            "crashed",
            f"The worker ended unexpectedly (exit status {status}) and was started anew; the request was lost, "
            "ask again.",
        )
        self._start()
        return messages

    def _overdue(self) -> bool:
        now = time.monotonic()
        return any(now - since > CANCEL_PATIENCE_S for since in self._cancelled_at.values())

    def _lost(self, kind: ErrorKind, sentence: str) -> list[Message]:
        """An error of our own for every request that has no answer yet."""
        lost, self._asked, self._cancelled_at = list(self._asked), {}, {}
        content = {"kind": kind, "message": sentence, "findings": []}
        return [{"protocol": PROTOCOL, "id": request_id, "type": "error", **content} for request_id in lost]


def _absolute(path: AnyPath) -> str:
    """Absolute, because the worker has a working folder of its own; links stay as they are."""
    return os.path.abspath(os.fspath(path))  # noqa: PTH100 (Path.absolute keeps "..", resolve follows links)


def _model(folder: AnyPath | None) -> str | None:
    return None if folder is None else _absolute(folder)


def _mask(mask: AnyPath) -> AnyPath:
    return mask if mask in ("auto", "none") else _absolute(mask)


def _named(timeline: TimelineInput) -> dict[str, Any]:
    if isinstance(timeline, (str, os.PathLike)):
        return {"timeline": _absolute(timeline), "table": None}
    rows = [{**row, "path": _absolute(row["path"])} for row in timeline]
    return {"timeline": None, "table": rows}
