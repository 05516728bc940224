"""Checks on where the voxels lie: qform against sform, voxel sizes."""

from __future__ import annotations

import numpy as np

from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.nifti_header import NiftiHeader
from TemporalGliomaRisk.timeline.rules import finding
from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import FloatArray, Geometry

SPACING_RANGE_MM = (0.2, 10.0)
FORMS_TOLERANCE_VOXELS = 0.1
"""qform and sform may place a corner this share of the smallest voxel side apart (single-precision headers)."""


def check_geometry(geometry: Geometry, *, visit: int, sequence: SequenceName) -> list[Finding]:
    """Refuse voxel sides outside 0.2 to 10 mm: the header's unit is wrong, or the image is no brain scan."""
    low, high = SPACING_RANGE_MM
    if geometry.spacing_mm.min() < low or geometry.spacing_mm.max() > high:
        spacing = " x ".join(f"{side:.3g}" for side in geometry.spacing_mm)
        return [finding("spacing_outside", visit=visit, sequence=sequence, spacing=spacing)]
    return []


def check_forms(header: NiftiHeader, geometry: Geometry, *, visit: int, sequence: SequenceName) -> list[Finding]:
    """Compare a NIfTI file's qform and sform, and say which of them was used.

    The rule: mirror images of each other are refused; codes both 0 leave left and right a guess, a warning; corners
    further apart than a tenth of a voxel are a warning, and the one that SimpleITK (and 3D Slicer) took is named.
    """
    if header.qform is None and header.sform is None:
        return [finding("orientation_unknown", visit=visit, sequence=sequence)]
    if header.qform is None or header.sform is None:
        return []
    if not np.isfinite(header.qform).all() or not np.isfinite(header.sform).all():
        return [finding("forms_disagree", visit=visit, sequence=sequence, distance="any number of", used="finite one")]
    if np.linalg.det(header.qform[:3, :3]) * np.linalg.det(header.sform[:3, :3]) < 0:
        return [finding("handedness_disagrees", visit=visit, sequence=sequence)]
    apart = _corner_distance_mm(header.qform, header.sform, geometry.shape)
    if apart <= FORMS_TOLERANCE_VOXELS * float(geometry.spacing_mm.min()):
        return []
    to_qform = _corner_distance_mm(geometry.ijk_to_ras, header.qform, geometry.shape)
    to_sform = _corner_distance_mm(geometry.ijk_to_ras, header.sform, geometry.shape)
    used = "qform" if to_qform <= to_sform else "sform"
    return [finding("forms_disagree", visit=visit, sequence=sequence, distance=f"{apart:.1f}", used=used)]


def _corner_distance_mm(one: FloatArray, other: FloatArray, shape: tuple[int, int, int]) -> float:
    """Largest distance between where two (4, 4) matrices put the corners of a grid."""
    corners = np.array(np.meshgrid(*[(0, length - 1) for length in shape], indexing="ij")).reshape(3, -1)
    difference = np.asarray(one) - np.asarray(other)
    return float(np.linalg.norm(difference[:3, :3] @ corners + difference[:3, 3:], axis=0).max())
