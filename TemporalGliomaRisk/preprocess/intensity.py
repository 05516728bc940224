"""One intensity scale: a smooth bias field, gain and gamma, fitted on block means in log intensity.

Everything here sees two arrays on the model grid at most, the visit's and the first visit's, so that no other visit
can matter. The fits are over blocks of some 6 mm: thousands of numbers, milliseconds, one thread, the same bits.

A full-resolution N4 takes minutes a volume; SimpleITK's N4 on the same 6 mm blocks took 1.2 s and its result moved by
5e-5 with the number of threads. So the sharpening of N3 is used here with a polynomial in place of splines.

Source:
    Sled JG, Zijdenbos AP, Evans AC. A nonparametric method for automatic correction of intensity nonuniformity in MRI
    data. IEEE TMI 1998;17(1):87-97 (histogram sharpening).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.preprocess.prepared import IntensityScale
from TemporalGliomaRisk.timeline.resampling import block_sum
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray

FULL_BLOCK = 0.7
DARKEST = 0.15
SHARPEN_FWHM = 0.15
SHARPEN_BINS = 128
SHARPEN_NOISE = 0.01
SHARPEN_ROUNDS = 20
TUKEY = 4.0
FIT_ROUNDS = 12
FEWEST_BLOCKS = 60


@dataclass(frozen=True, kw_only=True)
class SmoothField:
    """A polynomial in place, over the grid's box from -1 to 1 along each axis.

    Args:
        coefficients: (terms,), in the order of :func:`exponents`.
        order: Largest total degree.
    """

    coefficients: FloatArray
    order: int

    def on_grid(self, shape: tuple[int, int, int]) -> FloatArray:
        """(I, J, K) float32, the polynomial at every voxel centre."""
        axes = [_coordinates(length) for length in shape]
        powers = [np.stack([axis**power for power in range(self.order + 1)]) for axis in axes]
        cube = np.zeros((self.order + 1,) * 3)
        for coefficient, (a, b, c) in zip(self.coefficients, exponents(self.order), strict=True):
            cube[a, b, c] = coefficient
        field = np.einsum("abc,ck->abk", cube, powers[2])
        field = np.einsum("abk,bj->ajk", field, powers[1])
        return np.asarray(np.einsum("ajk,ai->ijk", field.astype(np.float32), powers[0].astype(np.float32)))


def exponents(order: int) -> list[tuple[int, int, int]]:
    """Exponents of x, y and z of every term up to a total degree, the constant first."""
    every = [(a, b, c) for a in range(order + 1) for b in range(order + 1) for c in range(order + 1)]
    return sorted((term for term in every if sum(term) <= order), key=lambda term: (sum(term), term))


def _coordinates(length: int) -> FloatArray:
    return (np.arange(length) + 0.5) * (2.0 / length) - 1.0


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Means over the blocks that are mostly brain.

    Args:
        means: (blocks,), positive.
        basis: (blocks, terms), the polynomial's terms at the blocks' centres.
        used: (I', J', K'), which blocks these are.
    """

    means: FloatArray
    basis: FloatArray
    used: BoolArray


def block_means(voxels: FloatArray, mask: BoolArray, block: tuple[int, int, int], order: int) -> Blocks:
    """Means over brain voxels with signal, of the blocks of which 70 % are such voxels.

    Args:
        voxels: (I, J, K), intensities.
        mask: (I, J, K), the brain.
        block: Voxels of a block along each axis.
        order: Largest total degree of the polynomials that are to be fitted.
    """
    valid = mask & (voxels > 0)
    weight = block_sum(valid.astype(np.float32), block)
    total = block_sum(np.where(valid, voxels, np.float32(0)), block)
    used = weight >= FULL_BLOCK * math.prod(block)
    means = (total[used] / weight[used]).astype(np.float64)
    if means.size:
        bright = means > DARKEST * np.median(means)
        used[used] = bright
        means = means[bright]
    return Blocks(means=means, basis=_basis(used, mask.shape, block, order), used=used)


def _basis(used: BoolArray, shape: tuple[int, ...], block: tuple[int, int, int], order: int) -> FloatArray:
    places = []
    for index, length, size in zip(np.nonzero(used), shape, block, strict=True):
        places.append((index * size + size / 2.0) * (2.0 / length) - 1.0)
    x, y, z = places
    return np.stack([x**a * y**b * z**c for a, b, c in exponents(order)], axis=1)


def fit_bias(blocks: Blocks, order: int) -> SmoothField:
    """Log bias field of one volume: the smooth part that, taken away, leaves the sharpest histogram.

    The field's mean over the blocks is zero, so the overall brightness stays. Too few blocks give a field of zero.
    """
    terms = len(exponents(order))
    field = np.zeros(blocks.means.size)
    if blocks.means.size < max(FEWEST_BLOCKS, 3 * terms):
        return SmoothField(coefficients=np.zeros(terms), order=order)
    logs = np.log(blocks.means)
    solve = _inverse_gram(blocks.basis, blocks.basis) @ blocks.basis.T
    coefficients = np.zeros(terms)
    for _ in range(SHARPEN_ROUNDS):
        corrected = logs - field
        coefficients = solve @ (field + corrected - _sharpened(corrected))
        field = blocks.basis @ coefficients
        coefficients[0] -= field.mean()
        field = field - field.mean()
    return SmoothField(coefficients=coefficients, order=order)


def _inverse_gram(weighted: FloatArray, basis: FloatArray) -> FloatArray:
    """(terms, terms), pseudo-inverse of the normal equations' matrix; terms that the blocks can't tell apart share.

    The matrix is small and well conditioned (monomials on -1 to 1). A decomposition of the long basis itself would let
    the linear algebra's threads wait for each other: on two busy cores that took a third of a whole run.
    """
    return np.asarray(np.linalg.pinv(weighted.T @ basis, rcond=1e-12, hermitian=True))


def _sharpened(values: FloatArray) -> FloatArray:
    """What each value is expected to be before a Gaussian blur of the histogram (Sled et al., equations 9 to 13)."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        return values
    bins = SHARPEN_BINS
    step = (high - low) / (bins - 1)
    position = (values - low) / step
    left = np.clip(np.floor(position).astype(int), 0, bins - 2)
    part = position - left
    size = 4 * bins
    start = bins
    histogram = np.bincount(start + left, 1.0 - part, size) + np.bincount(start + left + 1, part, size)
    sigma = SHARPEN_FWHM / 2.3548 / step
    away = np.minimum(np.arange(size), size - np.arange(size))
    kernel = np.exp(-0.5 * (away / sigma) ** 2)
    blur = np.fft.rfft(kernel / kernel.sum())
    sharp = np.fft.irfft(np.fft.rfft(histogram) * np.conj(blur) / (np.abs(blur) ** 2 + SHARPEN_NOISE), size)
    sharp = np.maximum(sharp, 0.0)
    centres = low + (np.arange(size) - start) * step
    mass = np.fft.irfft(np.fft.rfft(sharp) * blur, size)
    moment = np.fft.irfft(np.fft.rfft(sharp * centres) * blur, size)
    expected = np.where(mass > 1e-6, moment / np.maximum(mass, 1e-6), centres)
    return np.asarray(expected[start + left] * (1.0 - part) + expected[start + left + 1] * part)


@dataclass(frozen=True, kw_only=True)
class Harmonisation:
    """What brings a visit's intensities to the first visit's: ``exp(log_gain + field) * y ** gamma``.

    Args:
        log_gain: Constant in log intensity.
        gamma: Exponent.
        field: Smooth difference in log intensity, zero mean over the blocks.
        spread: Robust standard deviation of what the fit leaves, in log intensity.
    """

    log_gain: float
    gamma: float
    field: SmoothField
    spread: float

    def apply(self, voxels: FloatArray) -> FloatArray:
        """(I, J, K) float32; intensities below zero count as zero."""
        gain = np.exp(self.field.on_grid((voxels.shape[0], voxels.shape[1], voxels.shape[2])) + self.log_gain)
        powered = np.maximum(voxels, 0.0)
        if abs(self.gamma - 1.0) > 1e-9:
            powered = powered ** np.float32(self.gamma)
        return np.asarray(gain.astype(np.float32) * powered)


def fit_harmonisation(
    voxels: FloatArray,
    reference: FloatArray,
    mask: BoolArray,
    *,
    block: tuple[int, int, int],
    order: int,
    gamma_limits: tuple[float, ...],
) -> Harmonisation | None:
    """Gain, gamma and smooth bias that bring a visit to the first visit's intensities, from these two alone.

    Least squares on the logarithms of block means, re-weighted by Tukey's biweight, so that blocks that truly changed
    (a growing lesion, a new cavity) lose their say. Gamma is the ratio of the weighted spreads (reduced major axis):
    noise in either volume would pull a common slope toward zero.

    Args:
        voxels: (I, J, K), the visit's intensities.
        reference: (I, J, K), the first visit's.
        mask: (I, J, K), the brain that both show.
        block: Voxels of a block along each axis.
        order: Largest total degree of the smooth bias, a polynomial in place.
        gamma_limits: Smallest and largest gamma.

    Returns:
        None where fewer than ``FEWEST_BLOCKS`` blocks hold signal in both.
    """
    both = mask & (voxels > 0) & (reference > 0)
    here, there = block_means(voxels, both, block, order), block_means(reference, both, block, order)
    common = here.used & there.used
    x = np.log(here.means[common[here.used]])
    y = np.log(there.means[common[there.used]])
    basis = here.basis[common[here.used]]
    if x.size < max(FEWEST_BLOCKS, 3 * basis.shape[1]):
        return None
    gamma = 1.0
    coefficients: FloatArray = np.zeros(basis.shape[1])
    coefficients[0] = np.median(y - x)
    weights = np.ones_like(x)
    spread = 0.0
    for _ in range(FIT_ROUNDS):
        residual = y - gamma * x - basis @ coefficients
        spread = max(1.4826 * float(np.median(np.abs(residual - np.median(residual)))), 1e-4)
        weights = np.maximum(1.0 - (residual / (TUKEY * spread)) ** 2, 0.0) ** 2
        smooth = basis[:, 1:] @ coefficients[1:]
        gamma = float(np.clip(_spread_ratio(y - smooth, x, weights), gamma_limits[0], gamma_limits[1]))
        weighted = basis * weights[:, None]
        coefficients = _inverse_gram(weighted, basis) @ (weighted.T @ (y - gamma * x))
    mean = float((basis[:, 1:] @ coefficients[1:]).mean())
    log_gain = float(coefficients[0] + mean)
    coefficients[0] = -mean
    return Harmonisation(
        log_gain=log_gain, gamma=gamma, field=SmoothField(coefficients=coefficients, order=order), spread=spread
    )


def _spread_ratio(y: FloatArray, x: FloatArray, weights: FloatArray) -> float:
    total = max(float(weights.sum()), 1e-9)
    x = x - (weights * x).sum() / total
    y = y - (weights * y).sum() / total
    return float(np.sqrt((weights * y * y).sum() / max(float((weights * x * x).sum()), 1e-12)))


def robust_scale(voxels: FloatArray, mask: BoolArray) -> IntensityScale:
    """Median, and 1.4826 times the median absolute deviation, of voxels (I, J, K) in a mask; the scale is never 0."""
    values = voxels[mask]
    centre = float(np.median(values))
    scale = 1.4826 * float(np.median(np.abs(values - centre)))
    return IntensityScale(centre=centre, scale=max(scale, 1e-3 * abs(centre), 1e-6))


def scaled(voxels: FloatArray, mask: BoolArray, scale: IntensityScale, clip: tuple[float, ...]) -> FloatArray:
    """(I, J, K) float32, (x - centre) / scale, clipped, and zero outside the mask (I, J, K)."""
    result = (voxels - np.float32(scale.centre)) * np.float32(1.0 / scale.scale)
    np.clip(result, clip[0], clip[1], out=result)
    return np.asarray(np.where(mask, result, np.float32(0.0)), dtype=np.float32)
