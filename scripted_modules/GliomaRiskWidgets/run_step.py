"""Step 3, Run: model, device, Apply that becomes Cancel, and how far the worker has come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from TemporalGliomaRisk.scene.result import RiskResult

from .staging import Staged
from .wording import in_panel_words
from .worker_session import Listeners, Message


def stage_label(stage: str) -> str:
    """A stage of the work as the progress bar shows it."""
    return {
        "start": _("Starting the worker"),
        "read": _("Reading"),
        "check": _("Checking"),
        "prepare": _("Preparing"),
        "encode": _("Computing"),
        "predict": _("Computing"),
        "write": _("Writing"),
        "scene": _("Building the scene"),
    }.get(stage, stage)


def time_left(seconds: float | None) -> str:
    """A guess of the time left, no finer than it is known; empty where it is not."""
    if seconds is None:
        return ""
    if seconds < 60:
        return _("about {seconds} s left").format(seconds=max(5, 5 * round(seconds / 5)))
    return _("about {minutes} min left").format(minutes=round(seconds / 60))


class RunStep:
    """The third step of the panel."""

    def __init__(self, panel: Any) -> None:
        self.panel = panel
        self.ui = panel.ui
        self._staged: Staged | None = None
        self._replacing: Any = None
        self._table: tuple[Any, ...] = ()
        self._abandoned = False
        self._models = panel.logic.models()
        ui = self.ui
        for model in self._models:
            ui.modelCombo.addItem(model.name, model.folder.name)
        ui.deviceCombo.addItem(_("Automatic"), "auto")
        ui.deviceCombo.addItem(_("Processor (CPU)"), "cpu")
        ui.modelCombo.connect("currentIndexChanged(int)", self._on_model)
        ui.deviceCombo.connect("currentIndexChanged(int)", self._on_device)
        ui.modelCardButton.connect("clicked()", self.show_card)
        ui.modelLicenceButton.connect("clicked()", self.show_licence)
        ui.applyButton.connect("clicked()", self.apply_or_cancel)

    def refresh(self) -> None:
        """Show what the parameter node and the worker say."""
        parameters = self.panel.parameters
        self._select(self.ui.modelCombo, parameters.model)
        self._select(self.ui.deviceCombo, parameters.device)
        running = self._staged is not None
        self.ui.applyButton.setText(_("Cancel") if running else _("Apply"))
        self.ui.applyButton.enabled = running or (self.panel.series.ready and not self.panel.busy)
        for name in ("modelCombo", "deviceCombo", "registrationCombo"):
            getattr(self.ui, name).enabled = not self.panel.busy
        if self._model is not None:
            self.ui.modelCombo.setToolTip(self._model.caveat)

    @staticmethod
    def _select(combo: Any, data: str) -> None:
        blocked = combo.blockSignals(True)
        combo.setCurrentIndex(max(combo.findData(data), 0))
        combo.blockSignals(blocked)

    def _on_model(self, index: int) -> None:
        self.panel.parameters.model = str(self.ui.modelCombo.itemData(index) or "")

    def _on_device(self, index: int) -> None:
        self.panel.parameters.device = str(self.ui.deviceCombo.itemData(index) or "auto")

    def on_ready(self, message: Message) -> None:
        """The worker told its devices."""
        combo = self.ui.deviceCombo
        blocked = combo.blockSignals(True)
        for device in message.get("devices", []):
            index = combo.findData(device["name"])
            if index >= 0:
                combo.setItemText(index, device["label"])
            else:
                combo.addItem(device["label"], device["name"])
        combo.blockSignals(blocked)
        self.refresh()

    @property
    def _model(self) -> Any:
        name = self.panel.parameters.model
        return next((model for model in self._models if model.folder.name == name), next(iter(self._models), None))

    def show_card(self) -> None:
        """Open the model's card."""
        self._open("card")

    def show_licence(self) -> None:
        """Open the model's licence."""
        self._open("licence")

    def _open(self, what: str) -> None:
        model = self._model
        path = None if model is None else getattr(model, what)
        if path is None or not path.is_file():
            self._say(_("This model has no such document."))
            return
        self.panel.show_document(path, model.name)

    def apply_or_cancel(self) -> None:
        """Compute the risk, or stop computing it."""
        if self._staged is not None:
            self.panel.logic.session.cancel()
            self.ui.applyButton.enabled = False
            self._say(_("Cancelling…"))
            return
        with self.panel.trying(self._say):
            if not self.panel.worker_can_start():
                return
            with self.panel.waiting():
                self._staged = self.panel.series.stage(self._say)
            # What the reader does meanwhile, loading a scene included, changes nothing of what is replaced.
            self._replacing = self.panel.patient_of(self.panel.parameters.series_patient)
            self._table = self.panel.series.state
            parameters, model = self.panel.parameters, self._model
            self.panel.logic.session.predict(
                self._staged.path,
                self.panel.logic.temporary_folder("result"),
                Listeners(progress=self._on_progress, result=self._on_result, error=self._on_error),
                model=None if model is None else model.folder,
                device=parameters.device,
                register=parameters.registration.value,
            )
            self._say(_("Starting the worker…"))
            self.ui.runProgress.setValue(0)
            self.ui.runProgress.setVisible(True)
            self.panel.refresh()

    def abandon(self) -> None:
        """The scene goes: what comes back of a run under way belongs to no scene any more."""
        self._abandoned = self._staged is not None

    def _on_progress(self, message: Message) -> None:
        self.ui.runProgress.setValue(round(100 * message["fraction"]))
        left = time_left(message.get("seconds_left"))
        parts = [stage_label(str(message["stage"])), str(message["message"]), left]
        self._say(" · ".join(part for part in parts if part))

    def _on_result(self, message: Message) -> None:
        staged, self._staged = self._staged, None
        with self.panel.trying(self._say), self.panel.waiting():
            if staged is not None and self._abandoned:
                self._say(_("The scene was closed, and the risk computed for it was dropped."))
            elif staged is not None:
                self._say(_("Building the scene…"))
                self._show(staged, message)
        self._ended(staged)

    def _show(self, staged: Staged, message: Message) -> None:
        folder = Path(str(message["output"]))
        known = self._replacing
        gone = known is None or known.browser is None or known.browser.GetScene() is None
        patient = self.panel.logic.open_series(
            staged.timeline, RiskResult.read(folder), replacing=None if gone else known
        )
        self.panel.logic.keep_output(patient, folder)
        of_series = self._table == self.panel.series.state
        if of_series:
            self.panel.series.keep_computed()
        self.panel.show_patient(patient, of_series=of_series)
        said = [
            _("Done in {seconds} s on the {device}.").format(
                seconds=round(float(message["seconds"])),
                device=_("graphics card") if message["device"] == "cuda" else _("processor"),
            )
        ]
        said += [note["message"] for note in message["notes"] if note["code"] == "gpu_failed"]
        if not of_series:
            said.append(_("The table of visits was changed meanwhile: this is the risk of the table as it was."))
        self._say(" ".join(said))
        self.panel.step_done(3)

    def _on_error(self, message: Message) -> None:
        staged, self._staged = self._staged, None
        cancelled = message["kind"] == "cancelled"
        self._say(_("Cancelled. Nothing was changed.") if cancelled else in_panel_words(str(message["message"])))
        if message.get("findings") and not self._abandoned and self._table == self.panel.series.state:
            self.panel.check.keep_findings(list(message["findings"]))
        self._ended(staged)

    def _ended(self, staged: Staged | None) -> None:
        if staged is not None:
            staged.remove()
        self._replacing, self._abandoned = None, False
        self.ui.runProgress.setVisible(False)
        self.panel.refresh()

    def _say(self, sentence: str) -> None:
        self.ui.runStatus.setText(sentence)
