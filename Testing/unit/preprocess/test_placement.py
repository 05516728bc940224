"""Which volume is brought where, how the moves add up, and what is left alone or refused, whatever the registration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from TemporalGliomaRisk.errors import RegistrationError
from TemporalGliomaRisk.preprocess import placement
from TemporalGliomaRisk.preprocess.alignment import AlignmentMeasure, Registered
from TemporalGliomaRisk.preprocess.brain_mask import background_of
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.descent import Fixed
from TemporalGliomaRisk.preprocess.loaded import LoadedVolume
from TemporalGliomaRisk.preprocess.placement import Placement, place_later_visit
from TemporalGliomaRisk.preprocess.prepared import Frame, IntensityScale
from TemporalGliomaRisk.scene.result import moves_of
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

GRID = Geometry(shape=(24, 24, 24), ijk_to_ras=np.diag([4.0, 4.0, 4.0, 1.0]))


def rigid(vector_degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(vector_degrees)).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


ANCHOR, ONWARD = rigid((9, -4, 20), (12, -5, 7)), rigid((-15, 6, 3), (-2, 8, 1))
"""Neither commutes with the other."""


def voxels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(100, 900, GRID.shape).astype(np.float32)


def loaded(seed: int) -> LoadedVolume:
    volume = Volume(voxels=voxels(seed), geometry=GRID)
    return LoadedVolume(volume=volume, geometry=GRID, background=background_of(volume), stripped=None)


def frame(*names: str) -> Frame:
    brain = np.zeros(GRID.shape, bool)
    brain[6:18, 6:18, 6:18] = True
    return Frame(
        grid=GRID,
        brain_mask=brain,
        references={name: voxels(100 + number) for number, name in enumerate(names)},
        scales={name: IntensityScale(centre=0.0, scale=1.0) for name in names},
    )


def ended(fixed_to_moving: np.ndarray, **others: float) -> Registered:
    numbers = {"disagreement_mm": 0.3, "similarity": 1.2, "overlap": 1.0, **others}
    return Registered(fixed_to_moving=fixed_to_moving, **numbers)


@pytest.fixture
def registers(monkeypatch: pytest.MonkeyPatch):
    """Registrations that end as they are told to; gives what each was asked to bring where."""

    def as_told(*ends: Registered) -> list[tuple[Fixed, Volume]]:
        asked: list[tuple[Fixed, Volume]] = []

        def register(fixed: Fixed, moving: Volume) -> Registered:
            asked.append((fixed, moving))
            return ends[len(asked) - 1]

        monkeypatch.setattr(placement, "register", register)
        return asked

    return as_told


def place(volumes: dict[str, LoadedVolume], first: Frame, register: str = "always") -> Placement:
    return place_later_visit(volumes, "FLAIR", first, PreprocessConfig(register=register), " of visit 2")


def test_a_sequence_that_the_first_visit_lacks_goes_on_from_where_its_anchor_went(registers) -> None:
    asked = registers(ended(ANCHOR), ended(ONWARD, disagreement_mm=0.7))
    placed = place({"FLAIR": loaded(1), "T1w": loaded(2)}, frame("FLAIR"))
    flair, t1w = placed.alignments

    assert [(one.sequence, one.target) for one in placed.alignments] == [("FLAIR", "first"), ("T1w", "reference")]
    # It was shown to the registration where it lies once it has gone along.
    np.testing.assert_allclose(asked[1][1].geometry.ijk_to_ras, np.linalg.inv(ANCHOR) @ GRID.ijk_to_ras, atol=1e-9)
    np.testing.assert_allclose(placed.frame_to_volume["FLAIR"], ANCHOR, atol=1e-9)
    np.testing.assert_allclose(placed.frame_to_volume["T1w"], ANCHOR @ ONWARD, atol=1e-9)
    # What the audit keeps leads the same way, and so does what a scene makes of it.
    back = np.linalg.inv(placed.frame_to_volume["T1w"])
    np.testing.assert_allclose(t1w.to_target_ras @ flair.to_target_ras, back, atol=1e-9)
    told = moves_of([{"session_id": "ses-02", **one.to_json()} for one in placed.alignments])
    np.testing.assert_allclose(told["ses-02"]["T1w"], back, atol=1e-9)


def test_what_remains_is_how_far_two_registrations_end_apart_and_not_how_far_a_volume_was_moved(registers) -> None:
    registers(ended(rigid((0, 0, 0), (0, 11, 0)), disagreement_mm=0.4))
    placed = place({"FLAIR": loaded(1)}, frame("FLAIR"))

    assert placed.alignments[0].residual_mm == 0.4
    assert "was moved by 11.0 mm on average onto the first visit" in placed.findings[0].message
    assert "agree within 0.4 mm" in placed.findings[0].message


def test_every_sequence_that_both_visits_have_is_brought_to_its_own_counterpart(registers) -> None:
    asked = registers(ended(ANCHOR), ended(ONWARD))
    first = frame("T1w", "FLAIR")
    placed = place({"FLAIR": loaded(1), "T1w": loaded(2)}, first)

    assert [(one.sequence, one.target) for one in placed.alignments] == [("FLAIR", "first"), ("T1w", "first")]
    for (fixed, _), name in zip(asked, ("FLAIR", "T1w"), strict=True):
        assert np.array_equal(fixed.volume.voxels, first.references[name])
    np.testing.assert_allclose(placed.frame_to_volume["T1w"], ONWARD, atol=1e-9)


@pytest.mark.parametrize(
    ("first_has", "apart_mm", "moved"),
    [("FLAIR", 0.49, False), ("FLAIR", 0.51, True), ("T2w", 1.49, False), ("T2w", 1.51, True)],
)
def test_within_a_sequence_half_a_millimetre_is_left_and_across_two_one_and_a_half(
    registers, monkeypatch: pytest.MonkeyPatch, first_has: str, apart_mm: float, moved: bool
) -> None:
    registers(ended(ANCHOR))
    measure = AlignmentMeasure(similarity=1.1, measure=placement.MEASURE, displacement_mm=apart_mm)
    monkeypatch.setattr(placement, "quick_measure", lambda fixed, moving: measure)
    placed = place({"FLAIR": loaded(1)}, frame(first_has), register="auto")
    (found,) = placed.alignments

    assert found.moved == moved
    np.testing.assert_allclose(placed.frame_to_volume["FLAIR"], ANCHOR if moved else np.eye(4), atol=1e-9)
    assert found.residual_mm == (0.3 if moved else apart_mm)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"overlap": 0.59}, r"only 59 % of the brain lies in both \(60 % wanted\)"),
        ({"disagreement_mm": 2.1}, r"two registrations end 2\.1 mm apart \(at most 2\.0 mm wanted\)"),
        ({"disagreement_mm": math.nan}, "two registrations end nan mm apart"),
        ({"similarity": 1.02}, r"they stay unlike each other \(.* 1\.020, 1\.03 wanted\)"),
    ],
)
def test_a_bad_end_is_refused_with_what_is_bad_about_it(registers, numbers: dict[str, float], words: str) -> None:
    registers(ended(ANCHOR, **numbers))
    with pytest.raises(RegistrationError, match=f"FLAIR of visit 2 cannot be brought onto the first visit: {words}"):
        place({"FLAIR": loaded(1)}, frame("FLAIR"))


def test_an_end_at_the_bounds_is_accepted(registers) -> None:
    registers(ended(ANCHOR, overlap=0.6, disagreement_mm=2.0, similarity=1.03))
    assert place({"FLAIR": loaded(1)}, frame("FLAIR")).alignments[0].moved
