"""Make a cohort of simulated patients, timelines in BIDS with the truth beside.

Everything is drawn from the seed: the same seed gives the same bytes, and patient n is the same in a cohort of any
size. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from TemporalGliomaRisk.commands import add_jobs, folder, whole
from TemporalGliomaRisk.timeline.visit import SEQUENCES

MOST_PATIENTS = 1_000_000
POPULATIONS = ("main", "wide", "shifted")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--patients", type=whole(1, MOST_PATIENTS), required=True, help="how many patients")
    parser.add_argument("--seed", type=whole(0), default=1, help="seed of everything drawn (default 1)")
    parser.add_argument("--output", type=folder, required=True, help="folder for the BIDS dataset")
    parser.add_argument(
        "--first-patient",
        type=whole(1, MOST_PATIENTS),
        default=1,
        metavar="NUMBER",
        help="number of the first patient, so that cohorts to be learnt from together share no label (default 1)",
    )
    add_jobs(parser, "")
    parser.add_argument(
        "--population",
        choices=POPULATIONS,
        default="main",
        help="main: version 1; wide: to train on; shifted: another anatomy, growth law, scanner and visit schedule, to "
        "evaluate on and never to train on (default main)",
    )
    parser.add_argument(
        "--anatomies", type=Path, default=None, help="folder of further anatomies for the population wide"
    )
    parser.add_argument(
        "--sequences",
        nargs="+",
        choices=SEQUENCES,
        default=list(SEQUENCES),
        help=f"pulse sequences to render (default {' '.join(SEQUENCES)})",
    )
    parser.add_argument(
        "--recurrent-fraction",
        type=float,
        default=0.45,
        help="share of patients with an event ahead (default %(default)s)",
    )
    parser.add_argument(
        "--extent-hazard-ratios",
        action="store_true",
        help="let less resection raise the event's hazard (near total 2.0, subtotal 3.0, biopsy 3.6)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate, with a progress bar unless standard error is piped."""
    from tqdm import tqdm

    from TemporalGliomaRisk.simulate.cohort import simulate_cohort
    from TemporalGliomaRisk.simulate.config import SimulationConfig

    sequences = tuple(name for name in SEQUENCES if name in arguments.sequences)
    config = SimulationConfig(
        recurrent_fraction=arguments.recurrent_fraction,
        extent_hazard_ratios=arguments.extent_hazard_ratios,
        sequences=sequences,
        population=arguments.population,
        anatomies=arguments.anatomies,
    )
    with tqdm(total=arguments.patients, unit="patient", disable=not sys.stderr.isatty()) as bar:
        simulate_cohort(
            config,
            patients=arguments.patients,
            seed=arguments.seed,
            output=arguments.output,
            first_patient=arguments.first_patient,
            jobs=arguments.jobs,
            on_patient=lambda: bar.update(1),
        )
    print(f"Simulated {arguments.patients} patients.")
    return 0
