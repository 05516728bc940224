"""What a truth file says of a patient: what looks like growth and isn't, and what was drawn."""

from __future__ import annotations

from typing import Any

from TemporalGliomaRisk.simulate.clocks import Arrest
from TemporalGliomaRisk.simulate.config import HORIZON_DAYS
from TemporalGliomaRisk.simulate.growth import Clock, LogisticClock
from TemporalGliomaRisk.simulate.lesion import Lesion
from TemporalGliomaRisk.simulate.truth import PatientTruth


def distractors_of(truth: PatientTruth) -> tuple[str, ...]:
    """What looks like growth, or like tumour, and isn't."""
    reactions = truth.reactions
    found = {
        "treatment_effect": reactions.treatment_effect is not None,
        "leukoencephalopathy": reactions.leukoencephalopathy is not None,
        "white_matter_spots": bool(reactions.spots.any()),
        "old_infarct": bool(reactions.scar_fluid.any()),
        "quiet_residual": any(lesion.kind == "residual" and lesion.clock is None for lesion in truth.lesions),
        "shrinking_residual": any(_shrinks(lesion) for lesion in truth.lesions),
        "arrested_growth": any(isinstance(lesion.clock, Arrest) and not _shrinks(lesion) for lesion in truth.lesions),
    }
    more = truth.findings.names() if truth.findings is not None else ()
    return (*(name for name, is_there in found.items() if is_there), *more)


def _shrinks(lesion: Lesion) -> bool:
    return lesion.clock is not None and lesion.front.diameters_mm[-1] < lesion.front.diameters_mm[0]


def parameters_of(truth: PatientTruth) -> dict[str, Any]:
    """What was drawn, for the truth file; units in the names."""
    growing = next((lesion for lesion in truth.lesions if isinstance(lesion.clock, Clock | LogisticClock)), None)
    clock = growing.clock if growing is not None and isinstance(growing.clock, Clock | LogisticClock) else None
    effect = truth.reactions.treatment_effect
    drawn = {
        "simulator_version": truth.config.simulator_version,
        "horizon_days": HORIZON_DAYS,
        "age_years": round(truth.age_years, 3),
        "region": truth.surgery.region,
        "tumour_radius_before_surgery_mm": round(truth.surgery.radius_mm, 3),
        "high_grade": truth.look.high_grade,
        "enhances": truth.look.enhances,
        "smallest_jacobian": round(truth.anatomy.smallest_jacobian, 4),
        "growth_origin": growing.kind if growing is not None else None,
        "growth_law": clock.law if clock is not None else None,
        "growth_velocity_mm_per_year": round(clock.velocity_mm_per_year, 3) if clock is not None else None,
        "growth_onset_day": round(clock.onset_day, 1) if clock is not None else None,
        "treatment_effect_onset_days_since_treatment": round(effect.onset_day, 1) if effect else None,
        "treatment_effect_peak_radius_mm": round(effect.peak_radius_mm, 2) if effect else None,
        "lesion_kinds": [lesion.kind for lesion in truth.lesions],
    }
    if truth.findings is not None:
        drawn |= {"population": truth.population.name, "anatomy": truth.anatomy.template}
    return drawn
