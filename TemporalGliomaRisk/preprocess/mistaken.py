"""Whether a volume is the pulse sequence it is called, by the order of its intensities within the brain.

Two questions. Does a sequence of a later visit look more like another sequence of the first visit than like its own?
And is white matter, which lies deep, brighter than the cortex, as in T1w, or darker, as in FLAIR and T2w? The fluid is
asked already of the file (``timeline.voxel_checks``), but is dark in FLAIR and T1w alike. Orders of intensities don't
change with a scanner's gain or gamma.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray

EVERY_VOXEL = 37
"""One voxel in so many of the brain is ranked: some thousands, at places that have nothing to do with slices."""
FEWEST = 500
CLEARLY = 0.3
"""By so much must another sequence correlate better. At 767 volumes of later visits of the population ``main`` none
did."""
ALIKE = frozenset({"T1w", "ce-gd_T1w"})
"""Contrast agent alone doesn't make another order of intensities."""
DEEP_BRIGHT: Mapping[SequenceName, float] = {"FLAIR": 0.0, "T2w": -0.05}
"""Above this correlation of intensity with depth white matter looks bright. On 923 volumes of the population ``main``
and 17 real ones FLAIR had -0.33 to -0.04, T2w -0.34 to -0.11, T1w -0.08 to 0.26, with and without contrast agent."""
DEEP_DARK: Mapping[SequenceName, float] = {"T1w": -0.12, "ce-gd_T1w": -0.12}
MIDDLING = (25, 95)
"""Percentiles of the brain's intensities between which depth is asked: fluid and bright lesions are left out."""


def looks_like(
    name: SequenceName, voxels: FloatArray, valid: BoolArray, references: Mapping[SequenceName, FloatArray]
) -> SequenceName | None:
    """The sequence of the first visit that a later volume resembles clearly more than its own; None if there is none.

    Args:
        name: What the volume is called.
        voxels: (I, J, K), on the model grid.
        valid: (I, J, K), where it shows brain.
        references: The first visit's sequences on the same grid.
    """
    sample = np.flatnonzero(valid)[::EVERY_VOXEL]
    if name not in references or len(sample) < FEWEST:
        return None
    ranks = rankdata(voxels.ravel()[sample])
    alike = {other: _correlation(ranks, rankdata(volume.ravel()[sample])) for other, volume in references.items()}
    others = [other for other in alike if not {name, other} <= ALIKE]
    best = max(others, key=alike.__getitem__, default=name)
    return best if alike[best] > alike[name] + CLEARLY else None


def white_matter_contradicts(name: SequenceName, voxels: FloatArray, valid: BoolArray) -> str | None:
    """``bright`` or ``dark``, as white matter looks where its sequence wants it otherwise; None where it is as wanted.

    Args:
        name: What the volume is called.
        voxels: (I, J, K), on the model grid of equal spacings.
        valid: (I, J, K), where it shows brain.
    """
    coarse, brain = voxels[::2, ::2, ::2], valid[::2, ::2, ::2]
    if np.count_nonzero(brain) < FEWEST:
        return None
    depth, inside = ndimage.distance_transform_edt(brain)[brain], coarse[brain]
    low, high = np.percentile(inside, MIDDLING)
    middling = (inside > low) & (inside < high)
    if np.count_nonzero(middling) < FEWEST:
        return None
    deep = _correlation(rankdata(inside[middling]), rankdata(depth[middling]))
    if deep > DEEP_BRIGHT.get(name, np.inf):
        return "bright"
    return "dark" if deep < DEEP_DARK.get(name, -np.inf) else None


def _correlation(one: FloatArray, other: FloatArray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-9))
