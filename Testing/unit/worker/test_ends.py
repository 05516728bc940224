"""Every way in which a worker ends or is stopped: cancelled, killed, crashed, orphaned, never there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import pytest

from TemporalGliomaRisk.report.record import read_risk_record
from TemporalGliomaRisk.worker import process
from TemporalGliomaRisk.worker.client import WorkerClient
from TemporalGliomaRisk.worker.process import WorkerProcess

PATIENCE_S = 120.0
STAGES = ("read", "check", "prepare", "encode", "write")
Rows = list[dict[str, Any]]
Gone = Callable[[int, float], bool]


def until(client: WorkerClient, stage: str) -> dict[str, Any]:
    """Poll until the worker tells of a stage."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for message in client.poll():
            if message["type"] == "error":
                pytest.fail(message["message"])
            if stage in (message["type"], message.get("stage")):
                return message
        time.sleep(0.002)
    pytest.fail(f"The worker did not come to {stage}: {client.diagnostics()}")


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part-*"))


def assert_nothing_half_written(output: Path) -> None:
    """Whatever has a final name can be read to its end, and no risk.json stands over missing files."""
    for path in output.rglob("*.nii.gz"):
        if not path.name.startswith("."):
            nibabel.load(path).get_fdata()
    assert not (output / "risk.json").exists()


def assert_whole(output: Path) -> None:
    for visit in read_risk_record(output / "risk.json").visits:
        assert (output / visit.heatmap).is_file()
    assert parts(output) == []


def test_cancelled_at_every_stage_it_stops_within_a_second_and_survives(
    client: WorkerClient, rows: Rows, quick: dict[str, Any], tmp_path: Path
) -> None:
    client.start()
    pid = until(client, "ready") and client.hello["pid"]
    took = {}
    for stage in STAGES:
        request = client.predict(rows, tmp_path / stage, **quick, cache=False)
        until(client, stage)
        began = time.monotonic()
        client.cancel()
        answer = client.wait(request, timeout_s=10)
        took[stage] = time.monotonic() - began
        assert (answer["type"], answer["kind"], answer["message"]) == ("error", "cancelled", "Cancelled.")
        assert_nothing_half_written(tmp_path / stage)
        assert parts(tmp_path) == []
    assert max(took.values()) < 1.0, took
    assert client.wait(client.predict(rows, tmp_path / "end", **quick), timeout_s=PATIENCE_S)["type"] == "result"
    assert_whole(tmp_path / "end")
    assert client.hello["pid"] == pid


def test_cancelled_inside_a_registration_it_stops_within_a_second(
    client: WorkerClient, simulated_patient: Path, small_bundle: Path, tmp_path: Path
) -> None:
    """The template match and the alignment, which take most of the time, and say nothing while they last."""
    for wait_s in (0.3, 1.2):
        options = {"model": small_bundle, "register": "always", "cache": False}
        request = client.predict(simulated_patient, tmp_path / "out", **options)
        until(client, "prepare")
        time.sleep(wait_s)
        began = time.monotonic()
        client.cancel()
        assert client.wait(request, timeout_s=10)["kind"] == "cancelled"
        assert time.monotonic() - began < 1.0


def test_cancelled_while_it_loads_it_answers_at_once_and_then_works(
    environment: dict[str, str], simulated_patient: Path, tmp_path: Path
) -> None:
    with WorkerClient(environment=environment) as client:
        request = client.predict(simulated_patient, tmp_path / "out")
        until(client, "hello")
        client.cancel(request)
        answer = client.wait(request, timeout_s=1)
        assert answer["kind"] == "cancelled"
        assert client.ready is None
        result = client.wait(client.check(simulated_patient, alignment=False), timeout_s=PATIENCE_S)
        assert result["type"] == "result"
    assert not (tmp_path / "out").exists()


def test_cancelling_what_has_ended_or_never_was_changes_nothing(client: WorkerClient, simulated_patient: Path) -> None:
    client.cancel()
    client.cancel("predict-999")
    request = client.check(simulated_patient, alignment=False)
    assert client.wait(request, timeout_s=PATIENCE_S)["type"] == "result"
    client.cancel(request)
    assert client.wait(client.check(simulated_patient, alignment=False), timeout_s=PATIENCE_S)["type"] == "result"


def test_killed_at_every_stage_the_reader_is_told_the_next_run_works_and_nothing_half_written_is_seen(
    environment: dict[str, str], rows: Rows, quick: dict[str, Any], tmp_path: Path
) -> None:
    own = {**environment, "TEMPORAL_GLIOMA_RISK_CACHE": str(tmp_path / "cache")}
    output = tmp_path / "out"
    with WorkerClient(environment=own) as client:
        for stage in ("hello", *STAGES[1:]):
            request = client.predict(rows, output, **quick)
            until(client, stage)
            os.kill(client.hello["pid"], signal.SIGKILL)
            answer = client.wait(request, timeout_s=10)
            assert "exit status -9" in answer["message"]
            if stage == "hello":
                assert answer["kind"] == "start"
                continue
            assert answer["kind"] == "crashed"
            assert "was started anew; the request was lost, ask again" in answer["message"]
            assert_nothing_half_written(output)
        result = client.wait(client.predict(rows, output, **quick), timeout_s=PATIENCE_S)
        assert result["type"] == "result"
        assert_whole(output)
        assert parts(tmp_path) == []


@pytest.mark.parametrize("end", ["cancelled", "killed"])
def test_stopped_while_the_scene_is_built_the_results_stay_and_the_next_run_adds_the_scene(
    environment: dict[str, str], rows: Rows, quick: dict[str, Any], tmp_path: Path, end: str
) -> None:
    own = {**environment, "TEMPORAL_GLIOMA_RISK_CACHE": str(tmp_path / "cache")}
    output = tmp_path / "out"
    with WorkerClient(environment=own) as client:
        request = client.predict(rows, output, **quick, scene=True)
        until(client, "scene")
        began = time.monotonic()
        if end == "cancelled":
            client.cancel()
        else:
            os.kill(client.hello["pid"], signal.SIGKILL)
        answer = client.wait(request, timeout_s=10)
        assert time.monotonic() - began < 1.0
        assert answer["kind"] == {"cancelled": "cancelled", "killed": "crashed"}[end]
        assert_whole(output)
        assert not (output / "scene.mrb").exists()

        again = client.wait(client.predict(rows, output, **quick, scene=True), timeout_s=PATIENCE_S)
        assert again["type"] == "result"
        assert zipfile.is_zipfile(output / "scene.mrb")
        assert_whole(output)


LAUNCHER = """#!/bin/sh
sleep 600 &
echo "$! $$" > "{pids}"
"{python}" "$@"
"""


@pytest.fixture
def launcher(tmp_path: Path) -> tuple[Path, Path]:
    """An interpreter that is a launcher, as PythonSlicer is, with a further child; and where it writes their ids."""
    path, pids = tmp_path / "launcher", tmp_path / "pids"
    path.write_text(LAUNCHER.format(pids=pids, python=sys.executable))
    path.chmod(0o755)
    return path, pids


def test_a_kill_takes_launcher_worker_and_what_they_started(
    environment: dict[str, str], launcher: tuple[Path, Path], gone: Gone
) -> None:
    client = WorkerClient(interpreter=launcher[0], environment=environment)
    client.start()
    until(client, "hello")
    processes = [client.hello["pid"], *map(int, launcher[1].read_text().split())]
    assert len(set(processes)) == 3
    client.kill()
    assert [pid for pid in processes if not gone(pid, 1.0)] == []
    assert not client.running


PARENT = """
import sys, time
from TemporalGliomaRisk.worker import process
from TemporalGliomaRisk.worker.client import WorkerClient
from TemporalGliomaRisk.worker.process import WorkerProcess
client = WorkerClient(interpreter=sys.argv[1])
client.predict(sys.argv[2], sys.argv[3], model=sys.argv[4], register="always", cache=False)
while True:
    for message in client.poll():
        if message["type"] == "hello":
            print("hello", message["pid"], flush=True)
        if message.get("stage") == sys.argv[5]:
            print("stage", flush=True)
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("stage", "through"), [("prepare", "python"), ("read", "launcher")])
def test_a_host_that_is_killed_takes_the_worker_with_it_in_the_midst_of_work(
    environment: dict[str, str],
    simulated_patient: Path,
    small_bundle: Path,
    launcher: tuple[Path, Path],
    tmp_path: Path,
    gone: Gone,
    stage: str,
    through: str,
) -> None:
    interpreter = sys.executable if through == "python" else str(launcher[0])
    arguments = [interpreter, simulated_patient, tmp_path / "out", small_bundle, stage]
    command = [sys.executable, "-c", PARENT, *map(str, arguments)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    worker = int(parent.stdout.readline().split()[1])
    assert parent.stdout.readline() == "stage\n"
    time.sleep(0.3)
    parent.kill()
    began = time.monotonic()
    assert gone(worker, 3.0)
    assert time.monotonic() - began < 1.5
    if through == "launcher":
        assert [pid for pid in map(int, launcher[1].read_text().split()) if not gone(pid, 1.0)] == []
    assert parts(tmp_path) == []


SLOW_THREADS = """
import threading, time
start = threading.Thread.start
def start_late(thread):
    time.sleep(2)
    start(thread)
threading.Thread.start = start_late
"""


def test_an_orphan_ends_although_its_pipe_is_held_open(environment: dict[str, str], tmp_path: Path, gone: Gone) -> None:
    """The host is gone at the worker's first word, and a copy of its end of the pipe lives on in another process."""
    code = (
        "import os, sys, subprocess, time\n"
        "worker = subprocess.Popen([sys.executable, '-m', 'TemporalGliomaRisk', 'worker'], stdin=subprocess.PIPE)\n"
        "if os.fork() == 0:\n"
        "    time.sleep(30)\n"
        "    os._exit(0)\n"
        "time.sleep(30)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(SLOW_THREADS)  # as on a loaded machine
    path = os.pathsep.join(filter(None, [str(tmp_path), environment.get("PYTHONPATH")]))
    own = {**environment, "PYTHONPATH": path}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=own)
    hello = json.loads(next(filter(bytes.strip, parent.stdout)))
    parent.kill()
    assert gone(hello["pid"], 20.0)  # of the 30 s that the pipe is held


def test_a_worker_that_crashes_while_idle_is_started_by_the_next_request(
    environment: dict[str, str], simulated_patient: Path
) -> None:
    with WorkerClient(environment=environment) as client:
        client.start()
        first = until(client, "hello")["pid"]
        os.kill(first, signal.SIGKILL)
        while client.running:
            time.sleep(0.01)
        result = client.wait(client.check(simulated_patient, alignment=False), timeout_s=PATIENCE_S)
        assert result["type"] == "result"
        assert client.hello["pid"] != first
        client.close()
        assert not client.running
        client.close()


def test_a_request_whose_worker_crashed_is_told_so_although_the_host_warms_another_one_up_first(
    client: WorkerClient, simulated_patient: Path
) -> None:
    client.start()
    request = client.check(simulated_patient, alignment=False)
    os.kill(client.pid, signal.SIGKILL)
    while client.running:
        time.sleep(0.01)
    client.start()
    assert client.wait(request, timeout_s=10)["message"].startswith("The worker ")
    assert client.busy is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "cannot be started (No such file or directory)"),
        ("#!/bin/sh\nexit 3\n", "could not start (exit status 3)"),
        ('#!/bin/sh\necho \'{"protocol": 7, "id": null, "type": "hello"}\'\nsleep 60\n', "was not understood"),
        ("#!/bin/sh\necho Welcome\nhead -c 100 /dev/urandom\nexit 1\n", "could not start (exit status 1)"),
    ],
)
def test_an_interpreter_that_cannot_do_it_is_told_with_the_way_out(
    tmp_path: Path, environment: dict[str, str], script: str | None, words: str
) -> None:
    interpreter = tmp_path / "python"
    if script is not None:
        interpreter.write_text(script)
        interpreter.chmod(0o755)
    with WorkerClient(interpreter=interpreter, environment=environment) as client:
        for _ in range(2):
            answer = client.wait(client.check(tmp_path), timeout_s=10)
            assert (answer["type"], answer["kind"]) == ("error", "start")
            assert words in answer["message"]
        assert client.busy is None


def test_a_python_without_torch_says_so_and_keeps_saying_so(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    with WorkerClient(environment={**environment, "PYTHONPATH": str(tmp_path)}) as client:
        for _ in range(2):
            answer = client.wait(client.check(tmp_path), timeout_s=30)
            assert (answer["type"], answer["kind"]) == ("error", "start")
            assert "lacks the Python package 'torch'" in answer["message"]


def test_a_worker_that_does_not_stop_is_ended(
    environment: dict[str, str], simulated_patient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("TemporalGliomaRisk.worker.client.CANCEL_PATIENCE_S", 0.3)
    with WorkerClient(environment=environment) as client:
        request = client.predict(simulated_patient, tmp_path / "out")
        until(client, "hello")
        os.kill(client.pid, signal.SIGSTOP)
        while ") T " not in Path(f"/proc/{client.pid}/stat").read_text(encoding="utf-8"):
            time.sleep(0.01)
        client.cancel()
        answer = client.wait(request, timeout_s=3)
        assert (answer["kind"], client.running) == ("cancelled", False)


def test_a_cancel_of_a_worker_that_was_closed_meanwhile_ends_no_later_one(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("TemporalGliomaRisk.worker.client.CANCEL_PATIENCE_S", 0.3)
    deaf = tmp_path / "python"
    deaf.write_text("#!/bin/sh\nsleep 60\n")
    deaf.chmod(0o755)
    with WorkerClient(interpreter=deaf, environment=environment) as client:
        client.check(tmp_path)
        client.cancel()
        client.close(timeout_s=0.0)
        later = client.check(tmp_path)
        time.sleep(0.5)
        assert client.poll() == []
        assert (client.busy, client.running) == (later, True)
        client.close(timeout_s=0.0)


def test_on_windows_a_slow_taskkill_keeps_nobody_from_ending_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerProcess([sys.executable, "-c", "input()"], os.environ)
    asked: list[list[str]] = []

    def slow(command: list[str], **_: Any) -> None:
        asked.append(command)
        raise subprocess.TimeoutExpired(command, 10)

    with monkeypatch.context() as patch:
        patch.setattr(process, "sys", SimpleNamespace(platform="win32"))
        patch.setattr(process.subprocess, "run", slow)
        worker.kill()

    assert asked[0][0] == "taskkill"
    assert worker.exit_status() == -signal.SIGKILL
    worker.release()
