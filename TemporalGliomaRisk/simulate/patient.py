"""One simulated patient, from a seed: the truth first, then the volumes that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.simulate.anatomy import (
    GRID_SHAPE,
    Anatomy,
    draw_anatomy,
    draw_geometry,
    head_scale,
)
from TemporalGliomaRisk.simulate.config import HORIZON_DAYS, SIMULATOR_VERSION, SimulationConfig
from TemporalGliomaRisk.simulate.contrast import (
    SIGNALS,
    TumourLook,
    VisitScene,
    draw_scene,
    draw_tumour_look,
    render_signal,
    vary_signals,
)
from TemporalGliomaRisk.simulate.growth import DAYS_PER_YEAR, Clock
from TemporalGliomaRisk.simulate.lesion import HIGH_GRADE_SHARE, Lesion, draw_lesions
from TemporalGliomaRisk.simulate.outcome import draw_event_day
from TemporalGliomaRisk.simulate.randomness import Float32Array, stream
from TemporalGliomaRisk.simulate.reaction import Reactions, draw_reactions, reaction_maps
from TemporalGliomaRisk.simulate.scanner import VisitScanner, acquire, draw_visit_scanner, grown_points
from TemporalGliomaRisk.simulate.schedule import Schedule, draw_schedule, visits_until
from TemporalGliomaRisk.simulate.surgery import Extent, Surgery, draw_surgery
from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName, Timeline, Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import BoolArray, Geometry, Volume

PROTOCOLS: dict[tuple[SequenceName, ...], float] = {
    ("FLAIR", "T2w", "T1w", "ce-gd_T1w"): 0.25,
    ("FLAIR", "ce-gd_T1w"): 0.30,
    ("FLAIR", "T2w", "ce-gd_T1w"): 0.10,
    ("FLAIR", "T1w"): 0.05,
    ("T2w", "T1w"): 0.07,
    ("T2w", "ce-gd_T1w"): 0.08,
    ("FLAIR",): 0.15,
}
SEQUENCE_MISSING_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class PatientTruth:
    """All that is true of a patient, without a single rendered voxel of MRI."""

    seed: int
    patient_number: int
    config: SimulationConfig
    age_years: float
    geometry: Geometry
    anatomy: Anatomy
    surgery: Surgery
    reactions: Reactions
    look: TumourLook
    lesions: tuple[Lesion, ...]
    schedule: Schedule
    visit_days: tuple[int, ...]
    event_day: int | None

    @property
    def patient_id(self) -> str:
        """BIDS label with its prefix."""
        return f"sub-{self.patient_number:05d}"

    @property
    def fate(self) -> str:
        """``recurrent`` when an event comes, be it after the end of follow-up, else ``stable``."""
        return "stable" if self.event_day is None else "recurrent"

    @property
    def event_observed(self) -> bool:
        """Whether the event comes before the end of follow-up."""
        return self.event_day is not None and self.event_day <= self.schedule.last_contact_day

    @property
    def follow_up_days(self) -> int:
        """Days from the first visit to the event if observed, else to the last contact."""
        if self.event_day is not None and self.event_observed:
            return self.event_day
        return self.schedule.last_contact_day

    @property
    def event_day_at_visit(self) -> int | None:
        """Day of the first visit on or after the event, None if there was none."""
        if self.event_day is None:
            return None
        return next((day for day in self.visit_days if day >= self.event_day), None)

    def diameters_at(self, day: float) -> dict[str, float]:
        """True diameter of each lesion's largest visible cross-section, mm, by the lesion's kind."""
        return {lesion.kind: lesion.diameter_at(day) for lesion in self.lesions}

    def diameter_at(self, day: float) -> float:
        """Diameter of the disc whose area is that of all lesions' largest cross-sections together, mm."""
        return float(np.sqrt(sum(diameter**2 for diameter in self.diameters_at(day).values())))

    def growth_since_first(self, day: float) -> float:
        """Size of the child's brain on a day relative to the first visit."""
        return head_scale(self.age_years + day / DAYS_PER_YEAR) / head_scale(self.age_years)


@dataclass(frozen=True, kw_only=True)
class SimulatedVisit:
    """One rendered visit.

    Args:
        session_id: BIDS label with its prefix.
        days_since_first: Days since the first visit.
        days_since_treatment: Days since surgery.
        volumes: By pulse sequence; on the patient's grid.
        lesion: (I, J, K) true visible tumour on that grid, the child's growth included, misregistration not.
        lesion_diameter_mm: Diameter of the disc with the area of all lesions' largest visible cross-sections.
        lesion_diameters_mm: The same for each lesion.
    """

    session_id: str
    days_since_first: int
    days_since_treatment: int
    volumes: Mapping[SequenceName, Volume]
    lesion: BoolArray
    lesion_diameter_mm: float
    lesion_diameters_mm: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class SimulatedPatient:
    """A patient as rendered, with the truth beside."""

    patient_id: str
    visits: tuple[SimulatedVisit, ...]
    geometry: Geometry
    brain_mask: BoolArray
    event_observed: bool
    event_day: int | None
    event_day_at_visit: int | None
    follow_up_days: int
    fate: str
    extent_of_resection: Extent
    distractors: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def timeline(self) -> Timeline:
        """The visits as the rest of the package takes them."""
        return Timeline(
            patient_id=self.patient_id,
            visits=tuple(
                Visit(
                    session_id=visit.session_id,
                    days_since_first=visit.days_since_first,
                    days_since_treatment=visit.days_since_treatment,
                    sources={name: VolumeInMemory(volume=volume) for name, volume in visit.volumes.items()},
                )
                for visit in self.visits
            ),
        )


def draw_truth(config: SimulationConfig, seed: int, patient_number: int) -> PatientTruth:
    """A patient's anatomy, operation, fate, lesions and visits.

    The operation and all that shows at the first visit are drawn from streams of their own; fate is drawn from
    another, and uses the extent of resection only if the configuration says so.
    """

    def purpose(name: str) -> np.random.Generator:
        return stream(seed, patient_number, name)

    age = float(purpose("age").uniform(1.5, 18.0))
    anatomy = draw_anatomy(purpose("anatomy"), age)
    surgery = draw_surgery(purpose("surgery"), anatomy)
    look = draw_tumour_look(purpose("look"), HIGH_GRADE_SHARE)
    reactions = draw_reactions(purpose("reactions"), anatomy, surgery)
    schedule = draw_schedule(purpose("schedule"))
    fate = purpose("fate")
    drawn_day = draw_event_day(fate, config, surgery.extent)
    lesions = draw_lesions(
        fate=fate,
        growth=purpose("growth"),
        residual=purpose("residual"),
        anatomy=anatomy,
        surgery=surgery,
        event_day=drawn_day,
        high_grade=look.high_grade,
    )
    event_day = None if drawn_day is None else int(np.ceil(drawn_day))
    observed = event_day is not None and event_day <= schedule.last_contact_day
    return PatientTruth(
        seed=seed,
        patient_number=patient_number,
        config=config,
        age_years=age,
        geometry=draw_geometry(purpose("geometry")),
        anatomy=anatomy,
        surgery=surgery,
        reactions=reactions,
        look=look,
        lesions=lesions,
        schedule=schedule,
        visit_days=visits_until(schedule, event_day if observed else None),
        event_day=event_day,
    )


def simulate_patient(config: SimulationConfig, seed: int, patient_number: int) -> SimulatedPatient:
    """Draw one patient and render every visit.

    Args:
        config: What kind of cohort.
        seed: The cohort's seed.
        patient_number: Which patient of it, from 1; no other patient changes this one.

    Returns:
        The patient, the same to the bit for the same arguments.
    """
    truth = draw_truth(config, seed, patient_number)
    return SimulatedPatient(
        patient_id=truth.patient_id,
        visits=tuple(_render_visit(truth, number) for number in range(len(truth.visit_days))),
        geometry=truth.geometry,
        brain_mask=truth.anatomy.brain,
        event_observed=truth.event_observed,
        event_day=truth.event_day,
        event_day_at_visit=truth.event_day_at_visit,
        follow_up_days=truth.follow_up_days,
        fate=truth.fate,
        extent_of_resection=truth.surgery.extent,
        distractors=distractors_of(truth),
        parameters=parameters_of(truth),
    )


def draw_protocol(truth: PatientTruth, visit_number: int) -> tuple[SequenceName, ...]:
    """The sequences of one visit: the patient's protocol, seldom with one missing."""
    generator = stream(truth.seed, truth.patient_number, "protocol")
    protocols = list(PROTOCOLS)
    protocol = protocols[generator.choice(len(protocols), p=list(PROTOCOLS.values()))]
    missing = stream(truth.seed, truth.patient_number, "missing", visit_number)
    if len(protocol) > 1 and missing.random() < SEQUENCE_MISSING_SHARE * len(protocol):
        left_out = protocol[missing.integers(len(protocol))]
        protocol = tuple(name for name in protocol if name != left_out)
    return protocol


def scene_of(truth: PatientTruth, visit_number: int) -> VisitScene:
    """What is in the head at a visit (from 0)."""
    day = truth.visit_days[visit_number]
    since_surgery = truth.schedule.first_days_since_treatment + day
    maps = reaction_maps(truth.reactions, truth.anatomy, truth.surgery, since_surgery)
    return draw_scene(truth.lesions, maps, truth.surgery, truth.look, day)


def _render_visit(truth: PatientTruth, visit_number: int) -> SimulatedVisit:
    day = truth.visit_days[visit_number]
    scene = scene_of(truth, visit_number)
    purpose = ("scanner", visit_number)
    scanner = draw_visit_scanner(stream(truth.seed, truth.patient_number, *purpose), first_visit=visit_number == 0)
    growth = truth.growth_since_first(day)
    brain = _moved_mask(truth.anatomy.brain.astype(np.float32), growth, scanner)
    i, j, k = np.nonzero(brain)
    protocol = draw_protocol(truth, visit_number)
    wanted = truth.config.sequences
    rendered = tuple(name for name in protocol if name in wanted) or tuple(n for n in SEQUENCES if n in wanted)
    volumes: dict[SequenceName, Volume] = {}
    for sequence in rendered:
        generator = stream(truth.seed, truth.patient_number, "sequence", visit_number, sequence)
        signals = vary_signals(generator, SIGNALS[sequence])
        signal = render_signal(
            anatomy=truth.anatomy,
            surgery=truth.surgery,
            reactions=truth.reactions,
            scene=scene,
            look=truth.look,
            signals=signals,
        )
        voxels = acquire(
            generator,
            signal,
            sequence=sequence,
            visit=scanner,
            growth=growth,
            brain_index=(i, j, k),
            brain=brain,
            white_signal=signals.white,
            first_of_visit=sequence == protocol[0],
        )
        volumes[sequence] = Volume(voxels=voxels, geometry=truth.geometry)
    return SimulatedVisit(
        session_id=f"ses-{visit_number + 1:02d}",
        days_since_first=day,
        days_since_treatment=truth.schedule.first_days_since_treatment + day,
        volumes=volumes,
        lesion=lesion_mask(truth, scene, growth),
        lesion_diameter_mm=truth.diameter_at(day),
        lesion_diameters_mm=truth.diameters_at(day),
    )


def _moved_mask(mask: Float32Array, growth: float, scanner: VisitScanner) -> BoolArray:
    """A mask of the first visit as a visit's grid shows it."""
    if growth == 1.0 and not scanner.shift_mm.any():
        return np.asarray(mask > 0.5)
    voxels = np.indices(GRID_SHAPE, dtype=np.float32).reshape(3, -1)
    places = grown_points(voxels, growth, scanner.angles_radians, scanner.shift_mm)
    return np.asarray(ndimage.map_coordinates(mask, places, order=1).reshape(GRID_SHAPE) > 0.5)


def lesion_mask(truth: PatientTruth, scene: VisitScene, growth: float) -> BoolArray:
    """(I, J, K) visible tumour at a visit, moved with the child's growth."""
    mask = np.zeros(GRID_SHAPE, dtype=bool)
    box = truth.surgery.box
    starts = np.array([part.start for part in box], dtype=np.float32)
    voxels = np.indices(scene.tumour.shape, dtype=np.float32).reshape(3, -1) + starts[:, None]
    places = grown_points(voxels, growth, np.zeros(3), np.zeros(3)) - starts[:, None]
    moved = ndimage.map_coordinates(scene.tumour, places, order=1, mode="nearest").reshape(scene.tumour.shape)
    mask[box] = (moved > 0.5) & truth.anatomy.brain[box]
    return mask


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
        "arrested_growth": any(
            lesion.clock is not None and not isinstance(lesion.clock, Clock) and not _shrinks(lesion)
            for lesion in truth.lesions
        ),
    }
    return tuple(name for name, is_there in found.items() if is_there)


def _shrinks(lesion: Lesion) -> bool:
    return lesion.clock is not None and lesion.front.diameters_mm[-1] < lesion.front.diameters_mm[0]


def parameters_of(truth: PatientTruth) -> dict[str, Any]:
    """What was drawn, for the truth file; units in the names."""
    growing = next((lesion for lesion in truth.lesions if isinstance(lesion.clock, Clock)), None)
    clock = growing.clock if growing is not None else None
    effect = truth.reactions.treatment_effect
    return {
        "simulator_version": SIMULATOR_VERSION,
        "horizon_days": HORIZON_DAYS,
        "age_years": round(truth.age_years, 3),
        "region": truth.surgery.region,
        "tumour_radius_before_surgery_mm": round(truth.surgery.radius_mm, 3),
        "high_grade": truth.look.high_grade,
        "enhances": truth.look.enhances,
        "smallest_jacobian": round(truth.anatomy.smallest_jacobian, 4),
        "growth_origin": growing.kind if growing is not None else None,
        "growth_law": clock.law if isinstance(clock, Clock) else None,
        "growth_velocity_mm_per_year": round(clock.velocity_mm_per_year, 3) if isinstance(clock, Clock) else None,
        "growth_onset_day": round(clock.onset_day, 1) if isinstance(clock, Clock) else None,
        "treatment_effect_onset_days_since_treatment": round(effect.onset_day, 1) if effect else None,
        "treatment_effect_peak_radius_mm": round(effect.peak_radius_mm, 2) if effect else None,
        "lesion_kinds": [lesion.kind for lesion in truth.lesions],
    }
