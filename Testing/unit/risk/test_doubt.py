"""When not to believe a risk: the distance is scikit-learn's, the rates are kept, and what is far is called far."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from TemporalGliomaRisk.errors import ModelError
from TemporalGliomaRisk.risk.doubt import (
    AT_ODDS_RATE,
    FALSE_ALARM_RATE,
    Doubt,
    VisitSummary,
    fit_doubt,
    judge,
    members_spread,
    shrunk_covariance,
    upper_quantile,
)

LENGTH, CHANGE = 12, 9
MIX = torch.randn(LENGTH, LENGTH, generator=torch.Generator().manual_seed(3)).double()


def visits(count: int, seed: int, *, shift: float = 0.0) -> list[VisitSummary]:
    """Correlated normal numbers; the third sequence is in one of ten, the last in none."""
    random = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        present = torch.tensor([True, True, number % 10 == 0, False])
        made.append(
            VisitSummary(
                appearance=(torch.randn(4, LENGTH, generator=random).double() + shift) @ MIX,
                present=present,
                change=torch.randn(4, CHANGE, generator=random).double(),
                common=present & (number % 5 > 0),
                spread=float(torch.rand(1, generator=random)),
            )
        )
    return made


@pytest.fixture(scope="module")
def doubt() -> Doubt:
    return fit_doubt(visits(600, 1), [visits(5, 100 + patient) for patient in range(120)])


def test_the_covariance_is_that_of_another_implementation() -> None:
    rows = visits(80, 2)
    stacked = torch.stack([visit.appearance[0] for visit in rows])
    stacked = stacked - stacked.mean(dim=0)
    wanted = LedoitWolf(assume_centered=True).fit(stacked.numpy()).covariance_
    assert np.allclose(shrunk_covariance(stacked).numpy(), wanted, rtol=1e-9)


def test_the_quantile_is_the_one_that_a_further_value_passes_seldom_enough() -> None:
    assert upper_quantile(range(1, 100), 0.01) == 99  # of 99 values and a further one, one in a hundred is largest
    assert upper_quantile(range(1, 200), 0.05) == 190
    assert upper_quantile([3.0, 1.0], 0.01) == 3.0


def test_good_visits_are_called_unlike_training_at_the_stated_rate_and_at_odds_likewise(doubt: Doubt) -> None:
    new = [judge(doubt, visit) for visit in visits(3000, 7)]
    assert np.mean([found.score > doubt.unusual_above for found in new]) == pytest.approx(FALSE_ALARM_RATE, abs=0.008)
    assert np.mean([found.spread > doubt.at_odds_above for found in new]) == pytest.approx(AT_ODDS_RATE, abs=0.02)


def test_visits_from_elsewhere_are_called_unlike_training(doubt: Doubt) -> None:
    far = [judge(doubt, visit).score for visit in visits(200, 8, shift=3.0)]
    assert min(far) > doubt.unusual_above


def test_a_sequence_never_seen_in_training_is_unlike_it_and_an_absent_one_is_not_judged(doubt: Doubt) -> None:
    visit = visits(1, 9)[0]
    only_last = replace(visit, present=torch.tensor([False, False, False, True]), common=torch.zeros(4).bool())
    found = judge(doubt, only_last)
    assert found.appearance.tolist() == [-math.inf] * 3 + [math.inf]
    assert found.change.tolist() == [-math.inf] * 4


def test_what_differs_at_one_sequence_only_is_seen_there_only(doubt: Doubt) -> None:
    visit = next(visit for visit in visits(200, 10) if judge(doubt, visit).score < doubt.unusual_above)
    appearance = visit.appearance.clone()
    appearance[1] += 5.0 * MIX.sum(dim=0)
    found, before = judge(doubt, replace(visit, appearance=appearance)), judge(doubt, visit)
    assert found.appearance[1] > doubt.unusual_above
    assert found.appearance[0] == before.appearance[0]
    assert torch.equal(found.change, before.change)


def test_members_spread_is_the_logarithm_of_their_ratio_within_the_horizon() -> None:
    hazards = torch.tensor([[0.1, 0.1, 0.1, 9.0], [0.2, 0.2, 0.5, 0.0], [0.1, 0.1, 0.2, 1.0]])
    assert members_spread(hazards) == pytest.approx(math.log(0.9 / 0.3), rel=1e-5)
    assert members_spread(hazards[:1]) == 0


def test_visits_that_cannot_be_judged_set_no_threshold_and_are_not_counted(doubt: Doubt) -> None:
    unknown = [
        replace(visit, present=torch.tensor([False, False, False, True]), common=torch.zeros(4).bool(), spread=9.0)
        for visit in visits(300, 12)
    ]
    judged = [visits(5, 100 + patient) for patient in range(120)]
    found = fit_doubt(visits(600, 1), [[*judged[0], *unknown], *judged[1:], unknown])
    assert (found.validation_visits, found.validation_patients) == (600, 120)
    assert (found.unusual_above, found.at_odds_above) == (doubt.unusual_above, doubt.at_odds_above)


def test_too_few_visits_are_refused() -> None:
    with pytest.raises(ModelError, match="takes 8 training visits"):
        fit_doubt(visits(3, 1), [visits(3, 2)])
    with pytest.raises(ModelError, match="bring more patients"):
        fit_doubt(visits(20, 1), [])


def test_a_threshold_that_is_no_number_is_refused(doubt: Doubt) -> None:
    with pytest.raises(ModelError, match="finite"):
        replace(doubt, unusual_above=math.nan)
