"""The shared colours laid over grey pictures, and their scales as gradients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.colours import (
    GREATEST_ALPHA,
    LESS,
    MORE,
    OPAQUE_FROM,
    SHOWN_FROM,
    RgbPixels,
    css_colour,
    heat_colours,
)


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
    """Lay a change of hazard over a grey picture: more is orange, less is blue, no change is transparent.

    Args:
        grey: (rows, columns).
        change: (rows, columns), hazard per mL, NaN outside; None for the grey picture alone.
        top: Hazard per mL at both ends of the scale.

    Returns:
        (rows, columns, 3).
    """
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


def heat_gradient() -> str:
    """CSS gradient of the heatmap's scale, as seen over mid grey from zero to the top."""
    fractions = np.linspace(0, 1, 12, dtype=np.float32)[None]
    return _gradient(with_heat(_mid_grey(fractions), fractions, 1.0)[0])


def change_gradient() -> str:
    """CSS gradient of the change's scale, as seen over mid grey from the most less to the most more."""
    fractions = np.linspace(-1, 1, 13, dtype=np.float32)[None]
    return _gradient(with_change(_mid_grey(fractions), fractions, 1.0)[0])


def _mid_grey(like: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    return np.full(like.shape, 70, np.uint8)


def _gradient(pixels: RgbPixels) -> str:
    return f"linear-gradient(to right, {', '.join(css_colour(pixel) for pixel in pixels)})"
