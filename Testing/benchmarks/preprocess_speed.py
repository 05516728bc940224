"""Time and memory of preprocessing a visit of 240 x 240 x 155, two sequences, stripped (run: ``pytest FILE``)."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.timeline.sitk_images import volume_from_sitk
from TemporalGliomaRisk.timeline.visit import SequenceName, Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Volume

SECONDS_WANTED = 2.0
MEGABYTES_WANTED = 2000.0


@pytest.fixture(scope="module")
def volumes(shared_data: Path) -> dict[SequenceName, Volume]:
    """A real stripped glioma, FLAIR and contrast-enhanced T1w, 1 mm."""
    folder = shared_data / "glioma_single" / "sub-01" / "anat"
    names: tuple[SequenceName, ...] = ("FLAIR", "ce-gd_T1w")
    return {name: volume_from_sitk(sitk.ReadImage(str(folder / f"sub-01_{name}.nii.gz"))) for name in names}


def visit_of(volumes: dict[SequenceName, Volume], seed: int) -> Visit:
    """The same brain with a little noise of its own, as another date would have."""
    random = np.random.default_rng(seed)
    sources = {}
    for name, volume in volumes.items():
        noise = random.normal(0, 0.02 * np.median(volume.voxels[volume.voxels > 0]), volume.voxels.shape)
        voxels = np.where(volume.voxels > 0, np.maximum(volume.voxels + noise, 1), 0).astype(np.int16)
        sources[name] = VolumeInMemory(volume=Volume(voxels=voxels, geometry=volume.geometry))
    return Visit(session_id=f"ses-{seed:02d}", days_since_first=seed, days_since_treatment=None, sources=sources)


@pytest.mark.benchmark(timer=time.process_time)  # processor time: other work on the machine does not count
@pytest.mark.parametrize("register", ["never", "auto"])
def test_a_later_visit_is_prepared_within_two_seconds(benchmark, volumes, register):
    config = PreprocessConfig(register=register)
    frame, _ = prepare_first_visit(visit_of(volumes, 0), config)
    later = visit_of(volumes, 1)
    prepared = benchmark.pedantic(prepare_visit, args=(later, frame, config), rounds=5, warmup_rounds=1)
    assert prepared.present.sum() == 2
    assert benchmark.stats.stats.median < SECONDS_WANTED
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0 if sys.platform != "darwin" else 1024.0**2)
    benchmark.extra_info["peak_megabytes"] = round(peak)
    assert peak < MEGABYTES_WANTED
