"""Patients learnt from again, with a lesion laid into their visits and the outcome that it means.

A cohort's visits end before the event, so the lesions that fine-tuning sees grow are small, and what it sees large is a
treatment effect that did no harm: from that alone it learns that large growth is harmless. Here the lesion of a patient
who stayed free of an event grows to any size, and the event is the day on which it passes the threshold that the
simulator has too (after RAPNO: 25 % in cross-section and 10 mm across). Others stand still, fade or pass, or are signal
voids, and change nothing.

Rows after that day are events at once. This is for training alone: no figure is made from such a patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.learn.implants import (
    ImplantConfig,
    Lesion,
    as_void,
    draw_lesion,
    log_uniform,
    random_voxel,
    uniform,
)
from TemporalGliomaRisk.learn.stored_patient import StoredPatient

COURSES = ("appears", "grows", "stays", "fades", "passes", "void")
WINDOW_VOXELS = 32
EVENT_PRODUCT_GROWTH = 1.25
EVENT_DIAMETER_MM = 10.0


@dataclass(frozen=True, kw_only=True)
class TimelineImplantConfig:
    """How lesions are laid into timelines.

    Args:
        share: Share of the patients with two visits or more and no event who are learnt from again.
        each: How often they are, each time with another lesion.
        courses: Chances of :data:`COURSES`: from nothing; from a smaller size; as large at every visit; smaller or gone
            from some visit on; at one visit only; a signal void at one visit only.
        diameter_mm: Range of the largest diameter at any visit; its logarithm is drawn evenly.
        smaller_share: Range of the first diameter over the last, where the lesion grows.
        look: What it looks like; chance, fates and sizes in it are not used.
    """

    share: float = 0.5
    each: int = 1
    courses: tuple[float, ...] = (0.4, 0.2, 0.12, 0.12, 0.06, 0.1)
    diameter_mm: tuple[float, ...] = (4.0, 30.0)
    smaller_share: tuple[float, ...] = (0.3, 0.8)
    look: ImplantConfig = field(default_factory=ImplantConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(f"A share of patients given an implant (--implants) is from 0 to 1, got {self.share}.")


@dataclass(frozen=True, kw_only=True)
class Course:
    """A lesion's diameter at every visit, and what follows from it.

    Args:
        diameters_mm: (visits,), 0 where it is not there.
        strengths: (visits,), of its signal.
        onset_day: Day from which it grows, None where it never does.
        event_day: Day on which it passes the threshold, None likewise.
        void: Whether it is a signal void.
    """

    diameters_mm: npt.NDArray[np.float64]
    strengths: npt.NDArray[np.float64]
    onset_day: float | None = None
    event_day: float | None = None
    void: bool = False


@dataclass(frozen=True, kw_only=True)
class ImplantedPatient(StoredPatient):
    """A stored patient with a lesion in every visit that has it; voxels stay the host's until they are read.

    Args:
        host: The patient whose visits they are, without the lesion.
        lesion: The lesion in its window.
        corner: The window's first voxel in the brain's grid.
        radii_voxels: (visits,), 0 where it is not there.
        strengths: (visits,).
        onset_day: Day from which it grows, None where it never does.
        void: Whether it is a signal void, which is no lesion.
    """

    host: StoredPatient
    lesion: Lesion
    corner: tuple[int, ...]
    radii_voxels: npt.NDArray[np.float64]
    strengths: npt.NDArray[np.float64]
    onset_day: float | None
    void: bool

    @cached_property
    def _window(self) -> tuple[slice, ...]:
        return tuple(slice(at, at + width) for at, width in zip(self.corner, self.lesion.inside.shape, strict=True))

    def visit_volumes(self, visit: int) -> npt.NDArray[np.float32]:
        """(4, I, J, K) float32 intensities with the lesion, zero where a sequence is absent."""
        volumes = super().visit_volumes(visit)
        window = (slice(None), *self._window)
        laid = self.lesion.laid_into(
            torch.from_numpy(volumes[window]), float(self.radii_voxels[visit]), float(self.strengths[visit])
        )
        volumes[window] = laid.numpy() * self.present[visit][:, None, None, None]
        return volumes

    @property
    def lesion_masks(self) -> npt.NDArray[np.bool_] | None:
        """(visits, I, J, K), the host's lesion and the one laid in; None where the host's is not known."""
        if self.lesions is None:
            return None
        masks = np.array(self.lesions)
        if self.void:
            return masks
        for visit, radius in enumerate(self.radii_voxels):
            masks[visit][self._window] |= self.lesion.mask(float(radius)).numpy()
        return masks

    def growth_between(
        self, one: int, two: int, window: tuple[slice, ...] = ()
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
        """As the host's, and wherever the lesion laid in has grown, its border included."""
        found = self.host.growth_between(one, two, window)
        if found is None or self.void:
            return found
        grown = np.zeros_like(self.brain)
        earlier, later = (self.lesion.mask(float(self.radii_voxels[visit])).numpy() for visit in (one, two))
        grown[self._window] = later & ~earlier
        return found[0] | grown[window], found[1] & ~grown[window]

    @property
    def row_ends(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """(visits,) days to the end of each row, and (visits,) whether an event ends it.

        A visit before the lesion's first growth tells nothing of it: its row is watched until that growth begins. A
        visit after the event's day is an event within a day.
        """
        days, events = super().row_ends
        if self.onset_day is None:
            return days, events
        before = self.days_since_first <= self.onset_day
        days = np.where(before, self.onset_day - self.days_since_first, days)
        return np.maximum(days, 1.0), ~before


def with_implants(
    patients: Sequence[StoredPatient], config: TimelineImplantConfig, *, grid_mm: float, seed: int
) -> list[StoredPatient]:
    """The patients who are learnt from again, each time with a lesion of its own.

    Args:
        patients: Training patients.
        config: How lesions are laid in.
        grid_mm: Edge of the model grid's voxels.
        seed: Of every draw; a patient's lesions do not depend on who else is in the cohort.
    """
    found: list[StoredPatient] = []
    for host in patients:
        digest = hashlib.sha256(f"{seed} {host.patient_id}".encode()).digest()
        random = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        if host.visits > 1 and not host.event_observed and uniform((0.0, 1.0), random) < config.share:
            for number in range(config.each):
                # Seed and number in the name keep features cached for one draw from being taken for another's.
                name = f"{host.patient_id}_implant-{seed}" + (f"-{number + 1}" if number else "")
                found.append(_implanted(host, name, config, grid_mm, random))
    return found


def _implanted(
    host: StoredPatient, name: str, config: TimelineImplantConfig, grid_mm: float, random: Generator
) -> ImplantedPatient:
    course = draw_course(host.days_since_first, config, random)
    brain = torch.from_numpy(host.brain)
    centre = random_voxel(brain, random)
    corner = [
        max(0, min(int(at) - WINDOW_VOXELS // 2, length - WINDOW_VOXELS))
        for at, length in zip(centre, brain.shape, strict=True)
    ]
    window = brain[tuple(slice(at, at + WINDOW_VOXELS) for at in corner)]
    lesion = draw_lesion(window.float(), centre - torch.tensor(corner), config.look, random)
    if course.void:
        lesion = as_void(lesion, config.look, random)
    facts = {name: getattr(host, name) for name in StoredPatient.__dataclass_fields__}
    event = {} if course.event_day is None else {"event_observed": True, "follow_up_days": course.event_day}
    return ImplantedPatient(
        **{**facts, **event, "patient_id": name},
        host=host,
        lesion=lesion,
        corner=tuple(corner),
        radii_voxels=course.diameters_mm / 2 / grid_mm,
        strengths=course.strengths,
        onset_day=course.onset_day,
        void=course.void,
    )


def draw_course(days: npt.NDArray[np.float64], config: TimelineImplantConfig, random: Generator) -> Course:
    """A lesion's course over visits on these days, (visits,), two or more."""
    kind = COURSES[int(torch.multinomial(torch.tensor(config.courses), 1, generator=random))]
    largest = log_uniform(config.diameter_mm, random)
    visits = len(days)
    turning = 1 + int(torch.randint(visits - 1, (), generator=random))
    if kind in ("appears", "grows"):
        first = largest * uniform(config.smaller_share, random) if kind == "grows" else 0.0
        return _growing(days, first, largest, uniform((days[turning - 1], days[turning]), random))
    present = np.ones(visits)
    strengths = np.ones(visits)
    if kind in ("passes", "void"):
        present = np.arange(visits) == turning
    elif kind == "fades":
        present[turning:] = 0.0 if uniform((0.0, 1.0), random) < 0.5 else uniform((0.3, 1.0), random)
        strengths[turning:] = uniform((0.2, 0.7), random)
    return Course(diameters_mm=largest * present, strengths=strengths, void=kind == "void")


def _growing(days: npt.NDArray[np.float64], first_mm: float, last_mm: float, onset: float) -> Course:
    """Growth at a constant rate from a day on, to a diameter at the last visit."""
    rate = (last_mm - first_mm) / (days[-1] - onset)
    diameters = first_mm + rate * np.clip(days - onset, 0, None)
    threshold = max(EVENT_DIAMETER_MM, first_mm * EVENT_PRODUCT_GROWTH**0.5)
    return Course(
        diameters_mm=diameters,
        strengths=np.ones(len(days)),
        onset_day=onset,
        event_day=onset + (threshold - first_mm) / rate,
    )
