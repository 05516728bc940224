"""One request from its files to its files: read, check, predict, write. The command line and the worker both run it.

So a request gives the same risk.json, byte for byte, wherever it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from TemporalGliomaRisk.bundle import METADATA, RiskModel, load_bundle
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.files import check_output, hashes_remembered
from TemporalGliomaRisk.pipeline import Prediction, PredictOptions, predict_risk
from TemporalGliomaRisk.preprocess.alignment import measure_alignment
from TemporalGliomaRisk.preprocess.config import RegisterMode
from TemporalGliomaRisk.preprocess.keys import volume_key
from TemporalGliomaRisk.preprocess.registering import register_timeline
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener, ignore_progress, part_of
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.results import SCENE, check_results_folder, write_results
from TemporalGliomaRisk.timeline.checks import TimelineCheck, check_content, check_timeline
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.refusals import TimelineRefused
from TemporalGliomaRisk.timeline.table import timeline_of_rows
from TemporalGliomaRisk.timeline.visit import Timeline
from TemporalGliomaRisk.timeline.volume import Volume
from TemporalGliomaRisk.visit_cache import VisitCache

CHECKED, PREDICTED, WRITTEN = 0.15, 0.75, 0.95
"""Parts of the whole run done after checking, predicting and writing, where a scene follows; for the progress shown."""

MaskAsked = Path | Literal["auto", "none"]
_MASK_WORDS: Mapping[str, Literal["auto", "none"]] = {"auto": "auto", "none": "none"}

TimelineInput = Path | Sequence[Mapping[str, str]]
"""Whatever :func:`read_timeline` reads, or the rows of a table."""


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """All that a reader may ask of a prediction.

    Args:
        timeline: What to read.
        output: Folder for the results.
        patient: Which one, where the input holds several.
        device: ``auto``, ``cpu`` or ``cuda``.
        register: Whether visits are aligned.
        mask: ``auto``, ``none`` or the file of the first visit's brain mask.
        heatmaps: Whether maps are written.
        identified: Whether labels and the report show what the input calls the patient.
        scene: Whether ``scene.mrb`` is written.
    """

    timeline: TimelineInput = field(repr=False)
    output: Path = field(repr=False)
    patient: str | None = field(default=None, repr=False)
    device: str = "auto"
    register: RegisterMode = "auto"
    mask: MaskAsked = field(default="auto", repr=False)
    heatmaps: bool = True
    identified: bool = False
    scene: bool = False

    def options(self) -> dict[str, Any]:
        """What the audit keeps of it; whatever could name the patient is withheld there."""
        return {
            "patient": self.patient,
            "device": self.device,
            "register": self.register,
            "mask": str(self.mask),
            "heatmaps": self.heatmaps,
            "identified": self.identified,
            "scene": self.scene,
        }


@dataclass(frozen=True, kw_only=True)
class RegisterRequest:
    """All that a reader may ask of a registration without a risk.

    Args:
        timeline: What to read.
        patient: Which one, where the input holds several.
        register: ``auto`` leaves alone what is aligned already, ``always`` does not.
        mask: As for a prediction.
    """

    timeline: TimelineInput = field(repr=False)
    patient: str | None = field(default=None, repr=False)
    register: RegisterMode = "always"
    mask: MaskAsked = field(default="auto", repr=False)


@dataclass(frozen=True, kw_only=True)
class RequestInputs:
    """What a request names, read as far as its headers.

    Args:
        timeline: The visits.
        brain_mask: The given mask, None for ``auto`` and ``none``.
    """

    timeline: Timeline
    brain_mask: Volume | None


def mask_asked(text: str) -> MaskAsked:
    """``auto`` and ``none`` as they are, any other text as a file's path."""
    return _MASK_WORDS.get(text) or Path(text)


def load_model(folder: Path | None) -> RiskModel:
    """The model of a folder, the shipped one for None."""
    return load_bundle(resource_path(DEFAULT_MODEL) if folder is None else folder)


def read_inputs(request: PredictRequest) -> RequestInputs:
    """Read what a request names; volumes of the timeline wait until they are asked for.

    Raises:
        InputError: If the output cannot be written to or is a model's folder, a scene is asked for without Slicer's
            libraries, or timeline or mask cannot be read.
    """
    check_output(request.output)
    check_results_folder(request.output)
    if (request.output / METADATA).exists():
        raise UsageError("The output folder is a model's, where results would be mixed in. Name another with --output.")
    if request.scene:
        _check_slicer()
    mask = _read_mask(request.mask)
    timeline = read_input(request.timeline, patient=request.patient, identified=request.identified)
    return RequestInputs(timeline=timeline, brain_mask=mask)


def _read_mask(asked: MaskAsked) -> Volume | None:
    return None if asked in ("auto", "none") else VolumeFile(path=Path(asked), role="brain mask").read()


def read_input(given: TimelineInput, *, patient: str | None, identified: bool = False) -> Timeline:
    """The timeline of a path or of a table's rows."""
    if isinstance(given, Path):
        return read_timeline(given, patient=patient, identified=identified)
    return timeline_of_rows(given, patient=patient, identified=identified)


def run_prediction(
    request: PredictRequest,
    model: RiskModel,
    *,
    inputs: RequestInputs | None = None,
    cache: VisitCache | None = None,
    progress: ProgressListener = ignore_progress,
) -> Prediction:
    """Read, check, predict, write.

    Args:
        request: What is asked.
        model: From :func:`load_model`.
        inputs: From :func:`read_inputs`, None to read them here.
        cache: Where encoded visits are kept, None to keep nothing.
        progress: Told after every step.

    Raises:
        InputError: If anything given cannot be used; nothing is written then.
    """
    with hashes_remembered():
        given = inputs or read_inputs(request)
        timeline = given.timeline
        checked = check_timeline(
            timeline, trained_gaps_days=model.trained_gaps_days, progress=part_of(progress, 0.0, CHECKED)
        )
        if checked.refused:
            raise TimelineRefused(checked.findings)
        prediction = predict_risk(
            replace(timeline, findings=checked.findings),
            model,
            options=PredictOptions(
                device=request.device,
                register=request.register,
                mask="none" if request.mask == "none" else "auto",
            ),
            brain_mask=given.brain_mask,
            cache=cache,
            progress=part_of(progress, CHECKED, PREDICTED),
        )
        write_results(
            prediction,
            request.output,
            heatmaps=request.heatmaps,
            identified=request.identified,
            asked=request.options(),
            brain_mask=None if given.brain_mask is None else volume_key(given.brain_mask),
            progress=part_of(progress, PREDICTED, WRITTEN if request.scene else 1.0),
        )
        if request.scene:
            _write_scene(timeline, request.output, part_of(progress, WRITTEN, 1.0))
    return prediction


def run_registration(
    request: RegisterRequest, model: RiskModel, *, progress: ProgressListener = ignore_progress
) -> dict[str, Any]:
    """Read, check, and bring every visit onto the first: what a prediction does before its network; writes nothing.

    Args:
        request: What is asked.
        model: Whose preprocessing is used.
        progress: Told after every step.

    Returns:
        ``patient``, ``alignments`` (as audit.json lists them) and ``findings``.

    Raises:
        InputError: If anything given cannot be used, or a visit cannot be brought onto the first.
    """
    mask = _read_mask(request.mask)
    timeline = read_input(request.timeline, patient=request.patient)
    checked = check_timeline(
        timeline, trained_gaps_days=model.trained_gaps_days, progress=part_of(progress, 0.0, CHECKED)
    )
    if checked.refused:
        raise TimelineRefused(checked.findings)
    config = replace(model.preprocessing, register=request.register, mask="none" if request.mask == "none" else "auto")
    visits = register_timeline(timeline, config, brain_mask=mask, progress=part_of(progress, CHECKED, 1.0))
    findings = (*checked.findings, *(finding for visit in visits for finding in visit.findings))
    return {
        "patient": timeline.patient_id,
        "alignments": [
            {"session_id": visit.session_id, **alignment.to_json()}
            for visit in visits
            for alignment in visit.alignments
        ],
        "findings": [finding.to_json() for finding in findings],
    }


def run_check(
    given: TimelineInput,
    *,
    patient: str | None,
    trained_gaps_days: tuple[int, int] | None,
    alignment: bool,
    progress: ProgressListener = ignore_progress,
) -> dict[str, Any]:
    """What a timeline holds and what is wrong with it, as the command ``check --json`` prints it.

    Args:
        given: What to read.
        patient: Which one, where the input holds several.
        trained_gaps_days: Of the model whose training the gaps are compared with, None if it doesn't say.
        alignment: Whether every visit is measured against the first.
        progress: Told of every visit.
    """
    patient_id = None
    try:
        timeline = read_input(given, patient=patient)
        patient_id = timeline.patient_id
        report = check_timeline(
            timeline,
            trained_gaps_days=trained_gaps_days,
            measure_alignment=measure_alignment if alignment else None,
            progress=progress,
        )
    except TimelineRefused as error:
        report = TimelineCheck(rows=(), findings=error.findings)
    return check_content(patient_id, report)


def _check_slicer() -> None:
    """Say what a scene needs before minutes are spent."""
    try:
        import TemporalGliomaRisk.scene.export  # noqa: F401, PLC0415
    except ImportError:
        raise UsageError(
            "A scene is written with Slicer's own libraries, which are not installed here. Install them with "
            "`pip install 'slicer-core>=5.11,<5.14'`, or leave out --scene."
        ) from None


def _write_scene(timeline: Timeline, folder: Path, progress: ProgressListener) -> None:
    """``scene.mrb``: what was predicted, for any Slicer. Only this needs Slicer's own libraries."""
    from TemporalGliomaRisk.scene.export import write_scene  # noqa: PLC0415

    def building(event: ProgressEvent) -> None:
        progress(replace(event, stage="scene"))

    building(ProgressEvent(stage="scene", fraction=0.0, message="Building the scene"))
    write_scene(timeline, folder, folder / SCENE, progress=part_of(building, 0.0, 0.8))
    building(ProgressEvent(stage="scene", fraction=1.0, message="The scene is written"))
