"""How a lesion grows: fronts of cell density over a progress scale, and clocks from days to progress.

A front is computed once, whatever its speed: for reaction-diffusion the progress is the number of days at the nominal
velocity (speeding up diffusion and proliferation alike only rescales time), for the other laws it is the millimetres
that the margin has advanced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from TemporalGliomaRisk.simulate.anatomy import SPACING_MM
from TemporalGliomaRisk.simulate.randomness import Float32Array
from TemporalGliomaRisk.simulate.surgery import Box
from TemporalGliomaRisk.timeline.volume import FloatArray

GrowthLaw = Literal["reaction_diffusion", "linear", "exponential", "gompertz"]

NOMINAL_VELOCITY_MM_PER_YEAR = 10.0
DAYS_PER_YEAR = 365.25
VISIBLE_DENSITY = 0.16
"""Share of the carrying capacity at which T2-weighted MRI shows tumour."""
GREY_DIFFUSION_SHARE = 0.2
"""Diffusion in grey matter relative to white."""
EVENT_PRODUCT_GROWTH = 1.25
EVENT_DIAMETER_MM = 10.0
ESTABLISHED_RADIUS_MM = 8.0
"""Radius (counted from the invisible start) at which a law that is not linear has its stated velocity."""
START_RADIUS_MM = 1.0
STEP_DAYS, LONGEST_DAYS, DAYS_BEYOND_EVENT = 10.0, 1800.0, 300.0
"""Reaction-diffusion: its time step, how long it may take to reach the event, and how far beyond that it runs."""
EDGE_MM = 0.8
"""Width of the logistic edge of a lesion whose margin advances along a distance map."""
START_ADVANCE_MM = -2.0
"""A new focus starts with its margin this far below its centre, which is just invisible."""


@dataclass(frozen=True, kw_only=True)
class Front:
    """A lesion's density at rising progress.

    Args:
        box: The part of the grid it lives on.
        progress: (n,), rising from 0.
        densities: (n, i, j, k) share of the carrying capacity.
        diameters_mm: (n,), diameter of the disc with the area of the largest visible cross-section.
    """

    box: Box
    progress: FloatArray
    densities: Float32Array
    diameters_mm: FloatArray

    def density_at(self, progress: float) -> Float32Array:
        """(i, j, k) density, linear between the stored ones, constant beyond them."""
        place = float(np.interp(progress, self.progress, np.arange(len(self.progress))))
        before = min(int(place), len(self.progress) - 1)
        after = min(before + 1, len(self.progress) - 1)
        share = np.float32(place - before)
        return np.asarray((1 - share) * self.densities[before] + share * self.densities[after])

    def diameter_at(self, progress: float) -> float:
        """Diameter in mm at a progress, linear between the stored ones."""
        return float(np.interp(progress, self.progress, self.diameters_mm))

    def event_progress(self) -> float | None:
        """Progress at which growth first passes the event threshold, None if it never does.

        The threshold, after RAPNO: the cross-section's product of diameters at least 25 % over the smallest so far,
        and at least 10 mm across.
        """
        smallest = np.minimum.accumulate(self.diameters_mm)
        needed = np.maximum(np.sqrt(EVENT_PRODUCT_GROWTH) * smallest, EVENT_DIAMETER_MM)
        excess = self.diameters_mm - needed
        passed = np.flatnonzero(excess >= 0)
        if passed.size == 0:
            return None
        first = int(passed[0])
        if first == 0:
            return float(self.progress[0])
        share = -excess[first - 1] / (excess[first] - excess[first - 1])
        return float(self.progress[first - 1] + share * (self.progress[first] - self.progress[first - 1]))


def visible_fraction(density: Float32Array) -> Float32Array:
    """Of a density of any shape, how far a voxel shows as tumour: 0 to 1, one half at the visible density."""
    return np.asarray(np.clip((density - 0.5 * VISIBLE_DENSITY) / VISIBLE_DENSITY, 0.0, 1.0), dtype=np.float32)


def cross_section_diameter_mm(density: Float32Array) -> float:
    """Diameter of the disc with the area of a density's (i, j, k) largest visible section along i, j or k."""
    visible = visible_fraction(density)
    sections = [visible.sum(axis=axes).max() for axes in ((1, 2), (0, 2), (0, 1))]
    return float(np.sqrt(4.0 / np.pi * max(sections)) * SPACING_MM)


def front_of(box: Box, progress: FloatArray, densities: Float32Array) -> Front:
    """The front of densities (n, i, j, k) at progress (n,), with its diameters measured."""
    diameters = np.array([cross_section_diameter_mm(density) for density in densities])
    return Front(box=box, progress=np.asarray(progress, dtype=np.float64), densities=densities, diameters_mm=diameters)


def _conductances(diffusion: Float32Array, passable: Float32Array) -> list[Float32Array]:
    """Diffusion across every face along each axis: harmonic mean of its voxels, nothing into fluid or out of brain."""
    faces = []
    open_voxel = passable > 0.5
    for axis in range(3):
        lower = np.take(diffusion, range(diffusion.shape[axis] - 1), axis=axis)
        upper = np.take(diffusion, range(1, diffusion.shape[axis]), axis=axis)
        both = np.take(open_voxel, range(diffusion.shape[axis] - 1), axis=axis) & np.take(
            open_voxel, range(1, diffusion.shape[axis]), axis=axis
        )
        faces.append(np.where(both, 2.0 * lower * upper / np.maximum(lower + upper, 1e-9), 0.0).astype(np.float32))
    return faces


def reaction_diffusion_step(
    density: Float32Array, faces: list[Float32Array], proliferation_per_day: float, days: float
) -> Float32Array:
    """(i, j, k), a density after one explicit step of Fisher-KPP: diffusion over the faces, logistic growth.

    Args:
        density: (i, j, k), share of the carrying capacity.
        faces: Diffusion over the faces between neighbours along each axis, mm2 a day; 0 where a face is closed.
        proliferation_per_day: Of the logistic growth.
        days: Length of the step.
    """
    change = np.float32(proliferation_per_day) * density * (1.0 - density)
    per_area = np.float32(1.0 / SPACING_MM**2)
    for axis, face in enumerate(faces):
        flux = face * np.diff(density, axis=axis) * per_area
        lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        change[lower] += flux
        change[upper] -= flux
    return np.asarray(density + np.float32(days) * change, dtype=np.float32)


def reaction_diffusion_front(
    *,
    box: Box,
    start: Float32Array,
    white: Float32Array,
    passable: Float32Array,
    front_width_mm: float,
) -> Front | None:
    """Grow a lesion by Fisher-KPP at the nominal velocity until well beyond the event; None if it gets nowhere.

    Velocity v = 2 sqrt(D rho) and width w = sqrt(D / rho) give D = v w / 2 and rho = v / (2 w), in white matter.

    Args:
        box: Where.
        start: (i, j, k), the density that it begins with.
        white: (i, j, k), share of white matter.
        passable: (i, j, k), above one half where cells can live.
        front_width_mm: Width w of the front.
    """
    velocity = NOMINAL_VELOCITY_MM_PER_YEAR / DAYS_PER_YEAR
    diffusion = 0.5 * velocity * front_width_mm
    proliferation = 0.5 * velocity / front_width_mm
    local = diffusion * (GREY_DIFFUSION_SHARE + (1.0 - GREY_DIFFUSION_SHARE) * white)
    faces = _conductances(local.astype(np.float32), passable)
    densities, diameters = [start.astype(np.float32)], [cross_section_diameter_mm(start)]
    event_step: int | None = None
    for step in range(1, int(LONGEST_DAYS / STEP_DAYS) + 1):
        densities.append(reaction_diffusion_step(densities[-1], faces, proliferation, STEP_DAYS))
        diameters.append(cross_section_diameter_mm(densities[-1]))
        needed = max(np.sqrt(EVENT_PRODUCT_GROWTH) * min(diameters), EVENT_DIAMETER_MM)
        if event_step is None and diameters[-1] >= needed:
            event_step = step
        if event_step is not None and step - event_step >= DAYS_BEYOND_EVENT / STEP_DAYS:
            break
    if event_step is None:
        return None
    progress = STEP_DAYS * np.arange(len(densities), dtype=np.float64)
    return Front(box=box, progress=progress, densities=np.stack(densities), diameters_mm=np.array(diameters))


def expanding_front(*, box: Box, level: Float32Array, tissue: Float32Array, advances_mm: FloatArray) -> Front:
    """A lesion whose margin advances along a distance map: density falls from 1 to 0 over the edge.

    Args:
        box: Where.
        level: (i, j, k) distance beyond the margin that the lesion starts with, mm, negative inside.
        tissue: (i, j, k) share of each voxel that can hold tumour.
        advances_mm: (n,) advances of the margin, rising (growth) or falling (shrinkage); their distance from the
            first becomes the progress.
    """
    advances = np.asarray(advances_mm, dtype=np.float32)[:, None, None, None]
    steepness = np.clip((advances - level[None]) / np.float32(EDGE_MM), -30.0, 30.0)
    densities = (tissue[None] / (1.0 + np.exp(-steepness))).astype(np.float32)
    return front_of(box, np.abs(np.asarray(advances_mm) - advances_mm[0]), densities)


@dataclass(frozen=True, kw_only=True)
class Clock:
    """From a day to a front's progress, for a law, a velocity and the day on which growth starts.

    Args:
        law: Growth law.
        velocity_mm_per_year: Radial velocity: of the front (reaction-diffusion, linear), or when the radius is
            ``reference_radius_mm`` (exponential, Gompertz).
        onset_day: Day of the timeline on which growth starts.
        start_radius_mm: Radius at progress 0.
        final_radius_mm: Where a Gompertz law levels off.
    """

    law: GrowthLaw
    velocity_mm_per_year: float
    onset_day: float
    start_radius_mm: float = START_RADIUS_MM
    final_radius_mm: float = 40.0

    @property
    def reference_radius_mm(self) -> float:
        """Radius at which a law that is not linear has its velocity."""
        return max(ESTABLISHED_RADIUS_MM, self.start_radius_mm)

    def progress_at(self, day: float) -> float:
        """Progress on a day, 0 before the onset."""
        elapsed = max(0.0, day - self.onset_day)
        daily = self.velocity_mm_per_year / DAYS_PER_YEAR
        start, reference, final = self.start_radius_mm, self.reference_radius_mm, self.final_radius_mm
        if self.law == "reaction_diffusion":
            return elapsed * self.velocity_mm_per_year / NOMINAL_VELOCITY_MM_PER_YEAR
        if self.law == "linear":
            return elapsed * daily
        if self.law == "exponential":
            return start * float(np.expm1(min(elapsed * daily / reference, 5.0)))
        rate = daily / (reference * np.log(final / reference))
        return final * float((start / final) ** np.exp(-rate * elapsed)) - start

    def days_to(self, progress: float) -> float:
        """Days from the onset to a progress: the inverse of :meth:`progress_at`."""
        daily = self.velocity_mm_per_year / DAYS_PER_YEAR
        start, reference, final = self.start_radius_mm, self.reference_radius_mm, self.final_radius_mm
        if self.law == "reaction_diffusion":
            return progress * NOMINAL_VELOCITY_MM_PER_YEAR / self.velocity_mm_per_year
        if self.law == "linear":
            return progress / daily
        if self.law == "exponential":
            return float(np.log1p(progress / start) * reference / daily)
        rate = daily / (reference * np.log(final / reference))
        return float(-np.log(np.log((start + progress) / final) / np.log(start / final)) / rate)


@dataclass(frozen=True, kw_only=True)
class LogisticClock:
    """From a day to a front's progress: a small lesion shows, waits, then grows logistically in volume.

    dV/dt = k V (1 - V / V_final). Not among the laws of the populations that models are trained on.

    Args:
        velocity_mm_per_year: Radial velocity when the radius is ``reference_radius_mm``.
        onset_day: Day of the timeline on which the lesion begins to show.
        start_radius_mm: Radius at progress 0.
        seed_mm: Progress at which it waits; reached over ``appearing_days``.
        appearing_days: Days from the onset to the wait.
        lag_days: How long it waits.
        final_radius_mm: Where it levels off.
    """

    velocity_mm_per_year: float
    onset_day: float
    start_radius_mm: float
    seed_mm: float
    appearing_days: float
    lag_days: float
    final_radius_mm: float
    law: str = "logistic"

    @property
    def reference_radius_mm(self) -> float:
        """Radius at which it has its stated velocity."""
        return max(ESTABLISHED_RADIUS_MM, self.start_radius_mm + self.seed_mm)

    @property
    def _rate_per_day(self) -> float:
        reference = self.reference_radius_mm
        free = 1.0 - (reference / self.final_radius_mm) ** 3
        return 3.0 * self.velocity_mm_per_year / DAYS_PER_YEAR / (reference * free)

    @property
    def _room(self) -> float:
        """Free share of the final volume over the taken one, when growth sets in."""
        return (self.final_radius_mm / (self.start_radius_mm + self.seed_mm)) ** 3 - 1.0

    def progress_at(self, day: float) -> float:
        """Progress on a day, 0 before the onset."""
        elapsed = max(0.0, day - self.onset_day)
        growing = elapsed - self.appearing_days - self.lag_days
        if growing <= 0:
            return self.seed_mm * min(1.0, elapsed / max(self.appearing_days, 1e-9))
        radius = self.final_radius_mm * (1.0 + self._room * np.exp(-self._rate_per_day * growing)) ** (-1.0 / 3.0)
        return float(radius - self.start_radius_mm)

    def days_to(self, progress: float) -> float:
        """Days from the onset to a progress beyond the wait's: the inverse of :meth:`progress_at`."""
        free = (self.final_radius_mm / (self.start_radius_mm + progress)) ** 3 - 1.0
        return self.appearing_days + self.lag_days + float(np.log(self._room / free) / self._rate_per_day)
