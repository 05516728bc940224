"""What the worker's tests share: a small request that takes a second or two, and processes seen from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk.worker.client import WorkerClient


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One thread, so that bits compare, and a cache of that file's tests alone."""
    cache = tmp_path_factory.mktemp("worker-cache")
    return {**os.environ, "TEMPORAL_GLIOMA_RISK_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def rows(simulated_patient: Path) -> list[dict[str, Any]]:
    """Two visits, one sequence, as a host names volumes of its scene."""
    name = simulated_patient.name
    return [
        {
            "path": simulated_patient / f"ses-0{visit}" / "anat" / f"{name}_ses-0{visit}_T2w.nii.gz",
            "sequence": "T2w",
            "days_since_first_scan": 100 * (visit - 1),
        }
        for visit in (1, 2)
    ]


@pytest.fixture(scope="session")
def quick(simulated_patient: Path, small_bundle: Path) -> dict[str, Any]:
    """Options with which that takes about a second."""
    name = simulated_patient.name
    mask = simulated_patient.parent / "truth" / name / f"{name}_desc-brain_mask.nii.gz"
    return {"model": small_bundle, "mask": mask, "register": "never"}


@pytest.fixture(scope="module")
def client(environment: dict[str, str]) -> Iterator[WorkerClient]:
    """A worker that a whole file's tests share; each leaves it idle."""
    with WorkerClient(environment=environment) as shared:
        shared.start()
        yield shared


@pytest.fixture(scope="session")
def gone() -> Callable[[int, float], bool]:
    """Whether a process has ended within some seconds; a zombie has."""

    def wait(pid: int, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while _alive(pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    return wait


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
