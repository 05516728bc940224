"""What is true of a simulated patient, before any voxel of MRI: drawn from the seed, purpose by purpose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from TemporalGliomaRisk.simulate.anatomy import Anatomy, AnatomyRanges, draw_anatomy, draw_geometry
from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.contrast import TumourLook, draw_tumour_look
from TemporalGliomaRisk.simulate.findings import Findings, draw_findings, with_arachnoid_cyst
from TemporalGliomaRisk.simulate.growth import DAYS_PER_YEAR
from TemporalGliomaRisk.simulate.lesion import Lesion, draw_lesions
from TemporalGliomaRisk.simulate.outcome import draw_event_day
from TemporalGliomaRisk.simulate.population import POPULATION, Population
from TemporalGliomaRisk.simulate.randomness import stream
from TemporalGliomaRisk.simulate.reaction import Reactions, draw_reactions
from TemporalGliomaRisk.simulate.schedule import Schedule, visits_until
from TemporalGliomaRisk.simulate.surgery import Surgery, draw_surgery
from TemporalGliomaRisk.simulate.templates import further_anatomies
from TemporalGliomaRisk.timeline.volume import Geometry


@dataclass(frozen=True, kw_only=True)
class PatientTruth:
    """All that is true of a patient, without a single rendered voxel of MRI; ``seed`` is that of its streams."""

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
    findings: Findings | None

    @property
    def population(self) -> Population:
        """What the patient was drawn from."""
        return POPULATION[self.config.population]

    @property
    def patient_id(self) -> str:
        """BIDS label with its prefix."""
        return f"sub-{self.patient_number:05d}"

    @property
    def fate(self) -> str:
        """``recurrent`` if an event comes, even after the end of follow-up, else ``stable``."""
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

    def treatment_effect_diameter_at(self, day: float) -> float:
        """Diameter of the treatment effect that looks like progression on a day, mm; 0 where there is none."""
        effect = self.reactions.treatment_effect
        return 0.0 if effect is None else 2 * effect.radius_at(self.schedule.first_days_since_treatment + day)

    def growth_since_first(self, day: float) -> float:
        """Size of the child's brain on a day relative to the first visit."""
        scale = self.population.anatomy.scale
        return scale(self.age_years + day / DAYS_PER_YEAR) / scale(self.age_years)


def _anatomy_ranges(config: SimulationConfig) -> AnatomyRanges:
    """The population's, with the templates of the user's folder added."""
    ranges = POPULATION[config.population].anatomy
    if config.anatomies is None:
        return ranges
    return replace(ranges, templates=(*ranges.templates, *further_anatomies(config.anatomies)))


def draw_truth(config: SimulationConfig, seed: int, patient_number: int) -> PatientTruth:
    """A patient's anatomy, operation, fate, lesions and visits.

    The operation and all that shows at the first visit are drawn from streams of their own; fate is drawn from
    another, and uses the extent of resection only if the configuration says so.
    """
    stream_seed = config.stream_seed(seed)

    def purpose(name: str) -> np.random.Generator:
        return stream(stream_seed, patient_number, name)

    population = POPULATION[config.population]
    age = population.draw_age(purpose("age"))
    anatomy = draw_anatomy(purpose("anatomy"), age, _anatomy_ranges(config), config.anatomies)
    arachnoid_cyst_mm = None
    if population.findings is not None:
        anatomy, arachnoid_cyst_mm = with_arachnoid_cyst(purpose("arachnoid cyst"), anatomy, population.findings)
    surgery = draw_surgery(purpose("surgery"), anatomy)
    look = draw_tumour_look(purpose("look"), population.contrast)
    reactions = draw_reactions(purpose("reactions"), anatomy, surgery, population.reactions)
    schedule = population.draw_schedule(purpose("schedule"))
    findings = None
    if population.findings is not None:
        findings = draw_findings(
            purpose("findings"),
            anatomy,
            surgery,
            population.findings,
            first_visit_day=float(schedule.first_days_since_treatment),
            age_years=age,
            arachnoid_cyst_mm=arachnoid_cyst_mm,
        )
    fate = purpose("fate")
    drawn_day = draw_event_day(fate, config, surgery.extent, population.event_law)
    lesions = draw_lesions(
        fate=fate,
        growth=purpose("growth"),
        residual=purpose("residual"),
        anatomy=anatomy,
        surgery=surgery,
        event_day=drawn_day,
        high_grade=look.high_grade,
        ranges=population.growth,
    )
    event_day = None if drawn_day is None else int(np.ceil(drawn_day))
    observed = event_day is not None and event_day <= schedule.last_contact_day
    return PatientTruth(
        seed=stream_seed,
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
        findings=findings,
    )
