"""One patient in a scene: built from a timeline and a result, shown, changed, saved, found again and removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.progress import ProgressListener, ignore_progress
from TemporalGliomaRisk.scene.copies import Comparison, VisitRow
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.scene_visit import SceneVisit
from TemporalGliomaRisk.scene.settings import DisplaySettings, MapKind
from TemporalGliomaRisk.timeline.visit import Timeline
from TemporalGliomaRisk.timeline.volume import FloatArray


class PatientScene:
    """A patient's nodes. All state lives in them, so that a loaded scene is a patient again."""

    @classmethod
    def build(
        cls,
        scene: Any,
        timeline: Timeline,
        result: RiskResult | None = None,
        *,
        progress: ProgressListener = ignore_progress,
    ) -> PatientScene:
        """Build."""
        raise NotImplementedError

    @classmethod
    def all_in(cls, scene: Any) -> list[PatientScene]:
        """Every patient found in a scene, also after loading it from a file."""
        raise NotImplementedError

    def update(self, timeline: Timeline, result: RiskResult | None = None) -> None:
        """A visit was added or a result arrived; what the reader set is kept. Proxy nodes are new ones afterwards."""
        raise NotImplementedError

    def remove(self) -> None:
        """Take everything of this patient out of the scene."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write the whole scene as .mrb, whole or not at all."""
        raise NotImplementedError

    @property
    def patient(self) -> str:
        """BIDS label."""
        raise NotImplementedError

    @property
    def visits(self) -> tuple[SceneVisit, ...]:
        """Oldest first."""
        raise NotImplementedError

    @property
    def sequences(self) -> tuple[str, ...]:
        """Pulse sequences that any visit has."""
        raise NotImplementedError

    @property
    def map_kinds(self) -> tuple[MapKind, ...]:
        """Maps that any visit has; empty without a result or with --no-heatmaps."""
        raise NotImplementedError

    @property
    def browser(self) -> Any:
        """Its vtkMRMLSequenceBrowserNode; the master sequence has an item a visit."""
        raise NotImplementedError

    @property
    def selected_visit(self) -> int:
        """Number of the visit shown, from 1."""
        raise NotImplementedError

    @selected_visit.setter
    def selected_visit(self, number: int) -> None:
        raise NotImplementedError

    def volume(self, sequence: str | None = None) -> Any:
        """Proxy vtkMRMLScalarVolumeNode of the selected visit; None where no visit has that sequence."""
        raise NotImplementedError

    def map(self, kind: MapKind) -> Any:
        """Proxy of a map at the selected visit; None where there is no such map; empty where this visit lacks it."""
        raise NotImplementedError

    @property
    def display(self) -> DisplaySettings:
        """As last applied."""
        raise NotImplementedError

    def apply(self, display: DisplaySettings) -> None:
        """Show it so, in every slice view and 3D view that no comparison holds."""
        raise NotImplementedError

    def automatic_window(self, visit_number: int, sequence: str) -> tuple[float, float] | None:
        """Intensities shown black and white at DisplaySettings.window (0, 1); None where the visit lacks it."""
        raise NotImplementedError

    def scale_top(self, kind: MapKind) -> float:
        """Hazard per mL at the top of a map's colours, the same for all visits."""
        raise NotImplementedError

    def peak_ras(self, visit_number: int, peak_name: str) -> FloatArray:
        """(3,), world RAS, mm (the first visit's RAS)."""
        raise NotImplementedError

    def default_ras(self) -> FloatArray:
        """(3,), world RAS, where to look first: the highest map's highest place, else the head's centre."""
        raise NotImplementedError

    def go_to(self, ras: Sequence[float] | FloatArray, slice_nodes: Iterable[Any] | None = None) -> None:
        """Jump slices (all, or those given) and the crosshair to a place in world RAS."""
        raise NotImplementedError

    def head_box(self) -> tuple[FloatArray, FloatArray]:
        """Centre (3,) in world RAS and size (3,) along R, A, S in mm of the first visit's head: for fitting views."""
        raise NotImplementedError

    def table(self) -> Any:
        """vtkMRMLTableNode, a row a visit; None without a result."""
        raise NotImplementedError

    def chart(self) -> Any:
        """vtkMRMLPlotChartNode; None without a result."""
        raise NotImplementedError

    def text(self) -> Any:
        """vtkMRMLTextNode: model, caveats, warnings."""
        raise NotImplementedError

    def compare(self, first_visit: int, second_visit: int) -> Comparison:
        """Two visits with nodes of their own."""
        raise NotImplementedError

    def row(self, visit_numbers: Sequence[int] | None = None) -> VisitRow:
        """Visits (all by default) with nodes of their own."""
        raise NotImplementedError
