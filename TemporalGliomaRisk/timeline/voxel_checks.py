"""Checks on the voxels of one volume: finite, not constant, a head whole in the field of view, fluid as labelled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.orientation import to_nearest_ras
from TemporalGliomaRisk.timeline.rules import finding
from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Volume

COARSE_MM = 3.0
LEAST_HEAD_ML = 300.0
SIDES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
STRIPPED_FACE_CM2 = 15.0
"""A stripped brain may touch a face of the field of view by this much, as after cutting 3 mm off its vault."""
STRIPPED_CONTACT_CM2 = 60.0
"""More contact with all faces together: a head, cut at the neck, however clean its background is, or a brain's slab."""
LARGEST_BRAIN_ML = 2200.0
RIM, NO_SKULL, SKULL_WITHIN_MM = 0.4, 0.6, 15.0
"""A stripped brain's outermost layer, and every further one of its outer 15 mm, is so bright in parts of its inside, at
least. In a real glioma and three simulated patients, by every sequence and cut or not, the first had 0.57 and more and
the others 0.77 and more; of real heads on a background of one value the first had 0.21 at most.
"""
TOP_FACE_CM2 = 80.0
"""A head may touch the upper face by this much: a cap of 14 mm of a sphere of 9 cm, about scalp and skull."""
SIDE_FACE_CM2 = 40.0
"""The same for left, right, front and back, where nose, ears and scalp are often cut without harm."""
LEAST_HEIGHT_MM = 90.0
"""From the vertex down to the cut, a head that runs out of the lower face must reach this far to hold the brain."""
FEWEST_VALUES = 16
"""Different intensities that an image has at least, on every few voxels; masks and label maps have fewer."""
FLAT_INSIDE = 1e-3
"""An inner head whose 2nd and 98th percentile differ by less than this share is no image; noise alone has more."""
INTENSITIES = 1e-8, 1e12
"""Within these the largest intensity of a volume lies: risks are the same up to 1e15, and no MRI is near either end."""
SWAP_FACTOR, SWAP_PLANES = 1.5, 64
"""How many times as rough as with their bytes swapped voxels must be to count as stored in the wrong order, and on
about how many planes along j and k that is asked. Real and simulated volumes are 0.07 to 0.4 times as rough."""
BRIGHT_FLUID = 4.0
DARK_FLUID = 1.2
"""Where (p98 - p50) / (p50 - p2) of the inner head says that fluid is bright or dark; between them it can't be told."""
BRIGHT_FLUID_LEAST_DARK = 0.5
"""With bright fluid the darkest part of the inner head (p2) is white matter, at least this share of its median."""


@dataclass(frozen=True, kw_only=True)
class VoxelCheck:
    """What the voxels of one volume showed.

    Args:
        findings: Broken rules.
        voxels_hash: SHA-256 of the voxels in the nearest RAS order, as numbers: copies stored otherwise agree.
    """

    findings: tuple[Finding, ...]
    voxels_hash: str


def check_voxels(volume: Volume, *, visit: int, sequence: SequenceName, content: bool = True) -> VoxelCheck:
    """Check one volume's voxels; about 0.2 s for 240 x 240 x 155.

    Args:
        volume: The volume.
        visit: Number of the visit, from 1.
        sequence: What the input calls it.
        content: Whether to look at the head and its fluid, for which the geometry must be right.
    """
    ras = to_nearest_ras(volume)
    with np.errstate(over="ignore"):  # what single precision cannot hold becomes infinite, and is refused as that
        voxels = np.ascontiguousarray(ras.voxels, dtype=np.float32)
    voxels_hash = hashlib.sha256(voxels.tobytes()).hexdigest()
    findings: list[Finding] = []
    bad = voxels.size - int(np.isfinite(voxels).sum())
    lowest, highest = float(voxels.min()), float(voxels.max())
    largest = max(abs(lowest), abs(highest))
    if bad:
        findings.append(finding("not_finite", visit=visit, sequence=sequence, count=bad))
    elif lowest == highest:
        findings.append(finding("empty", visit=visit, sequence=sequence))
    elif not INTENSITIES[0] <= largest <= INTENSITIES[1]:
        low, high = (f"{bound:.0e}" for bound in INTENSITIES)
        values = {"largest": f"{largest:.1e}", "low": low, "high": high}
        findings.append(finding("intensities_outside", visit=visit, sequence=sequence, **values))
    elif bytes_are_swapped(volume.voxels):
        findings.append(finding("bytes_swapped", visit=visit, sequence=sequence))
    elif content:
        findings += _check_content(voxels, ras.geometry.spacing_mm, visit, sequence)
    return VoxelCheck(findings=tuple(findings), voxels_hash=voxels_hash)


def bytes_are_swapped(voxels: npt.NDArray[Any]) -> bool:
    """Whether whole numbers (I, J, K) were stored in the other byte order than their file's header says.

    A picture is smooth; with the bytes of its numbers swapped it is rough, and no rough one becomes smooth by that.
    """
    if voxels.dtype.kind not in "iu" or voxels.dtype.itemsize == 1:
        return False
    steps = [max(1, length // SWAP_PLANES) for length in voxels.shape[1:]]
    some = np.ascontiguousarray(voxels[:, :: steps[0], :: steps[1]])
    return _roughness(some) > SWAP_FACTOR * _roughness(some.byteswap())


def _roughness(voxels: npt.NDArray[Any]) -> float:
    """Mean step between neighbours along i over the spread of the values; 0 of a constant."""
    values = voxels.astype(np.float64)
    return float(np.abs(np.diff(values, axis=0)).mean() / (values.std() or 1.0))


def _check_content(voxels: FloatArray, spacing_mm: FloatArray, visit: int, sequence: SequenceName) -> list[Finding]:
    """The head in the field of view, and what fluid looks like inside it."""
    small, small_mm = coarse(voxels, spacing_mm)
    values = len(np.unique(small))
    if values < FEWEST_VALUES:
        return [finding("few_values", visit=visit, sequence=sequence, count=values)]
    small, head = _without_blank_ends(small, small_mm)
    volume_mL = float(head.sum() * np.prod(small_mm) / 1000.0)
    if volume_mL < LEAST_HEAD_ML:
        return [finding("no_head", visit=visit, sequence=sequence, volume=f"{volume_mL:.0f}")]
    p2, p50, p98 = np.percentile(inner_head(small, head, small_mm), (2, 50, 98)).tolist()
    if p98 - p2 < FLAT_INSIDE * max(abs(p2), abs(p98)):
        return [finding("flat_inside", visit=visit, sequence=sequence)]
    findings = []
    clean = bool((voxels == voxels.flat[0]).mean() > 0.3)
    sides = cut_sides(head, small_mm, clean_background=clean, stripped=clean and is_stripped(small, small_mm))
    if sides:
        findings.append(finding("brain_cut_off", visit=visit, sequence=sequence, sides=" and ".join(sides)))
    seen = fluid_looks(p2, p50, p98)
    wanted = "bright" if sequence == "T2w" else "dark"
    if seen is not None and seen != wanted:
        findings.append(finding("content_contradicts_label", visit=visit, sequence=sequence, seen=seen, wanted=wanted))
    return findings


def coarse(voxels: FloatArray, spacing_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Every so many voxels (I, J, K), so that a side is about ``COARSE_MM``, and the sides (3,), mm, they then have."""
    steps = np.maximum(1, np.round(COARSE_MM / spacing_mm)).astype(int)
    return voxels[:: steps[0], :: steps[1], :: steps[2]], spacing_mm * steps


def _without_blank_ends(voxels: FloatArray, spacing_mm: FloatArray) -> tuple[FloatArray, BoolArray]:
    """The voxels and their head, without planes of one value against which a wide head ends flat.

    Such slices were never filled, so the field of view is what lies between them.
    """
    head = head_of(voxels)
    ends = [slice(None)] * 3
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(voxels.max(axis=others) > voxels.min(axis=others))
        area_cm2 = head.sum(axis=others) * float(np.prod(np.delete(spacing_mm, axis))) / 100.0
        first, last = int(filled[0]), int(filled[-1])
        ends[axis] = slice(
            first if area_cm2[first] > TOP_FACE_CM2 else 0, last + 1 if area_cm2[last] > TOP_FACE_CM2 else None
        )
    kept = tuple(ends)
    return (voxels, head) if voxels[kept].shape == voxels.shape else (voxels[kept], head_of(voxels[kept]))


SURROUNDED_BY, EACH_SIDE, WIDEST, ROUGHEST = 0.9, 0.2, 10.0, 0.9
"""By which a volume counts as standardised: share of the faces of one value, and of the content on each side of it;
the content's spread over its usual distance from its middle; and the mean step between neighbours over that spread.
Damaged numbers spread far wider or are as rough as noise, whose step is 1.13 spreads."""


def commonest_on_faces(voxels: FloatArray) -> tuple[float, float]:
    """The commonest value on the faces of the field of view, (I, J, K), and its share of them."""
    faces = np.concatenate([np.take(voxels, end, axis=axis).ravel() for axis in range(3) for end in (0, -1)])
    values, counts = np.unique(faces, return_counts=True)
    return float(values[counts.argmax()]), float(counts.max() / faces.size)


def _standardised_around(voxels: FloatArray) -> float | None:
    """What surrounds a stripped brain that was standardised, so that its content lies on both sides; else None."""
    around, share = commonest_on_faces(voxels)
    sides = int((voxels < around).sum()), int((voxels > around).sum())
    if share <= SURROUNDED_BY or min(sides) <= EACH_SIDE * sum(sides):
        return None
    content = voxels[voxels != around]
    spread, usual = float(content.std()), float(np.median(np.abs(content - np.median(content))))
    inside = (voxels != around)[:-1] & (voxels != around)[1:]
    step = float(np.abs(np.diff(voxels, axis=0))[inside].mean()) if inside.any() else 0.0
    return around if spread < WIDEST * usual and step < ROUGHEST * spread else None


def head_of(voxels: FloatArray) -> BoolArray:
    """(I, J, K), the largest piece above 15 % of the bright voxels, holes filled; a stripped brain is its own head."""
    around = _standardised_around(voxels)
    if around is not None:
        voxels = np.where(voxels == around, 0.0, voxels - np.percentile(voxels, 0.1))
    low = float(np.percentile(voxels, 1))
    if not (voxels > low).any():
        return np.zeros(voxels.shape, dtype=bool)
    above = voxels > low + 0.15 * (float(np.percentile(voxels[voxels > low], 98)) - low)
    padded = np.pad(above, 2, mode="edge")
    pieces, count = ndimage.label(ndimage.binary_opening(padded))
    if count == 0:
        return np.zeros(voxels.shape, dtype=bool)
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(largest, 2), iterations=2))
    filled = np.asarray(closed)[4:-4, 4:-4, 4:-4]
    # holes that open only towards a cut are filled slice by slice
    return np.asarray([ndimage.binary_fill_holes(plane) for plane in np.moveaxis(filled, 2, 0)]).transpose(1, 2, 0)


def is_stripped(voxels: FloatArray, spacing_mm: FloatArray) -> bool:
    """Whether a volume on a background of one value shows a brain alone, however much of it the field of view cuts.

    Tissue begins at once where the background ends, and no dark skull follows; a whole head is larger, too.

    Args:
        voxels: (I, J, K), about ``COARSE_MM``.
        spacing_mm: (3,), their sides.
    """
    around = _standardised_around(voxels)
    background = commonest_on_faces(voxels)[0] if around is None else around
    pieces, count = ndimage.label(ndimage.binary_opening(voxels != background))
    if count == 0:
        return False
    content = ndimage.binary_fill_holes(pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:])))
    if float(content.sum() * np.prod(spacing_mm) / 1000.0) > LARGEST_BRAIN_ML:
        return False
    above = voxels - (background if around is None else np.percentile(voxels, 0.1))
    depth_mm = ndimage.distance_transform_edt(content, sampling=spacing_mm)
    inside = float(np.median(above[depth_mm > 0.5 * depth_mm.max()]))
    layer_mm = float(spacing_mm.max())
    layers = [
        float(np.median(above[layer]))
        for start in np.arange(0.0, SKULL_WITHIN_MM, layer_mm)
        if (layer := (depth_mm > start) & (depth_mm <= start + layer_mm)).any()
    ]
    return layers[0] >= RIM * inside and min(layers[1:], default=0.0) >= NO_SKULL * inside


def cut_sides(head: BoolArray, spacing_mm: FloatArray, *, clean_background: bool, stripped: bool = False) -> list[str]:
    """Sides of the field of view at which the brain seems cut off.

    Args:
        head: (I, J, K) in RAS order.
        spacing_mm: (3,), its voxel sides.
        clean_background: Whether the background has one exact value, as a stripped volume's has.
        stripped: Whether the head is known to be a brain alone; else it is one if it meets the faces in little.
    """
    area_cm2 = {
        name: float(head.take(end, axis).sum()) * float(np.prod(np.delete(spacing_mm, axis))) / 100.0
        for axis, names in enumerate(SIDES)
        for end, name in zip((0, -1), names, strict=True)
    }
    if stripped or (clean_background and sum(area_cm2.values()) <= STRIPPED_CONTACT_CM2):
        return [name for name, area in area_cm2.items() if area > STRIPPED_FACE_CM2]
    sides = [name for name in ("left", "right", "posterior", "anterior") if area_cm2[name] > SIDE_FACE_CM2]
    levels = np.flatnonzero(head.any(axis=(0, 1)))
    if area_cm2["inferior"] > STRIPPED_FACE_CM2 and (levels.max() + 1) * spacing_mm[2] < LEAST_HEIGHT_MM:
        sides.append("inferior")
    if area_cm2["superior"] > TOP_FACE_CM2:
        sides.append("superior")
    return sides


def inner_head(voxels: FloatArray, head: BoolArray, spacing_mm: FloatArray) -> FloatArray:
    """(voxels,) of the head deeper than 0.4 of its greatest depth: mostly brain, with the ventricles in it."""
    depth = ndimage.distance_transform_edt(np.pad(head, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    return np.asarray(voxels[depth > 0.4 * depth.max()])


def fluid_looks(p2: float, p50: float, p98: float) -> str | None:
    """Whether fluid is ``bright`` (T2w) or ``dark`` (FLAIR, T1w), by percentiles of the inner head; None if unknown.

    There the bright tail is long and the dark one short in T2w, the other way round in FLAIR and T1w.

    Source:
        Measured on 16 real volumes with and without tumours (Testing/unit/timeline): T2w 4.9 to 6.5, FLAIR and T1w
        0.3 to 1.0, FLAIR with a large oedema 2.5.
    """
    if p50 <= 0:
        return None
    tails = (p98 - p50) / max(p50 - p2, 1e-6 * abs(p50))
    if tails > BRIGHT_FLUID and p2 / p50 > BRIGHT_FLUID_LEAST_DARK:
        return "bright"
    return "dark" if tails < DARK_FLUID else None
