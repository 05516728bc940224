"""Where the tumour was, how much of it came out, and what that left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.simulate.anatomy import GRID_CENTRE, GRID_SHAPE, SPACING_MM, Anatomy, grid_mm, rotation_matrix
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator, clipped_log_normal, smooth_field
from TemporalGliomaRisk.timeline.volume import FloatArray

Extent = Literal["gross_total", "near_total", "subtotal", "biopsy"]
EXTENT_SHARES: dict[Extent, float] = {"gross_total": 0.45, "near_total": 0.20, "subtotal": 0.25, "biopsy": 0.10}
EXTENT_HAZARD_RATIOS: dict[Extent, float] = {"gross_total": 1.0, "near_total": 2.0, "subtotal": 3.0, "biopsy": 3.6}
REGION_SHARES = {"cerebellum": 0.35, "hemisphere": 0.40, "midline": 0.17, "brainstem": 0.08}
OPERATIVE_MARGIN_MM = 46.0
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, kw_only=True)
class Surgery:
    """The operation's outcome, on a box of the patient grid.

    Args:
        extent: Extent of resection.
        region: Where the tumour sat.
        centre_mm: (3,), the tumour's centre, mm from the grid's centre.
        radius_mm: The tumour's mean radius before surgery.
        box: The part of the grid that all lesions and reactions stay in.
        cavity_level: Signed distance (about) to the cavity's wall, mm, negative inside.
        residual_level: The same for what was left, None after gross total resection.
    """

    extent: Extent
    region: str
    centre_mm: FloatArray
    radius_mm: float
    box: Box
    cavity_level: Float32Array
    residual_level: Float32Array | None


def box_around(centre_mm: FloatArray, half_width_mm: float) -> Box:
    """The part of the grid within a distance of a place (3,), mm from the grid's centre, along every axis."""
    middle = centre_mm / SPACING_MM + GRID_CENTRE
    half = half_width_mm / SPACING_MM
    return tuple(  # type: ignore[return-value]
        slice(max(0, int(np.floor(m - half))), min(n, int(np.ceil(m + half)) + 1))
        for m, n in zip(middle, GRID_SHAPE, strict=True)
    )


def offsets_mm(box: Box, centre_mm: FloatArray) -> Float32Array:
    """(3, i, j, k), every voxel's place in a box relative to a centre, mm."""
    return np.asarray(grid_mm()[(slice(None), *box)] - centre_mm.astype(np.float32)[:, None, None, None])


def lumpy_distance(generator: Generator, offsets: Float32Array, axes: FloatArray, roughness: float) -> Float32Array:
    """Distance from a centre, as measured by a lumpy ellipsoid.

    Args:
        generator: Draws the ellipsoid's directions and its lumps.
        offsets: (3, i, j, k), mm from the centre.
        axes: (3,), the ellipsoid's, of mean 1.
        roughness: Standard deviation of the lumps, as a share of the distance.

    Returns:
        (i, j, k), mm.
    """
    rotation = rotation_matrix(generator.uniform(-np.pi, np.pi, size=3)).astype(np.float32)
    turned = np.einsum("ab,bijk->aijk", rotation, offsets) / axes.astype(np.float32)[:, None, None, None]
    lumps = smooth_field(generator, offsets.shape[1:], 4.0)
    return np.asarray(np.sqrt((turned**2).sum(axis=0)) * (1.0 + roughness * lumps), dtype=np.float32)


def _regions(mni_mm: Float32Array) -> dict[str, np.ndarray]:
    x, y, z = np.abs(mni_mm[..., 0]), mni_mm[..., 1], mni_mm[..., 2]
    brainstem = (x < 12) & (y < -14) & (y > -42) & (z < -12)
    cerebellum = (y < -40) & (z < -14) & ~brainstem
    midline = (x < 22) & (y > -34) & (y < 12) & (z > -12) & (z < 22)
    return {
        "brainstem": brainstem,
        "cerebellum": cerebellum,
        "midline": midline,
        "hemisphere": ~(brainstem | cerebellum | midline) & (z > -25),
    }


def draw_site(generator: Generator, anatomy: Anatomy) -> tuple[str, FloatArray]:
    """A region, and a place (3,), mm from the grid's centre, in its tissue at least 8 mm under the brain's surface."""
    region = str(generator.choice(list(REGION_SHARES), p=list(REGION_SHARES.values())))
    deep = ndimage.binary_erosion(anatomy.brain, iterations=4)
    candidates = np.flatnonzero(_regions(anatomy.mni_mm)[region] & deep & (anatomy.parenchyma > 0.6))
    if candidates.size == 0:
        candidates = np.flatnonzero(deep & (anatomy.parenchyma > 0.6))
    voxel = np.unravel_index(candidates[generator.integers(candidates.size)], GRID_SHAPE)
    return region, SPACING_MM * (np.array(voxel, dtype=np.float64) - GRID_CENTRE)


def _cut_height(radius_mm: float, residual_fraction: float) -> float:
    """Height of the plane that leaves a fraction of a sphere below it, from -radius to radius."""
    depth = np.linspace(0.0, 2.0 * radius_mm, 101)
    below = depth**2 * (3.0 * radius_mm - depth) / (4.0 * radius_mm**3)
    return float(np.interp(residual_fraction, below, depth) - radius_mm)


def _corridor_level(anatomy: Anatomy, box: Box, centre_mm: FloatArray, radius_mm: float) -> Float32Array:
    """Signed distance to the surgeon's way in: a tube from the tumour to the nearest place on the brain's surface."""
    surface = np.argwhere(anatomy.brain & ~ndimage.binary_erosion(anatomy.brain))
    places = SPACING_MM * (surface - GRID_CENTRE)
    way = places[np.argmin(np.linalg.norm(places - centre_mm, axis=1))] - centre_mm
    offsets = offsets_mm(box, centre_mm)
    along = np.clip(np.einsum("a,aijk->ijk", way.astype(np.float32), offsets) / float(way @ way), 0.0, 1.0)
    nearest = way.astype(np.float32)[:, None, None, None] * along
    return np.asarray(np.sqrt(((offsets - nearest) ** 2).sum(axis=0)) - radius_mm, dtype=np.float32)


def draw_surgery(generator: Generator, anatomy: Anatomy) -> Surgery:
    """The tumour's place, size and shape, and what surgery made of it. Knows nothing of the patient's fate."""
    region, centre = draw_site(generator, anatomy)
    extents = list(EXTENT_SHARES)
    extent = extents[generator.choice(len(extents), p=list(EXTENT_SHARES.values()))]
    largest = 13.0 if region == "brainstem" else 24.0
    radius = clipped_log_normal(generator, 15.0, 0.3, 8.0, largest)
    box = box_around(centre, radius + OPERATIVE_MARGIN_MM)
    offsets = offsets_mm(box, centre)
    axes = generator.uniform(0.75, 1.25, size=3)
    tumour = lumpy_distance(generator, offsets, axes / axes.mean(), 0.13) - radius
    normal = generator.standard_normal(3)
    height = np.einsum("a,aijk->ijk", (normal / np.linalg.norm(normal)).astype(np.float32), offsets)
    height = height + np.float32(2.5) * smooth_field(generator, height.shape, 3.5)
    shares = {"gross_total": 0.0, "near_total": 0.06, "subtotal": generator.uniform(0.10, 0.50), "biopsy": 1.0}
    residual: Float32Array | None = None
    if extent == "gross_total":
        cavity = tumour
    elif extent == "biopsy":
        residual, cavity = tumour, np.sqrt((offsets**2).sum(axis=0)) - 2.5
    else:
        cut = _cut_height(radius, shares[extent])
        residual, cavity = np.maximum(tumour, height - cut), np.maximum(tumour, cut - height)
    corridor = _corridor_level(anatomy, box, centre, 1.2 if extent == "biopsy" else generator.uniform(2.0, 4.5))
    return Surgery(
        extent=extent,
        region=region,
        centre_mm=centre,
        radius_mm=radius,
        box=box,
        cavity_level=np.minimum(cavity, corridor).astype(np.float32),
        residual_level=None if residual is None else residual.astype(np.float32),
    )
