"""The anatomies that patients are made from: tissue maps at 1 mm in MNI space, read once a process.

``mni152`` comes with nilearn's wheel, ``colin27`` lies beside this file, further ones in a folder of the user's: a
sub-folder each, with ``grey.nii.gz``, ``white.nii.gz`` and ``fluid.nii.gz`` (0 to 255, 1 mm, MNI space, axes of even
length along right, anterior and superior) and the licence.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.simulate.randomness import Float32Array
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk
from TemporalGliomaRisk.timeline.volume import FloatArray, Geometry

COLIN27_FILE = Path(__file__).parent / "anatomies" / "colin27_t1.nii.gz"
TEMPLATE_CENTRE_MNI_MM = np.array([0.0, -17.0, 5.0])
TEMPLATE_BRAIN = (slice(20, 178), slice(20, 216), slice(0, 162))
"""The part of the 1 mm template that holds the brain; even lengths."""
BUILT_IN = ("mni152", "colin27")
FOLDER_MAPS = ("grey", "white", "fluid")
COLIN27_SIGNALS = {"fluid": 38.0, "grey": 86.0, "white": 112.0}
"""Peaks of the T1 signal's histogram; a voxel between two is a mixture of the two."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """Tissue maps at 1 mm, lightly smoothed against aliasing: grey, white and fluid fractions, brain, T1 detail."""

    grey: Float32Array
    white: Float32Array
    fluid: Float32Array
    brain: Float32Array
    detail: Float32Array
    ventricles: Float32Array
    centre_index: FloatArray


def template_file(tissue: str) -> Path:
    """One of nilearn's MNI152 maps (nilearn itself is not imported).

    Raises:
        UsageError: If nilearn is not installed.
    """
    found = importlib.util.find_spec("nilearn")
    if found is None or not found.submodule_search_locations:
        raise UsageError("The simulator needs the MNI152 maps in nilearn's wheel: pip install nilearn.")
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "data"
    return folder / f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz"


@functools.lru_cache(maxsize=4)
def further_anatomies(folder: Path | None) -> dict[str, str]:
    """Names of the anatomies in a folder of the user's, each with a SHA-256 of its maps' hashes.

    Raises:
        UsageError: If the folder holds no anatomy, or a name is a built-in one's.
    """
    if folder is None:
        return {}
    found: dict[str, str] = {}
    for place in sorted(path for path in folder.glob("*") if path.is_dir()):
        maps = [place / f"{name}.nii.gz" for name in FOLDER_MAPS]
        if all(path.is_file() for path in maps):
            found[place.name] = " ".join(sha256_of(path)[:16] for path in maps)
    if not found or set(found) & set(BUILT_IN):
        raise UsageError(
            "--anatomies needs a folder with a sub-folder for each anatomy, named unlike mni152 and colin27, that "
            "holds grey.nii.gz, white.nii.gz and fluid.nii.gz; there is none, or a name is taken. Correct the folder."
        )
    return found


@functools.lru_cache(maxsize=4)
def load_template(name: str = "mni152", folder: Path | None = None) -> Template:
    """An anatomy's maps, read once a process.

    Raises:
        UsageError: If its files are missing or not of the form that this file's text says.
    """
    if name == "mni152":
        return _load_mni152()
    if name == "colin27":
        return _load_colin27()
    if folder is None:
        raise UsageError(f"The anatomy {name} lies in a folder of yours; name it with --anatomies.")
    return _load_folder(folder / name)


def _read(path: Path) -> tuple[Float32Array, Geometry]:
    volume = volume_from_sitk(sitk.ReadImage(str(path)))
    return volume.voxels, volume.geometry


def _load_mni152() -> Template:
    maps = {}
    for tissue in ("t1", "gm", "wm"):
        voxels, geometry = _read(template_file(tissue))
        maps[tissue] = voxels[TEMPLATE_BRAIN].astype(np.float32) / 255.0
    head = ndimage.binary_fill_holes(ndimage.binary_closing(maps["t1"] > 0, iterations=2))
    fluid = np.clip(1.0 - maps["gm"] - maps["wm"], 0.0, 1.0)
    centre = geometry.to_ijk(TEMPLATE_CENTRE_MNI_MM) - [part.start for part in TEMPLATE_BRAIN]
    return _finished((maps["gm"], maps["wm"], fluid), head, maps["t1"], centre)


def _load_colin27() -> Template:
    """Tissue fractions straight from the T1 signal of one person's brain, averaged over 27 acquisitions."""
    voxels, geometry = _read(COLIN27_FILE)
    signal = voxels.astype(np.float32)
    levels = COLIN27_SIGNALS
    grey_share = np.clip((signal - levels["fluid"]) / (levels["grey"] - levels["fluid"]), 0.0, 1.0)
    white = np.clip((signal - levels["grey"]) / (levels["white"] - levels["grey"]), 0.0, 1.0)
    head = voxels > 0
    fluid = np.where(head, 1.0 - grey_share, 1.0).astype(np.float32)
    grey = np.where(head, grey_share - white, 0.0).astype(np.float32)
    white = np.where(head, white, 0.0).astype(np.float32)
    mixture = (0.62 * grey + 0.83 * white + 0.40 * fluid).astype(np.float32)
    return _finished((grey, white, fluid), head, mixture, geometry.to_ijk(TEMPLATE_CENTRE_MNI_MM))


def _load_folder(folder: Path) -> Template:
    maps = {name: _read(folder / f"{name}.nii.gz") for name in FOLDER_MAPS}
    geometry = maps["grey"][1]
    straight = np.allclose(geometry.ijk_to_ras[:3, :3], np.eye(3), atol=1e-3)
    if not straight or any(not geometry.same_as(other) for _, other in maps.values()) or any(np.mod(geometry.shape, 2)):
        raise UsageError(
            f"The maps of the anatomy {folder.name} must share one grid of 1 mm along right, anterior and superior "
            "with even lengths. Resample them."
        )
    grey, white, fluid = (maps[name][0].astype(np.float32) / 255.0 for name in FOLDER_MAPS)
    head = ndimage.binary_fill_holes(ndimage.binary_closing(grey + white + fluid > 0.5, iterations=2))
    fluid = np.maximum(fluid, 1.0 - grey - white - fluid)
    mixture = (0.62 * grey + 0.83 * white + 0.40 * fluid).astype(np.float32)
    return _finished((grey, white, fluid), head, mixture, geometry.to_ijk(TEMPLATE_CENTRE_MNI_MM))


def _finished(
    tissues: tuple[Float32Array, Float32Array, Float32Array],
    head: np.ndarray,
    t1: Float32Array,
    centre_index: FloatArray,
) -> Template:
    """Sharpen the maps, find ventricles and what T1 shows beyond the mixture of tissues."""
    sharpened = [tissue**1.7 for tissue in tissues]
    total = np.maximum(sum(sharpened), 1e-6)
    grey, white, fluid = (np.where(head, part / total, 0.0) for part in sharpened)
    fluid = np.where(head, fluid, 1.0)
    mixture = 0.62 * grey + 0.83 * white + 0.40 * fluid
    detail = np.where(head, np.clip(t1 - mixture, -0.15, 0.15), 0.0)
    deep = ndimage.distance_transform_edt(head[::2, ::2, ::2]) > 9.0
    deep_fluid = ((fluid[::2, ::2, ::2] > 0.5) & deep).astype(np.float32)
    ventricles = ndimage.zoom(ndimage.gaussian_filter(deep_fluid, 3.0), 2, order=1)
    smoothed = [ndimage.gaussian_filter(part.astype(np.float32), 0.6) for part in (grey, white, fluid, head, detail)]
    return Template(
        grey=smoothed[0],
        white=smoothed[1],
        fluid=smoothed[2],
        brain=smoothed[3],
        detail=smoothed[4],
        ventricles=ventricles.astype(np.float32),
        centre_index=centre_index,
    )
