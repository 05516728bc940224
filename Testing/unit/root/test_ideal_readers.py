"""Ideal readers who see less, or take more for a lesion, are given what they would see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from TemporalGliomaRisk.evaluate.known_groups import EFFECT
from TemporalGliomaRisk.patient_scoring import _reader_scores

VISITS = 4


def patient(residual: tuple[float, ...], effect: tuple[float, ...] | None) -> Any:
    """Only what a reader looks at: days, and diameters by the truth."""
    visits: list[dict[str, Any]] = [{"lesion_diameters_mm": {"residual": size}} for size in residual]
    for visit, size in zip(visits, effect or (), strict=False):
        visit[EFFECT] = size
    return SimpleNamespace(truth={"visits": visits}, visits=VISITS, days_since_first=[0.0, 100.0, 200.0, 300.0])


def test_a_treatment_effect_deceives_only_the_reader_who_takes_it_for_a_lesion() -> None:
    swells = patient((5.0, 5.0, 5.0, 5.0), (0.0, 0.0, 9.0, 18.0))
    knows, deceived = (_reader_scores(swells, [1, 2], deceived=one) for one in (False, True))
    assert deceived[-1] > knows[-1] + 2
    assert all(other >= one for one, other in zip(knows, deceived, strict=True))


def test_a_truth_that_does_not_hold_the_effect_gives_no_deceived_reader() -> None:
    assert _reader_scores(patient((5.0,) * VISITS, None), [1, 2], deceived=True) == []
    assert len(_reader_scores(patient((5.0,) * VISITS, None), [1, 2])) == VISITS


def test_what_is_too_small_to_see_is_not_seen_to_grow() -> None:
    grows = patient((0.0, 1.0, 3.0, 5.5), None)
    sees, blind = (_reader_scores(grows, [1, 2], least) for least in (0.0, 6.0))
    assert sees[-1] > blind[-1]
    assert blind == _reader_scores(patient((0.0,) * VISITS, None), [1, 2])
