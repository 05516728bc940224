"""Does the ordering head tell which of two visits came first, and is it undecided where nothing can be told?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from TemporalGliomaRisk.evaluate.landmarks import BoolArray, FloatArray
from TemporalGliomaRisk.evaluate.shares import exact_share

LARGE_GROWTH_MM = 6.0
"""Diameter of true growth from which heatmaps are expected to point at it, and the order to be plain."""
UNDECIDED = (0.4, 0.6)


def summarise_order(
    confidence: FloatArray,
    repeats: FloatArray,
    *,
    event: BoolArray,
    growth_diameter_mm: FloatArray,
    level: float = 0.95,
) -> dict[str, Any]:
    """Accuracy of recurrent pairs, of those with large growth and of the others, one pair a patient.

    Args:
        confidence: (patients,), probability given to the true order of the first and the last visit.
        repeats: (patients,), the same for two pictures of one visit, of which neither came first.
        event: (patients,), whether an event was observed after the last visit: a recurrent pair.
        growth_diameter_mm: (patients,), of true growth between the two visits; NaN where the truth is not known.
        level: Of the intervals.

    Returns:
        ``pairs`` by kind, each with ``patients`` and ``accuracy`` (``value``, ``low``, ``high``, of the exact binomial
        interval), a tie counting half;
        ``repeats``: 5th, 50th and 95th percentile of the confidence and the share within :data:`UNDECIDED`.
    """
    right = np.where(confidence == 0.5, 0.5, confidence > 0.5)
    kinds = {
        "recurrent": event,
        f"recurrent, growth of {LARGE_GROWTH_MM:.0f} mm or more": event & (growth_diameter_mm >= LARGE_GROWTH_MM),
        "no event observed": ~event,
    }
    low, high = UNDECIDED
    return {
        "pairs": {
            name: {"patients": int(kept.sum()), "accuracy": asdict(exact_share(right[kept], level))}
            for name, kept in kinds.items()
            if kept.any()
        },
        "repeats": {
            "patients": len(repeats),
            "confidence_percentiles": {str(share): float(np.percentile(repeats, share)) for share in (5, 50, 95)},
            "share_undecided": float(((repeats >= low) & (repeats <= high)).mean()),
            "undecided": list(UNDECIDED),
        },
    }
