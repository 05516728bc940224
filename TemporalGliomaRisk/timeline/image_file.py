"""A volume in one file (NIfTI, NRRD, MetaImage), read through SimpleITK when it is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TemporalGliomaRisk.errors import GeometryError
from TemporalGliomaRisk.timeline.nifti_header import (
    NiftiError,
    NiftiHeader,
    TruncatedNiftiError,
    check_nifti_is_whole,
    is_nifti,
    read_nifti_header,
)
from TemporalGliomaRisk.timeline.refusals import volume_error
from TemporalGliomaRisk.timeline.sitk_images import has_text_name, volume_from_sitk, without_warnings
from TemporalGliomaRisk.timeline.text_header_image import (
    CutShortError,
    TextHeaderError,
    is_text_header_image,
    read_text_header_image,
)
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
"""One file, one volume: formats whose header and voxels cannot part."""


def volume_suffix(path: Path) -> str | None:
    """Which of :data:`VOLUME_SUFFIXES` a file's name ends with, None if none."""
    return next((suffix for suffix in VOLUME_SUFFIXES if path.name.lower().endswith(suffix)), None)


def left_by_macos(path: Path) -> bool:
    """Whether a file is what macOS writes beside another on a disk that is not its own."""
    return path.name.startswith("._")


@dataclass(frozen=True, kw_only=True)
class VolumeFile:
    """A volume source over one file.

    Args:
        path: The file; never part of a message.
        role: What messages call it, ``FLAIR of visit 2``.
    """

    path: Path = field(repr=False)
    role: str

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def read(self) -> Volume:
        """Read the volume.

        Raises:
            VolumeError: If the file is not there, cut short, damaged, or not a three-dimensional real image.
            GeometryError: If its place in space is singular, sheared or not finite.
        """
        self.check_header()
        self._refuse_mixed_capitals()
        try:
            with without_warnings():
                text = is_text_header_image(self.path)
                image = read_text_header_image(self.path) if text else sitk.ReadImage(str(self.path))
        except CutShortError as error:
            raise volume_error("truncated", self.role, problem=str(error)) from error
        except (TextHeaderError, OSError) as error:
            problem = str(error) if isinstance(error, TextHeaderError) else "the system refuses to open it"
            raise volume_error("unreadable", self.role, problem=problem) from error
        except RuntimeError as error:
            raise volume_error("unreadable", self.role, problem="its format is unknown or damaged") from error
        return volume_of_image(image, self.role)

    def _refuse_mixed_capitals(self) -> None:
        """NIfTI's own library reads no ``.Nii.Gz``, and says so on standard error with the file's name."""
        wanted = volume_suffix(self.path) or ""
        suffix = self.path.name[len(self.path.name) - len(wanted) :]
        if wanted in (".nii", ".nii.gz") and suffix not in (wanted, wanted.upper()):
            raise volume_error("unreadable", self.role, problem=f"its name should end in {wanted}")

    def check_header(self) -> NiftiHeader | None:
        """Check what can be told before voxels are read; the header of a NIfTI file, None for other formats.

        Raises:
            VolumeError, GeometryError: As :meth:`read`.
        """
        if not self.path.is_file():
            raise volume_error("file_missing", self.role)
        if not has_text_name(self.path):
            raise volume_error("unreadable", self.role, problem="its name or folder is no text in UTF-8; rename it")
        if not is_nifti(self.path):
            return None
        try:
            header = read_nifti_header(self.path)
            if header.version != 1 or not header.in_one_file:
                kind = "NIfTI-2" if header.version != 1 else "NIfTI in two files, header and voxels"
                raise NiftiError(f"it is {kind}; wanted NIfTI-1 in one file")
            if len(header.shape) != 3 or min(header.shape) < 2:
                count = sum(length > 1 for length in header.shape)
                raise volume_error("not_three_dimensional", self.role, count=count)
            if header.zipped and not self.path.name.lower().endswith(".gz"):
                raise NiftiError("its bytes are compressed and its name does not say so; name it .nii.gz")
            not_finite = check_nifti_is_whole(self.path, header)
            self._check_forms(header)
        except TruncatedNiftiError as error:
            raise volume_error("truncated", self.role, problem=str(error)) from error
        except (NiftiError, OSError) as error:
            problem = str(error) if isinstance(error, NiftiError) else "the system refuses to open it"
            raise volume_error("unreadable", self.role, problem=problem) from error
        if not_finite:
            raise volume_error("not_finite", self.role, count=not_finite)
        return header

    def _check_forms(self, header: NiftiHeader) -> None:
        """One usable form is enough: SimpleITK takes the other, and the header checks speak of the difference.

        But it takes no qform for an sform that is not finite, and prints pages about it.
        """
        problems = []
        for form in (header.sform, header.qform):
            if form is None:
                continue
            try:
                Geometry(shape=(1, 1, 1), ijk_to_ras=form)
                return
            except GeometryError as error:
                problems.append(str(error))
                if not np.isfinite(form).all():
                    break
        if problems:
            raise volume_error("geometry_unusable", self.role, problem=problems[0])


def volume_of_image(image: sitk.Image, role: str) -> Volume:
    """A SimpleITK image as a volume, trailing axes of one voxel dropped.

    Raises:
        VolumeError: If it is not three-dimensional with one real number a voxel.
        GeometryError: If its place in space cannot be used.
    """
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = sitk.Extract(image, [*image.GetSize()[:-1], 0], [0] * image.GetDimension())
    if image.GetDimension() != 3 or min(image.GetSize()) < 2:
        raise volume_error("not_three_dimensional", role, count=sum(length > 1 for length in image.GetSize()))
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in image.GetPixelIDTypeAsString():
        raise volume_error("unreadable", role, problem="its voxels are colour or complex, wanted one real number each")
    try:
        return volume_from_sitk(image)
    except GeometryError as error:
        raise volume_error("geometry_unusable", role, problem=str(error)) from error
