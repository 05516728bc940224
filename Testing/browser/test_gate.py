"""Only the viewer's own page on this computer gets an answer; real requests and a real websocket's opening."""

from __future__ import annotations

import base64
import http.client
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk.viewer.gate import (
    ENTRANCE_REFUSED,
    ENTRANCE_SECONDS,
    Entrance,
    Gate,
    host_name,
    new_token,
    page_policy,
)

HOST = "127.0.0.1"


def ask(viewer, path: str, *, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """One request, exactly as written: nothing is tidied up on the way."""
    connection = http.client.HTTPConnection(HOST, viewer.port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"{HOST}:{viewer.port}", "Content-Length": "0", **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    return connection.getresponse()


def open_websocket(viewer, path: str, **headers: str) -> int:
    """Status of a websocket's opening: 101 when it is open."""
    key = base64.b64encode(os.urandom(16)).decode()
    wanted = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": key, "Sec_WebSocket_Version": "13"}
    return ask(viewer, path, **wanted, **headers).status


def test_with_the_address_that_was_printed_the_page_and_its_websocket_open(viewer) -> None:
    assert ask(viewer, f"/{viewer.token}/").status == 200
    assert open_websocket(viewer, f"/{viewer.token}/ws", Origin=f"http://{HOST}:{viewer.port}") == 101


@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/ws", "/viewer/viewer.js", "/report.html", "/paraview/", "//", "/%00/"]
)
def test_without_the_token_nothing_is_served(viewer, path: str) -> None:
    assert ask(viewer, path).status == 403


def test_with_a_wrong_token_nothing_is_served_and_no_websocket_opens(viewer) -> None:
    almost = ("0" if viewer.token[0] != "0" else "1") + viewer.token[1:]

    for token in (almost, viewer.token[:-1], viewer.token + "0", viewer.token.upper(), ""):
        assert ask(viewer, f"/{token}/").status == 403
        assert open_websocket(viewer, f"/{token}/ws", Origin=f"http://{HOST}:{viewer.port}") == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.168.1.2", "", "[::1].x"]
)
def test_a_foreign_name_for_this_computer_is_refused(viewer, host: str) -> None:
    assert ask(viewer, f"/{viewer.token}/", Host=host).status in (400, 403)
    assert open_websocket(viewer, f"/{viewer.token}/ws", Host=host) in (400, 403)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1", "file://"]
)
def test_another_page_is_refused_though_it_knows_the_token(viewer, origin: str) -> None:
    assert ask(viewer, f"/{viewer.token}/", Origin=origin).status == 403
    assert open_websocket(viewer, f"/{viewer.token}/ws", Origin=origin) == 403


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/viewer/../../gate.py",
        "/viewer/..%2f..%2fgate.py",
        "/viewer/%2e%2e/gate.py",
        "/viewer//etc/passwd",
        "/assets/../index.html",
        "/fonts/",
        "/risk.json",
        "/heatmaps/",
        "/%2fetc%2fpasswd",
    ],
)
def test_no_file_is_served_but_the_page_s_own(viewer, path: str) -> None:
    answer = ask(viewer, f"/{viewer.token}{path}")

    assert answer.status in (400, 403, 404)
    assert b"root:" not in answer.read()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed_but_by_an_upload(viewer, method: str) -> None:
    assert ask(viewer, f"/{viewer.token}/", method=method).status == 403


def test_every_answer_forbids_foreign_content_and_being_framed_or_kept(viewer) -> None:
    for path in ("/", "/viewer/viewer.js", "/nothing", "/report.html"):
        answer = ask(viewer, f"/{viewer.token}{path}")
        policy = answer.headers["Content-Security-Policy"]

        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"https:|\*", policy)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_report_runs_no_script(viewer) -> None:
    policy = ask(viewer, f"/{viewer.token}/report.html").headers["Content-Security-Policy"]

    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "script-src" not in policy


def test_it_listens_on_this_computer_alone(viewer) -> None:
    if not sys.platform.startswith("linux"):
        elsewhere = socket.socket()
        elsewhere.settimeout(2)
        assert elsewhere.connect_ex((socket.gethostbyname(socket.gethostname()), viewer.port)) != 0
        return
    table = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    listening = [columns[1] for columns in table if columns[3] == "0A"]

    assert [place for place in listening if place.endswith(f":{viewer.port:04X}")] == [f"0100007F:{viewer.port:04X}"]


def test_a_plain_request_to_the_websocket_s_address_is_refused_without_a_failure(viewer) -> None:
    assert ask(viewer, f"/{viewer.token}/ws").status == 400


def test_the_browser_is_given_a_way_in_that_works_once_and_never_the_secret_address(
    start_viewer: Callable[..., Any], stop_viewer: Callable[[Any], int], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}.part && mv {told}.part {told}\n')
    browser.chmod(0o700)
    viewer = start_viewer(folder=tmp_path, environment={"BROWSER": str(browser), "WAYLAND_DISPLAY": "none"})
    try:
        end = time.monotonic() + 20
        while not told.exists() and time.monotonic() < end:
            time.sleep(0.05)
        address = told.read_text(encoding="utf-8").strip()
        path = address.removeprefix(f"http://{HOST}:{viewer.port}")

        assert viewer.token not in address
        assert re.fullmatch("/enter/[0-9a-f]{64}", path)
        # None of these uses it up.
        assert ask(viewer, path[:-1]).status == 403
        assert ask(viewer, path + "/").status == 403
        assert ask(viewer, "/enter/").status == 403
        assert ask(viewer, path, Host="evil.example").status == 403
        assert ask(viewer, path, Origin="http://evil.example").status == 403
        for method in ("HEAD", "POST", "PUT", "OPTIONS"):
            assert ask(viewer, path, method=method).status == 403

        let_in = ask(viewer, path)
        assert let_in.status == 303
        assert let_in.headers["Location"] == f"/{viewer.token}/"
        assert let_in.headers["Cache-Control"] == "no-store"
        assert let_in.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in let_in.headers["Content-Security-Policy"]
        assert ask(viewer, let_in.headers["Location"]).status == 200

        again = ask(viewer, path)
        assert again.status == 403
        assert again.headers["Location"] is None
        assert again.read().decode().strip() == ENTRANCE_REFUSED
    finally:
        stop_viewer(viewer)


def test_an_entrance_leads_in_once() -> None:
    entrance = Entrance()
    path = entrance.new_path()

    assert not entrance.use(path + "0")
    assert [entrance.use(path) for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("seconds", "leads_in"), [(0.0, True), (ENTRANCE_SECONDS, True), (ENTRANCE_SECONDS + 1, False)]
)
def test_an_entrance_leads_in_for_a_minute(seconds: float, leads_in: bool) -> None:
    now = 1000.0
    entrance = Entrance(lambda: now)
    path = entrance.new_path()
    now += seconds

    assert entrance.use(path) == leads_in


def test_there_is_no_entrance_before_it_is_asked_for_and_a_new_one_ends_the_earlier() -> None:
    entrance = Entrance()
    assert not entrance.use("/enter/")
    earlier, later = entrance.new_path(), entrance.new_path()

    assert not entrance.use(earlier)
    assert entrance.use(later)


def test_an_entrance_is_as_long_as_a_token_and_holds_nothing_of_it() -> None:
    gate = Gate()
    path = gate.entrance.new_path()

    assert re.fullmatch("/enter/[0-9a-f]{64}", path)
    assert gate.token not in path
    assert path.removeprefix("/enter/") not in repr(gate)


@pytest.mark.parametrize(
    ("method", "host", "origin", "passes"),
    [
        ("GET", "127.0.0.1:1", None, True),
        ("GET", "evil.example", None, False),
        ("GET", "127.0.0.1:1", "http://evil.example", False),
        ("HEAD", "127.0.0.1:1", None, False),
        ("POST", "127.0.0.1:1", None, False),
    ],
)
def test_the_entrance_keeps_the_gate_s_rules_of_host_origin_and_method(
    method: str, host: str, origin: str | None, passes: bool
) -> None:
    gate = Gate()
    said = gate.refusal(method=method, path=gate.entrance.new_path(), host=host, origin=origin)

    assert (said is None) == passes


def test_who_comes_too_late_is_sent_to_the_address_that_was_printed() -> None:
    assert "open the one that was printed" in ENTRANCE_REFUSED


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(50)}

    assert len(tokens) == 50
    assert all(re.fullmatch("[0-9a-f]{64}", token) for token in tokens)


def test_a_refusal_does_not_tell_the_token() -> None:
    gate = Gate()
    said = [
        gate.refusal(method="GET", path="/x/", host="127.0.0.1:1", origin=None),
        gate.refusal(method="GET", path=f"{gate.prefix}/", host="evil.example", origin=None),
        gate.refusal(method="PUT", path=f"{gate.prefix}/", host="127.0.0.1:1", origin=None),
    ]

    assert all(sentence and gate.token not in sentence for sentence in said)
    assert gate.token not in repr(gate)


@pytest.mark.parametrize(
    ("host", "name"), [("127.0.0.1:80", "127.0.0.1"), ("LOCALHOST", "localhost"), ("[::1]:9", "[::1]"), ("a:b", "a:b")]
)
def test_a_host_s_name_is_read_without_its_port(host: str, name: str) -> None:
    assert host_name(host) == name


def test_the_page_may_speak_with_its_own_server_alone() -> None:
    assert "connect-src 'self' ws://127.0.0.1:7;" in page_policy("127.0.0.1:7")
