"""Shapes of growth that are not balls: thin sheets along the brain's surface, and growth along a tract."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.simulate.anatomy import SPACING_MM
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray

SHEET_DEPTH_MM = 2.5
SHEET_WIDTH_MM = 1.4
FIXED_EDGE_MM = 2.0
"""A residual's visible edge ends within this, so that at the start it looks the same whatever it will do."""
TRACTS = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
"""Commissural, association and projection fibres run, roughly, along one axis each."""


def surface_sheet(brain: BoolArray) -> Float32Array:
    """Share of each voxel that thin growth along the surface may fill: 1 about 2.5 mm under it, falling off.

    Args:
        brain: (i, j, k) the brain on a box; the box's own edge is no surface.
    """
    if brain.all():
        return np.zeros(brain.shape, dtype=np.float32)
    depth = SPACING_MM * (ndimage.distance_transform_edt(np.pad(brain, 1, mode="edge")) - 0.5)[1:-1, 1:-1, 1:-1]
    sheet = np.exp(-(((depth - SHEET_DEPTH_MM) / SHEET_WIDTH_MM) ** 2)) * brain
    return np.asarray(sheet, dtype=np.float32)


def draw_tract(generator: Generator) -> FloatArray:
    """(3,) unit direction of a tract: one of the three main ones, tilted by about 15 degrees."""
    direction = TRACTS[int(generator.integers(3))] + 0.27 * generator.standard_normal(3)
    return np.asarray(direction / np.linalg.norm(direction))


def along_tract(offsets: Float32Array, direction: FloatArray, stretch: float, bend_per_mm: float) -> Float32Array:
    """Offsets as a lesion measures them that grows faster along a bent tract than across it.

    Args:
        offsets: (3, i, j, k) mm from the focus.
        direction: (3,) unit vector.
        stretch: How many times faster it grows along than across; the volume at a distance stays the same.
        bend_per_mm: How the tract curves aside, 1/mm.
    """
    unit = direction.astype(np.float32)
    side = np.cross(direction, TRACTS[int(np.argmin(np.abs(direction)))])
    side = (side / np.linalg.norm(side)).astype(np.float32)
    forward = np.einsum("a,aijk->ijk", unit, offsets)
    straight = offsets - side[:, None, None, None] * (np.float32(bend_per_mm) * forward**2)
    shrink = np.float32(stretch ** (-2.0 / 3.0) - stretch ** (1.0 / 3.0))
    scaled = straight * np.float32(stretch ** (1.0 / 3.0)) + unit[:, None, None, None] * (shrink * forward)
    return np.asarray(scaled, dtype=np.float32)


def level_along_tract(
    level: Float32Array, offsets: Float32Array, direction: FloatArray, stretch: float
) -> Float32Array:
    """A distance map whose outside is nearer along a tract and farther across it; the visible edge stays as it is.

    Args:
        level: (i, j, k), mm beyond the margin.
        offsets: (3, i, j, k), mm from the lesion's centre.
        direction: (3,), of length 1, along the tract.
        stretch: How many times nearer along the tract than across it.

    Returns:
        (i, j, k), mm.
    """
    lengths = np.maximum(np.sqrt((offsets**2).sum(axis=0)), 1e-3)
    along = (np.einsum("a,aijk->ijk", direction.astype(np.float32), offsets) / lengths) ** 2
    factor = stretch ** (1.0 / 3.0) * (1.0 - along) + stretch ** (-2.0 / 3.0) * along
    return np.asarray(
        np.where(level > FIXED_EDGE_MM, FIXED_EDGE_MM + (level - FIXED_EDGE_MM) * factor, level), dtype=np.float32
    )
