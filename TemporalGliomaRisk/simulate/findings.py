"""What else is in a child's head besides the tumour: old, new and changing findings that have nothing to do with fate.

Used by the populations ``wide`` and ``shifted``; drawn from streams of their own, so independent of fate. Days count
from surgery.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.simulate.anatomy import (
    GRID_CENTRE,
    GRID_SHAPE,
    SPACING_MM,
    Anatomy,
    ventricle_displacement,
    with_fluid,
)
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator
from TemporalGliomaRisk.simulate.reaction import add_ball
from TemporalGliomaRisk.simulate.shunt import Shunt, add_tube, draw_shunt
from TemporalGliomaRisk.simulate.surgery import Surgery, lumpy_distance, offsets_mm
from TemporalGliomaRisk.timeline.volume import FloatArray


@dataclass(frozen=True, kw_only=True)
class FindingShares:
    """Share of patients with each finding (shares ours unless PHYSICS.md says otherwise)."""

    arachnoid_cyst: float = 0.04
    cyst: float = 0.18
    iron_rim: float = 0.50
    microbleeds: float = 0.12
    calcification: float = 0.10
    venous_anomaly: float = 0.08
    shunt: float = 0.12
    ventricle_change: float = 0.25
    white_matter_change: float = 0.15


@dataclass(frozen=True, kw_only=True)
class Cyst:
    """A cyst beside the bed that grows or shrinks without an event."""

    distance: Float32Array
    first_radius_mm: float
    last_radius_mm: float
    onset_day: float
    time_constant_days: float
    protein: float
    rim: float

    def radius_at(self, day: float) -> float:
        """Radius on a day after surgery, mm."""
        done = -np.expm1(-max(0.0, day - self.onset_day) / self.time_constant_days)
        return float(self.first_radius_mm + (self.last_radius_mm - self.first_radius_mm) * done)


@dataclass(frozen=True, kw_only=True)
class VentricleChange:
    """Ventricles that widen (positive) or narrow after the first visit, on which nothing has moved yet."""

    final_push: float
    onset_day: float
    time_constant_days: float
    first_visit_day: float

    def push_at(self, day: float) -> float:
        """How far the ventricles have moved since the first visit, as a share of ``ventricle_displacement``."""

        def done(when: float) -> float:
            return float(-np.expm1(-max(0.0, when - self.onset_day) / self.time_constant_days))

        return self.final_push * (done(day) - done(self.first_visit_day))


@dataclass(frozen=True, kw_only=True)
class WhiteMatterChange:
    """Diffuse treatment change around the ventricles that rises and in part recovers."""

    strength: Float32Array
    onset_day: float
    rise_days: float
    recovery: float

    def amount_at(self, day: float) -> float:
        """0 to 1 on a day after surgery."""
        elapsed = max(0.0, day - self.onset_day)
        return float(-np.expm1(-elapsed / self.rise_days) * (1.0 + self.recovery * np.expm1(-elapsed / 900.0)))


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A patient's findings; None or empty where there is none. Maps are shares on the whole grid unless said."""

    first_visit_day: float
    age_years: float
    arachnoid_cyst_mm: float | None = None
    cysts: tuple[Cyst, ...] = ()
    rim_iron: Float32Array | None = None
    microbleeds: tuple[tuple[Float32Array, float], ...] = ()
    calcium: Float32Array | None = None
    vessels: Float32Array | None = None
    shunt: Shunt | None = None
    ventricles: VentricleChange | None = None
    ventricle_field: Float32Array | None = None
    white_matter_change: WhiteMatterChange | None = None

    def names(self) -> tuple[str, ...]:
        """What there is, for the truth file."""
        found = {
            "arachnoid_cyst": self.arachnoid_cyst_mm is not None,
            "changing_cyst": bool(self.cysts),
            "haemosiderin_rim": self.rim_iron is not None,
            "microbleeds": bool(self.microbleeds),
            "calcification": self.calcium is not None,
            "venous_anomaly": self.vessels is not None,
            "shunt": self.shunt is not None,
            "changing_ventricles": self.ventricles is not None,
            "diffuse_white_matter_change": self.white_matter_change is not None,
            "not_yet_myelinated": self.age_years < 2.0,
        }
        return tuple(name for name, is_there in found.items() if is_there)


def with_arachnoid_cyst(generator: Generator, anatomy: Anatomy, shares: FindingShares) -> tuple[Anatomy, float | None]:
    """The anatomy, in a few patients with a large pocket of fluid at the surface, and its radius in mm."""
    if generator.random() >= shares.arachnoid_cyst:
        return anatomy, None
    surface = np.argwhere(anatomy.brain & ~ndimage.binary_erosion(anatomy.brain, iterations=2))
    radius = generator.uniform(8.0, 20.0)
    share = np.zeros(GRID_SHAPE, dtype=np.float32)
    add_ball(share, surface[generator.integers(len(surface))], radius, 1.0)
    return with_fluid(anatomy, share), radius


def _near_the_bed(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, low_mm: float, high_mm: float
) -> FloatArray | None:
    """A place in tissue at a distance from the cavity, mm from the grid's centre; None if there is none."""
    level = surgery.cavity_level
    places = np.flatnonzero((anatomy.parenchyma[surgery.box] > 0.6) & (level > low_mm) & (level < high_mm))
    if places.size == 0:
        return None
    picked = np.unravel_index(places[generator.integers(places.size)], level.shape)
    voxel = np.array([part.start for part in surgery.box]) + np.array(picked)
    return np.asarray(SPACING_MM * (voxel.astype(np.float64) - GRID_CENTRE))


def _draw_cyst(generator: Generator, anatomy: Anatomy, surgery: Surgery) -> Cyst | None:
    centre = _near_the_bed(generator, anatomy, surgery, 1.0, 10.0)
    if centre is None:
        return None
    axes = generator.uniform(0.8, 1.25, size=3)
    appears = generator.random() < 0.3
    return Cyst(
        distance=lumpy_distance(generator, offsets_mm(surgery.box, centre), axes / axes.mean(), 0.08),
        first_radius_mm=-2.0 if appears else generator.uniform(3.0, 9.0),
        last_radius_mm=generator.uniform(4.0, 11.0) if appears else generator.uniform(-2.0, 11.0),
        onset_day=generator.uniform(0.0, 1500.0),
        time_constant_days=generator.uniform(60.0, 700.0),
        protein=generator.uniform(0.0, 0.7),
        rim=generator.uniform(0.3, 0.9) if generator.random() < 0.5 else 0.0,
    )


def _draw_microbleeds(generator: Generator, anatomy: Anatomy) -> tuple[tuple[Float32Array, float], ...]:
    places = np.argwhere(anatomy.white > 0.7)
    found = []
    for _ in range(1 + int(generator.poisson(3.0))):
        bleed = np.zeros(GRID_SHAPE, dtype=np.float32)
        add_ball(bleed, places[generator.integers(len(places))], generator.uniform(0.8, 2.2), 0.9)
        found.append((bleed, generator.uniform(150.0, 2500.0)))
    return tuple(found)


def _draw_calcium(generator: Generator, anatomy: Anatomy) -> Float32Array:
    chalk = np.zeros(GRID_SHAPE, dtype=np.float32)
    places = np.argwhere(anatomy.parenchyma > 0.7)
    add_ball(chalk, places[generator.integers(len(places))], generator.uniform(1.5, 5.0), 0.9)
    return chalk * anatomy.brain


def _draw_venous_anomaly(generator: Generator, anatomy: Anatomy) -> Float32Array:
    """A draining vein with a head of smaller ones, as after contrast."""
    vessels = np.zeros(GRID_SHAPE, dtype=np.float32)
    places = np.argwhere(anatomy.white > 0.8)
    head = SPACING_MM * (places[generator.integers(len(places))] - GRID_CENTRE)
    way = generator.standard_normal(3)
    add_tube(vessels, head, head + generator.uniform(15.0, 30.0) * way / np.linalg.norm(way), 1.0, 0.9)
    for _ in range(int(generator.integers(3, 7))):
        branch = generator.standard_normal(3) - 0.7 * way / np.linalg.norm(way)
        add_tube(vessels, head, head + generator.uniform(6.0, 12.0) * branch / np.linalg.norm(branch), 0.6, 0.6)
    return vessels * anatomy.brain


def _draw_white_matter_change(generator: Generator, anatomy: Anatomy) -> WhiteMatterChange:
    deep = ndimage.binary_erosion(anatomy.brain, iterations=6)
    near = ndimage.gaussian_filter((anatomy.fluid * deep).astype(np.float32), 4.0)
    near /= max(float(near.max()), 1e-6)
    strength = generator.uniform(0.15, 0.55) * anatomy.white * np.clip(0.15 + 1.5 * near, 0.0, 1.0)
    return WhiteMatterChange(
        strength=np.asarray(strength, dtype=np.float32),
        onset_day=generator.uniform(60.0, 900.0),
        rise_days=generator.uniform(80.0, 500.0),
        recovery=generator.uniform(0.0, 0.6),
    )


def draw_findings(
    generator: Generator,
    anatomy: Anatomy,
    surgery: Surgery,
    shares: FindingShares,
    *,
    first_visit_day: float,
    age_years: float,
    arachnoid_cyst_mm: float | None,
) -> Findings:
    """All findings of a patient; every decision is drawn first, so that one finding doesn't shift another's."""
    has = {name: generator.random() < getattr(shares, name) for name in shares.__dataclass_fields__}
    shunt = draw_shunt(generator, anatomy) if has["shunt"] else None
    cyst = _draw_cyst(generator, anatomy, surgery) if has["cyst"] else None
    ventricles = None
    if shunt is not None or has["ventricle_change"]:
        narrows = shunt is not None and generator.random() < 0.8
        ventricles = VentricleChange(
            final_push=generator.uniform(-1.0, -0.2) if narrows else generator.uniform(-0.8, 0.9),
            onset_day=shunt.placed_day if shunt is not None else generator.uniform(-100.0, 1500.0),
            time_constant_days=generator.uniform(20.0, 300.0),
            first_visit_day=first_visit_day,
        )
    rim = None
    if has["iron_rim"]:
        rim = generator.uniform(0.3, 0.9) * np.exp(-0.5 * ((surgery.cavity_level - 0.5) / 1.4) ** 2)
        rim = np.asarray(rim * anatomy.brain[surgery.box], dtype=np.float32)
    return Findings(
        first_visit_day=first_visit_day,
        age_years=age_years,
        arachnoid_cyst_mm=arachnoid_cyst_mm,
        cysts=() if cyst is None else (cyst,),
        rim_iron=rim,
        microbleeds=_draw_microbleeds(generator, anatomy) if has["microbleeds"] else (),
        calcium=_draw_calcium(generator, anatomy) if has["calcification"] else None,
        vessels=_draw_venous_anomaly(generator, anatomy) if has["venous_anomaly"] else None,
        shunt=shunt,
        ventricles=ventricles,
        ventricle_field=None if ventricles is None else ventricle_displacement(anatomy),
        white_matter_change=_draw_white_matter_change(generator, anatomy) if has["white_matter_change"] else None,
    )
