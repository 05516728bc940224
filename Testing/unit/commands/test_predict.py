"""The command ``predict`` in a process of its own: its files, its streams, its exit status, its end by a signal."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from TemporalGliomaRisk.commands import main, predict
from TemporalGliomaRisk.device import choose_device
from TemporalGliomaRisk.report.record import read_risk_record
from TemporalGliomaRisk.resources import resource_path
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.visit import Visit

SURNAME, GIVEN, NUMBER, DATES = "Quillfeather", "Euphemia", "QX774419", ("20190304", "20190911")
NAMES = (SURNAME, GIVEN, NUMBER, *DATES, "2019-03-04", "2019-09-11", "04.03.2019")


@dataclass
class Finished:
    status: int
    out: str
    err: str
    first_line_after_s: float
    seconds: float
    events: list[dict] = field(default_factory=list)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "TEMPORAL_GLIOMA_RISK_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def start(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "TemporalGliomaRisk", "predict", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(
    process: subprocess.Popen[str], stage: str | None = None, act: Callable[[], None] = lambda: None
) -> Finished:
    """Read a process to its end; once a line on standard output tells of ``stage``, ``act``."""
    acted = stage is None
    began = time.monotonic()
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
    reader.start()
    lines, first = [], 0.0
    for line in process.stdout:
        first = first or time.monotonic() - began
        lines.append(line)
        if not acted and f'"stage": "{stage}"' in line:
            acted = True
            act()
    status = process.wait(timeout=300)
    reader.join()
    return Finished(
        status=status, out="".join(lines), err=errors[0], first_line_after_s=first, seconds=time.monotonic() - began
    )


@pytest.fixture(scope="module")
def mask(simulated_patient: Path) -> Path:
    name = simulated_patient.name
    return simulated_patient.parent / "truth" / name / f"{name}_desc-brain_mask.nii.gz"


@pytest.fixture(scope="module")
def identified_dicom(simulated_patient: Path, tmp_path_factory: pytest.TempPathFactory, write_dicom_series) -> Path:
    """Two studies that name the patient in every place that DICOM and a file system have for it."""
    folder = tmp_path_factory.mktemp("in") / f"{SURNAME}_{GIVEN}_{NUMBER}"
    for visit, date in enumerate(DATES, start=1):
        name = f"{simulated_patient.name}_ses-0{visit}_T2w.nii.gz"
        volume = VolumeFile(path=simulated_patient / f"ses-0{visit}" / "anat" / name, role="a test").read()
        write_dicom_series(
            volume,
            folder / f"{NUMBER}_{date}",
            date=date,
            description="T2 TSE",
            patient_id=NUMBER,
            patient_name=f"{SURNAME}^{GIVEN}",
            PatientBirthDate="20120101",
            StudyDescription=f"Follow-up of {GIVEN}",
            AccessionNumber=NUMBER,
        )
    return folder


@pytest.fixture(scope="module")
def of_dicom(
    identified_dicom: Path,
    small_bundle: Path,
    mask: Path,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Finished, Path]:
    """A whole run with JSON progress, into a folder whose name has blanks and accents."""
    output = tmp_path_factory.mktemp("out") / "Résultats du 1er février" / "Ærø 日本"
    options = ("--output", output, "--model", small_bundle, "--mask", mask, "--register", "never")
    finished = finish(start(environment, identified_dicom, *options, "--progress", "json"))
    return finished, output


def test_a_run_ends_with_0_and_every_file_is_there(of_dicom: tuple[Finished, Path]) -> None:
    finished, output = of_dicom
    assert finished.status == 0, finished.err
    assert finished.err == ""
    found = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    maps = {"sub-01_ses-01_desc-risk", "sub-01_ses-02_desc-risk", "sub-01_ses-02_desc-change"}
    files = {"risk.json", "risk.tsv", "report.html", "audit.json", "montage.png"}
    assert found == files | {f"heatmaps/{name}_heatmap.nii.gz" for name in maps}
    record = read_risk_record(output / "risk.json")
    assert [visit.days_since_first for visit in record.visits] == [0, 191]
    assert [visit.days_since_treatment for visit in record.visits] == [None, None]
    for visit in record.visits:
        assert (output / visit.heatmap).is_file()
    with (output / "risk.tsv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert [float(row["risk"]) for row in rows] == pytest.approx([visit.risk for visit in record.visits])
    assert not list(output.rglob("*.part*"))


def test_maps_of_dicom_lie_on_the_series_grid(of_dicom: tuple[Finished, Path], simulated_patient: Path) -> None:
    _, output = of_dicom
    for visit in (1, 2):
        name = f"{simulated_patient.name}_ses-0{visit}_T2w.nii.gz"
        volume = VolumeFile(path=simulated_patient / f"ses-0{visit}" / "anat" / name, role="a test").read()
        image = nibabel.load(output / "heatmaps" / f"sub-01_ses-0{visit}_desc-risk_heatmap.nii.gz")
        # The readers of DICOM may order the axes otherwise: the set of voxel centres is what must be the same.
        corners = np.array(np.meshgrid(*[(0, length - 1) for length in image.shape], indexing="ij")).reshape(3, -1).T
        found = corners @ image.affine[:3, :3].T + image.affine[:3, 3]
        wanted = volume.geometry.to_ras(
            np.array(np.meshgrid(*[(0, length - 1) for length in volume.voxels.shape], indexing="ij")).reshape(3, -1).T
        )
        nearest = np.linalg.norm(found[:, None] - wanted[None], axis=2).min(axis=1)
        assert nearest.max() < 1e-2
        assert sorted(image.shape) == sorted(volume.voxels.shape)


def test_json_progress_is_objects_one_a_line_and_begins_at_once(of_dicom: tuple[Finished, Path]) -> None:
    finished, _ = of_dicom
    events = [json.loads(line) for line in finished.out.splitlines()]
    assert all(isinstance(event, dict) for event in events)
    assert (events[0]["type"], events[0]["stage"], events[0]["fraction"]) == ("progress", "start", 0.0)
    assert finished.first_line_after_s < 0.25 * finished.seconds
    fractions = [event["fraction"] for event in events if event["type"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert [event["type"] for event in events].count("result") == 1
    assert events[-1]["type"] == "result"
    assert len(events) > 10


def names_in(folder: Path) -> list[tuple[str, str]]:
    """(file, name) for every planted name found in a file's name or bytes, compressed ones opened."""
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        where = path.relative_to(folder).as_posix()
        for name in NAMES:
            if name.lower() in where.lower() or name.lower().encode() in content.lower():
                found.append((where, name))
    return found


def test_no_planted_name_number_or_date_is_in_any_output(of_dicom: tuple[Finished, Path]) -> None:
    finished, output = of_dicom
    assert names_in(output) == []
    spoken = "\n".join(line for line in finished.out.splitlines() if '"type": "result"' not in line) + finished.err
    assert [name for name in NAMES if name.lower() in spoken.lower()] == []


def test_dated_files_keep_names_and_dates_out_unless_identified_is_asked_for(
    simulated_patient: Path, small_bundle: Path, mask: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("TEMPORAL_GLIOMA_RISK_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / f"{SURNAME}"
    folder.mkdir()
    for visit, date in enumerate(DATES, start=1):
        name = f"{simulated_patient.name}_ses-0{visit}_T2w.nii.gz"
        (folder / f"{SURNAME}-{GIVEN}_{date}_T2w.nii.gz").symlink_to(
            simulated_patient / f"ses-0{visit}" / "anat" / name
        )
    options = ["--model", str(small_bundle), "--mask", str(mask), "--register", "never"]
    assert main(["predict", str(folder), "--output", str(tmp_path / "plain"), *options]) == 0
    said = capsys.readouterr()
    assert names_in(tmp_path / "plain") == []
    assert GIVEN not in said.out + said.err
    lines = {number: next(line for line in said.out.splitlines() if f"visit  {number}" in line) for number in (1, 2)}
    assert lines[1].endswith("uncertain: one visit so far")
    assert "risk of recurrence within 365 days of each visit. Day 0 is the first visit." in said.out
    assert "day   191" in lines[2]
    assert "uncertain" not in lines[2]
    assert said.out.splitlines()[-1].endswith("--timeline TIMELINE")
    assert (tmp_path / "plain" / "risk.json").is_file()
    named = [*options, "--no-heatmaps", "--identified"]
    assert main(["predict", str(folder), "--output", str(tmp_path / "named"), *named]) == 0
    assert ("report.html", SURNAME) in names_in(tmp_path / "named")


@pytest.mark.parametrize(("treatment", "origin", "day"), [(20, "treatment", 211), (None, "the first visit", 191)])
def test_days_on_the_console_count_as_in_the_report_and_the_viewer(
    treatment: int | None, origin: str, day: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hazards = SimpleNamespace(risk=0.1, risk_extremes=(0.05, 0.2), single_visit_risk=0.1)
    visits = [
        SimpleNamespace(
            visit=Visit(
                session_id=f"ses-{days}",
                days_since_first=days,
                days_since_treatment=None if treatment is None else days + treatment,
                sources={},
            ),
            hazards=hazards,
        )
        for days in (0, 191)
    ]
    told = SimpleNamespace(
        timeline=SimpleNamespace(patient_id="sub-01"),
        visits=visits,
        findings=(),
        model=SimpleNamespace(metadata={"caveat": "No."}),
    )
    predict._say(told, SimpleNamespace(progress="plain", output=tmp_path, timeline=tmp_path))
    said = capsys.readouterr().out
    assert said.count("Day 0 is") == said.count(f"Day 0 is {origin}.") == 1
    assert f"visit  2  day {day:5d}" in said


@pytest.mark.parametrize("progress", ["plain", "json"])
def test_a_gpu_that_was_asked_for_and_is_not_there_is_told_on_the_console(
    progress: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    told = SimpleNamespace(
        timeline=SimpleNamespace(patient_id="sub-01"),
        visits=(),
        findings=choose_device("cuda")[1],
        model=SimpleNamespace(metadata={"caveat": "No."}),
    )
    predict._say(told, SimpleNamespace(progress=progress, output=tmp_path, timeline=tmp_path))
    assert capsys.readouterr().err == "The GPU that was asked for is not available here; the CPU was used.\n"


BAD = {
    "nothing there": lambda folder: folder / SURNAME,
    "an empty folder": lambda folder: (folder / "empty").mkdir() or folder / "empty",
    "a csv full of mistakes": lambda folder: bad_table(folder),  # noqa: PLW0108 (defined below)
}


def bad_table(folder: Path) -> Path:
    (folder / "not_an_image.nii.gz").write_bytes(b"not an image")
    table = folder / f"{SURNAME}.csv"
    rows = [
        "path,sequence,date",
        f"{GIVEN}.nii.gz,FLAIR,2019-03-04",
        "not_an_image.nii.gz,BOLD,2019-03-04",
        "not_an_image.nii.gz,FLAIR,31.02.2019",
        ",FLAIR,",
        "not_an_image.nii.gz,FLAIR,2999-01-01",
    ]
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table


@pytest.mark.parametrize("what", BAD)
def test_bad_input_ends_with_2_one_line_and_nothing_written(
    what: str, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, output = BAD[what](tmp_path), tmp_path / "out"
    assert main(["predict", str(given), "--output", str(output), "--model", str(small_bundle)]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.err.startswith("temporal-glioma-risk: ")
    assert said.out == ""
    assert [name for name in NAMES if name in said.err] == []
    assert not output.exists()


def test_every_mistake_of_a_table_is_told_by_its_line(
    small_bundle: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    output = tmp_path / "out"
    options = ("--output", output, "--model", small_bundle, "--progress", "json")
    finished = finish(start(environment, bad_table(tmp_path), *options))
    assert finished.status == 2
    assert finished.err.count("\n") == 1
    assert [f"Line {line}:" in finished.err for line in (2, 3, 4, 5, 6)] == [True] * 5
    assert [name for name in NAMES if name in finished.err] == []
    assert [json.loads(line)["type"] for line in finished.out.splitlines()] == ["progress"]
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "{folder}/nowhere"], "needs SHA256SUMS"),
        (["--mask", "{folder}/nowhere.nii.gz"], "brain mask"),
        (["--patient", "sub-99"], "patient"),
    ],
)
def test_bad_options_end_with_2_and_nothing_written(
    options: list[str],
    words: str,
    simulated_patient: Path,
    small_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--model", str(small_bundle), *[option.format(folder=tmp_path) for option in options]]
    assert main(["predict", str(simulated_patient), "--output", str(tmp_path / "out"), *given]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_an_output_that_is_a_file_is_refused_at_once_and_left_as_it_is(
    place: str, simulated_patient: Path, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    given = ["--output", str(tmp_path / place), "--model", str(small_bundle)]
    assert main(["predict", str(simulated_patient), *given]) == 2
    assert "The output must be a folder" in capsys.readouterr().err
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("stage", ["encode", "write"])
def test_sigterm_on_the_way_ends_with_130_and_leaves_nothing_half_written(
    stage: str, simulated_patient: Path, small_bundle: Path, mask: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    options = ("--output", tmp_path / "out", "--model", small_bundle, "--mask", mask, "--register", "never")
    process = start(
        {**environment, "TEMPORAL_GLIOMA_RISK_CACHE": str(tmp_path / "cache")},
        simulated_patient,
        *options,
        "--progress",
        "json",
    )
    finished = finish(process, stage, process.terminate)
    assert finished.status == 130
    assert finished.err == "temporal-glioma-risk: cancelled.\n"
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in left if ".part" in path.name] == []
    assert not (tmp_path / "out" / "risk.json").exists()
    for path in left:
        if path.name.endswith(".nii.gz"):
            assert np.isfinite(np.asarray(nibabel.load(path).dataobj)).all()


def test_after_a_kill_nothing_has_a_final_name_that_is_not_whole_and_a_second_run_works(
    simulated_patient: Path, small_bundle: Path, mask: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    output = tmp_path / "out"
    options = ("--output", output, "--model", small_bundle, "--mask", mask, "--register", "never")
    own = {**environment, "TEMPORAL_GLIOMA_RISK_CACHE": str(tmp_path / "cache")}
    process = start(own, simulated_patient, *options, "--progress", "json")
    finished = finish(process, "write", process.kill)
    assert finished.status == -signal.SIGKILL
    assert not (output / "risk.json").exists()
    for path in output.rglob("*.nii.gz"):
        if not path.name.startswith("."):
            nibabel.load(path).get_fdata()
    arguments = ["predict", str(simulated_patient), *map(str, options)]
    os.environ["TEMPORAL_GLIOMA_RISK_CACHE"] = own["TEMPORAL_GLIOMA_RISK_CACHE"]
    try:
        assert main(arguments) == 0
    finally:
        del os.environ["TEMPORAL_GLIOMA_RISK_CACHE"]
    record = read_risk_record(output / "risk.json")
    assert len(record.visits) == 3
    for visit in record.visits:
        assert (output / visit.heatmap).is_file()


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        (".venv/bin/temporal-glioma-risk", ".venv/bin/temporal-glioma-risk"),
        ("/home/jane doe/bin/temporal-glioma-risk", "temporal-glioma-risk"),
        ("/usr/lib/TemporalGliomaRisk/__main__.py", "temporal-glioma-risk"),
    ],
)
def test_the_way_to_look_at_a_result_names_the_command_as_it_was_typed_and_only_sample_patients(
    typed: str, named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [typed, "predict"])
    assert predict._command() == named
    assert predict._timeline(tmp_path / SURNAME) == "TIMELINE"
    sample = resource_path("SampleData/sub-01")
    assert predict._timeline(sample) == str(sample)
    assert predict._timeline(sample / ".." / ".." / SURNAME) == "TIMELINE"
