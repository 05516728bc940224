from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.known_groups import DOUBT, NO_GROWTH, KnownPatient, known_groupings
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.subgroups import Grouping, evaluate_subgroups
from TemporalGliomaRisk.evaluate.table import EvaluationConfig, evaluate_risks
from TemporalGliomaRisk.evaluate.words import subgroups_text

FEW = EvaluationConfig(bootstrap=BootstrapConfig(resamples=80, seed=4))


def cohort(patients: int = 240, visits: int = 3, seed: int = 0) -> tuple[np.ndarray, LandmarkRows]:
    rng = np.random.default_rng(seed)
    risk = np.repeat(rng.beta(1.5, 3, patients).clip(0.01, 0.99), visits)
    event, stop = rng.exponential(-365 / np.log1p(-risk)), rng.exponential(900, risk.size)
    return risk, LandmarkRows(
        patient=np.repeat(np.arange(patients), visits),
        visits=np.tile(np.arange(1, visits + 1), patients),
        days=np.minimum(event, stop),
        event_observed=event <= stop,
    )


def grouping(labels: list[str | None], **more: str) -> Grouping:
    names = tuple(dict.fromkeys(label for label in labels if label is not None and label != more.get("compared_with")))
    return Grouping(title="kind", labels=tuple(labels), names=names, **more)


def test_a_group_of_everyone_has_the_auroc_of_the_table() -> None:
    risk, rows = cohort()
    found = evaluate_subgroups(risk, rows, [grouping(["all"] * len(rows))], FEW)["groupings"][0]["groups"][0]
    whole = evaluate_risks(risk, rows, FEW)["groups"][0]

    assert found["metrics"]["auroc"] == {
        name: whole["metrics"]["auroc"][name] for name in ("value", "low", "high", "undefined_resamples")
    }
    assert found["metrics"]["mean_risk"]["value"] == pytest.approx(risk.mean())


def test_a_group_whose_risk_is_halved_is_seen_and_the_other_is_not_blamed() -> None:
    risk, rows = cohort(600)
    halved = rows.patient % 2 == 0
    labels = ["halved" if one else "kept" for one in halved]
    groups = evaluate_subgroups(np.where(halved, risk / 2, risk), rows, [grouping(labels)], FEW)["groupings"][0][
        "groups"
    ]
    gaps = {group["name"]: group["metrics"]["risk_less_observed"] for group in groups}

    assert gaps["halved"]["high"] < 0
    assert gaps["kept"]["low"] < 0 < gaps["kept"]["high"]


def test_groups_too_small_are_named_with_their_counts_and_get_no_figures() -> None:
    risk, rows = cohort()
    labels = ["few" if one < 29 else "many" for one in rows.patient]
    found = evaluate_subgroups(risk, rows, [grouping(labels)], FEW)

    assert [group["name"] for group in found["groupings"][0]["groups"]] == ["many"]
    assert found["groupings"][0]["left_out"][0]["patients"] == 29
    assert "fewer than 30 patients or 10 of them with an event" in subgroups_text({"subgroups": found})
    assert "kind: few (29, " in subgroups_text({"subgroups": found})


def test_groups_thought_of_later_are_called_exploratory_in_both_lists() -> None:
    risk, rows = cohort()
    labels = ["few" if one < 29 else "many" for one in rows.patient]
    later = dataclasses.replace(grouping(labels), title="later", exploratory=True)
    found = evaluate_subgroups(risk, rows, [grouping(labels), later], FEW)
    said = subgroups_text({"subgroups": found})

    assert "| kind | many |" in said
    assert "| later (exploratory) | many |" in said
    assert "kind: few (29, " in said
    assert "later (exploratory): few (29, " in said


def test_groups_by_the_future_are_told_from_those_without_it_and_get_no_mean_risk() -> None:
    _, rows = cohort(400)
    # Fast ones are given a high risk whatever comes; among themselves they cannot be told apart.
    labels = np.where(rows.patient < 100, "fast", np.where(rows.patient < 200, "slow", NO_GROWTH))
    told = np.where(labels == "fast", 0.9, np.where(labels == "slow", 0.5, 0.1))
    controls = labels == NO_GROWTH
    rows = LandmarkRows(
        patient=rows.patient,
        visits=rows.visits,
        days=np.where(controls, 900.0, 200.0),
        event_observed=~controls,
    )
    found = evaluate_subgroups(told, rows, [grouping(labels.tolist(), compared_with=NO_GROWTH)], FEW)["groupings"][0]

    assert found["by_the_future"]
    assert [group["name"] for group in found["groups"]] == ["fast", "slow"]
    assert [group["metrics"]["auroc"]["value"] for group in found["groups"]] == [1.0, 1.0]
    assert set(found["groups"][0]["metrics"]) == {"auroc"}


def simulated(number: int) -> KnownPatient:
    grows = number % 4 == 0
    return KnownPatient(
        participant={"age_years": f"{2 + number % 16}", "extent_of_resection": ("biopsy", "gross_total")[number % 2]},
        truth={
            "fate": "recurrent" if grows else "stable",
            "config": {},
            "distractors": ["treatment_effect"] if number % 3 == 0 else [],
            "parameters": {
                "high_grade": number % 5 == 0,
                "growth_velocity_mm_per_year": 1.0 + number if grows else None,
                "growth_law": "linear" if grows else None,
            },
            "visits": [
                {
                    "lesion_diameter_mm": float(number % 3) * 12,
                    "files": {
                        "FLAIR": {"slice_thickness_mm": 1.2, "snr": 40.0, "artefacts": []},
                        "T2w": {
                            "slice_thickness_mm": (1.4, 3.0, 4.0)[number % 3],
                            "snr": (20.0, 19.9)[number % 2],
                            "artefacts": ([], ["ghost"], ["ghost", "susceptibility"])[number % 3],
                        },
                    },
                }
            ],
        },
    )


def test_a_simulated_cohort_is_told_apart_by_all_that_its_truth_tells() -> None:
    patients = [simulated(number) for number in range(48)]
    sequences = [("FLAIR",), ("FLAIR", "T2w")] * 24
    found = {one.title: one for one in known_groupings(patients, range(48), [1] * 48, sequences)}

    assert found["extent of resection"].names == ("gross total", "biopsy")
    assert found["age at the first visit"].names == (
        *("under 5 years", "5 to 10 years", "10 to 15 years", "15 years or more"),
    )
    assert found["age at the first visit"].labels[3] == "5 to 10 years"
    assert found["tumour left at the first visit"].names == ("none seen", "under 20 mm", "20 mm or more")
    assert found["sequences at the visit"].names == ("FLAIR", "FLAIR + T2w")
    speed = found["speed of the growth to come"]
    assert speed.compared_with == NO_GROWTH
    assert [speed.labels.count(name) for name in speed.names] == [4, 4, 4]
    assert speed.labels.count(NO_GROWTH) == 36
    # Of a visit's files the worst counts.
    slices, noise, artefact = (
        found[f"{title} at the visit"] for title in ("thickest slices", "lowest signal over noise", "passing artefact")
    )
    assert slices.names == ("under 2 mm", "2 to 4 mm", "4 mm or more")
    assert slices.labels[:3] == slices.names
    assert noise.labels[:2] == ("20 to 35", "under 20")
    assert artefact.labels[:3] == ("none", "another kind", "susceptibility hole")
    # One law only: nothing to compare.
    assert "law of the growth to come" not in found


def test_a_treatment_effect_to_come_is_nothing_that_an_earlier_visit_knows() -> None:
    def patient(*diameters_mm: float | None) -> KnownPatient:
        visits = [
            {"lesion_diameter_mm": 0.0, **({} if size is None else {"treatment_effect_diameter_mm": size})}
            for size in diameters_mm
        ]
        return KnownPatient(participant={}, truth={**simulated(3).truth, "visits": visits})

    # It comes and goes; there is none; a simulator that wrote none down says nothing.
    patients = [patient(0.0, 9.0, 0.0), patient(0.0, 0.0, 0.0), patient(None, None, None)]
    rows = (np.repeat(range(3), 3).tolist(), [1, 2, 3] * 3, [("FLAIR",)] * 9)
    found = {one.title: one for one in known_groupings(patients, *rows)}
    effect = found["treatment effect that looks like progression"]
    assert effect.names == ("none so far", "at this or an earlier visit")
    assert effect.labels == (effect.names[0], *[effect.names[1]] * 2, *[effect.names[0]] * 3, None, None, None)
    assert effect.compared_with is None
    assert {one.title for one in found.values() if one.exploratory} == {effect.title}


def test_what_the_model_says_of_later_visits_tells_them_apart() -> None:
    patients = [KnownPatient(participant={}, truth=None) for _ in range(2)]
    rows = ([0, 0, 1, 1], [1, 2, 1, 2], [("FLAIR",)] * 4)
    (found,) = known_groupings(patients, *rows, [True, False, False, True])
    assert found.names == DOUBT
    assert found.exploratory
    assert found.labels == (None, DOUBT[0], None, DOUBT[1])
    assert known_groupings(patients, *rows) == []


def test_of_a_real_cohort_only_what_its_table_says_and_the_sequences_are_known() -> None:
    patients = [
        KnownPatient(participant={"age": "7" if n % 2 else "n/a", "sex": "FM"[n % 2]}, truth=None) for n in range(6)
    ]
    found = known_groupings(patients, [0, 0, 1, 2, 3, 4, 5], [1, 2, 1, 1, 1, 1, 1], [("FLAIR",)] * 3 + [("T1w",)] * 4)

    assert [one.title for one in found] == ["sex", "sequences at the visit"]
    assert found[0].labels == ("F", "F", "M", "F", "M", "F", "M")
