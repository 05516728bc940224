"""Checks on where the voxels lie: qform against sform, voxel sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.nifti_header import NiftiHeader
from TemporalGliomaRisk.timeline.rules import finding
from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import FloatArray, Geometry

SPACING_RANGE_MM = (0.2, 10.0)
FORMS_TOLERANCE_VOXELS = 0.1
"""qform and sform may place a corner this share of the smallest voxel side apart (single-precision headers)."""
CONTRADICTION_VOXELS = 1.0
"""Where no form of the header agrees with the place SimpleITK took to within this share, the header contradicts
itself: SimpleITK takes voxel sizes from one field and directions from another."""
FARTHEST_MM = 100_000.0
"""A corner further from the scanner's centre than this is no place; coordinates there lose their fractions."""


def check_geometry(geometry: Geometry, *, visit: int, sequence: SequenceName) -> list[Finding]:
    """Refuse voxel sides outside 0.2 to 10 mm and places beyond reach: a wrong header, or no brain scan."""
    low, high = SPACING_RANGE_MM
    if geometry.spacing_mm.min() < low or geometry.spacing_mm.max() > high:
        spacing = " x ".join(f"{side:.3g}" for side in geometry.spacing_mm)
        return [finding("spacing_outside", visit=visit, sequence=sequence, spacing=spacing)]
    if np.abs(geometry.ijk_to_ras[:3, 3]).max() > FARTHEST_MM:
        return [finding("place_outside", visit=visit, sequence=sequence, limit=f"{FARTHEST_MM / 1000:.0f}")]
    return []


def check_forms(header: NiftiHeader, geometry: Geometry, *, visit: int, sequence: SequenceName) -> list[Finding]:
    """Compare a NIfTI file's qform and sform with each other and with what was used.

    The rule: codes both 0 leave left and right a guess, a warning; where neither form is what was used, the header's
    voxel sizes contradict it, and it is refused; mirror images of each other are refused; corners further apart than a
    tenth of a voxel are a warning, and the form that SimpleITK (and 3D Slicer) took is named.
    """

    def found(code: str, **values: object) -> list[Finding]:
        return [finding(code, visit=visit, sequence=sequence, **values)]

    forms = [form for form in (header.qform, header.sform) if form is not None]
    finite = [form for form in forms if np.isfinite(form).all()]
    if not forms:
        return found("orientation_unknown")
    nearest = min((_corner_distance_mm(form, geometry.ijk_to_ras, geometry.shape) for form in finite), default=0.0)
    if nearest > CONTRADICTION_VOXELS * float(geometry.spacing_mm.min()):
        return found("sizes_contradict", distance=f"{nearest:.1f}")
    if len(finite) < 2:
        whole = len(finite) == len(forms)
        return [] if whole else found("forms_disagree", distance="any number of", used="finite one")
    return _disagreement(finite[0], finite[1], geometry, found)


def _disagreement(
    qform: FloatArray, sform: FloatArray, geometry: Geometry, found: Callable[..., list[Finding]]
) -> list[Finding]:
    """Both forms are there: whether they mirror each other, or lie apart."""
    if np.linalg.det(qform[:3, :3]) * np.linalg.det(sform[:3, :3]) < 0:
        return found("handedness_disagrees")
    apart = _corner_distance_mm(qform, sform, geometry.shape)
    if apart <= FORMS_TOLERANCE_VOXELS * float(geometry.spacing_mm.min()):
        return []
    to_qform = _corner_distance_mm(geometry.ijk_to_ras, qform, geometry.shape)
    to_sform = _corner_distance_mm(geometry.ijk_to_ras, sform, geometry.shape)
    used = "qform" if to_qform <= to_sform else "sform"
    return found("forms_disagree", distance=f"{apart:.1f}", used=used)


def _corner_distance_mm(one: FloatArray, other: FloatArray, shape: tuple[int, int, int]) -> float:
    """Largest distance between where two (4, 4) matrices put the corners of a grid."""
    corners = np.array(np.meshgrid(*[(0, length - 1) for length in shape], indexing="ij")).reshape(3, -1)
    difference = np.asarray(one) - np.asarray(other)
    return float(np.linalg.norm(difference[:3, :3] @ corners + difference[:3, 3:], axis=0).max())
