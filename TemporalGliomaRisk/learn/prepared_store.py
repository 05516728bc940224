"""A cohort's visits prepared on disk, so that preprocessing is paid once.

A patient's folder (:mod:`TemporalGliomaRisk.learn.stored_patient`) appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.learn.cohort import CohortPatient
from TemporalGliomaRisk.learn.prepared_inputs import inputs_of, refuse_another
from TemporalGliomaRisk.learn.stored_patient import is_prepared, stored_name
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.processes import processes
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

LOOKED_AT = 20
"""Patients whose dates are looked at before any is prepared."""
ENOUGH = 5
"""So many with several visits don't all have an event before the second."""


def prepare_cohort(
    patients: Sequence[CohortPatient],
    folder: Path,
    config: PreprocessConfig,
    *,
    jobs: int = 1,
    advance: Callable[[int], object] = lambda done: None,
) -> None:
    """Prepare every patient not yet in the folder, several at a time.

    Args:
        patients: The cohort.
        folder: Where prepared patients are kept; made with the same preprocessing, or refused.
        config: Preprocessing.
        jobs: Processes.
        advance: Called with the number of patients done since the last call.

    Raises:
        InputError: If the folder was made with another preprocessing or of other patients, outcomes leave nobody a
            second visit, or a patient cannot be prepared.
    """
    missing = begin_preparing(patients, folder, config)
    advance(len(patients) - len(missing))
    work = partial(prepare_patient, folder=folder, config=config)
    if jobs <= 1:
        for patient in missing:
            work(patient)
            advance(1)
        return
    with processes(jobs) as pool:
        for _ in pool.map(work, missing):
            advance(1)


def begin_preparing(patients: Sequence[CohortPatient], folder: Path, config: PreprocessConfig) -> list[CohortPatient]:
    """Look at a folder of prepared patients before anybody is prepared.

    Args:
        patients: The cohort.
        folder: Where prepared patients are kept; made if need be.
        config: Preprocessing.

    Returns:
        The patients who are not there yet.

    Raises:
        InputError: If the folder was made with another preprocessing or of other patients, or outcomes leave nobody a
            second visit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "preprocessing.json"
    content = json.dumps(configs.to_json(config), sort_keys=True)
    if written.exists() and written.read_bytes() != content.encode():
        raise InputError("This run's prepared visits were made with another preprocessing; name a new run folder.")
    written.write_text(content, encoding="utf-8")
    missing = [patient for patient in patients if not is_prepared(folder, patient.patient_id)]
    unprepared = {patient.patient_id for patient in missing}
    for patient in patients:
        if patient.patient_id not in unprepared:
            refuse_another(patient, folder / stored_name(patient.patient_id) / "patient.json")
    if missing:
        _refuse_other_units(patients)
    return missing


def _refuse_other_units(patients: Sequence[CohortPatient]) -> None:
    """Refuse outcomes that leave no patient a second visit: given in years or months, or counted from another day."""
    several = 0
    for patient in patients[:LOOKED_AT]:
        try:
            visits = read_timeline(patient.folder).visits
        except GliomaRiskError:
            return  # Preparing this patient will say what is wrong.
        if len(patient.input_visits(visits)) > 1:
            return
        several += len(visits) > 1
    if several >= ENOUGH:
        raise InputError(
            f"Of the first {several} patients with several visits none has a second one before the end of follow-up. "
            "follow_up_days counts days, from the first visit on; correct it if it holds years or months."
        )


def prepare_patient(patient: CohortPatient, *, folder: Path, config: PreprocessConfig) -> None:
    """Prepare one patient's visits before the event and store them whole.

    Raises:
        InputError: If that cannot be done; the message says whose. Never a subclass, which could not be sent from one
            process to another.
    """
    try:
        _prepare_patient(patient, folder, config)
    except InputError as error:
        raise InputError(f"{patient.told}: {error}") from error


def _prepare_patient(patient: CohortPatient, folder: Path, config: PreprocessConfig) -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    timeline = read_timeline(patient.folder)
    visits = patient.input_visits(timeline.visits)
    if not visits:
        raise InputError("No visit lies before the end of follow-up. Correct follow_up_days, or drop the row.")
    mask = _truth_brain_mask(patient)
    inputs = inputs_of(patient, visits)
    frame, first = prepare_first_visit(visits[0], config, brain_mask=mask)
    prepared = [first, *(prepare_visit(visit, frame, config) for visit in visits[1:])]
    lesions = _truth_lesions(patient, [visit.session_id for visit in visits], frame.grid)
    treatment = [visit.days_since_treatment for visit in visits]
    facts = {
        "patient_id": stored_name(patient.patient_id),
        "days_since_first": [visit.days_since_first for visit in visits],
        "days_since_treatment": treatment,
        "present": [visit.present.tolist() for visit in prepared],
        "event_observed": patient.event_observed,
        "follow_up_days": patient.follow_up_days,
        "cavity_centres_ijk": _cavity_centres(inputs["truth"], len(visits), frame.grid),
        **inputs,
    }
    temporary = folder / f".{uuid.uuid4().hex[:12]}.part"
    temporary.mkdir()
    try:
        stacked = np.concatenate([visit.intensities[visit.present] for visit in prepared])
        np.save(temporary / "volumes.npy", stacked.astype(np.float16))
        np.save(temporary / "brain.npy", frame.brain_mask)
        if lesions is not None:
            np.save(temporary / "lesions.npy", lesions)
        (temporary / "patient.json").write_text(json.dumps(facts), encoding="utf-8")
        temporary.replace(folder / stored_name(patient.patient_id))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _truth_brain_mask(patient: CohortPatient) -> Volume | None:
    if patient.truth is None:
        return None
    return _truth_mask(patient.truth / f"{patient.patient_id}_desc-brain_mask.nii.gz")


def _truth_mask(path: Path) -> Volume:
    """A mask of the simulator's truth."""
    try:
        return volume_from_sitk(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise InputError(
            "A mask of the cohort's truth is missing or damaged. Simulate the patient again, or remove the patient's "
            "folder in truth."
        ) from error


def _truth_lesions(patient: CohortPatient, sessions: list[str], grid: Geometry) -> npt.NDArray[np.bool_] | None:
    """(visits, I, J, K), the simulator's lesion masks on the model grid, nearest voxel."""
    if patient.truth is None:
        return None
    masks = []
    for session in sessions:
        name = f"{patient.patient_id}_{session}_desc-lesion_mask.nii.gz"
        masks.append(resample(_truth_mask(patient.truth / session / name), grid, nearest=True) > 0)
    return np.stack(masks)


def _cavity_centres(truth: dict[str, Any] | None, visits: int, grid: Geometry) -> list[list[float] | None]:
    """The cavity's centre at each visit in voxels of the model grid; None where the truth knows of none."""
    known = [visit.get("cavity_centre_ras_mm") for visit in truth["visits"][:visits]] if truth else [None] * visits
    return [None if centre is None else grid.to_ijk(centre).round(3).tolist() for centre in known]
