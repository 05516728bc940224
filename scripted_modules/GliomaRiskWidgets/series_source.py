"""Where step 1 takes its volumes from: the scene's patients, a folder or table, the DICOM database's patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.timeline.visit import Timeline

from . import dicom_database, scene_volumes
from .parameters import SeriesSource

PAGES = (SeriesSource.SCENE, SeriesSource.FOLDER, SeriesSource.DICOM)


class SeriesSourcePages:
    """The pages that name a source, and the timeline that lies there.

    Args:
        panel: Whose widgets, parameters and logic these are.
    """

    def __init__(self, panel: Any) -> None:
        self.panel = panel
        self.ui = panel.ui
        self._timeline: Timeline | None = None
        self._timeline_of = ""
        self._dicom_read = ""
        self._folder_shown = ""
        self.ui.folderEdit.connect("currentPathChanged(QString)", self._on_folder)
        self.ui.scenePatientCombo.connect("currentIndexChanged(int)", self._on_scene_patient)
        self.ui.dicomPatientCombo.connect("currentIndexChanged(int)", self._on_dicom_patient)
        self.ui.dicomRefreshButton.connect("clicked()", self.list_patients)

    def refresh(self) -> None:
        """Show what the parameter node says."""
        parameters = self.panel.parameters
        self.ui.sourcePages.setCurrentIndex(PAGES.index(parameters.source))
        if self._folder_shown != parameters.folder:
            # Only when it was changed elsewhere: what the reader is typing stays.
            self._folder_shown = parameters.folder
            if self.ui.folderEdit.currentPath != parameters.folder:
                self.ui.folderEdit.currentPath = parameters.folder
        self._list_scene_patients()
        if parameters.source is SeriesSource.DICOM and self.ui.dicomPatientCombo.count == 0:
            self.list_patients()

    # The scene

    @property
    def scene_patient(self) -> str:
        """The patient that was chosen, as the menu shows it: none where that one left the scene."""
        chosen = self.panel.parameters.scene_patient
        return chosen if chosen in scene_volumes.patients(slicer.mrmlScene) else ""

    def _list_scene_patients(self) -> None:
        combo = self.ui.scenePatientCombo
        names = ["", *scene_volumes.patients(slicer.mrmlScene)]
        shown = [combo.itemData(index) for index in range(combo.count)]
        blocked = combo.blockSignals(True)
        if shown != names:
            combo.clear()
            for name in names:
                combo.addItem(name or _("All volumes"), name)
        wanted = self.panel.parameters.scene_patient
        combo.setCurrentIndex(names.index(wanted) if wanted in names else 0)
        combo.blockSignals(blocked)

    def _on_scene_patient(self, index: int) -> None:
        self.panel.parameters.scene_patient = self.ui.scenePatientCombo.itemData(index) or ""

    # A folder or a table

    def _on_folder(self, path: str) -> None:
        self._folder_shown = path
        if path != self.panel.parameters.folder:
            self.panel.parameters.folder = path

    def choose_table(self) -> bool:
        """Ask for a table; gives whether one was chosen."""
        chosen = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Table of a timeline"), "", _("Tables (*.csv *.tsv)")
        )
        if chosen:
            self.panel.parameters.folder = chosen
        return bool(chosen)

    def take_typed(self) -> None:
        """Take what stands in the line, of which the path editor does not tell where it is no folder."""
        typed = self.ui.folderEdit.currentPath
        if typed:
            self.panel.parameters.folder = typed

    # The DICOM database

    def list_patients(self) -> None:
        """List the DICOM database's patients."""
        combo = self.ui.dicomPatientCombo
        blocked = combo.blockSignals(True)
        combo.clear()
        for identifier, label in dicom_database.patients():
            combo.addItem(label, identifier)
        combo.setCurrentIndex(combo.findData(self.panel.parameters.dicom_patient))
        combo.blockSignals(blocked)

    def _on_dicom_patient(self, index: int) -> None:
        self.panel.parameters.dicom_patient = str(self.ui.dicomPatientCombo.itemData(index) or "")

    # What lies there

    def forget(self) -> None:
        """Read the source again when its timeline is next needed."""
        self._timeline = None

    def timeline(self) -> Timeline:
        """The timeline of the folder or DICOM patient, read again only if another one is named.

        Raises:
            GliomaRiskError: If there is none, or it cannot be read.
        """
        parameters, path = self.panel.parameters, self.path()
        if self._timeline is None or self._timeline_of != str(path):
            self._timeline = self.panel.logic.read(path)
            self._timeline_of = str(path)
            self._dicom_read = parameters.dicom_patient if parameters.source is SeriesSource.DICOM else ""
        return self._timeline

    def path(self) -> Path:
        """Where the named source lies.

        Raises:
            GliomaRiskError: If none is named, or the DICOM patient's files cannot be had.
        """
        parameters = self.panel.parameters
        if parameters.source is SeriesSource.DICOM:
            if self._timeline is not None and self._dicom_read == parameters.dicom_patient:
                # What was imported meanwhile waits for the next Read: sessions are numbered in their order, so a row
                # of the table would be another visit.
                return Path(self._timeline_of)
            return self.panel.logic.linked_dicom(parameters.dicom_patient)
        if not parameters.folder:
            raise InputError(_("Name a folder or a table first."))
        return Path(parameters.folder)
