"""Small prepared patients in memory."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from TemporalGliomaRisk.learn.stored_patient import StoredPatient

SHAPE = (24, 28, 20)
SCIENCE = Path(__file__).resolve().parents[2] / "science"


@pytest.fixture(scope="session")
def science() -> Callable[[str], ModuleType]:
    """Imports a script of Testing/science by its name; they lie beside each other and in no package."""

    def script(name: str) -> ModuleType:
        sys.path.insert(0, str(SCIENCE))
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(str(SCIENCE))

    return script


@pytest.fixture(scope="session")
def make_stored() -> Callable[..., StoredPatient]:
    """A patient of FLAIR and contrast-enhanced T1w whose lesion is a cube that grows by a voxel a visit, or stays."""

    def make(number: int, *, visits: int = 3, grows: bool = True, truth: bool = True) -> StoredPatient:
        random = np.random.default_rng(number)
        brain = np.zeros(SHAPE, bool)
        brain[2:22, 2:26, 2:18] = True
        lesions = np.zeros((visits, *SHAPE), bool)
        for visit in range(visits):
            edge = 3 + (visit if grows else 0)
            lesions[visit, 10 : 10 + edge, 11 : 11 + edge, 9 : 9 + edge] = True
        anatomy, noise = random.normal(0, 0.4, (2, *SHAPE)), random.normal(0, 0.2, (visits, 2, *SHAPE))
        volumes = anatomy + noise + 3.0 * lesions[:, None]
        return StoredPatient(
            patient_id=f"sub-{number:05d}",
            days_since_first=100.0 * np.arange(visits),
            days_since_treatment=100.0 * np.arange(visits) + 40.0,
            present=np.array([[True, False, False, True]] * visits),
            volumes=(volumes * brain).reshape(-1, *SHAPE).astype(np.float16),
            brain=brain,
            lesions=lesions if truth else None,
            event_observed=grows,
            follow_up_days=100.0 * visits + 30.0,
            truth=None,
        )

    return make
