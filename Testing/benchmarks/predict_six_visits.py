"""Six visits of 240 x 240 x 155, two sequences, stripped: time of each stage and peak memory, on two cores.

Run by name on a quiet machine: ``python -m pytest Testing/benchmarks/predict_six_visits.py -s``. Visits are one real
glioma with noise of their own. Each measurement runs in a process of its own, whose peak memory is taken.
"""

# ruff: noqa: PLC0415  (the measuring process must not be weighed down by what only the others need)

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

VISITS, REPEATS = 6, 3
PREPARE_WANTED_S, MODEL_AND_MAPS_WANTED_S, MEMORY_WANTED_MB = 2.0, 3.0, 2000.0


@pytest.fixture(scope="module")
def six_visits(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BIDS patient of six visits with FLAIR and contrast-enhanced T1w."""
    import numpy as np
    import SimpleITK as sitk

    patient = tmp_path_factory.mktemp("six") / "sub-01"
    random = np.random.default_rng(0)
    for name in ("FLAIR", "ce-gd_T1w"):
        image = sitk.ReadImage(str(shared_data / "glioma_single" / "sub-01" / "anat" / f"sub-01_{name}.nii.gz"))
        voxels = sitk.GetArrayFromImage(image).astype(np.float32)
        for visit in range(1, VISITS + 1):
            noise = random.normal(0, 0.02 * np.median(voxels[voxels > 0]), voxels.shape)
            noisy = sitk.GetImageFromArray(np.where(voxels > 0, np.maximum(voxels + noise, 1), 0).astype(np.int16))
            noisy.CopyInformation(image)
            folder = patient / f"ses-{visit:02d}" / "anat"
            folder.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(noisy, str(folder / f"sub-01_ses-{visit:02d}_{name}.nii.gz"), True)
    days = "".join(f"ses-{visit:02d}\t{120 * visit}\n" for visit in range(1, VISITS + 1))
    (patient / "sub-01_sessions.tsv").write_text("session_id\tdays_since_treatment\n" + days, encoding="utf-8")
    return patient


@pytest.fixture(scope="module")
def full_size_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained bundle of the sizes that are shipped: three members."""
    import torch

    from TemporalGliomaRisk.bundle import write_bundle
    from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel
    from TemporalGliomaRisk.preprocess.config import PreprocessConfig
    from TemporalGliomaRisk.risk.calibration import Calibration

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bundle") / "full"
    write_bundle(
        folder,
        network=EvidenceModel(EvidenceConfig(), members=3),
        preprocessing=PreprocessConfig(),
        calibration=Calibration(),
        single_visit_calibration=Calibration(),
        metadata={"name": "full", "version": "0", "caveat": "Untrained."},
        card="Untrained.\n",
        licence="Apache-2.0\n",
    )
    return folder


def megabytes() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0 if sys.platform != "darwin" else 1024.0**2)


def measure(patient: Path, bundle: Path, register: str, output: Path) -> dict[str, float]:
    """One run, stage by stage, seconds and MB."""
    import torch

    from TemporalGliomaRisk.bundle import load_bundle
    from TemporalGliomaRisk.pipeline import PredictOptions, predict_risk
    from TemporalGliomaRisk.results import write_results
    from TemporalGliomaRisk.timeline.reading import read_timeline

    torch.set_num_threads(2)
    began = time.perf_counter()
    options = PredictOptions(device="cpu", register="never" if register == "never" else "auto")
    prediction = predict_risk(read_timeline(patient), load_bundle(bundle), options=options)
    found = {
        "prepare a visit": prediction.seconds["prepare"] / VISITS,
        "encoder": prediction.seconds["encode"],
        "hazards": prediction.seconds["hazards"],
        "predict_risk": time.perf_counter() - began,
    }
    began = time.perf_counter()
    for number, result in enumerate(prediction.visits, start=1):
        prediction.change(number, result.heatmap().volume)
    found["maps"] = time.perf_counter() - began
    found["model and maps"] = found["encoder"] + found["hazards"] + found["maps"]
    found["MB without writing"] = megabytes()
    began = time.perf_counter()
    write_results(prediction, output)
    found["write all"] = time.perf_counter() - began
    found["MB"] = megabytes()
    return found


@pytest.mark.parametrize("register", ["never", "auto"])
def test_six_visits_keep_to_time_and_memory(
    six_visits: Path, full_size_bundle: Path, tmp_path: Path, register: str
) -> None:
    runs = []
    for repeat in range(REPEATS):
        given = [six_visits, full_size_bundle, register, tmp_path / str(repeat)]
        command = [sys.executable, __file__, *map(str, given)]
        runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    rows = [f"  {name:20s} {value:9.2f}" for name, value in middle.items()]
    print("\n".join([f"\n--register {register}, median of {REPEATS} runs, seconds (memory in MB)", *rows]))  # noqa: T201
    assert middle["prepare a visit"] < PREPARE_WANTED_S
    assert middle["model and maps"] < MODEL_AND_MAPS_WANTED_S
    assert middle["MB"] < MEMORY_WANTED_MB


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))))  # noqa: T201
