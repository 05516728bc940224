"""Does the heatmap point where the lesion truly grows?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from TemporalGliomaRisk.errors import ShapeError
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.landmarks import BoolArray, FloatArray
from TemporalGliomaRisk.evaluate.shares import exact_share, mean_of_patients
from TemporalGliomaRisk.shapes import check_shape

EXPECTED_FROM_MM = 6.0
GROWTH_EDGES_MM = (0.0, EXPECTED_FROM_MM, 10.0, math.inf)
"""Maps are also told apart by the diameter of true growth; from 6 mm on they are expected to point at it."""


@dataclass(frozen=True, kw_only=True)
class HeatmapScore:
    """How well one heatmap points at true growth.

    Args:
        hit: 1 if the peak lies within the tolerance of true growth, 0 if not; with several equal peaks, the share.
        chance: Share of the brain within the tolerance: what a random place scores.
        centre_hit: The same as ``hit`` for the given centre (of the cavity), or, where that lies outside the brain, for
            the place in the brain nearest to it; None when none was given.
        peak_distance_mm: From the peak to the nearest voxel of growth (mean over equal peaks).
        share_inside: Share of the map's sum over the brain that lies in true growth; None if the sum is 0.
        share_expected: Share of the brain that is true growth: what a flat map gives.
        growth_diameter_mm: Diameter of the ball that has the growth's volume.
        new_focus_mm: Diameter of the largest lesion that was not there at the first visit, 0 where all growth is at the
            rim of what was; None where that is not known.
    """

    hit: float
    chance: float
    centre_hit: float | None
    peak_distance_mm: float
    share_inside: float | None
    share_expected: float
    growth_diameter_mm: float
    new_focus_mm: float | None = None


def score_heatmap(
    heatmap: npt.NDArray[np.floating],
    growth: BoolArray,
    brain: BoolArray,
    *,
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float,
    centre_ijk: tuple[float, float, float] | None = None,
    new_focus_mm: float | None = None,
) -> HeatmapScore:
    """Pointing game and share of hazard of one heatmap.

    Args:
        heatmap: (I, J, K), hazard per mL, at least 0.
        growth: (I, J, K), where the lesion truly grows.
        brain: (I, J, K), where the heatmap counts.
        spacing_mm: Voxel edges along i, j, k; axes are orthogonal, so distances need no orientation.
        tolerance_mm: Half a feature cell of the model.
        centre_ijk: The centre of the cavity, the place a lazy map would point at; may lie outside brain and grid.
        new_focus_mm: Kept with the score, see there.

    Raises:
        ShapeError: If shapes differ, the map is not finite or negative in the brain, the centre is not finite, or no
            growth lies in the brain.
    """
    lengths = check_shape(heatmap, "heatmap", ("I", "J", "K"))
    for name, mask in (("growth", growth), ("brain", brain)):
        check_shape(mask, name, tuple(lengths.values()))
    grown = np.asarray(growth, dtype=np.bool_)[brain]
    values = np.asarray(heatmap, dtype=np.float64)[brain]
    if not grown.any():
        raise ShapeError("growth must have at least one voxel inside the brain; score only visits with true growth.")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ShapeError("heatmap must be finite and at least 0 everywhere in the brain.")
    distance: FloatArray = distance_transform_edt(~(growth & brain), sampling=spacing_mm)
    away = distance[brain]
    at_peak = away[values == values.max()]
    total = float(values.sum())
    return HeatmapScore(
        hit=float((at_peak <= tolerance_mm).mean()),
        chance=float((away <= tolerance_mm).mean()),
        centre_hit=float(distance[_in_brain(brain, centre_ijk, spacing_mm)] <= tolerance_mm) if centre_ijk else None,
        peak_distance_mm=float(at_peak.mean()),
        share_inside=float(values[grown].sum()) / total if total > 0 else None,
        share_expected=float(grown.mean()),
        growth_diameter_mm=(6 * float(grown.sum()) * math.prod(spacing_mm) / math.pi) ** (1 / 3),
        new_focus_mm=new_focus_mm,
    )


def summarise_heatmaps(scores: Sequence[HeatmapScore], config: BootstrapConfig | None = None) -> dict[str, Any]:
    """Means over many maps, all together and by the diameter of true growth.

    Args:
        scores: At least one, of one map a patient.
        config: How intervals are made.

    Returns:
        ``maps``, ``pointing_game`` and ``pointing_game_by_chance``, ``share_of_hazard_in_growth`` and
        ``share_by_chance`` (means), ``peak_to_growth_mm_median``, ``pointing_game_at_cavity_centre`` (mean over the
        ``maps_with_cavity``, None without any), ``intervals`` with ``value``, ``low`` and ``high`` of both games (exact
        binomial ones) and of the share of hazard (by the bootstrap), and ``by_growth_diameter``: the same of the maps
        with growth from ``from_mm`` up to ``below_mm`` (None: any), where there are any. ``expected``, if any: of the
        maps with growth of 6 mm or more, which may lie in a new focus of that size or, as a thin shell, at the rim of
        what was there before: ``with_new_focus`` and ``at_rims``, where the foci are known.
    """
    config = config or BootstrapConfig()
    groups = []
    for low, high in itertools.pairwise(GROWTH_EDGES_MM):
        some = [one for one in scores if low <= one.growth_diameter_mm < high]
        if some:
            edges = {"from_mm": low, "below_mm": high if math.isfinite(high) else None}
            groups.append({**edges, **_means(some, config)})
    expected = [one for one in scores if one.growth_diameter_mm >= EXPECTED_FROM_MM]
    foci = [(one, one.new_focus_mm >= EXPECTED_FROM_MM) for one in expected if one.new_focus_mm is not None]
    kinds = {
        "with_new_focus": [one for one, new in foci if new],
        "at_rims": [one for one, new in foci if not new],
    }
    parts = {name: _means(some, config) for name, some in kinds.items() if some}
    found = {**_means(scores, config), "by_growth_diameter": groups}
    return {**found, "expected": {**_means(expected, config), **parts}} if expected else found


def _means(scores: Sequence[HeatmapScore], config: BootstrapConfig) -> dict[str, Any]:
    at_centre = np.array([one.centre_hit for one in scores if one.centre_hit is not None])
    intervals = {
        "pointing_game": exact_share(np.array([one.hit for one in scores]), config.level),
        "share_of_hazard_in_growth": mean_of_patients(np.array([one.share_inside or 0.0 for one in scores]), config),
    }
    if len(at_centre):
        intervals["pointing_game_at_cavity_centre"] = exact_share(at_centre, config.level)
    values = {name: one.value for name, one in intervals.items()}
    return {
        "maps": len(scores),
        "pointing_game_by_chance": float(np.mean([one.chance for one in scores])),
        "pointing_game_at_cavity_centre": None,
        "maps_with_cavity": len(at_centre),
        "share_by_chance": float(np.mean([one.share_expected for one in scores])),
        "peak_to_growth_mm_median": float(np.median([one.peak_distance_mm for one in scores])),
        **values,
        "intervals": {name: asdict(one) for name, one in intervals.items()},
    }


def _in_brain(
    brain: BoolArray, place_ijk: tuple[float, float, float], spacing_mm: tuple[float, float, float]
) -> tuple[int, int, int]:
    """The voxel of the brain nearest to a place: where a map, which counts in the brain alone, would point instead."""
    if not np.isfinite(place_ijk).all():
        raise ShapeError(f"centre_ijk must be three finite voxel indices, got {place_ijk}.")
    voxels = np.argwhere(brain)
    i, j, k = voxels[(((voxels - np.array(place_ijk)) * np.array(spacing_mm)) ** 2).sum(axis=1).argmin()].tolist()
    return (i, j, k)
