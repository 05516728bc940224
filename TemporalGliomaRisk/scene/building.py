"""From a timeline and a result to a patient's nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener
from TemporalGliomaRisk.scene.colour_nodes import add_colours
from TemporalGliomaRisk.scene.documents import add_chart, add_report, add_table, add_text
from TemporalGliomaRisk.scene.hierarchy import add_hierarchy
from TemporalGliomaRisk.scene.labels import tell_apart
from TemporalGliomaRisk.scene.maps import RiskMaps
from TemporalGliomaRisk.scene.record import SceneRecord
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.result_visit import ResultVisit
from TemporalGliomaRisk.scene.scene_visit import SceneVisit, scene_visits, visit_index
from TemporalGliomaRisk.scene.settings import AUTOMATIC, MapKind
from TemporalGliomaRisk.scene.visit_sequences import VisitSequences
from TemporalGliomaRisk.scene.windows import Window, comparable_windows, rounded
from TemporalGliomaRisk.timeline.days import day_count
from TemporalGliomaRisk.timeline.head import TissueLevels, head_box, tissue_levels
from TemporalGliomaRisk.timeline.visit import SEQUENCES, Timeline
from TemporalGliomaRisk.timeline.volume import FloatArray

Moves = Mapping[str, Mapping[str, FloatArray]]
"""(4, 4) by session and sequence: that volume's RAS to the first visit's RAS."""


def fill(
    record: SceneRecord,
    timeline: Timeline,
    result: RiskResult | None,
    progress: ProgressListener,
    moves: Moves | None = None,
) -> None:
    """Make all of a patient's nodes. A failure leaves them for the caller to remove.

    Args:
        record: A new or emptied one.
        timeline: Whose volumes are read.
        result: What predict wrote of it, or None.
        progress: Told after every visit.
        moves: Where a registration without a risk put the volumes, by session and sequence; a result has its own.

    Raises:
        InputError: If result and timeline are of different visits, or a volume cannot be read.
    """
    _check_belongs(timeline, result)
    visits = scene_visits(timeline, result)
    index, count = visit_index(visits), day_count(visits)
    record.put("patient", timeline.patient_id)
    tell_apart(record.scene)
    record.put("horizon_days", None if result is None else result.horizon_days)
    record.put("research_use_only", None if result is None else result.research_use_only)
    record.put("identified", result is not None and result.identified)
    record.put("heatmap_check", None if result is None else result.heatmap_check)
    record.put("warnings", [] if result is None else [vars(one) for one in result.warnings])
    record.put("visits", [visit.to_json() for visit in visits])
    sequences = tuple(name for name in SEQUENCES if any(name in visit.sequences for visit in visits))
    record.put("sequences", sequences)
    filling = _Filling(record, VisitSequences(record, index), result, moves or {})
    for visit in visits:
        message = f"Visit {visit.number} of {len(visits)}: volumes and maps"
        progress(ProgressEvent(stage="scene", fraction=(visit.number - 1) / len(visits), message=message))
        filling.sequences.put_visit(visit, count)
        filling.add_visit(visit, timeline)
    record.put("windows", filling.windows(visits))
    record.put("window_parts", AUTOMATIC)
    kinds = tuple(kind for kind in MapKind if any(kind in found for found in filling.kinds.values()))
    record.put("map_kinds", [kind.value for kind in kinds])
    filling.sequences.finish()
    record.put("maps_of_visits", {str(number): [kind.value for kind in of] for number, of in filling.kinds.items()})
    record.put("tops", {kind.value: top for kind, top in filling.tops.items()})
    record.put("head", filling.head)
    record.put("place", filling.place)
    record.put("place_visit", filling.place_visit(len(visits)))
    add_colours(record)
    if any(visit.risk is not None for visit in visits):
        add_chart(record, add_table(record, visits), visits, index)
    add_text(record, visits, result)
    if result is not None:
        add_report(record, result)
    add_hierarchy(record, visits, filling.kinds)
    progress(ProgressEvent(stage="scene", fraction=1.0, message="The scene is ready"))


def _check_belongs(timeline: Timeline, result: RiskResult | None) -> None:
    """Visits may have been added since the result was made; none that it speaks of may be missing or moved."""
    if result is None:
        return
    days = {visit.session_id: visit.days_since_first for visit in timeline.visits}
    wrong = [visit.number for visit in result.visits if days.get(visit.session_id) != visit.days_since_first]
    if wrong:
        raise InputError(
            f"The result holds a visit {wrong[0]} that this timeline lacks or has on another day: it was made from "
            "another timeline. Run predict on this one."
        )


class _Filling:
    """Visits put into sequences one by one, and what is noticed on the way."""

    def __init__(self, record: SceneRecord, sequences: VisitSequences, result: RiskResult | None, moves: Moves) -> None:
        self.sequences = sequences
        self._moves = moves
        self._levels: dict[str, list[TissueLevels | None]] = {name: [] for name in record.get("sequences")}
        self.kinds: dict[int, tuple[MapKind, ...]] = {}
        self.head: dict[str, list[float]] = {}
        self._maps = None if result is None else RiskMaps(result=result)
        self._said_sessions = {} if result is None else {visit.number: visit.session_id for visit in result.visits}
        self.numbers: dict[str, int] = {}
        self._said = {} if result is None else {visit.session_id: visit for visit in result.visits}

    @property
    def tops(self) -> dict[MapKind, float]:
        """Of the scales."""
        tops = {} if self._maps is None else self._maps.tops
        return {kind: rounded(top, math.ceil) for kind, top in tops.items()}

    @property
    def place(self) -> list[float]:
        """Where to look first, in world RAS."""
        if self._maps is not None and self._maps.highest is not None:
            return list(self._maps.highest[1])
        return self.head["centre_ras"]

    def windows(self, visits: tuple[SceneVisit, ...]) -> dict[str, list[Window | None]]:
        """Put every visit's windows, and tell them by sequence."""
        found = {name: comparable_windows(levels) for name, levels in self._levels.items()}
        for name, windows in found.items():
            for visit, window in zip(visits, windows, strict=True):
                if window is not None:
                    self.sequences.put_window(visit, name, window)
        return found

    def place_visit(self, last: int) -> int:
        """Number of the visit whose map is highest there; the last one without maps."""
        found = None if self._maps is None else self._maps.highest
        return last if found is None else self.numbers[self._said_sessions[found[2]]]

    def add_visit(self, visit: SceneVisit, timeline: Timeline) -> None:
        """A visit's volumes, maps and peaks."""
        self.numbers[visit.session_id] = visit.number
        said = self._said.get(visit.session_id)
        sources = timeline.visits[visit.number - 1].sources
        for name, levels in self._levels.items():
            if name not in sources:
                levels.append(None)
                continue
            volume = sources[name].read()  # type: ignore[index]
            levels.append(tissue_levels(volume))
            to_frame = self._to_frame(visit, said, name)
            self.sequences.put_volume(visit, name, volume, to_frame)
            if not self.head:
                box = head_box(volume)
                centre = (to_frame @ np.append(box.centre_ras, 1.0))[:3]
                self.head = {"centre_ras": centre.tolist(), "size_mm": box.size_mm.tolist()}
        if said is None or self._maps is None:
            return
        maps = self._maps.read(said)
        self.kinds[visit.number] = tuple(kind for kind in MapKind if kind in maps)
        for kind, volume in maps.items():
            self.sequences.put_map(visit, kind, volume)
        self.sequences.put_peaks(visit, said.to_frame())

    def _to_frame(self, visit: SceneVisit, said: ResultVisit | None, sequence: str) -> FloatArray:
        if said is not None:
            return said.to_frame(sequence)
        return np.array(self._moves.get(visit.session_id, {}).get(sequence, np.eye(4)), dtype=np.float64)
