"""Step 2, Check: what would make the risk wrong, a line each; and the visits brought onto the first one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from TemporalGliomaRisk.errors import GliomaRiskError
from TemporalGliomaRisk.scene.result import moves_of

from . import visits
from .parameters import SeriesSource, rows_of, volume_of
from .staging import Staged
from .tables import on_return
from .wording import in_panel_words
from .worker_session import Listeners, Message

SEVERITIES = ("refusal", "warning", "note")


def severity_label(severity: str) -> str:
    """A severity as a reader says it."""
    return {"refusal": _("Refused"), "warning": _("Warning"), "note": _("Note")}.get(severity, severity)


class CheckStep:
    """The second step of the panel."""

    def __init__(self, panel: Any) -> None:
        self.panel = panel
        self.ui = panel.ui
        self._staged: Staged | None = None
        self._rows: tuple[visits.VisitRow, ...] = ()
        self._table: tuple[Any, ...] = ()
        self._abandoned = False
        self._shown = ""
        self._outdated = False
        self.ui.checkButton.connect("clicked()", self.check_or_cancel)
        self.ui.registerButton.connect("clicked()", self.register)
        self.ui.findingsList.connect("clicked(QModelIndex)", lambda index: self._on_finding(index.row()))
        on_return(self.ui.findingsList, lambda: self._on_finding(self.ui.findingsList.currentRow))

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What the last check or registration found, worst first."""
        try:
            found = json.loads(self.panel.parameters.findings or "[]")
        except ValueError:
            return []
        order = {name: place for place, name in enumerate(SEVERITIES)}
        return sorted(found, key=lambda one: order.get(one.get("severity"), len(SEVERITIES)))

    def refresh(self) -> None:
        """Show what the parameter node says."""
        parameters = self.panel.parameters
        if parameters.findings != self._shown:
            self._shown = parameters.findings
            self._fill()
        ready = self.panel.series.ready and not self.panel.busy
        running = self._staged is not None
        self.ui.checkButton.setText(_("Cancel") if running else _("Check series"))
        self.ui.checkButton.enabled = running or ready
        self.ui.registerButton.enabled = ready and len(visits.used(rows_of(parameters))) > 1
        self._say_outdated(running)

    def _say_outdated(self, running: bool) -> None:
        """Say once that the findings are of another table, and take it back where they are of this one again."""
        parameters, said = self.panel.parameters, _("The table of visits was changed since this check.")
        outdated = bool(parameters.checked_visits) and parameters.checked_visits != parameters.visits
        if not running and outdated != self._outdated:
            self._outdated = outdated
            if outdated:
                self._say(said)
            elif self.ui.checkStatus.text == said:
                self._say("")

    def _fill(self) -> None:
        style = self.ui.findingsList.style()
        icons = {
            "refusal": style.standardIcon(qt.QStyle.SP_MessageBoxCritical),
            "warning": style.standardIcon(qt.QStyle.SP_MessageBoxWarning),
            "note": style.standardIcon(qt.QStyle.SP_MessageBoxInformation),
        }
        self.ui.findingsList.clear()
        for line, one in enumerate(self.findings):
            # The list makes its items itself: one made here would be Python's to delete in some builds of PythonQt.
            self.ui.findingsList.addItem(in_panel_words(one["message"]))
            item = self.ui.findingsList.item(line)
            item.setIcon(icons.get(one["severity"], qt.QIcon()))
            item.setToolTip(severity_label(one["severity"]))

    def check_or_cancel(self) -> None:
        """Look the series over, or stop what this step asked for: a check or a registration."""
        if self._staged is None:
            self.check()
            return
        self.panel.logic.session.cancel()
        self.ui.checkButton.enabled = False
        self._say(_("Cancelling…"))

    def check(self) -> None:
        """Ask the worker to look the series over."""
        self._ask(lambda staged, listeners: self.panel.logic.session.check(staged.path, listeners))

    def register(self) -> None:
        """Ask the worker to align the visits, as a risk begins."""
        self._ask(lambda staged, listeners: self.panel.logic.session.register(staged.path, listeners))

    def abandon(self) -> None:
        """The scene goes: what comes back of a request under way belongs to no scene any more."""
        self._abandoned = self._staged is not None

    def _ask(self, ask: Any) -> None:
        with self.panel.trying(self._say):
            if not self.panel.worker_can_start():
                return
            rows = rows_of(self.panel.parameters)
            self._rows = visits.in_order(visits.used(rows), self.panel.parameters.day_choice.value)
            with self.panel.waiting():
                self._staged = self.panel.series.stage(self._say)
            self._table = self.panel.series.state
            self._say(_("Starting…"))
            ask(self._staged, Listeners(progress=self._on_progress, result=self._on_result, error=self._on_error))
            self.ui.checkProgress.setVisible(True)
            self.panel.refresh()

    def _on_progress(self, message: Message) -> None:
        self.ui.checkProgress.setValue(round(100 * message["fraction"]))
        self._say(str(message["message"]))

    def _on_result(self, message: Message) -> None:
        staged = self._staged
        with self.panel.trying(self._say):
            if self._abandoned:
                self._say("")
            elif self._table != self.panel.series.state:
                self._say(_("The table of visits was changed meanwhile. Check it again."))
            elif message["request"] == "check":
                self.keep_findings(message["check"]["findings"])
                refused = bool(message["check"]["refused"])
                if refused:
                    self._say(_("No risk can be computed until what is refused is corrected."))
                else:
                    self._say(_("Nothing is refused.") if self.findings else _("Nothing wrong was found."))
                if not refused:
                    self.panel.step_done(2)
            elif staged is not None:
                self._registered(message["registration"], staged)
        self._ended()

    def _on_error(self, message: Message) -> None:
        cancelled = message["kind"] == "cancelled"
        if not (cancelled or self._abandoned) and self._table == self.panel.series.state:
            self.keep_findings(message.get("findings") or [])
        said = _("Cancelled. Nothing was changed.") if cancelled else in_panel_words(str(message["message"]))
        self._say("" if self._abandoned else said)
        self._ended()

    def keep_findings(self, findings: list[dict[str, Any]]) -> None:
        """Keep what was found, and of which table of visits."""
        self.panel.parameters.findings = json.dumps(findings, ensure_ascii=False)
        self.panel.parameters.checked_visits = self.panel.parameters.visits

    def _ended(self) -> None:
        if self._staged is not None:
            self._staged.remove()
            self._staged = None
        self._abandoned = False
        self.ui.checkProgress.setVisible(False)
        self.ui.checkProgress.setValue(0)
        self.panel.refresh()

    def _registered(self, registration: dict[str, Any], staged: Staged) -> None:
        """Show the visits aligned: their volumes lie under transforms, nothing is resampled."""
        self.keep_findings(list(registration["findings"]))
        moves = moves_of(registration["alignments"])
        known = self.panel.patient_of(self.panel.parameters.series_patient)
        if self.panel.parameters.table_source is SeriesSource.SCENE:
            for row, visit in zip(self._rows, staged.timeline.visits, strict=True):
                for sequence, number in row.volumes.items():
                    volume = volume_of(self.panel.parameters, number)
                    name = _("Registration of {session}, {sequence}").format(
                        session=visit.session_id, sequence=sequence
                    )
                    move = moves.get(visit.session_id, {}).get(sequence, np.eye(4))
                    self.panel.logic.place(volume, move, name)
        elif known is not None and known.has_risk:
            self._say(
                _("Every visit can be aligned with the first. The patient shown stays where its risk was computed.")
            )
            return
        else:
            patient = self.panel.logic.open_series(staged.timeline, replacing=known, moves=moves)
            self.panel.show_patient(patient, of_series=True)
        self._say(_("Every visit is aligned with the first. Apply does the same by itself."))

    def _on_finding(self, line: int) -> None:
        """Show the volume that a finding is about."""
        found = self.findings
        if not 0 <= line < len(found):
            return
        visit, sequence = found[line].get("visit"), found[line].get("sequence")
        if visit is None:
            return
        with self.panel.trying(self._say):
            self._show_volume(int(visit), sequence)

    def _show_volume(self, visit: int, sequence: str | None) -> None:
        parameters = self.panel.parameters
        patient = self.panel.patient_of(parameters.series_patient)
        rows = visits.in_order(visits.used(rows_of(parameters)), parameters.day_choice.value)
        if patient is not None and visit <= len(patient.visits):
            self.panel.show_visit(patient, visit, sequence)
        elif parameters.table_source is SeriesSource.SCENE and visit <= len(rows):
            row = rows[visit - 1]
            number = row.volumes.get(sequence or "", next(iter(row.volumes.values()), ""))
            volume = volume_of(parameters, number)
            if volume is not None:
                slicer.util.setSliceViewerLayers(background=volume, foreground=None, fit=True)
        else:
            raise GliomaRiskError(_("Open the series first (step 1) to see this volume."))

    def _say(self, sentence: str) -> None:
        self.ui.checkStatus.setText(sentence)
