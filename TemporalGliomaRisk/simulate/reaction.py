"""What is not tumour but looks like it: healing after surgery, treatment effects, old spots and scars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.simulate.anatomy import GRID_CENTRE, GRID_SHAPE, SPACING_MM, Anatomy
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator
from TemporalGliomaRisk.simulate.surgery import Surgery, box_around, lumpy_distance, offsets_mm
from TemporalGliomaRisk.timeline.volume import FloatArray


@dataclass(frozen=True, kw_only=True)
class ReactionRanges:
    """What a population's reactions are drawn from; the defaults are version 1's. Days count from surgery.

    Args:
        treatment_effect_share: Share of patients with pseudo-progression.
        treatment_effect_onset_days: Range of its onset.
        treatment_effect_peak_days: Range of the time from onset to peak.
        treatment_effect_radius_mm: Range of its radius at the peak.
        leukoencephalopathy_share: Share of patients with treatment change in the white matter near the bed.
        spots_share: Share of patients with white matter spots.
        infarct_share: Share of patients with an old infarct.
    """

    treatment_effect_share: float = 0.30
    treatment_effect_onset_days: tuple[float, float] = (40.0, 700.0)
    treatment_effect_peak_days: tuple[float, float] = (60.0, 180.0)
    treatment_effect_radius_mm: tuple[float, float] = (4.0, 11.0)
    leukoencephalopathy_share: float = 0.20
    spots_share: float = 0.4
    infarct_share: float = 0.06


VERSION_1 = ReactionRanges()


@dataclass(frozen=True, kw_only=True)
class Healing:
    """How the wound changes over the months. Days count from surgery.

    Args:
        halo_mm: Width of the oedema around the cavity just after surgery; ``halo_days`` is its time constant.
        scar_mm: Width of the gliosis that stays.
        rim: Strength of the enhancing rim at its height; ``rim_days`` is its time constant.
        blood: Amount of blood products; ``blood_days`` is their time constant.
        shrinkage_mm: How far the cavity's wall moves inwards in the end; ``shrinkage_days`` is its time constant.
        protein: How little FLAIR suppresses the cavity's fluid, 0 (as CSF) to 1.
    """

    halo_mm: float
    halo_days: float
    scar_mm: float
    rim: float
    rim_days: float
    blood: float
    blood_days: float
    shrinkage_mm: float
    shrinkage_days: float
    protein: float


@dataclass(frozen=True, kw_only=True)
class TreatmentEffect:
    """Pseudo-progression: swelling and enhancement beside the wound that come and go. Days count from surgery."""

    distance: Float32Array
    onset_day: float
    peak_days: float
    peak_radius_mm: float
    enhances: bool

    def radius_at(self, day: float) -> float:
        """Radius on a day after surgery, mm: rises from the onset, peaks, falls back to nothing."""
        elapsed = max(0.0, day - self.onset_day) / self.peak_days
        return float(self.peak_radius_mm * (elapsed * np.exp(1.0 - elapsed)) ** 1.5)


@dataclass(frozen=True, kw_only=True)
class Reactions:
    """Everything that looks like tumour and isn't, drawn without knowledge of fate."""

    healing: Healing
    treatment_effect: TreatmentEffect | None
    leukoencephalopathy: Float32Array | None
    spots: Float32Array
    scar_fluid: Float32Array


@dataclass(frozen=True, kw_only=True)
class ReactionMaps:
    """Reactions on one day, on the operative box: shares from 0 to 1 of each kind of tissue change."""

    cavity: Float32Array
    oedema: Float32Array
    enhancement: Float32Array
    blood: Float32Array
    swelling: Float32Array
    swelling_enhancement: Float32Array


def _draw_healing(generator: Generator, surgery: Surgery) -> Healing:
    small = surgery.extent == "biopsy"
    return Healing(
        halo_mm=generator.uniform(2.0, 7.0) * (0.5 if small else 1.0),
        halo_days=generator.uniform(60.0, 220.0),
        scar_mm=generator.uniform(0.5, 2.5) * (0.4 if small else 1.0),
        rim=generator.uniform(0.2, 1.0),
        rim_days=generator.uniform(40.0, 150.0),
        blood=generator.uniform(0.1, 1.0),
        blood_days=generator.uniform(15.0, 50.0),
        shrinkage_mm=generator.uniform(0.0, 0.35) * surgery.radius_mm * (0.0 if small else 1.0),
        shrinkage_days=generator.uniform(60.0, 400.0),
        protein=generator.uniform(0.0, 0.45),
    )


def _draw_treatment_effect(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, ranges: ReactionRanges
) -> TreatmentEffect | None:
    happens = generator.random() < ranges.treatment_effect_share
    level = surgery.cavity_level
    near = (anatomy.parenchyma[surgery.box] > 0.6) & (level > 1.0) & (level < 7.0)
    candidates = np.flatnonzero(near)
    if not happens or candidates.size == 0:
        return None
    picked = np.unravel_index(candidates[generator.integers(candidates.size)], level.shape)
    voxel = np.array([part.start for part in surgery.box]) + np.array(picked)
    centre = SPACING_MM * (voxel.astype(np.float64) - GRID_CENTRE)
    axes = generator.uniform(0.8, 1.2, size=3)
    return TreatmentEffect(
        distance=lumpy_distance(generator, offsets_mm(surgery.box, centre), axes / axes.mean(), 0.15),
        onset_day=generator.uniform(*ranges.treatment_effect_onset_days),
        peak_days=generator.uniform(*ranges.treatment_effect_peak_days),
        peak_radius_mm=generator.uniform(*ranges.treatment_effect_radius_mm),
        enhances=bool(generator.random() < 0.8),
    )


def _draw_static(generator: Generator, anatomy: Anatomy, ranges: ReactionRanges) -> tuple[Float32Array, Float32Array]:
    """Old white matter spots and, seldom, an old infarct: (gliosis, fluid) shares on the whole grid."""
    gliosis = np.zeros(GRID_SHAPE, dtype=np.float32)
    fluid = np.zeros(GRID_SHAPE, dtype=np.float32)
    places = np.argwhere(anatomy.white > 0.8)
    for _ in range(int(generator.poisson(3.0)) if generator.random() < ranges.spots_share else 0):
        add_ball(gliosis, places[generator.integers(len(places))], generator.uniform(1.0, 3.0), 0.9)
    if generator.random() < ranges.infarct_share:
        surface = np.argwhere((anatomy.grey > 0.7) & anatomy.brain)
        place, radius = surface[generator.integers(len(surface))], generator.uniform(5.0, 10.0)
        add_ball(gliosis, place, radius + 3.0, 0.8)
        add_ball(fluid, place, radius, 1.0)
    shown = anatomy.brain.astype(np.float32)
    return gliosis * shown, fluid * shown


def add_ball(target: Float32Array, voxel: FloatArray, radius_mm: float, strength: float) -> None:
    """Raise a map (I, J, K) of the whole grid, in place, to a strength inside a ball around a voxel (3,)."""
    centre = SPACING_MM * (np.asarray(voxel, dtype=np.float64) - GRID_CENTRE)
    box = box_around(centre, radius_mm + 4.0)
    distance = np.sqrt((offsets_mm(box, centre) ** 2).sum(axis=0))
    target[box] = np.maximum(target[box], strength * np.clip(0.5 + (radius_mm - distance) / SPACING_MM, 0.0, 1.0))


def _draw_leukoencephalopathy(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, ranges: ReactionRanges
) -> Float32Array | None:
    if generator.random() >= ranges.leukoencephalopathy_share:
        return None
    near = np.exp(-0.5 * ((offsets_mm(surgery.box, surgery.centre_mm) ** 2).sum(axis=0)) / 24.0**2)
    strength = generator.uniform(0.15, 0.45)
    return np.asarray(strength * near * anatomy.white[surgery.box], dtype=np.float32)


def draw_reactions(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, ranges: ReactionRanges = VERSION_1
) -> Reactions:
    """All reactions and static findings of a patient."""
    spots, scar_fluid = _draw_static(generator, anatomy, ranges)
    return Reactions(
        healing=_draw_healing(generator, surgery),
        treatment_effect=_draw_treatment_effect(generator, anatomy, surgery, ranges),
        leukoencephalopathy=_draw_leukoencephalopathy(generator, anatomy, surgery, ranges),
        spots=spots,
        scar_fluid=scar_fluid,
    )


def reaction_maps(reactions: Reactions, anatomy: Anatomy, surgery: Surgery, days_since_surgery: float) -> ReactionMaps:
    """The reactions on one day, on the operative box."""
    healing, day = reactions.healing, days_since_surgery
    tissue = anatomy.parenchyma[surgery.box]
    brain = anatomy.brain[surgery.box].astype(np.float32)
    shrunk = healing.shrinkage_mm * -np.expm1(-day / healing.shrinkage_days)
    wall = surgery.cavity_level + np.float32(shrunk)
    cavity = np.clip(0.5 - wall / SPACING_MM, 0.0, 1.0) * brain
    halo = healing.scar_mm + healing.halo_mm * np.exp(-day / healing.halo_days)
    outside = np.clip(wall, 0.0, None)
    oedema = 0.85 * np.exp(-((outside / max(halo, 0.3)) ** 2)) * (1.0 - cavity) * tissue
    if reactions.leukoencephalopathy is not None:
        oedema = np.maximum(oedema, reactions.leukoencephalopathy * -np.expm1(-day / 600.0) * (1.0 - cavity))
    rise = -np.expm1(-(day + 2.0) / 12.0)
    rim = np.exp(-0.5 * ((wall - 0.8) / 1.3) ** 2) * brain * (1.0 - 0.5 * cavity)
    enhancement = healing.rim * rise * np.exp(-day / healing.rim_days) * rim
    blood = healing.blood * np.exp(-day / healing.blood_days) * np.exp(-0.5 * ((wall + 0.5) / 1.5) ** 2) * brain
    swelling, swelling_enhancement = np.zeros_like(cavity), np.zeros_like(cavity)
    effect = reactions.treatment_effect
    radius = effect.radius_at(day) if effect is not None else 0.0
    if effect is not None and radius > 0.5:
        swelling = tissue * (1.0 - cavity) / (1.0 + np.exp(np.clip((effect.distance - radius) / 1.0, -30, 30)))
        around = 0.7 * tissue * (1.0 - cavity) * np.exp(-((np.clip(effect.distance - radius, 0, None) / 5.0) ** 2))
        oedema = np.maximum(oedema, around * min(1.0, radius / 3.0))
        if effect.enhances:
            swelling_enhancement = swelling * np.clip(0.4 + 0.6 * effect.distance / max(radius, 1.0), 0.0, 1.0)
    maps = (cavity, oedema, enhancement, blood, swelling, swelling_enhancement)
    smooth = [np.asarray(part, dtype=np.float32) for part in maps]
    return ReactionMaps(
        cavity=smooth[0],
        oedema=smooth[1],
        enhancement=smooth[2],
        blood=smooth[3],
        swelling=smooth[4],
        swelling_enhancement=smooth[5],
    )
