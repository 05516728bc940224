"""Markers in every name of a cohort, looked for in all that the commands which learn write and say."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

SHAPE = (26, 28, 24)
PATIENTS = 4
SEED = "40"
"""Of a split that leaves a patient with an event, and one without, to learn from, and to calibrate on."""


def load(name: str) -> Any:
    """A file of this folder, for none of tests is on Python's path."""
    spec = importlib.util.spec_from_file_location(f"privacy_{name}", Path(__file__).with_name(f"{name}.py"))
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


markers = load("test_markers")
LABELS = [f"sub-P{number}x{markers.BIRTH}" for number in range(PATIENTS)]
"""By BIDS they are labels, and each holds a day of birth."""


def head(visit: int) -> tuple[Volume, Volume, Volume]:
    """A small head, its brain and its lesion, which grows."""
    geometry = Geometry(shape=SHAPE, ijk_to_ras=np.diag([4.4, 4.4, 4.4, 1.0]))
    radius = np.linalg.norm(np.indices(SHAPE).T - (12.5, 13.5, 11.5), axis=-1).T
    lesion = 2 + visit > np.linalg.norm(np.indices(SHAPE).T - (9, 13, 11), axis=-1).T
    texture = np.random.default_rng(5).normal(0, 20, SHAPE)
    brain = radius < 10
    voxels = np.where(brain, 300 + texture + 200 * lesion, 0).astype(np.float32)
    return tuple(
        Volume(voxels=one.astype(kind), geometry=geometry)
        for one, kind in ((voxels, np.float32), (brain, np.uint8), (lesion & brain, np.uint8))
    )


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort with a truth, whose folder, labels, tables, sidecars and headers name patients and days."""
    from TemporalGliomaRisk.timeline.sitk_images import write_nifti  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("in") / f"{markers.STEM} Surname, Given {markers.BIRTH}"
    rows = ["participant_id\tevent_observed\tfollow_up_days\tname\tbirth_date"]
    for number, label in enumerate(LABELS):
        rows.append(f"{label}\t{'true' if number % 2 else 'false'}\t400\t{markers.STEM}\t{markers.BIRTH}")
        truth, visits = folder / "truth" / label, []
        lines = ["session_id\tacq_time\tnote"]
        for visit, day in enumerate(markers.VISITS, start=1):
            volume, brain, lesion = head(visit)
            anat, of_visit = folder / label / f"ses-{day}" / "anat", truth / f"ses-0{visit}"
            for place in (anat, of_visit):
                place.mkdir(parents=True)
            name = f"{label}_ses-{day}_T2w"
            (anat / f"{name}.nii.gz").write_bytes(markers.marked_nifti(volume, str(anat / "x.nii.gz")))
            (anat / f"{name}.json").write_text(json.dumps({"PatientName": markers.STEM}), "utf-8")
            write_nifti(lesion, of_visit / f"{label}_ses-0{visit}_desc-lesion_mask.nii.gz")
            write_nifti(brain, truth / f"{label}_desc-brain_mask.nii.gz")
            lines.append(f"ses-{day}\t{markers.forms_of(day)[1]}T10:11:12\t{markers.STEM} born {markers.BIRTH}")
            diameter = 4.0 + 2 * visit
            visits.append({"lesion_diameter_mm": diameter, "lesion_diameters_mm": {"residual": diameter}})
        (folder / label / f"{label}_sessions.tsv").write_text("\n".join(lines) + "\n", "utf-8")
        record = {"config": {}, "simulator_version": 1, "parameters": {"age_years": 7.5}, "visits": visits}
        (truth / "truth.json").write_text(json.dumps({**record, "participant": {"name": label}}), "utf-8")
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def test_learning_writes_and_says_nothing_of_a_patient_or_a_day(
    cohort: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    place = ["--cohort", str(cohort), "--run", str(tmp_path / "run")]
    small = ["--channels", "2", "--convolutions", "1", "--seed", SEED, "--fractions", "0.5", "0.5", "0"]
    few = ["--updates", "1", "--pairs", "2", "--validation-pairs", "2"]
    bundle = tmp_path / "model"
    commands = (
        ["pretrain", *place, *small, *few],
        ["finetune", *place, "--members", "1", "--epochs", "1", "--places", "300"],
        ["calibrate", *place, "--output", str(bundle), "--sanity-patients", "0", "--doubt-patients", "2"],
        ["evaluate", *place[:2], "--model", str(bundle), "--output", str(tmp_path / "scores"), "--resamples", "20"],
        ["pretrain", *place, *small, *few, "--learning-rate", "0.1"],
    )
    for arguments in commands:
        with warnings.catch_warnings(record=True) as warned, caplog.at_level(0):
            warnings.simplefilter("always")
            status = main(arguments)
        said = capfd.readouterr()
        assert status == (2 if arguments == commands[-1] else 0), said.err
        assert markers.spoken_in(said.out, said.err, caplog.text, *(str(one.message) for one in warned)) == []
    assert (tmp_path / "scores" / "evaluation.json").is_file()
    assert markers.found_in(tmp_path) == []


def test_a_cohort_that_cannot_be_learnt_from_is_refused_without_a_name(
    cohort: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / f"{markers.STEM}{markers.BIRTH}"
    broken.mkdir()
    for path in cohort.iterdir():
        (broken / path.name).symlink_to(path)
    (broken / LABELS[0]).unlink()
    (broken / "participants.tsv").unlink()
    rows = (cohort / "participants.tsv").read_text("utf-8")
    for table in (rows, rows.replace("400", markers.STEM), rows.replace("true", markers.BIRTH), rows.upper()):
        (broken / "participants.tsv").write_text(table, "utf-8")
        assert main(["pretrain", "--cohort", str(broken), "--run", str(tmp_path / "run")]) == 2
        assert markers.spoken_in(*capfd.readouterr()) == []
