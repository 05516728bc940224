"""What the truth file says of a file is what the file shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TemporalGliomaRisk.simulate.anatomy import GRID_SHAPE
from TemporalGliomaRisk.simulate.scanner import ARTEFACTS, VERSION_1, AcquiredFile, VisitScanner, acquire

STILL = VisitScanner(angles_radians=np.zeros(3), shift_mm=np.zeros(3), snr=30.0, bias_strength=0.0)
PLAIN = replace(VERSION_1, gamma=0.0, gain=0.0, artefact_share=0.0)


def acquired(seed: int, artefact_share: float) -> tuple[AcquiredFile, np.ndarray]:
    """A file of even signal in a box, and the values in it."""
    brain = np.zeros(GRID_SHAPE, bool)
    brain[30:60, 30:70, 30:60] = True
    found = acquire(
        np.random.default_rng(seed),
        np.full(GRID_SHAPE, 100.0, np.float32),
        sequence="FLAIR",
        visit=STILL,
        growth=1.0,
        brain_index=np.nonzero(brain),
        brain=brain,
        white_signal=100.0,
        first_of_visit=True,
        ranges=replace(PLAIN, artefact_share=artefact_share),
    )
    return found, found.voxels[brain].astype(float)


@pytest.mark.parametrize("seed", range(3))
def test_the_noise_is_as_written(seed: int) -> None:
    found, values = acquired(seed, 0.0)
    assert found.artefacts == ()
    assert values.mean() / values.std() == pytest.approx(found.snr, rel=0.05)
    assert found.facts()["snr"] == pytest.approx(found.snr, abs=0.05)
    assert 1.0 <= found.slice_thickness_mm <= 5.5


def test_artefacts_are_named_as_they_were_made() -> None:
    found, values = acquired(1, 1.0)
    # Of a hole and a flow streak at one place the hole alone is made.
    assert found.artefacts == tuple(name for name in ARTEFACTS if name != "flow")
    assert values.min() < 0.3 * np.median(values)
    kinds = set()
    for seed in range(12):
        found, values = acquired(seed, 0.3)
        kinds |= set(found.artefacts)
        assert (values.min() < 0.3 * np.median(values)) == ("susceptibility" in found.artefacts)
    assert kinds == set(ARTEFACTS)
