"""The heads of a run are what their settings beside them say: finetune run again, by the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from TemporalGliomaRisk.bundle import load_bundle
from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.encode.evidence import EvidenceConfig
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.learn.checkpoints import Place, save_checkpoint
from TemporalGliomaRisk.learn.cohort import read_cohorts
from TemporalGliomaRisk.learn.run_folder import RunConfig, RunFolder, SplitConfig
from TemporalGliomaRisk.learn.stored_patient import StoredPatient

SMALL = EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6)


def write_prepared(patient: StoredPatient, folder: Path) -> None:
    """A patient as preparing leaves one."""
    folder.mkdir(parents=True)
    np.save(folder / "volumes.npy", patient.volumes)
    np.save(folder / "brain.npy", patient.brain)
    np.save(folder / "lesions.npy", patient.lesions)
    facts = {
        "days_since_first": patient.days_since_first.tolist(),
        "days_since_treatment": patient.days_since_treatment.tolist(),
        "present": patient.present.tolist(),
        "event_observed": patient.event_observed,
        "follow_up_days": patient.follow_up_days,
        "truth": None,
    }
    (folder / "patient.json").write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture(scope="module")
def finetuning(tmp_path_factory: pytest.TempPathFactory, make_stored: Callable[..., StoredPatient]) -> list[str]:
    """The arguments of a run that is pretrained, its visits prepared and its heads trained once."""
    cohort, folder = tmp_path_factory.mktemp("cohort"), tmp_path_factory.mktemp("work") / "run"
    run = RunFolder.begin(folder, RunConfig(model=SMALL, split=SplitConfig(fractions=(0.5, 0.5, 0.0))))
    save_checkpoint(run.pretrained_file, PairModel(SMALL), None, Place(updates=1, notes={}))
    lines = ["participant_id\tevent_observed\tfollow_up_days"]
    for number in range(1, 9):
        patient = make_stored(number, grows=number % 2 == 0)
        lines.append(f"{patient.patient_id}\t{patient.event_observed}\t{patient.follow_up_days}")
        (cohort / patient.patient_id).mkdir()
        write_prepared(patient, folder / "prepared" / patient.patient_id)
    (cohort / "participants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    place = ["--cohort", str(cohort), "--run", str(folder), "--device", "cpu"]
    arguments = ["finetune", *place, "--members", "1", "--epochs", "1"]
    assert main(arguments) == 0
    return arguments


@pytest.mark.parametrize("other", [["--implants", "0"], ["--place-weight", "0"], ["--epochs", "2"]])
def test_heads_are_not_said_to_be_of_settings_that_they_were_not_trained_with(
    other: list[str], finetuning: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted((Path(finetuning[finetuning.index("--run") + 1]) / "heads").iterdir())
    before = {path.name: sha256_of(path) for path in files}
    heads = {f"{name}.{kind}" for name in ("member-1", "single") for kind in ("json", "safetensors")}
    assert set(before) == {*heads, "patients.json"}
    assert main([*finetuning, *other]) == 2
    assert "begun with other settings" in capsys.readouterr().err
    assert {path.name: sha256_of(path) for path in files} == before
    assert main(finetuning) == 0


@pytest.mark.parametrize("weight", ["-1", "nan", "inf"])
def test_a_weight_that_would_teach_nothing_sensible_is_refused(
    weight: str, finetuning: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*finetuning, "--place-weight", weight]) == 2
    assert "--place-weight" in capsys.readouterr().err


@pytest.mark.parametrize("left", ["heads/member-2.json", "order/head.checkpoint.safetensors"])
def test_a_fine_tuning_that_was_stopped_is_not_calibrated(
    left: str, finetuning: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What a kill leaves: settings of a member, or a checkpoint of the ordering head, without their weights."""
    run = tmp_path / "run"
    shutil.copytree(finetuning[finetuning.index("--run") + 1], run)
    for weights in (run / "order").glob("*"):
        weights.unlink()
    (run / left).parent.mkdir(exist_ok=True)
    (run / left).write_text("{}")
    cohort = finetuning[finetuning.index("--cohort") + 1]
    assert main(["calibrate", "--cohort", cohort, "--run", str(run), "--output", str(tmp_path / "model")]) == 2
    assert "run finetune to its end first" in capsys.readouterr().err


@pytest.fixture(scope="module")
def calibrated(finetuning: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The arguments of calibrating a run of which one visit's contrast was turned, and the model that came of it."""
    run = tmp_path_factory.mktemp("turned") / "run"
    shutil.copytree(finetuning[finetuning.index("--run") + 1], run)
    cohort = finetuning[finetuning.index("--cohort") + 1]
    parts = RunFolder.open(run).split(read_cohorts([Path(cohort)]))
    file = run / "prepared" / parts["validation"][0].patient_id / "volumes.npy"
    volumes = np.load(file)
    volumes[-1] *= -1
    np.save(file, volumes)
    arguments = ["calibrate", "--cohort", cohort, "--run", str(run), "--sanity-patients", "1"]
    assert main([*arguments, "--output", str(run.parent / "model")]) == 0
    return arguments, run.parent / "model"


def test_a_model_counts_the_visits_that_were_used_and_those_that_were_left_out(
    calibrated: tuple[list[str], Path],
) -> None:
    # Of three visits, with one turned, none agrees with both others.
    model = load_bundle(calibrated[1])
    visits = {part: model.metadata[f"{part}_visits"] for part in ("training", "validation")}
    assert visits == {"training": 12, "validation": 9}
    assert (model.metadata["validation_patients"], model.metadata["visits_left_out"]) == (3, 3)
    assert model.doubt is not None
    assert (model.doubt.training_visits, model.doubt.validation_visits) == (12, 9)
    assert "3 visits, not counted under Sample size" in " ".join(model.card.split())


def test_a_finished_model_is_measured_on_the_device_asked_for(
    calibrated: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    arguments, bundle = calibrated
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    output = tmp_path / "measured"
    assert main([*arguments, "--weights-of", str(bundle), "--output", str(output), "--device", "cuda"]) == 0
    assert "The GPU that was asked for is not available here; the CPU was used." in capsys.readouterr().err
    assert load_bundle(output).doubt.unusual_above == load_bundle(bundle).doubt.unusual_above
