"""One DICOM series as a volume: slices in order of their places, checked to be even before pixels are read."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TemporalGliomaRisk.timeline.dicom_headers import DicomHeader
from TemporalGliomaRisk.timeline.image_file import volume_of_image
from TemporalGliomaRisk.timeline.refusals import volume_error
from TemporalGliomaRisk.timeline.sitk_images import has_text_name, without_native_words, without_warnings
from TemporalGliomaRisk.timeline.volume import MOST_VOXELS, Volume

AXES_TOLERANCE = 0.01
APART_FACTOR = 1.5
"""Slices may lie this many times further apart than the header says, for gaps are common; every second one that is
missing makes it 2."""
UNEVEN_FRACTION = 0.1
"""Slice distances may differ from their median by this fraction (or 0.05 mm) before the series is refused."""


@dataclass(frozen=True, kw_only=True)
class DicomSeries:
    """A volume source over one DICOM series.

    Args:
        paths: The files, in order of their slices' places.
        role: What messages call it, ``FLAIR of visit 2``.
    """

    paths: tuple[Path, ...] = field(repr=False)
    role: str

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in order of their slices' places."""
        return self.paths

    def read(self) -> Volume:
        """Read the volume through GDCM, rescale slope and intercept of every file applied, as float32.

        GDCM applies those of a file's first frame to all its frames; :func:`order_slices` refuses where they differ.

        Raises:
            VolumeError: If a file is not there, cut short or damaged.
            GeometryError: If the place in space cannot be used.
        """
        if not all(path.is_file() for path in self.paths):
            raise volume_error("file_missing", self.role)
        if not all(has_text_name(path) for path in self.paths):
            raise volume_error(
                "unreadable", self.role, problem="a file's name or folder is no text in UTF-8; rename it"
            )
        names = [str(path) for path in self.paths]
        try:
            with without_warnings(), without_native_words():
                image = _read(names)
        except RuntimeError as error:
            problem = "pixels are missing or in an encoding that GDCM does not read"
            raise volume_error("truncated", self.role, problem=problem) from error
        return volume_of_image(image, self.role)


def _read(names: list[str]) -> sitk.Image:
    """One multi-frame file, or a file a slice."""
    if len(names) == 1:
        return sitk.ReadImage(names[0], sitk.sitkFloat32, "GDCMImageIO")
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetOutputPixelType(sitk.sitkFloat32)
    reader.SetFileNames(names)
    return reader.Execute()


@dataclass(frozen=True, kw_only=True)
class SliceOrder:
    """What the headers of one series tell about its slices.

    Args:
        paths: Files in order of place; of copies of one image only the first with whole pixels.
        slices: How many slices.
        problems: Broken rules, code and values, in the order of :data:`RULES`.
    """

    paths: tuple[Path, ...]
    slices: int
    problems: tuple[tuple[str, dict[str, object]], ...]


def order_slices(headers: Sequence[DicomHeader]) -> SliceOrder:
    """Put one series' slices in order of their place along the normal, and check that they make a volume.

    Args:
        headers: Headers of all files of one series.
    """
    copies: dict[str, list[DicomHeader]] = {}
    for header in headers:
        copies.setdefault(header.sop_uid or str(header.path), []).append(header)
    unique = [next((one for one in same if one.pixels_whole), same[0]) for same in copies.values()]
    problems: list[tuple[str, dict[str, object]]] = []
    if len(unique) < len(headers):
        problems.append(("duplicate_files", {"count": len(headers) - len(unique)}))
    instances = collections.Counter(header.instance_number for header in unique if header.instance_number is not None)
    doubled = sum(count - 1 for count in instances.values())
    if doubled:
        problems.append(("instance_numbers", {"count": doubled}))
    paths = tuple(header.path for header in unique)
    broken = _unusable(unique)
    if broken is not None:
        return SliceOrder(paths=paths, slices=len(unique), problems=(*problems, broken))
    first = unique[0]
    orientation = np.zeros((2, 3)) if first.orientation is None else first.orientation
    normal = np.cross(orientation[0], orientation[1])
    positions = np.concatenate([header.positions_lps for header in unique if header.positions_lps is not None])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    if len(unique) > 1:
        unique = [unique[index] for index in order]
    elif not np.all(np.diff(heights) > 0) and not np.all(np.diff(heights) < 0):
        problems.append(("slices_mixed", {"what": "the order of their frames"}))
    if not all(header.frames_rescaled_alike for header in unique):
        problems.append(("slices_mixed", {"what": "rescale slope or intercept"}))
    uneven = _uneven(positions[order], heights[order], normal)
    problems += uneven or _apart(heights[order], first.slice_distance_mm)
    return SliceOrder(paths=tuple(header.path for header in unique), slices=len(positions), problems=tuple(problems))


def _unusable(headers: Sequence[DicomHeader]) -> tuple[str, dict[str, object]] | None:
    """The first reason for which slices can't be put in order at all, None without one."""
    displaced = sum(not _has_place(header) for header in headers)
    if displaced:
        return "places_unusable", {"count": displaced}
    mixed = _mixed(headers)
    if mixed is not None:
        return "slices_mixed", {"what": mixed}
    voxels = headers[0].size[0] * headers[0].size[1] * sum(header.frames for header in headers)
    if voxels > MOST_VOXELS:
        return "too_large", {"voxels": f"{voxels:.3g}", "limit": f"{MOST_VOXELS:.3g}"}
    empty = sum(not header.pixels_whole for header in headers)
    if empty:
        return "pixels_missing", {"count": empty}
    without_slope = sum(header.slope_is_0 for header in headers)
    return ("slope_of_0", {"count": without_slope}) if without_slope else None


def _has_place(header: DicomHeader) -> bool:
    """Whether a slice's place is told, finite, by perpendicular axes of length 1 and a spacing above 0."""
    if header.orientation is None or header.positions_lps is None or len(header.pixel_spacing_mm) != 2:
        return False
    lengths = header.orientation @ header.orientation.T
    numbers = np.concatenate([header.positions_lps.ravel(), header.pixel_spacing_mm, lengths.ravel()])
    return bool(
        np.isfinite(numbers).all()
        and min(header.pixel_spacing_mm) > 0
        and np.abs(lengths - np.eye(2)).max() < AXES_TOLERANCE
    )


def _mixed(headers: Sequence[DicomHeader]) -> str | None:
    """In what the slices of a series differ that must be one, None if in nothing."""
    first = headers[0]
    if len(headers) > 1 and any(header.frames > 1 for header in headers):
        return "their number of frames"
    if first.positions_lps is None or (len(headers) == 1 and first.frames != len(first.positions_lps)):
        return "the number of frames that is told"
    if any(header.size != first.size for header in headers):
        return "rows and columns"
    spacings = np.array([header.pixel_spacing_mm for header in headers])
    if np.ptp(spacings, axis=0).max() > 1e-3 * spacings.max():
        return "pixel spacing"
    orientations = np.array([header.orientation for header in headers])
    return "orientation" if np.ptp(orientations, axis=0).max() > 1e-3 else None


def _uneven(positions: np.ndarray, heights: np.ndarray, normal: np.ndarray) -> list[tuple[str, dict[str, object]]]:
    """Slices doubled, missing, uneven, or stacked askew; positions are in order."""
    if len(heights) < 2:
        return []
    steps = np.diff(heights)
    doubled = int((steps < 1e-3).sum())
    if doubled:
        return [("slices_doubled", {"count": doubled})]
    usual = float(np.median(steps))
    askew = np.diff(positions, axis=0) - steps[:, None] * normal
    if np.linalg.norm(askew, axis=1).max() > 0.02 * usual + 0.02:
        return [("slices_mixed", {"what": "sideways position (a tilted stack)"})]
    tolerance = max(UNEVEN_FRACTION * usual, 0.05)
    missing = int(sum(round(step / usual) - 1 for step in steps if step > 1.5 * usual))
    if missing:
        return [("slices_missing", {"count": missing})]
    if np.abs(steps - usual).max() > tolerance:
        return [("slices_uneven", {"low": f"{steps.min():.2f}", "high": f"{steps.max():.2f}"})]
    return []


def _apart(heights: np.ndarray, stated_mm: float | None) -> list[tuple[str, dict[str, object]]]:
    """Slices that lie evenly and much further apart than the header says, as when every second one was not sent."""
    found_mm = float(np.median(np.abs(np.diff(heights)))) if len(heights) > 1 else 0.0
    if stated_mm is None or found_mm <= APART_FACTOR * stated_mm:
        return []
    return [("slices_apart", {"found": f"{found_mm:.3g}", "stated": f"{stated_mm:.3g}"})]
