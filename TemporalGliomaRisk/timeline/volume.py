"""Voxels and their place in the patient.

Arrays are indexed ``[i, j, k]`` and places are RAS millimetres, everywhere but in ``sitk_images`` (SimpleITK speaks
KJI and LPS) and in the scene bridge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.errors import GeometryError
from TemporalGliomaRisk.shapes import check_shape

MOST_VOXELS = 512**3
"""A volume of more voxels is refused before memory is taken for it: 0.5 mm over half a metre, far beyond head MRI."""

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """A voxel grid in space: how many voxels, and where voxel (i, j, k)'s centre lies.

    Args:
        shape: Voxels along i, j and k, each at least 1.
        ijk_to_ras: (4, 4), from voxel indices to RAS millimetres. Oblique grids are normal; shear is refused.

    Raises:
        GeometryError: If the matrix is not finite, not affine, singular or sheared, or the shape is not positive.
    """

    shape: tuple[int, int, int]
    ijk_to_ras: FloatArray

    def __post_init__(self) -> None:
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        check_shape(matrix, "ijk_to_ras", (4, 4))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"A grid needs at least one voxel along each of three axes, got {self.shape}.")
        if not np.isfinite(matrix).all() or not np.allclose(matrix[3], (0, 0, 0, 1)):
            raise GeometryError("ijk_to_ras must be finite with last row (0, 0, 0, 1); correct the file's header.")
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if lengths.min() < 1e-6:
            raise GeometryError("ijk_to_ras is singular: a voxel axis has no length. Correct the file's header.")
        cosines = matrix[:3, :3] / lengths
        if np.abs(cosines.T @ cosines - np.eye(3)).max() > 1e-3:
            raise GeometryError("ijk_to_ras is sheared or singular: its axes must be perpendicular. Resample the file.")
        matrix.flags.writeable = False
        object.__setattr__(self, "shape", tuple(int(length) for length in self.shape))
        object.__setattr__(self, "ijk_to_ras", matrix)

    @cached_property
    def spacing_mm(self) -> FloatArray:
        """(3,), distance between neighbouring voxel centres along i, j and k."""
        return np.asarray(np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0))

    @cached_property
    def ras_to_ijk(self) -> FloatArray:
        """(4, 4), the inverse of ``ijk_to_ras``."""
        return np.linalg.inv(self.ijk_to_ras)

    @cached_property
    def voxel_mL(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def extent_mm(self) -> FloatArray:
        """(3,), length of the field of view along i, j and k, voxel edges included."""
        return np.asarray(self.spacing_mm * np.array(self.shape))

    def to_ras(self, ijk: npt.ArrayLike) -> FloatArray:
        """(..., 3) voxel indices, fractions allowed, to (..., 3) RAS millimetres."""
        return np.asarray(ijk, dtype=np.float64) @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def to_ijk(self, ras: npt.ArrayLike) -> FloatArray:
        """(..., 3) RAS millimetres to (..., 3) voxel indices with fractions."""
        return np.asarray(ras, dtype=np.float64) @ self.ras_to_ijk[:3, :3].T + self.ras_to_ijk[:3, 3]

    def same_as(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same shape and no voxel centre is further apart than the tolerance."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, length - 1) for length in self.shape], indexing="ij")).reshape(3, -1).T
        apart = np.linalg.norm(self.to_ras(corners) - other.to_ras(corners), axis=1)
        return bool(apart.max() <= tolerance_mm)


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Voxels with their geometry.

    Args:
        voxels: (I, J, K), any real dtype.
        geometry: Grid of the same shape.

    Raises:
        ShapeError: If the voxels are not three-dimensional or differ in shape from the geometry.
    """

    voxels: npt.NDArray[Any]
    geometry: Geometry

    def __post_init__(self) -> None:
        check_shape(self.voxels, "voxels", self.geometry.shape)
