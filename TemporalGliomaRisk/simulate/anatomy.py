"""A child's brain: a template's tissue maps, warped without folding, scaled by age, on a 2 mm grid."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator, smooth_field
from TemporalGliomaRisk.simulate.templates import TEMPLATE_CENTRE_MNI_MM, Template, load_template
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry

GRID_SHAPE = (80, 96, 80)
SPACING_MM = 2.0
GRID_CENTRE = (np.array(GRID_SHAPE) - 1) / 2.0
PUSH_MM2 = 90.0
"""Makes the ventricles' gradient a displacement of a few mm at a push of 1."""


def head_scale(age_years: float) -> float:
    """Linear size of a child's brain relative to the adult template."""
    return 0.99 - 0.065 * float(np.exp(-(age_years - 2.0) / 3.0))


def infant_head_scale(age_years: float) -> float:
    """Linear size from birth on: 36 % of the adult brain's volume then, 71 % at one year, 82 % at two, 93 % at five."""
    volume = 1.0 - 0.355 * math.exp(-age_years / 0.627) - 0.29 * math.exp(-age_years / 3.5)
    return float(0.99 * volume ** (1.0 / 3.0))


@dataclass(frozen=True, kw_only=True)
class AnatomyRanges:
    """What a population's brains are drawn from; the defaults are version 1's.

    Args:
        templates: Names of the anatomies, each as likely.
        warp_scales_mm: Correlation length and standard deviation of each random displacement field, mm.
        warp_strength: Range of a factor on them, drawn per patient.
        ventricles: Range of the push out of the ventricles' middle; negative makes them narrower.
        stretch: Standard deviation of the logarithm of the head's length along each axis.
        atrophy: Largest share of the cortex beside fluid that turns into fluid.
        scale: Head's size, relative to the adult template, at an age in years.
        scale_spread: Standard deviation of that between patients, relative.
    """

    templates: tuple[str, ...] = ("mni152",)
    warp_scales_mm: tuple[tuple[float, float], ...] = ((24.0, 3.5), (10.0, 1.3))
    warp_strength: tuple[float, float] = (1.0, 1.0)
    ventricles: tuple[float, float] = (-0.5, 1.2)
    stretch: float = 0.0
    atrophy: float = 0.0
    scale: Callable[[float], float] = head_scale
    scale_spread: float = 0.02


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """One patient's brain on the patient grid of 2 mm, at the first visit.

    Args:
        grey: (I, J, K) fraction of grey matter; ``white`` and ``fluid`` alike; they add up to 1, outside is fluid.
        brain: Whether a voxel is inside the skull-stripped brain.
        texture: Fine structure that stays the same at every visit, about 0, in units of relative intensity.
        mni_mm: (I, J, K, 3), the template place (RAS mm) that each voxel came from.
        smallest_jacobian: Smallest determinant of the warp's Jacobian: above 0, so nothing folds.
        template: Name of the anatomy it was made from.
    """

    grey: Float32Array
    white: Float32Array
    fluid: Float32Array
    brain: BoolArray
    texture: Float32Array
    mni_mm: Float32Array
    smallest_jacobian: float
    template: str

    @functools.cached_property
    def parenchyma(self) -> Float32Array:
        """(I, J, K) fraction of grey and white matter inside the brain."""
        return np.asarray((self.grey + self.white) * self.brain, dtype=np.float32)


@functools.lru_cache(maxsize=1)
def grid_mm() -> Float32Array:
    """(3, I, J, K), place of every voxel of the patient grid in mm from its centre."""
    axes = [SPACING_MM * (np.arange(n, dtype=np.float32) - c) for n, c in zip(GRID_SHAPE, GRID_CENTRE, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _exponentiate(velocity_mm: Float32Array, spacing_mm: float) -> Float32Array:
    """Displacement of a stationary velocity field after unit time, by scaling and squaring (3, I, J, K) in mm."""
    steps = 4
    displacement = velocity_mm / (2**steps * spacing_mm)
    identity = np.indices(displacement.shape[1:], dtype=np.float32)
    for _ in range(steps):
        there = identity + displacement
        displacement = displacement + np.stack(
            [ndimage.map_coordinates(part, there, order=1, mode="nearest") for part in displacement]
        )
    return np.asarray(displacement * spacing_mm, dtype=np.float32)


def smallest_jacobian_of(displacement_mm: Float32Array, spacing_mm: float) -> float:
    """Smallest determinant of the Jacobian of x -> x + displacement(x), the displacement being (3, I, J, K)."""
    rows = [np.gradient(part, spacing_mm) for part in displacement_mm]
    jacobian = np.stack([np.stack(row) for row in rows]) + np.eye(3, dtype=np.float32)[:, :, None, None, None]
    return float(np.linalg.det(jacobian.transpose(2, 3, 4, 0, 1)).min())


def _ventricle_gradient(template: Template) -> Float32Array:
    """(3, I, J, K) on the coarse patient grid, 1/mm: points to the ventricles' middle."""
    coarse_mm = 2 * SPACING_MM
    there = (grid_mm()[:, ::2, ::2, ::2] + 0.5 * SPACING_MM) + template.centre_index[:, None, None, None]
    ventricles = ndimage.map_coordinates(template.ventricles, there, order=1)
    return np.stack(np.gradient(ventricles, coarse_mm))


def _displacement_mm(generator: Generator, template: Template, ranges: AnatomyRanges) -> tuple[Float32Array, float]:
    """Random diffeomorphic displacement on the patient grid (3, I, J, K) in mm, and its smallest Jacobian."""
    coarse_mm = 2 * SPACING_MM
    shape = tuple(n // 2 for n in GRID_SHAPE)
    parts = [
        amplitude * np.stack([smooth_field(generator, shape, scale / coarse_mm) for _ in range(3)])
        for scale, amplitude in ranges.warp_scales_mm
    ]
    velocity = np.asarray(sum(parts), dtype=np.float32)
    if ranges.warp_strength[0] < ranges.warp_strength[1]:
        velocity = velocity * generator.uniform(*ranges.warp_strength)
    # Sampling nearer to the ventricles' middle than one stands makes them look larger.
    velocity = velocity + PUSH_MM2 * generator.uniform(*ranges.ventricles) * _ventricle_gradient(template)
    while True:
        displacement = _exponentiate(np.asarray(velocity, dtype=np.float32), coarse_mm)
        smallest = smallest_jacobian_of(displacement, coarse_mm)
        if smallest > 0.15:
            break
        velocity = 0.8 * velocity
    fine = np.stack([ndimage.zoom(part, 2, order=1, mode="nearest", grid_mode=True) for part in displacement])
    return fine, smallest


def draw_anatomy(
    generator: Generator, age_years: float, ranges: AnatomyRanges | None = None, folder: Path | None = None
) -> Anatomy:
    """One patient's brain at an age: warped template, individual head size and ventricles, private texture.

    Args:
        generator: The patient's stream for this purpose.
        age_years: Age at the first visit.
        ranges: What the population's brains are drawn from, version 1's unless said.
        folder: Where templates lie that are not built in.
    """
    ranges = ranges or AnatomyRanges()
    names = ranges.templates
    name = names[int(generator.integers(len(names)))] if len(names) > 1 else names[0]
    template = load_template(name, folder)
    spread = 1.0 + ranges.scale_spread * generator.standard_normal()
    scale = min(ranges.scale(age_years) * spread, 1.02)
    displacement, smallest = _displacement_mm(generator, template, ranges)
    mni_mm = (grid_mm() + displacement) / np.float32(scale)
    if ranges.stretch > 0:
        lengths = np.exp(np.clip(ranges.stretch * generator.standard_normal(3), -0.07, 0.07))
        mni_mm = mni_mm / np.minimum(lengths, 1.02 / scale).astype(np.float32)[:, None, None, None]
    there = mni_mm + template.centre_index.astype(np.float32)[:, None, None, None]
    outside = (0.0, 0.0, 1.0, 0.0, 0.0)
    parts = (template.grey, template.white, template.fluid, template.brain, template.detail)
    grey, white, fluid, head, detail = (
        ndimage.map_coordinates(part, there, order=1, cval=fill) for part, fill in zip(parts, outside, strict=True)
    )
    total = np.maximum(grey + white + fluid, 1e-3)
    texture = detail + 0.02 * smooth_field(generator, GRID_SHAPE, 0.9) + 0.02 * smooth_field(generator, GRID_SHAPE, 5.0)
    anatomy = Anatomy(
        template=name,
        grey=grey / total,
        white=white / total,
        fluid=fluid / total,
        brain=head > 0.5,
        texture=texture.astype(np.float32),
        mni_mm=(mni_mm + TEMPLATE_CENTRE_MNI_MM.astype(np.float32)[:, None, None, None]).transpose(1, 2, 3, 0),
        smallest_jacobian=smallest,
    )
    if ranges.atrophy > 0:
        near_fluid = ndimage.gaussian_filter(anatomy.fluid, 1.5)
        # Squared: most patients have little of it.
        lost = np.float32(ranges.atrophy * generator.uniform(0.0, 1.0) ** 2) * near_fluid
        anatomy = with_fluid(anatomy, np.where(anatomy.grey > anatomy.white, lost, 0.0).astype(np.float32))
    return anatomy


def with_fluid(anatomy: Anatomy, share: Float32Array) -> Anatomy:
    """The brain with a share (I, J, K) of each voxel's tissue turned into fluid."""
    kept = np.clip(1.0 - share, 0.0, 1.0)
    grey, white = anatomy.grey * kept, anatomy.white * kept
    return replace(anatomy, grey=grey, white=white, fluid=np.asarray(1.0 - grey - white, dtype=np.float32))


def ventricle_displacement(anatomy: Anatomy) -> Float32Array:
    """(3, I, J, K) voxels; added to where a visit samples the first visit's anatomy, it widens the ventricles."""
    deep = ndimage.binary_erosion(anatomy.brain, iterations=8)
    ventricles = ndimage.gaussian_filter(((anatomy.fluid > 0.5) & deep).astype(np.float32), 3.0)
    return np.stack(np.gradient(ventricles, SPACING_MM)).astype(np.float32) * np.float32(PUSH_MM2 / SPACING_MM)


def draw_geometry(generator: Generator) -> Geometry:
    """The patient grid placed obliquely in scanner space: up to 12 degrees about every axis, up to 25 mm off centre."""
    rotation = rotation_matrix(np.radians(generator.uniform(-12.0, 12.0, size=3)))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * SPACING_MM
    matrix[:3, 3] = generator.uniform(-25.0, 25.0, size=3) - matrix[:3, :3] @ GRID_CENTRE
    return Geometry(shape=GRID_SHAPE, ijk_to_ras=matrix)


def rotation_matrix(angles_radians: npt.ArrayLike) -> FloatArray:
    """(3, 3) rotation about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles_radians), np.sin(angles_radians)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)
