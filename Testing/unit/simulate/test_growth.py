"""Growth laws against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TemporalGliomaRisk.simulate import growth

WHOLE = (slice(0, 40), slice(0, 40), slice(0, 40))


def planar_front_velocity(white_share: float, width_mm: float, years: float) -> float:
    """Velocity (mm per year) of a flat front over the second half of a run in uniform tissue."""
    shape = (90, 3, 3)
    density = np.zeros(shape, np.float32)
    density[:6] = 1.0
    nominal = growth.NOMINAL_VELOCITY_MM_PER_YEAR / growth.DAYS_PER_YEAR
    diffusion = (
        0.5 * nominal * width_mm * (growth.GREY_DIFFUSION_SHARE + (1 - growth.GREY_DIFFUSION_SHARE) * white_share)
    )
    faces = growth._conductances(np.full(shape, diffusion, np.float32), np.ones(shape, np.float32))
    steps = int(years * growth.DAYS_PER_YEAR / 10.0)
    places = []
    for _ in range(steps):
        density = growth.reaction_diffusion_step(density, faces, 0.5 * nominal / width_mm, 10.0)
        places.append(2.0 * float(density[:, 1, 1].sum()))
    half = steps // 2
    return (places[-1] - places[half]) / ((steps - 1 - half) * 10.0 / growth.DAYS_PER_YEAR)


@pytest.mark.parametrize("width_mm", [2.0, 3.5])
def test_a_flat_front_in_white_matter_moves_at_twice_the_root_of_d_rho(width_mm: float) -> None:
    # Bramson: the velocity is approached from below as v - 1.5 w / t, here 0.3 to 0.5 mm/year at 5 to 10 years.
    years = 10.0
    expected = growth.NOMINAL_VELOCITY_MM_PER_YEAR - 1.5 * width_mm / (0.75 * years)
    assert planar_front_velocity(1.0, width_mm, years) == pytest.approx(expected, rel=0.06)


def test_a_flat_front_in_grey_matter_is_slower_by_the_root_of_the_diffusion_ratio() -> None:
    # On 2 mm voxels the thin front in grey matter is a little faster than the continuous law.
    ratio = planar_front_velocity(0.0, 3.5, 8.0) / planar_front_velocity(1.0, 3.5, 8.0)
    assert ratio == pytest.approx(np.sqrt(growth.GREY_DIFFUSION_SHARE), rel=0.12)


def test_without_proliferation_no_cell_is_gained_or_lost() -> None:
    generator = np.random.default_rng(1)
    density = generator.random((12, 13, 14)).astype(np.float32)
    passable = (generator.random((12, 13, 14)) > 0.3).astype(np.float32)
    faces = growth._conductances(np.full((12, 13, 14), 0.1, np.float32), passable)
    after = density
    for _ in range(50):
        after = growth.reaction_diffusion_step(after, faces, 0.0, 5.0)
    assert after.sum() == pytest.approx(density.sum(), rel=1e-5)
    assert after[passable < 0.5] == pytest.approx(density[passable < 0.5])
    assert after[passable > 0.5].std() < 0.2 * density[passable > 0.5].std()


def test_tumour_does_not_cross_fluid() -> None:
    tissue = np.ones((20, 9, 9), np.float32)
    tissue[10] = 0.0
    start = np.zeros_like(tissue)
    start[4:7, 3:6, 3:6] = 0.9
    faces = growth._conductances(np.full_like(tissue, 0.05), tissue)
    density = start
    for _ in range(300):
        density = growth.reaction_diffusion_step(density, faces, 0.01, 10.0)
    assert density[:10].min() > 0.99
    assert density[10:].max() == 0.0


@pytest.mark.parametrize("radius_mm", [6.0, 10.0, 16.0])
def test_a_sphere_is_as_wide_as_it_is(radius_mm: float) -> None:
    places = 2.0 * (np.indices((40, 40, 40)) - np.array([19.3, 20.1, 19.8])[:, None, None, None])
    distance = np.sqrt((places**2).sum(axis=0)).astype(np.float32)
    # A sharp sphere whose edge voxels hold their share of tumour.
    share = np.clip(0.5 + (radius_mm - distance) / 2.0, 0.0, 1.0)
    density = (growth.VISIBLE_DENSITY * (share + 0.5)).astype(np.float32) * (share > 0)
    assert growth.cross_section_diameter_mm(density) == pytest.approx(2.0 * radius_mm, rel=0.03)


def front_with(diameters: list[float]) -> growth.Front:
    count = len(diameters)
    return growth.Front(
        box=WHOLE,
        progress=np.arange(count, dtype=float),
        densities=np.zeros((count, 1, 1, 1), np.float32),
        diameters_mm=np.array(diameters),
    )


def test_a_lesion_of_20_mm_is_an_event_when_its_product_has_grown_by_a_quarter() -> None:
    front = front_with([20.0, 21.0, 22.0, 23.0, 24.0])
    assert front.event_progress() == pytest.approx(2.0 + (np.sqrt(1.25) * 20.0 - 22.0))


def test_a_new_lesion_is_an_event_at_10_mm_across_and_not_before() -> None:
    assert front_with([0.0, 4.0, 8.0, 12.0]).event_progress() == pytest.approx(2.5)
    assert front_with([0.0, 4.0, 8.0, 9.9]).event_progress() is None


def test_growth_is_measured_from_the_smallest_so_far() -> None:
    assert front_with([20.0, 12.0, 14.0]).event_progress() == pytest.approx(1.0 + (np.sqrt(1.25) * 12.0 - 12.0) / 2.0)
    assert front_with([20.0, 19.0, 21.0]).event_progress() is None


@settings(max_examples=60, deadline=None)
@given(
    law=st.sampled_from(["reaction_diffusion", "linear", "exponential", "gompertz"]),
    velocity=st.floats(1.0, 35.0),
    progress=st.floats(0.1, 12.0),
    start=st.floats(1.0, 15.0),
)
def test_a_clock_comes_back_to_the_progress_it_was_asked_for(
    law: growth.GrowthLaw, velocity: float, progress: float, start: float
) -> None:
    clock = growth.Clock(
        law=law, velocity_mm_per_year=velocity, onset_day=100.0, start_radius_mm=start, final_radius_mm=start + 30.0
    )
    assert clock.progress_at(100.0 + clock.days_to(progress)) == pytest.approx(progress, rel=1e-6)
    assert clock.progress_at(99.0) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("law", ["linear", "exponential", "gompertz"])
def test_every_law_has_its_stated_velocity_at_the_reference_radius(law: growth.GrowthLaw) -> None:
    clock = growth.Clock(law=law, velocity_mm_per_year=6.0, onset_day=0.0, start_radius_mm=1.0, final_radius_mm=31.0)
    day = clock.days_to(clock.reference_radius_mm - clock.start_radius_mm)
    slope = (clock.progress_at(day + 0.5) - clock.progress_at(day - 0.5)) * growth.DAYS_PER_YEAR
    assert slope == pytest.approx(6.0, rel=1e-3)


def test_exponential_growth_doubles_the_volume_in_equal_times() -> None:
    clock = growth.Clock(law="exponential", velocity_mm_per_year=6.0, onset_day=0.0, start_radius_mm=2.0)
    radii = [clock.start_radius_mm + clock.progress_at(day) for day in (0.0, 200.0, 400.0)]
    assert (radii[1] / radii[0]) == pytest.approx(radii[2] / radii[1])
