"""The extension holds every file it needs, and what it would install loads from where Slicer would put it."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RENEW = "Run `python Testing/desktop/cmake_lists.py --write`."


@pytest.mark.parametrize("variable", ["PACKAGE_SCRIPTS", "PACKAGE_RESOURCES", "MODULE_PYTHON_SCRIPTS"])
def test_cmake_lists_every_file_of_the_tree_and_no_other(variable: str, cmake_lists: Any) -> None:
    listed, wanted = cmake_lists.listed(variable), cmake_lists.wanted()[variable]

    assert {"missing": sorted(set(wanted) - set(listed)), "too many": sorted(set(listed) - set(wanted))} == {
        "missing": [],
        "too many": [],
    }, RENEW
    assert len(listed) == len(set(listed))


def test_cmake_lists_the_model_the_schemas_the_samples_and_the_panel(cmake_lists: Any) -> None:
    listed = cmake_lists.listed("PACKAGE_RESOURCES")

    assert {
        "Resources/Models/evidence-simulated-5/models/model.safetensors",
        "Resources/Models/evidence-simulated-5/LICENSE",
        "Resources/SampleData/sub-01/sub-01_sessions.tsv",
        "Resources/UI/GliomaRisk.ui",
        "Resources/Icons/GliomaRisk.png",
        "TemporalGliomaRisk/report/schemas/risk.schema.json",
        "TemporalGliomaRisk/report/templates/report.html.j2",
    } <= set(listed)
    assert [
        name
        for name in listed
        if name.endswith(".pyc") or name.startswith(("Testing", "Resources/Icons/GliomaRisk.svg"))
    ] == []


def test_only_the_module_itself_lies_directly_in_the_modules_folder() -> None:
    assert [path.name for path in (REPOSITORY / "scripted_modules").glob("*.py")] == ["GliomaRisk.py"]


def settings() -> dict[str, str]:
    """What the root CMakeLists.txt sets on one line each."""
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\((\w+) "?([^"\n]*?)"?\)$', text, re.MULTILINE))


NOWHERE = {"HOMEPAGE": "NA", "ICONURL": "", "SCREENSHOTURLS": ""}
"""What the addresses are as long as the extension is not public."""


def test_the_extension_says_all_that_slicer_s_index_asks_for() -> None:
    said = settings()

    for name in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "DEPENDS"):
        assert said[f"EXTENSION_{name}"], name
    assert "Research use only, trained on simulated data." in said["EXTENSION_DESCRIPTION"]
    for name in ("LICENSE", "README"):
        file = said[f"EXTENSION_{name}_FILE"].replace("${CMAKE_CURRENT_SOURCE_DIR}", str(REPOSITORY))
        assert Path(file).is_file()


def test_addresses_are_all_real_or_all_left_out() -> None:
    said = {name: settings()[f"EXTENSION_{name}"] for name in NOWHERE}
    entry = json.loads((REPOSITORY / "Resources" / "TemporalGliomaRisk.json").read_text(encoding="utf-8"))
    if said == NOWHERE:
        assert (entry["scm_type"], entry["scm_url"]) == ("local", "..")
        assert (REPOSITORY / "Resources" / entry["scm_url"] / "CMakeLists.txt").is_file()
        return
    assert entry.get("scm_type", "git") == "git"
    assert entry["scm_url"].removesuffix(".git") == said["HOMEPAGE"]
    for address in (said["ICONURL"], *said["SCREENSHOTURLS"].split()):
        assert (REPOSITORY / address.split("/main/", maxsplit=1)[1]).is_file()


def test_pictures_for_the_index_are_png_files_of_the_repository() -> None:
    for name in ("Icons/GliomaRisk.png", "Screenshots/panel.png", "Screenshots/montage.png"):
        assert (REPOSITORY / "Resources" / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    icon = (REPOSITORY / "Resources" / "Icons" / "GliomaRisk.png").read_bytes()
    assert struct.unpack(">II", icon[16:24]) == (128, 128)


ENTRY = {
    "$schema": {"type": "string"},
    "category": {"type": "string"},
    "scm_url": {"type": "string"},
    "scm_revision": {"type": "string"},
    "scm_type": {"enum": ["git", "local"]},
    "build_dependencies": {"type": "array", "items": {"type": "string"}},
    "build_subdirectory": {"type": "string"},
    "enabled": {"type": "boolean"},
    "tier": {"type": "integer", "minimum": 1, "maximum": 5},
}
"""What Slicer's schema of catalogue entries, version 1.0.2, allows; it has some properties that no entry here needs."""


def test_the_index_entry_is_one_by_slicer_s_schema_and_agrees_with_cmake() -> None:
    entry = json.loads((REPOSITORY / "Resources" / "TemporalGliomaRisk.json").read_text(encoding="utf-8"))
    said = settings()
    required = ["$schema", "category", "scm_url"]
    schema = {"type": "object", "required": required, "properties": ENTRY, "additionalProperties": False}

    jsonschema.validate(entry, schema)
    assert entry["category"] == said["EXTENSION_CATEGORY"]
    assert entry["build_dependencies"] == [said["EXTENSION_DEPENDS"]]


LOAD_INSTALLED = """
import importlib.util, pathlib, sys, tempfile
modules, standins_file = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(modules))
spec = importlib.util.spec_from_file_location("standins", standins_file)
standins = importlib.util.module_from_spec(spec)
spec.loader.exec_module(standins)
import pytest
from TemporalGliomaRisk.scene import host
scene = host.headless_scene()
folder = pathlib.Path(tempfile.mkdtemp(dir=modules))
standins.install(pytest.MonkeyPatch(), scene=scene, app_logic=host.application_logic(), folder=folder)
import GliomaRisk, TemporalGliomaRisk
from GliomaRiskWidgets.places import resource
from TemporalGliomaRisk.resources import resource_path
widget = GliomaRisk.GliomaRiskWidget()
widget.setup()
widget.panel.series.open_sample("sub-01")
found = [GliomaRisk.__file__, TemporalGliomaRisk.__file__, resource("UI/GliomaRisk.ui"), resource_path("Models")]
assert all(pathlib.Path(path).is_relative_to(modules) for path in found), found
assert [path for path in sys.path if path and pathlib.Path(path) == modules.parent] == []
assert len(widget.panel.review.patient.visits) == 6
assert [model.name for model in widget.logic.models()] == ["evidence-simulated-5"]
late = {"torch", "monai", "matplotlib", "highdicom", "jinja2", "pydicom"}
heavy = late & {name.split(".")[0] for name in sys.modules}
assert not heavy, heavy
widget.cleanup()
print("loaded")
"""


def test_what_would_be_installed_loads_from_there_and_opens_the_sample_patient(installed_tree: Path) -> None:
    command = [sys.executable, "-c", LOAD_INSTALLED, str(installed_tree), str(Path(__file__).with_name("standins.py"))]
    result = subprocess.run(command, cwd=installed_tree, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "loaded"


def test_a_worker_answers_from_what_would_be_installed(installed_tree: Path) -> None:
    code = "import TemporalGliomaRisk.worker.process as p; print(p.worker_environment({})['PYTHONPATH'])"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(installed_tree)!r}); {code}"]
    said = subprocess.run(command, cwd=installed_tree, capture_output=True, text=True, check=True).stdout

    assert Path(said.strip()) == installed_tree
