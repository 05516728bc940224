"""How well the contrast of each visit agrees with that of the patient's other visits.

Where a sequence is mistaken for another, or a scanner weights tissues in another order, everything differs from the
visits beside it. Such a visit teaches a head to distrust differences, growth included, so fine-tuning leaves it out;
at prediction it brings the warning ``change_unlike_training``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from TemporalGliomaRisk.learn.prepared_store import StoredPatient

EVERY_VOXEL = 37
"""One voxel in so many of the brain is ranked: some thousands, at places that have nothing to do with slices."""


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
