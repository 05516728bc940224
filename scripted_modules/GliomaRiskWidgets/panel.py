"""The panel: its four steps, what they share, and what follows when the scene changes under them."""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from TemporalGliomaRisk import RESEARCH_USE_ONLY
from TemporalGliomaRisk.errors import Cancelled, GliomaRiskError
from TemporalGliomaRisk.failures import shown_sentence_of
from TemporalGliomaRisk.scene.labels import tell_apart
from TemporalGliomaRisk.scene.patient_scene import PatientScene

from . import dependencies, layouts
from .check_step import CheckStep
from .parameters import LayoutChoice
from .review_step import ReviewStep
from .risk_logic import RiskLogic
from .run_step import RunStep
from .series_step import SeriesStep
from .wording import in_panel_words, trace_of
from .worker_session import Message, ignore

PATIENT = "GliomaRisk.patient"
"""Attribute of the sequence browsers that are patients of ours, by which the selector knows them."""
STEPS = ("seriesStep", "checkStep", "runStep", "reviewStep")
RUN = 3


class Panel:
    """Everything in the panel.

    Args:
        interface: The widget of the .ui file.
        logic: The module's logic.
        parameters: The wrapped parameter node.
    """

    def __init__(self, interface: Any, logic: RiskLogic, parameters: Any) -> None:
        self.interface = interface
        self.ui = slicer.util.childWidgetVariables(interface)
        self.logic = logic
        self.parameters = parameters
        self._patients: dict[str, PatientScene] = {}
        self._observed: tuple[Any, int] | None = None
        self._layout = parameters.layout
        self._refreshing = False
        self._closed = False
        self._document: Any = None
        self._stale = ""
        self._later = qt.QTimer()
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.connect("timeout()", self.refresh)
        self.ui.researchLabel.setText(_("{research} Never a diagnosis.").format(research=RESEARCH_USE_ONLY))
        self.ui.patientSelector.addAttribute("vtkMRMLSequenceBrowserNode", PATIENT)
        self.series = SeriesStep(self)
        self.check = CheckStep(self)
        self.run = RunStep(self)
        self.review = ReviewStep(self)
        for number, name in enumerate(STEPS, start=1):
            getattr(self.ui, name).connect(
                "contentsCollapsed(bool)", lambda collapsed, number=number: self._on_collapsed(number, collapsed)
            )
        logic.session.changed = self._on_worker
        manager = slicer.app.layoutManager()
        if manager is not None:
            manager.connect("layoutChanged(int)", self._on_layout)
        self._show_steps()

    # What the steps share

    @property
    def busy(self) -> bool:
        """Whether the worker is at work."""
        return self.logic.session.busy

    def patient_of(self, browser: Any) -> PatientScene | None:
        """The patient of a sequence browser; one object a patient, for it knows which comparisons are open."""
        if browser is None or browser.GetScene() is None:
            return None
        identifier = browser.GetID()
        known = self._patients.get(identifier)
        if known is None or known.browser is not browser:
            for patient in self.logic.patients():
                if patient.browser is browser:
                    known = self._patients[identifier] = patient
                    break
            else:
                return None
        return known

    @contextmanager
    def trying(self, say: Callable[[str], None]) -> Iterator[None]:
        """Say in the panel, in one sentence, what went wrong; an unforeseen failure also goes to the log.

        Its own text goes to neither: it may hold a path, and so a patient's name.
        """
        try:
            yield
        except GliomaRiskError as error:
            say(in_panel_words(str(error)))
        except Exception as error:  # noqa: BLE001  (the log is told, without the text)
            logging.error("Temporal Glioma Risk failed: %s at %s", type(error).__name__, trace_of(error))
            if isinstance(error, OSError):  # a disk that is full or may not be written to is no fault of the module
                say(shown_sentence_of(error))
                return
            say(
                _("Something failed in the module itself ({kind}); the log says more.").format(
                    kind=type(error).__name__
                )
            )

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Show that it takes a moment."""
        qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
            yield
        finally:
            qt.QApplication.restoreOverrideCursor()

    def ask(self, question: str, details: str) -> bool:
        """Ask the reader something that can't be decided without."""
        return bool(slicer.util.confirmOkCancelDisplay(question, _("Temporal Glioma Risk"), detailedText=details))

    def worker_can_start(self) -> bool:
        """Whether the worker has what it needs, which is installed now if the reader agrees."""
        if self._worker_has_all():
            return True
        if not dependencies.ensure_for_worker(self.ask, self.waiting):
            raise Cancelled(_("Nothing was installed. {offline}").format(offline=dependencies.offline_note()))
        self.logic.session.restart()
        return True

    @staticmethod
    def _worker_has_all() -> bool:
        wanted = (dependencies.TORCH, *dependencies.REQUIREMENTS)
        return not dependencies.is_own_python() or not dependencies.missing(wanted)

    def show_document(self, path: Path, title: str) -> None:
        """Show a text file in a window of its own that blocks nothing."""
        if slicer.util.mainWindow() is None:
            webbrowser.open(path.as_uri())
            return
        self._document = qt.QTextBrowser()
        self._document.setWindowTitle(title)
        self._document.setWindowFlags(qt.Qt.Window)
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".md" and hasattr(self._document, "setMarkdown"):
            self._document.setMarkdown(text)
        else:
            self._document.setPlainText(text)
        self._document.resize(720, 640)
        self._document.show()

    # Patients and visits

    def show_patient(self, patient: PatientScene, *, of_series: bool = False) -> None:
        """Show a patient in the viewers and in Review.

        Args:
            patient: Of the scene.
            of_series: Whether it is the one of the table in step 1.
        """
        browser = patient.browser
        browser.SetAttribute(PATIENT, "1")
        self._patients[browser.GetID()] = patient
        with slicer.util.NodeModify(self.parameters.parameterNode):
            self.parameters.patient = browser
            if of_series:
                self.parameters.series_patient = browser
        patient.apply(patient.display)
        self._observe(browser)
        if self.parameters.layout is LayoutChoice.AS_IT_IS and of_series:
            self.parameters.layout = LayoutChoice.FOUR_UP
        self._arrange()
        self.refresh()

    def show_visit(self, patient: PatientScene, number: int, sequence: str | None) -> None:
        """Show a visit, and a sequence of it where one is named."""
        patient.selected_visit = number
        if sequence is not None and sequence in patient.sequences:
            from dataclasses import replace  # noqa: PLC0415

            patient.apply(replace(patient.display, sequence=sequence))
        self.refresh()

    def forget(self, patient: PatientScene) -> None:
        """Hold nothing of a patient any more, because it is going."""
        self._observe(None)
        self.review.comparing.close()
        # Under every ID that it had: one that was renewed has another browser than before.
        self._patients = {known: other for known, other in self._patients.items() if other is not patient}
        browser = patient.browser
        with slicer.util.NodeModify(self.parameters.parameterNode):
            for name in ("patient", "series_patient"):
                if getattr(self.parameters, name) is browser:
                    setattr(self.parameters, name, None)

    def _observe(self, browser: Any) -> None:
        """Follow one browser: the slider, the player, a script or the chart may move it."""
        if self._observed is not None:
            node, tag = self._observed
            if node is browser:
                return
            node.RemoveObserver(tag)
            self._observed = None
        if browser is not None:
            tag = browser.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._on_browser())
            self._observed = (browser, tag)

    def _on_browser(self) -> None:
        self.refresh_later()

    # Steps

    def _show_steps(self) -> None:
        self._refreshing = True
        try:
            for number, name in enumerate(STEPS, start=1):
                getattr(self.ui, name).collapsed = number != self.parameters.open_step
        finally:
            self._refreshing = False

    def step_done(self, number: int) -> None:
        """Open the next step."""
        self._open(min(number + 1, len(STEPS)))
        self._show_steps()

    def _open(self, number: int) -> None:
        """A step opens; before Run the worker is warmed up, so that its devices are known and Apply starts at once."""
        self.parameters.open_step = number
        if number == RUN and not self.busy and self._worker_has_all():
            self.logic.session.warm_up()

    def _on_collapsed(self, number: int, collapsed: bool) -> None:
        if not self._refreshing and not collapsed:
            self._open(number)

    # Life

    def enter(self) -> None:
        """The module is shown: look what changed elsewhere."""
        self.scene_changed()

    def scene_closing(self) -> None:
        """The scene is about to close: release its nodes, and stop what is computed for it."""
        self._observe(None)
        self.check.abandon()
        self.run.abandon()
        if self.busy:
            self.logic.session.cancel()
        self.review.close()
        self._patients.clear()
        self.logic.forget_outputs()

    def scene_changed(self) -> None:
        """Another scene, or another state of it."""
        tell_apart(slicer.mrmlScene)
        for patient in self.logic.patients():
            patient.browser.SetAttribute(PATIENT, "1")
        found = self.patient_of(self.parameters.patient)
        if found is None:
            patients = self.logic.patients()
            browser = patients[-1].browser if patients else None
            self.parameters.patient = browser
            found = self.patient_of(browser)
        self._observe(None if found is None else found.browser)
        self._show_steps()
        self.refresh()
        if self.parameters.layout is LayoutChoice.SIDE_BY_SIDE and not self.review.comparing.is_open:
            self._arrange()  # a scene was saved so, and what stood side by side is not in it

    def refresh_later(self) -> None:
        """Refresh when Slicer has time, once for many changes."""
        if not self._closed and not self._refreshing:
            self._later.start()

    def refresh(self) -> None:
        """Show what the scene and the parameter node say."""
        if self._refreshing or self._closed or slicer.mrmlScene.IsClosing() or slicer.mrmlScene.IsImporting():
            return
        self._refreshing = True
        try:
            self.logic.forget_gone_outputs()
            patient = self.patient_of(self.parameters.patient)
            self._observe(None if patient is None else patient.browser)
            for step in (self.series, self.check, self.run, self.review):
                step.refresh()
            self._say_stale()
        finally:
            self._refreshing = False
        if self.parameters.layout is not self._layout:
            self._arrange()

    def _say_stale(self) -> None:
        """Say in every step that the table must be read first, and take it back where that was done."""
        said, self._stale = self._stale, self.series.stale
        if said == self._stale:
            return
        for label in (self.ui.seriesStatus, self.ui.checkStatus, self.ui.runStatus):
            if self._stale or label.text == said:
                label.setText(self._stale)

    def _arrange(self) -> None:
        self._layout = self.parameters.layout
        self.review.arrange(self._layout)

    def _on_layout(self, identifier: int) -> None:
        """Slicer's own menu chose a layout: the panel says which of ours is on, or none."""
        if self._closed or slicer.mrmlScene.IsClosing() or slicer.mrmlScene.IsImporting():
            return
        shown = layouts.shown()
        if shown is not None and shown is not self.parameters.layout:
            self.parameters.layout = shown

    def _on_worker(self, message: Message) -> None:
        if message["type"] == "ready":
            self.run.on_ready(message)

    def close(self) -> None:
        """Hold nothing any more."""
        self._closed = True
        self._later.stop()
        self._observe(None)
        self.logic.session.changed = ignore
        manager = slicer.app.layoutManager()
        if manager is not None:
            manager.disconnect("layoutChanged(int)", self._on_layout)
        self.review.close()
        self._patients.clear()
        if self._document is not None:
            self._document.close()
            self._document = None
        # The wrapped parameter node observes its node for as long as anyone holds it.
        self.parameters = None
