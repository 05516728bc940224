from __future__ import annotations

import math

import pytest
import torch

from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import (
    CELL_VOXELS,
    Comparison,
    EvidenceConfig,
    EvidenceModel,
    HistoryHead,
    brain_cells,
    interval_hazards,
)
from TemporalGliomaRisk.encode.pairs import PairModel, even_shares
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.ensemble import TimelineRisk

CONFIG = EvidenceConfig(feature_channels=8, comparison_channels=8, history_channels=8)
SHAPE = (24, 28, 20)


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = EvidenceModel(CONFIG, members=2).eval()
    with torch.no_grad():
        for head in [*network.members, network.single]:
            head.growth_gain.fill_(0.5)
            head.local_last.weight.mul_(20)
    return network


@pytest.fixture
def brain():
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[3:21, 4:25, 2:18] = True
    return mask


@pytest.fixture
def visits(brain):
    random = torch.Generator().manual_seed(1)
    present = torch.tensor([[1, 0, 0, 1], [1, 1, 0, 1], [0, 1, 0, 1], [1, 0, 1, 1]], dtype=torch.bool)
    volumes = torch.randn((4, 4, *SHAPE), generator=random) * brain * present[:, :, None, None, None]
    days = day_features(torch.tensor([0.0, 100.0, 230.0, 300.0]), torch.tensor([math.nan] * 4))
    return volumes, present, days


def seen(model, volumes, present, days, cells):
    """Hazards after every visit, visit by visit, as ``predict`` does it."""
    running = TimelineRisk(model, Calibration(background_scale=0.7, local_scale=1.9), Calibration())
    with torch.inference_mode():
        return [
            running.see(model.encode_visit(volumes[k], present[k], cells), present[k], days[k])
            for k in range(len(volumes))
        ]


def test_a_later_visit_changes_no_earlier_hazard_by_a_bit(model, visits, brain):
    volumes, present, days = visits
    cells = brain_cells(brain)
    before = seen(model, volumes, present, days, cells)
    changed = volumes.clone()
    changed[3] += 5.0 * brain
    after = seen(model, changed, present, days, cells)
    for k in range(3):
        assert torch.equal(before[k].terms, after[k].terms)
        assert torch.equal(before[k].member_hazards, after[k].member_hazards)
    assert not torch.equal(before[3].terms, after[3].terms)


def test_leaving_the_last_visit_out_changes_no_earlier_hazard_by_a_bit(model, visits, brain):
    volumes, present, days = visits
    cells = brain_cells(brain)
    whole = seen(model, volumes, present, days, cells)
    shorter = seen(model, volumes[:3], present[:3], days[:3], cells)
    for one, other in zip(whole, shorter, strict=False):
        assert torch.equal(one.terms, other.terms)


def test_risk_is_the_background_and_the_terms_and_nothing_else(model, visits, brain):
    for hazards in seen(model, *visits, brain_cells(brain)):
        total = float(hazards.horizon_terms.sum()) + hazards.background_hazard
        assert total == pytest.approx(-math.log1p(-hazards.risk), rel=1e-9)
        average = hazards.member_hazards.mean(dim=0)
        torch.testing.assert_close(hazards.interval_hazards, average, rtol=1e-9, atol=0)
        assert hazards.risk_extremes[0] <= hazards.risk <= hazards.risk_extremes[1]


def test_no_place_s_hazard_passes_its_bound_however_odd_a_visit_is(model, visits, brain):
    volumes, present, days = visits
    with torch.no_grad():
        for head in model.members:
            head.local_last.bias.fill_(50.0)
        cells = brain_cells(brain)
        features = torch.stack([model.encode_visit(volumes[k], present[k], cells) for k in range(4)])
        trained = torch.stack([head(features, present, days)[1] for head in model.members])
    seen_logs, memory = [], None
    for k in range(4):
        memory, logs = model.see(memory, features[k], present[k], days[k])
        seen_logs.append(logs)
    for logs in (trained, torch.stack(seen_logs)):
        assert logs.max() <= CONFIG.largest_log_term
        torch.testing.assert_close(logs, torch.full_like(logs, CONFIG.largest_log_term))


def test_calibration_scales_the_map_and_leaves_its_shape(model, visits, brain):
    volumes, present, days = visits
    cells = brain_cells(brain)
    features = model.encode_visit(volumes[0], present[0], cells)
    plain = TimelineRisk(model, Calibration(), Calibration()).see(features, present[0], days[0])
    scaled = TimelineRisk(model, Calibration(local_scale=3.0), Calibration()).see(features, present[0], days[0])
    torch.testing.assert_close(scaled.terms, 3 * plain.terms)
    torch.testing.assert_close(scaled.background, plain.background)


def test_a_voxel_beyond_the_receptive_field_changes_no_local_term(model, visits, brain):
    volumes, present, days = visits
    cells = brain_cells(brain)
    place = torch.nonzero(cells)
    before = seen(model, volumes, present, days, cells)
    touched = torch.tensor([5, 6, 4])
    changed = volumes.clone()
    changed[:, 3, touched[0], touched[1], touched[2]] += 50.0
    after = seen(model, changed, present, days, cells)
    reach = CONFIG.receptive_field_voxels / 2
    centre = place * CELL_VOXELS + (CELL_VOXELS - 1) / 2
    beyond = ((centre - touched).abs() > reach).any(dim=1)
    assert 0 < int(beyond.sum()) < len(place)
    for one, other in zip(before, after, strict=True):
        # Not bit for bit: the convolution library may order its sums otherwise where nothing changed.
        torch.testing.assert_close(one.terms[beyond], other.terms[beyond], rtol=1e-5, atol=0)
    moved = (before[-1].terms - after[-1].terms).abs().sum(dim=1) > 1e-6 * before[-1].terms.sum(dim=1)
    assert moved.any()
    assert not (moved & beyond).any()


def test_the_receptive_field_is_at_most_40_mm_on_the_2_mm_grid():
    assert EvidenceConfig().receptive_field_voxels * 2.0 <= 40.0


def test_a_larger_box_of_zeros_around_the_brain_changes_nothing(model, visits, brain):
    volumes, present, days = visits
    small = seen(model, volumes, present, days, brain_cells(brain))
    pad = (2, 6, 4, 8, 6, 2)
    wide = torch.nn.functional.pad(volumes, pad)
    wide_brain = torch.nn.functional.pad(brain, pad)
    large = seen(model, wide, present, days, brain_cells(wide_brain))
    for one, other in zip(small, large, strict=True):
        torch.testing.assert_close(one.interval_hazards, other.interval_hazards, rtol=1e-6, atol=1e-9)


def test_the_training_pass_is_the_causal_pass(model, visits, brain):
    volumes, present, days = visits
    cells = brain_cells(brain)
    features = torch.stack([model.encode_visit(volumes[k], present[k], cells) for k in range(4)])
    background, logs = model.members[0](features, present, days)
    memory, found = None, []
    for k in range(4):
        memory, local = model.see(memory, features[k], present[k], days[k])
        found.append(local[0])
    torch.testing.assert_close(logs, torch.stack(found), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(background, model.background_hazards(days)[0])


def test_no_difference_is_claimed_for_a_sequence_that_the_earlier_visit_lacks():
    torch.manual_seed(0)
    comparison = Comparison(CONFIG)
    earlier, later = torch.randn(2, 4, 5, 8)
    present_later = torch.tensor([True, True, False, False])
    lacking = torch.tensor([True, False, False, False])
    other = earlier.clone()
    other[1] += 10.0
    one = comparison(earlier, later, lacking, present_later)
    torch.testing.assert_close(one, comparison(other, later, lacking, present_later))
    both = torch.tensor([True, True, False, False])
    assert not torch.allclose(comparison(earlier, later, both, present_later), one)


def test_an_absent_sequence_is_not_read(model, visits, brain):
    volumes, present, _ = visits
    cells = brain_cells(brain)
    rubbish = volumes[0].clone()
    rubbish[1] = torch.nan
    assert torch.equal(
        model.encode_visit(rubbish, present[0], cells), model.encode_visit(volumes[0], present[0], cells)
    )


def test_the_untrained_risk_is_near_the_prevalence():
    torch.manual_seed(4)
    config = EvidenceConfig()
    head = HistoryHead(config)
    features = torch.randn(1, 4, config.prior_places, config.feature_channels) * 0.3
    present = torch.tensor([[True, False, False, True]])
    background, logs = head(features, present, day_features(torch.zeros(1), torch.full((1,), math.nan)))
    found = interval_hazards(background[0], logs[0])
    prior = torch.tensor(config.prior_interval_hazards)
    assert ((found > 0.5 * prior) & (found < 2 * prior)).all()


def test_swapping_two_visits_changes_the_sign_of_the_order_and_nothing_else():
    torch.manual_seed(0)
    pairs = PairModel(CONFIG)
    one, other = torch.randn(2, 3, 4, 6, 8)
    common = torch.tensor([[True, False, False, True]] * 3)
    inside = torch.tensor([[True, True, True, False, True, True]] * 3)
    shares = even_shares(inside)
    torch.testing.assert_close(shares.exp().sum(dim=1), torch.ones(3))
    forward = pairs.order_logit(one, other, common, shares)
    torch.testing.assert_close(forward, -pairs.order_logit(other, one, common, shares))
    assert (forward.abs() > 1e-6).all()
    assert torch.equal(pairs.order_logit(one, one, common, shares), torch.zeros(3))
    found, turned = (pairs.all_logits(*two, common, inside) for two in ((one, other), (other, one)))
    assert torch.equal(found.growth, pairs.growth_logits(one, other, common, common))
    assert torch.equal(found.order, forward)
    assert found.lesions.shape == (3, 2, 6)
    assert torch.equal(found.lesions, turned.lesions.flip(1))
    assert torch.equal(pairs.head_of_order().order_logit(one, other, common, shares), forward)


def test_places_outside_the_brain_do_not_move_the_order():
    torch.manual_seed(0)
    pairs = PairModel(CONFIG)
    one, other = torch.randn(2, 1, 4, 6, 8)
    common = torch.tensor([[True, True, True, True]])
    shares = even_shares(torch.tensor([[True, True, True, False, True, True]]))
    changed = one.clone()
    changed[:, :, 3] += 3.0
    torch.testing.assert_close(
        pairs.order_logit(one, other, common, shares), pairs.order_logit(changed, other, common, shares)
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_count_changes_nothing_beyond_a_hundred_thousandth(model, visits, brain, threads):
    cells = brain_cells(brain)
    expected = [hazards.risk for hazards in seen(model, *visits, cells)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = [hazards.risk for hazards in seen(model, *visits, cells)]
    finally:
        torch.set_num_threads(before)
    assert found == pytest.approx(expected, abs=1e-5)
