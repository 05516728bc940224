"""Why a risk is uncertain, in words: each reason alone, none without reason, and nothing of a later visit."""

from __future__ import annotations

import math
import re

import pytest
import torch

from TemporalGliomaRisk.encode.summary import change_length, summary_length
from TemporalGliomaRisk.explain.certainty import (
    UNCERTAIN_CODES,
    DoubtKeeper,
    doubt_findings,
    one_visit_so_far,
    uncertain_codes,
)
from TemporalGliomaRisk.risk.doubt import Doubt, Usual, VisitDoubt
from TemporalGliomaRisk.risk.ensemble import VisitHazards
from TemporalGliomaRisk.timeline.finding import Finding, Severity
from TemporalGliomaRisk.timeline.visit import SEQUENCES

CHANNELS = 2


def usual(length: int) -> Usual:
    """Standard normal numbers are usual; a visit whose numbers are all 10 scores log(10)."""
    return Usual(
        centre=torch.zeros(4, length),
        whitening=torch.eye(length).repeat(4, 1, 1),
        level=torch.tensor([[0.0, 1.0]] * 4),
        known=torch.tensor([True, True, True, False]),
    )


@pytest.fixture
def doubt() -> Doubt:
    return Doubt(
        appearance=usual(summary_length(CHANNELS)),
        change=usual(change_length(CHANNELS)),
        unusual_above=2.0,
        at_odds_above=1.0,
        training_visits=9,
        validation_visits=9,
        validation_patients=3,
    )


def hazards(*members: float) -> VisitHazards:
    each = torch.tensor([[value, 0.0, 0.0, 0.0] for value in members], dtype=torch.float64)
    return VisitHazards(
        background=each.mean(dim=0),
        terms=torch.zeros(5, 4, dtype=torch.float64),
        member_hazards=each,
        single_visit_hazards=each[0],
    )


def scores(*values: float) -> torch.Tensor:
    return torch.tensor([*values, *[-math.inf] * (4 - len(values))])


QUIET = scores()


def test_a_usual_visit_is_called_nothing(doubt: Doubt) -> None:
    assert (
        doubt_findings(doubt, VisitDoubt(appearance=scores(1.9), change=QUIET, spread=0.9), hazards(0.1), 2, SEQUENCES)
        == ()
    )


def test_unlike_training_names_the_sequences_and_how_far(doubt: Doubt) -> None:
    odd = VisitDoubt(appearance=scores(2.5, 0.1, 7.0), change=QUIET, spread=0.0)
    (found,) = doubt_findings(doubt, odd, hazards(0.1), 3, SEQUENCES)
    assert (found.code, found.visit, found.sequence) == ("unlike_training", 3, "T1w")
    assert found.severity is Severity.WARNING
    assert found.message.startswith("FLAIR and T1w of visit 3 looks unlike")
    assert "7.0 spreads, warned above 2.0" in found.message
    assert "uncertain" in found.message


def test_a_sequence_that_training_lacked_says_so(doubt: Doubt) -> None:
    odd = VisitDoubt(appearance=torch.tensor([0.0, -math.inf, -math.inf, math.inf]), change=QUIET, spread=0.0)
    (found,) = doubt_findings(doubt, odd, hazards(0.1), 1, SEQUENCES)
    assert "ce-gd_T1w of visit 1" in found.message
    assert "not seen in training" in found.message
    assert "inf" not in found.message


def test_members_at_odds_are_told_with_their_extremes_and_the_word_uncertain(doubt: Doubt) -> None:
    odd = VisitDoubt(appearance=QUIET, change=QUIET, spread=1.2)
    (found,) = doubt_findings(doubt, odd, hazards(0.05, 0.6), 2, SEQUENCES)
    assert found.code == "members_at_odds"
    assert re.search(r"visit 2 is uncertain.*\(5 % to 45 %\).*95% of the visits", found.message)


def test_the_first_visit_rests_on_one_visit_and_a_single_visit_is_told_once() -> None:
    (found,) = one_visit_so_far(1, 4, ())
    assert (found.code, found.visit) == ("one_visit_so_far", 1)
    assert "uncertain" in found.message
    assert one_visit_so_far(2, 4, ()) == ()
    single = Finding(severity=Severity.WARNING, code="single_visit", message="One visit only.")
    assert one_visit_so_far(1, 1, (single,)) == ()
    assert len(one_visit_so_far(1, 1, ())) == 1


def test_visits_after_an_odd_one_are_told_to_rest_on_it_and_those_before_are_not(doubt: Doubt) -> None:
    keeper = DoubtKeeper(doubt, SEQUENCES)
    present = torch.tensor([True, False, False, False])
    # Unrelated features with a mean of 0 change as much as numbers of spread 1 do.
    features = [torch.randn(4, 400, CHANNELS, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    calm, odd = torch.zeros(4, summary_length(CHANNELS)), torch.full((4, summary_length(CHANNELS)), 20.0)
    told = [
        {finding.code for finding in keeper.findings(number, features[number - 1], present, seen, hazards(0.1))}
        for number, seen in ((1, calm), (2, odd), (3, calm))
    ]
    assert told == [set(), {"unlike_training"}, {"rests_on_unlike_visit"}]


def test_all_odd_visits_that_a_later_one_rests_on_are_named(doubt: Doubt) -> None:
    keeper = DoubtKeeper(doubt, SEQUENCES)
    present = torch.tensor([True, False, False, False])
    features = [torch.randn(4, 400, CHANNELS, generator=torch.Generator().manual_seed(n)) for n in range(4)]
    calm, odd = torch.zeros(4, summary_length(CHANNELS)), torch.full((4, summary_length(CHANNELS)), 20.0)
    for number, seen in ((1, odd), (2, calm), (3, odd)):
        keeper.findings(number, features[number - 1], present, seen, hazards(0.1))
    (found,) = keeper.findings(4, features[3], present, calm, hazards(0.1))
    assert "rests on visits 1, 3 too" in found.message


def test_a_visit_is_compared_with_the_first_one_however_like_the_one_before_it_is(doubt: Doubt) -> None:
    keeper = DoubtKeeper(doubt, SEQUENCES)
    first = torch.randn(4, 400, CHANNELS, generator=torch.Generator().manual_seed(0))
    present, calm = torch.tensor([True, False, False, False]), torch.zeros(4, summary_length(CHANNELS))
    told = [
        {finding.code for finding in keeper.findings(number, features, present, calm, hazards(0.1))}
        for number, features in ((1, first), (2, first + 20.0), (3, first + 20.0))
    ]
    assert told == [set(), {"change_unlike_training"}, {"change_unlike_training", "rests_on_unlike_visit"}]


def test_a_sequence_that_the_first_visit_lacks_has_not_changed(doubt: Doubt) -> None:
    keeper = DoubtKeeper(doubt, SEQUENCES)
    calm = torch.zeros(4, summary_length(CHANNELS))
    features = [torch.randn(4, 400, CHANNELS, generator=torch.Generator().manual_seed(n)) for n in range(2)]
    features[0][1], features[1][1] = 0.0, 20.0  # a sequence that is absent has features of 0
    one, both = torch.tensor([True, False, False, False]), torch.tensor([True, True, False, False])
    assert keeper.findings(1, features[0], one, calm, hazards(0.1)) == ()
    assert keeper.findings(2, features[1], both, calm, hazards(0.1)) == ()


def test_a_model_that_does_not_say_what_is_usual_calls_nothing_unusual() -> None:
    keeper = DoubtKeeper(None, SEQUENCES)
    features = torch.full((4, 10, CHANNELS), 1e9)
    assert keeper.findings(1, features, torch.ones(4).bool(), torch.ones(4, 9), hazards(1e-9, 9.0)) == ()


def test_codes_of_uncertainty_come_once_and_in_order() -> None:
    said = ["members_at_odds", "moved", "one_visit_so_far", "members_at_odds"]
    found = uncertain_codes(Finding(severity=Severity.WARNING, code=code, message="x") for code in said)
    assert found == ("one_visit_so_far", "members_at_odds")
    assert set(found) <= set(UNCERTAIN_CODES)


@pytest.mark.parametrize(
    "code",
    [
        *("single_visit", "one_visit_so_far", "gap_untrained", "rests_on_untrained_gap", "members_at_odds"),
        *("unlike_training", "change_unlike_training", "rests_on_unlike_visit"),
        *("brain_turned", "content_contradicts_label", "white_matter_contradicts_label"),
        *("looks_like_another_sequence", "cavity_appeared", "no_common_sequence"),
    ],
)
def test_every_reason_that_the_readme_gives_makes_a_risk_uncertain(code: str) -> None:
    assert uncertain_codes([Finding(severity=Severity.WARNING, code=code, message="x")]) == (code,)
