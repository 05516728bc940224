"""Temporal Glioma Risk, a module of 3D Slicer: the risk of recurrence at every visit, and where it comes from.

From Slicer's Python console, without the panel::

    from GliomaRisk import GliomaRiskLogic
    logic = GliomaRiskLogic()
    patient = logic.run(logic.sample("sub-01"))  # waits; a folder or table of your own does as well
    print([(visit.days_since_first, visit.risk) for visit in patient.visits])
    logic.start(logic.sample("sub-02"), finished=lambda done: print(done.error or done.patient))  # does not wait

Research use only, trained on simulated data.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import unittest
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# In the source tree the package lies above this folder; installed, it lies beside this file, which Slicer's path has.
if (Path(__file__).parents[1] / "TemporalGliomaRisk").is_dir() and str(Path(__file__).parents[1]) not in sys.path:
    sys.path.append(str(Path(__file__).parents[1]))

from GliomaRiskWidgets import layouts
from GliomaRiskWidgets.panel import Panel
from GliomaRiskWidgets.parameters import Binding
from GliomaRiskWidgets.places import resource
from GliomaRiskWidgets.risk_logic import RiskLogic
from GliomaRiskWidgets.sample_data import register_samples

from TemporalGliomaRisk import RESEARCH_USE_ONLY


class GliomaRisk(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Temporal Glioma Risk")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Neuroimaging")]
        self.parent.dependencies = ["Sequences", "Volumes", "VolumeRendering", "Plots", "Tables", "Markups"]
        self.parent.contributors = ["The TemporalGliomaRisk developers"]
        self.parent.helpText = _(
            "Risk that a child's treated glioma recurs within a year, at every visit of a series of brain MRI, and "
            "where in the brain that number comes from. {research}"
        ).format(research=RESEARCH_USE_ONLY)
        self.parent.acknowledgementText = _(
            "The method is that of Tak D, et al. Longitudinal risk prediction for pediatric glioma with temporal deep "
            "learning. NEJM AI 2025;2(5):AIoa2400703. No weights of that work are used."
        )
        icon = resource("Icons/GliomaRisk.png")
        if icon is not None:
            self.parent.icon = qt.QIcon(str(icon))
        slicer.app.connect("startupCompleted()", on_startup)


def open_sample(name):
    """Open a sample patient in the panel, which is made now if it was not there."""
    slicer.util.getModuleWidget("GliomaRisk").panel.series.open_sample(name)


def on_startup():
    """Sample data and layouts are known before the panel is opened: a saved scene may name a layout of ours."""
    with contextlib.suppress(ImportError):  # Slicer was started without its module Sample Data
        register_samples(open_sample)
    manager = slicer.app.layoutManager()
    if manager is not None:
        layouts.register(manager.layoutLogic().GetLayoutNode())


class GliomaRiskWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel's life in Slicer: made, entered, left, and the scene closed under it."""

    def __init__(self, parent=None):
        # Slicer's base class calls setup() by itself where it is given no parent: what setup() sets is named before.
        self.logic = None
        self.panel = None
        self._binding = None
        self._interface = None
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        """Make the panel. Called when the module is opened for the first time, also without a main window."""
        ScriptedLoadableModuleWidget.setup(self)
        interface = slicer.util.loadUI(str(resource("UI/GliomaRisk.ui")))
        self.layout.addWidget(interface)
        interface.setMRMLScene(slicer.mrmlScene)
        self._interface = interface
        self.logic = GliomaRiskLogic()
        self._bind()
        self.panel = Panel(interface, self.logic, self._binding.parameters)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        for name in ("EndCloseEvent", "EndImportEvent", "EndRestoreEvent", "EndUndoEvent"):
            if hasattr(scene, name):  # undo tells of itself in newer Slicers only
                self.addObserver(scene, getattr(scene, name), self.onSceneEnd)
        self.addObserver(scene, scene.NodeAddedEvent, self.onSceneNodes)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onSceneNodes)
        self.panel.refresh()

    def _bind(self):
        """Bind the panel to the scene's parameter node, once a node."""
        node = self.logic.getParameterNode()
        # Also where it is the same node: a scene that is closed keeps it, and makes it one that undo passes over.
        node.SetUndoEnabled(True)
        if self._binding is not None and self._binding.parameters.parameterNode is node:
            # The wrapper remembers the nodes that it refers to until its own node is modified, and a scene that is
            # loaded finds them only after it.
            node.Modified()
            return
        self._unbind()
        self._binding = Binding(node, self._interface)
        self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.onParameters)

    def _unbind(self):
        if self._binding is not None:
            self.removeObserver(self._binding.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameters)
            self._binding.undo()
            self._binding = None

    def cleanup(self):
        """Slicer closes, or the module is reloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
        if self._binding is not None:
            self._binding.undo()
            self._binding = None
        if self.logic is not None:
            self.logic.close()

    def enter(self):
        """The module is shown."""
        if self.panel is not None:
            self._bind()
            self.panel.parameters = self._binding.parameters
            self.panel.enter()

    def exit(self):
        """Another module is shown; a running worker goes on, and so does what is shown in the views."""

    def onSceneStartClose(self, caller, event):
        """What the panel holds of the scene is given back while it is still there."""
        self.panel.scene_closing()

    def onSceneEnd(self, caller, event):
        """A scene was closed, loaded or undone: the parameter node may be another one."""
        self._bind()
        self.panel.parameters = self._binding.parameters
        self.panel.scene_changed()

    def onSceneNodes(self, caller, event):
        """Nodes came or went."""
        self.panel.refresh_later()

    def onParameters(self, caller, event):
        """The reader set something, here or by a script."""
        self.panel.refresh_later()

    def onReload(self):
        """Reload the helpers with the module; Slicer reloads this file alone."""
        for name in [name for name in sys.modules if name.split(".")[0] == "GliomaRiskWidgets"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class GliomaRiskLogic(ScriptedLoadableModuleLogic, RiskLogic):
    """The module without its panel; see the example at the top of this file."""


class GliomaRiskTest(ScriptedLoadableModuleTest):
    """The whole scenario on the sample patient, in Slicer."""

    def setUp(self):
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run every scenario; called by Slicer's "Reload and Test" and by its self-tests."""
        for name in ("test_panel_without_result", "test_scripted_risk"):
            self.setUp()
            try:
                getattr(self, name)()
            except unittest.SkipTest as skipped:
                logging.warning("%s was skipped: %s", name, skipped)

    def test_panel_without_result(self):
        """The sample patient opens, and a removed visit comes back."""
        from GliomaRiskWidgets.self_test import panel_scenario  # noqa: PLC0415

        panel_scenario(self, slicer.util.getModuleWidget("GliomaRisk"))

    def test_scripted_risk(self):
        """A risk is computed and shown, and nothing is left when it is removed."""
        from GliomaRiskWidgets.self_test import risk_scenario  # noqa: PLC0415

        risk_scenario(self, GliomaRiskLogic(), slicer.util.getModuleWidget("GliomaRisk").panel)
