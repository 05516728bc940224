"""The scene of the six-visit sample patient: built from files, and stepped through with three slice pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from TemporalGliomaRisk.resources import resource_path
from TemporalGliomaRisk.scene.host import headless_scene
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.slices import fit, slice_logics, slice_pixels
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.visit import Timeline


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Timeline, RiskResult]:
    """The sample patient and what predict says of it."""
    from TemporalGliomaRisk.commands import main  # noqa: PLC0415

    folder: Path = tmp_path_factory.mktemp("sample") / "result"
    patient = resource_path("SampleData/sub-01")
    assert main(["predict", str(patient), "--output", str(folder)]) == 0
    return read_timeline(patient), RiskResult.read(folder)


def test_six_visits_built_from_files(benchmark, sample) -> None:
    made: list[PatientScene] = []

    def clear() -> None:
        while made:
            made.pop().remove()

    def build() -> None:
        made.append(PatientScene.build(headless_scene(), *sample))

    benchmark.pedantic(build, setup=clear, rounds=3, iterations=1)
    clear()


def test_a_visit_step_with_three_slice_pictures(benchmark, sample) -> None:
    scene = headless_scene()
    patient = PatientScene.build(scene, *sample)
    logics = slice_logics(scene)
    for logic in logics:
        logic.ResizeSliceNode(640, 480)
        fit(logic.GetSliceNode(), *patient.head_box())
    patient.go_to(patient.default_ras())

    def step() -> list[np.ndarray]:
        patient.selected_visit = patient.selected_visit % len(patient.visits) + 1
        return [slice_pixels(logic) for logic in logics]

    benchmark(step)
    patient.remove()
