"""What the reader set, typed, in the module's parameter node: it is saved with the scene and found again in it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

from .visits import DayKind, VisitRow, from_json, to_json

VOLUME_REFERENCE = "GliomaRisk.volume"
"""Role of the parameter node's references to volumes of the scene, with a number behind it: a role of its own each, so
that the others keep their numbers when one is removed. The IDs follow when a scene is loaded."""


class SeriesSource(Enum):
    """Where a patient's visits come from."""

    SCENE = "scene"
    FOLDER = "folder"
    DICOM = "dicom"

    def label(self) -> str:
        """As the menu shows it."""
        return {
            SeriesSource.SCENE: _("Volumes in the scene"),
            SeriesSource.FOLDER: _("Folder or table"),
            SeriesSource.DICOM: _("DICOM database"),
        }[self]


class DayChoice(Enum):
    """How days are told in the table of visits."""

    DATE = DayKind.DATE
    SINCE_TREATMENT = DayKind.SINCE_TREATMENT
    SINCE_FIRST = DayKind.SINCE_FIRST

    def label(self) -> str:
        """As the menu shows it."""
        return {
            DayChoice.DATE: _("Date"),
            DayChoice.SINCE_TREATMENT: _("Days since treatment"),
            DayChoice.SINCE_FIRST: _("Days since first visit"),
        }[self]


class Registration(Enum):
    """Whether visits are moved onto the first one before they are compared."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"

    def label(self) -> str:
        """As the menu shows it."""
        return {
            Registration.AUTO: _("Where needed"),
            Registration.ALWAYS: _("Always"),
            Registration.NEVER: _("Never (trust headers)"),
        }[self]


class LayoutChoice(Enum):
    """The layouts of the module."""

    AS_IT_IS = "as-it-is"
    FOUR_UP = "four-up"
    VOLUME = "volume"
    SIDE_BY_SIDE = "side-by-side"

    def label(self) -> str:
        """As the menu shows it."""
        return {
            LayoutChoice.AS_IT_IS: _("Slicer's own"),
            LayoutChoice.FOUR_UP: _("Four-up with chart"),
            LayoutChoice.VOLUME: _("3D with strip"),
            LayoutChoice.SIDE_BY_SIDE: _("Side by side"),
        }[self]


@parameterNodeWrapper
class GliomaRiskParameters:
    """Everything that the panel must find again in a saved scene; how a patient is shown lies with the patient."""

    source: SeriesSource = SeriesSource.SCENE
    scene_patient: str = ""
    folder: str = ""
    dicom_patient: str = ""
    day_choice: DayChoice = DayChoice.DATE
    visits: str = ""
    table_source: SeriesSource = SeriesSource.SCENE
    table_path: str = ""
    volume_count: int = 0
    findings: str = ""
    checked_visits: str = ""
    computed_table: str = ""
    model: str = ""
    device: str = "auto"
    registration: Registration = Registration.AUTO
    layout: LayoutChoice = LayoutChoice.AS_IT_IS
    open_step: int = 1
    series_patient: slicer.vtkMRMLNode
    patient: slicer.vtkMRMLNode


def rows_of(parameters: Any) -> tuple[VisitRow, ...]:
    """The table of visits as the parameter node keeps it."""
    return from_json(parameters.visits)


def save_for_undo(parameters: Any) -> None:
    """Let Slicer's own undo lead back to the parameters as they are now, where it is switched on."""
    scene = parameters.parameterNode.GetScene()
    if scene is not None and scene.GetUndoFlag():
        scene.SaveStateForUndo()


def set_rows(parameters: Any, rows: tuple[VisitRow, ...]) -> None:
    """Keep the table of visits, so that Slicer's own undo knows of it where that is switched on."""
    text = to_json(rows)
    if text != parameters.visits:
        save_for_undo(parameters)
        parameters.visits = text


def set_series(parameters: Any, rows: tuple[VisitRow, ...], kind: DayKind, volumes: list[Any] | None = None) -> None:
    """Keep the table of another series, with all that belongs to the series before gone.

    Slicer's undo leads back to before all of it: the rows of one series never stand with the source of another.

    Args:
        parameters: The wrapped parameter node.
        rows: The table, of the source that is named now.
        kind: How its days are told.
        volumes: Of the scene, by whose place in the list the rows refer to them; None where the rows are of files.
    """
    save_for_undo(parameters)
    if volumes is not None:
        set_volumes(parameters, volumes)
    parameters.series_patient = None
    parameters.findings = ""
    parameters.checked_visits = ""
    parameters.day_choice = DayChoice(kind)
    keep_source(parameters)
    parameters.visits = to_json(rows)


def named_source(parameters: Any) -> tuple[SeriesSource, str]:
    """The source that is named now, and of it the folder, table or DICOM patient; nothing more for the scene."""
    source = parameters.source
    if source is SeriesSource.DICOM:
        return source, parameters.dicom_patient
    if source is SeriesSource.FOLDER and parameters.folder:
        # The path editor may write a path in its own way, which is no other folder.
        return source, str(Path(parameters.folder))
    return source, ""


def keep_source(parameters: Any) -> None:
    """Keep that the table of visits is of the source that is named now."""
    parameters.table_source, parameters.table_path = named_source(parameters)


def is_of_named_source(parameters: Any) -> bool:
    """Whether the table of visits was read from the source that is named now."""
    return (parameters.table_source, parameters.table_path) == named_source(parameters)


def set_volumes(parameters: Any, volumes: list[Any]) -> None:
    """Refer to volumes of the scene by number, in their order."""
    node = parameters.parameterNode
    for index in range(parameters.volume_count):
        node.RemoveNodeReferenceIDs(VOLUME_REFERENCE + str(index))
    for index, volume in enumerate(volumes):
        node.SetNodeReferenceID(VOLUME_REFERENCE + str(index), volume.GetID())
    parameters.volume_count = len(volumes)


def volume_of(parameters: Any, number: str) -> Any:
    """The volume with a reference number, None where it is gone."""
    return parameters.parameterNode.GetNodeReference(VOLUME_REFERENCE + number) if number else None


def number_of(parameters: Any, volume: Any) -> str:
    """A volume's reference number, given one if it has none."""
    for index in range(parameters.volume_count):
        if volume_of(parameters, str(index)) is volume:
            return str(index)
    index = parameters.volume_count
    parameters.parameterNode.SetNodeReferenceID(VOLUME_REFERENCE + str(index), volume.GetID())
    parameters.volume_count = index + 1
    return str(index)


def _bound_widgets(panel: Any) -> dict[str, Any]:
    """The panel's widgets that show a parameter, by its name."""
    widgets = vars(slicer.util.childWidgetVariables(panel)).values()
    return {str(name): widget for widget in widgets if (name := widget.property("SlicerParameterName"))}


class Binding:
    """A parameter node wrapped once and bound to a panel; undone in full.

    Slicer's wrapper observes its node for each panel bound to it and keeps no tag, so the observation would stay for
    the session: it is noted here, and removed with the rest. Its ``connectGui`` gives no tag back either, by which
    widgets are let go of again, so the widgets are gathered here.
    """

    def __init__(self, node: Any, panel: Any = None) -> None:
        self.parameters = GliomaRiskParameters(node)
        self._tags: list[int] = []
        self._panel_tag: Any = None
        if panel is not None:
            self._bind(panel)

    def _bind(self, panel: Any) -> None:
        node = self.parameters.parameterNode

        def observe(event: Any, callback: Any, priority: float = 0.0) -> int:
            tag = node.AddObserver(event, callback, priority)
            self._tags.append(tag)
            return int(tag)

        self.parameters.AddObserver = observe
        try:
            self._panel_tag = self.parameters.connectParametersToGui(_bound_widgets(panel))
        finally:
            del self.parameters.AddObserver

    def undo(self) -> None:
        """Take everything back that was bound."""
        if self._panel_tag is not None:
            self.parameters.disconnectGui(self._panel_tag)
            self._panel_tag = None
        for tag in self._tags:
            self.parameters.parameterNode.RemoveObserver(tag)
        self._tags.clear()
