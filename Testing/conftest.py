"""Fixtures shared by every test."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator
from pathlib import Path

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


@pytest.fixture(scope="session")
def write_dicom_series():
    """``Testing/dicom_writing.write_dicom_series``: a volume as one DICOM MR series."""
    spec = importlib.util.spec_from_file_location("dicom_writing", REPOSITORY / "Testing" / "dicom_writing.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_dicom_series


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
