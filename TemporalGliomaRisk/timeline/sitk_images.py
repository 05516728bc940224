"""The one place where volumes meet SimpleITK: KJI becomes IJK and LPS becomes RAS here and nowhere else.

(The scene bridge has the other such file, for MRML.)
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.files import written_whole
from TemporalGliomaRisk.timeline.nifti_header import NiftiError, check_nifti_is_whole, read_nifti_header
from TemporalGliomaRisk.timeline.volume import FloatArray, Geometry, Volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """While inside, ITK prints no warnings: they hold the paths of files, and go to standard error past Python."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


@contextlib.contextmanager
def without_native_words() -> Iterator[None]:
    """While inside, what native libraries write to standard error is dropped: decoders of pictures speak freely."""
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all, as in a program with windows only
        yield
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def has_text_name(path: Path) -> bool:
    """Whether a path is text in every part: SimpleITK ends the process where one is not."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in str(path)


def geometry_of(image: sitk.Image) -> Geometry:
    """Geometry of a three-dimensional SimpleITK image.

    Raises:
        GeometryError: If its matrix is singular or sheared.
    """
    ijk_to_lps = np.eye(4)
    ijk_to_lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    ijk_to_lps[:3, 3] = image.GetOrigin()
    return Geometry(shape=image.GetSize(), ijk_to_ras=LPS_FROM_RAS @ ijk_to_lps)


def volume_from_sitk(image: sitk.Image) -> Volume:
    """Voxels and geometry of a three-dimensional SimpleITK image; the voxels are copied."""
    return Volume(voxels=sitk.GetArrayFromImage(image).transpose(2, 1, 0), geometry=geometry_of(image))


def sitk_from_volume(volume: Volume) -> sitk.Image:
    """SimpleITK image with the volume's voxels (copied) and geometry."""
    voxels = volume.voxels.astype(np.uint8) if volume.voxels.dtype == bool else volume.voxels
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    set_geometry(image, volume.geometry)
    return image


def sitk_from_axes(
    voxels_kji: npt.NDArray[Any], axes: FloatArray, origin: FloatArray, space: tuple[float, float, float]
) -> sitk.Image:
    """SimpleITK image of voxels as files order them, i the fastest.

    Args:
        voxels_kji: (K, J, I) or with more axes in front of them.
        axes: (3, 3), a column per voxel axis, mm, in a space of the patient.
        origin: (3,), of the first voxel.
        space: Signs that take that space to RAS.
    """
    image = sitk.GetImageFromArray(voxels_kji, isVector=False)
    to_lps = np.diag(LPS_FROM_RAS[:3, :3].diagonal() * np.array(space))
    spacing = np.linalg.norm(axes, axis=0)
    image.SetOrigin((to_lps @ origin).tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection((to_lps @ (axes / spacing)).ravel().tolist())
    return image


def set_geometry(image: sitk.Image, geometry: Geometry) -> None:
    """Give a SimpleITK image (or any object with its three setters) a geometry's origin, spacing and direction."""
    ijk_to_lps = LPS_FROM_RAS @ geometry.ijk_to_ras
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    image.SetSpacing(geometry.spacing_mm.tolist())
    image.SetDirection((ijk_to_lps[:3, :3] / geometry.spacing_mm).ravel().tolist())


def lps_point(ras: FloatArray) -> list[float]:
    """A point (3,) in RAS mm as SimpleITK takes it, in LPS."""
    return [float(place) for place in LPS_FROM_RAS[:3, :3] @ ras]


def lps_from_ras_transform(ras_matrix: FloatArray) -> sitk.AffineTransform:
    """SimpleITK transform that moves LPS points as the (4, 4) matrix moves RAS points."""
    lps_matrix = LPS_FROM_RAS @ ras_matrix @ LPS_FROM_RAS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(lps_matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(lps_matrix[:3, 3].tolist())
    return transform


def ras_matrix_of(transform: sitk.Transform) -> FloatArray:
    """(4, 4) RAS matrix of an affine or rigid SimpleITK transform, its centre of rotation accounted for."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(transform.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
    lps_matrix = np.eye(4)
    lps_matrix[:3, :3] = np.stack(columns, axis=1)
    lps_matrix[:3, 3] = origin
    return LPS_FROM_RAS @ lps_matrix @ LPS_FROM_RAS


def write_nifti(volume: Volume, path: Path) -> None:
    """Write a volume as NIfTI, qform and sform alike; the file appears whole or not at all.

    Raises:
        UsageError: If the path is no text.
        OutputError: If it can't be written whole.
    """
    if not has_text_name(path):
        raise UsageError("The output folder's name holds bytes that are no text (UTF-8). Name another with --output.")
    with written_whole(path) as temporary:
        temporary.touch()  # the system's own reason, where it refuses; SimpleITK gives none
        try:
            with without_warnings(), without_native_words():
                sitk.WriteImage(sitk_from_volume(volume), str(temporary), useCompression=True)
        except RuntimeError as error:
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error
        _check_whole(temporary)


def _check_whole(path: Path) -> None:
    """Read a file back: SimpleITK says nothing when a full disk cuts it short."""
    try:
        check_nifti_is_whole(path, read_nifti_header(path))
    except NiftiError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
