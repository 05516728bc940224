"""Doubts that the images themselves raise, whatever the model: each a warning with what to check.

Left out where the whole field of view was asked for in place of the brain: the questions are about a brain.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from TemporalGliomaRisk.preprocess.loaded import GridArray
from TemporalGliomaRisk.preprocess.mistaken import looks_like, white_matter_contradicts
from TemporalGliomaRisk.preprocess.new_cavity import NOTICED_ML, new_cavity_mL
from TemporalGliomaRisk.preprocess.posture import posture
from TemporalGliomaRisk.preprocess.prepared import Frame
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry


def posture_doubts(brain: BoolArray, grid: Geometry, noticed: list[Finding]) -> list[Finding]:
    """That the brain doesn't stand upright in the header's axes.

    Args:
        brain: (I, J, K), of the first visit.
        grid: Its grid, the axes along R, A and S.
        noticed: Of finding it: whether the field of view cuts it.
    """
    cut = any(finding.code == "brain_cut_off" for finding in noticed)
    stands = posture(brain, grid.spacing_mm, cut=cut)
    if stands is None:
        return []
    message = (
        f"By its shape the brain of visit 1 is {stands} in the axes that its header names, so every risk is uncertain "
        "and not to be relied on. Correct the header, or check that it is MRI of a head."
    )
    return [Finding.warning("brain_turned", message)]


def sequence_doubts(
    intensities: Mapping[SequenceName, FloatArray],
    arrays: Mapping[SequenceName, GridArray],
    brain: BoolArray,
    references: Mapping[SequenceName, FloatArray],
) -> list[Finding]:
    """That volumes seem to be another pulse sequence than they are called.

    Args:
        intensities: (I, J, K) by sequence, on the model grid.
        arrays: The same volumes as they came onto the grid: where they show anything.
        brain: (I, J, K).
        references: The first visit's; none at the first visit.
    """
    findings = []
    for name, voxels in intensities.items():
        valid = brain & arrays[name].covered
        other = looks_like(name, voxels, valid, references)
        if other is not None:
            message = (
                f"{name} looks more like {other} of visit 1 than like {name} there, so the risk is uncertain. Check at "
                "both visits that the files are the pulse sequences they are called."
            )
            findings.append(Finding.warning("looks_like_another_sequence", message, sequence=name))
        seen = white_matter_contradicts(name, voxels, valid)
        if seen is not None:
            wanted = {"bright": "dark", "dark": "bright"}[seen]
            message = (
                f"In {name} white matter looks {seen} beside the cortex, wanted {wanted}, so the risk is uncertain. "
                "Check that the file is the pulse sequence it is called (under a year of age the two are reversed)."
            )
            findings.append(Finding.warning("white_matter_contradicts_label", message, sequence=name))
    return findings


def cavity_doubts(
    intensities: Mapping[SequenceName, FloatArray], arrays: Mapping[SequenceName, GridArray], frame: Frame
) -> list[Finding]:
    """That a cavity has appeared since the first visit; arguments as of :func:`sequence_doubts`."""
    valid = np.logical_and.reduce([frame.brain_mask, *(array.covered for array in arrays.values())])
    volume_mL = new_cavity_mL(frame.references, intensities, valid, frame.grid.spacing_mm)
    if volume_mL <= NOTICED_ML:
        return []
    message = (
        f"A cavity of {volume_mL:.0f} mL or more that holds fluid has appeared since visit 1, as hardly any does after "
        "treatment, so the risk is uncertain. Check whether the patient was operated on in between: every visit must "
        "lie after the treatment."
    )
    return [Finding.warning("cavity_appeared", message)]
