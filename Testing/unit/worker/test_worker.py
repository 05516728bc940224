"""A worker in a process of its own: its answers, its memory, and whatever bytes it is sent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from TemporalGliomaRisk.worker.client import WorkerClient
from TemporalGliomaRisk.worker.messages import encode
from TemporalGliomaRisk.worker.schema import load_schema

PATIENCE_S = 120.0
Rows = list[dict[str, Any]]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def computed(
    client: WorkerClient, rows: Rows, quick: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], Path]:
    """All that was said from the start to the first result, and the result's folder."""
    output = tmp_path_factory.mktemp("computed") / "Résultats 日本"
    said: list[dict[str, Any]] = []
    began = time.monotonic()
    request = client.predict(rows, output, **quick)
    assert time.monotonic() - began < 0.5
    said.append(client.wait(request, timeout_s=PATIENCE_S, listener=said.append))
    return said, output


def test_everything_said_fits_the_schema_and_comes_in_order(computed: tuple[list[dict[str, Any]], Path]) -> None:
    said, _ = computed
    schema = jsonschema.Draft202012Validator(load_schema("answer"))
    assert [error.message for message in said for error in schema.iter_errors(message)] == []
    assert [message["type"] for message in said[:2]] == ["hello", "ready"]
    assert {message["type"] for message in said[2:-1]} == {"progress"}
    assert {message["id"] for message in said[2:]} == {said[-1]["id"]}
    fractions = [message["fraction"] for message in said[2:-1]]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {"read", "check", "prepare", "encode", "write"} <= {message["stage"] for message in said[2:-1]}


def test_the_greeting_names_models_devices_and_versions(client: WorkerClient, computed: object) -> None:
    model = client.hello["models"][0]
    assert Path(model["card"]).is_file()
    assert Path(model["licence"]).is_file()
    assert "simulated" in client.hello["research_use_only"]
    assert client.ready["devices"][0]["name"] == "cpu"
    assert client.ready["torch"] == client.hello["torch"]


def test_the_result_names_every_file_that_is_there(computed: tuple[list[dict[str, Any]], Path]) -> None:
    said, output = computed
    result = said[-1]
    assert result["reuse"] == "computed"
    assert sorted(result["files"]) == sorted(contents(output))
    assert result["files"][-1] == "risk.json"
    assert result["device"] == "cpu"


def test_the_command_line_gives_the_same_risk_json_and_maps_byte_for_byte(
    computed: tuple[list[dict[str, Any]], Path],
    rows: Rows,
    quick: dict[str, Any],
    tmp_path: Path,
    environment: dict[str, str],
) -> None:
    table = tmp_path / "table.csv"
    lines = ["path,sequence,days_since_first_scan", *(",".join(map(str, row.values())) for row in rows)]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = ["--model", quick["model"], "--mask", quick["mask"], "--register", "never", "--no-cache"]
    command = [sys.executable, "-m", "TemporalGliomaRisk", "predict", table, "--output", tmp_path / "out", *options]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env=environment)
    ours, theirs = contents(computed[1]), contents(tmp_path / "out")
    assert ours.keys() == theirs.keys()
    # The audit and the report, which shows it, hold times.
    assert [name for name in ours if ours[name] != theirs[name] and name not in ("audit.json", "report.html")] == []


def test_the_same_again_is_known_and_nothing_is_touched(
    client: WorkerClient, computed: tuple[list[dict[str, Any]], Path], rows: Rows, quick: dict[str, Any]
) -> None:
    said, output = computed
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    result = client.wait(client.predict(rows, output, **quick), timeout_s=PATIENCE_S)
    assert (result["type"], result["reuse"]) == ("result", "kept")
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before
    assert {**said[-1], "reuse": "", "id": "", "seconds": 0} == {**result, "reuse": "", "id": "", "seconds": 0}
    assert result["seconds"] < 0.2 * said[-1]["seconds"]


def test_the_same_into_another_folder_is_copied_whole(
    client: WorkerClient, computed: object, rows: Rows, quick: dict[str, Any], tmp_path: Path
) -> None:
    other = tmp_path / "new" / "other"
    shutil.copytree(computed[1], other)
    earlier = min(other.glob("heatmaps/*risk*"))
    earlier.rename(earlier.with_name("sub-09_desc-risk_heatmap.nii.gz"))
    known = (other / "risk.json").read_text().replace(earlier.name, "sub-09_desc-risk_heatmap.nii.gz")
    (other / "risk.json").write_text(known)
    result = client.wait(client.predict(rows, other, **quick), timeout_s=PATIENCE_S)
    assert result["reuse"] == "copied"
    assert contents(other) == contents(computed[1])  # and no map of another run that was there


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_result_that_was_touched_is_made_again(
    client: WorkerClient, computed: tuple[list[dict[str, Any]], Path], rows: Rows, quick: dict[str, Any], damage: str
) -> None:
    output = computed[1]
    wanted = contents(output)
    victim = next(output.glob("heatmaps/*risk*"))
    if damage == "changed":
        victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    else:
        victim.unlink()
    result = client.wait(client.predict(rows, output, **quick), timeout_s=PATIENCE_S)
    assert result["reuse"] == "computed"
    again = contents(output)
    assert {name for name in wanted if again[name] != wanted[name]} <= {"audit.json", "report.html"}


def test_other_options_or_other_days_are_another_run(
    client: WorkerClient, computed: object, rows: Rows, quick: dict[str, Any], tmp_path: Path
) -> None:
    later = [rows[0], {**rows[1], "days_since_first_scan": 300}]
    results = [
        client.wait(client.predict(rows, tmp_path / "a", **quick, heatmaps=False), timeout_s=PATIENCE_S),
        client.wait(client.predict(later, tmp_path / "b", **quick, heatmaps=False), timeout_s=PATIENCE_S),
        client.wait(client.predict(rows, tmp_path / "c", **quick, heatmaps=False, cache=False), timeout_s=PATIENCE_S),
    ]
    assert [result["reuse"] for result in results] == ["computed"] * 3
    risks = [json.loads((tmp_path / name / "risk.json").read_text())["visits"] for name in "abc"]
    assert risks[0] == risks[2]
    assert risks[0][0] == risks[1][0]
    assert risks[0][1]["risk"] != risks[1][1]["risk"]


def test_a_check_is_what_the_command_prints(
    client: WorkerClient, simulated_patient: Path, environment: dict[str, str]
) -> None:
    result = client.wait(client.check(simulated_patient, alignment=False), timeout_s=PATIENCE_S)
    command = [sys.executable, "-m", "TemporalGliomaRisk", "check", str(simulated_patient), "--json", "--no-alignment"]
    printed = subprocess.run(command, check=True, capture_output=True, env=environment).stdout
    assert result["check"] == json.loads(printed)
    assert len(result["check"]["visits"]) == 3


def test_a_registration_is_the_one_a_prediction_makes_and_writes_no_file(
    client: WorkerClient, rows: Rows, quick: dict[str, Any], tmp_path: Path
) -> None:
    said: list[dict[str, Any]] = []
    asked = {"model": quick["model"], "mask": quick["mask"]}
    request = client.register(rows, **asked)
    result = client.wait(request, timeout_s=PATIENCE_S, listener=said.append)
    options = {**quick, "register": "always", "heatmaps": False, "cache": False}
    client.wait(client.predict(rows, tmp_path, **options), timeout_s=PATIENCE_S)
    audit = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))

    assert jsonschema.Draft202012Validator(load_schema("answer")).is_valid(result)
    assert result["request"] == "register"
    assert result["registration"]["alignments"] == audit["alignments"]
    assert [one["session_id"] for one in audit["alignments"]] == ["ses-02"]
    moved = [one for one in result["registration"]["findings"] if one["code"] == "moved"]
    assert moved == [one for one in audit["findings"] if one["code"] == "moved"]
    assert [one["visit"] for one in moved] == [2]
    assert {message["stage"] for message in said if message["type"] == "progress"} == {"check", "prepare"}


@pytest.mark.parametrize(
    ("request_it", "words"),
    [
        (lambda client, folder: client.predict(folder / "Jane", folder / "out"), "nothing at the path"),
        (lambda client, folder: client.predict(folder, folder / "out", model=folder), "SHA256SUMS"),
        (lambda client, folder: client.predict(folder, folder / "file"), "must be a folder"),
        (
            lambda client, folder: client.predict(
                [{"path": folder / "Jane.nii", "sequence": "FLAIR", "date": "2019-03-04"}], folder / "out"
            ),
            "Line 1: no file",
        ),
    ],
)
def test_bad_input_is_one_sentence_without_names_and_nothing_is_written(
    client: WorkerClient, tmp_path: Path, request_it: Callable[[WorkerClient, Path], str], words: str
) -> None:
    (tmp_path / "file").write_text("mine")
    answer = client.wait(request_it(client, tmp_path), timeout_s=PATIENCE_S)
    assert (answer["type"], answer["kind"]) == ("error", "input")
    assert words in answer["message"]
    assert "Jane" not in json.dumps(answer)
    assert not (tmp_path / "out").exists()


def test_libraries_of_a_scene_that_break_in_whatever_way_are_a_sentence_and_the_worker_goes_on(
    environment: dict[str, str], simulated_patient: Path, tmp_path: Path
) -> None:
    (tmp_path / "slicer.py").write_text("raise ValueError('numpy.dtype size changed: binary incompatibility')\n")
    with WorkerClient(environment={**environment, "PYTHONPATH": str(tmp_path)}) as client:
        asked = client.predict(simulated_patient, tmp_path / "out", scene=True)
        answer = client.wait(asked, timeout_s=PATIENCE_S)
        assert (answer["type"], answer["kind"]) == ("error", "failure")
        assert answer["message"].startswith("Stopped by an unexpected ValueError in scene/")
        assert client.running
    assert not (tmp_path / "out").exists()


def test_a_second_request_is_told_that_the_worker_is_busy_and_the_first_goes_on(
    client: WorkerClient, rows: Rows, quick: dict[str, Any], tmp_path: Path
) -> None:
    first = client.predict(rows, tmp_path / "one", **quick, cache=False)
    assert client.busy == first
    refused = client.wait(client.check(tmp_path), timeout_s=5)
    assert (refused["kind"], client.busy) == ("busy", first)
    assert client.wait(first, timeout_s=PATIENCE_S)["type"] == "result"
    assert client.busy is None


def test_wrong_calls_raise_before_anything_is_sent(client: WorkerClient, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        client.predict(tmp_path, tmp_path, speed=3)  # type: ignore[call-arg]
    with pytest.raises(KeyError):
        client.predict([{"sequence": "FLAIR"}], tmp_path)
    assert client.busy is None


# What is no message


class Raw:
    """A worker spoken to by hand."""

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        command = [sys.executable, "-m", "TemporalGliomaRisk", "worker", *options]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, env=environment, bufsize=0, **pipes)
        self.lines = os.fdopen(os.dup(self.process.stdout.fileno()), "rb")

    def send(self, data: bytes) -> None:
        while data:
            data = data[self.process.stdin.write(data) :]

    def until(self, kind: str) -> dict[str, Any]:
        for line in filter(bytes.strip, self.lines):
            message = json.loads(line)
            if message["type"] == kind:
                return message
        pytest.fail(f"The worker ended without {kind}: {self.process.stderr.read().decode()}")


NOISE = """
import os, threading, time
print("a library greets", end="", flush=True)
def chatter():
    for number in range(10_000):
        os.write(1, b"noise on descriptor 1\\n")
        print("noise on sys.stdout", end="", flush=True)
        time.sleep(0.001)
threading.Timer(0.3, chatter).start()
"""


def test_a_library_that_prints_does_not_break_the_stream(
    environment: dict[str, str], simulated_patient: Path, tmp_path: Path
) -> None:
    """It prints before the worker has taken its streams, and all the time after."""
    (tmp_path / "sitecustomize.py").write_text(NOISE)
    said: list[dict[str, Any]] = []
    with WorkerClient(environment={**environment, "PYTHONPATH": str(tmp_path)}) as client:
        result = client.wait(
            client.check(simulated_patient, alignment=False), timeout_s=PATIENCE_S, listener=said.append
        )
        assert result["type"] == "result"
        assert [message["type"] for message in said[:2]] == ["hello", "ready"]
        assert client.diagnostics().count("noise on descriptor 1") > 100


def test_garbage_half_lines_huge_lines_and_other_protocols_are_told_and_the_worker_goes_on(
    environment: dict[str, str], simulated_patient: Path
) -> None:
    raw = Raw(environment)
    assert raw.until("hello")["id"] is None
    wrong = [
        b"\xff\xfe\x00 not even text\n",
        b"{}\n",
        b'{"protocol": 99, "id": "later", "type": "predict"}\n',
        b'{"protocol": 1, "id": "x", "type": "predict"}\n',
        b"[" * 50_000 + b"\n",
        b'{"protocol": 1, "id": "big", "type": "predict", "table": "' + b"x" * (3 << 20) + b'"}\n',
        encode("predict", "relative", {"timeline": "Jane/Doe", "table": None, "output": "/out", "options": {}}),
    ]
    told = []
    for line in wrong:
        raw.send(line)
        told.append(raw.until("error"))
    assert {error["kind"] for error in told} == {"protocol"}
    assert [error["id"] for error in told] == [None, None, "later", "x", None, None, "relative"]
    assert "Jane" not in json.dumps(told)
    whole = {"timeline": str(simulated_patient), "table": None, "options": {"alignment": False}}
    line = encode("check", "after", whole)
    for start in range(0, len(line), 11):
        raw.send(line[start : start + 11])
        time.sleep(0.002)
    assert raw.until("result")["id"] == "after"
    # A half line, and then nothing ever more.
    raw.send(line[:20])
    raw.process.stdin.close()
    assert raw.until("bye")["type"] == "bye"
    assert raw.process.wait(timeout=2) == 0
    assert b"Traceback" not in raw.process.stderr.read()
