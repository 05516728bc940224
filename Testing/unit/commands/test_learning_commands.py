"""From a simulated cohort to a bundle that predicts, command by command, with a kill on the way; all very small."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from TemporalGliomaRisk.bundle import (
    CALIBRATION,
    CARD,
    INFERENCE,
    METADATA,
    PRETRAINED,
    WEIGHTS,
    load_bundle,
    seal_bundle,
)
from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.learn.cohort import CohortPatient, cohort_sha256, read_cohort, split_patients
from TemporalGliomaRisk.learn.cohort_seen import learnt_from_cohort, seen_patients
from TemporalGliomaRisk.learn.run_folder import Beginning, RunFolder
from TemporalGliomaRisk.patient_scoring import PatientScoring, Task
from TemporalGliomaRisk.report.record import read_risk_record
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.simulate.cohort import PARTICIPANT_COLUMNS, write_patient
from TemporalGliomaRisk.simulate.config import SimulationConfig

# Patients of this seed have few visits; both parts of the split hold an event and a patient without one.
SEED, PATIENTS, SPLIT = 20261, (9, 10, 11, 14, 18, 27), 1
OTHERS = (25, 26, 30, 34)
UPDATES, EVERY = 9, 3
NOTE = "Pretrained on more patients than it was fine-tuned on."
FEW = ("--sanity-patients", "1", "--doubt-patients", "2")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    rows = [write_patient((SimulationConfig(), SEED, number, folder))[1] for number in PATIENTS]
    lines = ["\t".join(str(row[name]) for name in PARTICIPANT_COLUMNS) for row in rows]
    (folder / "participants.tsv").write_text("\n".join(["\t".join(PARTICIPANT_COLUMNS), *lines]) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


def pretraining(cohort: Path, run: Path) -> list[str]:
    settings = f"--updates {UPDATES} --validate-every {EVERY} --pairs 2 --validation-pairs 2 --seed {SPLIT}"
    shares = ["--fractions", "0.6", "0.4", "0"]
    return ["pretrain", "--cohort", str(cohort), "--run", str(run), *settings.split(), *shares]


def test_the_split_of_these_patients_can_be_learnt_from(cohort: Path) -> None:
    split = split_patients(read_cohort(cohort), seed=SPLIT, fractions=(0.6, 0.4, 0.0))
    for part in ("train", "validation"):
        assert {patient.event_observed for patient in split[part]} == {False, True}


@pytest.fixture(scope="module")
def pretrained(cohort: Path, work: Path) -> Path:
    """A run killed after its first checkpoint, in a process of its own, then gone on with to its end."""
    run = work / "run"
    command = [sys.executable, "-m", "TemporalGliomaRisk", *pretraining(cohort, run)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    checkpoint = run / "pretrain" / "checkpoint.safetensors"
    deadline = time.monotonic() + 400
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait() in (-signal.SIGKILL, 0)
    assert checkpoint.exists()
    if not (run / "pretrain" / "final.safetensors").exists():
        (run / "was_killed").touch()
    assert main(pretraining(cohort, run)) == 0
    return run


def test_two_processes_of_torchrun_train_one_encoder_and_share_the_heads(cohort: Path, work: Path) -> None:
    run = work / "run-of-two"
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finetuning = ["finetune", "--cohort", str(cohort), "--run", str(run), "--members", "1", "--epochs", "1"]
    for command in ([*pretraining(cohort, run), "--device", "cpu"], [*finetuning, "--device", "cpu"]):
        done = subprocess.run(
            [*together, "-m", "--", "TemporalGliomaRisk", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    # Only the first process wrote the log, and each trained a head of its own.
    assert [line["update"] for line in log_of(run, "pretrain")] == [EVERY, 2 * EVERY, 3 * EVERY]
    assert {path.stem for path in (run / "heads").glob("*.safetensors")} == {"member-1", "single"}


def log_of(run: Path, stage: str) -> list[dict]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["stage"] == stage]


def test_a_killed_pretraining_goes_on_from_its_checkpoint(pretrained: Path) -> None:
    assert (pretrained / "was_killed").exists()
    updates = [entry["update"] for entry in log_of(pretrained, "pretrain")]
    # No stretch was done twice; the kill may have come between a checkpoint and its line in the log.
    assert updates == sorted(set(updates))
    assert updates[-1] == UPDATES
    assert (pretrained / "pretrain" / "final.safetensors").exists()


def test_other_settings_for_the_same_run_are_refused(cohort: Path, pretrained: Path, capsys) -> None:
    assert main([*pretraining(cohort, pretrained), "--bfloat16"]) == 2
    assert "other settings" in capsys.readouterr().err


def begun_run(run: Path, other: Path) -> Path:
    """A run's folder that need not prepare its visits again."""
    run.mkdir()
    (run / "prepared").symlink_to(other / "prepared", target_is_directory=True)
    return run


def test_an_encoder_that_sees_too_far_for_a_map_is_refused_and_leaves_no_run(cohort: Path, work: Path, capsys) -> None:
    wide = ["pretrain", "--cohort", str(cohort), "--run", str(work / "far"), "--convolutions", "5"]
    assert main(wide) == 2
    assert "a place would see 48 mm" in capsys.readouterr().err
    assert not (work / "far").exists()


def test_a_run_can_begin_with_the_weights_of_another_and_says_so(cohort: Path, work: Path, pretrained: Path) -> None:
    run = begun_run(work / "run-begun", pretrained)
    begun = [*pretraining(cohort, run), "--start-from", str(pretrained)]
    begun[begun.index("--updates") + 1] = "0"
    assert main(begun) == 0
    first, second = RunFolder.open(pretrained), RunFolder.open(run)
    wanted = first.pretrained().state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in second.pretrained().state_dict().items())
    assert second.config.begun_from == first.beginning()[0]
    assert second.config.updates_so_far == UPDATES


def test_a_run_can_begin_with_a_finished_model(cohort: Path, work: Path, pretrained: Path, bundle: Path) -> None:
    run = begun_run(work / "run-begun-with-model", pretrained)
    begun = [*pretraining(cohort, run), "--start-from", str(bundle)]
    begun[begun.index("--updates") + 1] = "0"
    assert main(begun) == 0
    wanted, found = (RunFolder.open(one).pretrained().state_dict() for one in (pretrained, run))
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())
    assert RunFolder.open(run).config.begun_from == Beginning(sha256=sha256_of(bundle / PRETRAINED), updates=UPDATES)
    carried = work / "with-another-card"
    shutil.copytree(bundle, carried)
    (carried / CARD).write_text("Another card.", encoding="utf-8")
    seal_bundle(carried)
    begun[begun.index("--start-from") + 1] = str(carried)
    assert main(begun) == 0  # goes on where it stands
    # Of one cohort and one split, however often it is gone on from.
    (learnt,) = json.loads((run / "learnt_from.json").read_text("utf-8"))
    assert learnt["cohorts_sha256"] == [cohort_sha256(read_cohort(cohort))]
    assert learnt["split"] == {"seed": SPLIT, "fractions": [0.6, 0.4, 0.0]}
    assert sum(one["patients"] for one in learnt["simulated_cohorts"]) == len(PATIENTS)


def test_what_weights_learnt_from_elsewhere_stays_known(
    cohort: Path, work: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, run = work / "other-cohort", work / "run-of-other-cohort"
    rows = [write_patient((SimulationConfig(), SEED, number, other))[1] for number in OTHERS]
    lines = ["\t".join(str(row[name]) for name in PARTICIPANT_COLUMNS) for row in rows]
    (other / "participants.tsv").write_text("\n".join(["\t".join(PARTICIPANT_COLUMNS), *lines]) + "\n", "utf-8")
    begun = [*pretraining(other, run), "--start-from", str(bundle)]
    begun[begun.index("--updates") + 1] = "0"
    shares = begun.index("--fractions")
    begun[shares + 1 : shares + 4] = ["0.5", "0.5", "0"]
    assert main(begun) == 0
    assert main(["finetune", "--cohort", str(cohort), "--run", str(run), "--members", "1"]) == 2
    assert "learnt from this cohort by another split" in capsys.readouterr().err
    place = ["--cohort", str(other), "--run", str(run)]
    assert main(["finetune", *place, "--members", "1", "--epochs", "1"]) == 0
    assert main(["calibrate", *place, "--output", str(work / "of-other"), *FEW]) == 0
    metadata = load_bundle(work / "of-other").metadata
    assert set(metadata["cohorts_sha256"]) == {cohort_sha256(read_cohort(one)) for one in (cohort, other)}
    patients = read_cohort(cohort)
    assert seen_patients(patients, [one.truth_record() for one in patients], metadata) == len(PATIENTS)
    assert learnt_from_cohort(patients, metadata)


def test_heads_can_begin_with_those_of_a_finished_model_on_the_same_encoder(
    cohort: Path, work: Path, pretrained: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begun_run(work / "run-of-heads", pretrained)
    kept = [*pretraining(cohort, run), "--start-from", str(bundle)]
    kept[kept.index("--updates") + 1] = "0"
    assert main(kept) == 0
    place = ["--cohort", str(cohort), "--run", str(run), "--heads-from", str(bundle)]
    # A rate of next to nothing leaves the heads where they began; members beyond the model's go round.
    few = ["--members", "3", "--epochs", "1", "--learning-rate", "1e-12", "--places", "301", "--implants-each", "2"]
    assert main(["finetune", *place, *few]) == 0
    model = load_bundle(bundle)
    wanted = {"member-1": 0, "member-2": 1, "member-3": 0}
    for name, number in wanted.items():
        head, theirs = load_file(run / "heads" / f"{name}.safetensors"), model.network.members[number].state_dict()
        assert all(torch.allclose(head[f"weights.{at}"], theirs[at], atol=1e-6) for at in theirs)
    settings = json.loads((run / "heads" / "member-2.json").read_text("utf-8"))
    assert settings["begun_from"] == sha256_of(bundle / WEIGHTS)
    assert settings["sampling"] == {"foremost": 101, "sampled": 200}
    assert settings["sampled_places"] == 67
    assert len([*(run / "features").glob("*_implant-1-2.safetensors")]) == len(
        [*(run / "features").glob("*_implant-1.safetensors")]
    )
    # Another encoder's features mean something else.
    capsys.readouterr()
    assert main(["finetune", *place[:-1], str(resource_path(DEFAULT_MODEL)), "--members", "3"]) == 2
    assert "another encoder's features" in capsys.readouterr().err
    other = begun_run(work / "run-of-another-split", pretrained)
    kept[kept.index("--run") + 1] = str(other)
    shares = kept.index("--fractions")
    kept[shares + 1 : shares + 4] = ["0.5", "0.5", "0"]
    assert main(kept) == 2
    assert "The weights of --start-from learnt from this cohort by another split" in capsys.readouterr().err
    assert main(["calibrate", *place[:-2], "--output", str(work / "of-heads"), *FEW]) == 0
    learnt = load_bundle(work / "of-heads")
    assert learnt.metadata["heads_begun_from"]["name"] == "tiny"
    assert "The heads began with those of `tiny`" in " ".join(learnt.card.split())
    assert "were learnt from 2 times more" in " ".join(learnt.card.split())


@pytest.fixture(scope="module")
def bundle(cohort: Path, work: Path, pretrained: Path) -> Path:
    place = ["--cohort", str(cohort), "--run", str(pretrained)]
    assert main(["finetune", *place, "--members", "2", "--epochs", "1"]) == 0
    assert main(["calibrate", *place, "--output", str(work / "tiny"), *FEW, "--note", NOTE]) == 0
    return work / "tiny"


def test_the_bundle_loads_and_says_where_it_comes_from(bundle: Path, cohort: Path) -> None:
    model = load_bundle(bundle)
    split = split_patients(read_cohort(cohort), seed=SPLIT, fractions=(0.6, 0.4, 0.0))
    assert model.name == "tiny"
    assert len(model.network.members) == 2
    assert model.metadata["training_patients"] == len(split["train"])
    assert model.metadata["validation_patients"] == len(split["validation"])
    assert model.metadata["run"]["pretraining"]["updates"] == UPDATES
    assert "Not yet evaluated" in model.card
    assert NOTE in " ".join(model.card.split())
    assert model.order is not None
    assert model.metadata["trained_on"] == "simulated data"


def test_the_bundle_says_of_its_maps_and_that_so_few_visits_tell_nothing_of_the_usual(bundle: Path) -> None:
    model = load_bundle(bundle)
    assert model.doubt is None
    assert "Too few visits were there" in model.card
    assert [stage.randomised for stage in model.heatmap_sanity.stages][-1] == "every weight"
    assert f"| every weight | {model.heatmap_sanity.stages[-1].correlation:.2f} [" in model.card


def test_a_finished_model_is_measured_anew_and_its_weights_stay(bundle: Path, cohort: Path, work: Path) -> None:
    place = ["--cohort", str(cohort), "--run", str(work / "run"), "--output", str(work / "measured")]
    assert main(["calibrate", *place, "--weights-of", str(bundle), *FEW]) == 0
    before, after = load_bundle(bundle), load_bundle(work / "measured")
    for name in (WEIGHTS, CALIBRATION, INFERENCE):
        assert sha256_of(work / "measured" / name) == sha256_of(bundle / name)
    assert [int(number) for number in after.metadata["version"].split(".")][-1] == 1
    assert "weights and constants unchanged" in after.metadata["changelog"][after.metadata["version"]]
    assert after.heatmap_sanity == before.heatmap_sanity
    assert after.card.count("## When not to believe it") == 1


def test_a_finished_model_can_be_given_another_background_by_those_it_learnt_from(
    bundle: Path, cohort: Path, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["calibrate", "--run", str(work / "run"), "--output", str(work / "renewed"), "--background-anew", *FEW]
    assert main([*place, "--cohort", str(cohort)]) == 2
    assert "--background-anew goes with --weights-of" in capsys.readouterr().err
    silent = tmp_path / "silent"
    shutil.copytree(bundle, silent)
    old = load_file(silent / WEIGHTS)
    for name in [name for name in old if name.endswith("background_last.bias")]:
        old[name] -= 5.0
    save_file(old, silent / WEIGHTS)
    seal_bundle(silent)
    place += ["--weights-of", str(silent)]
    other = tmp_path / "other"
    shutil.copytree(cohort, other)
    table = other / "participants.tsv"
    table.write_text("\n".join(table.read_text("utf-8").splitlines()[:-1]) + "\n", "utf-8")
    assert main([*place, "--cohort", str(other)]) == 2
    assert "needs the very cohorts that the model learnt from" in capsys.readouterr().err
    assert not (work / "renewed").exists()
    assert main([*place, "--cohort", str(cohort)]) == 0
    before, after = load_bundle(silent), load_bundle(work / "renewed")
    new = load_file(work / "renewed" / WEIGHTS)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    # The few patients drawn for the other member hold no event, and what they teach helps nobody who is watched.
    assert "members.1.background_last.bias" in changed
    assert all(re.match(r"members\.\d\.background", name) for name in changed)
    assert after.calibration != before.calibration
    assert (after.name, after.metadata["background_anew"]) == ("renewed", before.name)
    assert "Its backgrounds were then fitted anew" in " ".join(after.card.split())


def test_running_again_changes_nothing(bundle: Path, cohort: Path, pretrained: Path) -> None:
    heads = {path: sha256_of(path) for path in (pretrained / "heads").glob("*.safetensors")}
    assert {path.stem for path in heads} == {"member-1", "member-2", "single"}
    place = ["--cohort", str(cohort), "--run", str(pretrained)]
    sums = (bundle / "SHA256SUMS").read_bytes()
    assert main(["finetune", *place, "--members", "2", "--epochs", "1"]) == 0
    assert main(["calibrate", *place, "--output", str(bundle), *FEW, "--note", NOTE]) == 0
    assert {path: sha256_of(path) for path in heads} == heads
    assert (bundle / "SHA256SUMS").read_bytes() == sums


def test_fewer_heads_than_were_begun_are_refused_since_calibrate_would_take_the_others_too(
    bundle: Path, cohort: Path, pretrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(load_bundle(bundle).network.members) == 2
    place = ["--cohort", str(cohort), "--run", str(pretrained)]
    assert main(["finetune", *place, "--members", "1", "--epochs", "1"]) == 2
    assert "This run has 2 heads, and calibrate takes all of them; got --members 1" in capsys.readouterr().err


def test_heads_are_neither_taught_nor_calibrated_anew_as_those_of_other_patients(
    bundle: Path, cohort: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_bundle(bundle).name  # The run is fine-tuned by now.
    fewer = tmp_path / "cohort"
    shutil.copytree(cohort, fewer)
    table = fewer / "participants.tsv"
    lines = table.read_text("utf-8").splitlines()
    (left_out,) = split_patients(read_cohort(cohort), seed=SPLIT, fractions=(0.6, 0.4, 0.0))["train"][:1]
    table.write_text("\n".join(line for line in lines if left_out.patient_id not in line) + "\n", "utf-8")
    place = ["--cohort", str(fewer), "--run", str(pretrained)]
    for command in (
        ["finetune", *place, "--members", "2", "--epochs", "1"],
        ["calibrate", *place, "--output", str(tmp_path / "other"), *FEW],
    ):
        assert main(command) == 2
        assert "fine-tuned on other patients, or by other outcomes" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def evaluated(bundle: Path, cohort: Path, output: Path, *options: str) -> dict[str, Any]:
    place = ["--cohort", str(cohort), "--model", str(bundle), "--output", str(output)]
    assert main(["evaluate", *place, "--resamples", "20", *options]) == 0
    found: dict[str, Any] = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def evaluation(bundle: Path, cohort: Path, work: Path) -> tuple[dict[str, Any], str]:
    """What evaluate found with its card, and what it said."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        found = evaluated(bundle, cohort, work / "evaluation", "--card")
    return found, said.getvalue()


def test_evaluation_counts_every_landmark_row_and_writes_the_card(
    bundle: Path, cohort: Path, work: Path, evaluation: tuple[dict[str, Any], str]
) -> None:
    found, said = evaluation
    assert found["patients"] == len(PATIENTS)
    whole = next(group for group in found["several_visits"]["groups"] if group["name"] == "all")
    # Visits before the event or the last contact, by the simulator's own records.
    records = [json.loads(path.read_text("utf-8")) for path in sorted((cohort / "truth").glob("sub-*/truth.json"))]
    rows = sum(visit["days_since_first"] < one["follow_up_days"] for one in records for visit in one["visits"])
    assert whole["rows"] == rows
    # Ideal readers who see small lesions only from some size on, or take more for a lesion, have the same rows.
    limited = found["ideal_observer_seeing_from"]
    assert [one["from_mm"] for one in limited] == [4.0, 6.0]
    for one in [*limited, found["ideal_observer_deceived"]]:
        assert [group["rows"] for group in one["groups"]] == [
            group["rows"] for group in found["ideal_observer"]["groups"]
        ]
    assert found["share_of_ideal_observer"][0]["rows"] == rows
    # The same rows with the event at the next visit, which every simulated event has.
    at_visit = found["event_at_next_visit"]
    assert at_visit["events"] == sum(one["event_observed"] for one in records)
    assert at_visit["several_visits"]["groups"][0]["rows"] == at_visit["ideal_observer"]["groups"][0]["rows"] == rows
    model = load_bundle(bundle)
    assert "Not yet evaluated" not in model.card
    # This cohort taught the model, which knows it again by its table and every patient by number.
    assert (found["learnt_from"], found["seen_patients"]) == (True, len(PATIENTS))
    assert f"{len(PATIENTS)} simulated patients of a cohort that the model learnt from" in model.card
    assert "Difference, paired" in said
    assert "Left out, fewer than" in model.card
    # The threshold of F1 is the bundle's, chosen on its validation patients; so is the caveat on the sealed picture.
    assert found["several_visits"]["threshold"] == model.metadata["f1_threshold"]["risk"]
    assert found["single_visit"]["threshold"] == model.metadata["f1_threshold"]["single_visit_risk"]
    assert "(discrimination.png)" in model.card
    assert "docs/discrimination.png" in (bundle / "SHA256SUMS").read_text(encoding="utf-8")
    assert len([*(work / "evaluation" / "prepared").glob("sub-*")]) == len(PATIENTS)


def test_an_evaluation_survives_a_process_that_is_killed(bundle: Path, cohort: Path, tmp_path: Path) -> None:
    scoring = PatientScoring(
        model=load_bundle(bundle), peer=None, rival=None, folder=tmp_path, discard=False, seed=1, order_patients=2
    )
    patients = [Task(number=number, patient=patient) for number, patient in enumerate(read_cohort(cohort))]
    found: list[list[float]] = []
    lost: list[int] = []
    for scored in scoring.score_all(patients, jobs=2, lost=lost.append):
        if not found:
            multiprocessing.active_children()[0].kill()
        found.append([row.risk for row in scored.rows])
    assert len(lost) == 1
    here = [[row.risk for row in scoring.score(task).rows] for task in patients]
    # A process that shares the machine has one thread: other last digits.
    assert found == [pytest.approx(rows, abs=1e-5) for rows in here]


def test_an_evaluation_that_is_killed_goes_on_at_the_patient_it_was_at(
    bundle: Path,
    cohort: Path,
    tmp_path: Path,
    evaluation: tuple[dict[str, Any], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    place = ["--cohort", str(cohort), "--model", str(bundle), "--output", str(output), "--discard-prepared"]
    command = [sys.executable, "-m", "TemporalGliomaRisk", "evaluate", *place]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and not [*output.glob("scores/sub-*.json")]:
            time.sleep(0.01)
        running.kill()
    kept = len([*output.glob("scores/sub-*.json")])
    assert 0 < kept < len(PATIENTS), "The process must be killed between the first patient and the last."
    capsys.readouterr()
    found = evaluated(bundle, cohort, output, "--discard-prepared")
    assert f"{kept} of {len(PATIENTS)} patients were scored before" in capsys.readouterr().err
    assert len([*output.glob("scores/*")]) == len(PATIENTS)  # What was being written when it was killed is gone.
    for key in ("several_visits", "single_visit", "ideal_observer"):
        for ours, theirs in zip(found[key]["groups"], evaluation[0][key]["groups"], strict=True):
            for name, metric in theirs["metrics"].items():
                assert ours["metrics"][name]["value"] == pytest.approx(metric["value"], abs=1e-5), name
    for key in ("order", "heatmaps_at_last_visit_before_event", "local_hazard_at_last_visit", "subgroups"):
        assert found.keys() & {key} == evaluation[0].keys() & {key}


def test_scores_are_used_again_for_the_same_patients_and_scoring_alone(
    bundle: Path, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied, model, output = tmp_path / "cohort", tmp_path / "model", tmp_path / "out"
    shutil.copytree(cohort, copied)
    shutil.copytree(bundle, model)
    table = copied / "participants.tsv"
    columns, *rows = table.read_text("utf-8").splitlines()
    table.write_text("\n".join([f"{columns}\tnickname", *(f"{row}\tZebedee" for row in rows)]) + "\n", "utf-8")
    before = evaluated(model, copied, output)
    capsys.readouterr()

    def used(*options: str) -> int:
        after = evaluated(model, copied, output, *options)
        told = re.search(rf"(\d+) of {len(PATIENTS)} patients were scored before", capsys.readouterr().err)
        assert {**after, "title": ""} == {**before, "title": ""} or options
        return int(told[1]) if told else 0

    assert used() == len(PATIENTS)
    assert used("--title", "The same patients", "--card") == len(PATIENTS)  # A card makes no other model.
    assert used("--seed", "2") == 0
    first, second, *_ = sorted(output.glob("scores/sub-*.json"))
    assert not [path for path in output.glob("scores/sub-*.json") if "Zebedee" in path.read_text("utf-8")]
    first.write_text("{", "utf-8")
    content = json.loads(second.read_text("utf-8"))
    content["scores"]["rows"][0]["risk"] = "high"
    second.write_text(json.dumps(content), "utf-8")
    assert used("--seed", "2") == len(PATIENTS) - 2
    truth = next(copied.glob("truth/*/truth.json"))
    truth.write_text(truth.read_text("utf-8") + "\n", "utf-8")
    assert used("--seed", "2") == len(PATIENTS) - 1


def test_of_patients_that_were_scored_before_every_truth_file_is_read_once(
    bundle: Path, cohort: Path, work: Path, evaluation: tuple[dict[str, Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    truth_record = CohortPatient.truth_record

    def counted(patient: CohortPatient, **asked: int) -> dict[str, Any] | None:
        if not asked:  # Visits that were prepared before are held against the truth of so many of them.
            read.append(patient.patient_id)
        return truth_record(patient, **asked)

    monkeypatch.setattr(CohortPatient, "truth_record", counted)
    found = evaluated(bundle, cohort, work / "evaluation")
    assert read == [patient.patient_id for patient in read_cohort(cohort)]
    assert found["subgroups"] == evaluation[0]["subgroups"]


def test_a_rival_is_compared_in_pairs_on_the_same_rows(
    bundle: Path, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "louder"
    shutil.copytree(bundle, other)
    constants = json.loads((other / CALIBRATION).read_text("utf-8"))
    constants["ensemble"] = {name: 3 * value for name, value in constants["ensemble"].items()}
    (other / CALIBRATION).write_text(json.dumps(constants), "utf-8")
    seal_bundle(other)
    found = evaluated(bundle, cohort, tmp_path / "out", "--rival", str(other), "--discard-prepared")
    said = capsys.readouterr().out
    assert found["rival_model"] == {"name": "tiny", "sha256": load_bundle(other).sha256, "learnt_from": True}
    assert (
        "`tiny`, same rows; it learnt from patients of this cohort, so its figures look better than they are:" in said
    )
    assert "Model above less `tiny`, paired" in said
    ours, theirs, difference = (
        found[key][0] if key == "several_less_rival" else found[key]["groups"][0]
        for key in ("several_visits", "rival", "several_less_rival")
    )
    assert ours["rows"] == theirs["rows"]
    # A hazard times three ranks all rows as before, and says more at each.
    assert theirs["metrics"]["auroc"]["value"] == ours["metrics"]["auroc"]["value"]
    brier = [one["metrics"]["brier"]["value"] for one in (ours, theirs, difference)]
    assert brier[0] != brier[1]
    assert brier[2] == pytest.approx(brier[0] - brier[1])
    # A rival that learnt from what the model keeps for its test would have the better of it.
    described = json.loads((other / METADATA).read_text("utf-8"))
    described["learnt_from"][0]["split"]["seed"] = 99
    (other / METADATA).write_text(json.dumps(described), "utf-8")
    seal_bundle(other)
    place = ["--cohort", str(cohort), "--model", str(bundle), "--output", str(tmp_path / "knowing")]
    assert main(["evaluate", *place, "--part", "test", "--rival", str(other)]) == 2
    assert "may have learnt from the test part" in capsys.readouterr().err


@pytest.mark.parametrize("ahead", [False, True], ids=["both score", "they prepare ahead of one that scores"])
def test_two_processes_find_what_one_finds(
    ahead: bool,
    bundle: Path,
    cohort: Path,
    tmp_path: Path,
    evaluation: tuple[dict[str, Any], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if ahead:  # As on a GPU.
        monkeypatch.setattr(
            PatientScoring,
            "score_all",
            lambda scoring, tasks, *, jobs, lost: scoring.score_behind(tasks, jobs=jobs),
        )
        monkeypatch.setattr("TemporalGliomaRisk.patient_scoring.AT_ONCE", 1)
    found = evaluated(bundle, cohort, tmp_path / "by-two", "--discard-prepared", "--jobs", "2")
    assert not [*(tmp_path / "by-two" / "prepared").glob("sub-*")]
    for key in ("several_visits", "single_visit", "ideal_observer", "ideal_observer_deceived"):
        for ours, theirs in zip(found[key]["groups"], evaluation[0][key]["groups"], strict=True):
            assert (ours["name"], ours["rows"], ours["events"]) == (theirs["name"], theirs["rows"], theirs["events"])
            for name, metric in theirs["metrics"].items():
                # A process that shares the machine has one thread: other last digits of a risk, no other rank.
                assert ours["metrics"][name]["value"] == pytest.approx(metric["value"], abs=1e-5), name


def test_the_bundle_predicts(bundle: Path, cohort: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_GLIOMA_RISK_CACHE", str(work / "cache"))
    mask = cohort / "truth" / "sub-00027" / "sub-00027_desc-brain_mask.nii.gz"
    options = ["--register", "never", "--mask", str(mask), "--no-heatmaps", "--output", str(work / "out")]
    assert main(["predict", str(cohort / "sub-00027"), "--model", str(bundle), *options]) == 0
    record = read_risk_record(work / "out" / "risk.json")
    assert record.model.name == "tiny"
    assert len(record.visits) == 3
    assert all(0 < visit.risk < 1 for visit in record.visits)


@pytest.mark.parametrize("share", ["1.5", "-0.1", "nan", "half"])
def test_a_share_of_implants_beyond_all_is_refused_before_anything_is_read(share: str, tmp_path: Path, capsys) -> None:
    wrong = ["finetune", "--cohort", str(tmp_path), "--run", str(tmp_path), "--implants", share]
    assert main(wrong) == 2
    said = capsys.readouterr().err
    assert "--implants" in said
    assert "_share" not in said


def test_stages_asked_for_too_early_say_which_comes_first(cohort: Path, tmp_path: Path, capsys) -> None:
    place = ["--cohort", str(cohort), "--run", str(tmp_path)]
    assert main(["finetune", *place]) == 2
    assert "run pretrain with it first" in capsys.readouterr().err
    assert main(["calibrate", *place, "--output", str(tmp_path / "b")]) == 2
    assert "run pretrain with it first" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
