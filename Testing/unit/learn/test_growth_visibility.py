"""What a reader sees who is shown the very growth that he looks for: Testing/science/growth_visibility.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TemporalGliomaRisk.preprocess.prepared import Frame, IntensityScale, PreparedVisit
from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.patient import render_visit
from TemporalGliomaRisk.simulate.truth import draw_truth
from TemporalGliomaRisk.timeline.volume import Geometry

SHAPE = (32, 36, 28)
GRID = Geometry(shape=SHAPE, ijk_to_ras=np.diag([2.0, 2.0, 2.0, 1.0]))


@pytest.fixture
def visibility(science):
    return science("growth_visibility")


def prepared(intensities: np.ndarray, present: list[bool]) -> PreparedVisit:
    return PreparedVisit(
        intensities=intensities.astype(np.float32),
        present=np.array(present),
        visit_ras_to_frame_ras=np.eye(4),
        reference_sequence="FLAIR",
        reference_geometry=GRID,
        alignments=(),
        findings=(),
    )


def three_visits(contrast: float, *, present: tuple[bool, ...] = (True, False, False, True)):
    """A first visit, a later one with a ball of some contrast in FLAIR, and the same without; smooth noise in both."""
    random = np.random.default_rng(4)
    brain = np.zeros(SHAPE, bool)
    brain[3:29, 3:33, 3:25] = True
    frame = Frame(
        grid=GRID,
        brain_mask=brain,
        references={},
        scales={"FLAIR": IntensityScale(centre=0.0, scale=1.0)},
    )
    first, still = random.normal(0, 0.2, (2, 4, *SHAPE)) * brain
    drift = np.linspace(-1, 1, SHAPE[0])[:, None, None] * brain
    still[0] += drift
    grown = still.copy()
    middle = np.array([20, 11, 17])
    ball = ((np.indices(SHAPE) - middle[:, None, None, None]) ** 2).sum(axis=0) <= 2.3**2
    grown[0] += contrast * ball
    kept = list(present)
    return prepared(first, kept), prepared(grown, kept), prepared(still, kept), frame


def test_strong_growth_is_visible_and_faint_growth_is_not(visibility) -> None:
    strong, faint = (visibility.response(*three_visits(contrast)) for contrast in (1.5, 0.02))
    assert strong.visible
    assert not faint.visible
    assert strong.z > 5 > faint.z


def test_the_response_rises_in_proportion_to_the_contrast(visibility) -> None:
    one, two, none = (visibility.response(*three_visits(contrast)).z for contrast in (0.4, 0.8, 1e-6))
    # The template has the contrast of what it looks for: its response rises with the square of it, its noise with it.
    assert (two - none) == pytest.approx(2 * (one - none), rel=0.05)


def test_growth_that_shows_in_no_common_sequence_gives_no_response(visibility) -> None:
    first, grown, still, frame = three_visits(1.5, present=(True, False, False, True))
    lacking = replace(first, present=np.array([False, False, False, True]))
    assert visibility.response(lacking, grown, still, frame) is None


def test_without_growth_a_patient_is_the_same_but_for_what_grew(visibility) -> None:
    config = SimulationConfig(sequences=("FLAIR",))
    truth = next(one for one in (draw_truth(config, 3, number) for number in range(1, 40)) if one.event_observed)
    twin = visibility.without_growth(truth)
    assert twin.diameters_at(10_000.0) == truth.diameters_at(0.0)
    assert visibility.growth_mm(twin, len(truth.visit_days) - 1) == dict.fromkeys(truth.diameters_at(0.0), 0.0)
    first, same = (render_visit(one, 0).volumes["FLAIR"].voxels for one in (truth, twin))
    assert np.array_equal(first, same)


def record(*, event: bool, sizes: list[float], visible: list[bool]) -> dict:
    visits = [
        {
            "day": 120 * number,
            "diameters_mm": {"focus": size},
            "growth_mm": {"focus": size - sizes[0]},
            "z": None if size == sizes[0] else 9.0,
            "higher_share": 0.0,
            "visible": seen,
        }
        for number, (size, seen) in enumerate(zip(sizes, visible, strict=True))
    ]
    return {"event_observed": event, "follow_up_days": 120 * len(sizes) + (30 if event else 900), "visits": visits}


def test_a_reader_who_is_shown_nothing_ranks_by_chance_and_one_who_sees_all_as_the_ideal_observer(visibility) -> None:
    random = np.random.default_rng(1)
    patients = [
        (event, [0.0, 2.0 * event, 6.0 * event + random.uniform(0, 1)]) for event in (True, False) for _ in range(40)
    ]
    seen = visibility.measure([record(event=e, sizes=s, visible=[False, True, True]) for e, s in patients], 20)
    assert seen["readers"]["seeing_what_shows"] == seen["readers"]["ideal_observer"]
    unseen = visibility.measure([record(event=e, sizes=s, visible=[False] * 3) for e, s in patients], 20)
    ideal, blind = (unseen["readers"][name]["3 visits"]["value"] for name in ("ideal_observer", "seeing_what_shows"))
    assert ideal > 0.95
    assert 0.3 < blind < 0.7
    of_two, of_six = (unseen["growth"][visibility.BINS_MM.index(size)]["visits"] for size in (2.0, 6.0))
    assert (of_two, of_six) == (40, 40)
