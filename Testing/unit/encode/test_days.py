from __future__ import annotations

import math

import pytest
import torch

from TemporalGliomaRisk.encode.days import DAY_FEATURES, day_features
from TemporalGliomaRisk.errors import ShapeError

NAN = math.nan


def test_features_follow_their_closed_form() -> None:
    features = day_features(torch.tensor([0.0, 90.0, 360.0]), torch.tensor([NAN, 90.0 * (math.e - 1), 0.0]))

    expected = torch.tensor(
        [
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [math.log(2), math.log(2), 1.0, 1.0, 1.0],
            [math.log(5), math.log(4), 1.0, 0.0, 1.0],
        ]
    )
    torch.testing.assert_close(features, expected)
    assert features.shape[-1] == DAY_FEATURES


def test_unknown_days_since_treatment_do_not_read_as_zero_days() -> None:
    days = torch.tensor([0.0, 100.0])
    unknown = day_features(days, torch.tensor([NAN, NAN]))
    zero = day_features(days, torch.zeros(2))

    assert torch.isfinite(unknown).all()
    assert not torch.equal(unknown[0], zero[0])
    assert not torch.equal(unknown[1], zero[1])


def test_a_first_visit_does_not_read_as_a_repeat_on_the_same_day() -> None:
    features = day_features(torch.tensor([0.0, 0.0]), torch.full((2,), NAN))

    assert not torch.equal(features[0], features[1])


def test_later_days_change_no_earlier_feature_by_a_bit() -> None:
    generator = torch.Generator().manual_seed(5)
    days = torch.cumsum(torch.rand(8, generator=generator) * 300, dim=0)
    treatment = days + 12
    whole = day_features(days, treatment)
    for visits in range(1, 9):
        assert torch.equal(day_features(days[:visits], treatment[:visits]), whole[:visits])


def test_a_batch_gives_what_its_timelines_give_alone() -> None:
    days = torch.tensor([[0.0, 80.0, 200.0], [0.0, 300.0, 310.0]])
    treatment = torch.tensor([[5.0, 85.0, 205.0], [NAN, NAN, NAN]])
    batch = day_features(days, treatment)

    assert torch.equal(batch[0], day_features(days[0], treatment[0]))
    assert torch.equal(batch[1], day_features(days[1], treatment[1]))


def test_a_visit_before_treatment_stays_finite_and_mirrors_one_after() -> None:
    before = day_features(torch.zeros(1), torch.tensor([-200.0]))
    after = day_features(torch.zeros(1), torch.tensor([200.0]))

    assert before[0, 3] == -after[0, 3]
    assert before[0, 4] == 1.0


def test_whole_days_as_integers_give_the_same_features() -> None:
    days = torch.tensor([0, 91, 280])

    torch.testing.assert_close(day_features(days, days + 3), day_features(days.float(), (days + 3).float()))


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"got \(3,\) and \(2,\)"):
        day_features(torch.zeros(3), torch.zeros(2))
