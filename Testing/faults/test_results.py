"""Results are whole or absent, whatever fails while they are written: calls in turn, full disks, kills, two runs."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk import files, results
from TemporalGliomaRisk.errors import OutputError, UsageError
from TemporalGliomaRisk.report.audit import read_audit_record
from TemporalGliomaRisk.report.montage import write_montage
from TemporalGliomaRisk.report.record import read_risk_record
from TemporalGliomaRisk.results import check_results_folder, write_results
from TemporalGliomaRisk.timeline.nifti_header import check_nifti_is_whole, read_nifti_header

FILES = {"risk.json", "risk.tsv", "report.html", "audit.json", "montage.png"}


def whole(folder: Path) -> bool:
    """Whether a folder holds a result: then everything that risk.json names must be there and whole."""
    if not (folder / "risk.json").exists():
        return False
    record = read_risk_record(folder / "risk.json")
    assert {path.name for path in folder.iterdir() if path.is_file()} >= FILES
    assert read_audit_record(folder / "audit.json").patient == record.patient
    assert (folder / "report.html").read_text().rstrip().endswith("</html>")
    for visit in record.visits:
        for name in filter(None, (visit.heatmap, visit.change_heatmap)):
            check_nifti_is_whole(folder / name, read_nifti_header(folder / name))
    return True


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if ".part-" in path.name]


def refusal_of(write: Callable[[], object]) -> str | None:
    """What a failed writing says, None where it succeeds."""
    try:
        write()
    except OutputError as error:
        return str(error)
    return None


@pytest.fixture
def calls(prediction: Any, tmp_path: Path, faults, cheap_drawing) -> list[str]:
    """Names of all calls by which a result replaces an earlier one."""
    write_results(prediction, tmp_path / "counted")
    with faults().installed() as counted:
        write_results(prediction, tmp_path / "counted")
    assert set(counted.made) == {"mkdir", "fsync", "replace", "open", "unlink", "write_text", "WriteImage", "savefig"}
    return counted.made


WRITERS = ("write_text", "WriteImage", "savefig")


def test_whichever_call_fails_the_earlier_result_stays_or_the_new_one_is_whole(
    prediction: Any, tmp_path: Path, faults, calls: list[str], contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    monkeypatch.setattr(files, "_writer_is_gone", lambda name: True)
    write_results(prediction, folder)
    earlier = contents(folder)
    outcomes = []
    plans = [(at, errno.ENOSPC) for at in range(1, len(calls) + 1)]
    plans += [(at, errno.EIO) for at, name in enumerate(calls, start=1) if name in WRITERS]
    for at, reason in plans:
        with faults(at, reason).installed():
            said = refusal_of(lambda: write_results(prediction, folder))
        assert said is None or (os.strerror(reason) in said and "SECRETNAME" not in said)
        found = contents(folder)
        assert said is None or found == earlier, calls[at - 1]
        assert whole(folder)
        outcomes.append("kept" if said else "new")
        # Where clearing up is what fails, an empty folder stays until the next run.
        assert leftovers(folder) == [] or said is None
        if said is None:
            write_results(prediction, folder)  # into whatever was left
            assert whole(folder)
            assert leftovers(folder) == []
            earlier = contents(folder)
    assert set(outcomes) == {"kept", "new"}


def test_killed_at_any_call_what_is_left_is_whole_or_absent_and_the_next_run_works(
    prediction: Any, tmp_path: Path, faults, calls: list[str], contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill runs nothing more, so it leaves the folder as it is then: before a call, or half through a file."""
    folder, states = tmp_path / "out", {}

    def killed() -> None:
        found = contents(folder)
        states.setdefault(tuple(sorted((len(name), hash(content)) for name, content in found.items())), found)

    write_results(prediction, folder)
    with faults(at_each=killed).installed() as made:
        write_results(prediction, folder)
    assert len(made.made) == len(calls)
    monkeypatch.setattr(files, "_writer_is_gone", lambda name: True)
    outcomes = []
    for number, state in enumerate(states.values()):
        left = tmp_path / str(number)
        for name, content in state.items():
            (left / name).parent.mkdir(parents=True, exist_ok=True)
            (left / name).write_bytes(content)
        outcomes.append((whole(left), bool(leftovers(left))))
        write_results(prediction, left)
        assert whole(left)
        assert leftovers(left) == []
    assert len(states) > 20
    assert {(True, True), (False, True)} <= set(outcomes)


def test_whenever_the_folder_vanishes_the_result_is_whole_or_absent_and_the_next_run_works(
    prediction: Any, tmp_path: Path, faults, calls: list[str]
) -> None:
    folder = tmp_path / "out"
    refused = 0
    for at in range(1, len(calls) + 1):
        with faults(at, act=lambda: shutil.rmtree(folder, ignore_errors=True)).installed():
            said = refusal_of(lambda: write_results(prediction, folder))
        refused += said is not None
        assert said is None or "could not be written" in said
        assert not whole(folder) if said else whole(folder) or not folder.exists()
        assert leftovers(folder) == []
    assert refused > len(calls) // 2
    write_results(prediction, folder)
    assert whole(folder)


def test_whichever_call_fails_the_montage_is_old_or_new(prediction: Any, tmp_path: Path, faults) -> None:
    """The real one, which the tests above spare themselves."""
    record = results.risk_record(prediction, heatmaps=False)
    pictures = results.gather_pictures(record, results._volumes(prediction, None, {}, lambda event: None))
    path = tmp_path / "montage.png"
    with faults().installed() as counted:
        write_montage(record, pictures, path)
    assert "savefig" in counted.made
    new = path.read_bytes()
    for at in range(1, len(counted.made) + 1):
        path.write_bytes(b"old")
        with faults(at).installed():
            said = refusal_of(lambda: write_montage(record, pictures, path))
        assert path.read_bytes() in ((new,) if said is None else (b"old", new))
        assert [*tmp_path.iterdir()] == [path]


@pytest.fixture
def arguments(small_patient: Path, small_bundle: Path, brain_mask_file: Path) -> list[str]:
    return [
        "predict", str(small_patient), "--model", str(small_bundle), "--mask", str(brain_mask_file),
        "--register", "never", "--device", "cpu",
    ]  # fmt: skip


DRIVER = """
import os, resource, shutil, signal, sys, json
os.environ["OMP_NUM_THREADS"] = os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
import torch
torch.set_num_threads(1)
import matplotlib.figure, matplotlib.backends.backend_agg, jinja2, jsonschema
from TemporalGliomaRisk import run, visit_cache
from TemporalGliomaRisk.commands import main, predict
from pathlib import Path

def child(plan):
    os.environ["TEMPORAL_GLIOMA_RISK_CACHE"] = plan["cache"]
    if plan.get("file_bytes"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["file_bytes"],) * 2)
    if plan.get("call"):
        left = [plan["call"]]
        def counted(real):
            def call(*given, **named):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*given, **named)
            return call
        for name in ("mkdir", "fsync", "replace", "unlink"):
            setattr(os, name, counted(getattr(os, name)))
    if plan.get("stage"):
        plainly = predict._printer
        def printer(form):
            def tell(event):
                if event.stage == plan["stage"] and event.fraction >= plan["fraction"]:
                    if not plan.get("gone"):
                        os.kill(os.getpid(), signal.SIGKILL)
                    shutil.rmtree(plan["gone"], ignore_errors=True)
            return tell
        predict._printer = printer
    return main(plan["arguments"])

for line in sys.stdin:
    plan = json.loads(line)
    sys.stdout.flush()
    reading, writing = os.pipe()
    processes = []
    for one in (plan, *plan.pop("beside", ())):
        process = os.fork()
        if process == 0:
            os.dup2(writing, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os._exit(child(one))
        processes.append(process)
    os.close(writing)
    words = b""
    while piece := os.read(reading, 4096):
        words += piece
    os.close(reading)
    ended = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    print(json.dumps({"status": max(ended, key=abs), "words": words.decode()}), flush=True)
"""


@pytest.fixture(scope="module")
def driver():
    """A process that has imported everything and runs ``predict`` in a child of its own for every plan it is told.

    Plans that are ``beside`` one run at the same time; the status is that of whichever went worse.
    """
    process = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(**plan: Any) -> tuple[int, str]:
        process.stdin.write(json.dumps({name: str(v) if isinstance(v, Path) else v for name, v in plan.items()}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        return answer["status"], answer["words"]

    yield run
    process.stdin.close()
    process.wait(timeout=60)
    process.stdout.close()


STAGES = [("start", 0.0), ("check", 0.05), ("prepare", 0.2), ("encode", 0.3), ("write", 0.9)]


def test_killed_at_any_stage_nothing_is_half_there_and_the_next_run_works(
    arguments: list[str], driver: Any, tmp_path: Path
) -> None:
    output, cache = tmp_path / "out", tmp_path / "cache"
    given = [*arguments, "--output", str(output)]
    for stage, fraction in STAGES:
        status, words = driver(arguments=given, cache=cache, stage=stage, fraction=fraction)
        assert (status, words) == (-signal.SIGKILL, "")
        assert not whole(output)
    # The cache is warm now, and the maps are being written.
    status, words = driver(arguments=given, cache=cache, call=20)
    assert (status, words) == (-signal.SIGKILL, "")
    assert leftovers(output) != []
    status, words = driver(arguments=given, cache=cache)
    assert (status, words) == (0, "")
    assert whole(output)
    assert leftovers(output) == []
    assert sorted(path.suffix for path in cache.iterdir()) == [".safetensors"] * 2


@pytest.mark.parametrize(("stage", "fraction", "status"), [("prepare", 0.2, 0), ("write", 0.8, 1), ("write", 0.9, 1)])
def test_an_output_folder_that_vanishes_during_predict_is_made_anew_or_one_sentence(
    stage: str, fraction: float, status: int, arguments: list[str], driver: Any, tmp_path: Path
) -> None:
    output, given = tmp_path / "out", [*arguments, "--output", str(tmp_path / "out")]
    output.mkdir()
    ended, words = driver(arguments=given, cache=tmp_path / "cache", stage=stage, fraction=fraction, gone=output)
    assert ended == status, words
    assert whole(output) == (status == 0)
    assert leftovers(output) == []
    assert words.count("\n") == status
    assert (status == 0) or "could not be written" in words
    assert "/" not in words
    assert driver(arguments=given, cache=tmp_path / "cache") == (0, "")
    assert whole(output)


def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_result(
    arguments: list[str], driver: Any, tmp_path: Path, contents
) -> None:
    given = [*arguments, "--output", str(tmp_path / "out")]
    status, words = driver(arguments=given, cache=tmp_path / "cache")
    assert (status, words) == (0, "")
    earlier = contents(tmp_path / "out")
    for file_bytes in (500, 15_000):  # of any one file: tables are cut, or only maps, pictures and the report
        other = tmp_path / f"cache {file_bytes}"
        status, words = driver(arguments=given, cache=other, file_bytes=file_bytes)
        assert status == 1
        assert words.count("\n") == 1
        assert "could not be written" in words
        assert contents(tmp_path / "out") == earlier
        assert contents(other) == {}


def test_an_output_that_can_t_be_made_is_one_sentence(arguments: list[str], driver: Any, tmp_path: Path) -> None:
    status, words = driver(arguments=[*arguments, "--output", "/proc/nowhere/out"], cache=tmp_path / "cache")
    assert status in (1, 2)
    assert words.count("\n") == 1
    assert "/proc" not in words


def test_two_runs_into_one_folder_at_once_leave_one_result_whole(
    arguments: list[str], driver: Any, small_patients: Path, tmp_path: Path
) -> None:
    """Two patients into one folder, an error of the reader's: what is there in the end is one patient's."""
    output = tmp_path / "out"
    given = [*arguments, "--output", str(output)]
    others = [word.replace("sub-01", "sub-02") for word in given]
    assert others[1] == str(small_patients / "sub-02")
    beside = [{"arguments": others, "cache": str(tmp_path / "another cache")}]
    assert driver(arguments=given, cache=tmp_path / "cache", beside=beside) == (0, "")
    assert whole(output)
    assert leftovers(output) == []
    patient = read_risk_record(output / "risk.json").patient
    assert patient in (output / "report.html").read_text()
    assert {name.split("_")[0] for name in read_audit_record(output / "audit.json").inputs} == {patient}


@pytest.mark.usefixtures("cheap_drawing")
def test_maps_of_an_earlier_run_do_not_stand_beside_other_risks(prediction: Any, tmp_path: Path) -> None:
    write_results(prediction, tmp_path, heatmaps=True)
    maps = {path for path in (tmp_path / "heatmaps").iterdir()}
    own = tmp_path / "heatmaps" / "of_the_reader.nii.gz"
    own.write_bytes(b"kept")
    write_results(prediction, tmp_path, heatmaps=False)
    assert maps
    assert [*(tmp_path / "heatmaps").iterdir()] == [own]
    assert whole(tmp_path)


def test_files_by_our_names_without_a_result_of_ours_are_somebody_else_s(prediction: Any, tmp_path: Path) -> None:
    (tmp_path / "scene.mrb").write_bytes(b"a reader's own")
    with pytest.raises(UsageError, match=r"holds scene\.mrb of something else"):
        check_results_folder(tmp_path)
    # After a kill in the middle of putting files in their places there is an audit, and the next run goes on.
    (tmp_path / "audit.json").write_text("{}", "utf-8")
    check_results_folder(tmp_path)
    check_results_folder(tmp_path / "new")
