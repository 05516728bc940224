"""A patient's true lesions: what surgery left, and what grows, apart from everything that only looks like it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.errors import GliomaRiskError
from TemporalGliomaRisk.simulate.anatomy import GRID_CENTRE, SPACING_MM, Anatomy
from TemporalGliomaRisk.simulate.growth import (
    START_ADVANCE_MM,
    START_RADIUS_MM,
    Clock,
    Front,
    GrowthLaw,
    expanding_front,
    reaction_diffusion_front,
)
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator, clipped_log_normal
from TemporalGliomaRisk.simulate.surgery import Box, Surgery, box_around, lumpy_distance, offsets_mm
from TemporalGliomaRisk.timeline.volume import FloatArray

FOCUS_HALF_WIDTH_MM = 28.0
ADVANCE_BEYOND_EVENT_MM = 8.0
HIGH_GRADE_SHARE = 0.25
ARRESTED_SHARE = 0.15
SHRINKING_SHARE = 0.15
MOST_ATTEMPTS = 20
GROWTH_LAWS: dict[GrowthLaw, float] = {"reaction_diffusion": 0.5, "linear": 0.15, "exponential": 0.2, "gompertz": 0.15}


@dataclass(frozen=True, kw_only=True)
class Arrest:
    """A clock of a lesion that moves towards a small final progress and stays there."""

    onset_day: float
    final_progress: float
    time_constant_days: float

    def progress_at(self, day: float) -> float:
        """Progress on a day, 0 before the onset."""
        return self.final_progress * float(-np.expm1(-max(0.0, day - self.onset_day) / self.time_constant_days))


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One true lesion: its front, and the clock that moves it (None: it never moves)."""

    kind: str
    front: Front
    clock: Clock | Arrest | None

    def progress_at(self, day: float) -> float:
        """Progress on a day of the timeline."""
        return 0.0 if self.clock is None else self.clock.progress_at(day)

    def density_at(self, day: float) -> Float32Array:
        """(i, j, k) density on the front's box."""
        return self.front.density_at(self.progress_at(day))

    def diameter_at(self, day: float) -> float:
        """Diameter of the largest visible cross-section, mm."""
        return self.front.diameter_at(self.progress_at(day))


def _tissue(anatomy: Anatomy, surgery: Surgery, box: Box) -> Float32Array:
    """Share of each voxel of a box inside ``surgery.box`` that can hold tumour: brain tissue outside the cavity."""
    inner = tuple(
        slice(part.start - whole.start, part.stop - whole.start) for part, whole in zip(box, surgery.box, strict=True)
    )
    solid = np.clip(0.5 + surgery.cavity_level[inner] / SPACING_MM, 0.0, 1.0)
    return np.asarray(np.clip(1.3 * anatomy.parenchyma[box], 0.0, 1.0) * solid, dtype=np.float32)


def _intersect(box: Box, whole: Box) -> Box:
    return tuple(  # type: ignore[return-value]
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box, whole, strict=True)
    )


def _level_on(surgery: Surgery, level: Float32Array, box: Box) -> Float32Array:
    inner = tuple(
        slice(part.start - whole.start, part.stop - whole.start) for part, whole in zip(box, surgery.box, strict=True)
    )
    return level[inner]


def residual_box(surgery: Surgery) -> Box:
    """The part of the grid that holds the residual and what it may grow into."""
    return _intersect(box_around(surgery.centre_mm, surgery.radius_mm + 22.0), surgery.box)


def residual_front(anatomy: Anatomy, surgery: Surgery, advances_mm: FloatArray) -> Front | None:
    """The residual at given advances of its margin, None when surgery left nothing that shows."""
    if surgery.residual_level is None:
        return None
    box = residual_box(surgery)
    level = _level_on(surgery, surgery.residual_level, box)
    front = expanding_front(box=box, level=level, tissue=_tissue(anatomy, surgery, box), advances_mm=advances_mm)
    return front if front.diameters_mm[0] >= 4.0 else None


def _focus_place(generator: Generator, anatomy: Anatomy, surgery: Surgery, *, distant: bool) -> FloatArray:
    """Where a new focus starts: 2 to 6 mm outside the cavity or residual, or 12 to 30 mm away."""
    level = surgery.cavity_level
    if surgery.residual_level is not None:
        level = np.minimum(level, surgery.residual_level)
    low, high = (12.0, 30.0) if distant else (2.0, 6.0)
    allowed = (anatomy.parenchyma[surgery.box] > 0.7) & (level > low) & (level < high)
    candidates = np.flatnonzero(allowed)
    if candidates.size == 0:
        candidates = np.flatnonzero((anatomy.parenchyma[surgery.box] > 0.5) & (level > 1.0))
    picked = np.unravel_index(candidates[generator.integers(candidates.size)], level.shape)
    voxel = np.array([part.start for part in surgery.box]) + np.array(picked)
    return np.asarray(SPACING_MM * (voxel.astype(np.float64) - GRID_CENTRE))


def _focus_box(surgery: Surgery, centre_mm: FloatArray) -> Box:
    return _intersect(box_around(centre_mm, FOCUS_HALF_WIDTH_MM), surgery.box)


def _new_focus(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, law: GrowthLaw, *, distant: bool
) -> tuple[Front, GrowthLaw]:
    """A focus that starts invisible and grows past the event threshold, and the law it turned out to follow."""
    centre = _focus_place(generator, anatomy, surgery, distant=distant)
    box = _focus_box(surgery, centre)
    tissue = _tissue(anatomy, surgery, box)
    distance = lumpy_distance(generator, offsets_mm(box, centre), np.ones(3), 0.12)
    width = generator.uniform(2.0, 3.5)
    if law == "reaction_diffusion":
        start = 0.075 * np.exp(-0.5 * (distance / 3.0) ** 2) * (tissue > 0.5)
        front = reaction_diffusion_front(
            box=box, start=start, white=anatomy.white[box], passable=tissue, front_width_mm=width
        )
        if front is not None:
            return front, law
    advances = np.arange(START_ADVANCE_MM, 26.0, 0.5)
    grown = expanding_front(box=box, level=distance, tissue=tissue, advances_mm=advances)
    return _cut_after_event(grown), "linear" if law == "reaction_diffusion" else law


def _cut_after_event(front: Front) -> Front:
    """Keep a front up to a stated advance beyond the event."""
    event = front.event_progress()
    if event is None:
        return front
    kept = front.progress <= event + ADVANCE_BEYOND_EVENT_MM
    return Front(
        box=front.box,
        progress=front.progress[kept],
        densities=front.densities[kept],
        diameters_mm=front.diameters_mm[kept],
    )


def _grown_residual(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, law: GrowthLaw
) -> tuple[Front | None, GrowthLaw]:
    """The residual as it grows past the event threshold, None if it cannot."""
    still = residual_front(anatomy, surgery, np.arange(0.0, 14.0, 0.5))
    if still is None:
        return None, law
    if law == "reaction_diffusion":
        box = still.box
        tissue = _tissue(anatomy, surgery, box)
        front = reaction_diffusion_front(
            box=box,
            start=still.densities[0],
            white=anatomy.white[box],
            passable=tissue,
            front_width_mm=generator.uniform(2.0, 3.5),
        )
        if front is not None:
            return front, law
    if still.event_progress() is None:
        return None, law
    return _cut_after_event(still), "linear" if law == "reaction_diffusion" else law


def draw_growing_lesion(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, *, event_day: float, high_grade: bool
) -> Lesion:
    """The lesion that causes the event, timed so that it passes the threshold on exactly that day.

    The velocity is drawn for the grade, and raised where needed so that growth starts after the first visit.
    """
    laws = list(GROWTH_LAWS)
    law = laws[generator.choice(len(laws), p=list(GROWTH_LAWS.values()))]
    kind = str(generator.choice(["margin", "distant", "residual"], p=[0.45, 0.10, 0.45]))
    front: Front | None = None
    if kind == "residual":
        front, law = _grown_residual(generator, anatomy, surgery, law)
    if front is None:
        kind = "margin" if kind == "residual" else kind
        front, law = _new_focus(generator, anatomy, surgery, law, distant=kind == "distant")
    event_progress = front.event_progress()
    for _ in range(MOST_ATTEMPTS):
        if event_progress is not None:
            break
        kind = "margin"
        front, law = _new_focus(generator, anatomy, surgery, "linear", distant=False)
        event_progress = front.event_progress()
    if event_progress is None:
        raise GliomaRiskError("A simulated focus found no room to grow past the event threshold.")
    if high_grade:
        velocity = clipped_log_normal(generator, 14.0, 0.4, 6.0, 35.0)
    else:
        velocity = clipped_log_normal(generator, 3.5, 0.5, 1.0, 12.0)
    start_radius = 0.5 * float(front.diameters_mm[0]) if kind == "residual" else START_RADIUS_MM
    final_radius = start_radius + 30.0
    needed = Clock(
        law=law, velocity_mm_per_year=1.0, onset_day=0.0, start_radius_mm=start_radius, final_radius_mm=final_radius
    ).days_to(event_progress)
    latest_start = event_day - 5.0
    velocity = max(velocity, needed / latest_start)
    clock = Clock(
        law=law,
        velocity_mm_per_year=velocity,
        onset_day=event_day - needed / velocity,
        start_radius_mm=start_radius,
        final_radius_mm=final_radius,
    )
    return Lesion(kind=kind, front=front, clock=clock)


def draw_quiet_residual(generator: Generator, anatomy: Anatomy, surgery: Surgery) -> Lesion | None:
    """The residual of a patient in whom it causes no event: it stays as it is, or slowly shrinks."""
    shrinks = generator.random() < SHRINKING_SHARE
    far = generator.uniform(0.1, 0.3) * surgery.radius_mm
    onset, constant = generator.uniform(60.0, 900.0), generator.uniform(300.0, 1200.0)
    advances = -np.linspace(0.0, far, 9) if shrinks else np.array([0.0])
    front = residual_front(anatomy, surgery, advances)
    if front is None:
        return None
    clock = Arrest(onset_day=onset, final_progress=far, time_constant_days=constant) if shrinks else None
    return Lesion(kind="residual", front=front, clock=clock)


def draw_arrested_lesion(generator: Generator, anatomy: Anatomy, surgery: Surgery) -> Lesion | None:
    """In some patients without an event: a lesion that grows a little, below the threshold, and stops."""
    arrests, on_residual = generator.random() < ARRESTED_SHARE, generator.random() < 0.5
    onset, constant = generator.uniform(30.0, 1200.0), generator.uniform(100.0, 400.0)
    if not arrests:
        return None
    front = residual_front(anatomy, surgery, np.arange(0.0, 4.0, 0.25)) if on_residual else None
    kind = "residual"
    if front is None:
        kind = "margin"
        front, _ = _new_focus(generator, anatomy, surgery, "linear", distant=False)
    event = front.event_progress()
    if event is None:
        return None
    final = generator.uniform(0.4, 0.8) * event
    clock = Arrest(onset_day=onset, final_progress=final, time_constant_days=constant)
    return Lesion(kind=kind, front=front, clock=clock)


def draw_lesions(
    *,
    fate: Generator,
    growth: Generator,
    residual: Generator,
    anatomy: Anatomy,
    surgery: Surgery,
    event_day: float | None,
    high_grade: bool,
) -> tuple[Lesion, ...]:
    """All true lesions: a quiet residual, if any, and what grows, if anything does. ``fate`` decides on arrest."""
    quiet = draw_quiet_residual(residual, anatomy, surgery)
    if event_day is None:
        moving = draw_arrested_lesion(fate, anatomy, surgery)
    else:
        moving = draw_growing_lesion(growth, anatomy, surgery, event_day=event_day, high_grade=high_grade)
    lesions = [lesion for lesion in (quiet, moving) if lesion is not None]
    if moving is not None and moving.kind == "residual":
        lesions = [moving]
    return tuple(lesions)
