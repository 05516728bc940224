"""A cohort on disk: BIDS for the programs that read it, and a truth folder beside for those that judge them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from TemporalGliomaRisk.errors import InputError, UsageError
from TemporalGliomaRisk.files import check_output, read_json, write_json_whole, write_text_whole
from TemporalGliomaRisk.processes import processes
from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.patient import SimulatedPatient, SimulatedVisit, simulate_patient
from TemporalGliomaRisk.simulate.templates import further_anatomies
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.volume import BoolArray, Volume

PARTICIPANTS = "participants.tsv"
DAMAGED_RECORD = (
    "The output folder's truth/simulation.json, which says what its cohort was made with, is damaged. Bring it back, "
    "or choose another folder."
)
PARTICIPANT_COLUMNS = (
    "participant_id",
    "age_years",
    "extent_of_resection",
    "region",
    "event_observed",
    "follow_up_days",
    "event_day_at_visit",
)


def simulate_cohort(
    config: SimulationConfig,
    *,
    patients: int,
    seed: int,
    output: Path,
    first_patient: int = 1,
    jobs: int = 1,
    on_patient: Callable[[], object] = lambda: None,
) -> None:
    """Simulate ``patients`` patients into a folder; those that are whole already, and others, are left as they are.

    Args:
        config: What kind of cohort.
        patients: How many.
        seed: Patient n of a seed has the same bytes whatever the number of patients and jobs.
        output: BIDS root; ``truth/`` lies in it.
        first_patient: Number of the first one, so that cohorts that learn together share no label.
        jobs: Processes.
        on_patient: Called after every patient.

    Raises:
        UsageError: If a number is below 1, or the folder holds a cohort of another seed, version or configuration, or
            is none.
        InputError: If the record of what the folder's cohort was made with, or of a patient in it, is damaged.
    """
    if min(patients, first_patient, jobs) < 1 or seed < 0:
        raise UsageError(
            "patients, jobs and first patient must be at least 1 and the seed 0, got "
            f"{patients}, {jobs}, {first_patient} and {seed}."
        )
    _claim_folder(config, seed, output)
    rows: dict[int, dict[str, Any]] = {}
    for number, row in _rows(config, range(first_patient, first_patient + patients), seed, output, jobs):
        rows[number] = row
        on_patient()
    heading = "\t".join(PARTICIPANT_COLUMNS)
    lines = _lines_by_label(output / PARTICIPANTS, heading)
    for row in rows.values():
        lines[row["participant_id"]] = "\t".join(str(row[name]) for name in PARTICIPANT_COLUMNS)
    write_text_whole(output / PARTICIPANTS, "\n".join([heading, *(lines[label] for label in sorted(lines))]) + "\n")


def _lines_by_label(table: Path, heading: str) -> dict[str, str]:
    """What participants.tsv says of patients who were simulated into this folder before."""
    before = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    return {line.partition("\t")[0]: line for line in before[1:]} if before[:1] == [heading] else {}


def _claim_folder(config: SimulationConfig, seed: int, output: Path) -> None:
    check_output(output)
    made_by = {"simulator_version": config.simulator_version, "seed": seed, "config": config.record()}
    if config.anatomies is not None:
        made_by["further_anatomies"] = further_anatomies(config.anatomies)
    record = output / "truth" / "simulation.json"
    if not record.exists() and output.is_dir() and any(output.iterdir()):
        raise UsageError(
            "The output folder holds another dataset, or other files, which could be lost. Choose a new folder."
        )
    if record.exists() and read_json(record, damaged=DAMAGED_RECORD) != made_by:
        raise UsageError(
            "The output folder holds a cohort of another seed, version or configuration. Choose another folder."
        )
    write_json_whole(record, made_by)
    write_text_whole(output / ".bidsignore", "truth/\n")
    write_json_whole(
        output / "dataset_description.json",
        {
            "Name": "Simulated post-treatment paediatric glioma timelines",
            "BIDSVersion": "1.9.0",
            "DatasetType": "raw",
            "License": "Apache-2.0",
            "GeneratedBy": [{"Name": "TemporalGliomaRisk simulate", "Version": str(config.simulator_version)}],
        },
    )


def _rows(
    config: SimulationConfig, numbers: range, seed: int, output: Path, jobs: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    tasks = [(config, seed, number, output) for number in numbers]
    if jobs == 1:
        yield from map(write_patient, tasks)
        return
    with processes(jobs, _one_thread) as pool:
        yield from pool.map(write_patient, tasks)


def _one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def write_patient(task: tuple[SimulationConfig, int, int, Path]) -> tuple[int, dict[str, Any]]:
    """Simulate and write one patient unless that was done; the truth file, written last, says it was.

    Returns:
        The patient's number and its row of participants.tsv.
    """
    config, seed, number, output = task
    truth_file = output / "truth" / f"sub-{number:05d}" / "truth.json"
    if truth_file.exists():
        return number, _row_of(truth_file)
    patient = simulate_patient(config, seed, number)
    for visit in patient.visits:
        _write_visit(patient, visit, output)
    sessions = [f"{visit.session_id}\t{visit.days_since_treatment}" for visit in patient.visits]
    write_text_whole(
        output / patient.patient_id / f"{patient.patient_id}_sessions.tsv",
        "\n".join(["session_id\tdays_since_treatment", *sessions]) + "\n",
    )
    _write_mask(patient.brain_mask, patient, truth_file.parent / f"{patient.patient_id}_desc-brain_mask.nii.gz")
    row = _participant_row(patient)
    write_json_whole(truth_file, {"participant": row, **truth_record(patient, config, seed, number)})
    return number, row


def _row_of(truth_file: Path) -> dict[str, Any]:
    """What participants.tsv says of a patient simulated before."""
    damaged = (
        f"{truth_file.parent.name}: the truth file is damaged; remove the patient's folder in truth and run again."
    )
    content = read_json(truth_file, damaged=damaged)
    row = content.get("participant") if isinstance(content, dict) else None
    if not isinstance(row, dict) or not set(PARTICIPANT_COLUMNS) <= set(row):
        raise InputError(damaged)
    return row


def _write_visit(patient: SimulatedPatient, visit: SimulatedVisit, output: Path) -> None:
    name = f"{patient.patient_id}_{visit.session_id}"
    for sequence, volume in visit.volumes.items():
        suffix = "ce-gd_T1w" if sequence == "ce-gd_T1w" else sequence
        write_nifti(volume, output / patient.patient_id / visit.session_id / "anat" / f"{name}_{suffix}.nii.gz")
    folder = output / "truth" / patient.patient_id / visit.session_id
    _write_mask(visit.lesion, patient, folder / f"{name}_desc-lesion_mask.nii.gz")


def _write_mask(mask: BoolArray, patient: SimulatedPatient, path: Path) -> None:
    write_nifti(Volume(voxels=mask, geometry=patient.geometry), path)


def _participant_row(patient: SimulatedPatient) -> dict[str, Any]:
    return {
        "participant_id": patient.patient_id,
        "age_years": round(patient.parameters["age_years"], 1),
        "extent_of_resection": patient.extent_of_resection,
        "region": patient.parameters["region"],
        "event_observed": str(patient.event_observed).lower(),
        "follow_up_days": patient.follow_up_days,
        "event_day_at_visit": patient.event_day_at_visit if patient.event_observed else "n/a",
    }


def truth_record(patient: SimulatedPatient, config: SimulationConfig, seed: int, number: int) -> dict[str, Any]:
    """The truth of a patient as JSON; days count from the first visit unless the name says otherwise."""
    return {
        "simulator_version": config.simulator_version,
        "seed": seed,
        "patient_number": number,
        "config": config.record(),
        "fate": patient.fate,
        "event_day": patient.event_day,
        "event_observed": patient.event_observed,
        "event_day_at_visit": patient.event_day_at_visit,
        "follow_up_days": patient.follow_up_days,
        "extent_of_resection": patient.extent_of_resection,
        "distractors": list(patient.distractors),
        "parameters": dict(patient.parameters),
        "visits": [
            {
                "session_id": visit.session_id,
                "days_since_first": visit.days_since_first,
                "days_since_treatment": visit.days_since_treatment,
                "sequences": list(visit.volumes),
                "files": {sequence: dict(facts) for sequence, facts in visit.files.items()},
                "lesion_diameter_mm": round(visit.lesion_diameter_mm, 4),
                "lesion_diameters_mm": {kind: round(mm, 4) for kind, mm in visit.lesion_diameters_mm.items()},
                "treatment_effect_diameter_mm": round(visit.treatment_effect_diameter_mm, 4),
                "lesion_mL": round(float(visit.lesion.sum()) * patient.geometry.voxel_mL, 4),
                "cavity_centre_ras_mm": visit.cavity_centre_ras_mm,
            }
            for visit in patient.visits
        ],
    }
