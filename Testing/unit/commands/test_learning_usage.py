"""Learning commands refuse, before they work or write, a folder that is something else's and numbers that are none."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from TemporalGliomaRisk.bundle import seal_bundle
from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.config import from_json, to_json
from TemporalGliomaRisk.learn.run_folder import RunConfig, RunFolder, SplitConfig
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path

NO_GPU = "The GPU that was asked for is not available here; the CPU was used."


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A cohort of one patient that somebody would miss."""
    (tmp_path / "data" / "sub-01").mkdir(parents=True)
    table = "participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\t400\n"
    (tmp_path / "data" / "participants.tsv").write_text(table, encoding="utf-8")
    return tmp_path / "data"


def test_simulate_never_replaces_the_tables_of_another_dataset(dataset: Path, capsys) -> None:
    before = (dataset / "participants.tsv").read_bytes()
    assert main(["simulate", "--patients", "1", "--output", str(dataset)]) == 2
    assert "holds another dataset" in capsys.readouterr().err
    assert (dataset / "participants.tsv").read_bytes() == before
    assert sorted(path.name for path in dataset.iterdir()) == ["participants.tsv", "sub-01"]


def test_simulate_never_writes_over_somebody_s_scans(tmp_path: Path, capsys) -> None:
    scan = tmp_path / "sub-00001" / "ses-01" / "anat" / "sub-00001_ses-01_FLAIR.nii.gz"
    scan.parent.mkdir(parents=True)
    scan.write_bytes(b"a child's")
    assert main(["simulate", "--patients", "1", "--output", str(tmp_path)]) == 2
    assert "Choose a new folder" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [scan]
    assert scan.read_bytes() == b"a child's"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "something else than a model bundle"),
        ("participants.tsv", "what is there is a file"),
        ("new", "is the cohort or lies in it"),
    ],
)
def test_calibrate_writes_no_bundle_into_a_cohort_or_over_a_file(
    dataset: Path, output: str, words: str, capsys
) -> None:
    arguments = ["calibrate", "--cohort", str(dataset), "--run", str(dataset), "--output", str(dataset / output)]
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--output", "participants.tsv"], "what is there is a file"),
        (["--output", "new"], "is the cohort or lies in it"),
        (["--output", ""], "is the cohort or lies in it"),
        (["--output", "../others"], "holds something else than an evaluation"),
    ],
)
def test_evaluate_refuses_before_it_prepares_anybody(dataset: Path, more: list[str], words: str, capsys) -> None:
    more[1] = str(dataset / more[1])
    (dataset.parent / "others").mkdir()
    (dataset.parent / "others" / "letter.txt").write_text("a reader's own", encoding="utf-8")
    assert main(["evaluate", "--cohort", str(dataset), "--model", str(dataset), *more]) == 2
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in dataset.iterdir()) == ["participants.tsv", "sub-01"]
    assert [path.name for path in (dataset.parent / "others").iterdir()] == ["letter.txt"]


def test_evaluate_says_that_nobody_is_left_to_test(dataset: Path, tmp_path: Path, capsys) -> None:
    model = tmp_path / "model"
    shutil.copytree(resource_path(DEFAULT_MODEL), model)
    path = model / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    metadata["run"]["split"]["fractions"] = [1.0, 0.0, 0.0]
    path.write_text(json.dumps(metadata), encoding="utf-8")
    seal_bundle(model)
    arguments = ["--cohort", str(dataset), "--model", str(model), "--output", str(tmp_path / "new")]
    assert main(["evaluate", *arguments, "--part", "test", "--device", "cuda"]) == 2
    device, refused = capsys.readouterr().err.splitlines()
    assert device == NO_GPU
    assert "leaves none of the 1 patients for the test part" in refused


@pytest.mark.parametrize(
    ("command", "option", "value", "wanted"),
    [
        ("pretrain", "--pairs", "0", "at least 1"),
        ("pretrain", "--updates", "-1", "at least 0"),
        ("pretrain", "--updates", "99999999999999999999", "at most 2147483647"),
        ("pretrain", "--seed", "9" * 30, "at most 2147483647"),
        ("pretrain", "--validate-every", "0", "at least 1"),
        ("pretrain", "--validation-pairs", "0", "at least 1"),
        ("pretrain", "--learning-rate", "-1", "above 0"),
        ("pretrain", "--learning-rate", "nan", "above 0"),
        ("pretrain", "--order-weight", "-1", "from 0 on"),
        ("pretrain", "--order-weight", "inf", "from 0 on"),
        ("pretrain", "--channels", "100000", "1 to 512"),
        ("pretrain", "--jobs", "-2", "at least 1"),
        ("finetune", "--members", "0", "at least 1"),
        ("finetune", "--epochs", "0", "at least 1"),
        ("finetune", "--seed", "-1", "at least 0"),
        ("finetune", "--members", "9" * 20, "at most 100"),
        ("finetune", "--jobs", "0", "at least 1"),
        ("finetune", "--implants-each", "0", "at least 1"),
        ("finetune", "--places", "0", "at least 1"),
        ("finetune", "--learning-rate", "0", "above 0"),
        ("finetune", "--learning-rate", "nan", "above 0"),
        ("calibrate", "--jobs", "0", "at least 1"),
        ("evaluate", "--jobs", "0", "at least 1"),
        ("evaluate", "--resamples", "0", "at least 1"),
        ("evaluate", "--resamples", "9999999999999", "at most 100000"),
        ("evaluate", "--seed", "9" * 23, "at most 2147483647"),
        ("evaluate", "--seed", "-1", "at least 0"),
        ("evaluate", "--order-patients", "-1", "at least 0"),
        ("simulate", "--jobs", "0", "at least 1"),
        ("simulate", "--patients", "9" * 23, "at most 1000000"),
        ("simulate", "--first-patient", "9" * 20, "at most 1000000"),
        ("simulate", "--output", " ", "got nothing"),
        ("evaluate", "--output", "", "got nothing"),
    ],
)
def test_a_number_that_is_none_is_refused_before_anything_is_read_or_written(
    command: str, option: str, value: str, wanted: str, tmp_path: Path, capsys
) -> None:
    needed = {"pretrain": ("cohort", "run"), "finetune": ("cohort", "run"), "calibrate": ("cohort", "run", "output")}
    needed |= {"evaluate": ("cohort", "model", "output"), "simulate": ("output",)}
    names = [word for name in needed[command] for word in (f"--{name}", str(tmp_path / name))]
    more = ["--patients", "1"] if command == "simulate" else []
    # What it would begin with is missing, too, and would be told of if it were read first.
    more += ["--start-from", str(tmp_path / "none")] if command == "pretrain" else []
    assert main([command, *names, *more, option, value]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert all(word in said for word in (option, wanted, value))
    assert not list(tmp_path.iterdir())


def test_pretrain_begins_no_run_in_a_cohort_or_among_somebody_s_files(unscanned: Path, tmp_path: Path, capsys) -> None:
    before = sorted(unscanned.rglob("*"))
    for run in (unscanned, unscanned / "sub-01" / "run"):
        assert main(["pretrain", *place_of(unscanned, run), *SHARES]) == 2
        assert "is the cohort or lies in it. Name another with --run" in capsys.readouterr().err
    assert sorted(unscanned.rglob("*")) == before
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "letter.txt").write_text("a reader's own", encoding="utf-8")
    assert main(["pretrain", *place_of(unscanned, tmp_path / "others"), *SHARES]) == 2
    assert "holds something else than a training run" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "others").iterdir()] == ["letter.txt"]


def test_settings_with_every_number_at_its_limit_are_read_back_as_they_were() -> None:
    content = to_json(RunConfig())
    content["pretraining"] |= {"updates": 0, "pairs_per_update": 1, "validate_every": 1, "order_weight": 0}
    assert to_json(from_json(RunConfig, content)) == content


@pytest.fixture
def unscanned(tmp_path: Path) -> Path:
    """A cohort whose patients have empty folders; of SHARES, some learn and some watch."""
    lines = ["participant_id\tevent_observed\tfollow_up_days"]
    for label in ("sub-01", "sub-02", "sub-03", "sub-04", "sub-05", "sub-06"):
        (tmp_path / "unscanned" / label).mkdir(parents=True)
        lines.append(f"{label}\ttrue\t400")
    (tmp_path / "unscanned" / "participants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "unscanned"


SHARES = ("--fractions", "0.6", "0.4", "0")


def place_of(cohort: Path, run: Path) -> list[str]:
    return ["--cohort", str(cohort), "--run", str(run)]


def test_a_cohort_that_is_refused_leaves_no_run_behind(dataset: Path, tmp_path: Path, capsys) -> None:
    assert main(["pretrain", *place_of(dataset, tmp_path / "run")]) == 2
    assert "The split of 1 patients leaves none for" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_split_without_events_is_told_before_pretraining_and_refused_before_fine_tuning(
    unscanned: Path, tmp_path: Path, capsys
) -> None:
    table = unscanned / "participants.tsv"
    table.write_text(table.read_text("utf-8").replace("true", "false"), encoding="utf-8")
    place = place_of(unscanned, tmp_path / "run")
    assert main(["pretrain", *place, *SHARES]) == 2  # for want of images, after the warnings
    said = capsys.readouterr().err
    for part in ("to learn from", "to calibrate on"):
        assert re.search(rf"^None of the \d patients {part} has an event, so no hazard", said, re.MULTILINE)
    assert main(["finetune", *place]) == 2
    assert "patients to learn from has an event, so no hazard can be learnt" in capsys.readouterr().err
    assert not (tmp_path / "run" / "heads").exists()


def test_folders_that_no_row_names_are_told(unscanned: Path, tmp_path: Path, capsys) -> None:
    (unscanned / "sub-07").mkdir()
    (unscanned / "sub-readme.txt").write_text("no folder", encoding="utf-8")
    place = ["--cohort", str(unscanned), "--output", str(tmp_path / "scores")]
    for command in (
        ["pretrain", *place_of(unscanned, tmp_path / "run"), *SHARES],
        ["evaluate", *place, "--model", str(resource_path(DEFAULT_MODEL))],
    ):
        assert main(command) == 2  # for want of images
        assert "1 of the cohort's folders sub-... has no row in participants.tsv" in capsys.readouterr().err
    (unscanned / "sub-07").rmdir()
    assert main(["pretrain", *place_of(unscanned, tmp_path / "run"), *SHARES]) == 2
    assert "no row" not in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pretrain", "finetune", "calibrate"])
def test_a_gpu_that_is_not_there_is_told_of_in_a_line(command: str, unscanned: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    more = {"pretrain": SHARES, "finetune": (), "calibrate": ("--output", str(tmp_path / "new"))}[command]
    if command != "pretrain":
        RunFolder.begin(run, RunConfig(split=SplitConfig(fractions=(0.6, 0.4, 0.0))))
    assert main([command, *place_of(unscanned, run), *more, "--device", "cuda"]) == 2
    assert capsys.readouterr().err.splitlines().count(NO_GPU) == 1


@pytest.mark.parametrize(
    "content",
    ["{", "", "[1]", "3", '{"model": 3}', '{"pretraining": {"updates": "many"}}', '{"pretraining": {"updates": -1}}'],
)
def test_a_damaged_record_of_a_run_is_told_in_a_sentence(content: str, unscanned: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(content, encoding="utf-8")
    for command in (["pretrain", *SHARES], ["finetune"]):
        assert main([command[0], *place_of(unscanned, run), *command[1:]]) == 2
        said = capsys.readouterr().err
        assert "run.json" in said or "begun with other settings" in said
        assert str(tmp_path) not in said
    assert [path.name for path in run.iterdir()] == ["run.json"]


def test_a_damaged_record_of_a_simulation_is_told_in_a_sentence(tmp_path: Path, capsys) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "simulation.json").write_text("{", encoding="utf-8")
    assert main(["simulate", "--patients", "1", "--output", str(tmp_path)]) == 2
    assert "simulation.json, which says what its cohort was made with, is damaged" in capsys.readouterr().err


def test_a_file_is_no_folder_to_simulate_or_train_in(unscanned: Path, capsys) -> None:
    file = unscanned / "participants.tsv"
    before = file.read_bytes()
    assert main(["simulate", "--patients", "1", "--output", str(file)]) == 2
    assert "what is there is a file. Name another with --output." in capsys.readouterr().err
    other = unscanned.parent / "letter.txt"
    other.write_text("a reader's own", encoding="utf-8")
    assert main(["pretrain", *place_of(unscanned, other), *SHARES]) == 2
    assert "what is there is a file. Name another with --run." in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", ["{", "[]", '{"event_observed": true, "follow_up_days": 400}'])
def test_damaged_prepared_files_are_not_blamed_on_the_outcome(
    content: str, unscanned: Path, tmp_path: Path, capsys
) -> None:
    run = tmp_path / "run"
    for patient in unscanned.glob("sub-*"):
        (run / "prepared" / patient.name).mkdir(parents=True)
        (run / "prepared" / patient.name / "patient.json").write_text(content, encoding="utf-8")
    assert main(["pretrain", *place_of(unscanned, run), *SHARES]) == 2
    said = capsys.readouterr().err
    assert "are damaged; remove prepared/sub-0" in said
    assert "outcome" not in said
    assert str(tmp_path) not in said


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("evaluate", ["number of resamples of the bootstrap", "seed of the bootstrap"]),
        ("simulate", ["(default 0.45)", "(default FLAIR T2w T1w ce-gd_T1w)"]),
        ("pretrain", ["(default 0.55 0.15 0.3)"]),
        ("check", ["--patient LABEL which patient, where the input holds several"]),
        ("predict", ["--patient LABEL which patient, where the input holds several", "with --device, --register,"]),
    ],
)
def test_the_help_says_what_an_option_is_and_what_it_is_if_not_given(command: str, words: list[str], capsys) -> None:
    assert main([command, "--help"]) == 0
    # Lines break within words that hold a hyphen.
    said = "".join(capsys.readouterr().out.split())
    assert [word for word in words if word.replace(" ", "") not in said] == []


@pytest.mark.parametrize("command", ["predict", "check"])
def test_a_timeline_of_an_unset_variable_is_not_the_current_folder(command: str, tmp_path: Path, capsys) -> None:
    output = ["--output", str(tmp_path / "out")] if command == "predict" else []
    assert main([command, "", *output]) == 2
    assert "wanted a folder or table, got nothing" in capsys.readouterr().err
