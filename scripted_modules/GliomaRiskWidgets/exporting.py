"""What leaves Slicer: report, table, scene, maps as NIfTI, DICOM objects; what is ours names no patient or date."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from TemporalGliomaRisk.errors import Cancelled, InputError
from TemporalGliomaRisk.scene.patient_scene import PatientScene

from . import dependencies, scene_volumes
from .export_files import already_there, export_dicom, export_heatmaps, export_report, export_table
from .parameters import DayChoice, rows_of
from .visits import to_json, without_dates

KINDS = ("report", "table", "heatmaps", "scene", "dicom")


def kind_label(kind: str) -> str:
    """A kind of export as the menu shows it."""
    return {
        "report": _("Report (HTML)"),
        "table": _("Risk table (TSV)"),
        "heatmaps": _("Maps (NIfTI)"),
        "scene": _("Scene (MRB)"),
        "dicom": _("DICOM Segmentation and Parametric Map"),
    }[kind]


class Exporting:
    """The group "Export" of the panel."""

    def __init__(self, panel: Any) -> None:
        self.panel = panel
        self.ui = panel.ui
        for kind in KINDS:
            self.ui.exportCombo.addItem(kind_label(kind), kind)
        self.ui.exportButton.connect("clicked()", self.export)

    def refresh(self, patient: PatientScene | None) -> None:
        """Nothing can be written without a patient."""
        for name in ("exportCombo", "exportButton", "exportFolderEdit"):
            getattr(self.ui, name).enabled = patient is not None

    def export(self) -> None:
        """Write what is chosen into the folder that is named."""
        patient = self.panel.review.patient
        kind = str(self.ui.exportCombo.itemData(self.ui.exportCombo.currentIndex))
        with self.panel.trying(self._say):
            if patient is None:
                raise InputError(_("No patient is open."))
            folder = _folder_of(self.ui.exportFolderEdit.currentPath)
            if not self._may_write(kind, patient, folder):
                raise Cancelled(_("Nothing was written."))
            if kind == "dicom" and not dependencies.ensure_for_dicom_export(self.panel.ask):
                raise Cancelled(_("Nothing was written."))
            with self.panel.waiting():
                names = self.write(kind, patient, folder)
            said = _("Written: {names}").format(names=", ".join(names))
            self._say(f"{said}. {self._foreign()}" if kind == "scene" else said)

    def _may_write(self, kind: str, patient: PatientScene, folder: Path) -> bool:
        there = already_there(kind, patient, folder)
        return not there or self.panel.ask(
            _("{count} of the names to write are in this folder already. Write over them?").format(count=len(there)),
            "\n".join(there),
        )

    def write(self, kind: str, patient: PatientScene, folder: Path) -> list[str]:
        """Write one kind of export.

        Returns:
            Names of the files or folders written, inside ``folder``.

        Raises:
            GliomaRiskError: If there is nothing of that kind, or it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        output = self.panel.logic.output_of(patient)
        if kind == "report":
            return export_report(output, patient, folder)
        if kind == "table":
            return export_table(output, patient, folder)
        if kind == "heatmaps":
            return export_heatmaps(patient, folder)
        if kind == "dicom":
            return export_dicom(patient, folder)
        path = folder / f"{patient.label}.mrb"
        with self._without_dates():
            patient.save(path)
        return [path.name]

    def _foreign(self) -> str:
        """What a scene holds that is not ours: it is saved as it was loaded, names included."""
        count = len(scene_volumes.candidates(slicer.mrmlScene))
        if any(patient.identified for patient in self.panel.logic.patients()):
            return _("A result was asked for with the input's names, and they are in it.")
        if not count:
            return _("It holds nothing that names the patient or a date.")
        return _(
            "Volumes loaded from elsewhere ({count}) are in it with their own names: remove them first if they tell "
            "who the patient is."
        ).format(count=count)

    @contextmanager
    def _without_dates(self) -> Any:
        """Days in place of dates, and no path, in the parameter node while the scene is written.

        The table is set past :func:`set_rows`: Slicer's undo must not lead to what was for the file alone.
        """
        parameters = self.panel.parameters
        choice = parameters.day_choice
        names = ("visits", "folder", "dicom_patient", "scene_patient", "table_path", "checked_visits", "computed_table")
        kept = {name: getattr(parameters, name) for name in names}
        with slicer.util.NodeModify(parameters.parameterNode):
            try:
                parameters.visits = to_json(without_dates(rows_of(parameters), choice.value))
                if choice is DayChoice.DATE:
                    parameters.day_choice = DayChoice.SINCE_FIRST
                for name in names[1:]:
                    setattr(parameters, name, "")
                yield
            finally:
                parameters.day_choice = choice
                for name, value in kept.items():
                    setattr(parameters, name, value)

    def _say(self, sentence: str) -> None:
        self.ui.exportStatus.setText(sentence)


def _folder_of(typed: str) -> Path:
    """The folder that was named, there or not: nothing is written into whatever folder Slicer was started in.

    Raises:
        InputError: If none is named, only a part of its path, or a file.
    """
    if not typed:
        raise InputError(_("Name a folder to write to first."))
    folder = Path(typed).expanduser()
    if not folder.is_absolute():
        raise InputError(_("Name the folder to write to by its whole path."))
    if folder.exists() and not folder.is_dir():
        raise InputError(_("What is named is a file, not a folder. Name a folder to write to."))
    return folder
