"""Colours, alike in every host: the heatmaps' fixed scale, change around a transparent zero, a risk's own colour.

All of them rise or fall in lightness, so they read without colour vision and in grey print.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RgbPixels = npt.NDArray[np.uint8]

LEAST_SCALE_TOP = 0.02
"""Hazard per mL that a scale always reaches (1 mL of it is 2 % risk), so that a calm map does not glow like another."""
SHOWN_FROM = 0.1
"""Part of the scale's top below which the overlay is transparent."""
OPAQUE_FROM = 0.5
GREATEST_ALPHA = 0.8
MORE = (255, 138, 46)
LESS = (64, 156, 255)
HEAT_STOPS = (
    *((107, 23, 110), (124, 29, 109), (141, 36, 105), (158, 42, 99), (175, 49, 91), (192, 57, 82)),
    *((207, 68, 70), (220, 80, 58), (231, 95, 45), (240, 112, 32), (247, 130, 17), (251, 150, 6)),
    *((252, 170, 15), (251, 191, 37), (247, 212, 66), (242, 233, 103), (246, 249, 147)),
)
"""*inferno* from 0.3 to 0.98, where it stands out from black, in equal steps."""
_LEGEND_STEPS = 24
_RISK_STOPS = ((34, 55, 90), (63, 95, 140), (158, 126, 92), (220, 156, 66), (255, 202, 84))


def scale_words(top: float) -> str:
    """How far colours can be compared between patients, by the hazard per mL at the top of their scale."""
    return "scaled to this patient" if top > LEAST_SCALE_TOP else "no place reaches the end of the scale"


def heat_colours(fraction: npt.ArrayLike) -> RgbPixels:
    """(..., 3) colours of a heatmap, from fractions of the scale's top: the upper part of *inferno*."""
    return _along(HEAT_STOPS, fraction)


def change_colours(fraction: npt.ArrayLike) -> RgbPixels:
    """(..., 3) colours of a change, from fractions of the scale's top (-1 to 1), where an overlay is opaque or absent.

    More is orange, less is blue; each begins dark at zero and is full from :data:`OPAQUE_FROM` of the top on.
    """
    part = np.asarray(fraction, dtype=np.float64)[..., None]
    strength = np.clip(np.abs(part) / OPAQUE_FROM, 0, 1)
    hue = np.where(part > 0, np.array(MORE), np.array(LESS))
    pixels: RgbPixels = np.round(hue * (0.4 + 0.6 * strength)).astype(np.uint8)
    return pixels


def scale_stops(*, is_change: bool, threshold: float, hidden: str) -> list[tuple[float, str]]:
    """A map's scale as stops of a gradient, so that a legend has the colours that the map is drawn in.

    Args:
        is_change: Which of the two scales: zero to the top, or both sides of zero.
        threshold: Part of the scale's top below which nothing is shown, 0 to 1.
        hidden: CSS colour of what is not shown.

    Returns:
        Place along the scale, 0 to 1, and CSS colour of every stop, in order; where the threshold lies, two have one
        place.
    """
    shown = np.linspace(threshold, 1.0, _LEGEND_STEPS)
    if not is_change:
        return [(0.0, hidden), (threshold, hidden), *_stops(shown, heat_colours(shown))]
    left, right = (1 - threshold) / 2, (1 + threshold) / 2
    return [
        *_stops((1 - shown[::-1]) / 2, change_colours(-shown[::-1])),
        (left, hidden),
        (right, hidden),
        *_stops((1 + shown) / 2, change_colours(shown)),
    ]


def _stops(places: npt.NDArray[np.float64], colours: RgbPixels) -> list[tuple[float, str]]:
    return [(float(place), css_colour(colour)) for place, colour in zip(places, colours, strict=True)]


def risk_colour(risk: float) -> str:
    """CSS colour of a risk, 0 to 1, from slate blue to amber, ever lighter."""
    return css_colour(_along(_RISK_STOPS, risk))


def _along(stops: tuple[tuple[int, int, int], ...], fraction: npt.ArrayLike) -> RgbPixels:
    """(..., 3) colours between stops in equal steps."""
    part = np.clip(np.asarray(fraction, dtype=np.float64), 0, 1)
    places, table = np.linspace(0, 1, len(stops)), np.array(stops, dtype=np.float64)
    channels = [np.interp(part, places, table[:, channel]) for channel in range(3)]
    pixels: RgbPixels = np.round(np.stack(channels, axis=-1)).astype(np.uint8)
    return pixels


def ink_on(colour: str) -> str:
    """Black or white, whichever contrasts more with a CSS colour (WCAG 2 relative luminance)."""
    channels = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


def css_colour(channels: npt.ArrayLike) -> str:
    """``#rrggbb`` of three channels of 0 to 255."""
    red, green, blue = (int(channel) for channel in np.asarray(channels).tolist())
    return f"#{red:02x}{green:02x}{blue:02x}"
