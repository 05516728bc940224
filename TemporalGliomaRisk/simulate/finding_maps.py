"""A patient's findings on one day, as shares of voxels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from TemporalGliomaRisk.simulate.anatomy import SPACING_MM, Anatomy
from TemporalGliomaRisk.simulate.findings import Cyst, Findings
from TemporalGliomaRisk.simulate.growth import DAYS_PER_YEAR
from TemporalGliomaRisk.simulate.myelination import unmyelinated_shares
from TemporalGliomaRisk.simulate.randomness import Float32Array
from TemporalGliomaRisk.simulate.surgery import Surgery


@dataclass(frozen=True, kw_only=True)
class CystMaps:
    """A cyst on one day, on the operative box: shares of fluid and of enhancing rim, and how proteinaceous it is."""

    share: Float32Array
    rim: Float32Array | None
    protein: float


@dataclass(frozen=True, kw_only=True)
class FindingMaps:
    """The findings on one day; ``rim_iron`` and cysts on the operative box, the others on the whole grid.

    Args:
        unmyelinated: Share of white matter that doesn't yet look myelinated on T1, and on T2.
        displacement: (3, I, J, K) voxels by which the anatomy has moved since the first visit.
    """

    unmyelinated: tuple[Float32Array, Float32Array] | None = None
    white_matter_change: Float32Array | None = None
    cysts: tuple[CystMaps, ...] = field(default_factory=tuple)
    rim_iron: Float32Array | None = None
    iron: Float32Array | None = None
    calcium: Float32Array | None = None
    vessels: Float32Array | None = None
    catheter: Float32Array | None = None
    displacement: Float32Array | None = None


def finding_maps(findings: Findings, anatomy: Anatomy, surgery: Surgery, day: float) -> FindingMaps:
    """The findings on one day after surgery."""
    brain = anatomy.brain[surgery.box]
    age_years = findings.age_years + (day - findings.first_visit_day) / DAYS_PER_YEAR
    iron = [bleed for bleed, onset in findings.microbleeds if day >= onset]
    catheter = None
    if findings.shunt is not None and day >= findings.shunt.placed_day:
        catheter = findings.shunt.catheter
        iron += [] if findings.shunt.valve is None else [findings.shunt.valve]
    change = findings.white_matter_change
    amount = 0.0 if change is None else change.amount_at(day)
    push = 0.0 if findings.ventricles is None else findings.ventricles.push_at(day)
    return FindingMaps(
        unmyelinated=unmyelinated_shares(anatomy, age_years),
        white_matter_change=None if change is None or amount == 0 else np.float32(amount) * change.strength,
        cysts=tuple(_cyst_maps(cyst, brain, day) for cyst in findings.cysts),
        rim_iron=findings.rim_iron,
        iron=np.maximum.reduce(iron) if iron else None,
        calcium=findings.calcium,
        vessels=findings.vessels,
        catheter=catheter,
        displacement=(
            None if findings.ventricle_field is None or push == 0 else np.float32(push) * findings.ventricle_field
        ),
    )


def _cyst_maps(cyst: Cyst, brain: np.ndarray, day: float) -> CystMaps:
    radius = cyst.radius_at(day)
    share = np.clip(0.5 + (radius - cyst.distance) / SPACING_MM, 0.0, 1.0) * brain if radius > 0 else 0.0 * brain
    rim = None
    if cyst.rim > 0 and radius > 1.0:
        rim = cyst.rim * np.exp(-0.5 * ((cyst.distance - radius - 0.8) / 1.0) ** 2) * brain
    return CystMaps(
        share=np.asarray(share, dtype=np.float32),
        rim=None if rim is None else np.asarray(rim, dtype=np.float32),
        protein=cyst.protein,
    )
