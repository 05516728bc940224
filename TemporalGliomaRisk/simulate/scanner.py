"""What a scanner, a technologist and a registration make of the signal: one file's worth, one interpolation."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.simulate.anatomy import GRID_CENTRE, GRID_SHAPE, SPACING_MM, grid_mm, rotation_matrix
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator
from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray

FWHM_PER_SIGMA = 2.3548
THIN_SLICE_SHARE: dict[SequenceName, float] = {"FLAIR": 0.4, "T2w": 0.2, "T1w": 0.4, "ce-gd_T1w": 0.6}
STORED_WHITE_SIGNAL = 200.0
ARTEFACTS = ("ghost", "spike", "susceptibility", "flow")


@dataclass(frozen=True, kw_only=True)
class ScannerRanges:
    """What a population's files are drawn from; the defaults are version 1's.

    Args:
        snr: Range of the white matter's signal over noise, drawn log-uniformly per visit.
        bias_strength: Range of the bias field's strength, per visit.
        thin_mm: Range of thin slices' thickness.
        thick_mm: Range of the others'.
        thin_factor: Factor on the usual share of thin slices.
        slice_axes: Probability that slices lie along i, j and k.
        slab_share: Share of files whose slices were truly apart by their thickness, and interpolated since.
        shift_mm: Standard deviation of a visit's shift along each axis; cut at ``most_mm``.
        angle_degrees: The same for rotation about each axis; cut at ``most_radians``.
        gamma: Largest logarithm of the gamma, either way.
        gain: Largest logarithm of the gain, either way.
        artefact_share: Probability of each kind of passing artefact, per file.
    """

    snr: tuple[float, float] = (18.0, 50.0)
    bias_strength: tuple[float, float] = (0.02, 0.15)
    thin_mm: tuple[float, float] = (1.0, 1.5)
    thick_mm: tuple[float, float] = (3.0, 5.5)
    thin_factor: float = 1.0
    slice_axes: tuple[float, float, float] = (0.15, 0.20, 0.65)
    slab_share: float = 0.0
    shift_mm: float = 0.4
    most_mm: float = 1.0
    angle_degrees: float = 0.45
    most_radians: float = 0.0175
    gamma: float = 0.12
    gain: float = 0.5
    artefact_share: float = 0.05


VERSION_1 = ScannerRanges()


@dataclass(frozen=True, kw_only=True)
class VisitScanner:
    """What all sequences of one visit share: the table position left after registration, the machine."""

    angles_radians: FloatArray
    shift_mm: FloatArray
    snr: float
    bias_strength: float


def draw_visit_scanner(generator: Generator, *, first_visit: bool, ranges: ScannerRanges = VERSION_1) -> VisitScanner:
    """A visit's machine, and its misregistration with the first visit (none for that one)."""
    angles = np.radians(ranges.angle_degrees * generator.standard_normal(3))
    shift = ranges.shift_mm * generator.standard_normal(3)
    still = 0.0 if first_visit else 1.0
    return VisitScanner(
        angles_radians=still * np.clip(angles, -ranges.most_radians, ranges.most_radians),
        shift_mm=still * np.clip(shift, -ranges.most_mm, ranges.most_mm),
        snr=float(np.exp(generator.uniform(np.log(ranges.snr[0]), np.log(ranges.snr[1])))),
        bias_strength=generator.uniform(*ranges.bias_strength),
    )


@dataclass(frozen=True, kw_only=True)
class AcquiredFile:
    """One sequence's volume, and what the truth file says of how it was made.

    Args:
        voxels: (I, J, K) int16, 0 outside the brain.
        slice_thickness_mm: Width of the slice profile.
        snr: White matter's signal over noise.
        artefacts: Passing artefacts, by name.
    """

    voxels: np.ndarray
    slice_thickness_mm: float
    snr: float
    artefacts: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """For the truth file."""
        return {
            "slice_thickness_mm": round(self.slice_thickness_mm, 2),
            "snr": round(self.snr, 1),
            "artefacts": list(self.artefacts),
        }


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


def _artefacts(generator: Generator, volume: Float32Array, brain: BoolArray, share: float) -> tuple[str, ...]:
    """Passing artefacts, each seldom, in place; their names."""
    there = generator.random(4) < share
    ghost, spike, susceptibility, flow = there
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
        if susceptibility:
            there[3] = False  # where both were drawn, the hole alone is made
    return tuple(name for name, is_there in zip(ARTEFACTS, there, strict=True) if is_there)


def slabs(volume: Float32Array, axis: int, thickness_mm: float, phase: float) -> Float32Array:
    """What is left of a volume, already blurred by the slice profile, when only slices so far apart were taken.

    Args:
        volume: (I, J, K).
        axis: Axis along which the slices lie.
        thickness_mm: Distance between the slices.
        phase: Where the first one lies, 0 to 1 of that distance.

    Returns:
        (I, J, K), linear between the slices, constant beyond the outermost.
    """
    step = thickness_mm / SPACING_MM
    count = volume.shape[axis]
    if step <= 1.0:
        return volume
    middles = np.arange(phase * step, count - 1, step)
    slices = _along(volume, axis, middles)
    return _along(slices, axis, np.clip((np.arange(count) - middles[0]) / step, 0.0, len(middles) - 1.0))


def _along(volume: Float32Array, axis: int, places: FloatArray) -> Float32Array:
    """A volume at places along one axis, in voxels, linear between voxels."""
    low = np.minimum(places.astype(int), volume.shape[axis] - 1)
    high = np.minimum(low + 1, volume.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = len(places)
    share = (places - low).astype(np.float32).reshape(shape)
    return np.asarray((1 - share) * np.take(volume, low, axis) + share * np.take(volume, high, axis))


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
    ranges: ScannerRanges = VERSION_1,
    displacement: Float32Array | None = None,
) -> AcquiredFile:
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
        ranges: What the population's files are drawn from.
        displacement: (3, I, J, K) voxels by which the anatomy has moved since the first visit, None if it hasn't.

    Returns:
        The file, and how it was made.
    """
    blurred, thickness = _sliced(generator, signal, sequence, ranges)
    own = 0.0 if first_of_visit else 1.0
    angles = visit.angles_radians + own * np.radians(np.clip(0.15 * generator.standard_normal(3), -0.4, 0.4))
    shift = visit.shift_mm + own * np.clip(0.15 * generator.standard_normal(3), -0.4, 0.4)
    voxels = np.stack(brain_index).astype(np.float32)
    places = grown_points(voxels, growth, angles, shift)
    if displacement is not None:
        places += displacement[(slice(None), *brain_index)]
    volume = np.zeros(GRID_SHAPE, dtype=np.float32)
    volume[brain_index] = ndimage.map_coordinates(blurred, places, order=1, mode="nearest")
    artefacts = _artefacts(generator, volume, brain, ranges.artefact_share)
    values = volume[brain_index]
    gamma = np.exp(generator.uniform(-ranges.gamma, ranges.gamma))
    values = np.float32(white_signal) * (np.maximum(values, 0.0) / np.float32(white_signal)) ** np.float32(gamma)
    weights = visit.bias_strength * generator.standard_normal(9)
    # einsum, not BLAS: the same bytes whatever the number of threads.
    bias = np.exp(np.einsum("a,an->n", weights.astype(np.float32), _bias_basis()[(slice(None), *brain_index)]))
    values *= np.clip(bias, 0.5, 2.0)
    snr = visit.snr * generator.uniform(0.8, 1.25)
    noise = np.float32(white_signal / snr)
    real, imaginary = noise * generator.standard_normal((2, values.size), dtype=np.float32)
    values = np.sqrt((values + real) ** 2 + imaginary**2)
    gain = STORED_WHITE_SIGNAL / white_signal * np.exp(generator.uniform(-ranges.gain, ranges.gain))
    stored = np.zeros(GRID_SHAPE, dtype=np.int16)
    stored[brain_index] = np.clip(np.rint(values * np.float32(gain)), 1, 4095).astype(np.int16)
    return AcquiredFile(voxels=stored, slice_thickness_mm=thickness, snr=snr, artefacts=artefacts)


def _sliced(
    generator: Generator, signal: Float32Array, sequence: SequenceName, ranges: ScannerRanges
) -> tuple[Float32Array, float]:
    """The signal as slices of a drawn thickness and direction show it, (I, J, K), and that thickness in mm."""
    thin = generator.random() < ranges.thin_factor * THIN_SLICE_SHARE[sequence]
    thickness = generator.uniform(*ranges.thin_mm) if thin else generator.uniform(*ranges.thick_mm)
    axis = int(generator.choice([0, 1, 2], p=list(ranges.slice_axes)))
    in_plane = generator.uniform(0.8, 1.8)
    widths = [in_plane / FWHM_PER_SIGMA / SPACING_MM] * 3
    widths[axis] = thickness / FWHM_PER_SIGMA / SPACING_MM
    blurred = ndimage.gaussian_filter(signal, widths, mode="nearest", truncate=2.5)
    if ranges.slab_share > 0 and generator.random() < ranges.slab_share:
        blurred = slabs(blurred, axis, thickness, generator.random())
    return blurred, thickness
