"""Scenes without a desktop."""

from __future__ import annotations

import subprocess
import sys

import slicer

from TemporalGliomaRisk.scene.host import LOGICS, application_logic, complete_host, headless_scene, module_logic
from TemporalGliomaRisk.scene.slices import nodes_of_class, slice_logics


def test_the_headless_scene_is_one_and_has_slicers_views_and_logics(scene) -> None:
    count = scene.GetNumberOfNodes()

    assert headless_scene() is scene
    assert slicer.mrmlScene is scene
    assert scene.GetNumberOfNodes() == count
    names = {node.GetLayoutName(): node.GetOrientation() for node in nodes_of_class(scene, "vtkMRMLSliceNode")}
    assert names == {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
    assert len(slice_logics(scene)) == 3
    for name, (_, class_name) in LOGICS.items():
        assert module_logic(name).IsA(class_name)
        assert module_logic(name).GetMRMLScene() is scene


def test_completing_a_host_twice_changes_nothing(scene) -> None:
    before = [module_logic(name) for name in LOGICS]
    count = scene.GetNumberOfNodes()
    complete_host(scene, application_logic())

    assert [module_logic(name) for name in LOGICS] == before
    assert scene.GetNumberOfNodes() == count


def test_the_scenes_code_needs_no_torch_no_drawing_library_and_no_schema_checker() -> None:
    code = (
        "import sys, TemporalGliomaRisk.scene.export;"
        "wrong = {'torch', 'monai', 'matplotlib', 'jsonschema', 'trame', 'trame_slicer', 'pydicom'} & set(sys.modules);"
        "assert not wrong, wrong"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
