"""Fit the calibration constants of a trained model on validation patients, and write the model bundle.

Calibration only scales the background and the local hazards by positive constants, so the heatmaps still add up.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--cohort", type=Path, required=True, help="BIDS cohort with participants.tsv")
    parser.add_argument("--run", type=Path, required=True, dest="run_folder", help="folder of the finished run")
    parser.add_argument("--output", type=Path, required=True, help="folder of the bundle; its name is the model's")
    parser.add_argument("--jobs", type=int, default=1, help="processes for preparing visits (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Score the validation patients, fit, and write the bundle."""
    from tqdm import tqdm

    from TemporalGliomaRisk.bundle import write_bundle
    from TemporalGliomaRisk.learn.cohort import read_cohort
    from TemporalGliomaRisk.learn.export import assemble_network, bundle_metadata, fit_both, licence_text, model_card
    from TemporalGliomaRisk.learn.run_folder import RunFolder
    from TemporalGliomaRisk.learn.scoring import score_patients
    from TemporalGliomaRisk.risk.calibration import Calibration

    run_folder = RunFolder.open(arguments.run_folder)
    parts = run_folder.split(read_cohort(arguments.cohort))
    network = assemble_network(run_folder)
    validation = run_folder.prepared(parts["validation"], jobs=arguments.jobs)
    with tqdm(total=len(validation), desc="calibrate", unit="patient", disable=None) as bar:
        rows = score_patients(
            network,
            validation,
            calibration=Calibration(),
            single_visit_calibration=Calibration(),
            advance=bar.update,
        )
    ensemble, single = fit_both(rows)
    train = run_folder.prepared(parts["train"], jobs=arguments.jobs)
    metadata = bundle_metadata(arguments.output.name, run_folder, train, validation)
    write_bundle(
        arguments.output,
        network=network,
        preprocessing=run_folder.config.preprocessing,
        calibration=ensemble,
        single_visit_calibration=single,
        metadata=metadata,
        card=model_card(metadata, ensemble, single),
        licence=licence_text(),
    )
    print(f"Wrote {arguments.output.name}: {ensemble}, single visit {single}.")
    return 0
