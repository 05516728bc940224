"""The folders are those of the design, nothing is forgotten in packaging, and the repository stays small."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "TemporalGliomaRisk"
FOLDERS = {"TemporalGliomaRisk", "Resources", "Testing", "scripted_modules", ".ci"}
MOST_BYTES = 60e6
"""Slicer's index refuses a clone over 100 MB; ours, with its history, stays under this."""


def git(*arguments: str) -> str:
    """What git says about this checkout."""
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Paths of every file in the repository."""
    return git("-c", "core.quotePath=false", "ls-files").splitlines()


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    """pyproject.toml."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def test_no_folder_stands_beside_those_of_the_design(tracked: list[str]) -> None:
    assert {path.split("/")[0] for path in tracked if "/" in path} - FOLDERS == set()


def test_testing_is_never_a_package(tracked: list[str]) -> None:
    assert [path for path in tracked if path.startswith("Testing/") and path.endswith("__init__.py")] == []


def test_files_and_history_stay_small(tracked: list[str]) -> None:
    files = sum((REPOSITORY / path).stat().st_size for path in tracked if (REPOSITORY / path).is_file())
    # As a clone would get it: in a checkout the same object can lie in several packs, or loose beside one.
    packed = subprocess.run(
        ["git", "pack-objects", "--revs", "--stdout", "-q"],
        cwd=REPOSITORY,
        input=b"HEAD\n",
        capture_output=True,
        check=True,
    )
    history = len(packed.stdout)

    assert files < MOST_BYTES
    assert history < MOST_BYTES


def test_every_package_of_the_tree_is_listed_for_the_wheel(project: dict[str, object]) -> None:
    in_tree = {
        path.parent.relative_to(REPOSITORY).as_posix().replace("/", ".") for path in PACKAGE.rglob("__init__.py")
    }

    assert set(project["tool"]["setuptools"]["packages"]) == in_tree | {"TemporalGliomaRisk.Resources"}


def test_a_wheel_holds_every_file_of_the_package_and_the_resources_that_run(tmp_path: Path, tracked: list[str]) -> None:
    for path in tracked:
        if (REPOSITORY / path).is_file():
            copy = tmp_path / "tree" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((REPOSITORY / path).read_bytes())
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(tmp_path / "tree")], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path for path in tracked if path.startswith("TemporalGliomaRisk/")}
    wanted |= {
        f"TemporalGliomaRisk/{path}"
        for path in tracked
        if path.startswith(("Resources/Models/", "Resources/SampleData/", "Resources/Templates/"))
    }

    assert wanted - shipped == set()
    assert [name for name in shipped if name.startswith(("Testing", "TemporalGliomaRisk/Resources/Screenshots"))] == []
