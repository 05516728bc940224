"""Step 4, Review: the risk of every visit, the maps, and where the reader looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from TemporalGliomaRisk.numbers import days, percent, percent_range
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.scene_visit import SceneVisit, visit_index
from TemporalGliomaRisk.scene.settings import MapKind

from . import layouts
from .chart_clicks import ChartClicks
from .compare import Comparing
from .exporting import Exporting
from .map_legend import legend
from .parameters import LayoutChoice
from .review_tables import ReviewTables
from .risk_strip import RiskStrip

RENDERINGS = ("surface", "volume", "off")
RECORDING = ("pushButton_VcrRecord", "pushButton_Snapshot")
"""Buttons of Slicer's player of a sequence browser, by the names in its .ui file."""


def map_label(kind: MapKind | None) -> str:
    """A map as the menu shows it."""
    if kind is None:
        return _("None")
    return {
        MapKind.RISK: _("Risk"),
        MapKind.CHANGE: _("Change since previous visit"),
        MapKind.CHANGE_FROM_FIRST: _("Change since first visit"),
    }[kind]


def headline(visit: SceneVisit, count: int) -> str:
    """The visit in one line, as rich text."""
    since = (
        _("day {days} after treatment").format(days=visit.days_since_treatment)
        if visit.days_since_treatment is not None
        else _("day {days} after the first visit").format(days=visit.days_since_first)
    )
    place = _("Visit {number} of {count}, {since}").format(number=visit.number, count=count, since=since)
    if visit.risk is None:
        return f"<b>{place}</b><br>" + _("No risk yet. Apply computes it.")
    risk = _("Risk {risk} within 365 days").format(risk=percent(visit.risk))
    spread = _("ensemble's range {range}, this visit alone {alone}").format(
        range=percent_range(visit.risk_low, visit.risk_high), alone=percent(visit.single_visit_risk)
    )
    said = ", ".join(part for part in (risk, visit.certainty) if part)
    return f"{place}<br><b>{said}</b> ({spread})"


def slim_player(player: Any) -> None:
    """Leave out of Slicer's player what has no place here: recording, which would write into the visits, and keys.

    The player in Slicer's toolbar has the same keys, and two shortcuts of one key cancel each other.
    """
    if hasattr(player, "recordingControlsVisible"):
        player.recordingControlsVisible = False
    for button in player.findChildren(qt.QPushButton):
        if button.objectName in RECORDING:
            button.hide()
    for shortcut in player.findChildren(qt.QShortcut):
        shortcut.enabled = False
    layout = player.layout()
    if layout is not None:
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)


class ReviewStep:
    """The fourth step of the panel."""

    def __init__(self, panel: Any) -> None:
        self.panel = panel
        self.ui = panel.ui
        self._shown_of: Any = None
        self._listed: list[str] = []
        self._filling = False
        self.strip = RiskStrip(self.ui.stripFrame, self.go_to_visit)
        self.tables = ReviewTables(panel, self.go_to_peak)
        self.comparing = Comparing(panel)
        self.exporting = Exporting(panel)
        self.clicks = ChartClicks(self.go_to_visit, self._days)
        self._make_seek_widgets()
        self._connect()

    def _make_seek_widgets(self) -> None:
        """Slicer's own slider and player of a sequence browser; they cannot be named in a .ui file everywhere."""
        layout = qt.QVBoxLayout(self.ui.seekFrame)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.seek = slicer.qMRMLSequenceBrowserSeekWidget()
        self.play = slicer.qMRMLSequenceBrowserPlayWidget()
        slim_player(self.play)
        for widget in (self.seek, self.play):
            widget.setMRMLScene(slicer.mrmlScene)
            # Both ask for more than a panel of 400 pixels has; they can do with less.
            widget.setMinimumWidth(1)
            widget.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
            layout.addWidget(widget)

    def _connect(self) -> None:
        ui = self.ui
        for choice in RENDERINGS:
            label = {"surface": _("Surfaces"), "volume": _("Volumes (ray cast)"), "off": _("Nothing")}[choice]
            ui.renderingCombo.addItem(label, choice)
        ui.patientSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_patient)
        ui.removePatientButton.connect("clicked()", self.remove_patient)
        ui.sequenceCombo.connect("currentIndexChanged(int)", self._on_display)
        ui.mapCombo.connect("currentIndexChanged(int)", self._on_display)
        ui.renderingCombo.connect("currentIndexChanged(int)", self._on_display)
        ui.opacitySlider.connect("valueChanged(double)", self._on_display)
        ui.thresholdSlider.connect("valueChanged(double)", self._on_display)

    @property
    def patient(self) -> PatientScene | None:
        """The patient shown."""
        return self.panel.patient_of(self.panel.parameters.patient)

    def refresh(self) -> None:
        """Show what the scene says."""
        patient = self.patient
        browser = None if patient is None else patient.browser
        self._select_patient(browser)
        if browser is not self._shown_of:
            self._shown_of = browser
            self.seek.setMRMLSequenceBrowserNode(browser)
            self.play.setMRMLSequenceBrowserNode(browser)
        for name in ("removePatientButton", "stripFrame", "seekFrame", "sequenceCombo", "mapCombo", "opacitySlider"):
            getattr(self.ui, name).enabled = patient is not None
        for name in ("thresholdSlider", "renderingCombo"):
            getattr(self.ui, name).enabled = patient is not None
        self._show_visit(patient)
        self._fill_display(patient)
        self.tables.show(patient)
        self.comparing.refresh(patient)
        self.exporting.refresh(patient)
        self.follow_chart()

    def _select_patient(self, browser: Any) -> None:
        """Choose a patient in the selector without being told of it."""
        selector = self.ui.patientSelector
        listed = sorted(patient.browser.GetID() for patient in self.panel.logic.patients())
        if selector.currentNode() is browser and listed == self._listed:
            return
        blocked = selector.blockSignals(True)
        if listed != self._listed and hasattr(selector, "sortFilterProxyModel"):
            # The attribute that it filters by came after the node, and a node that was filtered out is not listened to.
            selector.sortFilterProxyModel().invalidate()
        self._listed = listed
        selector.setCurrentNode(browser)
        selector.blockSignals(blocked)

    def _show_visit(self, patient: PatientScene | None) -> None:
        if patient is None:
            self.strip.show((), 0)
            self.ui.visitHeadline.setText(_("No patient is open. Open a series (step 1) or apply a model (step 3)."))
            self.ui.visitNotes.setText("")
            return
        visits = patient.visits
        visit = visits[patient.selected_visit - 1]
        self.strip.show(visits, visit.number)
        self.ui.visitHeadline.setText(headline(visit, len(visits)))
        notes = [one.message for one in patient.warnings if one.severity == "warning"]
        if visit.gap_days is not None:
            notes.append(_("{gap} after the previous visit.").format(gap=days(visit.gap_days)))
        notes += [one.message for one in visit.warnings if one.severity == "warning"]
        self.ui.visitNotes.setText(" ".join(notes))

    def _fill_display(self, patient: PatientScene | None) -> None:
        self._filling = True
        try:
            display = None if patient is None else patient.display
            kinds: list[MapKind | None] = [None, *([] if patient is None else patient.map_kinds)]
            sequences = () if patient is None else patient.sequences
            _fill(self.ui.sequenceCombo, [(name, name) for name in sequences])
            _fill(self.ui.mapCombo, [(map_label(kind), "" if kind is None else kind.value) for kind in kinds])
            sheet, text, check = "", "", ""
            if patient is not None and display is not None:
                kind = display.map_kind
                _select(self.ui.sequenceCombo, display.sequence)
                _select(self.ui.mapCombo, "" if kind is None else kind.value)
                _select(self.ui.renderingCombo, display.volume_rendering)
                self.ui.opacitySlider.value = round(100 * display.opacity)
                self.ui.thresholdSlider.value = round(100 * display.threshold)
                if kind is not None:
                    sheet, text = legend(kind, patient.scale_top(kind), display.threshold)
                    check = patient.heatmap_check or ""
            self.ui.legendLabel.setStyleSheet(sheet)
            self.ui.legendLabel.setText(text)
            self.ui.mapCheckLabel.setText(check)
            self.ui.mapCheckLabel.setVisible(bool(check))
        finally:
            self._filling = False

    def show_difference(self, kind: MapKind | None) -> None:
        """Show the scale of the difference of two visits, below the map's; none where no difference is shown."""
        patient = self.patient
        sheet, text = "", ""
        if kind is not None and patient is not None:
            sheet, text = legend(kind, patient.scale_top(kind), patient.display.threshold)
        self.ui.differenceLabel.setStyleSheet(sheet)
        self.ui.differenceLabel.setText(_("Difference: {scale}").format(scale=text) if text else "")
        self.ui.differenceLabel.setVisible(bool(text))

    def _on_display(self, *unused: Any) -> None:
        patient = self.patient
        if self._filling or patient is None:
            return
        kind = str(self.ui.mapCombo.itemData(self.ui.mapCombo.currentIndex) or "")
        with self.panel.trying(self.ui.visitNotes.setText):
            patient.apply(
                replace(
                    patient.display,
                    sequence=str(self.ui.sequenceCombo.itemData(self.ui.sequenceCombo.currentIndex)),
                    map_kind=MapKind(kind) if kind else None,
                    opacity=self.ui.opacitySlider.value / 100.0,
                    threshold=self.ui.thresholdSlider.value / 100.0,
                    volume_rendering=str(self.ui.renderingCombo.itemData(self.ui.renderingCombo.currentIndex)),
                )
            )
            self._fill_display(patient)

    def _on_patient(self, node: Any) -> None:
        if self.panel.parameters is None:
            return  # closed: a module that is reloaded leaves its old widgets hidden, and they go on telling
        patient = self.panel.patient_of(node)
        if patient is None:
            self.panel.refresh_later()  # a patient goes by Close patient: the selector goes back to the one shown
        elif node is not self.panel.parameters.patient:
            self.panel.show_patient(patient)

    def remove_patient(self) -> None:
        """Take the patient out of the scene."""
        patient = self.patient
        if patient is not None:
            self.panel.forget(patient)
            patient.remove()
            self.panel.scene_changed()
            other = self.patient
            if other is not None:
                self.panel.show_patient(other)  # in the viewers, too, which its going left empty

    # Where the reader looks

    def go_to_visit(self, number: int) -> None:
        """Show a visit."""
        patient = self.patient
        if patient is not None:
            patient.selected_visit = number

    def go_to_peak(self, name: str) -> None:
        """Jump to a peak of the visit shown."""
        patient = self.patient
        if patient is not None:
            patient.go_to(patient.peak_ras(patient.selected_visit, name))

    def _days(self) -> list[float]:
        patient = self.patient
        return [] if patient is None else [float(value) for value in visit_index(patient.visits).values]

    def arrange(self, choice: LayoutChoice) -> None:
        """Switch the viewers to a layout, with what belongs into it."""
        patient = self.patient
        if choice is LayoutChoice.SIDE_BY_SIDE:
            self.comparing.open()
            return
        self.comparing.close()
        layouts.switch_to(choice)
        if patient is not None and layouts.shown() is not None:
            # Views that the layout has just made show nothing yet.
            patient.apply(patient.display)
        if patient is not None and layouts.shown() in layouts.IDENTIFIERS:
            slicer.util.resetSliceViews()
            slicer.util.resetThreeDViews()
            patient.go_to(patient.default_ras())
        self.follow_chart()

    def follow_chart(self) -> None:
        """Show the chart where a layout has a place for it, and listen to clicks on it."""
        patient = self.patient
        self.clicks.follow(layouts.show_chart(None if patient is None else patient.chart()))

    def close(self) -> None:
        """Listen no more."""
        self.clicks.close()
        self.comparing.close()


def _fill(combo: Any, entries: list[tuple[str, str]]) -> None:
    """Give a combo box its entries, if it has others."""
    if [combo.itemData(index) for index in range(combo.count)] != [data for _text, data in entries]:
        combo.clear()
        for text, data in entries:
            combo.addItem(text, data)


def _select(combo: Any, data: str) -> None:
    combo.setCurrentIndex(combo.findData(data))
