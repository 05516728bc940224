"""What preprocessing hands to the encoder: one grid, one intensity scale, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How one volume was brought onto its target, and how well that ended.

    Args:
        sequence: The moved volume's pulse sequence.
        target: ``"reference"`` (the visit's reference sequence) or ``"first"`` (the first visit).
        moved: Whether a transform was estimated and applied; False when the input was trusted or measured as aligned.
        to_target_ras: (4, 4) rigid, identity when not moved. For ``"first"`` from this volume's RAS to the first
            visit's. For ``"reference"`` what was left to move once the volume had gone along with its anchor, the
            visit's first volume with the target ``"first"``: ``to_target_ras @ anchor.to_target_ras`` leads from this
            volume's RAS to the first visit's. Where the anchor wasn't moved, and at the first visit, which has none,
            it leads from this volume's RAS to the reference's.
        similarity: Similarity of the two after alignment, by the measure that ``measure`` names; larger is better.
        measure: Name of that measure.
        residual_mm: Estimate of what misalignment remains, mean over the brain; None when it could not be estimated.
    """

    sequence: SequenceName
    target: str
    moved: bool
    to_target_ras: FloatArray
    similarity: float
    measure: str
    residual_mm: float | None

    def to_json(self) -> dict[str, Any]:
        """As audit.json holds it, but for the session; the matrix as rows."""
        return {**asdict(self), "to_target_ras": np.asarray(self.to_target_ras).tolist()}


@dataclass(frozen=True, kw_only=True)
class IntensityScale:
    """Centre and scale of one sequence's intensities inside the first visit's brain: (x - centre) / scale."""

    centre: float
    scale: float


@dataclass(frozen=True, kw_only=True)
class Frame:
    """All that the first visit fixes for every later one, so that no later visit can change an earlier risk.

    Args:
        grid: The model grid, axis-aligned in the first visit's RAS, isotropic, even voxel counts.
        brain_mask: (I, J, K) on the grid.
        references: The first visit's bias-corrected intensities on the grid, raw units, by sequence.
        scales: Intensity scale by sequence, for the same sequences.
    """

    grid: Geometry
    brain_mask: BoolArray
    references: Mapping[SequenceName, FloatArray]
    scales: Mapping[SequenceName, IntensityScale]


@dataclass(frozen=True, kw_only=True)
class PreparedVisit:
    """One visit on the model grid.

    Args:
        intensities: (4, I, J, K) float32 in the order of ``SEQUENCES``, zero outside the brain and where absent.
        present: (4,), which sequences the visit has.
        visit_ras_to_frame_ras: (4, 4) rigid, from the reference sequence's RAS to the first visit's RAS.
        reference_sequence: The sequence on whose own voxel grid heatmaps return.
        reference_geometry: That grid.
        alignments: One per volume that had a target.
        findings: What was noticed while preparing.
    """

    intensities: npt.NDArray[np.float32]
    present: BoolArray
    visit_ras_to_frame_ras: FloatArray
    reference_sequence: SequenceName
    reference_geometry: Geometry
    alignments: tuple[Alignment, ...]
    findings: tuple[Finding, ...]
