"""The whole path on one screen: a patient's timeline and a model in, a risk and a heatmap for every visit out.

Visits are prepared and encoded one at a time, oldest first, and nothing of a later visit is looked at before an earlier
one is done, so all risks come from one causal pass and a further visit costs one encoding.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from TemporalGliomaRisk.bundle import RiskModel
from TemporalGliomaRisk.device import as_on_the_processor, choose_device, device_failed
from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import CELL_VOXELS
from TemporalGliomaRisk.explain.certainty import DoubtKeeper, one_visit_so_far
from TemporalGliomaRisk.explain.heatmap import VisitMap, hazard_map, to_visit_grid
from TemporalGliomaRisk.explain.peaks import Peak, find_peaks
from TemporalGliomaRisk.preprocess.config import MaskMode, PreprocessConfig, RegisterMode
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener, ignore_progress, part_of
from TemporalGliomaRisk.risk.ensemble import TimelineRisk, VisitHazards
from TemporalGliomaRisk.risk.ordering import OrderKeeper
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.resampling import coarsened
from TemporalGliomaRisk.timeline.visit import SEQUENCES, Timeline, Visit
from TemporalGliomaRisk.timeline.volume import BoolArray, Geometry, Volume
from TemporalGliomaRisk.visit_cache import VisitCache
from TemporalGliomaRisk.visit_encoding import EncodedVisit, VisitEncoding


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What a reader may choose.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        register: Whether visits are aligned: ``auto`` measures first, ``always``, ``never`` trusts the input.
        mask: ``auto`` finds the brain, ``none`` takes the whole field of view; a given mask wins over both.
    """

    device: str = "auto"
    register: RegisterMode = "auto"
    mask: MaskMode = "auto"


@dataclass(frozen=True, kw_only=True)
class VisitResult:
    """One visit's risk, and what is needed to draw where it comes from.

    Args:
        visit: The visit.
        encoded: How it was prepared: grid of its reference sequence, way to the frame, alignments, findings.
        hazards: Its calibrated hazards.
        density: Local hazard within the horizon, hazard per mL on the grid of the feature cells.
        peaks: Where hazard gathers, in the first visit's RAS.
        doubts: Why its risk is uncertain.
        order_confidence: Probability, by the pictures alone, that it came after the visit before; None where unknown.
    """

    visit: Visit
    encoded: EncodedVisit
    hazards: VisitHazards
    density: Volume
    peaks: tuple[Peak, ...]
    doubts: tuple[Finding, ...] = ()
    order_confidence: float | None = None

    def map_of(self, density: Volume) -> VisitMap:
        """A map on the feature cells, carried to this visit's own voxels."""
        return to_visit_grid(density, self.encoded.reference_geometry, self.encoded.visit_ras_to_frame_ras)

    def heatmap(self) -> VisitMap:
        """This visit's map on its own voxels, hazard per mL."""
        return self.map_of(self.density)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """All of a timeline's risks.

    Args:
        timeline: What was read.
        model: What was asked.
        visits: A result a visit.
        findings: What the readers and the preparation noticed.
        device: What the network ran on.
        preprocessing: Settings, the reader's choices included.
        seconds: Time by stage.
    """

    timeline: Timeline
    model: RiskModel
    visits: tuple[VisitResult, ...]
    findings: tuple[Finding, ...]
    device: str
    preprocessing: PreprocessConfig
    seconds: dict[str, float] = field(default_factory=dict)

    def change(self, number: int, heatmap: Volume) -> Volume | None:
        """Visit ``number``'s map less that of the visit before, on its own voxels; None for the first (number 1).

        Args:
            number: Of the visit, from 1.
            heatmap: Its own map, from :meth:`VisitResult.heatmap`.
        """
        if number < 2:
            return None
        before = self.visits[number - 1].map_of(self.visits[number - 2].density)
        return Volume(voxels=heatmap.voxels - before.volume.voxels, geometry=heatmap.geometry)


def predict_risk(
    timeline: Timeline,
    model: RiskModel,
    *,
    options: PredictOptions | None = None,
    brain_mask: Volume | None = None,
    cache: VisitCache | None = None,
    progress: ProgressListener = ignore_progress,
) -> Prediction:
    """Risk and map of every visit, each from that visit and earlier ones only.

    Args:
        timeline: A patient's visits.
        model: From :func:`bundle.load_bundle`.
        options: The reader's choices.
        brain_mask: The brain in the first visit's RAS, on any grid, or None.
        cache: Where encoded visits are kept, None to keep nothing.
        progress: Told after every step; may raise :class:`errors.Cancelled`.

    Raises:
        InputError: If a volume, its geometry, the brain mask or a registration cannot be used.
    """
    chosen = options or PredictOptions()
    device, said = choose_device(chosen.device)
    steps = partial(_predict, timeline, model, chosen, brain_mask, cache, progress)
    try:
        with as_on_the_processor(device):
            return steps(device, said)
    except (RuntimeError, OSError) as error:
        if device.type == "cpu":
            raise
        return steps(torch.device("cpu"), (*said, device_failed(error)))


def _predict(  # noqa: PLR0917 (bound once by the caller above)
    timeline: Timeline,
    model: RiskModel,
    chosen: PredictOptions,
    brain_mask: Volume | None,
    cache: VisitCache | None,
    progress: ProgressListener,
    device: torch.device,
    said: tuple[Finding, ...],
) -> Prediction:
    preprocessing = replace(model.preprocessing, register=chosen.register, mask=chosen.mask)
    network = model.network.to(device)
    encoding = VisitEncoding(model, preprocessing, device, brain_mask, cache)
    running = TimelineRisk(network, model.calibration, model.single_visit_calibration)
    ordering = OrderKeeper(None if model.order is None else model.order.to(device))
    doubting = DoubtKeeper(model.doubt, SEQUENCES)
    days = _days(timeline).to(device)
    hazards_s = 0.0
    results: list[VisitResult] = []
    for number, visit in enumerate(timeline.visits, start=1):
        whole = len(timeline.visits)
        listener = part_of(progress, (number - 1) / whole, number / whole, f"Visit {number} of {whole}: ")
        encoded = encoding.encode(visit, number, listener)
        began = time.perf_counter()
        features, present = encoded.tensors(device)
        hazards = running.see(features, present, days[number - 1])
        doubts = (
            *one_visit_so_far(number, whole, timeline.findings),
            *doubting.findings(
                number,
                features,
                present,
                torch.from_numpy(encoded.summary),
                hazards,
                noticed=(*(found for found in timeline.findings if found.visit == number), *encoded.findings),
            ),
        )
        found = _result(visit, encoded, hazards, encoding.frame.grid, encoding.cells)
        results.append(replace(found, doubts=doubts, order_confidence=ordering.see(features, present)))
        hazards_s += time.perf_counter() - began
    progress(ProgressEvent(stage="predict", fraction=1.0, message="Risks of all visits are done"))
    noticed = [finding for result in results for finding in (*result.encoded.findings, *result.doubts)]
    return Prediction(
        timeline=timeline,
        model=model,
        visits=tuple(results),
        findings=(*timeline.findings, *said, *noticed),
        device=device.type,
        preprocessing=preprocessing,
        seconds={**encoding.seconds, "hazards": hazards_s},
    )


def _days(timeline: Timeline) -> torch.Tensor:
    first = torch.tensor([float(visit.days_since_first) for visit in timeline.visits])
    known = [visit.days_since_treatment for visit in timeline.visits]
    treatment = torch.tensor([float("nan") if days is None else float(days) for days in known])
    return day_features(first, treatment)


def _result(
    visit: Visit, encoded: EncodedVisit, hazards: VisitHazards, grid: Geometry, cells: BoolArray
) -> VisitResult:
    terms = hazards.horizon_terms.numpy().astype(np.float64)
    density = hazard_map(terms, cells, coarsened(grid, CELL_VOXELS))
    return VisitResult(
        visit=visit,
        encoded=encoded,
        hazards=hazards,
        density=density,
        peaks=find_peaks(density, hazards.background_hazard),
    )
