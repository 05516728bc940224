"""Whether the brain stands upright in its header's axes, by its shape alone.

Slices stored in reverse under a header that denies it, or axes that were swapped by a conversion, turn the brain. Its
shape tells: the mask is compared with the template's, in units of its own size, as it stands and in every other way
that flips and swaps of axes allow. Left and right cannot be told by this.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.preprocess.template_mask import template
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray

SIDE, REACH, BLUR = 24, 1.6, 0.08
"""Cells along each side of the box compared, half its side and the blur, in radii of a sphere of the brain's volume."""
PITCHES_DEGREES = (-30, -20, -10, 0, 10, 20, 30)
CLEARLY = 0.01
"""By so much must another way correlate better. Of 281 simulated brains upright was the best way in all but one, which
stayed within it; on five real ones upright was better by 0.02 and more."""
TURNS = tuple(
    (order, (1, *flips)) for order in itertools.permutations(range(3)) for flips in itertools.product((1, -1), repeat=2)
)
"""Orders of the axes and signs along them; the brain is nearly its own mirror image, so the first is never flipped."""
UPRIGHT = ((0, 1, 2), (1, 1, 1))
UPSIDE_DOWN = (((0, 1, 2), (1, 1, -1)), ((0, 1, 2), (1, -1, -1)))


def posture(brain: BoolArray, spacing_mm: FloatArray, *, cut: bool) -> str | None:
    """How a brain stands that doesn't stand upright.

    Args:
        brain: (I, J, K), the axes along R, A and S.
        spacing_mm: (3,).
        cut: Whether the field of view cuts it: then only an upside-down brain is reported, which a cut can hardly
            feign.

    Returns:
        ``upside down``, ``turned`` for any other way, or None where upright is as likely.
    """
    seen = _seen(brain, spacing_mm)
    likeness = {turn: float((_upright() @ _standardised(_turned(seen, *turn))).max()) for turn in TURNS}
    best = max(TURNS, key=likeness.__getitem__)
    if max(likeness[turn] for turn in UPSIDE_DOWN) > likeness[UPRIGHT]:
        return "upside down" if cut or best in UPSIDE_DOWN else "turned"
    return None if cut or likeness[best] <= likeness[UPRIGHT] + CLEARLY else "turned"


@functools.lru_cache(maxsize=1)
def _upright() -> FloatArray:
    """(pitches, cells), the template's brain, made its own mirror image, nodding."""
    fixed = template()
    seen = _seen(fixed.brain | fixed.brain[::-1], fixed.volume.geometry.spacing_mm)
    nods = (ndimage.rotate(seen, degrees, axes=(1, 2), reshape=False, order=1) for degrees in PITCHES_DEGREES)
    return np.stack([_standardised(nod) for nod in nods])


def _seen(brain: BoolArray, spacing_mm: FloatArray) -> FloatArray:
    """(SIDE, SIDE, SIDE), how much of each cell of the box around its centre is brain."""
    radius_mm = (3 * float(brain.sum()) * float(np.prod(spacing_mm)) / (4 * np.pi)) ** (1 / 3)
    steps = REACH * ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1)
    centre = ndimage.center_of_mass(brain)
    axes = [middle + steps * radius_mm / spacing for middle, spacing in zip(centre, spacing_mm, strict=True)]
    smooth = ndimage.gaussian_filter(brain.astype(np.float32), BLUR * radius_mm / np.asarray(spacing_mm))
    return np.asarray(ndimage.map_coordinates(smooth, np.meshgrid(*axes, indexing="ij"), order=1))


def _turned(seen: FloatArray, order: tuple[int, ...], signs: tuple[int, ...]) -> FloatArray:
    return seen.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]


def _standardised(seen: FloatArray) -> FloatArray:
    """(cells,), of mean zero and length one, so that a product is a correlation."""
    less = (seen - seen.mean()).ravel()
    return np.asarray(less / max(float(np.linalg.norm(less)), 1e-9))
