"""In CI nothing skips unseen; shown by running pytest on small files with this project's own conftest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

SKIPS_A_TEST = "import pytest\n\ndef test_one():\n    pytest.skip({reason!r})\n"
SKIPS_A_FILE = "import pytest\npytest.skip({reason!r}, allow_module_level=True)\n"


def pytest_status(folder: Path, test: str, *, in_ci: bool) -> tuple[int, str]:
    """Exit status and output of pytest on one test file beside a copy of the conftest."""
    (folder / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "test_it.py").write_text(test, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    result = subprocess.run(
        [*command, f"--rootdir={folder}", str(folder / "test_it.py")],
        env=environment | ({"CI": "true"} if in_ci else {}),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout


@pytest.mark.parametrize("form", [SKIPS_A_TEST, SKIPS_A_FILE])
def test_a_skip_for_want_of_data_fails_in_ci_and_names_its_reason(tmp_path: Path, form: str) -> None:
    status, words = pytest_status(tmp_path, form.format(reason="no data here"), in_ci=True)

    assert status != 0
    assert "skipped was: no data here" in words


def test_the_same_skip_is_a_skip_elsewhere(tmp_path: Path) -> None:
    status, words = pytest_status(tmp_path, SKIPS_A_TEST.format(reason="no data here"), in_ci=False)

    assert status == 0
    assert "1 skipped" in words


@pytest.mark.parametrize("reason", ["needs a GPU", "needs a desktop Slicer, 5.10 or later"])
def test_what_needs_a_gpu_or_a_desktop_slicer_may_skip_in_ci(tmp_path: Path, reason: str) -> None:
    status, words = pytest_status(tmp_path, SKIPS_A_TEST.format(reason=reason), in_ci=True)

    assert status == 0
    assert "1 skipped" in words


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    test = "import pytest\n\n@pytest.mark.xfail(reason='known')\ndef test_one():\n    raise ValueError\n"
    status, words = pytest_status(tmp_path, test, in_ci=True)

    assert status == 0
    assert "1 xfailed" in words
