"""What the worker lacks is asked for once and installed the right way; what fails says the way out."""

# ruff: noqa: N803  (Slicer's own names)

from __future__ import annotations

import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from TemporalGliomaRisk.errors import UsageError

REPOSITORY = Path(__file__).resolve().parents[2]


class Slicer:
    """What was asked and installed, with a list of what is there."""

    def __init__(self, dependencies: Any, *, lacks: set[str]) -> None:
        self.lacking = set(lacks)
        self.questions: list[str] = []
        self.answer = True
        self.installed: list[tuple[str, list[str]]] = []
        self._dependencies = dependencies

    def missing(self, requirements: Any) -> list[str]:
        return [one for one in requirements if re.match(r"[\w-]+", one).group() in self.lacking]

    def ask(self, question: str, details: str) -> bool:
        self.questions.append(question)
        return self.answer

    def install(self, how: str, requirements: Any) -> None:
        self.installed.append((how, list(requirements)))
        self.lacking -= {re.match(r"[\w-]+", one).group() for one in requirements}


@pytest.fixture
def dependencies(helper: Callable[[str], Any]) -> Any:
    return helper("dependencies")


@pytest.fixture
def host(dependencies: Any, monkeypatch: pytest.MonkeyPatch) -> Slicer:
    """A Slicer 5.12 with the PyTorch extension, and nothing that the worker needs."""
    import slicer  # noqa: PLC0415

    made = Slicer(dependencies, lacks={"torch", "monai", "jinja2"})
    monkeypatch.setattr(dependencies, "missing", made.missing)
    monkeypatch.setattr(dependencies, "is_own_python", lambda: True)
    packaging = types.ModuleType("slicer.packaging")
    packaging.pip_ensure = lambda wanted, prompt_install, requester: made.install("pip_ensure", wanted)
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    extension = types.ModuleType("PyTorchUtils")

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation: bool = False, torchVersionRequirement: str | None = None) -> None:
            made.install(f"extension, asks again: {askConfirmation}", [f"torch{torchVersionRequirement}"])

    extension.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    monkeypatch.setattr(slicer.util, "showStatusMessage", lambda *given: None)
    return made


def test_all_is_asked_for_once_torch_by_its_extension_and_the_rest_by_slicer(dependencies: Any, host: Slicer) -> None:
    assert dependencies.ensure_for_worker(host.ask)
    assert dependencies.ensure_for_worker(host.ask)

    assert len(host.questions) == 1
    assert host.installed == [
        ("extension, asks again: False", ["torch>=2.8"]),
        ("pip_ensure", ["monai>=1.6,<2", "jinja2>=3.1,<4"]),
    ]


def test_a_no_installs_nothing(dependencies: Any, host: Slicer) -> None:
    host.answer = False

    assert not dependencies.ensure_for_worker(host.ask)
    assert host.installed == []


def test_an_institution_s_own_python_is_left_alone(
    dependencies: Any, host: Slicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "is_own_python", lambda: False)

    assert dependencies.ensure_for_worker(host.ask)
    assert host.questions == []


def test_slicer_5_10_installs_by_its_own_older_way(
    dependencies: Any, host: Slicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", lambda wanted: host.install("pip_install", wanted), raising=False)
    dependencies.ensure_for_worker(host.ask)

    assert host.installed[-1][0] == "pip_install"


def test_without_the_pytorch_extension_the_way_out_is_named(
    dependencies: Any, host: Slicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)

    with pytest.raises(UsageError, match="Install the extension PyTorch in the Extensions Manager"):
        dependencies.ensure_for_worker(host.ask)


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError("y"), subprocess.CalledProcessError(1, "pip")])
def test_a_failed_installation_is_one_sentence_with_the_offline_way(
    dependencies: Any, host: Slicer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", fail)

    with pytest.raises(UsageError, match="could not be installed") as raised:
        dependencies.ensure_for_worker(host.ask)
    assert "--no-index" in str(raised.value)
    assert "GliomaRisk/WorkerPython" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_installation_that_installed_nothing_is_a_failure(
    dependencies: Any, host: Slicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", lambda *given, **named: None)

    with pytest.raises(UsageError, match="monai"):
        dependencies.ensure_for_worker(host.ask)


def test_versions_are_read_without_importing_anything(dependencies: Any) -> None:
    assert dependencies.missing(("numpy>=1.26,<3", "jsonschema>=4.20,<5")) == []
    assert dependencies.missing(("numpy>=99", "no-such-package>=1")) == ["numpy>=99", "no-such-package>=1"]


def test_the_ranges_are_those_of_the_package_itself(dependencies: Any) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = set(project["dependencies"])
    with_slicer = ("numpy", "scipy", "SimpleITK")

    assert set(dependencies.REQUIREMENTS) | {f"{dependencies.TORCH},<3"} == {
        one for one in own if not one.startswith(with_slicer)
    }
    assert set(dependencies.DICOM_EXPORT) == set(project["optional-dependencies"]["dicom-export"])


def test_the_worker_s_python_is_slicer_s_unless_another_is_named(
    dependencies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer  # noqa: PLC0415

    monkeypatch.delenv("TEMPORAL_GLIOMA_RISK_PYTHON", raising=False)
    monkeypatch.setattr(dependencies.shutil, "which", lambda name: f"/opt/slicer/bin/{name}")
    assert dependencies.worker_python() == ("/opt/slicer/bin/PythonSlicer", None)

    monkeypatch.setattr(slicer.util, "startupEnvironment", lambda: {"PATH": "/usr/bin"})
    monkeypatch.setenv("TEMPORAL_GLIOMA_RISK_PYTHON", "/env/python")
    assert dependencies.worker_python() == ("/env/python", {"PATH": "/usr/bin"})
    monkeypatch.setattr(slicer.util, "settingsValue", lambda name, default, converter=None: "/named/python")
    assert dependencies.worker_python()[0] == "/named/python"
    assert not dependencies.is_own_python()
