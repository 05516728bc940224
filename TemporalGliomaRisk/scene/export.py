"""A timeline and its result as one scene file, for ``predict --scene``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import vtk

from TemporalGliomaRisk.progress import ProgressListener, ignore_progress
from TemporalGliomaRisk.scene.host import headless_scene
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.views import arrange_views
from TemporalGliomaRisk.timeline.visit import Timeline


def write_scene(
    timeline: Timeline, result_folder: Path, path: Path, *, progress: ProgressListener = ignore_progress
) -> None:
    """Write a scene that any Slicer opens at the highest place of the highest map.

    Args:
        timeline: Whose volumes go into the scene.
        result_folder: What predict wrote of it.
        path: The .mrb, which appears whole or not at all.
        progress: Told after every visit.

    Raises:
        InputError: If a volume or result cannot be read.
        GliomaRiskError: If Slicer cannot write the scene.
    """
    with _quiet():
        scene = headless_scene()
        patient = PatientScene.build(scene, timeline, RiskResult.read(result_folder), progress=progress)
        try:
            arrange_views(patient, scene)
            patient.save(path)
        finally:
            patient.remove()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' remarks from the terminal: what fails is known by return values, and told in a sentence."""
    window, verbosity = vtk.vtkOutputWindow.GetInstance(), vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkOutputWindow.SetInstance(vtk.vtkStringOutputWindow())
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        vtk.vtkLogger.SetStderrVerbosity(verbosity)
        vtk.vtkOutputWindow.SetInstance(window)
