"""One simulated patient, from a seed: the truth first, then the volumes that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from TemporalGliomaRisk.simulate.anatomy import GRID_SHAPE
from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.contrast import (
    Signals,
    VisitScene,
    draw_scene,
    random_signals,
    render_signal,
    vary_signals,
)
from TemporalGliomaRisk.simulate.finding_maps import FindingMaps, finding_maps
from TemporalGliomaRisk.simulate.randomness import Float32Array, stream
from TemporalGliomaRisk.simulate.reaction import reaction_maps
from TemporalGliomaRisk.simulate.record import distractors_of, parameters_of
from TemporalGliomaRisk.simulate.scanner import VisitScanner, acquire, draw_visit_scanner, grown_points
from TemporalGliomaRisk.simulate.surgery import Extent
from TemporalGliomaRisk.simulate.truth import PatientTruth, draw_truth
from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName, Timeline, Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import BoolArray, Geometry, Volume


@dataclass(frozen=True, kw_only=True)
class SimulatedVisit:
    """One rendered visit.

    Args:
        session_id: BIDS label with its prefix.
        days_since_first: Days since the first visit.
        days_since_treatment: Days since surgery.
        volumes: By pulse sequence; on the patient's grid.
        files: How each volume was made: slice thickness, signal over noise, passing artefacts.
        lesion: (I, J, K) true visible tumour on that grid, the child's growth included, misregistration not.
        lesion_diameter_mm: Diameter of the disc with the area of all lesions' largest visible cross-sections.
        lesion_diameters_mm: The same for each lesion.
        treatment_effect_diameter_mm: Of the treatment effect that looks like progression, 0 where there is none.
        cavity_centre_ras_mm: A place in the resection cavity: its voxel nearest to its centre of mass, moved as the
            lesion is; None where there is no cavity, or none any more.
    """

    session_id: str
    days_since_first: int
    days_since_treatment: int
    volumes: Mapping[SequenceName, Volume]
    files: Mapping[SequenceName, Mapping[str, Any]]
    lesion: BoolArray
    lesion_diameter_mm: float
    lesion_diameters_mm: Mapping[str, float]
    treatment_effect_diameter_mm: float
    cavity_centre_ras_mm: tuple[float, float, float] | None

    def as_visit(self) -> Visit:
        """The visit as the rest of the package takes it."""
        return Visit(
            session_id=self.session_id,
            days_since_first=self.days_since_first,
            days_since_treatment=self.days_since_treatment,
            sources={name: VolumeInMemory(volume=volume) for name, volume in self.volumes.items()},
        )


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
        return Timeline(patient_id=self.patient_id, visits=tuple(visit.as_visit() for visit in self.visits))


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
        visits=tuple(render_visit(truth, number) for number in range(len(truth.visit_days))),
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
    """The sequences of one visit: the patient's protocol, seldom with one missing, which may change for good."""
    population = truth.population
    generator = stream(truth.seed, truth.patient_number, "protocol")
    protocols, shares = list(population.protocols), list(population.protocols.values())
    protocol = protocols[generator.choice(len(protocols), p=shares)]
    if population.protocol_change_share > 0 and generator.random() < population.protocol_change_share:
        changes_at, other = int(generator.integers(1, 7)), protocols[generator.choice(len(protocols), p=shares)]
        protocol = other if visit_number >= changes_at else protocol
    missing = stream(truth.seed, truth.patient_number, "missing", visit_number)
    if len(protocol) > 1 and missing.random() < population.missing_share * len(protocol):
        left_out = protocol[missing.integers(len(protocol))]
        protocol = tuple(name for name in protocol if name != left_out)
    return protocol


def draw_signals(truth: PatientTruth, visit_number: int, sequence: SequenceName, file: np.random.Generator) -> Signals:
    """What each tissue shows in one file; in a share of the visits, contrast isn't what the sequence's name says."""
    ranges = truth.population.contrast
    signals = ranges.signals[sequence]
    if ranges.random_share > 0:
        purpose = stream(truth.seed, truth.patient_number, "contrast", visit_number, "visit")
        if purpose.random() < ranges.random_share:
            own = stream(truth.seed, truth.patient_number, "contrast", visit_number, sequence)
            signals = random_signals(own, signals)
    return vary_signals(file, signals, ranges)


def scene_of(truth: PatientTruth, visit_number: int) -> VisitScene:
    """What is in the head at a visit (from 0)."""
    day = truth.visit_days[visit_number]
    since_surgery = truth.schedule.first_days_since_treatment + day
    maps = reaction_maps(truth.reactions, truth.anatomy, truth.surgery, since_surgery)
    return draw_scene(truth.lesions, maps, truth.surgery, truth.look, day)


def findings_of(truth: PatientTruth, visit_number: int) -> FindingMaps | None:
    """The findings at a visit (from 0), None in version 1."""
    if truth.findings is None:
        return None
    since_surgery = float(truth.schedule.first_days_since_treatment + truth.visit_days[visit_number])
    return finding_maps(truth.findings, truth.anatomy, truth.surgery, since_surgery)


def render_visit(truth: PatientTruth, visit_number: int) -> SimulatedVisit:
    """One visit (from 0), every draw from a stream of its own: a changed truth changes what is shown, not the noise."""
    day = truth.visit_days[visit_number]
    scene, findings = scene_of(truth, visit_number), findings_of(truth, visit_number)
    displacement = None if findings is None else findings.displacement
    scanner = draw_visit_scanner(
        stream(truth.seed, truth.patient_number, "scanner", visit_number),
        first_visit=visit_number == 0,
        ranges=truth.population.scanner,
    )
    growth = truth.growth_since_first(day)
    brain = _moved_mask(truth.anatomy.brain.astype(np.float32), growth, scanner)
    i, j, k = np.nonzero(brain)
    protocol = draw_protocol(truth, visit_number)
    wanted = truth.config.sequences
    rendered = tuple(name for name in protocol if name in wanted) or tuple(n for n in SEQUENCES if n in wanted)
    volumes: dict[SequenceName, Volume] = {}
    files: dict[SequenceName, dict[str, Any]] = {}
    for sequence in rendered:
        generator = stream(truth.seed, truth.patient_number, "sequence", visit_number, sequence)
        signals = draw_signals(truth, visit_number, sequence, generator)
        signal = render_signal(
            anatomy=truth.anatomy,
            surgery=truth.surgery,
            reactions=truth.reactions,
            scene=scene,
            look=truth.look,
            signals=signals,
            findings=findings,
        )
        acquired = acquire(
            generator,
            signal,
            sequence=sequence,
            visit=scanner,
            growth=growth,
            brain_index=(i, j, k),
            brain=brain,
            white_signal=signals.white,
            first_of_visit=sequence == protocol[0],
            ranges=truth.population.scanner,
            displacement=displacement,
        )
        volumes[sequence] = Volume(voxels=acquired.voxels, geometry=truth.geometry)
        files[sequence] = acquired.facts()
    lesion, cavity = (
        mask_at_visit(truth, share, growth, displacement) for share in (scene.tumour, scene.reactions.cavity)
    )
    return SimulatedVisit(
        session_id=f"ses-{visit_number + 1:02d}",
        days_since_first=day,
        days_since_treatment=truth.schedule.first_days_since_treatment + day,
        volumes=volumes,
        files=files,
        lesion=lesion,
        lesion_diameter_mm=truth.diameter_at(day),
        lesion_diameters_mm=truth.diameters_at(day),
        treatment_effect_diameter_mm=truth.treatment_effect_diameter_at(day),
        cavity_centre_ras_mm=centre_inside(cavity, truth.geometry),
    )


def _moved_mask(mask: Float32Array, growth: float, scanner: VisitScanner) -> BoolArray:
    """A mask of the first visit as a visit's grid shows it."""
    if growth == 1.0 and not scanner.shift_mm.any():
        return np.asarray(mask > 0.5)
    voxels = np.indices(GRID_SHAPE, dtype=np.float32).reshape(3, -1)
    places = grown_points(voxels, growth, scanner.angles_radians, scanner.shift_mm)
    return np.asarray(ndimage.map_coordinates(mask, places, order=1).reshape(GRID_SHAPE) > 0.5)


def mask_at_visit(
    truth: PatientTruth, share: Float32Array, growth: float, displacement: Float32Array | None
) -> BoolArray:
    """(I, J, K) where a share on the operative box passes a half, moved with the child's growth and its ventricles."""
    mask = np.zeros(GRID_SHAPE, dtype=bool)
    box = truth.surgery.box
    starts = np.array([part.start for part in box], dtype=np.float32)
    voxels = np.indices(share.shape, dtype=np.float32).reshape(3, -1) + starts[:, None]
    places = grown_points(voxels, growth, np.zeros(3), np.zeros(3)) - starts[:, None]
    if displacement is not None:
        places += displacement[(slice(None), *box)].reshape(3, -1)
    moved = ndimage.map_coordinates(share, places, order=1, mode="nearest").reshape(share.shape)
    mask[box] = (moved > 0.5) & truth.anatomy.brain[box]
    return mask


def centre_inside(mask: BoolArray, geometry: Geometry) -> tuple[float, float, float] | None:
    """RAS mm of the voxel of a mask (I, J, K) nearest to its centre of mass, which may lie outside; None if empty."""
    voxels = np.argwhere(mask)
    if not len(voxels):
        return None
    nearest = voxels[((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    x, y, z = geometry.to_ras(nearest).round(3).tolist()
    return (x, y, z)
