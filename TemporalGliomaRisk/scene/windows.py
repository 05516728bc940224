"""Windows that let greys of unlike visits be compared.

MRI's intensities are arbitrary: the same brain is twice as bright on another day. What a reader expects is that normal
tissue looks alike at every visit, so that what has changed stands out. So black is each visit's own, and white lies so
far above it that the median of the tissue deep in the head has the same grey at every visit; how far is the median of
what the visits would choose by themselves, so one with bright vessels or much enhancement doesn't set it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from TemporalGliomaRisk.timeline.head import TissueLevels

Window = tuple[float, float]


def comparable_windows(levels: Sequence[TissueLevels | None]) -> list[Window | None]:
    """Intensities of black and white of every visit of one pulse sequence; None where a visit lacks it."""
    ratios = [
        (one.high - one.low) / (one.median - one.low) for one in levels if one is not None and one.median > one.low
    ]
    ratio = statistics.median(ratios) if ratios else None
    return [None if one is None else _window(one, ratio) for one in levels]


def _window(levels: TissueLevels, ratio: float | None) -> Window:
    high = levels.high
    if ratio is not None and levels.median > levels.low:
        high = levels.low + ratio * (levels.median - levels.low)
    return rounded(levels.low, math.floor), rounded(high, math.ceil)


def rounded(value: float, towards: Callable[[float], int]) -> float:
    """A number of four digits, up or down: a scene writes six, and shows the same pixels when it is read again."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    return float(f"{towards(value / unit) * unit:.4g}")
