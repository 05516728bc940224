"""The worker's side of every conversation, without a process: who is cancelled, who is told, who is worked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from TemporalGliomaRisk.errors import Cancelled
from TemporalGliomaRisk.progress import ProgressEvent
from TemporalGliomaRisk.worker import server as server_module
from TemporalGliomaRisk.worker.messages import Message
from TemporalGliomaRisk.worker.server import WorkerServer, _Teller

Said = list[tuple[str, str | None, dict[str, Any]]]


class Channel:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: Said = []

    def say(self, kind: str, request_id: str | None, content: Mapping[str, Any] | None = None) -> None:
        self.said.append((kind, request_id, dict(content or {})))


class Work:
    """Does what a test wants at every request, and then looks whether it is cancelled."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def load_for(self, _: Message) -> None:
        pass

    def check(self, message: Message, progress: Callable[[ProgressEvent], None]) -> dict[str, Any]:
        self.asked.append(message["id"])
        self.meanwhile()
        progress(ProgressEvent(stage="check", fraction=1.0, message="Checked"))
        return {"request": "check"}

    predict = register = check


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> WorkerServer:
    channel = Channel()
    monkeypatch.setattr(server_module.Channel, "over_standard_streams", lambda lost: channel)
    monkeypatch.setattr(server_module, "check_request", lambda message: None)
    made = WorkerServer(own_group=False)
    made._work = Work()
    return made


def asked(request_id: str) -> Message:
    return {"type": "check", "id": request_id}


def cancel(request_id: str) -> Message:
    return {"type": "cancel", "id": request_id}


def answers(server: WorkerServer) -> list[tuple[str, str | None, str | None]]:
    """Type, id and kind of every last answer so far."""
    return [(kind, of, content.get("kind")) for kind, of, content in server._channel.said if kind != "progress"]


def work_off(server: WorkerServer) -> None:
    while not server._queue.empty():
        server._answer(server._queue.get())


def test_a_cancel_that_comes_after_its_request_has_ended_stops_no_other(server: WorkerServer) -> None:
    server._heard(asked("one"))
    work_off(server)
    server._heard(asked("two"))
    server._heard(cancel("one"))
    server._work.meanwhile = lambda: server._heard(cancel("one"))
    work_off(server)
    assert answers(server) == [("result", "one", None), ("result", "two", None)]


def test_a_cancelled_request_is_answered_once_and_the_next_one_is_worked_for(server: WorkerServer) -> None:
    server._heard(asked("waiting"))
    server._heard(cancel("waiting"))
    server._heard(cancel("waiting"))
    server._heard(asked("working"))
    server._work.meanwhile = lambda: server._heard(cancel("working"))
    work_off(server)
    server._work.meanwhile = lambda: None
    server._heard(asked("next"))
    work_off(server)
    assert server._work.asked == ["working", "next"]
    assert answers(server) == [
        ("error", "waiting", "cancelled"),
        ("error", "working", "cancelled"),
        ("result", "next", None),
    ]


def test_a_request_under_an_id_in_use_is_refused_without_that_id(server: WorkerServer) -> None:
    """Its refusal would be taken for the end of the other one."""
    server._heard(asked("one"))
    server._work.meanwhile = lambda: [server._heard(asked(name)) for name in ("one", "two")]
    work_off(server)
    assert answers(server) == [("error", None, "busy"), ("error", "two", "busy"), ("result", "one", None)]


def test_what_one_request_breaks_is_told_and_the_next_one_is_worked_for(server: WorkerServer) -> None:
    def breaks() -> None:
        raise RuntimeError("/data/SECRETNAME")

    server._work.meanwhile = breaks
    server._heard(asked("one"))
    work_off(server)
    server._work.meanwhile = lambda: None
    server._heard(asked("two"))
    work_off(server)
    assert answers(server) == [("error", "one", "failure"), ("result", "two", None)]
    assert "SECRETNAME" not in str(server._channel.said)


def test_fractions_never_fall_nor_pass_one_and_a_cancel_is_looked_for_at_every_step() -> None:
    channel, cancelled = Channel(), []

    def look() -> None:
        if cancelled:
            raise Cancelled("Cancelled.")

    tell = _Teller(channel, "one", look)
    for fraction in (0.01, 0.5, 0.25, 1.5):
        tell(ProgressEvent(stage="check", fraction=fraction, message=""))
    told = [content for _, _, content in channel.said]
    assert [content["fraction"] for content in told] == [0.01, 0.5, 0.5, 1.0]
    assert [content["seconds_left"] is None for content in told] == [True, False, False, False]
    assert told[-1]["seconds_left"] == 0
    cancelled.append(True)
    with pytest.raises(Cancelled):
        tell(ProgressEvent(stage="check", fraction=1.0, message=""))
    assert len(channel.said) == 4
