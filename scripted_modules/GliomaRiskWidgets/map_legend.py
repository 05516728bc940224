"""The scale of a map in the panel: a bar in the colours that the map is drawn in, and below it what they mean."""

from __future__ import annotations

from slicer.i18n import tr as _

from TemporalGliomaRisk.colours import LEAST_SCALE_TOP, scale_stops
from TemporalGliomaRisk.numbers import significant
from TemporalGliomaRisk.scene.settings import MapKind

BAR_PX = 8
HIDDEN = "#8a8a8a"
"""Of values that the threshold hides, on light and dark panels."""
LEAST_STEP = 0.001
"""Between two stops: Qt keeps one colour a place."""


def legend(kind: MapKind | None, top: float, threshold: float) -> tuple[str, str]:
    """Style sheet and text of a map's scale; both empty without a map.

    The text stands below the bar, in the panel's own colours: no ink can be read on all of a scale.

    Args:
        kind: Which map.
        top: Hazard per mL at the end of the scale.
        threshold: Part of the top below which nothing is shown, 0 to 1.
    """
    if kind is None:
        return "", ""
    stops, last = [], -LEAST_STEP
    for place, colour in scale_stops(is_change=kind.is_change, threshold=threshold, hidden=HIDDEN):
        last = max(place, last + LEAST_STEP)
        stops.append(f"stop:{min(last, 1.0):.4f} {colour}")
    sheet = (
        f"QLabel {{ border: 0px; border-top: {BAR_PX}px solid "
        f"qlineargradient(x1:0, y1:0, x2:1, y2:0, {', '.join(stops)}); }}"
    )
    low = f"−{significant(top)}" if kind.is_change else "0"
    said = (
        _("{low} to {high} hazard per mL") if top > LEAST_SCALE_TOP else _("{low} to {high} hazard per mL, not reached")
    )
    return sheet, said.format(low=low, high=significant(top))
