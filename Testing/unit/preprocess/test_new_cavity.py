"""A cavity that was not there at the first visit: fluid in every sequence now, and clearly not before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.new_cavity import new_cavity_mL
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.visit import Visit, VolumeInMemory

NEVER = PreprocessConfig(register="never")
FLUID = {"FLAIR": 2, "T1w": 2, "T2w": 98}
"""Percentiles of the brain's intensities that fluid has."""


@pytest.fixture(scope="module")
def visit(shared_data: Path) -> Visit:
    """A real glioma, stripped, three sequences."""
    anat = shared_data / "glioma_single" / "sub-01" / "anat"
    sources = {name: VolumeFile(path=anat / f"sub-01_{name}.nii.gz", role=name) for name in FLUID}
    return Visit(session_id="ses-01", days_since_first=0, days_since_treatment=None, sources=sources)


@pytest.fixture(scope="module")
def frame(visit: Visit):
    return prepare_first_visit(visit, NEVER)[0]


def hollow(volumes, brain, centre, radius, names=tuple(FLUID)):
    """A ball of fluid, radius in voxels, in some of the sequences."""
    distance = np.linalg.norm(np.indices(brain.shape).T - centre, axis=-1).T
    found = {}
    for name, voxels in volumes.items():
        fluid = np.percentile(voxels[brain], FLUID[name])
        found[name] = np.where((distance < radius) & (name in names), fluid, voxels)
    return found


@pytest.fixture(scope="module")
def place(frame):
    """Amid white matter of the side without the tumour, where no sequence shows fluid."""
    inside = np.argwhere(frame.brain_mask)
    middle = inside.mean(axis=0)
    sides = middle + np.array([[23, 5, 12], [-23, 5, 12]]) / 2
    flair = frame.references["FLAIR"]
    return min(sides.astype(int), key=lambda at: flair[tuple(slice(one - 4, one + 4) for one in at)].mean())


def test_a_ball_of_fluid_is_found_but_for_its_rim_and_only_where_it_is_new(frame, place) -> None:
    spacing = frame.grid.spacing_mm
    before = {name: frame.references[name] for name in FLUID}
    after = hollow(before, frame.brain_mask, place, 7)
    true_mL = 4 / 3 * np.pi * 14**3 / 1000
    assert 0.3 * true_mL < new_cavity_mL(before, after, frame.brain_mask, spacing) < true_mL
    assert new_cavity_mL(before, before, frame.brain_mask, spacing) == 0
    assert new_cavity_mL(after, after, frame.brain_mask, spacing) == 0
    assert new_cavity_mL(after, before, frame.brain_mask, spacing) == 0


def test_what_is_fluid_in_one_sequence_alone_is_no_cavity(frame, place) -> None:
    before = {name: frame.references[name] for name in FLUID}
    dark_in_t1 = hollow(before, frame.brain_mask, place, 7, names=("T1w",))
    assert new_cavity_mL(before, dark_in_t1, frame.brain_mask, frame.grid.spacing_mm) == 0
    assert new_cavity_mL({"T1w": before["T1w"]}, {"FLAIR": before["FLAIR"]}, frame.brain_mask, (2, 2, 2)) == 0
    assert new_cavity_mL(before, before, np.zeros_like(frame.brain_mask), frame.grid.spacing_mm) == 0


def test_a_tumour_as_dark_as_fluid_in_one_sequence_that_gives_way_to_a_cavity_is_found(frame, place) -> None:
    plain = {name: frame.references[name] for name in FLUID}
    before = hollow(plain, frame.brain_mask, place, 7, names=("T1w",))
    after = hollow(plain, frame.brain_mask, place, 7)
    found_mL = new_cavity_mL(before, after, frame.brain_mask, frame.grid.spacing_mm)
    assert found_mL == pytest.approx(new_cavity_mL(plain, after, frame.brain_mask, frame.grid.spacing_mm), rel=0.1)


def test_a_visit_with_a_new_cavity_is_told_and_one_without_is_not(visit: Visit, frame) -> None:
    def later(radius_mm: float):
        volume = visit.sources["FLAIR"].read()
        brain = volume.voxels > 0
        way = np.array([23, 5, 12]) * np.sign(np.diag(volume.geometry.ijk_to_ras)[:3])
        centre = np.argwhere(brain).mean(axis=0) + way
        voxels = hollow({"FLAIR": volume.voxels.astype(np.float32)}, brain, centre, radius_mm)["FLAIR"]
        sources = {"FLAIR": VolumeInMemory(volume=replace(volume, voxels=voxels))}
        return prepare_visit(replace(visit, sources=sources, days_since_first=90), frame, NEVER, number=2).findings

    assert not [one for one in later(0.0) if one.code == "cavity_appeared"]
    (found,) = (one for one in later(15.0) if one.code == "cavity_appeared")
    assert found.visit == 2
    assert "mL or more that holds fluid has appeared since visit 1" in found.message
