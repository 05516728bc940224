"""From each visit's volumes to the few slices that are shown; one visit's volumes in memory at a time."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.colours import LEAST_SCALE_TOP, RgbPixels
from TemporalGliomaRisk.errors import GliomaRiskError
from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.report.colours import grey_pixels, with_change, with_heat
from TemporalGliomaRisk.report.record import RiskRecord, VisitRecord
from TemporalGliomaRisk.report.slices import (
    PLANES,
    Plane,
    picture_centre,
    picture_size_mm,
    pixel_of,
    sample_plane,
)
from TemporalGliomaRisk.timeline.head import HeadBox, grey_window, head_box
from TemporalGliomaRisk.timeline.volume import FloatArray, Volume


@dataclass(frozen=True, kw_only=True)
class VisitVolumes:
    """What is drawn of one visit.

    Args:
        reference: The reference sequence on its own grid.
        heatmap: Hazard per mL; None when absent.
        change: Change of hazard per mL against the previous visit; None when absent.
        place_ras: (3,), RAS mm of this visit: the place shown in the strip and the montage, best the same anatomical
            place at every visit. None for this visit's own highest peak.
    """

    reference: Volume
    heatmap: Volume | None = None
    change: Volume | None = None
    place_ras: tuple[float, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One sampled plane.

    Args:
        plane: Which.
        grey: (rows, columns), 0 to 255.
        heat: (rows, columns), hazard per mL, NaN outside; None without heatmap.
        change: Likewise, its change.
        mark: (row, column) of the peak; None when the plane goes through no peak.
    """

    plane: Plane
    grey: npt.NDArray[np.uint8]
    heat: npt.NDArray[np.float32] | None
    change: npt.NDArray[np.float32] | None
    mark: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class VisitPictures:
    """One visit's slices: through its own peak, in three planes, and through the place shown for every visit."""

    at_peak: tuple[Slice, ...]
    at_place: tuple[Slice, ...]


@dataclass(frozen=True, kw_only=True)
class ReportPictures:
    """All visits' slices, and the tops of the one scale they share, in hazard per mL.

    ``one_place`` says whether :attr:`VisitPictures.at_place` follows a place the caller gave, for every visit.
    """

    visits: tuple[VisitPictures, ...]
    heat_top: float
    change_top: float
    one_place: bool

    @property
    def has_heat(self) -> bool:
        """Whether any visit has a heatmap."""
        return any(slice_.heat is not None for visit in self.visits for slice_ in visit.at_place)

    @property
    def has_change(self) -> bool:
        """Whether any visit has a change map."""
        return any(slice_.change is not None for visit in self.visits for slice_ in visit.at_place)

    def heat_picture(self, slice_: Slice) -> RgbPixels:
        """(rows, columns, 3), the slice under its heatmap; grey without one."""
        return with_heat(slice_.grey, slice_.heat, self.heat_top)

    def change_picture(self, slice_: Slice) -> RgbPixels:
        """(rows, columns, 3), the slice under its change map; grey without one."""
        return with_change(slice_.grey, slice_.change, self.change_top)


def gather_pictures(record: RiskRecord, volumes: Iterable[VisitVolumes]) -> ReportPictures:
    """Take the slices of every visit, in the record's order.

    Args:
        record: The risks; its peaks say where to look.
        volumes: One item a visit. Give a generator that reads each visit when asked: none is kept.

    Raises:
        GliomaRiskError: If there are fewer or more items than visits.
    """
    visits: list[VisitPictures] = []
    heat_top = change_top = LEAST_SCALE_TOP
    size_mm: FloatArray | None = None
    one_place = True
    for of_visit in volumes:
        if len(visits) == len(record.visits):
            raise GliomaRiskError(f"Wanted volumes of {len(record.visits)} visits, got more.")
        box = head_box(of_visit.reference)
        size_mm = box.size_mm if size_mm is None else size_mm
        visits.append(
            _slices_of(record.visits[len(visits)], of_visit, HeadBox(centre_ras=box.centre_ras, size_mm=size_mm))
        )
        one_place = one_place and of_visit.place_ras is not None
        heat_top = max(heat_top, _greatest(of_visit.heatmap))
        change_top = max(change_top, _greatest(of_visit.change))
        del of_visit  # or this visit's volumes would still be held while the next one's are read
    if len(visits) != len(record.visits):
        raise GliomaRiskError(f"Wanted volumes of {len(record.visits)} visits, got {len(visits)}.")
    return ReportPictures(visits=tuple(visits), heat_top=heat_top, change_top=change_top, one_place=one_place)


def _slices_of(visit: VisitRecord, volumes: VisitVolumes, box: HeadBox) -> VisitPictures:
    peak = np.array(visit.peaks[0].ras_mm) if visit.peaks else _greatest_place(volumes.heatmap)
    looked_at = box.centre_ras if peak is None else peak
    place = looked_at if volumes.place_ras is None else np.array(volumes.place_ras)
    window = grey_window(volumes.reference)

    def through(point: FloatArray, plane: Plane, mark: FloatArray | None) -> Slice:
        check_cancelled()
        centre, size = picture_centre(box, point, plane), picture_size_mm(box.size_mm, plane)
        grey = grey_pixels(sample_plane(volumes.reference, centre, plane, size_mm=size), window)
        over = [
            None if volume is None else sample_plane(volume, centre, plane, size_mm=size)
            for volume in (volumes.heatmap, volumes.change)
        ]
        at = None if mark is None else pixel_of(mark, centre, plane, (grey.shape[0], grey.shape[1]))
        return Slice(plane=plane, grey=grey, heat=over[0], change=over[1], mark=at)

    at_peak = tuple(through(looked_at, plane, peak) for plane in PLANES)
    at_place = tuple(through(place, plane, None) for plane in PLANES)
    return VisitPictures(at_peak=at_peak, at_place=at_place)


def _greatest(volume: Volume | None) -> float:
    return 0.0 if volume is None else float(np.abs(np.nan_to_num(volume.voxels)).max())


def _greatest_place(volume: Volume | None) -> FloatArray | None:
    if _greatest(volume) == 0 or volume is None:
        return None
    values = np.nan_to_num(np.asarray(volume.voxels))
    return volume.geometry.to_ras(np.array(np.unravel_index(int(values.argmax()), values.shape)))


def jpeg_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """A picture, (rows, columns) or (rows, columns, 3), as a ``data:`` URI; a picture without colour is kept grey."""
    from PIL import Image  # noqa: PLC0415

    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=88, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
