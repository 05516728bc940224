"""NRRD and MetaImage: the same voxels at the same places as ITK reads, whatever writes them."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.sitk_images import sitk_from_volume, volume_from_sitk
from TemporalGliomaRisk.timeline.volume import Volume


def same(path) -> None:
    ours, peer = VolumeFile(path=path, role="a test").read(), volume_from_sitk(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(ours.voxels, peer.voxels)
    assert ours.voxels.dtype == peer.voxels.dtype
    np.testing.assert_allclose(ours.geometry.ijk_to_ras, peer.geometry.ijk_to_ras, atol=1e-6)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("suffix", ["nrrd", "mha"])
def test_an_oblique_volume_written_by_itk_reads_as_itk_reads_it(tmp_path, oblique, suffix, zipped, kind):
    voxels = np.random.default_rng(1).integers(0, 100, (7, 5, 6)).astype(kind)
    volume = Volume(voxels=voxels, geometry=oblique((7, 5, 6), (1.5, 2.0, 3.0)))
    path = tmp_path / f"x.{suffix}"
    sitk.WriteImage(sitk_from_volume(volume), str(path), useCompression=zipped)
    same(path)
    read = VolumeFile(path=path, role="a test").read()
    np.testing.assert_array_equal(read.voxels, voxels)
    np.testing.assert_allclose(read.geometry.ijk_to_ras, volume.geometry.ijk_to_ras, atol=1e-5)


@pytest.mark.parametrize("endian", ["big", "little"])
@pytest.mark.parametrize("space", ["left-posterior-superior", "RAS", "right-anterior-superior", "LAS"])
def test_every_space_of_nrrd_and_either_byte_order_read_as_itk_reads_them(tmp_path, space, endian):
    voxels = np.arange(2 * 3 * 4, dtype=">i2" if endian == "big" else "<i2")
    header = (
        f"NRRD0005\n# a comment\ntype: short\ndimension: 3\nspace: {space}\nsizes: 4 3 2\nkinds: domain domain domain\n"
        "space directions: (1.2,0.9,0) (-1.2,1.6,0) (0,0,-3)\n"
        f"endian: {endian}\nencoding: raw\nspace origin: (10,-20,30.5)\nkey:=value\n\n"
    )
    path = tmp_path / "x.nrrd"
    path.write_bytes(header.encode() + voxels.tobytes())
    same(path)
