"""A patient whose visits are prepared on disk: small facts in memory, voxels mapped.

A patient's folder holds ``volumes.npy`` (volumes, I, J, K) float16 in the order of ``index``, ``brain.npy`` (I, J, K),
``lesions.npy`` (visits, I, J, K) where the truth is known, and ``patient.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.learn.true_growth import borders_grew, true_growth
from TemporalGliomaRisk.learn.truth_file import is_truth
from TemporalGliomaRisk.timeline.labels import may_be_shown
from TemporalGliomaRisk.timeline.visit import SEQUENCES

_LETTERS = str.maketrans("0123456789", "qrstuvwxyz")
"""Of a digest, so that no digits in it look like a day."""


@dataclass(frozen=True, kw_only=True)
class StoredPatient:
    """A prepared patient: small facts in memory, voxels mapped from disk.

    Args:
        patient_id: BIDS label, or what stands for it (:func:`stored_name`).
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
        """(I, J, K), growth that the last map before an observed event should point at; None where none is known."""
        growth = self.growth if self.event_observed else None
        return growth if growth is not None and growth.any() else None

    @property
    def growth_off_borders_before_event(self) -> npt.NDArray[np.bool_] | None:
        """(I, J, K), the same without borders that may only have moved (:func:`true_growth`)."""
        lesions = self.lesion_masks if self.event_observed else None
        if lesions is None:
            return None
        growth = true_growth(lesions[0], lesions[-1])[0] & self.brain
        return growth if growth.any() else None

    def growth_between(
        self, one: int, two: int, window: tuple[slice, ...] = ()
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
        """New tumour from an earlier visit to a later one, and what may be (:func:`true_growth`); None without truth.

        Args:
            one: The earlier visit, counted from 0.
            two: The later one.
            window: Part of the grid that is looked at, all of it if empty.

        Returns:
            Two boolean arrays of the window's shape.
        """
        lesions = self.lesion_masks
        if lesions is None:
            return None
        grew = None
        if self.truth is not None:
            known = [self.truth["visits"][visit].get("lesion_diameters_mm") for visit in (one, two)]
            grew = None if None in known else borders_grew(*known)
        return true_growth(lesions[one][window], lesions[two][window], borders=grew)

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


def is_prepared(folder: Path, patient_id: str) -> bool:
    """Whether a patient is in a folder of prepared patients."""
    return (folder / stored_name(patient_id) / "patient.json").exists()


def stored_name(patient_id: str) -> str:
    """What a run's files call a patient: the label, or letters that stand for one that may hold a name or a date."""
    if may_be_shown(patient_id):
        return patient_id
    digest = hashlib.sha256(patient_id.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return f"sub-{digest.translate(_LETTERS)}"


def load_patient(folder: Path, patient_id: str) -> StoredPatient:
    """A prepared patient, voxels mapped from disk.

    Raises:
        InputError: If a file of the patient's is missing or damaged.
    """
    name = stored_name(patient_id)
    try:
        return _load_patient(folder / name, name)
    except Exception as error:
        raise damaged(patient_id, patient_id if name == patient_id else "A patient") from error


def _load_patient(place: Path, patient_id: str) -> StoredPatient:
    facts = json.loads((place / "patient.json").read_text(encoding="utf-8"))
    lesions = place / "lesions.npy"
    if facts["truth"] is not None and not is_truth(facts["truth"], visits=len(facts["days_since_first"])):
        raise ValueError("The truth is not of its kind.")
    treatment = [float("nan") if days is None else days for days in facts["days_since_treatment"]]
    stored = StoredPatient(
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
    if not _fits(stored):
        raise ValueError("The files are of different visits.")
    return stored


def _fits(stored: StoredPatient) -> bool:
    """Whether days, presence, voxels and masks are of the same visits and the same grid."""
    visits, grid = (len(stored.days_since_first),), stored.brain.shape
    centres = stored.cavity_centres_ijk
    return bool(
        visits[0] > 0
        and stored.days_since_first.shape == stored.days_since_treatment.shape == visits
        and np.isfinite(stored.days_since_first).all()
        and stored.present.shape == (*visits, len(SEQUENCES))
        and (stored.brain.dtype, stored.brain.ndim) == (np.dtype(bool), 3)
        and isinstance(stored.volumes, np.ndarray)
        and (stored.volumes.dtype, stored.volumes.shape) == (np.dtype(np.float16), (stored.present.sum(), *grid))
        and (
            stored.lesions is None or (stored.lesions.dtype, stored.lesions.shape) == (np.dtype(bool), (*visits, *grid))
        )
        and isinstance(stored.event_observed, bool)
        and 0 < float(stored.follow_up_days) < np.inf
        and all(centre is None or np.shape(np.array(centre, dtype=np.float64)) == (3,) for centre in centres)
    )


def damaged(patient_id: str, told: str) -> InputError:
    """The error that says that a prepared patient's files cannot be read; ``told`` is what to call the patient."""
    place = f"prepared/{stored_name(patient_id)}"
    return InputError(f"{told}: files of the visits prepared earlier are damaged; remove {place} and run again.")
