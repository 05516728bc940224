"""A ventricular shunt: a catheter from the surface to a lateral ventricle, and what its valve blots out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.simulate.anatomy import GRID_CENTRE, GRID_SHAPE, SPACING_MM, Anatomy
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator
from TemporalGliomaRisk.simulate.reaction import add_ball
from TemporalGliomaRisk.simulate.surgery import offsets_mm
from TemporalGliomaRisk.timeline.volume import FloatArray

ENTRIES_MNI_MM = ((28.0, 45.0, 55.0), (30.0, -95.0, 25.0))
"""Beyond the surface, on the right: the frontal and the parieto-occipital way in."""
VENTRICLE_MNI_MM = (14.0, -12.0, 20.0)


@dataclass(frozen=True, kw_only=True)
class Shunt:
    """Shares on the whole grid; the day counts from surgery and may lie before the first visit."""

    placed_day: float
    catheter: Float32Array
    valve: Float32Array | None


def add_tube(target: Float32Array, start_mm: FloatArray, end_mm: FloatArray, radius_mm: float, strength: float) -> None:
    """Raise a map (I, J, K) of the grid, in place, along a tube between two places (3,), mm from the grid's centre."""
    low, high = np.minimum(start_mm, end_mm) - 5.0, np.maximum(start_mm, end_mm) + 5.0
    box = tuple(
        slice(max(0, int(np.floor(a / SPACING_MM + c))), min(n, int(np.ceil(b / SPACING_MM + c)) + 1))
        for a, b, c, n in zip(low, high, GRID_CENTRE, GRID_SHAPE, strict=True)
    )
    if any(part.stop <= part.start for part in box):
        return
    way = np.asarray(end_mm - start_mm, dtype=np.float32)
    offsets = offsets_mm((box[0], box[1], box[2]), np.asarray(start_mm))
    along = np.clip(np.einsum("a,aijk->ijk", way, offsets) / max(float(way @ way), 1e-6), 0.0, 1.0)
    distance = np.sqrt(((offsets - way[:, None, None, None] * along) ** 2).sum(axis=0))
    # A tube thinner than a voxel fills a share of it.
    share = strength * np.clip(0.5 + (radius_mm - distance) / SPACING_MM, 0.0, 1.0)
    target[box] = np.maximum(target[box], share)


def draw_shunt(generator: Generator, anatomy: Anatomy) -> Shunt:
    """A catheter on either side, placed before or after the tumour's operation."""
    side = np.array([1.0 if generator.random() < 0.5 else -1.0, 1.0, 1.0])
    entry_mni = side * np.array(ENTRIES_MNI_MM[int(generator.random() < 0.5)])
    surface = np.argwhere(anatomy.brain[::2, ::2, ::2]) * 2
    entry = surface[_nearest(anatomy, surface, entry_mni)]
    fluid = np.argwhere((anatomy.fluid > 0.6) & anatomy.brain)
    tip = fluid[_nearest(anatomy, fluid, side * np.array(VENTRICLE_MNI_MM))]
    catheter = np.zeros(GRID_SHAPE, dtype=np.float32)
    ends = [SPACING_MM * (np.asarray(place, dtype=np.float64) - GRID_CENTRE) for place in (entry, tip)]
    add_tube(catheter, ends[0], ends[1], 1.3, 0.95)
    valve = None
    if generator.random() < 0.5:
        valve = np.zeros(GRID_SHAPE, dtype=np.float32)
        add_ball(valve, entry, generator.uniform(7.0, 15.0), 0.95)
    return Shunt(placed_day=generator.uniform(-300.0, 500.0), catheter=catheter * anatomy.brain, valve=valve)


def _nearest(anatomy: Anatomy, places: np.ndarray, mni_mm: FloatArray) -> int:
    found = anatomy.mni_mm[tuple(places.T)] - mni_mm.astype(np.float32)
    return int((found**2).sum(axis=1).argmin())
