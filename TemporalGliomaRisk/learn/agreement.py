"""How well the contrast of each visit agrees with that of the patient's other visits.

Where a sequence is mistaken for another, or a scanner weights tissues in another order, everything differs from the
visits beside it. Such a visit teaches a head to distrust differences, growth included, and a threshold to call it
usual. So fine-tuning and calibration leave it out; at prediction it brings the warning ``change_unlike_training``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.preprocess.mistaken import EVERY_VOXEL


def contrast_agreement(patient: StoredPatient) -> npt.NDArray[np.float64]:
    """How alike each visit's intensities are ordered to the other visits', by its least alike sequence.

    Args:
        patient: A prepared patient.

    Returns:
        (visits,), over the visit's sequences the lowest median of Spearman's rank correlations, within the brain, with
        the same sequence of the patient's other visits; 1 where no other visit has any of them.
    """
    agreement = np.ones(patient.visits)
    for sequence in range(patient.present.shape[1]):
        having = np.flatnonzero(patient.present[:, sequence])
        if len(having) < 2:
            continue
        stored = (patient.volumes[patient.volume_index(int(visit), sequence)] for visit in having)
        samples = np.stack([volume[patient.brain][::EVERY_VOXEL].astype(np.float32) for volume in stored])
        correlations = np.corrcoef(rankdata(samples, axis=1))
        np.fill_diagonal(correlations, np.nan)
        agreement[having] = np.minimum(agreement[having], np.nanmedian(correlations, axis=1))
    return agreement


def agreeing(patients: Sequence[StoredPatient], least: float) -> list[StoredPatient]:
    """The patients as if only those visits had been scanned whose contrast agrees with the others'.

    Args:
        patients: Prepared patients.
        least: Smallest agreement, by :func:`contrast_agreement`; -1 keeps all.

    Returns:
        Those with a visit left; days and growth count from the first visit that is.
    """
    kept = ((patient, contrast_agreement(patient) >= least) for patient in patients)
    return [patient if keep.all() else _of_visits(patient, keep) for patient, keep in kept if keep.any()]


def _of_visits(patient: StoredPatient, keep: npt.NDArray[np.bool_]) -> StoredPatient:
    visits = np.flatnonzero(keep)
    begin = patient.days_since_first[visits[0]]
    volumes = [patient.volume_index(*file) for file in np.argwhere(patient.present).tolist() if keep[file[0]]]
    return replace(
        patient,
        days_since_first=patient.days_since_first[visits] - begin,
        days_since_treatment=patient.days_since_treatment[visits],
        present=patient.present[visits],
        volumes=[patient.volumes[one] for one in volumes],
        lesions=None if patient.lesions is None else patient.lesions[visits],
        truth=patient.truth and {**patient.truth, "visits": [patient.truth["visits"][visit] for visit in visits]},
        follow_up_days=patient.follow_up_days - begin,
        cavity_centres_ijk=tuple(patient.cavity_centres_ijk[visit] for visit in visits)
        if patient.cavity_centres_ijk
        else (),
    )
