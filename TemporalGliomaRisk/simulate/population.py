"""The populations: ``main`` (version 1), ``wide`` (to train on) and ``shifted`` (to evaluate on, never to train on).

What is not said here is as in version 1. PHYSICS.md tells each value's source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from TemporalGliomaRisk.simulate.anatomy import AnatomyRanges, infant_head_scale
from TemporalGliomaRisk.simulate.config import PopulationName
from TemporalGliomaRisk.simulate.contrast import ContrastRanges
from TemporalGliomaRisk.simulate.findings import FindingShares
from TemporalGliomaRisk.simulate.growth_ranges import GrowthRanges
from TemporalGliomaRisk.simulate.low_field import low_field_signals
from TemporalGliomaRisk.simulate.outcome import EventLaw
from TemporalGliomaRisk.simulate.randomness import Generator
from TemporalGliomaRisk.simulate.reaction import ReactionRanges
from TemporalGliomaRisk.simulate.scanner import ScannerRanges
from TemporalGliomaRisk.simulate.schedule import (
    Schedule,
    draw_schedule,
    draw_shifted_schedule,
    draw_wide_schedule,
)
from TemporalGliomaRisk.timeline.visit import SequenceName

Protocols = Mapping[tuple[SequenceName, ...], float]

PROTOCOLS: Protocols = {
    ("FLAIR", "T2w", "T1w", "ce-gd_T1w"): 0.25,
    ("FLAIR", "ce-gd_T1w"): 0.30,
    ("FLAIR", "T2w", "ce-gd_T1w"): 0.10,
    ("FLAIR", "T1w"): 0.05,
    ("T2w", "T1w"): 0.07,
    ("T2w", "ce-gd_T1w"): 0.08,
    ("FLAIR",): 0.15,
}
WIDE_PROTOCOLS: Protocols = {
    ("FLAIR", "T2w", "T1w", "ce-gd_T1w"): 0.22,
    ("FLAIR", "ce-gd_T1w"): 0.18,
    ("FLAIR", "T2w", "ce-gd_T1w"): 0.10,
    ("FLAIR", "T2w"): 0.08,
    ("FLAIR", "T1w"): 0.06,
    ("T2w", "T1w"): 0.06,
    ("T2w", "ce-gd_T1w"): 0.06,
    ("FLAIR",): 0.10,
    ("T2w",): 0.06,
    ("ce-gd_T1w",): 0.05,
    ("T1w",): 0.03,
}


@dataclass(frozen=True, kw_only=True)
class Population:
    """All that a population's patients are drawn from; the defaults are version 1's.

    Args:
        ages: Share of patients, and the range of ages in years at the first visit, of each age group.
        protocols: Share of patients for each set of sequences.
        missing_share: Probability that a file of a protocol with several is missing.
        protocol_change_share: Share of patients whose protocol changes at some visit.
        draw_schedule: Draws the visits.
        event_law: Law of the event's day.
        findings: Shares of findings that version 1 doesn't know; None for none of them.
    """

    name: PopulationName
    ages: tuple[tuple[float, float, float], ...] = ((1.0, 1.5, 18.0),)
    anatomy: AnatomyRanges = field(default_factory=AnatomyRanges)
    contrast: ContrastRanges = field(default_factory=ContrastRanges)
    scanner: ScannerRanges = field(default_factory=ScannerRanges)
    growth: GrowthRanges = field(default_factory=GrowthRanges)
    reactions: ReactionRanges = field(default_factory=ReactionRanges)
    findings: FindingShares | None = None
    protocols: Protocols = field(default_factory=lambda: PROTOCOLS)
    missing_share: float = 0.05
    protocol_change_share: float = 0.0
    draw_schedule: Callable[[Generator], Schedule] = draw_schedule
    event_law: EventLaw = "log_normal"

    def draw_age(self, generator: Generator) -> float:
        """Age at the first visit, years."""
        if len(self.ages) == 1:
            return float(generator.uniform(*self.ages[0][1:]))
        group = self.ages[generator.choice(len(self.ages), p=[share for share, _, _ in self.ages])]
        return float(generator.uniform(*group[1:]))


MAIN = Population(name="main")

WIDE = Population(
    name="wide",
    ages=((0.12, 0.5, 2.0), (0.88, 2.0, 20.0)),
    anatomy=AnatomyRanges(
        warp_strength=(0.7, 1.6),
        ventricles=(-0.8, 2.2),
        stretch=0.035,
        atrophy=0.9,
        scale=infant_head_scale,
        scale_spread=0.03,
    ),
    contrast=ContrastRanges(
        spread=0.06, random_share=0.25, flatness=(0.4, 1.3), brightness=(0.6, 1.2), high_grade_share=0.30
    ),
    scanner=ScannerRanges(
        snr=(12.0, 70.0),
        bias_strength=(0.01, 0.25),
        thick_mm=(2.0, 6.0),
        thin_factor=0.8,
        slice_axes=(0.2, 0.25, 0.55),
        slab_share=0.5,
        shift_mm=0.6,
        most_mm=2.0,
        angle_degrees=0.6,
        most_radians=0.035,
        gamma=0.2,
        gain=1.0,
        artefact_share=0.08,
    ),
    growth=GrowthRanges(
        laws={"reaction_diffusion": 0.4, "linear": 0.2, "exponential": 0.2, "gompertz": 0.2},
        kinds={"margin": 0.37, "distant": 0.18, "residual": 0.37, "leptomeningeal": 0.08},
        front_width_mm=(1.8, 5.0),
        roughness=(0.05, 0.22),
        distant_mm=(10.0, 40.0),
        low_grade_velocity=(3.5, 0.7, 0.7, 16.0),
        high_grade_velocity=(14.0, 0.5, 5.0, 45.0),
        arrested_share=0.20,
        shrinking_share=0.25,
    ),
    reactions=ReactionRanges(
        treatment_effect_share=0.35,
        treatment_effect_onset_days=(20.0, 1200.0),
        treatment_effect_peak_days=(30.0, 300.0),
        treatment_effect_radius_mm=(3.0, 14.0),
        leukoencephalopathy_share=0.25,
        spots_share=0.45,
        infarct_share=0.08,
    ),
    findings=FindingShares(),
    protocols=WIDE_PROTOCOLS,
    missing_share=0.08,
    protocol_change_share=0.15,
    draw_schedule=draw_wide_schedule,
)

SHIFTED = Population(
    name="shifted",
    ages=((1.0, 2.0, 16.0),),
    anatomy=AnatomyRanges(
        templates=("colin27",),
        warp_scales_mm=((45.0, 4.0), (6.0, 0.8)),
        ventricles=(-0.4, 1.5),
        stretch=0.02,
        atrophy=0.2,
    ),
    contrast=ContrastRanges(signals=low_field_signals(), spread=0.05, brightness=(0.8, 1.1), high_grade_share=0.35),
    scanner=ScannerRanges(
        snr=(8.0, 12.0),
        bias_strength=(0.25, 0.40),
        thin_mm=(1.6, 2.2),
        thick_mm=(2.5, 6.5),
        slice_axes=(0.6, 0.4, 0.0),
        slab_share=1.0,
        shift_mm=0.5,
        most_mm=1.5,
        angle_degrees=0.6,
        most_radians=0.026,
        gamma=0.15,
        gain=0.7,
        artefact_share=0.10,
    ),
    growth=GrowthRanges(
        laws={"logistic": 1.0},
        kinds={"margin": 0.35, "distant": 0.25, "residual": 0.40},
        roughness=(0.10, 0.20),
        distant_mm=(15.0, 45.0),
        low_grade_velocity=(4.5, 0.5, 1.0, 15.0),
        high_grade_velocity=(16.0, 0.4, 6.0, 40.0),
        arrested_share=0.20,
        shrinking_share=0.20,
        tract_stretch=(1.8, 3.2),
    ),
    reactions=ReactionRanges(
        treatment_effect_share=0.35,
        treatment_effect_onset_days=(100.0, 900.0),
        treatment_effect_peak_days=(90.0, 240.0),
        treatment_effect_radius_mm=(5.0, 13.0),
    ),
    findings=FindingShares(
        arachnoid_cyst=0.06, cyst=0.25, iron_rim=0.70, microbleeds=0.20, shunt=0.18, white_matter_change=0.20
    ),
    draw_schedule=draw_shifted_schedule,
    event_law="weibull",
)

POPULATION: Mapping[PopulationName, Population] = {"main": MAIN, "wide": WIDE, "shifted": SHIFTED}
