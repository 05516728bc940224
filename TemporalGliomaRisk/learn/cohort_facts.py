"""What a bundle says of the patients that it learnt from, read off them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.risk.hazards import HORIZON_DAYS
from TemporalGliomaRisk.timeline.visit import SEQUENCES

FIRST_ANATOMY, BUILT_IN_ANATOMIES = "mni152", ("mni152", "colin27")
"""What simulated patients of version 1, which don't say, were made from; and all that the simulator brings along."""


def cohort_facts(train: Sequence[StoredPatient], validation: Sequence[StoredPatient]) -> dict[str, Any]:
    """Counts, follow-up, missing sequences and, of simulated patients, what drew them.

    Returns:
        ``training_events`` and ``validation_events`` (patients with an event observed), ``training_rows_with_event``
        and ``validation_rows_with_event`` (visits followed by one within the horizon), ``follow_up_days`` (5th
        percentile, median and 95th over all patients), ``sequences_at_visits`` (share of all visits that have each),
        ``treatment_day_known`` (share of visits), ``age_years`` (least and largest at the first visit, None when not
        known), ``anatomies`` (templates that simulated brains were made from) and ``simulated_cohorts`` (see
        :func:`simulated_cohorts`).
    """
    everyone = (*train, *validation)
    present = np.concatenate([patient.present for patient in everyone])
    drawn = [patient.truth["parameters"] for patient in everyone if patient.truth is not None]
    ages = [parameters["age_years"] for parameters in drawn]
    since_treatment = np.concatenate([patient.days_since_treatment for patient in everyone])
    follow_up = np.percentile([patient.follow_up_days for patient in everyone], [5, 50, 95])
    return {
        "training_events": sum(patient.event_observed for patient in train),
        "validation_events": sum(patient.event_observed for patient in validation),
        "training_rows_with_event": _rows_with_event(train),
        "validation_rows_with_event": _rows_with_event(validation),
        "follow_up_days": [round(float(days)) for days in follow_up],
        "sequences_at_visits": dict(
            zip(SEQUENCES, (round(float(share), 3) for share in present.mean(axis=0)), strict=True)
        ),
        "treatment_day_known": round(float(np.isfinite(since_treatment).mean()), 3),
        "age_years": [min(ages), max(ages)] if ages else None,
        "anatomies": sorted({parameters.get("anatomy", FIRST_ANATOMY) for parameters in drawn}),
        "simulated_cohorts": simulated_cohorts(patient.truth for patient in everyone if patient.truth is not None),
    }


def simulated_cohorts(truths: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cohorts that simulated patients came from, told apart by population, version, seed and settings.

    Returns:
        For each ``population``, ``simulator_version``, ``seed``, ``recurrent_fraction``, ``extent_hazard_ratios``,
        ``sequences`` that were rendered, ``patients``, and the numbers of the ``first_patient`` and the
        ``last_patient`` among them; ``further_anatomies`` where some were made from anatomies of a user's.
    """
    others: dict[tuple[Any, ...], set[str]] = {}
    found: dict[tuple[Any, ...], list[int]] = {}
    for truth in truths:
        config = truth.get("config", {})
        key = (
            config.get("population", "main"),
            truth.get("simulator_version"),
            truth.get("seed"),
            config.get("recurrent_fraction"),
            config.get("extent_hazard_ratios"),
            tuple(config.get("sequences", SEQUENCES)),
        )
        found.setdefault(key, []).append(int(truth.get("patient_number", 0)))
        others.setdefault(key, set()).update({_anatomy(truth)} - set(BUILT_IN_ANATOMIES))
    names = ("population", "simulator_version", "seed", "recurrent_fraction", "extent_hazard_ratios", "sequences")
    return [
        {
            **dict(zip(names, (*key[:-1], list(key[-1])), strict=True)),
            "patients": len(numbers),
            "first_patient": min(numbers),
            "last_patient": max(numbers),
            **({"further_anatomies": sorted(others[key])} if others[key] else {}),
        }
        for key, numbers in sorted(found.items(), key=lambda item: str(item[0]))
    ]


def _anatomy(truth: Mapping[str, Any]) -> str:
    """What a simulated patient's brain was made from."""
    return str(truth.get("parameters", {}).get("anatomy", FIRST_ANATOMY))


def simulate_command(cohort: Mapping[str, Any], output: str) -> str | None:
    """The command that draws one of :func:`simulated_cohorts` anew; None where its settings were not written down.

    Anatomies of a user's stand in it as a folder that only the user has.

    Args:
        cohort: It, or an entry that a bundle holds, which may be older.
        output: Word for the folder.
    """
    if cohort["recurrent_fraction"] is None:
        return None
    options = [
        f"--population {cohort['population']} --seed {cohort['seed']} --first-patient {cohort['first_patient']}",
        f"--patients {cohort['last_patient'] - cohort['first_patient'] + 1}",
        f"--recurrent-fraction {cohort['recurrent_fraction']:g}",
    ]
    if cohort["extent_hazard_ratios"]:
        options.append("--extent-hazard-ratios")
    if list(SEQUENCES) != (sequences := cohort.get("sequences", list(SEQUENCES))):
        options.append(f"--sequences {' '.join(sequences)}")
    if cohort.get("further_anatomies"):
        options.append("--anatomies ANATOMIES")
    return f"python -m TemporalGliomaRisk simulate {' '.join(options)} --output {output}"


def _rows_with_event(patients: Sequence[StoredPatient]) -> int:
    return sum(int((patient.days_to_end <= HORIZON_DAYS).sum()) for patient in patients if patient.event_observed)
