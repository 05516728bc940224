"""Step 1, Series: which volumes of which visit, from the scene, a folder or the DICOM database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from TemporalGliomaRisk.errors import Cancelled, GliomaRiskError, InputError, VolumeError
from TemporalGliomaRisk.numbers import days
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.timeline.visit import SequenceName, Timeline

from . import scene_volumes, visits
from .guessing import GuessedVisits, are_of_several_patients, guess_visits
from .parameters import (
    SeriesSource,
    is_of_named_source,
    number_of,
    rows_of,
    set_rows,
    set_series,
    volume_of,
)
from .series_source import SeriesSourcePages
from .staging import Staged, stage_read, stage_scene
from .visit_table import VisitTable

TABLE_WIDGETS = (
    *("sourceCombo", "sampleButton", "scenePatientCombo", "findVolumesButton", "folderEdit", "tableFileButton"),
    *("readFolderButton", "dicomPatientCombo", "dicomRefreshButton", "readDicomButton"),
    *("visitsTable", "dayChoiceCombo"),
)
"""What changes the table or where it comes from: not while the worker is at work on it."""


class SeriesStep:
    """The first step of the panel."""

    def __init__(self, panel: Any) -> None:
        self.panel = panel
        self.ui = panel.ui
        self.source = SeriesSourcePages(panel)
        self.table = VisitTable(
            self.ui.visitsTable,
            day_changed=self._on_day,
            included_changed=self._on_included,
            sequence_clicked=self._on_sequence,
        )
        self._connect()
        self._fill_samples()

    def _connect(self) -> None:
        ui = self.ui
        ui.findVolumesButton.connect("clicked()", self.find_volumes)
        ui.readFolderButton.connect("clicked()", self._read_typed)
        ui.tableFileButton.connect("clicked()", self._read_chosen_table)
        ui.readDicomButton.connect("clicked()", self.read_dicom)
        ui.addVisitButton.connect("clicked()", self._add_visit)
        ui.removeVisitButton.connect("clicked()", self.remove_visit)
        ui.undoRemoveButton.connect("clicked()", self.undo_remove)
        ui.openSeriesButton.connect("clicked()", self.open_series)
        ui.visitsTable.connect("itemSelectionChanged()", self._show_buttons)

    def _fill_samples(self) -> None:
        menu = qt.QMenu(self.ui.sampleButton)
        for name, label in self.panel.logic.samples().items():
            action = menu.addAction(label)
            action.connect("triggered()", lambda name=name: self.open_sample(name))
        self.ui.sampleButton.setMenu(menu)

    # What the parameter node says

    @property
    def rows(self) -> tuple[visits.VisitRow, ...]:
        """The table of visits."""
        return rows_of(self.panel.parameters)

    @property
    def kind(self) -> visits.DayKind:
        """How its days are told."""
        return self.panel.parameters.day_choice.value

    @property
    def stale(self) -> str:
        """What to press where the table is of another source than is named now; empty where it is of this one."""
        if not self.rows or is_of_named_source(self.panel.parameters):
            return ""
        if self.panel.parameters.source is SeriesSource.SCENE:
            return _("The table is not of the volumes in the scene. Press Find volumes.")
        return _("The table is not of the source that is named now. Press Read.")

    @property
    def state(self) -> tuple[Any, ...]:
        """What tells the table as it is now from any other: an answer of the worker belongs to the one it was asked."""
        parameters = self.panel.parameters
        return parameters.visits, self.kind, parameters.table_source, parameters.table_path

    def keep_computed(self) -> None:
        """Keep that the risk of the series' patient is of the table as it is now."""
        self.panel.parameters.computed_table = self._text()

    def _text(self) -> str:
        return f"{self.kind.value} {self.panel.parameters.visits}"

    @property
    def ready(self) -> bool:
        """Whether the table can be handed on as it is."""
        rows = self.rows
        return bool(visits.used(rows)) and not visits.problems(rows, self.kind) and not self.stale

    def refresh(self) -> None:
        """Show what the parameter node says."""
        self.source.refresh()
        self.table.show(self.rows, self.kind, self._volume_name, self.panel.parameters.table_source)
        self._show_buttons()

    def _show_buttons(self) -> None:
        free = not self.panel.busy
        for name in TABLE_WIDGETS:
            getattr(self.ui, name).enabled = free
        in_scene = self.panel.parameters.source is SeriesSource.SCENE and not self.stale
        self.ui.addVisitButton.enabled = in_scene and free
        self.ui.removeVisitButton.enabled = self.table.selected_key() is not None and free
        self.ui.undoRemoveButton.enabled = visits.last_removed(self.rows) is not None and free
        self.ui.openSeriesButton.enabled = self.ready and free

    def _volume_name(self, row: visits.VisitRow, sequence: SequenceName) -> str:
        number = row.volumes.get(sequence, "")
        volume = volume_of(self.panel.parameters, number) if number else None
        return volume.GetName() if volume is not None else ""

    # Reading

    def _read_chosen_table(self) -> None:
        if self.source.choose_table():
            self.read_folder()

    def _read_typed(self) -> None:
        self.source.take_typed()
        self.read_folder()

    def _free(self) -> bool:
        """Whether another series may be read now, which is said where it may not."""
        if self.panel.busy:
            self._say(_("The worker is at work on this table. Wait until it has ended, or cancel it."))
        return not self.panel.busy

    def find_volumes(self) -> None:
        """Make the table from the volumes of the scene."""
        if not self._free():
            return
        parameters = self.panel.parameters
        nodes = scene_volumes.candidates(slicer.mrmlScene, self.source.scene_patient)
        found = scene_volumes.describe(slicer.mrmlScene, nodes)
        if not self.source.scene_patient and are_of_several_patients(found):
            sentences = (
                _("The scene holds volumes of several patients. Choose one of them, then press Find volumes."),
                _("If they are one patient's, put them under one patient in the Data module first."),
            )
            self._say(" ".join(sentences))
            return
        guessed = guess_visits(found)
        self._say(_left_out(guessed))
        set_series(parameters, guessed.rows, guessed.kind, nodes)
        self.refresh()

    def read_folder(self) -> None:
        """Read the folder or table."""
        self._read()

    def read_dicom(self) -> None:
        """Read the chosen patient of the DICOM database."""
        with self.panel.trying(self._say):
            if not self.panel.parameters.dicom_patient:
                raise InputError(_("Choose a patient of the DICOM database first."))
            self._read()

    def open_sample(self, name: str) -> None:
        """Read a sample patient, and show it."""
        if not self._free():
            return
        parameters = self.panel.parameters
        parameters.source = SeriesSource.FOLDER
        parameters.folder = str(self.panel.logic.sample(name))
        self.read_folder()
        self.open_series()

    def _read(self) -> None:
        if not self._free():
            return
        self.source.forget()
        self.panel.refresh()  # what the new name leads to is said before what reading it leads to
        with self.panel.trying(self._say), self.panel.waiting():
            timeline = self.source.timeline()
            rows, kind = visits.rows_of_timeline(timeline)
            set_series(self.panel.parameters, rows, kind)
            self.refresh()
            self._say(_summary(timeline))

    # Editing

    def _on_day(self, key: str, text: str) -> None:
        rows = visits.changed(self.rows, key, day=text.strip())
        set_rows(self.panel.parameters, visits.in_order(rows, self.kind))

    def _on_included(self, key: str, included: bool) -> None:
        set_rows(self.panel.parameters, visits.changed(self.rows, key, included=included))

    def _on_sequence(self, key: str, sequence: SequenceName) -> None:
        row = next((row for row in self.rows if row.key == key), None)
        if row is None or self.stale:
            return
        if self.panel.parameters.source is SeriesSource.SCENE:
            self._ask_volume(row, sequence)
        elif sequence in row.volumes:
            self._set_volume(row, sequence, None)
        elif sequence in self._sequences_read(row):
            self._set_volume(row, sequence, "")

    def _sequences_read(self, row: visits.VisitRow) -> tuple[SequenceName, ...]:
        try:
            timeline = self.source.timeline()
        except GliomaRiskError as error:
            self._say(str(error))
            return ()
        if not visits.is_visit_read(row, timeline):
            self._say(_("This visit is on another day in the series now. Press Read."))
            return ()
        return next((visit.sequences for visit in timeline.visits if visit.session_id == row.key), ())

    def _ask_volume(self, row: visits.VisitRow, sequence: SequenceName) -> None:
        """A menu of the scene's volumes at the mouse."""
        menu = qt.QMenu(self.ui.visitsTable)
        menu.setAttribute(qt.Qt.WA_DeleteOnClose)
        menu.addAction(_("None")).connect("triggered()", lambda: self._set_volume(row, sequence, None))
        menu.addSeparator()
        for node in scene_volumes.candidates(slicer.mrmlScene, self.source.scene_patient):
            action = menu.addAction(node.GetName().replace("&", "&&"))  # one alone would underline what follows
            identifier = node.GetID()
            action.connect("triggered()", lambda identifier=identifier: self._choose_volume(row, sequence, identifier))
        menu.popup(qt.QCursor.pos())

    def _choose_volume(self, row: visits.VisitRow, sequence: SequenceName, node_id: str) -> None:
        node = slicer.mrmlScene.GetNodeByID(node_id)
        if node is not None:
            self._set_volume(row, sequence, number_of(self.panel.parameters, node))

    def _set_volume(self, row: visits.VisitRow, sequence: SequenceName, number: str | None) -> None:
        volumes = {name: value for name, value in row.volumes.items() if name != sequence}
        if number is not None:
            volumes[sequence] = number
        set_rows(self.panel.parameters, visits.changed(self.rows, row.key, volumes=volumes))

    def _add_visit(self) -> None:
        keys = {row.key for row in self.rows}
        key = next(str(number) for number in range(1, len(keys) + 2) if str(number) not in keys)
        set_rows(self.panel.parameters, (*self.rows, visits.VisitRow(key=key)))

    def remove_visit(self) -> None:
        """Take the selected visit out of the table."""
        key = self.table.selected_key()
        if key is not None:
            set_rows(self.panel.parameters, visits.with_removed(self.rows, key))

    def undo_remove(self) -> None:
        """Bring back the visit that was removed last."""
        row = visits.last_removed(self.rows)
        if row is not None:
            rows = visits.changed(self.rows, row.key, removed=False)
            set_rows(self.panel.parameters, visits.in_order(rows, self.kind))

    # Handing on

    def stage(self, say: Callable[[str], None]) -> Staged:
        """The timeline as the table has it now, for the worker and for the scene.

        Args:
            say: Told how far writing has come; Slicer's window is drawn meanwhile.

        Raises:
            GliomaRiskError: If the table is not ready or of another source, or a volume cannot be read.
        """
        if self.stale:
            raise InputError(self.stale)

        def told(number: int, count: int) -> None:
            say(_("Writing volume {number} of {count}…").format(number=number, count=count))
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)

        folder = self.panel.logic.temporary_folder("series")
        if self.panel.parameters.source is SeriesSource.SCENE:
            return stage_scene(self.rows, self.kind, folder, self._write, told=told)
        return stage_read(self.rows, self.kind, self.source.timeline(), self.source.path(), folder, told=told)

    def _write(self, row: visits.VisitRow, sequence: SequenceName, path: Path) -> None:
        node = volume_of(self.panel.parameters, row.volumes[sequence])
        if node is None or node.GetImageData() is None:
            raise VolumeError(
                _(
                    "{sequence} of a visit is no longer in the scene. Click its cell in the table to choose a volume."
                ).format(sequence=sequence)
            )
        scene_volumes.write_hardened(node, path)

    def open_series(self) -> None:
        """Show the visits in the viewers, and go on to the next step; a risk goes only where the reader agrees."""
        known = self.panel.patient_of(self.panel.parameters.series_patient)
        with self.panel.trying(self._say):
            if known is None or not known.has_risk:
                patient = self._build(known)
            elif self.panel.parameters.computed_table == self._text():
                patient = known
            elif self._may_replace():
                patient = self._build(known)
            else:
                raise Cancelled(_("Nothing was changed."))
            self.panel.show_patient(patient, of_series=True)
            self.panel.step_done(1)

    def _build(self, known: PatientScene | None) -> PatientScene:
        with self.panel.waiting():
            staged = self.stage(self._say)
            try:
                return self.panel.logic.open_series(staged.timeline, replacing=known)
            finally:
                staged.remove()

    def _may_replace(self) -> bool:
        return self.panel.ask(
            _("The risk shown is of the table as it was. Open the series as the table is now, without a risk?"),
            _("The risk, its maps and its report leave the scene. Apply computes the risk of the table as it is now."),
        )

    def _say(self, sentence: str) -> None:
        self.ui.seriesStatus.setText(sentence)


def _left_out(guessed: GuessedVisits) -> str:
    """What of the scene is not in the table, and why; empty where all is."""
    if not guessed.rows:
        return " ".join(
            [
                _("No volume of the scene could be told to be FLAIR, T2w, T1w or contrast-enhanced T1w."),
                _("Add a visit and click its sequences to choose volumes."),
            ]
        )
    said = []
    if guessed.untold:
        said.append(_("{count} volumes were left out: their sequence is not told.").format(count=guessed.untold))
    if guessed.doubled:
        said.append(
            _("{count} volumes were left out: their visit has another volume of that sequence already.").format(
                count=guessed.doubled
            )
        )
    return " ".join(said)


def _summary(timeline: Timeline) -> str:
    """What was read, and what the reader noticed, in a line or two."""
    span = timeline.visits[-1].days_since_first
    read = _("{count} visits over {span} read.").format(count=len(timeline.visits), span=days(span))
    warnings = [finding.message for finding in timeline.findings if finding.severity.value == "warning"]
    return " ".join([read, *warnings])
