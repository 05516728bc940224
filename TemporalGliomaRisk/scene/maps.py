"""A patient's maps, visit by visit: hazard, its change since the previous visit, its change since the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from TemporalGliomaRisk.colours import LEAST_SCALE_TOP
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.result_visit import ResultVisit
from TemporalGliomaRisk.scene.settings import MapKind
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.volume import FloatArray, Volume


def difference(later: Volume, earlier: Volume, later_to_earlier: FloatArray) -> Volume:
    """A map less an earlier one, on the later one's grid; no change is claimed where the earlier one was not seen.

    Args:
        later: Hazard per mL.
        earlier: Likewise, on any grid.
        later_to_earlier: (4, 4), from the later one's RAS to the earlier one's.
    """
    later_voxels = np.asarray(later.voxels, dtype=np.float32)
    if np.allclose(later_to_earlier, np.eye(4), atol=1e-9) and later.geometry.same_as(earlier.geometry):
        carried = np.asarray(earlier.voxels, dtype=np.float32)
    else:
        carried = resample(earlier, later.geometry, later_to_earlier, outside=float("nan"))
    return Volume(voxels=np.nan_to_num(later_voxels - carried, nan=0.0), geometry=later.geometry)


def between(later: ResultVisit, earlier: ResultVisit) -> FloatArray:
    """(4, 4), from the later visit's maps' RAS to the earlier one's."""
    return np.asarray(np.linalg.inv(earlier.to_frame()) @ later.to_frame())


@dataclass(kw_only=True)
class RiskMaps:
    """Reads a visit's maps when asked, and keeps what they have in common.

    Args:
        result: What predict wrote.
        tops: Greatest value by kind so far, at least the least top of a scale.
        highest: The highest hazard so far: its value, its place in world RAS, and its visit's number.
    """

    result: RiskResult
    tops: dict[MapKind, float] = field(default_factory=dict)
    highest: tuple[float, tuple[float, float, float], int] | None = None
    _first: tuple[ResultVisit, Volume] | None = None
    _previous: tuple[ResultVisit, Volume] | None = None

    def read(self, visit: ResultVisit) -> Mapping[MapKind, Volume]:
        """The maps of a visit that there are. Visits are asked for in order, oldest first."""
        previous = self._previous
        self._previous = None
        maps: dict[MapKind, Volume] = {}
        if visit.change_heatmap is not None:
            role = f"change map of visit {visit.number}"
            maps[MapKind.CHANGE] = VolumeFile(path=visit.change_heatmap, role=role).read()
        if visit.heatmap is not None:
            risk = VolumeFile(path=visit.heatmap, role=f"risk map of visit {visit.number}").read()
            maps[MapKind.RISK] = risk
            self._see_highest(visit, risk)
            if previous is not None and MapKind.CHANGE not in maps and previous[0].number == visit.number - 1:
                maps[MapKind.CHANGE] = difference(risk, previous[1], between(visit, previous[0]))
            if self._first is not None:
                maps[MapKind.CHANGE_FROM_FIRST] = difference(risk, self._first[1], between(visit, self._first[0]))
            elif visit.number == 1:
                self._first = (visit, risk)
            self._previous = (visit, risk)
        for kind, volume in maps.items():
            greatest = float(np.abs(np.nan_to_num(volume.voxels)).max())
            self.tops[kind] = max(self.tops.get(kind, LEAST_SCALE_TOP), greatest)
        return maps

    def _see_highest(self, visit: ResultVisit, risk: Volume) -> None:
        voxels = np.nan_to_num(risk.voxels)
        index = np.unravel_index(int(voxels.argmax()), voxels.shape)
        value = float(voxels[index])
        if value <= 0 or (self.highest is not None and value <= self.highest[0]):
            return
        place = visit.peaks[0].ras_mm if visit.peaks else risk.geometry.to_ras(index)
        x, y, z = (visit.to_frame() @ np.append(place, 1.0))[:3].tolist()
        self.highest = (value, (x, y, z), visit.number)
