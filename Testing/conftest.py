"""Fixtures shared by every test."""

# ruff: noqa: PLC0415  (heavy imports wait for the fixture that needs them: some environments here have no torch)

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real MRI beside the checkout; tests that need it skip, by name, where it isn't there."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail("shared/data must lie beside the checkout in CI, where none of its tests may skip.")
        pytest.skip("shared/data is not beside this checkout")
    return folder


def file_of_tests(path: str, name: str) -> Any:
    """A file in Testing as a module of its own, for no folder of tests is on Python's path."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "Testing" / path)
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write_dicom_series():
    """``Testing/dicom_writing.write_dicom_series``: a volume as one DICOM MR series."""
    return file_of_tests("dicom_writing.py", "dicom_writing").write_dicom_series


@pytest.fixture(scope="session")
def markers() -> Any:
    """``Testing/privacy/test_markers.py``: the markers, and how they are looked for."""
    return file_of_tests("privacy/test_markers.py", "privacy_markers")


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained, seeded ``evidence`` bundle of two members, maps not flat, so that tests need no weights."""
    import torch

    from TemporalGliomaRisk.bundle import write_bundle
    from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel
    from TemporalGliomaRisk.encode.pairs import OrderHead
    from TemporalGliomaRisk.preprocess.config import PreprocessConfig
    from TemporalGliomaRisk.risk.calibration import Calibration

    torch.manual_seed(7)
    config = EvidenceConfig(feature_channels=8, convolutions=2, comparison_channels=8, history_channels=8)
    network = EvidenceModel(config, members=2).eval()
    with torch.no_grad():
        # Lively enough that the highest place of a map has some 20 times the median, and risks stay near the prior.
        for layer in [*network.encoder.stems, *network.encoder.layers]:
            layer.weight.mul_(2)
        for head in [*network.members, network.single]:
            head.growth_gain.fill_(1.0)
            head.comparison.mix.weight.mul_(3)
            head.growth.weight.mul_(3)
            head.local_last.weight.mul_(20)
    order = OrderHead(config).eval()
    with torch.no_grad():
        order.comparison.mix.weight.mul_(3)
        order.order_pooled.weight.mul_(10)
    folder = tmp_path_factory.mktemp("bundle") / "small"
    write_bundle(
        folder,
        network=network,
        order=order,
        preprocessing=PreprocessConfig(),
        calibration=Calibration(background_scale=0.8, local_scale=1.3),
        single_visit_calibration=Calibration(background_scale=1.1, local_scale=1.1),
        metadata={
            "name": "small",
            "version": "0.1.0",
            "trained_on": "nothing",
            "caveat": "Research use only; untrained.",
            "trained_gaps_days": [28, 400],
        },
        card="# small\n\nAn untrained network for tests.\n",
        licence="Apache-2.0\n",
    )
    return folder


@pytest.fixture(scope="session")
def simulated_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BIDS root of two simulated patients: sub-00027 (T2w, ce-gd_T1w; an event) and sub-00018 (FLAIR; none)."""
    from TemporalGliomaRisk.simulate.cohort import PARTICIPANT_COLUMNS, write_patient
    from TemporalGliomaRisk.simulate.config import SimulationConfig

    folder = tmp_path_factory.mktemp("simulated")
    rows = [write_patient((SimulationConfig(), 20261, number, folder))[1] for number in (18, 27)]
    lines = ["\t".join(PARTICIPANT_COLUMNS)]
    lines += ["\t".join(str(row[name]) for name in PARTICIPANT_COLUMNS) for row in rows]
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def simulated_patient(simulated_cohort: Path) -> Path:
    """The simulated patient with an event, three visits in BIDS form, on an oblique grid."""
    return simulated_cohort / "sub-00027"


def pytest_configure() -> None:
    """A run in a shell's background ignores Ctrl-C, and so would the commands that tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


MAY_SKIP_IN_CI = ("needs a GPU", "needs a desktop Slicer")
"""How the reason of a skip begins that is right on a machine of CI; there, every other skip is a failure."""


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where CI is set, unless its reason is one of those that CI cannot help."""
    if not os.environ.get("CI") or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(MAY_SKIP_IN_CI):
        report.outcome = "failed"
        report.longrepr = f"Nothing may skip in CI but what {' or '.join(MAY_SKIP_IN_CI)}; skipped was: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge the skip of a test."""
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge the skip of a whole file."""
    report = yield
    refuse_skip(report)
    return report
