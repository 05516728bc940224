"""Results are whole or absent, whatever fails while they are written: calls in turn, full disks, kills, two runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk import results
from TemporalGliomaRisk.errors import OutputError, UsageError
from TemporalGliomaRisk.files import write_text_whole
from TemporalGliomaRisk.report.audit import read_audit_record
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


@pytest.mark.usefixtures("cheap_pictures")
def test_whichever_call_fails_the_earlier_result_stays_or_the_new_one_is_whole(
    prediction: Any, tmp_path: Path, faults, contents
) -> None:
    with faults().installed() as counted:
        write_results(prediction, tmp_path / "first", heatmaps=False)
    folder = tmp_path / "out"
    write_results(prediction, folder, heatmaps=True)
    earlier = contents(folder)
    assert whole(folder)
    kept = absent = 0
    # The same call fails the same way wherever it stands, so that of the many every third is enough.
    for at in range(1, len(counted.made) + 1, 3):
        with faults(at).installed(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(results, "write_montage", lambda record, pictures, path: write_text_whole(path, "x"))
            said = refusal_of(prediction, folder)
        assert leftovers(folder) == []
        assert said is None or "No space left on device" in said
        if said is not None and contents(folder) == earlier:
            kept += 1
        elif not (folder / "risk.json").exists():
            absent += 1
        if contents(folder) != earlier:
            shutil.rmtree(folder)
            write_results(prediction, folder, heatmaps=False)
            earlier = contents(folder)
    assert kept >= 5
    assert absent <= len(FILES)


def refusal_of(prediction: Any, folder: Path) -> str | None:
    try:
        write_results(prediction, folder, heatmaps=False)
    except OutputError as error:
        return str(error)
    return None


@pytest.fixture
def arguments(simulated_patient: Path, small_bundle: Path, brain_mask_file: Path) -> list[str]:
    return [
        "predict", str(simulated_patient), "--model", str(small_bundle), "--mask", str(brain_mask_file),
        "--register", "never", "--device", "cpu",
    ]  # fmt: skip


DRIVER = """
import os, resource, signal, sys, json
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
                    os.kill(os.getpid(), signal.SIGKILL)
            return tell
        predict._printer = printer
    return main(plan["arguments"])

for line in sys.stdin:
    plan = json.loads(line)
    sys.stdout.flush()
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(child(plan))
    os.close(writing)
    words = b""
    while piece := os.read(reading, 4096):
        words += piece
    os.close(reading)
    _, status = os.waitpid(process, 0)
    print(json.dumps({"status": os.waitstatus_to_exitcode(status), "words": words.decode()}), flush=True)
"""


@pytest.fixture(scope="module")
def driver():
    """A process that has imported everything and runs ``predict`` in a child of its own for every plan it is told."""
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


def test_killed_at_any_stage_or_call_nothing_is_half_there_and_the_next_run_works(
    arguments: list[str], driver: Any, tmp_path: Path
) -> None:
    output, cache = tmp_path / "out", tmp_path / "cache"
    given = [*arguments, "--output", str(output), "--no-heatmaps"]
    killed = 0
    for stage, fraction in STAGES:
        status, words = driver(arguments=given, cache=cache, stage=stage, fraction=fraction)
        killed += status == -signal.SIGKILL
        assert status in (0, -signal.SIGKILL), words
        whole(output)
    assert killed >= 4
    # The cache is warm now; calls are those of the writing.
    call, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        call += 7
        status, words = driver(arguments=given, cache=cache, call=call)
        assert status in (0, -signal.SIGKILL), words
        whole(output)
    assert call > 14
    status, words = driver(arguments=given, cache=cache)
    assert (status, words) == (0, "")
    assert whole(output)
    assert leftovers(output) == []
    assert leftovers(cache) == []


def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_result(
    arguments: list[str], driver: Any, tmp_path: Path, contents
) -> None:
    given = [*arguments, "--output", str(tmp_path / "out")]
    status, words = driver(arguments=given, cache=tmp_path / "cache")
    assert (status, words) == (0, "")
    earlier = contents(tmp_path / "out")
    for file_bytes in (500, 30_000):  # of any one file: tables are cut, or only maps, pictures and the report
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
    arguments: list[str], simulated_cohort: Path, small_bundle: Path, tmp_path: Path
) -> None:
    """Two patients into one folder, an error of the reader's: what is there in the end is one patient's."""
    output = tmp_path / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    other = simulated_cohort / "sub-00018"
    mask = simulated_cohort / "truth" / other.name / f"{other.name}_desc-brain_mask.nii.gz"
    others = [
        "predict", str(other), "--model", str(small_bundle), "--mask", str(mask), "--register", "never",
    ]  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "TemporalGliomaRisk", *given, "--output", str(output), "--no-heatmaps"],
            env={**environment, "TEMPORAL_GLIOMA_RISK_CACHE": str(tmp_path / str(number))},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for number, given in enumerate((arguments, others))
    ]
    for process in processes:
        _, words = process.communicate(timeout=240)
        assert (process.returncode, words) == (0, "")
    assert whole(output)
    assert leftovers(output) == []
    patient = read_risk_record(output / "risk.json").patient
    assert patient in (output / "report.html").read_text()
    assert {name.split("_")[0] for name in read_audit_record(output / "audit.json").inputs} == {patient}


@pytest.mark.usefixtures("cheap_pictures")
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
