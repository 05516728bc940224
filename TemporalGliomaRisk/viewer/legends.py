"""The colour scales beside the images: what a colour means, in hazard per mL, never over a brain."""

from __future__ import annotations

from typing import Any

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.colours import scale_stops, scale_words
from TemporalGliomaRisk.scene.settings import MapKind

_HIDDEN = "#1a2029"
"""Of values that the threshold hides: the colour of nothing."""


def legend(kind: MapKind, top: float, threshold: float, horizon_days: int, title: str | None = None) -> dict[str, Any]:
    """One scale as the page wants it.

    Args:
        kind: Which map.
        top: Hazard per mL at the end of the scale.
        threshold: Part of the top below which nothing is shown.
        horizon_days: Of the risk.
        title: Instead of the map's own label.
    """
    ends = [f"−{numbers.significant(top)}", "0", f"+{numbers.significant(top)}"]
    middle = numbers.significant(top / 2)
    return {
        "title": title or kind.label,
        "gradient": gradient(is_change=kind.is_change, threshold=threshold),
        "labels": ends if kind.is_change else ["0", middle, numbers.significant(top)],
        "unit": f"hazard per mL within {horizon_days} days; {scale_words(top)}",
    }


def gradient(*, is_change: bool, threshold: float) -> str:
    """CSS gradient of a scale; grey where the threshold hides."""
    return _css(scale_stops(is_change=is_change, threshold=threshold, hidden=_HIDDEN))


def _css(stops: list[tuple[float, str]]) -> str:
    return f"linear-gradient(to right, {', '.join(f'{colour} {100 * place:.1f}%' for place, colour in stops)})"
