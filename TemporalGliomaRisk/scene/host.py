"""For hosts without a desktop: a scene with the logics that Slicer's application has."""

from __future__ import annotations

import tempfile
import types
from pathlib import Path
from typing import Any

import slicer
import vtk

LOGICS = {
    "volumes": ("Volumes", "vtkSlicerVolumesLogic"),
    "volumerendering": ("VolumeRendering", "vtkSlicerVolumeRenderingLogic"),
    "sequences": ("Sequences", "vtkSlicerSequencesLogic"),
    "subjecthierarchy": ("SubjectHierarchy", "vtkSlicerSubjectHierarchyModuleLogic"),
    "markups": ("Markups", "vtkSlicerMarkupsLogic"),
    "models": ("Models", "vtkSlicerModelsLogic"),
    "tables": ("Tables", "vtkSlicerTablesLogic"),
    "plots": ("Plots", "vtkSlicerPlotsLogic"),
    "colors": ("Colors", "vtkSlicerColorLogic"),
    "transforms": ("Transforms", "vtkSlicerTransformLogic"),
    "texts": ("Texts", "vtkSlicerTextsLogic"),
    "cameras": ("Cameras", "vtkSlicerCamerasModuleLogic"),
    "viewcontrollers": ("ViewControllers", "vtkSlicerViewControllersLogic"),
}
"""Name in ``slicer.modules``: the module's name, and its logic's class."""

SLICE_VIEWS = {
    "Red": ("Axial", (0.953, 0.290, 0.200)),
    "Green": ("Coronal", (0.431, 0.690, 0.294)),
    "Yellow": ("Sagittal", (0.929, 0.835, 0.298)),
}
"""Slicer's own three, with their orientations and colours."""
CPU_RENDERING = "vtkMRMLCPURayCastVolumeRenderingDisplayNode"

_kept: dict[str, Any] = {}
"""What must outlive :func:`headless_scene`, for MRML does not hold on to it."""


def headless_scene() -> Any:
    """The process's scene, made with its application logic where there is none; the same one at every call.

    It has Slicer's three slice views and its 3D view as nodes, so that what is set up here is what a desktop shows.
    """
    existing = getattr(slicer, "mrmlScene", None)
    if existing is not None:
        return existing
    scene = slicer.vtkMRMLScene()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    app_logic = slicer.vtkSlicerApplicationLogic()
    app_logic.SetMRMLScene(scene)
    app_logic.GetColorLogic().SetMRMLScene(scene)
    app_logic.GetColorLogic().AddDefaultColorNodes()
    app_logic.SetSliceLogics(vtk.vtkCollection())
    app_logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    complete_host(scene, app_logic)
    _add_views(scene, app_logic)
    return scene


def complete_host(scene: Any, app_logic: Any) -> None:
    """Add the logics and names that a host such as trame-slicer's lacks (Sequences, Tables, Plots, Models, Texts ...).

    ``slicer.mrmlScene`` and ``slicer.modules`` are set where they are missing.
    """
    if getattr(slicer, "mrmlScene", None) is None:
        slicer.mrmlScene = scene
    modules = getattr(slicer, "modules", None)
    if modules is None:
        modules = slicer.modules = types.SimpleNamespace()
    share = _folder("share")
    for name, (title, class_name) in LOGICS.items():
        logic = app_logic.GetModuleLogic(title)
        if logic is None:
            logic = _new_logic(class_name, scene, app_logic, share)
            app_logic.SetModuleLogic(title, logic)
            if name == "volumerendering":
                logic.SetDefaultRenderingMethod(CPU_RENDERING)
        if not hasattr(modules, name):
            setattr(modules, name, _Module(logic))
    if not scene.IsNodeClassRegistered("vtkMRMLColorLegendDisplayNode"):
        # Known to a host by Slicer's own colour logic; without it a saved scene with a legend counts as unreadable.
        scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    _kept.setdefault("app_logic", app_logic)
    if scene.GetDataIOManager() is None:
        _add_data_io(scene, app_logic)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def module_logic(name: str) -> Any:
    """Logic of a module, by its name in ``slicer.modules``."""
    return getattr(slicer.modules, name).logic()


def application_logic() -> Any:
    """The application's logic: the desktop's, or that of :func:`complete_host`."""
    app = getattr(slicer, "app", None)
    return app.applicationLogic() if app is not None else _kept.get("app_logic")


class _Module:
    """What ``slicer.modules.X`` is to the code here."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def logic(self) -> Any:
        """Its logic."""
        return self._logic


def _new_logic(class_name: str, scene: Any, app_logic: Any, share: str) -> Any:
    logic = getattr(slicer, class_name)()
    if hasattr(logic, "SetModuleShareDirectory"):
        logic.SetModuleShareDirectory(share)
    # The application logic comes before the scene: setting the scene already uses it.
    logic.SetMRMLApplicationLogic(app_logic)
    logic.SetMRMLScene(scene)
    return logic


def _folder(name: str) -> str:
    """A temporary folder that goes with the process."""
    kept = _kept.setdefault(name, tempfile.TemporaryDirectory(prefix="temporal-glioma-risk-"))
    return str(Path(kept.name))


def _add_data_io(scene: Any, app_logic: Any) -> None:
    """Without it scenes are not read from .mrb."""
    remote_io, data_io = slicer.vtkMRMLRemoteIOLogic(), slicer.vtkDataIOManagerLogic()
    for logic in (remote_io, data_io):
        logic.SetMRMLApplicationLogic(app_logic)
        logic.SetMRMLScene(scene)
    remote_io.GetCacheManager().SetRemoteCacheDirectory(_folder("cache"))
    data_io.SetAndObserveDataIOManager(remote_io.GetDataIOManager())
    remote_io.AddDataIOToScene()
    _kept["data_io"] = (remote_io, data_io)


def _add_views(scene: Any, app_logic: Any) -> None:
    for name, (orientation, colour) in SLICE_VIEWS.items():
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(app_logic)
        logic.SetMRMLScene(scene)
        node = logic.AddSliceNode(name)
        node.SetOrientation(orientation)
        node.SetLayoutColor(*colour)
        node.SetLayoutLabel(name[0])
        node.SetMappedInLayout(1)
        app_logic.GetSliceLogics().AddItem(logic)
    view_logic = slicer.vtkMRMLViewLogic()
    view_logic.SetMRMLApplicationLogic(app_logic)
    view_logic.SetMRMLScene(scene)
    view_logic.AddViewNode("1").SetMappedInLayout(1)
    app_logic.GetViewLogics().AddItem(view_logic)
    camera = slicer.vtkMRMLCameraNode()
    camera.SetLayoutName("1")
    camera.SetName("Camera")
    scene.AddNode(camera)
