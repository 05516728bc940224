"""The reference model learns from prepared patients, goes on after a kill, and is scored as it was trained."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from TemporalGliomaRisk.encode.reference import ReferenceConfig, ReferenceModel
from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.learn.augmentation import AugmentationConfig
from TemporalGliomaRisk.learn.finetune_reference import (
    ReferenceTrainingConfig,
    finetune_reference,
    plain_timeline,
    shrunk,
    timeline_hazards,
    training_timeline,
)
from TemporalGliomaRisk.learn.score_reference import calibrate_reference, load_reference, raw_hazards
from TemporalGliomaRisk.learn.stored_patient import StoredPatient, load_patient
from TemporalGliomaRisk.risk.hazards import negative_log_likelihood

SHAPE = (20, 18, 17)
QUIET = AugmentationConfig(
    shift_voxels=0, rotation_degrees=0, gain=0.02, bend=0, bias=0, noise=0.02, blur_chance=0, single_sequence_chance=0
)
SMALL = ReferenceTrainingConfig(
    model=ReferenceConfig(norm="group", first_stride=1, widen=0.125, width=16, heads=2, dropout=0.1),
    epochs=4,
    patience=100,
    patients_per_update=3,
    augmentation=QUIET,
)


def write_patient(folder: Path, number: int, *, event: bool, visits: int = 3) -> StoredPatient:
    """A patient in the store's format: a blob that grows before an event, and stays as it is without one."""
    noise = np.random.default_rng(number)
    places = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    brain = np.linalg.norm((places - np.array(SHAPE) / 2) / (np.array(SHAPE) / 2), axis=-1) < 0.95
    distance = np.linalg.norm(places - (np.array([10, 9, 8]) + noise.integers(-2, 3, 3)), axis=-1)
    volumes = []
    for visit in range(visits):
        radius = 2.0 + (1.5 * visit if event else 0.0)
        picture = 4.0 * (distance < radius) + 0.1 * noise.standard_normal(SHAPE)
        volumes += [picture * brain] * 2
    label = f"sub-{number:02d}"
    (folder / label).mkdir(parents=True)
    np.save(folder / label / "volumes.npy", np.stack(volumes).astype(np.float16))
    np.save(folder / label / "brain.npy", brain)
    days = [100.0 * visit for visit in range(visits)]
    facts = {
        "patient_id": label,
        "days_since_first": days,
        "days_since_treatment": [day + 20 for day in days],
        "present": [[True, False, True, False]] * visits,
        "event_observed": event,
        "follow_up_days": days[-1] + (60.0 if event else 900.0),
        "truth": None,
    }
    (folder / label / "patient.json").write_text(json.dumps(facts), encoding="utf-8")
    return load_patient(folder, label)


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> list[StoredPatient]:
    folder = tmp_path_factory.mktemp("prepared")
    return [write_patient(folder, number, event=number % 2 == 0) for number in range(6)]


def last_hazards(model: ReferenceModel, patients: list[StoredPatient]) -> list[float]:
    return [float(raw_hazards(model, patient, SMALL)[-1, :3].sum()) for patient in patients]


def test_it_learns_from_the_pictures_of_a_handful_of_patients(patients: list[StoredPatient], tmp_path: Path) -> None:
    # The patients' days are all the same, so only their pictures tell who has an event. Before training the hazards
    # differ by less than 1 %; at larger learning rates the encoder dies and they become equal.
    config = dataclasses.replace(
        SMALL,
        model=dataclasses.replace(SMALL.model, dropout=0.0),
        epochs=60,
        learning_rate=1e-3,
        patients_per_update=2,
        augmentation=dataclasses.replace(QUIET, gain=0, noise=0),
        flip_chance=0.0,
        drop_sequence_chance=0.0,
        drop_visit_chance=0.0,
    )
    torch.manual_seed(config.seed)
    before = last_hazards(ReferenceModel(config.model).eval(), patients[:4])
    assert max(before) < 1.01 * min(before)
    found: list[dict[str, float]] = []
    model = finetune_reference(
        patients[:4], patients[1:3], tmp_path, config=config, report=lambda _, numbers: found.append(numbers)
    )
    assert found[-1]["training"] < 0.93 * found[0]["training"]
    after = last_hazards(model, patients[:4])
    assert min(after[0], after[2]) > 1.2 * max(after[1], after[3])


def test_a_killed_run_goes_on_to_the_same_weights(patients: list[StoredPatient], tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill_after_two(epoch: int, numbers: dict[str, float]) -> None:
        if epoch == 2:
            raise Killed

    at_one_go = finetune_reference(patients[:4], patients[4:], tmp_path / "whole", config=SMALL)
    with pytest.raises(Killed):
        finetune_reference(patients[:4], patients[4:], tmp_path / "killed", config=SMALL, report=kill_after_two)
    torch.rand(7)  # whatever else draws from the global source between the two
    went_on = finetune_reference(patients[:4], patients[4:], tmp_path / "killed", config=SMALL)
    for name, weight in at_one_go.state_dict().items():
        assert torch.equal(weight, went_on.state_dict()[name]), name


def test_a_finished_run_is_not_trained_again(patients: list[StoredPatient], tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, epochs=1)
    first = finetune_reference(patients[:4], patients[4:], tmp_path, config=config)
    epochs: list[int] = []
    again = finetune_reference([], [], tmp_path, config=config, report=lambda epoch, numbers: epochs.append(epoch))
    assert epochs == []
    assert torch.equal(first.readout.weight, again.readout.weight)


def test_training_stops_when_validation_no_longer_improves(patients: list[StoredPatient], tmp_path: Path) -> None:
    found: list[dict[str, float]] = []
    config = dataclasses.replace(SMALL, epochs=60, patience=2, learning_rate=3e-2)
    opposite = [dataclasses.replace(patient, event_observed=not patient.event_observed) for patient in patients[:2]]
    model = finetune_reference(
        patients[:2], opposite, tmp_path, config=config, report=lambda epoch, numbers: found.append(numbers)
    )
    best = min(range(len(found)), key=lambda epoch: found[epoch]["validation"])
    assert len(found) == best + 1 + 2
    kept = [
        negative_log_likelihood(raw_hazards(model, patient, config), days.double(), event)
        for patient in opposite
        for days, event in [(plain_timeline(patient, 2).days_to_end, plain_timeline(patient, 2).event)]
    ]
    assert float(torch.cat(kept).mean()) == pytest.approx(found[best]["validation"], abs=1e-5)


def test_gradients_added_up_over_timelines_are_those_of_the_mean_over_rows(
    patients: list[StoredPatient], tmp_path: Path
) -> None:
    one_by_one = write_patient(tmp_path, 20, event=True, visits=2), write_patient(tmp_path, 21, event=False, visits=5)
    still = dataclasses.replace(QUIET, gain=0, noise=0)
    config = dataclasses.replace(
        SMALL,
        model=dataclasses.replace(SMALL.model, dropout=0.0),
        epochs=1,
        patients_per_update=2,
        augmentation=still,
        flip_chance=0.0,
        drop_visit_chance=0.0,
        drop_sequence_chance=0.0,
    )
    found: list[dict[str, float]] = []
    folder = tmp_path / "run"
    finetune_reference(one_by_one, patients, folder, config=config, report=lambda _, numbers: found.append(numbers))
    bootstrap = np.random.default_rng(config.seed).integers(2, size=2)
    torch.manual_seed(config.seed)
    untrained = ReferenceModel(config.model)
    rows = []
    for index in bootstrap:
        timeline = plain_timeline(one_by_one[int(index)], config.pooling)
        rows.append(
            negative_log_likelihood(timeline_hazards(untrained, timeline), timeline.days_to_end, timeline.event)
        )
    assert found[0]["training"] == pytest.approx(float(torch.cat(rows).detach().mean()), abs=1e-5)


def test_blocks_are_averaged_and_cut_blocks_too() -> None:
    volume = torch.arange(27.0).reshape(1, 3, 3, 3)
    found = shrunk(volume, 2)
    assert found.shape == (1, 2, 2, 2)
    assert float(found[0, 0, 0, 0]) == pytest.approx(float(volume[0, :2, :2, :2].mean()))
    assert float(found[0, 1, 1, 1]) == 26.0
    assert torch.equal(shrunk(volume, 1), volume)


def test_days_of_treatment_are_dropped_in_half_of_training(patients: list[StoredPatient]) -> None:
    dropped = 0
    for seed in range(200):
        timeline = training_timeline(patients[0], SMALL, torch.Generator().manual_seed(seed))
        unknown = torch.isnan(timeline.days_since_treatment)
        assert bool(unknown.all()) or not bool(unknown.any())
        dropped += int(unknown.all())
    assert 70 < dropped < 130


def test_a_training_draw_keeps_the_follow_up_of_the_visits_it_keeps(patients: list[StoredPatient]) -> None:
    config = dataclasses.replace(SMALL, drop_visit_chance=0.5, drop_sequence_chance=0.5)
    plain = plain_timeline(patients[0], config.pooling)
    counts, single = set(), 0
    for seed in range(60):
        timeline = training_timeline(patients[0], config, torch.Generator().manual_seed(seed))
        counts.add(len(timeline.present))
        single += int(bool((timeline.present.sum(dim=1) == 1).all()))
        assert set(timeline.days_to_end.tolist()) <= set(plain.days_to_end.tolist())
        assert float(timeline.days_since_first[0]) == 0
        torch.testing.assert_close(timeline.days_since_first, timeline.days_to_end[0] - timeline.days_to_end)
    assert counts == {1, 2, 3}
    assert 10 < single < 50


def test_calibration_is_one_constant_of_largest_likelihood(patients: list[StoredPatient], tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, epochs=1)
    model = finetune_reference(patients[:4], patients[4:], tmp_path, config=config)
    fitted = calibrate_reference(model, patients, tmp_path, config=config)

    def loss(scale: float) -> float:
        rows = [
            negative_log_likelihood(
                scale * raw_hazards(model, patient, config),
                torch.from_numpy(patient.days_to_end),
                torch.full((patient.visits,), patient.event_observed),
            )
            for patient in patients
        ]
        return float(torch.cat(rows).mean())

    assert loss(fitted.scale) < min(loss(0.97 * fitted.scale), loss(1.03 * fitted.scale))
    read = load_reference(tmp_path)
    assert read.config == config
    assert read.risks(patients[0]) == fitted.risks(patients[0])
    hazards = raw_hazards(model, patients[0], config)
    expected = [1 - math.exp(-fitted.scale * float(row[:3].sum())) for row in hazards]
    assert read.risks(patients[0]) == pytest.approx(expected, abs=1e-9)


def test_a_later_visit_changes_no_earlier_risk_after_training(patients: list[StoredPatient], tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, epochs=1)
    model = finetune_reference(patients[:4], patients[4:], tmp_path, config=config)
    patient = patients[0]
    changed = dataclasses.replace(patient, volumes=np.concatenate([patient.volumes[:4], patient.volumes[4:] + 3]))
    before, after = raw_hazards(model, patient, config), raw_hazards(model, changed, config)
    assert torch.equal(before[:2], after[:2])
    assert not torch.equal(before[2], after[2])


def test_other_settings_in_the_same_folder_are_refused(patients: list[StoredPatient], tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, epochs=1)
    finetune_reference(patients[:4], patients[4:], tmp_path, config=config)
    with pytest.raises(InputError, match="other settings"):
        finetune_reference(patients[:4], patients[4:], tmp_path, config=dataclasses.replace(config, pooling=3))


def test_a_run_without_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finetune --architecture reference"):
        load_reference(tmp_path)


def test_no_validation_patient_is_refused(patients: list[StoredPatient], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got 6 and 0"):
        finetune_reference(patients, [], tmp_path, config=SMALL)
