"""Prepared visits of a cohort on disk, so that preprocessing is paid once.

A patient's folder holds ``volumes.npy`` (volumes, I, J, K) float16 in the order of ``index``, ``brain.npy`` (I, J, K),
``lesions.npy`` (visits, I, J, K) where the truth is known, and ``patient.json``. It appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.learn.cohort import CohortPatient
from TemporalGliomaRisk.learn.true_growth import true_growth
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.timeline.labels import may_be_shown
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk
from TemporalGliomaRisk.timeline.visit import SEQUENCES
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

LOOKED_AT = 20
"""Patients whose dates are looked at before any is prepared."""
ENOUGH = 5
"""So many with several visits don't all have an event before the second."""


@dataclass(frozen=True, kw_only=True)
class StoredPatient:
    """A prepared patient: small facts in memory, voxels mapped from disk.

    Args:
        patient_id: BIDS label.
        days_since_first: (visits,).
        days_since_treatment: (visits,), NaN where unknown.
        present: (visits, 4), sequences of each visit.
        volumes: (I, J, K) float16 of each file, visit by visit, within a visit in the order of the sequences present.
        brain: (I, J, K) boolean.
        lesions: (visits, I, J, K) boolean, the simulator's visible lesion, or None.
        event_observed: Whether an event was seen.
        follow_up_days: Days from the first visit to the event or the last contact.
        truth: The simulator's record, or None.
        cavity_centres_ijk: The voxel of the resection cavity's centre at each visit, fractions and places outside the
            grid allowed; None where there is no cavity or nobody wrote it down.
    """

    patient_id: str
    days_since_first: npt.NDArray[np.float64]
    days_since_treatment: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]
    volumes: npt.NDArray[np.float16] | Sequence[npt.NDArray[np.float16]]
    brain: npt.NDArray[np.bool_]
    lesions: npt.NDArray[np.bool_] | None
    event_observed: bool
    follow_up_days: float
    truth: dict[str, Any] | None
    cavity_centres_ijk: tuple[tuple[float, float, float] | None, ...] = ()

    @property
    def visits(self) -> int:
        """Number of visits, all of them before the event or the last contact."""
        return len(self.days_since_first)

    @property
    def growth(self) -> npt.NDArray[np.bool_] | None:
        """(I, J, K), where in the brain the lesion has grown from the first visit to the last; None without truth."""
        lesions = self.lesion_masks
        return None if lesions is None else np.asarray(lesions[-1] & ~lesions[0] & self.brain)

    @property
    def growth_before_event(self) -> npt.NDArray[np.bool_] | None:
        """Growth that the last map before an observed event should point at; None where there is none to know of."""
        growth = self.growth if self.event_observed else None
        return growth if growth is not None and growth.any() else None

    @property
    def growth_off_borders_before_event(self) -> npt.NDArray[np.bool_] | None:
        """The same without borders that may only have moved (:func:`true_growth`)."""
        lesions = self.lesion_masks if self.event_observed else None
        if lesions is None:
            return None
        growth = true_growth(lesions[0], lesions[-1])[0] & self.brain
        return growth if growth.any() else None

    def volume_index(self, visit: int, sequence: int) -> int:
        """Row of ``volumes`` that holds a visit's sequence, both counted from 0."""
        flat = self.present.reshape(-1)
        return int(flat[: visit * len(SEQUENCES) + sequence].sum())

    def visit_volumes(self, visit: int) -> npt.NDArray[np.float32]:
        """(4, I, J, K) float32 intensities of a visit, zero where a sequence is absent."""
        intensities = np.zeros((len(SEQUENCES), *self.brain.shape), np.float32)
        for sequence in np.flatnonzero(self.present[visit]):
            intensities[sequence] = self.volumes[self.volume_index(visit, int(sequence))]
        return intensities

    @property
    def days_to_end(self) -> npt.NDArray[np.float64]:
        """(visits,), days from each visit to the event or the last contact."""
        return self.follow_up_days - self.days_since_first

    @property
    def lesion_masks(self) -> npt.NDArray[np.bool_] | None:
        """(visits, I, J, K), everything that is known to be a visible lesion; None without truth."""
        return self.lesions

    @property
    def row_ends(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """(visits,) days from each visit to the end of its landmark row, and (visits,) whether an event ends it."""
        return self.days_to_end, np.full(self.visits, self.event_observed)


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
    with ProcessPoolExecutor(jobs) as pool:
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
    if written.exists() and written.read_text(encoding="utf-8") != content:
        raise InputError("This run's prepared visits were made with another preprocessing; name a new run folder.")
    written.write_text(content, encoding="utf-8")
    missing = [patient for patient in patients if not is_prepared(folder, patient.patient_id)]
    unprepared = {patient.patient_id for patient in missing}
    for patient in patients:
        if patient.patient_id not in unprepared:
            _refuse_another(patient, folder / patient.patient_id / "patient.json")
    if missing:
        _refuse_other_units(patients)
    return missing


def is_prepared(folder: Path, patient_id: str) -> bool:
    """Whether a patient is in a folder of prepared patients."""
    return (folder / patient_id / "patient.json").exists()


def _refuse_other_units(patients: Sequence[CohortPatient]) -> None:
    """Refuse outcomes that leave nobody a second visit: years or months in place of days, or counted from elsewhere."""
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
            f"Of the {several} patients looked at who have several visits none has a second one before the end of "
            "follow-up. follow_up_days counts days, from the first visit on; correct it if it holds years or months."
        )


def _damaged(patient_id: str, told: str) -> InputError:
    """What to say of a prepared patient whose files cannot be read."""
    place = f"prepared/{patient_id}" if may_be_shown(patient_id) else "the patient's folder in prepared"
    return InputError(f"{told}: files of the visits prepared earlier are damaged; remove {place} and run again.")


def _refuse_another(patient: CohortPatient, prepared: Path) -> None:
    """Refuse visits prepared earlier of another patient with this label, or before the outcome was corrected."""
    try:
        facts = json.loads(prepared.read_text(encoding="utf-8"))
        found = (facts["event_observed"], facts["follow_up_days"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(patient.patient_id, patient.told) from error
    if found != (patient.event_observed, patient.follow_up_days):
        raise InputError(
            f"{patient.told}: the visits prepared in this folder earlier are of another patient of that name, or have "
            "another outcome than participants.tsv says now; name a new folder."
        )
    now = _sessions_hash(patient)
    if facts.get("sessions_sha256", now) != now:  # older folders don't say
        raise InputError(
            f"{patient.told}: the sessions table was changed after the visits were prepared in this folder; name a new "
            "folder, so that days and visits are those of the table."
        )


def _sessions_hash(patient: CohortPatient) -> str | None:
    """Of the bytes of the patient's sessions table; None where there is none."""
    table = patient.folder / f"{patient.patient_id}_sessions.tsv"
    return sha256_of(table) if table.is_file() else None


def prepare_patient(patient: CohortPatient, *, folder: Path, config: PreprocessConfig) -> None:
    """Prepare one patient's visits before the event and store them whole.

    Raises:
        InputError: If that cannot be done; the message says of whom. It is of this very class, which can be sent from
            one process to another.
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
    frame, first = prepare_first_visit(visits[0], config, brain_mask=mask)
    prepared = [first, *(prepare_visit(visit, frame, config) for visit in visits[1:])]
    lesions = _truth_lesions(patient, [visit.session_id for visit in visits], frame.grid)
    treatment = [visit.days_since_treatment for visit in visits]
    truth = patient.truth_record()
    facts = {
        "patient_id": patient.patient_id,
        "days_since_first": [visit.days_since_first for visit in visits],
        "days_since_treatment": treatment,
        "present": [visit.present.tolist() for visit in prepared],
        "event_observed": patient.event_observed,
        "follow_up_days": patient.follow_up_days,
        "sessions_sha256": _sessions_hash(patient),
        "truth": truth,
        "cavity_centres_ijk": _cavity_centres(truth, len(visits), frame.grid),
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
        temporary.replace(folder / patient.patient_id)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_patient(folder: Path, patient_id: str) -> StoredPatient:
    """A prepared patient, voxels mapped from disk.

    Raises:
        InputError: If a file of the patient's is missing or damaged.
    """
    try:
        return _load_patient(folder / patient_id, patient_id)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        told = patient_id if may_be_shown(patient_id) else "A patient"
        raise _damaged(patient_id, told) from error


def _load_patient(place: Path, patient_id: str) -> StoredPatient:
    facts = json.loads((place / "patient.json").read_text(encoding="utf-8"))
    lesions = place / "lesions.npy"
    treatment = [float("nan") if days is None else days for days in facts["days_since_treatment"]]
    return StoredPatient(
        patient_id=patient_id,
        days_since_first=np.array(facts["days_since_first"], dtype=np.float64),
        days_since_treatment=np.array(treatment, dtype=np.float64),
        present=np.array(facts["present"], dtype=bool),
        volumes=np.load(place / "volumes.npy", mmap_mode="r"),
        brain=np.load(place / "brain.npy"),
        lesions=np.load(lesions, mmap_mode="r") if lesions.exists() else None,
        event_observed=facts["event_observed"],
        follow_up_days=facts["follow_up_days"],
        truth=facts["truth"],
        # Folders prepared before the simulator wrote cavities down are still read.
        cavity_centres_ijk=tuple(
            None if centre is None else tuple(centre)
            for centre in facts.get("cavity_centres_ijk", [None] * len(facts["days_since_first"]))
        ),
    )


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
