"""One patient in a scene: built from a timeline and a result, shown, changed, saved, found again and removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import vtk

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.progress import ProgressListener, ignore_progress
from TemporalGliomaRisk.scene.building import Moves, fill
from TemporalGliomaRisk.scene.copies import Comparison, VisitRow
from TemporalGliomaRisk.scene.hierarchy import remove_hierarchy
from TemporalGliomaRisk.scene.record import SceneRecord
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.result_visit import ResultWarning
from TemporalGliomaRisk.scene.saving import write_mrb
from TemporalGliomaRisk.scene.scene_visit import SceneVisit
from TemporalGliomaRisk.scene.settings import DisplaySettings, MapKind
from TemporalGliomaRisk.scene.showing import free_composites, hide, show, shown_window, window_of
from TemporalGliomaRisk.scene.slices import jump, set_layers
from TemporalGliomaRisk.scene.three_d import fit_grey
from TemporalGliomaRisk.scene.volumes import array_of
from TemporalGliomaRisk.timeline.visit import Timeline
from TemporalGliomaRisk.timeline.volume import FloatArray

__all__ = ["Comparison", "PatientScene", "SceneVisit", "VisitRow"]


class PatientScene:
    """A patient's nodes. All state lives in them, so that a loaded scene is a patient again.

    Args:
        record: The node that refers to all others; see :meth:`build` and :meth:`all_in`.
    """

    def __init__(self, record: SceneRecord) -> None:
        self._record = record
        self._copies: list[Comparison | VisitRow] = []

    @classmethod
    def build(
        cls,
        scene: Any,
        timeline: Timeline,
        result: RiskResult | None = None,
        *,
        moves: Moves | None = None,
        progress: ProgressListener = ignore_progress,
    ) -> PatientScene:
        """Make a patient's nodes and show its last visit.

        Args:
            scene: vtkMRMLScene of a complete host (the desktop's, or after ``host.complete_host``).
            timeline: Whose volumes are read.
            result: What predict wrote of it. Without it there are the volumes alone.
            moves: Where a registration without a risk put the volumes, by session and sequence: RAS to the first
                visit's RAS.
            progress: Told after every visit; may raise :class:`errors.Cancelled`.

        Raises:
            InputError: If a volume or map cannot be read, or the result is of another timeline. Nothing is left then.
        """
        record = SceneRecord.new(scene, timeline.patient_id)
        patient = cls(record)
        try:
            fill(record, timeline, result, progress, moves)
            patient.selected_visit = len(patient.visits)
            patient.apply(patient._default_display())
        except BaseException:
            patient.remove()
            raise
        return patient

    @classmethod
    def all_in(cls, scene: Any) -> list[PatientScene]:
        """Every patient found in a scene, also after loading it from a file."""
        return [cls(record) for record in SceneRecord.all_in(scene) if record.find("browser") is not None]

    def update(self, timeline: Timeline, result: RiskResult | None = None, *, moves: Moves | None = None) -> None:
        """A visit was added or removed, or a result arrived.

        The visit selected (by its session), the display settings and the slices' places are kept; proxy nodes are new.

        Raises:
            InputError: As :meth:`build`; the patient is then removed.
        """
        session, display = self.visits[self.selected_visit - 1].session_id, self.display
        had_maps = bool(self.map_kinds)
        self._empty()
        try:
            fill(self._record, timeline, result, ignore_progress, moves)
            numbers = {visit.session_id: visit.number for visit in self.visits}
            self.selected_visit = numbers.get(session, len(numbers))
            default = self._default_display()
            if display.sequence not in self.sequences:
                display = default
            elif had_maps != bool(self.map_kinds):  # which map is a choice only where there are maps
                display = replace(display, map_kind=default.map_kind)
            self.apply(display)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Take everything of this patient out of the scene."""
        self._empty()
        self._record.remove()

    def _empty(self) -> None:
        for copies in tuple(self._copies):
            copies.close()
        owned = {node.GetID() for node in self._record.owned()}
        for composite in free_composites(self._record.scene):
            if {composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()} & owned:
                set_layers(composite, None, None, 0.0)
        remove_hierarchy(self._record)
        self._record.remove_owned()

    def save(self, path: Path) -> None:
        """Write the whole scene as .mrb, whole or not at all."""
        write_mrb(self._record.scene, path)

    # What it is

    @property
    def patient(self) -> str:
        """BIDS label."""
        return str(self._record.get("patient"))

    @property
    def label(self) -> str:
        """The BIDS label, numbered where the scene has another patient of that label: for names of nodes and files."""
        return self._record.label

    @property
    def identified(self) -> bool:
        """Whether patient and visits are called as the input calls them, because the result was asked for so."""
        return bool(self._record.get("identified"))

    @property
    def research_use_only(self) -> str:
        """The sentence that goes with every number of the model that gave the risk."""
        return self._record.research_use_only

    @property
    def visits(self) -> tuple[SceneVisit, ...]:
        """Oldest first."""
        return tuple(SceneVisit.from_json(content) for content in self._record.get("visits"))

    @property
    def has_risk(self) -> bool:
        """Whether a risk of any visit was computed."""
        return any(visit.risk is not None for visit in self.visits)

    @property
    def warnings(self) -> tuple[ResultWarning, ...]:
        """What the checks found about the timeline as a whole; a visit has its own."""
        return tuple(ResultWarning(**one) for one in self._record.get("warnings") or ())

    @property
    def sequences(self) -> tuple[str, ...]:
        """Pulse sequences that any visit has."""
        return tuple(self._record.get("sequences"))

    @property
    def heatmap_check(self) -> str | None:
        """How alike maps of random weights are, a sentence to show beside every map; None where nothing says."""
        said = self._record.get("heatmap_check")
        return None if said is None else str(said)

    @property
    def map_kinds(self) -> tuple[MapKind, ...]:
        """Maps that any visit has; empty without a result or with --no-heatmaps."""
        return tuple(MapKind(value) for value in self._record.get("map_kinds"))

    def kinds_of(self, visit_number: int) -> tuple[MapKind, ...]:
        """Maps that a visit has."""
        self._check_visit(visit_number)
        return tuple(MapKind(value) for value in self._record.get("maps_of_visits").get(str(visit_number), ()))

    @property
    def browser(self) -> Any:
        """Its vtkMRMLSequenceBrowserNode; the master sequence has an item a visit."""
        return self._record.find("browser")

    def volume(self, sequence: str | None = None) -> Any:
        """Proxy vtkMRMLScalarVolumeNode of the selected visit; None where no visit has that sequence.

        Where this visit lacks it, it is blank: see ``volumes.is_empty``.

        Args:
            sequence: The one shown by default.
        """
        return self._record.find(f"proxy.volume.{sequence or self.display.sequence}")

    def map(self, kind: MapKind) -> Any:
        """Proxy of a map at the selected visit; None where there is no such map; all zero where this visit lacks it."""
        return self._record.find(f"proxy.map.{kind.value}")

    def peaks(self) -> Any:
        """Proxy vtkMRMLMarkupsFiducialNode of the selected visit's peaks; None without a result."""
        return self._record.find("proxy.peaks")

    def chart(self) -> Any:
        """The vtkMRMLPlotChartNode; None without a result."""
        return self._record.find("chart")

    def text(self) -> Any:
        """The vtkMRMLTextNode: model, caveats, warnings."""
        return self._record.find("text")

    def report(self) -> str | None:
        """The report that was written with the risk, as HTML; None where the scene holds none."""
        node = self._record.find("report")
        text = None if node is None else node.GetText()
        return str(text) if text else None

    # What is shown

    @property
    def selected_visit(self) -> int:
        """Number of the visit shown, from 1; proxies follow when it is set."""
        return int(self.browser.GetSelectedItemNumber()) + 1

    @selected_visit.setter
    def selected_visit(self, number: int) -> None:
        self._check_visit(number)
        self.browser.SetSelectedItemNumber(number - 1)
        if self._record.get("display") is not None:
            display = self.display
            automatic = window_of(self._record, display.sequence, number)
            if automatic is not None:
                fit_grey(self._record, display.sequence, shown_window(automatic, display))

    @property
    def display(self) -> DisplaySettings:
        """As last applied."""
        content = self._record.get("display")
        return self._default_display() if content is None else DisplaySettings.from_json(content)

    def apply(self, display: DisplaySettings) -> None:
        """Show it so, in every slice view and 3D view that no comparison holds, and no other patient.

        A map of a kind that this patient has not is not shown.

        Raises:
            InputError: If no visit has the sequence.
        """
        if display.sequence not in self.sequences:
            raise InputError(f"No visit has {display.sequence}; there are {', '.join(self.sequences)}.")
        if display.map_kind is not None and display.map_kind not in self.map_kinds:
            display = replace(display, map_kind=None)
        for other in SceneRecord.all_in(self._record.scene):
            if other.node is not self._record.node:
                hide(other)
        self._record.put("display", display.to_json())
        show(self._record, display)
        for copies in self._copies:
            copies.apply(display)

    def _default_display(self) -> DisplaySettings:
        references = [visit.reference_sequence for visit in self.visits]
        sequence = next((name for name in references if name in self.sequences), self.sequences[0])
        kind = MapKind.RISK if MapKind.RISK in self.map_kinds else None
        return DisplaySettings(sequence=sequence, map_kind=kind)

    def automatic_window(self, visit_number: int, sequence: str) -> tuple[float, float] | None:
        """Intensities of black and white at ``DisplaySettings.window`` (0, 1); None where the visit lacks it."""
        self._check_visit(visit_number)
        return window_of(self._record, sequence, visit_number)

    def scale_top(self, kind: MapKind) -> float:
        """Hazard per mL at the top of a map's colours, the same for all visits."""
        return float(self._record.get("tops")[kind.value])

    # Places

    def peak_ras(self, visit_number: int, peak_name: str) -> FloatArray:
        """(3,), world RAS of a peak, mm: the first visit's RAS.

        Raises:
            InputError: If that visit has no peak of that name.
        """
        self._check_visit(visit_number)
        for peak in self.visits[visit_number - 1].peaks:
            if peak.name == peak_name:
                places = self._record.find("place.maps")
                value = self._record.find("visits").GetNthIndexValue(visit_number - 1)
                matrix = _matrix(places.GetDataNodeAtValue(value, True))
                return np.asarray((matrix @ np.append(peak.ras_mm, 1.0))[:3])
        raise InputError(f"Visit {visit_number} has no peak {peak_name!r}.")

    def default_ras(self) -> FloatArray:
        """(3,), world RAS, where to look first: the highest map's highest place, else the head's centre."""
        return np.array(self._record.get("place"), dtype=np.float64)

    @property
    def default_visit(self) -> int:
        """Number of the visit whose map is highest at :meth:`default_ras`; the last one without maps."""
        return int(self._record.get("place_visit"))

    def head_box(self) -> tuple[FloatArray, FloatArray]:
        """Centre (3,) in world RAS and size (3,) along R, A, S in mm of the first visit's head: for fitting views."""
        head = self._record.get("head")
        return np.array(head["centre_ras"]), np.array(head["size_mm"])

    def go_to(self, ras: Sequence[float] | FloatArray, slice_nodes: Iterable[Any] | None = None) -> None:
        """Jump slices (all, or those given) and the crosshair to a place in world RAS."""
        jump(self._record.scene, ras, slice_nodes)

    # Several visits at once

    def compare(self, first_visit: int, second_visit: int) -> Comparison:
        """Two visits with nodes of their own; the difference of their risk maps lies on the second one's grid."""
        for number in (first_visit, second_visit):
            self._check_visit(number)
        made = Comparison(self._record, first_visit, second_visit, self.display)
        self._keep(made)
        return made

    def row(self, visit_numbers: Sequence[int] | None = None) -> VisitRow:
        """Visits (all by default) with nodes of their own."""
        numbers = tuple(visit_numbers) if visit_numbers else tuple(visit.number for visit in self.visits)
        for number in numbers:
            self._check_visit(number)
        made = VisitRow(self._record, numbers, self.display)
        self._keep(made)
        return made

    @contextmanager
    def giving_up_its_label(self) -> Iterator[None]:
        """While another is built that takes this one's place: it is not numbered for it. Where that fails all stays."""
        label = self.label
        self._record.put("label", f"{self.patient} (leaving)")
        try:
            yield
        except BaseException:
            self._record.put("label", label)
            raise

    def _keep(self, made: Comparison | VisitRow) -> None:
        self._copies.append(made)
        made.on_close(lambda: self._copies.remove(made))

    def _check_visit(self, number: int) -> None:
        count = len(self._record.get("visits"))
        if not 1 <= number <= count:
            raise InputError(f"There are visits 1 to {count}, got {number}.")


def _matrix(place: Any) -> FloatArray:
    matrix = vtk.vtkMatrix4x4()
    place.GetMatrixTransformToParent(matrix)
    return array_of(matrix)
