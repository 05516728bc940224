"""A patient's true lesions: what surgery left, and what grows, apart from everything that only looks like it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from TemporalGliomaRisk.errors import GliomaRiskError
from TemporalGliomaRisk.simulate.anatomy import GRID_CENTRE, SPACING_MM, Anatomy
from TemporalGliomaRisk.simulate.clocks import Arrest, Start, clock_for, logistic_clock
from TemporalGliomaRisk.simulate.growth import (
    START_ADVANCE_MM,
    START_RADIUS_MM,
    Clock,
    Front,
    GrowthLaw,
    LogisticClock,
    expanding_front,
    reaction_diffusion_front,
)
from TemporalGliomaRisk.simulate.growth_ranges import VERSION_1, GrowthRanges
from TemporalGliomaRisk.simulate.patterns import along_tract, draw_tract, level_along_tract, surface_sheet
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator, clipped_log_normal
from TemporalGliomaRisk.simulate.surgery import Box, Surgery, box_around, lumpy_distance, offsets_mm
from TemporalGliomaRisk.timeline.volume import FloatArray

FOCUS_HALF_WIDTH_MM = 28.0
ADVANCE_BEYOND_EVENT_MM = 8.0
MOST_ATTEMPTS = 20


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One true lesion: its front, and the clock that moves it (None: it never moves)."""

    kind: str
    front: Front
    clock: Clock | LogisticClock | Arrest | None

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
    """The residual at given advances (n,) of its margin, None when surgery left nothing that shows."""
    if surgery.residual_level is None:
        return None
    box = residual_box(surgery)
    level = _level_on(surgery, surgery.residual_level, box)
    front = expanding_front(box=box, level=level, tissue=_tissue(anatomy, surgery, box), advances_mm=advances_mm)
    return front if front.diameters_mm[0] >= 4.0 else None


def _focus_place(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, ranges: GrowthRanges, *, kind: str
) -> FloatArray:
    """Where a new focus starts: 2 to 6 mm outside the cavity or residual, or at a distance; thin growth at either."""
    level = surgery.cavity_level
    if surgery.residual_level is not None:
        level = np.minimum(level, surgery.residual_level)
    low, high = {"distant": ranges.distant_mm, "leptomeningeal": (2.0, 30.0)}.get(kind, (2.0, 6.0))
    allowed = (anatomy.parenchyma[surgery.box] > 0.7) & (level > low) & (level < high)
    if kind == "leptomeningeal":
        allowed = (surface_sheet(anatomy.brain[surgery.box]) > 0.6) & (level > low) & (level < high)
    candidates = np.flatnonzero(allowed)
    if candidates.size == 0:
        candidates = np.flatnonzero((anatomy.parenchyma[surgery.box] > 0.5) & (level > 1.0))
    picked = np.unravel_index(candidates[generator.integers(candidates.size)], level.shape)
    voxel = np.array([part.start for part in surgery.box]) + np.array(picked)
    return np.asarray(SPACING_MM * (voxel.astype(np.float64) - GRID_CENTRE))


def _focus_box(surgery: Surgery, centre_mm: FloatArray) -> Box:
    return _intersect(box_around(centre_mm, FOCUS_HALF_WIDTH_MM), surgery.box)


def _new_focus(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, law: str, ranges: GrowthRanges, *, kind: str
) -> tuple[Front, str]:
    """A focus that starts invisible and grows past the event threshold, and the law it turned out to follow."""
    centre = _focus_place(generator, anatomy, surgery, ranges, kind=kind)
    box = _focus_box(surgery, centre)
    tissue = _tissue(anatomy, surgery, box)
    roughness = _between(generator, ranges.roughness)
    offsets = offsets_mm(box, centre)
    if kind == "leptomeningeal":
        distance = lumpy_distance(generator, offsets, np.ones(3), roughness)
        sheet = surface_sheet(anatomy.brain[box])
        advances = np.arange(START_ADVANCE_MM, 40.0, 1.0)
        grown = expanding_front(box=box, level=distance, tissue=sheet, advances_mm=advances)
        return _cut_after_event(grown), "linear" if law == "reaction_diffusion" else law
    if ranges.tract_stretch[1] > 1.0:
        stretch = generator.uniform(*ranges.tract_stretch)
        offsets = along_tract(offsets, draw_tract(generator), stretch, generator.uniform(-0.02, 0.02))
    distance = lumpy_distance(generator, offsets, np.ones(3), roughness)
    width = generator.uniform(*ranges.front_width_mm)
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


def _between(generator: Generator, limits: tuple[float, float]) -> float:
    """A draw between two limits, and no draw where they are one."""
    return limits[0] if limits[0] == limits[1] else generator.uniform(*limits)


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
    generator: Generator, anatomy: Anatomy, surgery: Surgery, law: str, ranges: GrowthRanges
) -> tuple[Front | None, str]:
    """The residual as it grows past the event threshold, None if it cannot."""
    grows = surgery
    if ranges.tract_stretch[1] > 1.0 and surgery.residual_level is not None:
        stretched = level_along_tract(
            surgery.residual_level,
            offsets_mm(surgery.box, surgery.centre_mm),
            draw_tract(generator),
            generator.uniform(*ranges.tract_stretch),
        )
        grows = replace(surgery, residual_level=stretched)
    still = residual_front(anatomy, grows, np.arange(0.0, 14.0, 0.5))
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
            front_width_mm=generator.uniform(*ranges.front_width_mm),
        )
        if front is not None:
            return front, law
    if still.event_progress() is None:
        return None, law
    return _cut_after_event(still), "linear" if law == "reaction_diffusion" else law


def draw_growing_lesion(
    generator: Generator,
    anatomy: Anatomy,
    surgery: Surgery,
    ranges: GrowthRanges = VERSION_1,
    *,
    event_day: float,
    high_grade: bool,
) -> Lesion:
    """The lesion that causes the event, timed so that it passes the threshold on exactly that day.

    The velocity is drawn for the grade, and raised where needed so that growth starts after the first visit.
    """
    laws = list(ranges.laws)
    law = laws[generator.choice(len(laws), p=list(ranges.laws.values()))]
    kind = str(generator.choice(list(ranges.kinds), p=list(ranges.kinds.values())))
    front: Front | None = None
    if kind == "residual":
        front, law = _grown_residual(generator, anatomy, surgery, law, ranges)
    if front is None:
        kind = "margin" if kind == "residual" else kind
        front, law = _new_focus(generator, anatomy, surgery, law, ranges, kind=kind)
    event_progress = front.event_progress()
    for _ in range(MOST_ATTEMPTS):
        if event_progress is not None:
            break
        kind, law = "margin", "logistic" if law == "logistic" else "linear"
        front, law = _new_focus(generator, anatomy, surgery, law, ranges, kind=kind)
        event_progress = front.event_progress()
    if event_progress is None:
        raise GliomaRiskError("A simulated focus found no room to grow past the event threshold.")
    velocity = clipped_log_normal(generator, *(ranges.high_grade_velocity if high_grade else ranges.low_grade_velocity))
    start = Start(
        radius_mm=0.5 * float(front.diameters_mm[0]) if kind == "residual" else START_RADIUS_MM,
        event_progress=event_progress,
        event_day=event_day,
    )
    clock = (
        logistic_clock(generator, velocity, start)
        if law == "logistic"
        else clock_for(cast(GrowthLaw, law), velocity, start)
    )
    return Lesion(kind=kind, front=front, clock=clock)


def draw_quiet_residual(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, ranges: GrowthRanges = VERSION_1
) -> Lesion | None:
    """The residual of a patient in whom it causes no event: it stays as it is, or slowly shrinks."""
    shrinks = generator.random() < ranges.shrinking_share
    far = generator.uniform(0.1, 0.3) * surgery.radius_mm
    onset, constant = generator.uniform(60.0, 900.0), generator.uniform(300.0, 1200.0)
    advances = -np.linspace(0.0, far, 9) if shrinks else np.array([0.0])
    front = residual_front(anatomy, surgery, advances)
    if front is None:
        return None
    clock = Arrest(onset_day=onset, final_progress=far, time_constant_days=constant) if shrinks else None
    return Lesion(kind="residual", front=front, clock=clock)


def draw_arrested_lesion(
    generator: Generator, anatomy: Anatomy, surgery: Surgery, ranges: GrowthRanges = VERSION_1
) -> Lesion | None:
    """In some patients without an event: a lesion that grows a little, below the threshold, and stops."""
    arrests, on_residual = generator.random() < ranges.arrested_share, generator.random() < 0.5
    onset, constant = generator.uniform(30.0, 1200.0), generator.uniform(100.0, 400.0)
    if not arrests:
        return None
    front = residual_front(anatomy, surgery, np.arange(0.0, 4.0, 0.25)) if on_residual else None
    kind = "residual"
    if front is None:
        kind = "margin"
        front, _ = _new_focus(generator, anatomy, surgery, "linear", ranges, kind=kind)
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
    ranges: GrowthRanges = VERSION_1,
) -> tuple[Lesion, ...]:
    """All true lesions: a quiet residual, if any, and what grows, if anything does. ``fate`` decides on arrest."""
    quiet = draw_quiet_residual(residual, anatomy, surgery, ranges)
    if event_day is None:
        moving = draw_arrested_lesion(fate, anatomy, surgery, ranges)
    else:
        moving = draw_growing_lesion(growth, anatomy, surgery, ranges, event_day=event_day, high_grade=high_grade)
    lesions = [lesion for lesion in (quiet, moving) if lesion is not None]
    if moving is not None and moving.kind == "residual":
        lesions = [moving]
    return tuple(lesions)
