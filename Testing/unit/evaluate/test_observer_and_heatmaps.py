from __future__ import annotations

import numpy as np
import pytest

from TemporalGliomaRisk.errors import ShapeError
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.heatmaps import score_heatmap, summarise_heatmaps
from TemporalGliomaRisk.evaluate.observer import (
    ObserverConfig,
    by_worst_lesion,
    current_status_score,
    growth_rule_score,
    ideal_observer_score,
)
from TemporalGliomaRisk.evaluate.words import _heatmap_table

DAYS = np.array([0.0, 90.0, 180.0, 365.0, 730.0])
STEADY = ObserverConfig(radius_error_mm=0.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def test_the_observer_ranks_by_growth_since_the_lesion_was_smallest() -> None:
    shrinks_first = ideal_observer_score([14.0, 9.0, 12.0, 11.0, 15.0], DAYS, rng(), STEADY)
    assert shrinks_first.tolist() == pytest.approx([0, 0, 3, 2, 6])
    # A large residual that stands still says nothing, a small new focus something.
    assert ideal_observer_score([35.0] * 5, DAYS, rng(), STEADY).tolist() == [0] * 5
    assert ideal_observer_score([0, 0, 0, 0, 3.0], DAYS, rng(), STEADY)[-1] == 3


def test_a_later_visit_changes_no_earlier_score() -> None:
    short = ideal_observer_score(np.full(3, 9.0), DAYS[:3], rng())
    whole = ideal_observer_score(np.array([9, 9, 9, 20, 30.0]), DAYS, rng())

    assert np.array_equal(short, whole[:3])


def test_the_readers_error_is_half_a_millimetre_in_radius() -> None:
    # the current status of a large lesion at one visit is (read / threshold): invert it
    config = ObserverConfig(least_diameter_mm=100.0)
    one = np.random.default_rng(5)
    read = 100 * np.array([current_status_score([60.0], [0.0], one, config)[0] for _ in range(4000)])
    assert read.mean() == pytest.approx(60, abs=0.1)
    assert read.std() == pytest.approx(1.0, abs=0.05)


def test_a_lesion_that_comes_later_is_not_told_by_one_more_error_today() -> None:
    def first_two(later: dict[str, float]) -> np.ndarray:
        visits = [{"a": 8.0}, {"a": 8.0}, {"a": 8.0, **later}]
        return by_worst_lesion(ideal_observer_score, visits, DAYS[:3], rng())[:2]

    assert np.array_equal(first_two({}), first_two({"b": 5.0}))
    # As one more error would: the more places, the further the worst of them seems to have grown.
    seems = [
        np.mean(
            [
                by_worst_lesion(ideal_observer_score, [{}, {}], DAYS[:2], np.random.default_rng(seed), places=places)[1]
                for seed in range(200)
            ]
        )
        for places in (1, 2, 3)
    ]
    assert seems[0] < seems[1] < seems[2]


@pytest.mark.parametrize("rule", [ideal_observer_score, growth_rule_score, current_status_score])
def test_days_that_do_not_rise_are_refused(rule) -> None:
    with pytest.raises(ShapeError, match="days must rise"):
        rule([5, 6], [10, 10], rng())


def test_the_growth_rule_is_the_cross_section_over_the_smallest_so_far() -> None:
    scores = growth_rule_score([12, 10, 11, 15, 3], DAYS, rng(), STEADY)
    # 3 mm counts as 5 mm, half of the event's least diameter, and is then the smallest itself.
    assert scores.tolist() == pytest.approx([1, 1, 1.21, 2.25, 1])
    assert growth_rule_score([1, 2, 4, 5, 6], DAYS, rng(), STEADY).tolist() == pytest.approx([1, 1, 1, 1, 1.44])


def test_the_current_status_is_one_at_the_event_and_does_not_look_ahead() -> None:
    scores = current_status_score([4, 8, 10, 12, 20], DAYS, rng(), STEADY)
    assert scores.tolist() == pytest.approx([0.4, 0.8, 1.0, 1.2, 2.0])
    residual = 20 * np.array([1, 1.1, 1.25**0.5, 1.2, 1.0])
    assert current_status_score(residual, DAYS, rng(), STEADY)[2] == pytest.approx(1.0)
    # The same small size now, one of them grown fast: the same status.
    assert [current_status_score(one, DAYS[:2], rng(), STEADY)[-1] for one in ([1.0, 7.0], [7.0, 7.0])] == [0.7, 0.7]


def test_a_patient_is_scored_by_the_lesion_that_looks_worst_at_each_visit() -> None:
    lesions = [{"a": 8.0}, {"a": 4.0, "b": 12.0}, {"b": 6.0}]
    scores = by_worst_lesion(lambda *given: current_status_score(*given, STEADY), lesions, DAYS[:3], rng())
    assert scores.tolist() == pytest.approx([0.8, 1.2, 0.6])
    none = by_worst_lesion(lambda *given: current_status_score(*given, STEADY), [{}, {}], DAYS[:2], rng())
    assert none.tolist() == [0, 0]


def a_place() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    brain = np.zeros((20, 20, 20), bool)
    brain[2:18, 2:18, 2:18] = True
    growth = np.zeros_like(brain)
    growth[5:7, 5:7, 5:7] = True
    return np.zeros(brain.shape), growth, brain


@pytest.mark.parametrize(("k", "hit"), [(7, 1.0), (8, 0.0)])
def test_the_peak_hits_within_the_tolerance_in_millimetres_not_in_voxels(k: int, hit: float) -> None:
    heatmap, growth, brain = a_place()
    heatmap[5, 5, k] = 1
    found = score_heatmap(heatmap, growth, brain, spacing_mm=(1, 1, 2), tolerance_mm=2.0, centre_ijk=(8, 6, 6))

    assert found.hit == hit
    assert found.peak_distance_mm == pytest.approx(2.0 * (k - 6))
    assert found.centre_hit == 1.0


@pytest.mark.parametrize(("centre", "hit"), [((5.4, 6.0, -9.0), 1.0), ((5, 6, 0), 1.0), ((40, 6, 6), 0.0)])
def test_a_centre_outside_the_brain_counts_as_the_place_in_the_brain_nearest_to_it(
    centre: tuple[float, float, float], hit: float
) -> None:
    heatmap, growth, brain = a_place()
    growth[5:7, 5:7, 2:4] = True
    brain[8:12, 8:12, 8:12] = False
    found = score_heatmap(heatmap + 1, growth, brain, spacing_mm=(1, 1, 2), tolerance_mm=0.5, centre_ijk=centre)
    assert found.centre_hit == hit
    with pytest.raises(ShapeError, match="three finite voxel indices"):
        score_heatmap(
            heatmap, growth, brain, spacing_mm=(1, 1, 2), tolerance_mm=1.0, centre_ijk=(5.0, float("nan"), 5.0)
        )


def test_the_cavitys_centre_is_averaged_over_the_maps_that_have_one() -> None:
    heatmap, growth, brain = a_place()
    centres = [(5.0, 5.0, 5.0), (12.0, 12.0, 12.0), (6.0, 6.0, 6.0), None]
    scores = [
        score_heatmap(heatmap + 1, growth, brain, spacing_mm=(2, 2, 2), tolerance_mm=2.0, centre_ijk=centre)
        for centre in centres
    ]
    found = summarise_heatmaps(scores)
    assert (found["maps"], found["maps_with_cavity"]) == (4, 3)
    assert found["pointing_game_at_cavity_centre"] == pytest.approx(2 / 3)
    # Of two in three Clopper and Pearson allow 9 to 99 %; every map's share of hazard is the same.
    assert "| any | 4 | 1% [0%, 61%] (0.8%) | 67% [9%, 99%] of 3 | 0% [0%, 0%] (0.2%) |" in _heatmap_table(found)
    before = {name: value for name, value in found.items() if name not in ("intervals", "by_growth_diameter")}
    assert "| any | 4 | 1% (0.8%) | 67% of 3 | 0% (0.2%) |" in _heatmap_table({**before, "by_growth_diameter": []})
    none = summarise_heatmaps(scores[3:])
    assert (none["maps_with_cavity"], none["pointing_game_at_cavity_centre"]) == (0, None)
    assert "| not known |" in _heatmap_table(none)


def test_chance_is_the_share_of_the_brain_that_random_peaks_hit() -> None:
    heatmap, growth, brain = a_place()
    flat = score_heatmap(heatmap + 1, growth, brain, spacing_mm=(2, 2, 2), tolerance_mm=2.0)

    assert flat.chance == (8 + 6 * 4) / 16**3
    assert flat.hit == flat.chance
    assert flat.share_inside == flat.share_expected == pytest.approx(8 / 16**3)


def test_the_share_inside_follows_its_closed_form() -> None:
    heatmap, growth, brain = a_place()
    heatmap[5:7, 5:7, 5:8] = 2.0
    heatmap[5:7, 5:7, 5:7] = 3.0
    found = score_heatmap(heatmap, growth, brain, spacing_mm=(2, 2, 2), tolerance_mm=2.0)

    assert found.share_inside == pytest.approx(24 / 32)


def test_what_lies_outside_the_brain_is_not_looked_at() -> None:
    heatmap, growth, brain = a_place()
    heatmap[5, 5, 5] = 1
    heatmap[0, 0, 0] = 99

    assert score_heatmap(heatmap, growth, brain, spacing_mm=(2, 2, 2), tolerance_mm=2.0).hit == 1.0


def two_maps_two_sizes():
    """A map that points at growth and one that doesn't; growth of 8 and of 216 voxels; the brain."""
    heatmap, growth, brain = a_place()
    hits, misses, large = heatmap.copy(), heatmap.copy(), growth.copy()
    hits[5, 5, 5] = misses[15, 15, 15] = 1
    large[4:10, 4:10, 4:10] = True
    return hits, misses, growth, large, brain


def test_maps_are_summed_up_apart_by_the_diameter_of_growth() -> None:
    hits, misses, growth, large, brain = two_maps_two_sizes()
    # 8 voxels of 1 and of 8 cubic millimetres: balls of 2.5 and 5.0 mm; 216 of the larger ones: 14.9 mm.
    given = [(hits, growth, 1), (misses, growth, 2), (hits, large, 2)]
    scores = [score_heatmap(one, new, brain, spacing_mm=(e, e, e), tolerance_mm=1.0) for one, new, e in given]
    assert [one.growth_diameter_mm for one in scores] == pytest.approx([2.481, 4.963, 14.888], abs=1e-3)
    found = summarise_heatmaps(scores)
    assert (found["maps"], found["pointing_game"]) == (3, pytest.approx(2 / 3))
    small, big = found["by_growth_diameter"]
    assert (small["from_mm"], small["below_mm"], small["maps"], small["pointing_game"]) == (0, 6, 2, 0.5)
    assert (big["from_mm"], big["below_mm"], big["maps"], big["share_of_hazard_in_growth"]) == (10, None, 1, 1.0)


def test_hits_have_an_exact_interval_and_shares_of_hazard_one_over_patients() -> None:
    hits, misses, growth, _, brain = two_maps_two_sizes()
    hit, miss = (
        score_heatmap(one, growth, brain, spacing_mm=(2, 2, 2), tolerance_mm=1.0, centre_ijk=(5, 5, 5))
        for one in (hits, misses)
    )
    found = summarise_heatmaps([hit] * 12 + [miss] * 4, BootstrapConfig(resamples=400))["intervals"]
    assert set(found) == {"pointing_game", "pointing_game_at_cavity_centre", "share_of_hazard_in_growth"}
    # By R: binom.test(12, 16) gives 0.4762 to 0.9273, binom.test(16, 16) 0.7941 to 1.
    assert [found["pointing_game"][end] for end in ("value", "low", "high")] == pytest.approx(
        [0.75, 0.4762, 0.9273], abs=1e-4
    )
    assert found["pointing_game_at_cavity_centre"]["low"] == pytest.approx(0.7941, abs=1e-4)
    # Each map has all or nothing in its growth: about two standard errors of a share of three quarters either way.
    share = found["share_of_hazard_in_growth"]
    assert (share["low"], share["high"]) == pytest.approx((0.54, 0.96), abs=0.07)


def test_growth_that_should_be_pointed_at_is_told_apart_by_whether_it_is_a_new_focus() -> None:
    hits, misses, growth, large, brain = two_maps_two_sizes()
    given = [(hits, large, 9.0), (misses, large, 0.0), (misses, large, 5.9), (hits, large, None), (hits, growth, 7.0)]
    scores = [
        score_heatmap(one, new, brain, spacing_mm=(2, 2, 2), tolerance_mm=1.0, new_focus_mm=focus)
        for one, new, focus in given
    ]
    expected = summarise_heatmaps(scores)["expected"]
    assert (expected["maps"], expected["pointing_game"]) == (4, 0.5)
    assert (expected["with_new_focus"]["maps"], expected["with_new_focus"]["pointing_game"]) == (1, 1.0)
    assert (expected["at_rims"]["maps"], expected["at_rims"]["pointing_game"]) == (2, 0.0)
    assert set(summarise_heatmaps(scores[3:4])["expected"]) & {"with_new_focus", "at_rims"} == set()
    assert "expected" not in summarise_heatmaps(scores[4:])


def test_a_visit_without_growth_is_refused() -> None:
    heatmap, growth, brain = a_place()
    with pytest.raises(ShapeError, match="at least one voxel inside the brain"):
        score_heatmap(heatmap, growth & False, brain, spacing_mm=(2, 2, 2), tolerance_mm=2.0)
