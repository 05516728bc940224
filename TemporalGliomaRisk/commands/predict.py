"""Risk and a heatmap for every visit of one patient's timeline.

Writes risk.json, risk.tsv, heatmaps, report.html, montage.png and audit.json. Research use only, trained on simulated
data; never a diagnosis.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener, ignore_progress, part_of

if TYPE_CHECKING:
    from TemporalGliomaRisk.pipeline import Prediction
    from TemporalGliomaRisk.timeline.volume import Volume

DEFAULT_MODEL = "Models/evidence-simulated-1"
CHECKED, PREDICTED = 0.15, 0.75
"""Parts of the whole run done after checking and after predicting, for the progress shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "timeline", type=Path, help="a patient: BIDS folder, dated files, table (.csv, .tsv) or folder of DICOM"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--model", type=Path, metavar="DIR", help="model bundle (default: the one that is shipped)")
    parser.add_argument("--patient", metavar="LABEL", help="which patient of a BIDS dataset, such as sub-01")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default %(default)s")
    parser.add_argument(
        "--register",
        choices=("auto", "always", "never"),
        default="auto",
        help="align the visits: auto measures first and moves only what needs it; never trusts (default %(default)s)",
    )
    parser.add_argument(
        "--mask", default="auto", metavar="FILE|auto|none", help="brain mask of the first visit (default %(default)s)"
    )
    parser.add_argument("--no-heatmaps", dest="heatmaps", action="store_false", help="risks only")
    parser.add_argument("--no-cache", dest="cache", action="store_false", help="keep nothing for the next time")
    parser.add_argument("--identified", action="store_true", help="write what the input calls the patient and visits")
    parser.add_argument("--progress", choices=("plain", "json"), default="plain", help="default %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Read, check, predict, write."""
    listener = _printer(arguments.progress)
    listener(ProgressEvent(stage="start", fraction=0.0, message="Starting"))
    # Heavy imports come after the first line of progress, so that the reader is not left waiting for it.
    from TemporalGliomaRisk.bundle import load_bundle
    from TemporalGliomaRisk.pipeline import PredictOptions, predict_risk
    from TemporalGliomaRisk.resources import resource_path
    from TemporalGliomaRisk.results import write_results
    from TemporalGliomaRisk.timeline.checks import check_timeline
    from TemporalGliomaRisk.timeline.reading import read_timeline
    from TemporalGliomaRisk.timeline.rules import TimelineRefused
    from TemporalGliomaRisk.visit_cache import VisitCache, default_folder

    _check_output(arguments.output)
    model = load_bundle(arguments.model or resource_path(DEFAULT_MODEL))
    mask = _given_mask(arguments.mask)
    timeline = read_timeline(arguments.timeline, patient=arguments.patient, identified=arguments.identified)
    checked = check_timeline(
        timeline, trained_gaps_days=model.trained_gaps_days, progress=part_of(listener, 0.0, CHECKED)
    )
    if checked.refused:
        raise TimelineRefused(checked.findings)
    prediction = predict_risk(
        replace(timeline, findings=checked.findings),
        model,
        options=PredictOptions(
            device=arguments.device,
            register=arguments.register,
            mask="none" if arguments.mask == "none" else "auto",
        ),
        brain_mask=mask,
        cache=VisitCache(folder=default_folder()) if arguments.cache else None,
        progress=part_of(listener, CHECKED, PREDICTED),
    )
    write_results(
        prediction,
        arguments.output,
        heatmaps=arguments.heatmaps,
        identified=arguments.identified,
        asked=vars(arguments),
        progress=part_of(listener, PREDICTED, 1.0),
    )
    _say(prediction, arguments)
    return 0


def _check_output(folder: Path) -> None:
    """Refuse a folder that cannot be written to before minutes are spent, and without making it yet."""
    from TemporalGliomaRisk.errors import UsageError

    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError("The output must be a folder, and what is there is a file. Name another with --output.")
    if not os.access(place, os.W_OK):
        raise UsageError("The output folder may not be written to by this user. Name another with --output.")


def _given_mask(asked: str) -> Volume | None:
    """The mask that ``--mask`` names, None for ``auto`` and ``none``."""
    if asked in ("auto", "none"):
        return None
    from TemporalGliomaRisk.timeline.image_file import VolumeFile

    return VolumeFile(path=Path(asked), role="brain mask").read()


def _printer(form: str) -> ProgressListener:
    """A listener that prints: JSON, one object a line, on standard output; or plain lines on standard error.

    Plain lines are for people: where standard error is no terminal it holds nothing but the one line of a failure.
    """

    def as_json(event: ProgressEvent) -> None:
        content = {"type": "progress", "stage": event.stage, "fraction": round(event.fraction, 4)}
        print(json.dumps({**content, "message": event.message}), flush=True)

    def plainly(event: ProgressEvent) -> None:
        print(f"{100 * event.fraction:3.0f} %  {event.message}", file=sys.stderr, flush=True)

    if form == "json":
        return as_json
    return plainly if sys.stderr.isatty() else ignore_progress


def _say(prediction: Prediction, arguments: argparse.Namespace) -> None:
    """The end: where the results are and what they say, with the sentence that goes with every number."""
    if arguments.progress == "json":
        files = {"risk": "risk.json", "report": "report.html", "audit": "audit.json"}
        print(json.dumps({"type": "result", "output": str(arguments.output), **files}), flush=True)
        return
    print(f"\n{prediction.timeline.patient_id}, risk of recurrence within 365 days of each visit")
    for number, result in enumerate(prediction.visits, start=1):
        low, high = result.hazards.risk_extremes
        print(
            f"  visit {number:2d}  day {result.visit.days_since_first:5d}  risk {100 * result.hazards.risk:3.0f} %"
            f"  members {100 * low:3.0f} to {100 * high:3.0f} %  alone {100 * result.hazards.single_visit_risk:3.0f} %"
        )
    warnings = sum(finding.severity.value == "warning" for finding in prediction.findings)
    if warnings:
        print(f"{warnings} warning{'s' if warnings > 1 else ''}: see the report.")
    print(f"{prediction.model.metadata['caveat']} Never a diagnosis.")
    print(f"Report: {arguments.output / 'report.html'}")
