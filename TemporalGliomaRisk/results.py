"""From a prediction to the files that a reader is given; see ``report`` for what each of them holds.

Files are written aside and take their places together at the end, risk.json last of all: where it is, everything it
names is there too.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.bundle import only_simulated
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.explain.certainty import uncertain_codes
from TemporalGliomaRisk.files import alone_in, remove_leftovers, written_together
from TemporalGliomaRisk.pipeline import Prediction, VisitResult
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener, check_cancelled, ignore_progress
from TemporalGliomaRisk.report.audit import (
    AuditRecord,
    input_hashes,
    platform_name,
    safe_options,
    versions,
    visit_days,
    write_audit_json,
)
from TemporalGliomaRisk.report.html import ModelCard, write_report
from TemporalGliomaRisk.report.montage import write_montage
from TemporalGliomaRisk.report.pictures import VisitVolumes, gather_pictures
from TemporalGliomaRisk.report.record import (
    CAVEAT,
    OTHER_CAVEAT,
    Measurement,
    ModelRecord,
    Peak,
    RiskRecord,
    VisitRecord,
    Warned,
    write_risk_json,
)
from TemporalGliomaRisk.report.table import write_risk_tsv
from TemporalGliomaRisk.risk.hazards import HORIZON_DAYS
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.volume import FloatArray

PEAK_NAMES = "ABCDEFGH"
ORDER_CONFIDENCE = "probability that it came after the visit before, by the images alone"
RISK = "risk.json"
SCENE = "scene.mrb"
"""Written afterwards, where asked for; one of an earlier run would show other risks than those beside it."""


def check_results_folder(folder: Path) -> None:
    """Refuse a folder that holds files by our names and no result of ours, before minutes are spent.

    Raises:
        UsageError: If they would be replaced or removed.
    """
    names = [name for name in (SCENE, "report.html", "montage.png", "risk.tsv", "heatmaps") if (folder / name).exists()]
    if names and not any((folder / name).exists() for name in (RISK, "audit.json")):
        raise UsageError(
            f"The output folder holds {', '.join(names)} of something else, which would be replaced. Name another with "
            "--output."
        )


def maps_of_earlier_run(folder: Path) -> list[str]:
    """Heatmaps that an earlier run's risk.json names, which would stand beside other risks than theirs."""
    try:
        visits = json.loads((folder / RISK).read_text(encoding="utf-8"))["visits"]
        named = [visit.get(kind) for visit in visits for kind in ("heatmap", "change_heatmap")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return [name for name in named if isinstance(name, str) and re.fullmatch(r"heatmaps/[\w.-]+\.nii\.gz", name)]


def write_results(
    prediction: Prediction,
    folder: Path,
    *,
    heatmaps: bool = True,
    identified: bool = False,
    asked: Mapping[str, Any] | None = None,
    brain_mask: str | None = None,
    progress: ProgressListener = ignore_progress,
) -> RiskRecord:
    """Write risk.json, risk.tsv, heatmaps, report.html, montage.png and audit.json.

    Args:
        prediction: From :func:`pipeline.predict_risk`.
        folder: Made if need be; files of an earlier run under the same names are replaced, all at the end. A run that
            writes into the same folder now is waited for.
        heatmaps: Whether maps are written and drawn.
        identified: Whether the report shows what the input calls the patient.
        asked: The command's options, for the audit.
        brain_mask: Hash of a given brain mask, for the audit.
        progress: Told after every visit.

    Returns:
        The record that risk.json holds.

    Raises:
        OutputError: If a file can't be written; what was there before stays.
    """
    began = time.perf_counter()

    def waiting() -> None:
        check_cancelled()
        progress(ProgressEvent(stage="write", fraction=0.0, message="Waiting for another run that writes here"))

    with alone_in(folder, waiting):
        remove_leftovers(folder)
        with written_together(folder, last=RISK, stale=[SCENE, *maps_of_earlier_run(folder)]) as staged:
            outside: dict[int, float] = {}
            volumes = _volumes(prediction, staged if heatmaps else None, outside, progress)
            record = risk_record(prediction, heatmaps=heatmaps)
            pictures = gather_pictures(record, volumes)
            if heatmaps:
                record = _with_outside(record, outside)
            seconds = {**prediction.seconds, "maps_and_pictures": time.perf_counter() - began}
            audit = _audit(prediction, asked or {}, seconds, brain_mask)
            identity = "; ".join(prediction.timeline.identity.values()) if identified else None
            check_cancelled()
            write_montage(record, pictures, staged / "montage.png")
            check_cancelled()
            write_report(
                record,
                pictures,
                staged / "report.html",
                model_card=_card(prediction),
                audit=audit,
                identity=identity or None,
            )
            write_audit_json(audit, staged / "audit.json")
            write_risk_tsv(record, staged / "risk.tsv")
            write_risk_json(record, staged / RISK)
    progress(ProgressEvent(stage="write", fraction=1.0, message="Results are written"))
    return record


def _volumes(
    prediction: Prediction, folder: Path | None, outside: dict[int, float], progress: ProgressListener
) -> Iterator[VisitVolumes]:
    """Every visit's volumes for its pictures, one in memory at a time; maps are written as they are made.

    Args:
        prediction: All visits' risks.
        folder: Where maps are written, None for none.
        outside: Filled with the hazard outside each visit's field of view, by its number.
        progress: Told after every visit.
    """
    place = _common_place(prediction)
    whole = len(prediction.visits)
    for number in range(1, whole + 1):
        drawn, outside[number] = _draw(prediction, number, folder, place)
        message = f"Visit {number} of {whole}: maps and pictures"
        progress(ProgressEvent(stage="write", fraction=number / (whole + 1), message=message))
        yield drawn
        del drawn


def risk_record(prediction: Prediction, *, heatmaps: bool) -> RiskRecord:
    """What risk.json says of a prediction, but for what only drawing the maps tells.

    Args:
        prediction: All visits' risks.
        heatmaps: Whether maps are written.
    """
    model = prediction.model
    by_visit: dict[int | None, list[Finding]] = {}
    for finding in prediction.findings:
        by_visit.setdefault(finding.visit, []).append(finding)
    return RiskRecord(
        patient=prediction.timeline.patient_id,
        horizon_days=HORIZON_DAYS,
        model=ModelRecord(
            name=model.name,
            sha256=model.sha256,
            version=str(model.metadata.get("version")),
            caveat=CAVEAT if only_simulated(model.metadata) else OTHER_CAVEAT,
            heatmap_check=None if model.heatmap_sanity is None else model.heatmap_sanity.sentence,
        ),
        visits=tuple(
            _visit_record(prediction, number, by_visit.get(number, []), heatmaps=heatmaps)
            for number in range(1, len(prediction.visits) + 1)
        ),
        warnings=tuple(Warned.of(finding) for finding in by_visit.get(None, [])),
        research_use_only=model.metadata["caveat"],
    )


def _with_outside(record: RiskRecord, outside: Mapping[int, float]) -> RiskRecord:
    """The record with each visit's hazard outside its field of view, by the visit's number."""
    visits = enumerate(record.visits, start=1)
    return replace(
        record, visits=tuple(replace(visit, outside_field_of_view_hazard=outside[number]) for number, visit in visits)
    )


def _visit_record(prediction: Prediction, number: int, findings: list[Finding], *, heatmaps: bool) -> VisitRecord:
    result = prediction.visits[number - 1]
    hazards = result.hazards
    low, high = hazards.risk_extremes
    ensemble = len(hazards.member_hazards) > 1
    return VisitRecord(
        session_id=result.visit.session_id,
        days_since_first=result.visit.days_since_first,
        days_since_treatment=result.visit.days_since_treatment,
        sequences=result.visit.sequences,
        reference_sequence=result.encoded.reference_sequence,
        risk=hazards.risk,
        risk_low=low if ensemble else None,
        risk_high=high if ensemble else None,
        single_visit_risk=hazards.single_visit_risk,
        hazards=tuple(hazards.interval_hazards.tolist()),
        background_hazard=hazards.background_hazard,
        heatmap=_map_name(prediction, number, "risk") if heatmaps else None,
        change_heatmap=_map_name(prediction, number, "change") if heatmaps and number > 1 else None,
        peaks=tuple(
            Peak(
                name=PEAK_NAMES[index],
                ras_mm=_in_visit(result, peak.ras_mm),
                share_of_hazard=peak.share,
                hazard_per_mL=peak.hazard_per_mL,
            )
            for index, peak in enumerate(result.peaks)
        ),
        measurements=_measurements(result),
        warnings=tuple(Warned.of(finding) for finding in findings),
        uncertain_because=uncertain_codes(
            finding for finding in prediction.findings if finding.visit in (None, number)
        ),
    )


def _measurements(result: VisitResult) -> tuple[Measurement, ...]:
    """How concentrated the map is, how much it leaves unexplained, and how sure the pictures are of the order."""
    hazards = np.sort(result.density.voxels.ravel())[::-1] * result.density.geometry.voxel_mL
    half = int(np.searchsorted(np.cumsum(hazards), hazards.sum() / 2)) + 1
    background = result.hazards.background_hazard
    order = Measurement(name=ORDER_CONFIDENCE, value=result.order_confidence, unit="probability")
    return (
        Measurement(
            name="smallest region with half of the local hazard",
            value=half * result.density.geometry.voxel_mL,
            unit="mL",
        ),
        Measurement(name="local hazard over the brain", value=float(hazards.sum()), unit="hazard within the horizon"),
        Measurement(
            name="part of the risk's hazard that no image explains",
            value=100 * background / (background + float(hazards.sum())),
            unit="%",
        ),
        *(() if result.order_confidence is None else (order,)),
    )


def _draw(
    prediction: Prediction, number: int, folder: Path | None, place_in_frame: FloatArray
) -> tuple[VisitVolumes, float]:
    """One visit's reference volume and maps; the maps are written as they are made."""
    result = prediction.visits[number - 1]
    check_cancelled()
    reference = result.visit.sources[result.encoded.reference_sequence].read()
    place = _in_visit(result, place_in_frame)
    if folder is None:
        return VisitVolumes(reference=reference, place_ras=place), 0.0
    drawn = result.heatmap()
    check_cancelled()
    write_nifti(drawn.volume, folder / _map_name(prediction, number, "risk"))
    change = prediction.change(number, drawn.volume)
    check_cancelled()
    if change is not None:
        write_nifti(change, folder / _map_name(prediction, number, "change"))
    volumes = VisitVolumes(reference=reference, heatmap=drawn.volume, change=change, place_ras=place)
    return volumes, drawn.outside_hazard


def _common_place(prediction: Prediction) -> FloatArray:
    """The highest place of the highest map, in the first visit's RAS: shown at every visit."""
    highest = max(prediction.visits, key=lambda result: float(result.density.voxels.max()))
    if highest.peaks:
        return highest.peaks[0].ras_mm
    density = highest.density
    return density.geometry.to_ras(np.unravel_index(int(np.argmax(density.voxels)), density.voxels.shape))


def _in_visit(result: VisitResult, frame_ras: FloatArray) -> tuple[float, float, float]:
    to_visit = np.linalg.inv(result.encoded.visit_ras_to_frame_ras)
    x, y, z = (to_visit @ np.append(frame_ras, 1.0))[:3].tolist()
    return x, y, z


def _map_name(prediction: Prediction, number: int, kind: str) -> str:
    session = prediction.visits[number - 1].visit.session_id
    return f"heatmaps/{prediction.timeline.patient_id}_{session}_desc-{kind}_heatmap.nii.gz"


def _audit(
    prediction: Prediction, asked: Mapping[str, Any], seconds: Mapping[str, float], brain_mask: str | None
) -> AuditRecord:
    timeline, model = prediction.timeline, prediction.model
    return AuditRecord(
        patient=timeline.patient_id,
        inputs=input_hashes(timeline),
        versions=versions(torch.__version__),
        platform=platform_name(),
        device=prediction.device,
        seed=None,  # nothing is drawn at random in a prediction
        options=safe_options(asked),
        preprocessing=configs.to_json(prediction.preprocessing),
        model=model.name,
        model_files=model.files,
        timings_s={stage: round(value, 3) for stage, value in seconds.items()},
        findings=[finding.to_json() for finding in prediction.findings],
        alignments=[
            {"session_id": result.visit.session_id, **alignment.to_json()}
            for result in prediction.visits
            for alignment in result.encoded.alignments
        ],
        days=visit_days(timeline),
        brain_mask=brain_mask,
        research_use_only=model.metadata["caveat"],
    )


def _card(prediction: Prediction) -> ModelCard:
    model, facts = prediction.model, prediction.model.metadata
    trained = (
        f"{facts.get('trained_on', 'unknown data')}: {facts.get('training_patients')} patients, "
        f"{facts.get('training_visits')} visits before an event."
    )
    calibration = (
        f"Positive scaling on {facts.get('validation_patients')} further patients: background x "
        f"{model.calibration.background_scale:.2f}, local terms x {model.calibration.local_scale:.2f}."
    )
    return ModelCard(
        name=model.name,
        version=str(facts.get("version")),
        trained_on=trained[0].upper() + trained[1:],
        calibration=calibration,
        points=tuple(str(point) for point in facts.get("limits", ())),
    )
