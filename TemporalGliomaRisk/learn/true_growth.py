"""Where a lesion has grown between two visits by its masks, and where they can't tell.

A mask's border moves by a fraction of a voxel with the child's own growth and with how voxels happen to lie, all around
a large lesion that stands still. Taken for growth, such shells are most of it: 83 % of the cells that grew between
visits of the population ``main``, and two fifths of the pairs with any were of patients in whom no lesion's diameter
had changed by a millimetre. So new tumour counts from a voxel off the old one on. What is nearer is decided by the
true diameters, where they are written down: every fourth recurrence is residual tumour that grows at its border, and
every new focus has a border from its second visit on. Where they don't decide, it counts as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

STILL_MM, GROWN_MM = 0.5, 1.0
"""Rise of a diameter below which its border is taken to have stayed, and from which it is taken to have grown."""


def borders_grew(before_mm: Mapping[str, float], after_mm: Mapping[str, float]) -> bool | None:
    """Whether the lesions of an earlier visit grew at their borders, by true diameters in mm under each lesion's name.

    Returns:
        True where all of them did, False where none did, None where they differ or it is too little to tell.
    """
    rises = [after_mm.get(name, 0.0) - diameter for name, diameter in before_mm.items() if diameter > 0]
    if all(rise < STILL_MM for rise in rises):
        return False
    return True if all(rise >= GROWN_MM for rise in rises) else None


def true_growth(before: Mask, after: Mask, *, borders: bool | None = None) -> tuple[Mask, Mask]:
    """New tumour, and what may be only a border that moved.

    Args:
        before: (I, J, K), the lesion at the earlier visit.
        after: (I, J, K), at the later one.
        borders: Whether borders grew, from :func:`borders_grew`.

    Returns:
        (I, J, K) twice: voxels of ``after`` alone that are new tumour, and those of which it is not known. A voxel that
        a face joins to ``before`` is what ``borders`` says, or not known.
    """
    new = np.asarray(after & ~before)
    border = np.zeros_like(new)
    found = ndimage.find_objects(new.astype(np.uint8))
    if found:
        box = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in found[0])
        border[box] = new[box] & ndimage.binary_dilation(before[box])
    nothing = np.zeros_like(new)
    if borders is None:
        return new & ~border, border
    return (new, nothing) if borders else (new & ~border, nothing)
