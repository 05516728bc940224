"""What is imported is declared, and what is declared is used."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

TOOLS = {
    "mypy",
    "pre-commit",
    "pytest-benchmark",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "setuptools",
    "types-jsonschema",
    "types-tqdm",
}
"""Declared for development and run or loaded by name, never imported by a file of ours."""

HOSTED = {"vtk", "qt", "ctk"}
"""What Slicer itself brings."""

OWNERS = {"slicer": ["slicer-core"]}
"""Modules that several distributions put files into, and the one meant."""

SUPPORT = {path.stem for path in (REPOSITORY / "Testing").rglob("*.py")} | {"GliomaRisk", "GliomaRiskWidgets"}
"""Files of ours that tests share, and the Slicer module."""

FETCHED = {"atheris"}
"""What one target of the Makefile installs for itself, where there is a build of it."""


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    """Names of the dependencies, with those of the extras named."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {normalised(re.match(r"[\w.-]+", line).group()) for line in lines} - {"temporalgliomarisk"}


def imported(folder: str) -> set[str]:
    """Distributions whose modules the files of a folder import, at any depth."""
    modules: set[str] = set()
    for path in (REPOSITORY / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("find_spec", "import_module")):
                # A package whose files are read without importing it is asked for by name.
                modules |= {
                    str(given.value).split(".")[0] for given in node.args[:1] if isinstance(given, ast.Constant)
                }
    foreign = modules - set(sys.stdlib_module_names) - HOSTED - SUPPORT - FETCHED - {"TemporalGliomaRisk"}
    owners = {**importlib.metadata.packages_distributions(), **OWNERS}
    return {normalised(owner) for module in foreign for owner in owners.get(module, [module])}


def test_the_package_imports_only_what_it_declares_for_users() -> None:
    extras = set(PROJECT["optional-dependencies"]) - {"dev"}

    assert imported("TemporalGliomaRisk") - declared(*extras) == set()


def test_the_tests_import_only_what_is_declared() -> None:
    assert imported("Testing") - declared(*PROJECT["optional-dependencies"]) == set()


def test_what_users_install_is_imported_by_the_package() -> None:
    extras = set(PROJECT["optional-dependencies"]) - {"dev"}

    assert declared(*extras) - imported("TemporalGliomaRisk") == set()


def test_what_developers_install_is_imported_or_run() -> None:
    used = imported("TemporalGliomaRisk") | imported("Testing") | TOOLS

    assert declared(*set(PROJECT["optional-dependencies"])) - used == set()


def test_every_dependency_carries_a_reason_and_a_lower_bound() -> None:
    lines = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    requirements = [line for line in lines if re.match(r'    "[\w.-]+[><=].*",', line)]

    assert len(requirements) >= len(PROJECT["dependencies"])
    assert [line for line in requirements if "#" not in line or ">=" not in line] == []


def test_the_lock_pins_every_declared_package_once_a_python() -> None:
    lock = (REPOSITORY / "requirements-dev.lock").read_text(encoding="utf-8").splitlines()
    pins = {normalised(line.split("==")[0]) for line in lock if "==" in line and not line.startswith("#")}

    assert declared(*set(PROJECT["optional-dependencies"])) - pins == set()
    assert [name for name in pins if name.startswith(("nvidia-", "cuda-", "triton"))] == []
