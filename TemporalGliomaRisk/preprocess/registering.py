"""A timeline's visits brought onto the first one, and nothing more: no common intensities, no grid, no network."""

from __future__ import annotations

from dataclasses import dataclass, replace

from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.loaded import load
from TemporalGliomaRisk.preprocess.placement import place_later_visit
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit
from TemporalGliomaRisk.preprocess.prepared import Alignment
from TemporalGliomaRisk.preprocess.reference import reference_sequence
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener, ignore_progress, part_of
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.visit import Timeline, Visit
from TemporalGliomaRisk.timeline.volume import Volume


@dataclass(frozen=True, kw_only=True)
class RegisteredVisit:
    """Where a visit's volumes lie.

    Args:
        session_id: BIDS label.
        alignments: One per volume that had a target, as a prediction finds them.
        findings: The same in sentences, with the visit's number.
    """

    session_id: str
    alignments: tuple[Alignment, ...]
    findings: tuple[Finding, ...]


def register_timeline(
    timeline: Timeline,
    config: PreprocessConfig,
    *,
    brain_mask: Volume | None = None,
    progress: ProgressListener = ignore_progress,
) -> tuple[RegisteredVisit, ...]:
    """Bring every visit onto the first, exactly as a prediction with the same settings does.

    Args:
        timeline: A patient's visits.
        config: Settings; ``register`` says whether what is aligned already is left alone.
        brain_mask: The brain in the first visit's RAS, or None to find it.
        progress: Told after every step; may raise :class:`errors.Cancelled`.

    Returns:
        A visit each, oldest first.

    Raises:
        BrainMaskError: If no plausible brain was given or found.
        RegistrationError: If a volume could not be brought onto the first visit well enough.
        VolumeError, GeometryError: If a volume cannot be used.
    """
    whole = len(timeline.visits)
    listeners = [
        part_of(progress, number / whole, (number + 1) / whole, f"Visit {number + 1} of {whole}: ")
        for number in range(whole)
    ]
    first, *later = timeline.visits
    frame, prepared = prepare_first_visit(first, config, brain_mask=brain_mask, progress=listeners[0])
    registered = [_registered(first, prepared.alignments, prepared.findings)]
    for number, visit in enumerate(later, start=2):
        volumes = {name: load(visit, name, number) for name in visit.sequences}
        reference = reference_sequence({name: loaded.geometry for name, loaded in volumes.items()})
        listeners[number - 1](ProgressEvent(stage="prepare", fraction=0.2, message="read"))
        placement = place_later_visit(volumes, reference, frame, config, f" of visit {number}")
        findings = tuple(replace(finding, visit=number) for finding in placement.findings)
        registered.append(_registered(visit, placement.alignments, findings))
        listeners[number - 1](ProgressEvent(stage="prepare", fraction=1.0, message="aligned"))
    return tuple(registered)


def _registered(visit: Visit, alignments: tuple[Alignment, ...], findings: tuple[Finding, ...]) -> RegisteredVisit:
    return RegisteredVisit(session_id=visit.session_id, alignments=alignments, findings=findings)
