"""Whole patients: what the first visit may not know, when the event is, and what the files hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TemporalGliomaRisk.simulate import patient as patients
from TemporalGliomaRisk.simulate.anatomy import GRID_CENTRE, draw_geometry, rotation_matrix
from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.growth import Clock, cross_section_diameter_mm
from TemporalGliomaRisk.simulate.randomness import stream
from TemporalGliomaRisk.simulate.scanner import draw_visit_scanner, grown_points

SEED = 11
ALL_RECUR = SimulationConfig(recurrent_fraction=1.0)
NONE_RECUR = SimulationConfig(recurrent_fraction=0.0)
ONE_SEQUENCE = SimulationConfig(recurrent_fraction=0.0, sequences=("T1w",))


@pytest.fixture(scope="module")
def recurrent_truths() -> list[patients.PatientTruth]:
    return [patients.draw_truth(ALL_RECUR, SEED, number) for number in range(1, 9)]


@pytest.mark.parametrize("number", range(1, 4))
def test_not_one_voxel_of_the_first_visit_depends_on_fate(number: int) -> None:
    recurs, stays = (patients.draw_truth(config, SEED, number) for config in (ALL_RECUR, NONE_RECUR))
    assert (recurs.fate, stays.fate) == ("recurrent", "stable")
    first, other = patients.render_visit(recurs, 0), patients.render_visit(stays, 0)
    assert first.volumes.keys() == other.volumes.keys()
    for sequence, volume in first.volumes.items():
        assert np.array_equal(volume.voxels, other.volumes[sequence].voxels)
    assert np.array_equal(first.lesion, other.lesion)
    assert first.lesion_diameter_mm == pytest.approx(other.lesion_diameter_mm, abs=1e-9)
    assert first.days_since_treatment == other.days_since_treatment


def test_distractors_are_the_same_in_both_fates_but_for_how_residuals_move(
    recurrent_truths: list[patients.PatientTruth],
) -> None:
    about_residuals = {"quiet_residual", "shrinking_residual", "arrested_growth"}
    for truth in recurrent_truths[:4]:
        stays = patients.draw_truth(NONE_RECUR, SEED, truth.patient_number)
        found, other = (set(patients.distractors_of(each)) - about_residuals for each in (truth, stays))
        assert found == other


def test_the_event_is_the_first_day_on_which_the_true_map_passes_the_threshold(
    recurrent_truths: list[patients.PatientTruth],
) -> None:
    for truth in recurrent_truths:
        growing = next(lesion for lesion in truth.lesions if isinstance(lesion.clock, Clock))
        assert truth.event_day is not None
        days = np.unique(
            np.r_[np.linspace(0, truth.event_day + 20, 60).astype(int), truth.event_day + np.arange(-3, 4)]
        )
        # Measured on the density itself; the front keeps diameters between which it interpolates.
        diameters = np.array([cross_section_diameter_mm(growing.density_at(float(day))) for day in days])
        needed = np.maximum(np.sqrt(1.25) * np.minimum.accumulate(diameters), 10.0)
        first = days[np.argmax(diameters >= needed)]
        days_per_tenth_mm = 0.1 / (growing.clock.velocity_mm_per_year / 365.25)
        assert (diameters >= needed).any()
        assert abs(int(first) - truth.event_day) <= 2 + days_per_tenth_mm


def test_growth_starts_after_the_first_visit(recurrent_truths: list[patients.PatientTruth]) -> None:
    for truth in recurrent_truths:
        clocks = [lesion.clock for lesion in truth.lesions if isinstance(lesion.clock, Clock)]
        assert len(clocks) == 1
        assert clocks[0].onset_day >= 4.9


def test_an_arrested_or_quiet_lesion_never_passes_the_threshold() -> None:
    for number in range(1, 6):
        truth = patients.draw_truth(NONE_RECUR, SEED, number)
        for lesion in truth.lesions:
            diameters = np.array([lesion.diameter_at(day) for day in range(0, 4000, 50)])
            needed = np.maximum(np.sqrt(1.25) * np.minimum.accumulate(diameters), 10.0)
            assert not (diameters >= needed).any()


def test_every_surgery_leaves_what_its_name_says(recurrent_truths: list[patients.PatientTruth]) -> None:
    for truth in recurrent_truths:
        at_first = truth.diameter_at(0.0)
        if truth.surgery.extent == "gross_total":
            assert at_first == 0.0
        if truth.surgery.extent in ("subtotal", "biopsy"):
            assert at_first > 4.0


def test_treatment_effects_change_the_images_and_not_the_truth() -> None:
    truth = next(
        found
        for found in (patients.draw_truth(NONE_RECUR, SEED, number) for number in range(1, 40))
        if found.reactions.treatment_effect is not None
        and found.reactions.treatment_effect.peak_radius_mm > 6
        and all(lesion.clock is None for lesion in found.lesions)
        and found.lesions
    )
    effect = truth.reactions.treatment_effect
    assert effect is not None
    peak = effect.onset_day + effect.peak_days
    assert effect.radius_at(effect.onset_day) == 0.0
    assert effect.radius_at(peak) == pytest.approx(effect.peak_radius_mm)
    assert effect.radius_at(effect.onset_day + 12 * effect.peak_days) < 0.02 * effect.peak_radius_mm
    before, during = (
        patients.reaction_maps(truth.reactions, truth.anatomy, truth.surgery, day) for day in (effect.onset_day, peak)
    )
    assert during.swelling.sum() * 8e-3 > 0.1
    assert before.swelling.sum() == 0.0
    assert truth.diameter_at(peak) == truth.diameter_at(0.0)
    # Days of visits count from the first one, those of the effect from surgery.
    on_the_first_visits_clock = peak - truth.schedule.first_days_since_treatment
    assert truth.treatment_effect_diameter_at(on_the_first_visits_clock) == pytest.approx(2 * effect.peak_radius_mm)
    without = replace(truth, reactions=replace(truth.reactions, treatment_effect=None))
    assert without.treatment_effect_diameter_at(on_the_first_visits_clock) == 0.0


def test_the_centre_of_the_cavity_lies_in_the_cavity_of_an_oblique_patient_as_its_head_grows() -> None:
    truth = patients.draw_truth(NONE_RECUR, SEED, 4)
    axes = np.abs(truth.geometry.ijk_to_ras[:3, :3]) / truth.geometry.spacing_mm
    assert np.sort(axes, axis=0)[-2].max() > 0.1
    last = len(truth.visit_days) - 1
    for number in (0, last):
        centre = patients.render_visit(replace(truth, config=ONE_SEQUENCE), number).cavity_centre_ras_mm
        assert centre is not None
        growth = truth.growth_since_first(truth.visit_days[number])
        # Where that is in the head of the first visit, and how deep in the cavity, which has shrunk since.
        ijk = (truth.geometry.to_ijk(centre) - GRID_CENTRE) / growth + GRID_CENTRE
        inner = tuple(round(place) - part.start for place, part in zip(ijk, truth.surgery.box, strict=True))
        since_surgery = truth.schedule.first_days_since_treatment + truth.visit_days[number]
        maps = patients.reaction_maps(truth.reactions, truth.anatomy, truth.surgery, since_surgery)
        assert truth.surgery.cavity_level[inner] < 0
        assert maps.cavity[inner] > 0.5
    assert growth > 1.0005


def test_a_centre_lies_in_its_mask_even_where_the_centre_of_mass_does_not() -> None:
    geometry = draw_geometry(stream(SEED, 1, "geometry"))
    ring = np.zeros((9, 9, 3), bool)
    ring[1:8, 1:8, 1] = True
    ring[2:7, 2:7, 1] = False
    centre = patients.centre_inside(ring, geometry)
    assert ring[tuple(np.rint(geometry.to_ijk(centre)).astype(int))]
    assert patients.centre_inside(ring & False, geometry) is None


def test_a_wound_heals() -> None:
    truth = patients.draw_truth(NONE_RECUR, SEED, 1)
    early, late = (patients.reaction_maps(truth.reactions, truth.anatomy, truth.surgery, day) for day in (30.0, 900.0))
    assert late.enhancement.sum() < 0.05 * early.enhancement.sum()
    assert late.blood.sum() < 0.01 * early.blood.sum()
    assert late.cavity.sum() <= early.cavity.sum()


def test_the_same_seed_gives_the_same_voxels_and_fewer_sequences_change_none() -> None:
    number = next(
        found
        for found in range(1, 60)
        if len(patients.draw_truth(SimulationConfig(), SEED, found).visit_days) in (2, 3)
    )
    whole = patients.simulate_patient(SimulationConfig(), SEED, number)
    again = patients.simulate_patient(SimulationConfig(sequences=("ce-gd_T1w",)), SEED, number)
    other = patients.simulate_patient(SimulationConfig(), SEED + 1, number)
    shared = 0
    for visit, same in zip(whole.visits, again.visits, strict=True):
        assert np.array_equal(visit.lesion, same.lesion)
        if "ce-gd_T1w" in visit.volumes:
            shared += 1
            assert np.array_equal(visit.volumes["ce-gd_T1w"].voxels, same.volumes["ce-gd_T1w"].voxels)
    assert shared > 0
    assert not np.array_equal(whole.brain_mask, other.brain_mask)
    timeline = whole.timeline()
    assert [visit.days_since_first for visit in timeline.visits] == [visit.days_since_first for visit in whole.visits]
    for visit in whole.visits:
        for volume in visit.volumes.values():
            assert volume.geometry.same_as(whole.geometry)
            assert volume.voxels.dtype == np.int16
            inside = volume.voxels > 0
            # Skull-stripped, and the mask moves by the leftover misregistration and the head's growth only.
            assert (inside & whole.brain_mask).sum() / (inside | whole.brain_mask).sum() > 0.93
            assert 30 < np.median(volume.voxels[inside]) < 1000
        assert not (visit.lesion & ~whole.brain_mask).any()


def test_visits_never_come_after_the_first_one_that_shows_the_event(
    recurrent_truths: list[patients.PatientTruth],
) -> None:
    for truth in recurrent_truths:
        if truth.event_observed:
            assert truth.event_day is not None
            assert truth.follow_up_days == truth.event_day
            assert sum(day >= truth.event_day for day in truth.visit_days) == 1
            assert truth.event_day_at_visit == truth.visit_days[-1]
        else:
            assert truth.follow_up_days == truth.schedule.last_contact_day
            assert max(truth.visit_days) <= truth.follow_up_days


def test_a_known_oblique_move_lands_where_the_closed_form_says() -> None:
    angles, shift, growth = np.radians([3.0, -2.0, 5.0]), np.array([1.0, -2.0, 0.5]), 1.02
    voxels = np.array([[10.0, 40.0], [70.0, 22.0], [33.0, 51.0]], dtype=np.float32)
    expected = (rotation_matrix(angles) @ (2.0 * (voxels - GRID_CENTRE[:, None])) / growth + shift[:, None]) / 2.0
    assert grown_points(voxels, growth, angles, shift) == pytest.approx(expected + GRID_CENTRE[:, None], abs=1e-4)


def test_misregistration_is_none_at_the_first_visit_and_small_later() -> None:
    first = draw_visit_scanner(stream(1, 1, "scanner", 0), first_visit=True)
    assert not first.shift_mm.any()
    assert not first.angles_radians.any()
    later = [draw_visit_scanner(stream(1, 1, "scanner", number), first_visit=False) for number in range(1, 200)]
    assert max(np.abs(scanner.shift_mm).max() for scanner in later) <= 1.0
    assert np.degrees(max(np.abs(scanner.angles_radians).max() for scanner in later)) <= 1.01
    assert np.mean([np.linalg.norm(scanner.shift_mm) for scanner in later]) == pytest.approx(0.64, abs=0.08)
