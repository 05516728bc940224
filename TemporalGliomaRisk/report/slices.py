"""Planes of a volume through a place in the patient, as a radiologist hangs them.

Patient right is on the left of the picture, anterior or superior on top; in sagittal planes anterior is on the left.
Planes are perpendicular to the RAS axes and sampled in millimetres, so oblique grids and thick slices keep their
proportions and their sides.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.timeline.head import HeadBox
from TemporalGliomaRisk.timeline.volume import FloatArray, Volume

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
PIXEL_MM = 0.8

_RIGHT_TO_LEFT = np.array([-1.0, 0.0, 0.0])
_FRONT_TO_BACK = np.array([0.0, -1.0, 0.0])
_TOP_TO_FOOT = np.array([0.0, 0.0, -1.0])
_DIRECTIONS: dict[Plane, tuple[FloatArray, FloatArray]] = {
    "axial": (_RIGHT_TO_LEFT, _FRONT_TO_BACK),
    "coronal": (_RIGHT_TO_LEFT, _TOP_TO_FOOT),
    "sagittal": (_FRONT_TO_BACK, _TOP_TO_FOOT),
}
SIDES: dict[Plane, tuple[str, str, str, str]] = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "S", "I"),
    "sagittal": ("A", "P", "S", "I"),
}
"""Letters at the left, right, top and bottom of the picture."""


def sample_plane(
    volume: Volume, ras_point: FloatArray, plane: Plane, *, size_mm: tuple[float, float], pixel_mm: float = PIXEL_MM
) -> npt.NDArray[np.float32]:
    """Sample the plane perpendicular to a RAS axis whose picture is centred on a RAS point.

    Args:
        volume: Any grid, oblique or anisotropic.
        ras_point: (3,), RAS mm, at the centre of the picture.
        plane: Which.
        size_mm: Width and height of the picture.
        pixel_mm: Side of its square pixels.

    Returns:
        (rows, columns), linearly interpolated; NaN outside the field of view. Columns run from the patient's right to
        left (sagittal: front to back), rows from front to back (axial) or from top to foot.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415  (slow to import, needed here only)

    columns, rows = (max(1, round(length / pixel_mm)) for length in size_mm)
    along_columns, along_rows = _DIRECTIONS[plane]
    right = (np.arange(columns) - (columns - 1) / 2)[None, :, None] * pixel_mm * along_columns
    down = (np.arange(rows) - (rows - 1) / 2)[:, None, None] * pixel_mm * along_rows
    ijk = volume.geometry.to_ijk(np.asarray(ras_point, dtype=np.float64) + right + down)
    voxels = volume.voxels.astype(np.uint8) if volume.voxels.dtype == bool else volume.voxels
    values = map_coordinates(voxels, np.moveaxis(ijk, -1, 0), output=np.float32, order=1, mode="nearest")
    # A voxel reaches half its width beyond its centre; beyond that is outside the field of view.
    inside = np.all((ijk >= -0.5) & (ijk <= np.array(volume.geometry.shape) - 0.5), axis=-1)
    return np.where(inside, values, np.float32(np.nan)).astype(np.float32)


def picture_size_mm(size_mm: FloatArray, plane: Plane) -> tuple[float, float]:
    """Width and height, mm, of the picture that shows a box of this size (3,) along R, A and S."""
    along_columns, along_rows = _DIRECTIONS[plane]
    return float(np.abs(along_columns) @ size_mm), float(np.abs(along_rows) @ size_mm)


def picture_centre(box: HeadBox, ras_point: FloatArray, plane: Plane) -> FloatArray:
    """(3,), the box's centre in RAS mm, moved along the plane's normal to the plane through a point (3,)."""
    along_columns, along_rows = _DIRECTIONS[plane]
    in_plane = np.abs(along_columns) + np.abs(along_rows)
    return np.asarray(in_plane * box.centre_ras + (1 - in_plane) * np.asarray(ras_point, dtype=np.float64))


def pixel_of(
    ras_point: FloatArray, centre: FloatArray, plane: Plane, shape: tuple[int, int], pixel_mm: float = PIXEL_MM
) -> tuple[float, float]:
    """(row, column) of a RAS point in a picture of this shape, centred on ``centre``."""
    along_columns, along_rows = _DIRECTIONS[plane]
    offset = (np.asarray(ras_point, dtype=np.float64) - centre) / pixel_mm
    return (
        float(offset @ along_rows + (shape[0] - 1) / 2),
        float(offset @ along_columns + (shape[1] - 1) / 2),
    )
