"""A child's brain: the MNI152 tissue maps, warped without folding, scaled by age, on a 2 mm grid."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator, smooth_field
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry

GRID_SHAPE = (80, 96, 80)
SPACING_MM = 2.0
GRID_CENTRE = (np.array(GRID_SHAPE) - 1) / 2.0
TEMPLATE_CENTRE_MNI_MM = np.array([0.0, -17.0, 5.0])
TEMPLATE_BRAIN = (slice(20, 178), slice(20, 216), slice(0, 162))
"""The part of the 1 mm template that holds the brain; even lengths."""
WARP_SCALES_MM = ((24.0, 3.5), (10.0, 1.3))
"""Correlation length and standard deviation of the two random displacement fields, mm."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """MNI152 maps at 1 mm, lightly smoothed against aliasing: grey, white and fluid fractions, brain, T1 detail."""

    grey: Float32Array
    white: Float32Array
    fluid: Float32Array
    brain: Float32Array
    detail: Float32Array
    ventricles: Float32Array
    centre_index: FloatArray


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """One patient's brain on the patient grid of 2 mm, at the first visit.

    Args:
        grey: (I, J, K) fraction of grey matter; ``white`` and ``fluid`` alike; they add up to 1, outside is fluid.
        brain: Whether a voxel is inside the skull-stripped brain.
        texture: Fine structure that stays the same at every visit, about 0, in units of relative intensity.
        mni_mm: (I, J, K, 3), the template place (RAS mm) that each voxel came from.
        smallest_jacobian: Smallest determinant of the warp's Jacobian: above 0, so nothing folds.
    """

    grey: Float32Array
    white: Float32Array
    fluid: Float32Array
    brain: BoolArray
    texture: Float32Array
    mni_mm: Float32Array
    smallest_jacobian: float

    @functools.cached_property
    def parenchyma(self) -> Float32Array:
        """(I, J, K) fraction of grey and white matter inside the brain."""
        return np.asarray((self.grey + self.white) * self.brain, dtype=np.float32)


def _template_file(tissue: str) -> Path:
    found = importlib.util.find_spec("nilearn")
    if found is None or not found.submodule_search_locations:
        raise UsageError("The simulator needs the MNI152 maps in nilearn's wheel: pip install nilearn.")
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "data"
    return folder / f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz"


@functools.lru_cache(maxsize=1)
def load_template() -> Template:
    """The MNI152 maps, read once a process (nilearn itself is not imported)."""
    maps = {}
    for tissue in ("t1", "gm", "wm"):
        volume = volume_from_sitk(sitk.ReadImage(str(_template_file(tissue))))
        maps[tissue] = volume.voxels[TEMPLATE_BRAIN].astype(np.float32) / 255.0
    geometry = volume.geometry
    head = ndimage.binary_fill_holes(ndimage.binary_closing(maps["t1"] > 0, iterations=2))
    fluid = np.clip(1.0 - maps["gm"] - maps["wm"], 0.0, 1.0)
    sharpened = [tissue**1.7 for tissue in (maps["gm"], maps["wm"], fluid)]
    total = np.maximum(sum(sharpened), 1e-6)
    grey, white, fluid = (np.where(head, part / total, 0.0) for part in sharpened)
    fluid = np.where(head, fluid, 1.0)
    mixture = 0.62 * grey + 0.83 * white + 0.40 * fluid
    detail = np.where(head, np.clip(maps["t1"] - mixture, -0.15, 0.15), 0.0)
    deep = ndimage.distance_transform_edt(head[::2, ::2, ::2]) > 9.0
    deep_fluid = ((fluid[::2, ::2, ::2] > 0.5) & deep).astype(np.float32)
    ventricles = ndimage.zoom(ndimage.gaussian_filter(deep_fluid, 3.0), 2, order=1)
    smoothed = [ndimage.gaussian_filter(part.astype(np.float32), 0.6) for part in (grey, white, fluid, head, detail)]
    centre = geometry.to_ijk(TEMPLATE_CENTRE_MNI_MM) - [part.start for part in TEMPLATE_BRAIN]
    return Template(
        grey=smoothed[0],
        white=smoothed[1],
        fluid=smoothed[2],
        brain=smoothed[3],
        detail=smoothed[4],
        ventricles=ventricles.astype(np.float32),
        centre_index=centre,
    )


@functools.lru_cache(maxsize=1)
def grid_mm() -> Float32Array:
    """(3, I, J, K), place of every voxel of the patient grid in mm from its centre."""
    axes = [SPACING_MM * (np.arange(n, dtype=np.float32) - c) for n, c in zip(GRID_SHAPE, GRID_CENTRE, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def head_scale(age_years: float) -> float:
    """Linear size of a child's brain relative to the adult template."""
    return 0.99 - 0.065 * float(np.exp(-(age_years - 2.0) / 3.0))


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
    """Smallest determinant of the Jacobian of x -> x + displacement(x)."""
    rows = [np.gradient(part, spacing_mm) for part in displacement_mm]
    jacobian = np.stack([np.stack(row) for row in rows]) + np.eye(3, dtype=np.float32)[:, :, None, None, None]
    return float(np.linalg.det(jacobian.transpose(2, 3, 4, 0, 1)).min())


def _displacement_mm(generator: Generator, template: Template) -> tuple[Float32Array, float]:
    """Random diffeomorphic displacement on the patient grid (3, I, J, K) in mm, and its smallest Jacobian."""
    coarse_mm = 2 * SPACING_MM
    shape = tuple(n // 2 for n in GRID_SHAPE)
    velocity = sum(
        amplitude * np.stack([smooth_field(generator, shape, scale / coarse_mm) for _ in range(3)])
        for scale, amplitude in WARP_SCALES_MM
    )
    there = (grid_mm()[:, ::2, ::2, ::2] + 0.5 * SPACING_MM) + template.centre_index[:, None, None, None]
    ventricles = ndimage.map_coordinates(template.ventricles, there, order=1)
    # Sampling nearer to the ventricles' middle than one stands makes them look larger.
    velocity = velocity + 90.0 * generator.uniform(-0.5, 1.2) * np.stack(np.gradient(ventricles, coarse_mm))
    while True:
        displacement = _exponentiate(np.asarray(velocity, dtype=np.float32), coarse_mm)
        smallest = smallest_jacobian_of(displacement, coarse_mm)
        if smallest > 0.15:
            break
        velocity = 0.8 * velocity
    fine = np.stack([ndimage.zoom(part, 2, order=1, mode="nearest", grid_mode=True) for part in displacement])
    return fine, smallest


def draw_anatomy(generator: Generator, age_years: float) -> Anatomy:
    """One patient's brain at an age: warped template, individual head size and ventricles, private texture."""
    template = load_template()
    scale = min(head_scale(age_years) * (1.0 + 0.02 * generator.standard_normal()), 1.02)
    displacement, smallest = _displacement_mm(generator, template)
    mni_mm = (grid_mm() + displacement) / np.float32(scale)
    there = mni_mm + template.centre_index.astype(np.float32)[:, None, None, None]
    outside = (0.0, 0.0, 1.0, 0.0, 0.0)
    parts = (template.grey, template.white, template.fluid, template.brain, template.detail)
    grey, white, fluid, head, detail = (
        ndimage.map_coordinates(part, there, order=1, cval=fill) for part, fill in zip(parts, outside, strict=True)
    )
    total = np.maximum(grey + white + fluid, 1e-3)
    texture = detail + 0.02 * smooth_field(generator, GRID_SHAPE, 0.9) + 0.02 * smooth_field(generator, GRID_SHAPE, 5.0)
    return Anatomy(
        grey=grey / total,
        white=white / total,
        fluid=fluid / total,
        brain=head > 0.5,
        texture=texture.astype(np.float32),
        mni_mm=(mni_mm + TEMPLATE_CENTRE_MNI_MM.astype(np.float32)[:, None, None, None]).transpose(1, 2, 3, 0),
        smallest_jacobian=smallest,
    )


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
