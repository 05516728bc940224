"""Whether a cavity has appeared since the first visit: after an operation in between, or because a cyst has grown.

The timeline begins after treatment, and a resection cavity is there from the first visit on. Where one comes later, the
first visit was before an operation, or there was a second one; a model of growth has seen neither.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.timeline.resampling import block_sum
from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray

BLOCK = 2
"""Voxels along each side of the cells compared: 4 mm on the model grid, where noise and rims of fluid drop out."""
TAILS = (2, 50, 98)
FLUID, SOLID = 0.7, 0.35
"""Of the way from the median to the fluid's end of the brain's intensities: fluid now, clearly none before."""
NOTICED_ML = 1.0
"""At 314 later visits of the population ``main`` nothing was found; of 20 resected patients whose first visit was drawn
before the operation 16 had more."""


def new_cavity_mL(
    first: Mapping[SequenceName, FloatArray],
    now: Mapping[SequenceName, FloatArray],
    valid: BoolArray,
    spacing_mm: FloatArray,
) -> float:
    """Volume of the largest piece of the brain that looks like fluid now and did not at the first visit, less its rim.

    It must look like fluid in every sequence that both visits have, and in one of them, at least, not have done so
    before: a tumour may be as dark or bright as fluid in the others. Pieces thinner than three cells are left out.

    Args:
        first: (I, J, K) each, the first visit's sequences on the model grid, on any intensity scale.
        now: (I, J, K) each, this visit's.
        valid: (I, J, K), brain that all of them show.
        spacing_mm: (3,).
    """
    brain = _cells(valid.astype(np.float32)) == 1
    common = [name for name in now if name in first]
    if not common or not brain.any():
        return 0.0
    fluid, solid = brain.copy(), np.zeros_like(brain)
    for name in common:
        fluid &= _fluidity(name, _cells(now[name]), brain) > FLUID
        solid |= _fluidity(name, _cells(first[name]), brain) < SOLID
    pieces, count = ndimage.label(ndimage.binary_opening(fluid & solid))
    cells = int(np.bincount(pieces.ravel())[1:].max()) if count else 0
    return cells * BLOCK**3 * float(np.prod(spacing_mm)) / 1000.0


def _cells(voxels: FloatArray) -> FloatArray:
    """Mean over cells."""
    return np.asarray(block_sum(voxels, (BLOCK, BLOCK, BLOCK)) / BLOCK**3)


def _fluidity(name: SequenceName, cells: FloatArray, brain: BoolArray) -> FloatArray:
    """0 at the brain's median, 1 at the end of its intensities where fluid lies."""
    low, middle, high = np.percentile(cells[brain], TAILS)
    end = high if name == "T2w" else low
    return np.asarray((cells - middle) / (end - middle if end != middle else 1.0))
