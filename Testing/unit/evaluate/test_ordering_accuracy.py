"""Accuracy of the order by closed forms, and repeats that neither come first."""

from __future__ import annotations

import numpy as np
import pytest

from TemporalGliomaRisk.evaluate.ordering import summarise_order


def test_pairs_are_right_above_one_half_and_a_tie_counts_half() -> None:
    confidence = np.array([0.9] * 6 + [0.1] * 2 + [0.5] + [0.2] + [0.7] * 10)
    found = summarise_order(
        confidence,
        np.array([0.5] * 10 + [0.9] * 10),
        event=np.array([True] * 10 + [False] * 10),
        growth_diameter_mm=np.array([8.0] * 9 + [2.0] + [np.nan] * 10),
    )
    pairs = found["pairs"]
    assert pairs["recurrent"]["patients"] == 10
    assert pairs["recurrent"]["accuracy"]["value"] == pytest.approx(0.65)
    assert pairs["recurrent, growth of 6 mm or more"]["accuracy"]["value"] == pytest.approx(6.5 / 9)
    # All ten right: the largest share of which none would be wrong in one of forty tries is 0.025 to the tenth root.
    assert pairs["no event observed"]["accuracy"] == {
        **{"value": 1.0, "low": pytest.approx(0.025 ** (1 / 10)), "high": 1.0},
        "undefined_resamples": 0,
    }
    # The binomial spread of ten patients is 0.15, and a 95 % interval is about four of these wide.
    width = pairs["recurrent"]["accuracy"]["high"] - pairs["recurrent"]["accuracy"]["low"]
    assert 0.4 < width < 0.7
    assert found["repeats"]["share_undecided"] == 0.5
    assert found["repeats"]["confidence_percentiles"]["50"] == pytest.approx(0.7)
