"""The parts that only wide and shifted use, against closed forms and invariants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.simulate import anatomy as anatomies
from TemporalGliomaRisk.simulate import low_field, patterns, scanner, schedule, templates
from TemporalGliomaRisk.simulate.anatomy import GRID_CENTRE, GRID_SHAPE, SPACING_MM
from TemporalGliomaRisk.simulate.contrast import SIGNALS, random_signals, vary_signals
from TemporalGliomaRisk.simulate.findings import Cyst, VentricleChange, WhiteMatterChange
from TemporalGliomaRisk.simulate.growth import DAYS_PER_YEAR, LogisticClock
from TemporalGliomaRisk.simulate.myelination import unmyelinated_shares
from TemporalGliomaRisk.simulate.population import WIDE
from TemporalGliomaRisk.simulate.randomness import stream
from TemporalGliomaRisk.simulate.shunt import add_tube
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.volume import Geometry, Volume


@pytest.fixture(scope="module")
def colin() -> anatomies.Anatomy:
    ranges = anatomies.AnatomyRanges(templates=("colin27",))
    return anatomies.draw_anatomy(stream(5, 1, "anatomy"), 9.0, ranges)


def test_colin27_is_a_brain_with_more_grey_than_white_matter_and_some_fluid(colin: anatomies.Anatomy) -> None:
    inside = colin.brain
    grey, white, fluid = (float(part[inside].mean()) for part in (colin.grey, colin.white, colin.fluid))
    assert grey + white + fluid == pytest.approx(1.0, abs=1e-3)
    assert 1.0 < grey / white < 2.0
    assert 0.05 < fluid < 0.35
    assert 1.2 < inside.sum() * 8e-3 / 1000 < 2.0


def test_an_anatomy_in_a_folder_is_read_and_named(tmp_path: Path) -> None:
    shape = (20, 22, 24)
    geometry = Geometry(shape=shape, ijk_to_ras=np.eye(4))
    maps = {"grey": 100, "white": 120, "fluid": 35}
    for name, value in maps.items():
        voxels = np.full(shape, value, dtype=np.uint8)
        write_nifti(Volume(voxels=voxels, geometry=geometry), tmp_path / "flat" / f"{name}.nii.gz")
    assert list(templates.further_anatomies(tmp_path)) == ["flat"]
    template = templates.load_template("flat", tmp_path)
    sharpened = {name: (value / 255) ** 1.7 for name, value in maps.items()}
    middle = tuple(n // 2 for n in shape)
    assert template.white[middle] == pytest.approx(sharpened["white"] / sum(sharpened.values()), abs=1e-3)
    write_nifti(
        Volume(voxels=np.zeros(shape, np.uint8), geometry=Geometry(shape=shape, ijk_to_ras=np.diag([2.0, 2, 2, 1]))),
        tmp_path / "coarse" / "grey.nii.gz",
    )
    for name in ("white", "fluid"):
        write_nifti(Volume(voxels=np.zeros(shape, np.uint8), geometry=geometry), tmp_path / "coarse" / f"{name}.nii.gz")
    with pytest.raises(UsageError, match=r"anatomy coarse must share one grid of 1 mm.*Resample them"):
        templates.load_template("coarse", tmp_path)
    with pytest.raises(UsageError, match="lies in a folder of yours"):
        templates.load_template("flat")


def test_brains_grow_as_measured_from_birth_on() -> None:
    volumes = {age: anatomies.infant_head_scale(age) ** 3 for age in (0.0, 1.0, 2.0)}
    assert volumes[1.0] / volumes[0.0] == pytest.approx(2.01, abs=0.06)
    assert volumes[2.0] / volumes[1.0] == pytest.approx(1.15, abs=0.03)
    for age in (3.0, 6.0, 12.0):
        assert anatomies.infant_head_scale(age) == pytest.approx(anatomies.head_scale(age), rel=0.02)


def test_white_matter_ripens_first_on_t1_and_first_at_the_back(colin: anatomies.Anatomy) -> None:
    assert unmyelinated_shares(colin, 2.5) is None
    previous = None
    front = (colin.mni_mm[..., 1] > 45) & (colin.white > 0.8)
    back = (colin.mni_mm[..., 1] < -70) & (colin.white > 0.8)
    for age in (0.3, 0.6, 1.0, 1.8):
        shares = unmyelinated_shares(colin, age)
        assert shares is not None
        assert np.all(shares[0] <= shares[1] + 1e-6)
        assert shares[1][front].mean() >= shares[1][back].mean()
        if previous is not None:
            assert np.all(shares[1] <= previous + 1e-6)
        previous = shares[1]
    assert previous is not None
    assert previous.max() < 0.1


@settings(max_examples=40, deadline=None)
@given(
    velocity=st.floats(1.0, 40.0),
    start=st.floats(1.0, 15.0),
    seed=st.floats(0.5, 5.0),
    lag=st.floats(0.0, 500.0),
    share=st.floats(0.05, 0.95),
)
def test_logistic_growth_comes_back_to_the_progress_it_was_asked_for(
    velocity: float, start: float, seed: float, lag: float, share: float
) -> None:
    clock = LogisticClock(
        velocity_mm_per_year=velocity,
        onset_day=50.0,
        start_radius_mm=start,
        seed_mm=seed,
        appearing_days=40.0,
        lag_days=lag,
        final_radius_mm=max(start + seed, 8.0) + 9.0,
    )
    progress = seed + share * (clock.final_radius_mm - start - seed)
    assert clock.progress_at(50.0 + clock.days_to(progress)) == pytest.approx(progress, rel=1e-6)
    assert clock.progress_at(49.0) == 0.0
    assert clock.progress_at(50.0 + 40.0 + 0.5 * lag) == pytest.approx(seed)


def test_logistic_growth_has_its_stated_velocity_and_slows_towards_its_end() -> None:
    clock = LogisticClock(
        velocity_mm_per_year=6.0,
        onset_day=0.0,
        start_radius_mm=1.0,
        seed_mm=3.0,
        appearing_days=30.0,
        lag_days=100.0,
        final_radius_mm=16.0,
    )
    day = clock.days_to(clock.reference_radius_mm - clock.start_radius_mm)
    slope = (clock.progress_at(day + 0.5) - clock.progress_at(day - 0.5)) * DAYS_PER_YEAR
    assert slope == pytest.approx(6.0, rel=1e-3)
    volumes = [(1.0 + clock.progress_at(day)) ** 3 for day in (1e5, 1e6)]
    assert volumes == pytest.approx([16.0**3] * 2)


@pytest.mark.parametrize("direction", [[1.0, 0.0, 0.0], [0.6, 0.0, 0.8], [0.48, 0.64, 0.6]])
def test_growth_along_a_tract_is_longer_by_the_stretch_and_as_large(direction: list[float]) -> None:
    unit = np.array(direction)
    across = np.cross(unit, [0.0, 1.0, 0.0]) / np.linalg.norm(np.cross(unit, [0.0, 1.0, 0.0]))
    places = np.stack([10.0 * unit, 10.0 * across], axis=1).reshape(3, 2, 1, 1).astype(np.float32)
    seen = np.sqrt((patterns.along_tract(places, unit, 2.5, 0.0) ** 2).sum(axis=0)).ravel()
    assert seen[1] / seen[0] == pytest.approx(2.5, rel=1e-4)
    assert seen[0] * seen[1] ** 2 == pytest.approx(10.0**3, rel=1e-4)


def test_a_residual_keeps_its_visible_edge_whatever_its_tract() -> None:
    offsets = (np.indices((21, 21, 21), dtype=np.float32) - 10.0) * 2.0
    level = np.sqrt((offsets**2).sum(axis=0)) - 8.0
    stretched = patterns.level_along_tract(level, offsets, np.array([0.0, 0.6, 0.8]), 3.0)
    near = level <= patterns.FIXED_EDGE_MM
    assert np.array_equal(stretched[near], level[near])
    assert np.all(stretched[~near] > patterns.FIXED_EDGE_MM)
    assert stretched[~near].std() > 0.5


def test_thin_growth_stays_thin() -> None:
    places = 2.0 * (np.indices((40, 40, 40)) - 19.5)
    brain = np.sqrt((places**2).sum(axis=0)) < 36.0
    sheet = patterns.surface_sheet(brain)
    assert not sheet[~brain].any()
    thickness = 2.0 * float((sheet[20, 20, :20] > 0.16).sum())
    assert 2.0 <= thickness <= 6.0
    # The edge of a box that cuts the brain is no surface, nor is there one in a box inside it.
    assert patterns.surface_sheet(brain[:20])[:18] == pytest.approx(sheet[:18], abs=1e-5)
    assert patterns.surface_sheet(brain[:20])[19, 20, 20] < 1e-3
    assert not patterns.surface_sheet(brain[15:25, 15:25, 15:25]).any()


def test_slices_that_were_taken_are_kept_and_a_ramp_is_nowhere_changed() -> None:
    ramp = np.broadcast_to(np.arange(40, dtype=np.float32)[:, None, None], (40, 6, 5)).copy()
    for axis in range(3):
        turned = np.moveaxis(ramp, 0, axis)
        thick = scanner.slabs(turned, axis, 6.0, 0.5)
        inner = np.moveaxis(thick, axis, 0)[4:-5]
        assert inner == pytest.approx(np.moveaxis(turned, axis, 0)[4:-5], abs=1e-4)
    assert np.array_equal(scanner.slabs(ramp, 0, 1.5, 0.3), ramp)
    noise = stream(1, 1, "noise").standard_normal((60, 6, 5)).astype(np.float32)
    assert np.abs(np.diff(scanner.slabs(noise, 0, 6.0, 0.0), n=2, axis=0)).max(axis=(1, 2))[1::3].max() < 1e-4


def test_a_spin_echo_has_its_closed_form_and_inversion_nulls_fluid() -> None:
    water = low_field.Tissue(density=1.0, t1=1000.0, t2=100.0)
    assert low_field.spin_echo(water, 1000.0, 100.0) == pytest.approx((1 - np.exp(-1)) * np.exp(-1))
    null = 1000.0 * np.log(2.0)
    assert low_field.inversion_recovery(water, 1e9, 50.0, null) == pytest.approx(0.0, abs=1e-9)


def test_low_field_contrast_has_the_order_that_each_sequence_is_named_for() -> None:
    table = low_field.low_field_signals()
    assert table["FLAIR"].fluid < 0.3 * table["FLAIR"].white < table["FLAIR"].grey < table["FLAIR"].tumour
    assert table["T2w"].white < table["T2w"].grey < table["T2w"].tumour < table["T2w"].fluid
    for name in ("T1w", "ce-gd_T1w"):
        assert table[name].fluid < table[name].tumour < table[name].grey < table[name].white
    shown = table["ce-gd_T1w"].enhanced
    assert shown is not None
    assert shown > table["ce-gd_T1w"].white
    assert table["T1w"].enhanced is None


def test_random_contrast_knows_nothing_of_the_sequence_yet_shows_the_tumour() -> None:
    brighter = 0
    for number in range(200):
        drawn = random_signals(stream(1, number, "contrast"), SIGNALS["T1w"])
        brighter += drawn.grey > drawn.white
        assert min(abs(drawn.tumour - drawn.grey), abs(drawn.tumour - drawn.white)) > 0.05
        assert min(drawn.grey, drawn.white, drawn.fluid, drawn.tumour, drawn.oedema, drawn.necrosis) > 0
    assert 40 < brighter < 160


def test_flat_protocols_bring_grey_and_white_together_and_keep_their_middle() -> None:
    flat = replace(WIDE.contrast, spread=0.0, flatness=(0.4999, 0.5))
    drawn = vary_signals(stream(1, 1, "file"), SIGNALS["T1w"], flat)
    table = SIGNALS["T1w"]
    assert drawn.white - drawn.grey == pytest.approx(0.5 * (table.white - table.grey), rel=1e-2)
    assert drawn.white + drawn.grey == pytest.approx(table.white + table.grey)


@pytest.mark.parametrize("draw", [schedule.draw_wide_schedule, schedule.draw_shifted_schedule])
def test_visits_rise_are_apart_and_number_one_to_twelve(draw: object) -> None:
    counts = []
    for number in range(1, 300):
        drawn = draw(stream(2, number, "schedule"))  # type: ignore[operator]
        days = np.array(drawn.visit_days)
        assert days[0] == 0
        assert np.all(np.diff(days) >= 18)
        assert days[-1] <= drawn.last_contact_day
        assert drawn.first_days_since_treatment >= 1
        counts.append(len(days))
    assert {1, 2, 12} <= set(counts)
    assert max(counts) <= schedule.MOST_VISITS


def test_nothing_has_moved_at_the_first_visit_and_all_in_the_end() -> None:
    change = VentricleChange(final_push=-0.7, onset_day=20.0, time_constant_days=50.0, first_visit_day=45.0)
    assert change.push_at(45.0) == 0.0
    done = -np.expm1(-25.0 / 50.0)
    assert change.push_at(1e6) == pytest.approx(-0.7 * (1.0 - done))
    later = replace(change, onset_day=100.0)
    assert later.push_at(100.0) == 0.0
    assert later.push_at(1e6) == pytest.approx(-0.7)


def test_cysts_and_white_matter_move_from_one_state_to_another() -> None:
    cyst = Cyst(
        distance=np.zeros((1, 1, 1), np.float32),
        first_radius_mm=6.0,
        last_radius_mm=2.0,
        onset_day=100.0,
        time_constant_days=50.0,
        protein=0.0,
        rim=0.0,
    )
    assert [cyst.radius_at(day) for day in (0.0, 100.0, 1e5)] == pytest.approx([6.0, 6.0, 2.0])
    white = WhiteMatterChange(strength=np.ones((1, 1, 1), np.float32), onset_day=100.0, rise_days=80.0, recovery=0.5)
    assert white.amount_at(100.0) == 0.0
    assert white.amount_at(500.0) > 0.6
    assert white.amount_at(1e5) == pytest.approx(0.5)


def test_a_tube_has_its_volume() -> None:
    target = np.zeros(GRID_SHAPE, np.float32)
    start = np.array([-20.0, 6.0, 3.0])
    end = start + 40.0 * np.array([0.6, 0.0, 0.8])
    add_tube(target, start, end, 4.0, 1.0)
    expected = np.pi * 4.0**2 * 40.0 + 4.0 / 3.0 * np.pi * 4.0**3
    assert target.sum() * SPACING_MM**3 == pytest.approx(expected, rel=0.08)
    inside = tuple(np.round((0.5 * (start + end)) / SPACING_MM + GRID_CENTRE).astype(int))
    assert target[inside] == pytest.approx(1.0)
