"""Finding the first visit's brain: given, the whole field of view, a stripped volume's own, or the template's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from TemporalGliomaRisk.errors import BrainMaskError
from TemporalGliomaRisk.preprocess.alignment import prepared_for_metric
from TemporalGliomaRisk.preprocess.brain_mask import check_on_brain, check_on_head, check_plausible, cut_area_cm2
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.grid import canonical
from TemporalGliomaRisk.preprocess.loaded import LoadedVolume
from TemporalGliomaRisk.preprocess.template_mask import template_mask
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.visit import SequenceName
from TemporalGliomaRisk.timeline.volume import BoolArray, Geometry, Volume

NOTICED_CUT_CM2 = 20.0
TEMPLATE_SEQUENCES: tuple[SequenceName, ...] = ("T1w", "FLAIR", "ce-gd_T1w", "T2w")
LEAST_TEMPLATE_SIMILARITY = 1.03


def find_brain(
    volumes: Mapping[SequenceName, LoadedVolume],
    reference: SequenceName,
    config: PreprocessConfig,
    given: Volume | None,
) -> tuple[Volume, list[Finding], SequenceName]:
    """The brain of the first visit, what was noticed, and the sequence in whose RAS the brain lies.

    Args:
        volumes: The first visit's.
        reference: Its reference sequence.
        config: Settings.
        given: A brain mask in the reference's RAS, on any grid, non-zero inside; None to find the brain.

    Raises:
        BrainMaskError: If no plausible brain was given or found.
    """
    if given is not None:
        mask = canonical(given)
        inside = mask.voxels != 0
        check_plausible(inside, mask.geometry, origin="given")
        check_on_head(inside, mask.geometry, volumes[reference].volume)
        own = volumes[reference].stripped
        if own is not None:
            brain = Volume(voxels=own, geometry=volumes[reference].volume.geometry)
            check_on_brain(inside, mask.geometry, brain, what=reference)
        return Volume(voxels=inside, geometry=mask.geometry), _cut_findings(inside, mask.geometry), reference
    loaded = volumes[reference]
    if config.mask == "none":
        whole = Volume(voxels=np.ones(loaded.volume.voxels.shape, bool), geometry=loaded.volume.geometry)
        message = "No brain mask was asked for: the whole field of view counts as brain."
        return whole, [Finding.note("whole_field_of_view", message)], reference
    for name in (reference, *volumes):
        stripped, geometry = volumes[name].stripped, volumes[name].volume.geometry
        if stripped is not None:
            check_plausible(stripped, geometry, origin=f"of the stripped {name}")
            message = f"{name} is skull-stripped already; its own mask is the brain mask."
            noticed = [Finding.note("stripped_already", message), *_cut_findings(stripped, geometry)]
            return Volume(voxels=stripped, geometry=geometry), noticed, name
    return _brain_by_template(volumes, reference)


def _brain_by_template(
    volumes: Mapping[SequenceName, LoadedVolume], reference: SequenceName
) -> tuple[Volume, list[Finding], SequenceName]:
    """The template's brain on the sequence it matches most surely: T1w if there, else FLAIR, else the reference."""
    name = next((name for name in TEMPLATE_SEQUENCES if name in volumes), reference)
    small = prepared_for_metric(volumes[name].volume, volumes[name].background.value)
    mask, similarity = template_mask(small)
    inside = mask.voxels.astype(bool)
    check_plausible(inside, mask.geometry, origin=f"found on {name} by the template")
    if similarity < LEAST_TEMPLATE_SIMILARITY:
        raise BrainMaskError(
            f"The template brain does not match {name} of visit 1 (normalised mutual information {similarity:.3f}, "
            f"{LEAST_TEMPLATE_SIMILARITY} wanted). Give the first visit's brain mask with --mask FILE, or use the "
            "whole field of view with --mask none."
        )
    message = f"The brain was found on {name} by a registered template; check its outline, or give a mask with --mask."
    found = Finding.note("brain_by_template", message, sequence=name)
    return mask, [found, *_cut_findings(inside, mask.geometry)], name


def _cut_findings(mask: BoolArray, geometry: Geometry) -> list[Finding]:
    cut = cut_area_cm2(mask, geometry)
    if cut <= NOTICED_CUT_CM2:
        return []
    message = f"The field of view cuts the brain over {cut:.0f} cm2; what lies beyond is not seen at any visit."
    return [Finding.warning("brain_cut_off", message)]
