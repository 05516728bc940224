"""How numbers are written, and the words beside a number that is uncertain."""

from __future__ import annotations

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.explain.certainty import UNCERTAIN_CODES


def test_an_uncertain_risk_is_called_so_with_every_reason_in_words_and_a_usual_one_is_not() -> None:
    assert numbers.uncertain([]) == ""
    assert numbers.uncertain(["one_visit_so_far"]) == "uncertain: one visit so far"
    assert numbers.uncertain(["gap_untrained", "members_at_odds"]) == "uncertain: gap untrained, members at odds"
    every = numbers.uncertain(UNCERTAIN_CODES)
    assert every.count(",") == len(UNCERTAIN_CODES) - 1
    assert every.replace(" ", "").replace(",", "").replace(":", "").isalpha()
