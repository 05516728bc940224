"""Cohorts on disk: bytes that depend on the seed alone, resuming, and no truth where a clinic would not have it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from TemporalGliomaRisk.errors import InputError, UsageError
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.simulate.cohort import _claim_folder, simulate_cohort
from TemporalGliomaRisk.simulate.config import SIMULATOR_VERSIONS, SimulationConfig
from TemporalGliomaRisk.simulate.patient import draw_truth
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk

CONFIG = SimulationConfig(sequences=("FLAIR",))
SEED = 23


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "participants.tsv"
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    simulate_cohort(CONFIG, patients=3, seed=SEED, output=folder)
    return folder


def test_bytes_depend_neither_on_jobs_nor_on_which_patients_are_asked_for(cohort: Path, tmp_path: Path) -> None:
    simulate_cohort(CONFIG, patients=2, seed=SEED, output=tmp_path, first_patient=2, jobs=2)
    made, reference = hashes(tmp_path), hashes(cohort)
    assert made
    assert made == {name: digest for name, digest in reference.items() if "sub-00001" not in name}
    # Whoever is added to a folder leaves those in the table who were there.
    simulate_cohort(CONFIG, patients=1, seed=SEED, output=tmp_path)
    assert (tmp_path / "participants.tsv").read_text() == (cohort / "participants.tsv").read_text()


def test_a_stopped_run_goes_on_where_it_was(cohort: Path, tmp_path: Path) -> None:
    calls: list[int] = []

    def stop_after_one() -> None:
        calls.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_cohort(CONFIG, patients=3, seed=SEED, output=tmp_path, on_patient=stop_after_one)
    assert not (tmp_path / "participants.tsv").exists()
    kept = tmp_path / "truth" / "sub-00001" / "truth.json"
    written = kept.stat().st_mtime_ns
    simulate_cohort(CONFIG, patients=3, seed=SEED, output=tmp_path)
    assert kept.stat().st_mtime_ns == written
    assert hashes(tmp_path) == hashes(cohort)
    assert (tmp_path / "participants.tsv").read_text() == (cohort / "participants.tsv").read_text()


def test_a_folder_with_another_cohort_is_refused(cohort: Path) -> None:
    with pytest.raises(UsageError, match=r"another seed, version or configuration\. Choose another folder"):
        simulate_cohort(CONFIG, patients=1, seed=SEED + 1, output=cohort)


@pytest.mark.parametrize("content", ["{", "[]", '{"participant": {"participant_id": "sub-00001"}}'])
def test_a_damaged_truth_file_is_told_and_no_table_written_from_it(tmp_path: Path, content: str) -> None:
    _claim_folder(CONFIG, 5, tmp_path)
    record = tmp_path / "truth" / "sub-00001" / "truth.json"
    record.parent.mkdir(parents=True)
    record.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="sub-00001: the truth file is damaged"):
        simulate_cohort(CONFIG, patients=1, seed=5, output=tmp_path)
    assert not (tmp_path / "participants.tsv").exists()


def test_numbers_below_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="patients, jobs and first patient must be at least 1"):
        simulate_cohort(CONFIG, patients=0, seed=1, output=tmp_path)


def test_the_truth_file_agrees_with_the_truth_and_the_files(cohort: Path) -> None:
    for number in (1, 2, 3):
        truth = draw_truth(CONFIG, SEED, number)
        record = json.loads((cohort / "truth" / truth.patient_id / "truth.json").read_text())
        assert record["simulator_version"] == SIMULATOR_VERSIONS["main"]
        assert record["event_day"] == truth.event_day
        assert record["fate"] == truth.fate
        assert [visit["days_since_first"] for visit in record["visits"]] == list(truth.visit_days)
        sessions = (cohort / truth.patient_id / f"{truth.patient_id}_sessions.tsv").read_text().splitlines()
        assert sessions[0] == "session_id\tdays_since_treatment"
        for line, visit in zip(sessions[1:], record["visits"], strict=True):
            session, days = line.split("\t")
            swelling = truth.treatment_effect_diameter_at(visit["days_since_first"])
            assert visit["treatment_effect_diameter_mm"] == pytest.approx(swelling, abs=1e-3)
            assert (session, int(days)) == (visit["session_id"], visit["days_since_treatment"])
            name = f"{truth.patient_id}_{session}"
            image = sitk.ReadImage(str(cohort / truth.patient_id / session / "anat" / f"{name}_FLAIR.nii.gz"))
            mask_file = cohort / "truth" / truth.patient_id / session / f"{name}_desc-lesion_mask.nii.gz"
            volume, mask = volume_from_sitk(image), volume_from_sitk(sitk.ReadImage(str(mask_file)))
            assert volume.geometry.same_as(truth.geometry)
            assert mask.geometry.same_as(truth.geometry)
            assert mask.voxels.sum() * 8e-3 == pytest.approx(visit["lesion_mL"], abs=1e-3)
            assert volume.voxels.dtype == np.int16
            assert (cohort / truth.patient_id / session / "anat" / f"{name}_FLAIR.nii.gz").stat().st_size < 320_000


def test_participants_hold_what_a_clinic_knows_and_no_more(cohort: Path) -> None:
    header, *rows = (cohort / "participants.tsv").read_text().splitlines()
    columns = header.split("\t")
    assert not {"fate", "event_day", "high_grade", "growth_onset_day"} & set(columns)
    assert [row.split("\t")[0] for row in rows] == ["sub-00001", "sub-00002", "sub-00003"]
    for number, row in enumerate(rows, start=1):
        truth = draw_truth(CONFIG, SEED, number)
        values = dict(zip(columns, row.split("\t"), strict=True))
        assert values["event_observed"] == str(truth.event_observed).lower()
        assert int(values["follow_up_days"]) == truth.follow_up_days
