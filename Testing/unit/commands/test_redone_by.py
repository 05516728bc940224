"""The commands that an evaluation names draw its patients anew and measure with its settings."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk.commands import evaluate, simulate
from TemporalGliomaRisk.evaluate.words import results_text
from TemporalGliomaRisk.learn.cohort_facts import simulate_command, simulated_cohorts
from TemporalGliomaRisk.simulate.config import SimulationConfig

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
SHIFTED = SimulationConfig(
    population="shifted", recurrent_fraction=0.3, extent_hazard_ratios=True, sequences=("FLAIR", "T2w")
)


def given(command: Any, words: str) -> argparse.Namespace:
    """What a command makes of a line of shell."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    said = shlex.split(words)
    assert said[:4] == ["python", "-m", "TemporalGliomaRisk", command.__name__.rpartition(".")[2]]
    return parser.parse_args(said[4:])


def drawn(numbers: range, config: SimulationConfig = SHIFTED) -> dict[str, Any]:
    """What an evaluation says of patients with these numbers."""
    truths = [
        {
            "simulator_version": config.simulator_version,
            "seed": 900011,
            "patient_number": number,
            "config": json.loads(json.dumps(config.record())),
        }
        for number in numbers
    ]
    return {"patients": len(truths), "cohort": {"simulated": True, "drawn": simulated_cohorts(truths)}}


def asked(*options: str) -> argparse.Namespace:
    return given(evaluate, f"python -m TemporalGliomaRisk evaluate --cohort a --model b --output c {' '.join(options)}")


def test_the_command_draws_the_same_patients_by_the_same_settings() -> None:
    simulating, _ = evaluate._redone_by(asked(), drawn(range(4, 9)))
    said = given(simulate, simulating)
    assert (said.seed, said.first_patient, said.patients) == (900011, 4, 5)
    again = SimulationConfig(
        population=said.population,
        recurrent_fraction=said.recurrent_fraction,
        extent_hazard_ratios=said.extent_hazard_ratios,
        sequences=tuple(said.sequences),
    )
    assert again == SHIFTED


def test_anatomies_that_only_a_user_has_stand_in_the_command() -> None:
    truth = {"simulator_version": 2, "seed": 7, "patient_number": 1, "config": {"recurrent_fraction": 0.45}}
    of_ours, of_theirs = (
        simulated_cohorts([{**truth, "parameters": {"anatomy": name}}])[0] for name in ("colin27", "childrens_template")
    )
    assert "--anatomies" not in simulate_command({**of_ours, "extent_hazard_ratios": False}, "DIR")
    assert " --anatomies ANATOMIES " in simulate_command({**of_theirs, "extent_hazard_ratios": False}, "DIR")


def test_the_command_measures_as_was_measured() -> None:
    options = ("--seed 3", "--resamples 70", "--order-patients 9", "--title 'Shifted, again'", "--reference run")
    _, measuring = evaluate._redone_by(asked(*options), drawn(range(4, 9)))
    said = given(evaluate, measuring)
    assert (said.seed, said.resamples, said.order_patients, said.title) == (3, 70, 9, "Shifted, again")
    assert (said.part, said.reference, said.rival) == ("all", Path("REFERENCE"), None)


def test_patients_that_no_command_draws_get_none() -> None:
    gap = drawn(range(4, 9, 2))
    assert evaluate._redone_by(asked(), gap) == []
    # But for the test part, which is told by labels among them all.
    simulating, measuring = evaluate._redone_by(asked("--part test"), gap)
    assert given(simulate, simulating).patients == 5
    assert given(evaluate, measuring).part == "test"
    some_real = drawn(range(4, 9))
    assert evaluate._redone_by(asked(), {**some_real, "patients": 6}) == []
    assert evaluate._redone_by(asked(), drawn(range(0))) == []


def test_an_older_bundle_s_patients_are_drawn_with_every_sequence() -> None:
    (older,) = drawn(range(1, 3), SimulationConfig())["cohort"]["drawn"]
    del older["sequences"]
    assert "--sequences" not in simulate_command(older, "DIR")


@pytest.mark.parametrize("name", ["main", "shifted"])
def test_evaluations_of_before_are_told_without_commands(name: str) -> None:
    found = json.loads((RESULTS / f"evaluation-{name}.json").read_text(encoding="utf-8"))
    found.pop("redone_by", None)
    assert "```" not in results_text(found)
    said = results_text({**found, "redone_by": ["simulate these", "evaluate those"]})
    assert said.endswith("redone by:\n\n```sh\nsimulate these\nevaluate those\n```")
