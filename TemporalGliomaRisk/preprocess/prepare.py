"""A visit from its files to the model grid: the order of the steps, on one screen each for the first and the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from TemporalGliomaRisk.preprocess.alignment import mean_displacement_mm
from TemporalGliomaRisk.preprocess.brain_mask import head_mask
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.find_brain import find_brain
from TemporalGliomaRisk.preprocess.grid import grid_around
from TemporalGliomaRisk.preprocess.image_doubts import cavity_doubts, posture_doubts, sequence_doubts
from TemporalGliomaRisk.preprocess.intensity import (
    block_means,
    fit_bias,
    fit_harmonisation,
    robust_scale,
    scaled,
)
from TemporalGliomaRisk.preprocess.loaded import GridArray, LoadedVolume, load, on_grid
from TemporalGliomaRisk.preprocess.placement import Placement, place_first_visit, place_later_visit, trusted
from TemporalGliomaRisk.preprocess.prepared import Frame, IntensityScale, PreparedVisit
from TemporalGliomaRisk.preprocess.reference import reference_sequence
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener, ignore_progress
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName, Visit
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry, Volume

LARGEST_LOG_BIAS = 1.5
NOTICED_MISSING = 0.02
PLACED_AGAIN_ABOVE_MM = 1.5
"""A brain mask that lay further off than this, mean over it, held the metric to the wrong places."""


def prepare_first_visit(
    visit: Visit,
    config: PreprocessConfig,
    *,
    brain_mask: Volume | None = None,
    progress: ProgressListener = ignore_progress,
) -> tuple[Frame, PreparedVisit]:
    """Prepare the first visit, and fix what every later one is compared with: grid, brain mask, intensity scales.

    Args:
        visit: The timeline's first.
        config: Settings.
        brain_mask: The brain in the first visit's RAS, on any grid, non-zero inside; None to find it.
        progress: Told after every step.

    Raises:
        BrainMaskError: If no plausible brain was given or found.
        RegistrationError: If the visit's sequences could not be aligned with each other.
        VolumeError, GeometryError: If a volume cannot be used.
    """
    volumes = {name: load(visit, name, 1) for name in visit.sequences}
    reference = reference_sequence({name: loaded.geometry for name, loaded in volumes.items()})
    progress(ProgressEvent(stage="prepare", fraction=0.2, message="read"))
    mask, findings, source = find_brain(volumes, reference, config, brain_mask)
    grid, brain, placement = _placed(volumes, reference, mask, source, config)
    progress(ProgressEvent(stage="prepare", fraction=0.6, message="aligned"))
    arrays = {name: on_grid(loaded, grid, placement.frame_to_volume[name], brain) for name, loaded in volumes.items()}
    references, scales = {}, {}
    for name, array in arrays.items():
        references[name], scales[name] = _own_scale(array, brain, config)
        progress(ProgressEvent(stage="prepare", fraction=0.9, message=f"{name} scaled"))
    frame = Frame(grid=grid, brain_mask=brain, references=references, scales=scales)
    intensities = {
        name: scaled(references[name], brain & arrays[name].covered, scales[name], config.clip) for name in arrays
    }
    if config.mask != "none":
        findings += posture_doubts(brain, grid, findings)
        findings += sequence_doubts(intensities, arrays, brain, {})
    prepared = PreparedVisit(
        intensities=_stacked(intensities, grid),
        present=_present(volumes),
        visit_ras_to_frame_ras=np.eye(4),
        reference_sequence=reference,
        reference_geometry=volumes[reference].geometry,
        alignments=placement.alignments,
        findings=_numbered((*findings, *placement.findings, *_coverage_findings(arrays, brain)), 1),
    )
    progress(ProgressEvent(stage="prepare", fraction=1.0, message="prepared"))
    return frame, prepared


def prepare_visit(
    visit: Visit,
    frame: Frame,
    config: PreprocessConfig,
    *,
    number: int | None = None,
    progress: ProgressListener = ignore_progress,
) -> PreparedVisit:
    """Prepare a later visit from itself and the first visit's frame, nothing else.

    Args:
        visit: Any later visit.
        frame: From :func:`prepare_first_visit`, with the same settings.
        config: Settings.
        number: The visit's number, from 1, for messages and findings.
        progress: Told after every step.

    Raises:
        RegistrationError: If the visit could not be brought onto the first well enough.
        VolumeError, GeometryError: If a volume cannot be used.
    """
    volumes = {name: load(visit, name, number) for name in visit.sequences}
    reference = reference_sequence({name: loaded.geometry for name, loaded in volumes.items()})
    progress(ProgressEvent(stage="prepare", fraction=0.2, message="read"))
    placement = (
        trusted(volumes)
        if config.register == "never"
        else place_later_visit(volumes, reference, frame, config, f" of visit {number}" if number else "")
    )
    progress(ProgressEvent(stage="prepare", fraction=0.6, message="aligned"))
    arrays = {
        name: on_grid(loaded, frame.grid, placement.frame_to_volume[name], frame.brain_mask)
        for name, loaded in volumes.items()
    }
    intensities: dict[SequenceName, FloatArray] = {}
    findings: list[Finding] = []
    for name, array in arrays.items():
        intensities[name], noticed = _harmonised(name, array, frame, config)
        findings += noticed
        progress(ProgressEvent(stage="prepare", fraction=0.9, message=f"{name} harmonised"))
    if config.mask != "none":
        findings += sequence_doubts(intensities, arrays, frame.brain_mask, frame.references)
        findings += cavity_doubts(intensities, arrays, frame)
    progress(ProgressEvent(stage="prepare", fraction=1.0, message="prepared"))
    return PreparedVisit(
        intensities=_stacked(intensities, frame.grid),
        present=_present(volumes),
        visit_ras_to_frame_ras=np.linalg.inv(placement.frame_to_volume[reference]),
        reference_sequence=reference,
        reference_geometry=volumes[reference].geometry,
        alignments=placement.alignments,
        findings=_numbered((*findings, *placement.findings, *_coverage_findings(arrays, frame.brain_mask)), number),
    )


def _placed(
    volumes: Mapping[SequenceName, LoadedVolume],
    reference: SequenceName,
    mask: Volume,
    source: SequenceName,
    config: PreprocessConfig,
) -> tuple[Geometry, BoolArray, Placement]:
    """The model grid, the brain on it, and where the first visit's volumes lie.

    A mask lies where its sequence's header puts it, so where that sequence is moved onto the reference, the mask goes
    with it; and where that is far, all are placed once more, with the brain in its right place in the metric.

    Args:
        volumes: The first visit's.
        reference: Its reference sequence.
        mask: The brain, in the RAS of ``source``.
        source: The sequence that the mask is of; the reference for a mask that was given.
        config: Settings.
    """
    grid, brain = _on_model_grid(mask, config)
    if config.register == "never":
        return grid, brain, trusted(volumes)
    placement = place_first_visit(volumes, reference, grid, brain, config)
    moved = placement.frame_to_volume[source]
    if np.array_equal(moved, np.eye(4)):
        return grid, brain, placement
    off_mm = mean_displacement_mm(moved, np.eye(4), brain, grid)
    grid, brain = _on_model_grid(_brought_back(mask, moved), config)
    if off_mm > PLACED_AGAIN_ABOVE_MM:
        placement = place_first_visit(volumes, reference, grid, brain, config)
        grid, brain = _on_model_grid(_brought_back(mask, placement.frame_to_volume[source]), config)
    return grid, brain, placement


def _on_model_grid(mask: Volume, config: PreprocessConfig) -> tuple[Geometry, BoolArray]:
    grid = grid_around(mask.voxels.astype(bool), mask.geometry, config.grid_mm, config.margin_mm)
    return grid, resample(_as_bytes(mask), grid) > 0.5


def _brought_back(mask: Volume, frame_to_volume: FloatArray) -> Volume:
    """A mask in its volume's RAS, in the frame's."""
    matrix = np.linalg.inv(frame_to_volume) @ mask.geometry.ijk_to_ras
    return Volume(voxels=mask.voxels, geometry=Geometry(shape=mask.geometry.shape, ijk_to_ras=matrix))


def _own_scale(array: GridArray, brain: BoolArray, config: PreprocessConfig) -> tuple[FloatArray, IntensityScale]:
    """Bias-corrected intensities of a volume that has nothing to be compared with, and their robust scale."""
    voxels = array.voxels
    valid = _tissue(brain & array.covered, voxels, config)
    if config.correct_bias:
        field = fit_bias(block_means(voxels, valid, _block(config), config.bias_order), config.bias_order)
        log_field = np.clip(field.on_grid(_shape(voxels)), -LARGEST_LOG_BIAS, LARGEST_LOG_BIAS)
        voxels = voxels * np.exp(-log_field)
    return voxels, robust_scale(voxels, valid if valid.any() else brain)


def _tissue(valid: BoolArray, voxels: FloatArray, config: PreprocessConfig) -> BoolArray:
    """Where intensities count: without a brain mask the air around the head would set centre, scale and bias."""
    if config.mask != "none":
        return valid
    return valid & head_mask(Volume(voxels=voxels, geometry=Geometry(shape=_shape(voxels), ijk_to_ras=np.eye(4))))


def _harmonised(
    name: SequenceName, array: GridArray, frame: Frame, config: PreprocessConfig
) -> tuple[FloatArray, list[Finding]]:
    """One sequence of a later visit on the first visit's intensity scale, or on its own where the first lacks it."""
    valid = frame.brain_mask & array.covered
    if name not in frame.references:
        voxels, scale = _own_scale(array, frame.brain_mask, config)
        message = f"{name} is missing at the first visit; here it is scaled by itself, so its changes are less certain."
        return scaled(voxels, valid, scale, config.clip), [Finding.note("no_first_reference", message, sequence=name)]
    voxels = array.voxels
    if config.harmonise:
        fitted = fit_harmonisation(
            voxels,
            frame.references[name],
            _tissue(valid, frame.references[name], config),
            block=_block(config),
            order=config.bias_order,
            gamma_limits=config.gamma_limits,
        )
        if fitted is None:
            message = f"{name} shares too little brain with the first visit to compare intensities; scaled by itself."
            noticed = Finding.warning("not_harmonised", message, sequence=name)
            voxels, scale = _own_scale(array, frame.brain_mask, config)
            return scaled(voxels, valid, scale, config.clip), [noticed]
        voxels = fitted.apply(voxels)
    return scaled(voxels, valid, frame.scales[name], config.clip), []


def _coverage_findings(arrays: Mapping[SequenceName, GridArray], brain: BoolArray) -> list[Finding]:
    findings = []
    for name, array in arrays.items():
        missing = 1.0 - float((array.covered & brain).sum()) / max(float(brain.sum()), 1.0)
        if missing > NOTICED_MISSING:
            message = (
                f"{100 * missing:.0f} % of the first visit's brain is not covered by {name}; no change is seen there."
            )
            findings.append(Finding.warning("brain_not_covered", message, sequence=name))
        if array.lifted:
            message = f"{name} has intensities below its background; all were raised by a constant."
            findings.append(Finding.note("negative_intensities", message, sequence=name))
    return findings


def _stacked(intensities: Mapping[SequenceName, FloatArray], grid: Geometry) -> FloatArray:
    stacked = np.zeros((len(SEQUENCES), *grid.shape), dtype=np.float32)
    for name, array in intensities.items():
        stacked[SEQUENCES.index(name)] = array
    return stacked


def _present(volumes: Mapping[SequenceName, LoadedVolume]) -> BoolArray:
    return np.array([name in volumes for name in SEQUENCES])


def _as_bytes(mask: Volume) -> Volume:
    return Volume(voxels=mask.voxels.astype(np.uint8), geometry=mask.geometry)


def _shape(array: FloatArray) -> tuple[int, int, int]:
    return array.shape[0], array.shape[1], array.shape[2]


def _block(config: PreprocessConfig) -> tuple[int, int, int]:
    voxels = max(1, round(config.block_mm / config.grid_mm))
    return voxels, voxels, voxels


def _numbered(findings: tuple[Finding, ...], number: int | None) -> tuple[Finding, ...]:
    return tuple(dataclasses.replace(finding, visit=number) for finding in findings)
