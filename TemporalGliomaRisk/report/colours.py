"""Colours: one fixed scale for a patient's heatmaps, change around a transparent zero, and a risk's own colour.

All of them rise or fall in lightness, so they read without colour vision and in grey print.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RgbPixels = npt.NDArray[np.uint8]

LEAST_SCALE_TOP = 1e-3
"""Hazard per mL that a scale always reaches (10 mL of it are 1 % risk), so that a calm map's noise stays pale."""
SHOWN_FROM = 0.1
"""Part of the scale's top below which the overlay is transparent."""
OPAQUE_FROM = 0.5
GREATEST_ALPHA = 0.8
MORE = (255, 138, 46)
LESS = (64, 156, 255)
_RISK_STOPS = ((34, 55, 90), (63, 95, 140), (158, 126, 92), (220, 156, 66), (255, 202, 84))


def heat_colours(fraction: npt.ArrayLike) -> RgbPixels:
    """(..., 3) colours of a heatmap, from fractions of the scale's top: the upper part of *inferno*."""
    import matplotlib  # noqa: PLC0415

    part = 0.3 + 0.68 * np.clip(np.asarray(fraction, dtype=np.float64), 0, 1)
    pixels: RgbPixels = (np.asarray(matplotlib.colormaps["inferno"](part))[..., :3] * 255 + 0.5).astype(np.uint8)
    return pixels


def grey_pixels(values: npt.NDArray[np.float32], window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """(rows, columns) of 0 to 255 within a window of intensities; black outside the field of view."""
    low, high = window
    part = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1)
    return np.asarray(part * 255 + 0.5).astype(np.uint8)


def with_heat(grey: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32] | None, top: float) -> RgbPixels:
    """Lay a heatmap over a grey picture.

    Args:
        grey: (rows, columns).
        heat: (rows, columns), hazard per mL, NaN outside; None for the grey picture alone.
        top: Hazard per mL at the top of the scale.

    Returns:
        (rows, columns, 3).
    """
    base = np.repeat(grey[..., None], 3, axis=2)
    if heat is None:
        return base
    fraction = np.nan_to_num(heat) / top
    return _blend(base, heat_colours(fraction), _alpha(fraction))


def with_change(grey: npt.NDArray[np.uint8], change: npt.NDArray[np.float32] | None, top: float) -> RgbPixels:
    """Lay a change of hazard over a grey picture: more is orange, less is blue, no change is transparent."""
    base = np.repeat(grey[..., None], 3, axis=2)
    if change is None:
        return base
    fraction = np.nan_to_num(change) / top
    hue = np.where(fraction[..., None] > 0, np.array(MORE), np.array(LESS))
    return _blend(base, hue, _alpha(np.abs(fraction)))


def _alpha(fraction: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.asarray(np.clip((fraction - SHOWN_FROM) / (OPAQUE_FROM - SHOWN_FROM), 0, 1) * GREATEST_ALPHA)


def _blend(base: RgbPixels, colour: npt.NDArray[np.generic], alpha: npt.NDArray[np.floating]) -> RgbPixels:
    weight = alpha[..., None]
    return np.asarray(base * (1 - weight) + np.asarray(colour, dtype=np.float64) * weight + 0.5).astype(np.uint8)


def risk_colour(risk: float) -> str:
    """CSS colour of a risk, 0 to 1, from slate blue to amber, ever lighter."""
    places = np.linspace(0, 1, len(_RISK_STOPS))
    stops = np.array(_RISK_STOPS, dtype=np.float64)
    return css_colour([round(float(np.interp(risk, places, stops[:, channel]))) for channel in range(3)])


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


def heat_gradient(steps: int = 12) -> str:
    """CSS gradient of the heatmap's scale, as seen over mid grey from zero to the top."""
    fractions = np.linspace(0, 1, steps).reshape(1, -1)
    pixels = with_heat(np.full((1, steps), 70, np.uint8), fractions.astype(np.float32), 1.0)[0]
    return f"linear-gradient(to right, {', '.join(css_colour(pixel) for pixel in pixels)})"


def change_gradient(steps: int = 13) -> str:
    """CSS gradient of the change's scale, as seen over mid grey from the most less to the most more."""
    fractions = np.linspace(-1, 1, steps).reshape(1, -1)
    pixels = with_change(np.full((1, steps), 70, np.uint8), fractions.astype(np.float32), 1.0)[0]
    return f"linear-gradient(to right, {', '.join(css_colour(pixel) for pixel in pixels)})"
