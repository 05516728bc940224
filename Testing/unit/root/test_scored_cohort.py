"""Figures are also given with the event at the visit that showed it, where a clinic would see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.known_groups import KnownPatient
from TemporalGliomaRisk.evaluate.words import results_text
from TemporalGliomaRisk.learn.cohort import read_cohort
from TemporalGliomaRisk.patient_scoring import ScoredPatient, ScoredRow, _shown_after_days
from TemporalGliomaRisk.scored_cohort import ScoredCohort

FEW = BootstrapConfig(resamples=20)
SHOWN_AFTER, EVENTS, WITHOUT = 40.0, 12, 20


def scored(number: int, *, event: bool, days: tuple[float, ...]) -> ScoredPatient:
    """A patient whose hazard is one of the number alone; ``days`` go from each visit to the end."""
    risk = 0.01 * (number + 1)
    rows = [
        ScoredRow(
            patient_id=f"sub-{number}",
            visit_number=visit,
            days_to_end=left,
            event=event,
            risk=risk,
            single_visit_risk=risk,
            local_hazard=risk / 2,
            sequences=(),
        )
        for visit, left in enumerate(days, 1)
    ]
    return ScoredPatient(
        rows=rows,
        maps=[],
        maps_off_borders=[],
        readers=([], [], []),
        deceived=[],
        peer_risks=[],
        rival_risks=[],
        orders=[],
        doubted=[],
        shown_after_days=SHOWN_AFTER if event else 0.0,
    )


def cohort() -> ScoredCohort:
    """Two visits a patient: 350 and 100 days before an event that shows 40 days on, or long before the last contact."""
    without = [scored(number, event=False, days=(900.0, 650.0)) for number in range(WITHOUT)]
    with_event = [scored(WITHOUT + number, event=True, days=(350.0, 100.0)) for number in range(EVENTS)]
    patients = [*without, *with_event]
    return ScoredCohort(patients=patients, known=[KnownPatient(participant={}, truth=None)] * len(patients))


def events_by_visits(tables: dict[str, Any]) -> dict[str, int]:
    return {group["name"]: group["events"] for group in tables["groups"]}


def test_an_event_that_shows_after_the_horizon_is_none_within_it_and_the_rows_stay() -> None:
    found = cohort().measured((None, None), FEW)
    by_growth, by_visit = found["several_visits"], found["event_at_next_visit"]["several_visits"]
    assert [group["rows"] for group in by_visit["groups"]] == [group["rows"] for group in by_growth["groups"]]
    assert events_by_visits(by_growth) == {"all": 2 * EVENTS, "1 visit": EVENTS, "2 visits": EVENTS}
    # From the first visit the event shows after 390 days, from the second after 140.
    assert events_by_visits(by_visit) == {"all": EVENTS, "1 visit": 0, "2 visits": EVENTS}
    assert found["event_at_next_visit"]["days_after_event_median"] == SHOWN_AFTER
    # At the second visit the highest risks all have an event; of all rows the first visits of these have none.
    values = {group["name"]: group["metrics"]["auroc"]["value"] for group in by_visit["groups"]}
    assert values["2 visits"] == 1.0
    assert values["all"] < 1.0


def test_only_ranks_are_given_and_they_are_told() -> None:
    found = cohort().measured((None, None), FEW)
    metrics = found["event_at_next_visit"]["single_visit"]["groups"][0]["metrics"]
    assert metrics["brier"]["reason"] == "a score that only ranks"
    said = results_text({"title": "x", "model": "y", "patients": EVENTS + WITHOUT, **found})
    assert f"(in the median 40 days later, {EVENTS} patients with one), the same risks on the same rows: AUROC" in said
    del found["event_at_next_visit"]
    assert "next visit" not in results_text({"title": "x", "model": "y", "patients": EVENTS + WITHOUT, **found})


def test_the_model_s_share_is_given_of_each_reader_s_way_on_the_reader_s_own_scores() -> None:
    gathered, rng = cohort(), np.random.default_rng(2)
    # The deceived reader has the model's own order; the other one sees through everything.
    for number, one in enumerate(gathered.patients):
        surely = [float(one.rows[0].event) + rng.uniform(0, 0.1)] * len(one.rows)
        deceived = [row.risk for row in one.rows]
        gathered.patients[number] = replace(one, readers=(surely,) * 3, deceived=deceived)
    found = gathered.measured((None, None), FEW)
    shares = {name: found[name][0]["metrics"]["auroc_share"] for name in found if name.startswith("share_of_")}
    assert shares["share_of_ideal_observer_deceived"]["value"] == 1.0
    ours, ideal = (found[key]["groups"][0]["metrics"]["auroc"]["value"] for key in ("several_visits", "ideal_observer"))
    assert shares["share_of_ideal_observer"]["value"] == (ours - 0.5) / (ideal - 0.5)


def test_nothing_is_told_where_one_event_s_visit_is_not_known() -> None:
    gathered = cohort()
    gathered.patients[-1] = replace(gathered.patients[-1], shown_after_days=None)
    assert "event_at_next_visit" not in gathered.measured((None, None), FEW)


def test_the_day_is_that_of_the_table_or_else_of_the_truth(simulated_cohort: Path) -> None:
    without, with_event = (
        next(p for p in read_cohort(simulated_cohort) if p.event_observed is o) for o in (False, True)
    )
    # The event comes on day 206, the visit after it on day 208.
    assert (without.event_day_at_visit, with_event.event_day_at_visit) == (None, 208)
    assert with_event.truth_record()["event_day_at_visit"] == 208

    def days(table: float | None, truth: dict[str, Any] | None, *, event: bool = True) -> float | None:
        stored: Any = SimpleNamespace(event_observed=event, follow_up_days=206.0, truth=truth)
        return _shown_after_days(stored, table)

    assert days(208, None) == days(None, {"event_day_at_visit": 208}) == 2.0
    assert days(None, None, event=False) == 0.0
    assert days(None, None) is days(None, {}) is None
    assert np.isclose(days(230.5, {"event_day_at_visit": 208}), 24.5)
