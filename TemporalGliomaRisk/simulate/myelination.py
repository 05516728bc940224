"""White matter before it is myelinated: under two years T1 and T2 contrast change from month to month."""

from __future__ import annotations

import numpy as np

from TemporalGliomaRisk.simulate.anatomy import Anatomy
from TemporalGliomaRisk.simulate.randomness import Float32Array

ADULT_LOOK_YEARS = 2.3
"""Age from which nothing of it shows."""
FIRST_PLACE_MNI_MM = (0.0, -15.0, 8.0)
T1_MIDDLE_YEARS = (0.15, 0.70)
T2_MIDDLE_YEARS = (0.50, 1.35)
"""Age at which a place is half way, for the earliest (central, posterior) and the latest places (frontal poles)."""
T1_WIDTH_YEARS, T2_WIDTH_YEARS = 0.08, 0.15


def unmyelinated_shares(anatomy: Anatomy, age_years: float) -> tuple[Float32Array, Float32Array] | None:
    """(I, J, K) share of white matter that doesn't yet look myelinated on T1, and on T2; None when all does.

    Myelination runs from the centre outwards and from the back to the front, and shows on T1 months before T2.
    """
    if age_years >= ADULT_LOOK_YEARS:
        return None
    x, y, z = (anatomy.mni_mm[..., axis] - np.float32(FIRST_PLACE_MNI_MM[axis]) for axis in range(3))
    outward = np.sqrt(x**2 + y**2 + z**2) / np.float32(75.0)
    forward = (anatomy.mni_mm[..., 1] + np.float32(100.0)) / np.float32(160.0)
    lateness = np.clip(0.5 * outward + 0.5 * forward, 0.0, 1.0)
    shares = []
    for (early, late), width in ((T1_MIDDLE_YEARS, T1_WIDTH_YEARS), (T2_MIDDLE_YEARS, T2_WIDTH_YEARS)):
        ahead = (age_years - (early + (late - early) * lateness)) / width
        shares.append(np.asarray(1.0 / (1.0 + np.exp(np.clip(ahead, -30.0, 30.0))), dtype=np.float32))
    return shares[0], shares[1]
