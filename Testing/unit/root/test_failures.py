"""A failure as one sentence: what it was, and nothing of its own text."""

from __future__ import annotations

import pytest

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.failures import sentence_of, shown_sentence_of

UNFORESEEN = OSError(5, "Input/output error", "/data/Surname/a.nii.gz")


def test_a_failure_is_the_same_sentence_after_a_command_s_name_and_by_itself_but_for_its_capital_letter() -> None:
    assert sentence_of(UNFORESEEN, advice="; try again") == (
        "stopped by an unexpected OSError (Input/output error); try again."
    )
    assert shown_sentence_of(UNFORESEEN, advice="; try again") == (
        "Stopped by an unexpected OSError (Input/output error); try again."
    )


@pytest.mark.parametrize(
    ("said", "shown"), [("visit 3 is dated today.", "Visit 3 is dated today."), ("RAS is wanted.", "RAS is wanted.")]
)
def test_a_sentence_of_ours_is_shown_as_it_is_with_a_capital_letter(said: str, shown: str) -> None:
    assert shown_sentence_of(InputError(said)) == shown


def test_an_error_that_says_nothing_is_shown_as_nothing() -> None:
    """Taking the first letter of nothing would be a failure in the place where failures are told."""
    assert shown_sentence_of(InputError("")) == ""
