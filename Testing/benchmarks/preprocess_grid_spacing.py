"""Which grid sees a nodule's radius grow by 1 mm: a matched filter's d' on grids of 1, 1.5 and 2 mm.

A nodule of radius r, and one of r + 1 mm, is drawn with partial volume at 0.5 mm, averaged to an acquisition of
1 x 1 x 1 or 1 x 1 x 3 mm at a random sub-voxel place, given Rician noise at a contrast-to-noise ratio of 8 a voxel,
and put on each grid with the package's own resampler. d' is that of the matched filter for the mean difference,
trained on one half of the trials and measured on the other; the cost is the number of voxels against 2 mm.

Run: ``python Testing/benchmarks/preprocess_grid_spacing.py [--trials 200]``.
"""

from __future__ import annotations

import argparse

import numpy as np

from TemporalGliomaRisk.timeline.resampling import block_sum, resample
from TemporalGliomaRisk.timeline.volume import FloatArray, Geometry, Volume

FINE_MM = 0.5
FIELD_MM = 48.0
CONTRAST_TO_NOISE = 8.0
TISSUE, CONTRAST = 100.0, 40.0


def acquired(radius_mm: float, place_mm: FloatArray, slice_mm: float, random: np.random.Generator) -> Volume:
    """One noisy acquisition of a nodule on grey tissue, 1 x 1 x ``slice_mm``."""
    count = int(FIELD_MM / FINE_MM)
    axis = (np.arange(count) + 0.5) * FINE_MM - FIELD_MM / 2
    away = np.sqrt(
        (axis[:, None, None] - place_mm[0]) ** 2
        + (axis[None, :, None] - place_mm[1]) ** 2
        + (axis[None, None, :] - place_mm[2]) ** 2
    )
    inside = np.clip((radius_mm - away) / FINE_MM + 0.5, 0, 1)
    factors = (2, 2, int(slice_mm / FINE_MM))
    clean = TISSUE + CONTRAST * block_sum(inside, factors) / np.prod(factors)
    sigma = CONTRAST / CONTRAST_TO_NOISE
    noise = random.normal(0, sigma, (2, *clean.shape))
    matrix = np.diag([1.0, 1.0, slice_mm, 1.0])
    matrix[:3, 3] = -FIELD_MM / 2 + np.array([0.5, 0.5, slice_mm / 2])
    voxels = np.hypot(clean + noise[0], noise[1]).astype(np.float32)
    return Volume(voxels=voxels, geometry=Geometry(shape=clean.shape, ijk_to_ras=matrix))


def grid_of(spacing_mm: float, shift_mm: FloatArray) -> Geometry:
    """A cubic grid of 36 mm about the middle, at a random sub-voxel phase."""
    count = int(36 / spacing_mm)
    matrix = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    matrix[:3, 3] = -(count - 1) / 2 * spacing_mm + shift_mm
    return Geometry(shape=(count, count, count), ijk_to_ras=matrix)


def detectability(radius_mm: float, slice_mm: float, spacing_mm: float, trials: int, seed: int) -> float:
    """d' between nodules of a radius and of 1 mm more; both at the same place against the same grid in a trial."""
    random = np.random.default_rng(seed)
    differences, nulls = [], []
    for _ in range(trials):
        place, shift = random.uniform(-0.5, 0.5, 3), random.uniform(-0.5, 0.5, 3)
        grid = grid_of(spacing_mm, shift)
        first, same, grown = (
            resample(acquired(radius, place, slice_mm, random), grid)
            for radius in (radius_mm, radius_mm, radius_mm + 1)
        )
        differences.append((grown - first).ravel())
        nulls.append((same - first).ravel())
    half = trials // 2
    template = np.mean(differences[:half], axis=0) - np.mean(nulls[:half], axis=0)
    template = np.where(np.abs(template) > 0.1 * np.abs(template).max(), template, 0)
    with_growth = np.array([template @ array for array in differences[half:]])
    without = np.array([template @ array for array in nulls[half:]])
    return float((with_growth.mean() - without.mean()) / np.sqrt((with_growth.var(ddof=1) + without.var(ddof=1)) / 2))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    trials = parser.parse_args().trials
    print("slice_mm radius_mm   d' at 1 mm   1.5 mm   2 mm   | voxels against 2 mm: 8.0, 2.4, 1.0")  # noqa: T201
    for slice_mm in (1.0, 3.0):
        for radius_mm in range(3, 9):
            found = [detectability(radius_mm, slice_mm, spacing, trials, radius_mm) for spacing in (1.0, 1.5, 2.0)]
            print(f"{slice_mm:8.0f} {radius_mm:9d}   " + "   ".join(f"{value:8.1f}" for value in found), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
