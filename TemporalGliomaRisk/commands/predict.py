"""Risk and a heatmap for every visit of one patient's timeline.

Writes risk.json, risk.tsv, heatmaps, report.html, montage.png and audit.json. Research use only, trained on simulated
data; never a diagnosis.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.commands import a_timeline, add_patient, folder, plain_progress, tell
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener
from TemporalGliomaRisk.resources import resource_path

if TYPE_CHECKING:
    from TemporalGliomaRisk.pipeline import Prediction

NAME = "temporal-glioma-risk"
DEFAULTS = {"device": "auto", "register": "auto", "heatmaps": True, "identified": False, "scene": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "timeline", type=a_timeline, help="a patient: BIDS folder, dated files, table (.csv, .tsv) or folder of DICOM"
    )
    parser.add_argument("--output", type=folder, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--model", type=Path, metavar="DIR", help="model bundle (default: the one that is shipped)")
    add_patient(parser)
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
    parser.add_argument("--scene", action="store_true", help="write scene.mrb too, which 3D Slicer opens")
    parser.add_argument("--no-cache", dest="cache", action="store_false", help="keep nothing for the next time")
    parser.add_argument("--identified", action="store_true", help="write what the input calls the patient and visits")
    parser.add_argument(
        "--from-audit",
        type=Path,
        metavar="FILE",
        help="repeat the run of an audit.json with its options, and say what differs; refused where input or model do, "
        "and together with --device, --register, --no-heatmaps, --identified, --scene or --mask none",
    )
    parser.add_argument("--progress", choices=("plain", "json"), default="plain", help="default %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Read, check, predict, write."""
    listener = _printer(arguments.progress)
    listener(ProgressEvent(stage="start", fraction=0.0, message="Starting"))
    # Heavy imports come after the first line of progress, so that the reader is not left waiting for it.
    from TemporalGliomaRisk.files import check_output
    from TemporalGliomaRisk.run import PredictRequest, load_model, mask_asked, run_prediction
    from TemporalGliomaRisk.visit_cache import VisitCache, default_folder

    if arguments.from_audit is not None:
        prediction = _repeat(arguments, listener)
    else:
        check_output(arguments.output)
        request = PredictRequest(
            timeline=arguments.timeline,
            output=arguments.output,
            patient=arguments.patient,
            device=arguments.device,
            register=arguments.register,
            mask=mask_asked(arguments.mask),
            heatmaps=arguments.heatmaps,
            identified=arguments.identified,
            scene=arguments.scene,
        )
        cache = VisitCache(folder=default_folder()) if arguments.cache else None
        prediction = run_prediction(request, load_model(arguments.model), cache=cache, progress=listener)
    _say(prediction, arguments)
    return 0


def _repeat(arguments: argparse.Namespace, listener: ProgressListener) -> Prediction:
    """A run with the options of its audit, nothing taken from the cache; what differs goes to standard error."""
    from TemporalGliomaRisk import repeat
    from TemporalGliomaRisk.files import check_output
    from TemporalGliomaRisk.report.audit import read_audit_record
    from TemporalGliomaRisk.run import mask_asked, read_inputs, run_prediction

    own = {
        "--device": "device",
        "--register": "register",
        "--no-heatmaps": "heatmaps",
        "--identified": "identified",
        "--scene": "scene",
    }
    given = [option for option, name in own.items() if getattr(arguments, name) != DEFAULTS[name]]
    if arguments.mask == "none":
        given.append("--mask none")
    if given:
        raise UsageError(f"With --from-audit the options come from the audit. Leave {' and '.join(given)} out.")
    folder = arguments.from_audit.resolve().parent
    if arguments.output.resolve() == folder:
        raise UsageError("The output would replace the results that the audit is of. Name another with --output.")
    check_output(arguments.output)
    audit = read_audit_record(arguments.from_audit)
    mask = mask_asked(arguments.mask)
    request = repeat.request_of(
        audit,
        arguments.timeline,
        arguments.output,
        patient=arguments.patient,
        mask=mask if isinstance(mask, Path) else None,
    )
    model = repeat.model_of(audit, arguments.model)
    inputs = read_inputs(request)
    repeat.refuse_other_input(audit, inputs)
    for sentence in repeat.noted_before(audit):
        print(f"differs: {sentence}", file=sys.stderr)
    prediction = run_prediction(request, model, inputs=inputs, progress=listener)
    for sentence in repeat.noted_after(audit, prediction, folder, arguments.output):
        print(f"repeated: {sentence}", file=sys.stderr)
    return prediction


def _printer(form: str) -> ProgressListener:
    """A listener that prints: JSON, one object a line, on standard output; or plain lines on standard error."""

    def as_json(event: ProgressEvent) -> None:
        content = {"type": "progress", "stage": event.stage, "fraction": round(event.fraction, 4)}
        print(json.dumps({**content, "message": event.message}), flush=True)

    if form == "json":
        return as_json
    return plain_progress()


def _say(prediction: Prediction, arguments: argparse.Namespace) -> None:
    """The end: where the results are and what they say, with the sentence that goes with every number."""
    from TemporalGliomaRisk.explain.certainty import uncertain_codes
    from TemporalGliomaRisk.timeline.days import day_count

    # Whoever asked for a GPU is told here, as by training, not in the report's notes alone.
    tell(finding for finding in prediction.findings if finding.code == "no_cuda")
    if arguments.progress == "json":
        files = {"risk": "risk.json", "report": "report.html", "audit": "audit.json"}
        print(json.dumps({"type": "result", "output": str(arguments.output), **files}), flush=True)
        return
    count = day_count([result.visit for result in prediction.visits])
    print(f"\n{prediction.timeline.patient_id}, risk of recurrence within 365 days of each visit. {count.origin}")
    for number, (result, day) in enumerate(zip(prediction.visits, count.days, strict=True), start=1):
        low, high = result.hazards.risk_extremes
        noticed = [finding for finding in prediction.findings if finding.visit in (None, number)]
        line = (
            f"  visit {number:2d}  day {day:5d}  risk {numbers.percent(result.hazards.risk):>5}"
            f"  members {numbers.percent_range(low, high):>11}"
            f"  alone {numbers.percent(result.hazards.single_visit_risk):>5}"
            + (f"  {doubt}" if (doubt := numbers.uncertain(uncertain_codes(noticed))) else "")
        )
        print(line.replace(numbers.NARROW, " "))  # which some consoles cannot write
    warnings = sum(finding.severity.value == "warning" for finding in prediction.findings)
    if warnings:
        print(f"{warnings} warning{'s' if warnings > 1 else ''}: see the report.")
    print(f"{prediction.model.metadata['caveat']} Never a diagnosis.")
    print(f"Report: {arguments.output / 'report.html'}")
    print(f"Viewer: {_command()} view {shlex.quote(str(arguments.output))} --timeline {_timeline(arguments.timeline)}")


def _command() -> str:
    """This command as the reader typed it, where that was a path from here."""
    typed = Path(sys.argv[0])
    return str(typed) if typed.stem == NAME and not typed.is_absolute() else NAME


def _timeline(path: Path) -> str:
    """A sample patient's path; any other stays out of what is printed, for folders are named after patients."""
    try:
        samples = resource_path("SampleData").resolve()
    except UsageError:
        return "TIMELINE"
    return shlex.quote(str(path)) if path.resolve().is_relative_to(samples) else "TIMELINE"
