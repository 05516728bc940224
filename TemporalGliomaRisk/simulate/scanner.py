"""What a scanner, a technologist and a registration make of the signal: one file's worth, one interpolation."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.simulate.anatomy import GRID_CENTRE, GRID_SHAPE, SPACING_MM, grid_mm, rotation_matrix
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator
from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray

FWHM_PER_SIGMA = 2.3548
THIN_SLICE_SHARE: dict[SequenceName, float] = {"FLAIR": 0.4, "T2w": 0.2, "T1w": 0.4, "ce-gd_T1w": 0.6}
ARTEFACT_SHARE = 0.05
STORED_WHITE_SIGNAL = 200.0


@dataclass(frozen=True, kw_only=True)
class VisitScanner:
    """What all sequences of one visit share: the table position left after registration, the machine."""

    angles_radians: FloatArray
    shift_mm: FloatArray
    snr: float
    bias_strength: float


def draw_visit_scanner(generator: Generator, *, first_visit: bool) -> VisitScanner:
    """A visit's machine, and its misregistration with the first visit (none for that one)."""
    angles = np.radians(0.45 * generator.standard_normal(3))
    shift = 0.4 * generator.standard_normal(3)
    still = 0.0 if first_visit else 1.0
    return VisitScanner(
        angles_radians=still * np.clip(angles, -0.0175, 0.0175),
        shift_mm=still * np.clip(shift, -1.0, 1.0),
        snr=float(np.exp(generator.uniform(np.log(18.0), np.log(50.0)))),
        bias_strength=generator.uniform(0.02, 0.15),
    )


@functools.lru_cache(maxsize=1)
def _bias_basis() -> Float32Array:
    """(9, I, J, K) smooth polynomials of the second order over the grid, each within -1 to 1."""
    x, y, z = (part / np.abs(part).max() for part in grid_mm())
    return np.stack([x, y, z, x * y, y * z, x * z, x * x, y * y, z * z]).astype(np.float32)


def grown_points(
    brain_voxels: Float32Array, growth: float, angles_radians: FloatArray, shift_mm: FloatArray
) -> Float32Array:
    """(3, n) places in the first visit's anatomy (voxels) that a visit shows at the given voxels.

    Args:
        brain_voxels: (3, n) voxel indices in the visit's volume.
        growth: Size of the head relative to the first visit.
        angles_radians: (3,) rotation left after registration.
        shift_mm: (3,) shift left after registration.
    """
    matrix = (rotation_matrix(angles_radians) / growth).astype(np.float32)
    offset = shift_mm / SPACING_MM + GRID_CENTRE - matrix @ GRID_CENTRE
    moved = np.einsum("ab,bn->an", matrix, brain_voxels)
    return np.asarray(moved + offset.astype(np.float32)[:, None], dtype=np.float32)


def _artefact(generator: Generator, volume: Float32Array, brain: BoolArray) -> None:
    """Passing artefacts, each seldom, in place: motion ghost, spike, susceptibility, flow."""
    ghost, spike, susceptibility, flow = generator.random(4) < ARTEFACT_SHARE
    if ghost:
        volume += np.float32(generator.uniform(0.03, 0.09)) * np.roll(volume, int(generator.integers(12, 40)), axis=1)
    if spike:
        wave = generator.uniform(-1.0, 1.0, size=3).astype(np.float32)
        phase = np.einsum("a,aijk->ijk", wave, grid_mm())
        volume += np.float32(generator.uniform(0.01, 0.03)) * np.cos(phase)
    if susceptibility or flow:
        places = np.argwhere(brain)
        if susceptibility:
            places = places[places[:, 2] < np.quantile(places[:, 2], 0.25)]
        centre = places[generator.integers(len(places))]
        radius = generator.uniform(2.0, 5.0)
        lengths = np.array([1.0, 1.0, 1.0]) if susceptibility else np.array([0.7, 4.0, 0.7])
        offsets = [np.arange(n, dtype=np.float32) - np.float32(c) for n, c in zip(GRID_SHAPE, centre, strict=True)]
        i, j, k = ((part / np.float32(radius * s)) ** 2 for part, s in zip(offsets, lengths, strict=True))
        bump = np.exp(-0.5 * (i[:, None, None] + j[None, :, None] + k[None, None, :]))
        volume *= 1.0 - np.float32(0.9) * bump if susceptibility else 1.0 + np.float32(0.35) * bump


def acquire(
    generator: Generator,
    signal: Float32Array,
    *,
    sequence: SequenceName,
    visit: VisitScanner,
    growth: float,
    brain_index: tuple[np.ndarray, np.ndarray, np.ndarray],
    brain: BoolArray,
    white_signal: float,
    first_of_visit: bool,
) -> np.ndarray:
    """One sequence's volume as it would lie on disk, skull-stripped and registered.

    Args:
        generator: This file's own stream.
        signal: (I, J, K) ideal signal.
        sequence: Which pulse sequence, for its usual slice thickness.
        visit: What the visit's sequences share.
        growth: Size of the head relative to the first visit.
        brain_index: Indices of the voxels inside this visit's brain mask.
        brain: (I, J, K) that mask.
        white_signal: Ideal signal of white matter, the measure of the noise.
        first_of_visit: Whether it is the visit's reference, with no misregistration of its own.

    Returns:
        (I, J, K) int16, 0 outside the brain.
    """
    thin = generator.random() < THIN_SLICE_SHARE[sequence]
    thickness = generator.uniform(1.0, 1.5) if thin else generator.uniform(3.0, 5.5)
    axis = int(generator.choice([0, 1, 2], p=[0.15, 0.20, 0.65]))
    in_plane = generator.uniform(0.8, 1.8)
    widths = [in_plane / FWHM_PER_SIGMA / SPACING_MM] * 3
    widths[axis] = thickness / FWHM_PER_SIGMA / SPACING_MM
    blurred = ndimage.gaussian_filter(signal, widths, mode="nearest", truncate=2.5)
    own = 0.0 if first_of_visit else 1.0
    angles = visit.angles_radians + own * np.radians(np.clip(0.15 * generator.standard_normal(3), -0.4, 0.4))
    shift = visit.shift_mm + own * np.clip(0.15 * generator.standard_normal(3), -0.4, 0.4)
    voxels = np.stack(brain_index).astype(np.float32)
    places = grown_points(voxels, growth, angles, shift)
    volume = np.zeros(GRID_SHAPE, dtype=np.float32)
    volume[brain_index] = ndimage.map_coordinates(blurred, places, order=1, mode="nearest")
    _artefact(generator, volume, brain)
    values = volume[brain_index]
    gamma = np.exp(generator.uniform(-0.12, 0.12))
    values = np.float32(white_signal) * (np.maximum(values, 0.0) / np.float32(white_signal)) ** np.float32(gamma)
    weights = visit.bias_strength * generator.standard_normal(9)
    # einsum, not BLAS: the same bytes whatever the number of threads.
    bias = np.exp(np.einsum("a,an->n", weights.astype(np.float32), _bias_basis()[(slice(None), *brain_index)]))
    values *= np.clip(bias, 0.5, 2.0)
    noise = np.float32(white_signal / (visit.snr * generator.uniform(0.8, 1.25)))
    real, imaginary = noise * generator.standard_normal((2, values.size), dtype=np.float32)
    values = np.sqrt((values + real) ** 2 + imaginary**2)
    gain = STORED_WHITE_SIGNAL / white_signal * np.exp(generator.uniform(-0.5, 0.5))
    stored = np.zeros(GRID_SHAPE, dtype=np.int16)
    stored[brain_index] = np.clip(np.rint(values * np.float32(gain)), 1, 4095).astype(np.int16)
    return stored
