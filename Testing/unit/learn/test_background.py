"""The background is what days and outcomes alone tell, and nothing of the images moves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import EvidenceConfig, HistoryHead
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.learn.background import DayRows, FollowedDays, fit_background
from TemporalGliomaRisk.learn.cohort import read_cohort
from TemporalGliomaRisk.learn.feature_store import PlaceSampling, cache_features, load_features
from TemporalGliomaRisk.learn.finetune import FinetuneConfig, begin_head, finetune_head
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.resources import resource_path
from TemporalGliomaRisk.risk.hazards import horizon_hazard

SIZES = EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6)
VISITS = np.array([0.0, 150.0, 400.0, 800.0, 1300.0, 2000.0])
EARLY, LATE, TURNS_AT = 0.4 / 365, 0.06 / 365, 500.0
"""Events a day before and after a day."""


def followed(seed: int) -> FollowedDays:
    """A patient whose event comes by a hazard that falls, or whose follow-up ends without one."""
    random = np.random.default_rng(seed)
    waited = random.exponential()
    turn = EARLY * TURNS_AT
    event_day = waited / EARLY if waited < turn else TURNS_AT + (waited - turn) / LATE
    last_contact = random.uniform(300.0, 3500.0)
    end = min(event_day, last_contact)
    days = VISITS[end > VISITS]
    return FollowedDays(
        days_since_first=days,
        days_since_treatment=days + 30.0,
        row_ends=(end - days, np.full(len(days), event_day <= last_contact)),
    )


def risks(head: HistoryHead, *, treatment_known: bool) -> np.ndarray:
    treatment = VISITS + 30.0 if treatment_known else np.full(len(VISITS), math.nan)
    days = day_features(torch.from_numpy(VISITS), torch.from_numpy(treatment)).float()
    with torch.no_grad():
        return -np.expm1(-horizon_hazard(head.background_hazards(days)).numpy())


def test_it_learns_how_the_hazard_falls_with_and_without_the_day_of_treatment() -> None:
    torch.manual_seed(1)
    head = HistoryHead(SIZES)
    before = risks(head, treatment_known=True)
    assert before.max() - before.min() < 0.05
    others = {name: value.clone() for name, value in head.state_dict().items() if not name.startswith("background")}
    fit_background(head, [followed(one) for one in range(800)], [followed(one) for one in range(800, 1000)], seed=1)
    assert all(torch.equal(value, head.state_dict()[name]) for name, value in others.items())
    to_come = np.clip(TURNS_AT - VISITS, 0.0, 365.0)
    truth = -np.expm1(-(EARLY * to_come + LATE * (365.0 - to_come)))
    for known in (True, False):
        found = risks(head, treatment_known=known)
        assert np.abs(found - truth).max() < 0.08
        assert found[0] > 3 * found[-1]


def test_it_is_kept_where_those_watched_do_best() -> None:
    torch.manual_seed(1)
    head = HistoryHead(SIZES)
    at_once = FollowedDays(
        days_since_first=np.zeros(1), days_since_treatment=np.zeros(1), row_ends=_end(5.0, event=True)
    )
    never = replace(at_once, row_ends=_end(4000.0, event=False))
    before = {name: value.clone() for name, value in head.state_dict().items()}
    fit_background(head, [at_once] * 20, [never] * 5, seed=1)
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
    fit_background(head, [at_once] * 20, [at_once] * 5, seed=1)
    assert risks(head, treatment_known=True)[0] > 0.9


def _end(days: float, *, event: bool) -> tuple[np.ndarray, np.ndarray]:
    return np.array([days]), np.array([event])


def test_days_of_a_cohort_are_those_of_its_tables_before_the_end() -> None:
    patients = read_cohort(resource_path("SampleData"))
    found = {one.patient_id: FollowedDays.of(one) for one in patients}
    for one in patients:
        days = found[one.patient_id]
        ends, events = days.row_ends
        assert (days.days_since_first < one.follow_up_days).all()
        assert np.array_equal(ends + days.days_since_first, np.full(len(ends), one.follow_up_days))
        assert set(events.tolist()) == {one.event_observed}
    assert found["sub-03"].days_since_treatment.tolist() == [11, 95, 166, 291, 495]
    assert found["sub-03"].days_since_first.tolist() == [0, 84, 155, 280, 484]


def test_rows_stand_once_with_the_day_of_treatment_and_once_without() -> None:
    rows = DayRows.of([followed(1)])
    known, unknown = rows.days.chunk(2)
    assert torch.equal(known[:, :3], unknown[:, :3])
    assert known[:, 4].all()
    assert not unknown[:, 3:].any()


@pytest.mark.parametrize("single_visit", [False, True])
def test_fine_tuning_begins_with_the_background_of_the_days(
    single_visit: bool, make_stored: Callable[..., StoredPatient], tmp_path: Path
) -> None:
    pretrained = PairModel(SIZES)
    patients = [make_stored(number, grows=number % 2 == 0) for number in range(8)]
    cache_features(pretrained, patients, tmp_path / "features", PlaceSampling(foremost=40, sampled=40), seed=1)
    still = FinetuneConfig(epochs=1, learning_rate=1e-12, single_visit=single_visit)
    head = finetune_head(
        pretrained,
        patients[:6],
        patients[6:],
        lambda one: load_features(tmp_path / "features", one),
        tmp_path / "head.safetensors",
        config=still,
    )
    alone = begin_head(pretrained, still)
    if not single_visit:
        fit_background(alone, patients[:6], patients[6:], seed=still.seed)
    for name in ("background.weight", "background_last.weight", "background_last.bias"):
        torch.testing.assert_close(head.state_dict()[name], alone.state_dict()[name])
    fresh = begin_head(pretrained, still).state_dict()["background_last.bias"]
    assert torch.equal(alone.background_last.bias, fresh) is single_visit
