"""Whether the patients of an evaluation were seen in training is told by who they are, not by a hash of all labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk.bundle import load_bundle
from TemporalGliomaRisk.evaluate.words import whom
from TemporalGliomaRisk.learn.cohort import (
    CohortPatient,
    cohort_sha256,
    read_cohort,
    read_participants,
    split_patients,
)
from TemporalGliomaRisk.learn.cohort_seen import Seen, learnt_from_cohort, seen_patients, who_saw
from TemporalGliomaRisk.learn.known_images import twins
from TemporalGliomaRisk.learn.learnt_from import as_json, knows_by_another_split, learnt_of_model, learnt_of_stage
from TemporalGliomaRisk.learn.run_folder import PREPARED, RunConfig, RunFolder, SplitConfig
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.timeline.reading import read_timeline

SEED = 20261


def simulated(folder: Path, numbers: range, seed: int = SEED, population: str = "main") -> tuple[CohortPatient, ...]:
    """Patients whose truth files say what is looked at; their own labels say nothing of their numbers."""
    found = []
    for number in numbers:
        truth = folder / f"{population}-{seed}" / f"sub-{number:05d}"
        truth.mkdir(parents=True, exist_ok=True)
        config = {} if population == "main" else {"population": population}
        record = {"simulator_version": 1, "seed": seed, "patient_number": number, "config": config}
        (truth / "truth.json").write_text(json.dumps(record), "utf-8")
        found.append(
            CohortPatient(
                patient_id=f"sub-x{number}", folder=folder, truth=truth, event_observed=False, follow_up_days=9.0
            )
        )
    return tuple(found)


def seen_of(patients: Sequence[CohortPatient], of_model: dict[str, Any]) -> int | None:
    """How many of them a model saw, by their truth files."""
    return seen_patients(patients, [patient.truth_record() for patient in patients], of_model)


def metadata(**more: Any) -> dict[str, Any]:
    """Of a model that learnt from patients 1 to 40 of one seed, from random weights."""
    cohort = {"population": "main", "seed": SEED, "patients": 40, "first_patient": 1, "last_patient": 40}
    return {"simulated_cohorts": [cohort], "training_patients": 34, "validation_patients": 6, **more}


def test_some_of_the_shipped_model_s_own_training_patients_are_known_again(simulated_cohort: Path) -> None:
    shipped, patients = load_bundle(resource_path(DEFAULT_MODEL)).metadata, read_cohort(simulated_cohort)
    assert not learnt_from_cohort(patients, shipped)
    assert seen_of(patients, shipped) == len(patients)
    assert seen_of(patients[:1], shipped) == 1


def test_patients_of_another_seed_number_or_population_were_never_seen(tmp_path: Path) -> None:
    others = (
        simulated(tmp_path, range(41, 44)),
        simulated(tmp_path, range(1, 4), seed=SEED + 1),
        simulated(tmp_path, range(1, 4), population="shifted"),
    )
    assert [seen_of(one, metadata()) for one in others] == [0, 0, 0]
    assert seen_of(simulated(tmp_path, range(39, 44)), metadata()) == 2


def test_patients_that_the_split_kept_for_the_end_were_not_learnt_from(tmp_path: Path) -> None:
    patients = simulated(tmp_path, range(1, 41))
    named = tuple(CohortPatient(**{**vars(one), "patient_id": one.truth.name}) for one in patients)
    kept = {one.patient_id for one in split_patients(named, seed=1, fractions=(0.5, 0.2, 0.3))["test"]}
    test = tuple(one for one in patients if one.truth.name in kept)
    assert 0 < len(test) < 40
    learnt = 40 - len(test)
    cohort = {**metadata()["simulated_cohorts"][0], "patients": learnt}
    split = metadata(
        simulated_cohorts=[cohort],
        training_patients=learnt - 6,
        run={"split": {"seed": 1, "fractions": [0.5, 0.2, 0.3]}},
    )
    assert seen_of(test, split) == 0
    assert seen_of(patients, split) == learnt


@pytest.mark.parametrize(
    "more",
    [
        {"simulated_cohorts": []},
        {"training_patients": 35},
        {"run": {"begun_from": {"sha256": "0", "updates": 5}}},
        {"heads_begun_from": {"name": "other", "sha256": "0"}},
    ],
    ids=["older metadata", "one of them was real", "weights of another model", "heads of another model"],
)
def test_where_metadata_do_not_name_everybody_nothing_is_claimed(tmp_path: Path, more: dict[str, Any]) -> None:
    assert seen_of(simulated(tmp_path, range(41, 44)), metadata(**more)) is None


def test_of_patients_without_truth_nothing_is_claimed(tmp_path: Path) -> None:
    real = CohortPatient(patient_id="sub-1", folder=tmp_path, truth=None, event_observed=True, follow_up_days=5.0)
    assert seen_of((real,), metadata()) is None
    assert seen_of((*simulated(tmp_path, range(40, 42)), real), metadata()) == 1


def test_every_model_beside_is_told_apart_from_the_one_that_is_evaluated(tmp_path: Path) -> None:
    patients = simulated(tmp_path, range(1, 4))
    truths = [patient.truth_record() for patient in patients]
    model = metadata(simulated_cohorts=[], training_patients=0, validation_patients=0)
    knowing = learnt_of_model(metadata())
    assert who_saw(patients, truths, model, rival=knowing) == Seen(learnt_from=False, patients=None, by_rival=True)
    assert who_saw(patients, truths, model, reference=knowing) == Seen(
        learnt_from=False, patients=None, by_reference=True
    )
    assert who_saw(patients, truths, metadata()).learnt_from


def test_of_real_patients_the_part_that_the_split_keeps_is_no_other_cohort(tmp_path: Path) -> None:
    real = [
        CohortPatient(
            patient_id=f"sub-{number}", folder=tmp_path, truth=None, event_observed=number < 9, follow_up_days=500.0
        )
        for number in range(30)
    ]
    test = split_patients(real, seed=1, fractions=(0.5, 0.2, 0.3))["test"]
    model = {
        "cohorts_sha256": [cohort_sha256(real)],
        "run": {"split": {"seed": 1, "fractions": [0.5, 0.2, 0.3]}},
        "training_patients": 15,
    }
    unknown = [None] * len(test)
    found = who_saw(test, unknown, model, test_part_of=real)
    assert found == Seen(learnt_from=False, patients=None, held_out=True)
    said = whom({"patients": len(test), "learnt_from": False, "seen_patients": None, "held_out": True})
    assert said.endswith("of a cohort that the model learnt from, of the part that its split keeps for the end")
    assert not who_saw(test, unknown, model, test_part_of=test).held_out


@pytest.fixture
def real(simulated_cohort: Path, tmp_path: Path) -> Path:
    """Two patients as a hospital has them: no truth, labels of its own."""
    return hospital(simulated_cohort, tmp_path / "hospital", {"sub-00018": "sub-A", "sub-00027": "sub-B"})


def hospital(simulated_cohort: Path, folder: Path, labels: dict[str, str]) -> Path:
    """A cohort of copies under other labels."""
    rows = {row["participant_id"]: row for _, row in read_participants(simulated_cohort)}
    lines = ["participant_id\tevent_observed\tfollow_up_days"]
    for simulated_label, label in labels.items():
        shutil.copytree(simulated_cohort / simulated_label, folder / label)
        for path in sorted((folder / label).rglob("*"), reverse=True):
            path.rename(path.with_name(path.name.replace(simulated_label, label)))
        row = rows[simulated_label]
        lines.append(f"{label}\t{row['event_observed']}\t{row['follow_up_days']}")
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_real_patient_is_known_again_in_another_cohort_and_under_another_label(
    simulated_cohort: Path, real: Path, tmp_path: Path
) -> None:
    run = RunFolder(folder=tmp_path / "run", config=RunConfig())
    patients = read_cohort(real)
    learnt = learnt_of_stage(run, [real], run.prepared(patients[:1], jobs=1))
    assert len(learnt.images_sha256) == len(read_timeline(patients[0].folder).visits[0].sequences)
    model = {"learnt_from": as_json([learnt])}
    other = read_cohort(hospital(simulated_cohort, tmp_path / "other", {"sub-00018": "sub-X", "sub-00027": "sub-Y"}))
    unknown = [None, None]
    assert who_saw(other, unknown, model) == Seen(learnt_from=True, patients=1)
    assert who_saw(other[1:], unknown[1:], model) == Seen(learnt_from=False, patients=None)
    assert who_saw(other, unknown, {}, rival=[learnt]).by_rival


def test_a_cohort_that_has_grown_is_not_split_otherwise(simulated_cohort: Path, real: Path, tmp_path: Path) -> None:
    apart, learns = SplitConfig(fractions=(0.0, 0.0, 1.0)), SplitConfig(fractions=(1.0, 0.0, 0.0))
    run = RunFolder(folder=tmp_path / "run", config=RunConfig(split=learns))
    smaller = hospital(simulated_cohort, tmp_path / "smaller", {"sub-00018": "sub-A"})
    learnt = learnt_of_stage(run, [smaller], run.prepared(read_cohort(smaller), jobs=1))
    assert not learnt_from_cohort(read_cohort(real), {"cohorts_sha256": learnt.cohorts_sha256})
    assert knows_by_another_split([learnt], apart, [real])
    assert not knows_by_another_split([learnt], learns, [real])
    assert not knows_by_another_split([learnt], apart, [real], kept_apart=["validation"])
    assert not knows_by_another_split([replace(learnt, images_sha256=())], apart, [real])


def test_one_patient_under_two_labels_is_told(simulated_cohort: Path, real: Path, tmp_path: Path) -> None:
    shutil.copytree(real, tmp_path / "twice")
    again = hospital(simulated_cohort, tmp_path / "again", {"sub-00018": "sub-20190304"}) / "sub-20190304"
    shutil.move(again, tmp_path / "twice")
    with (tmp_path / "twice" / "participants.tsv").open("a", encoding="utf-8") as table:
        table.write("sub-20190304\tfalse\t9000\n")
    run = RunFolder(folder=tmp_path / "run", config=RunConfig())
    patients = read_cohort(tmp_path / "twice")
    run.prepared(patients, jobs=1)
    (told,) = twins(run.folder / PREPARED, patients)
    assert told.message.startswith("2 of the patients (line 2, 4 of participants.tsv) share an image of their first")
    assert not twins(run.folder / PREPARED, [one for one in patients if one.line != 4])


def test_words_claim_no_more_than_is_known() -> None:
    found = {"patients": 480, "cohort": {"simulated": True}, "learnt_from": False}
    never = "480 simulated patients that the model never saw"
    assert whom({**found, "seen_patients": 0}) == never
    unknown = "480 simulated patients not of a cohort that the model is known to have learnt from"
    # As in evaluations written before anybody counted.
    assert whom({**found, "seen_patients": None}) == whom(found) == unknown
    part = whom({**found, "learnt_from": True, "seen_patients": 12})
    assert part == "480 simulated patients of whom the model learnt from 12"
