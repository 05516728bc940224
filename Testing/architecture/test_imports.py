"""Imports run only in the directions of the design; read from the sources, so that no import can hide in a function."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = "TemporalGliomaRisk"

FOUNDATION = {"errors", "config", "shapes", "progress", "files", "resources", "numbers", "colours"}
TENSOR_FOUNDATION = {"errors", "config", "shapes", "progress"}
"""What encode/ and risk/ may use of the foundation: they see tensors and days, never files."""

NUMBERS_ONLY = {"numpy", "scipy", "sklearn", "statsmodels", "lifelines"}

ALLOWED: dict[str, set[str]] = {
    # unit: the units it may import; a dotted name is that file alone
    "": set(),
    "errors": set(),
    "config": {"errors"},
    "shapes": {"errors"},
    "progress": {"errors"},
    "files": {"errors", "progress"},
    "resources": {"errors"},
    "failures": {"errors"},
    "numbers": set(),
    "colours": set(),
    "processes": set(),
    "timeline": FOUNDATION,
    "preprocess": FOUNDATION | {"timeline"},
    "encode": TENSOR_FOUNDATION,
    "risk": TENSOR_FOUNDATION | {"encode"},
    "explain": FOUNDATION | {"encode", "risk", "timeline"},
    "report": FOUNDATION | {"timeline"},
    "scene": FOUNDATION | {"timeline"},
    "viewer": FOUNDATION | {"failures", "scene", "timeline", "worker.client"},
    "learn": FOUNDATION
    | {"preprocess", "encode", "risk", "explain", "timeline", "bundle", "bundle_weights", "device", "processes"},
    "simulate": FOUNDATION | {"processes", "timeline"},
    "evaluate": FOUNDATION,
    "bundle_doubt": FOUNDATION | {"encode", "risk", "explain"},
    "bundle_weights": FOUNDATION,
    "bundle": FOUNDATION
    | {"bundle_doubt", "bundle_weights", "encode", "risk", "explain", "preprocess.config", "timeline"},
    # The pipeline, its helpers, and the files it fills: root files beside pipeline.py.
    "device": FOUNDATION | {"timeline"},
    "visit_cache": FOUNDATION,
    "visit_encoding": FOUNDATION | {"bundle", "visit_cache", "timeline", "preprocess", "encode"},
    "pipeline": FOUNDATION
    | {"bundle", "device", "visit_cache", "visit_encoding", "timeline", "preprocess", "encode", "risk", "explain"},
    "results": FOUNDATION | {"bundle", "pipeline", "report", "risk", "explain", "timeline"},
    "run": FOUNDATION | {"bundle", "pipeline", "results", "visit_cache", "timeline", "scene", "preprocess"},
    "repeat": FOUNDATION | {"run", "bundle", "pipeline", "report", "timeline", "preprocess"},
    # What evaluate gathers of a cohort: it needs both the model's side and the statistics, which know nothing of it.
    "patient_scoring": FOUNDATION
    | {"bundle", "device", "encode", "evaluate", "explain", "learn", "processes", "timeline"},
    "scored_cohort": FOUNDATION | {"evaluate", "learn", "patient_scoring"},
    "kept_scores": FOUNDATION | {"bundle", "device", "learn", "patient_scoring", "visit_encoding"},
    "worker": set(),
    "worker.messages": set(),
    "worker.process": set(),
    "worker.diagnostics": set(),
    "worker.client": {"worker.messages", "worker.process", "worker.diagnostics"},
    "worker.schema": {"worker.messages"},
    "worker.channel": {"worker.messages"},
    "worker.greeting": FOUNDATION,
    "worker.requests": {"run", "worker.messages"},
    "worker.warm_cache": {"visit_cache"},
    "worker.finished_runs": FOUNDATION | {"run", "results", "bundle", "preprocess"},
    "worker.work": FOUNDATION
    | {"run", "results", "bundle", "bundle_doubt", "device", "visit_cache", "timeline", "scene"}
    | {"worker.messages", "worker.requests", "worker.finished_runs", "worker.warm_cache"},
    "worker.server": FOUNDATION
    | {"failures", "worker.messages", "worker.schema", "worker.channel", "worker.greeting", "worker.work"},
    "commands": FOUNDATION
    | {"timeline", "preprocess", "encode", "risk", "explain", "report", "scene", "viewer", "learn", "simulate"}
    | {
        "evaluate",
        "patient_scoring",
        "scored_cohort",
        "kept_scores",
        "worker.server",
        "bundle",
        "device",
        "visit_cache",
        "visit_encoding",
        "pipeline",
        "results",
    }
    | {"run", "repeat", "failures"},
    "__main__": {"commands"},
    "scripted_modules": FOUNDATION | {"failures", "scene", "timeline", "worker.client", "report.dicom_export"},
}
"""The way imports may run. A unit is a folder or a file of the package; a folder's files import each other."""

SLICER = {"slicer", "vtk", "qt", "ctk"}
SLICER_UNITS = {"scene", "viewer", "scripted_modules"}
NETWORK = {"torch", "monai"}
CLIENT = {"worker.client", "worker.messages", "worker.process", "worker.diagnostics"}
WITHOUT_NETWORK = {
    *("timeline", "scene", "viewer", "scripted_modules", "report", "simulate", "evaluate"),
    *("errors", "config", "files", "progress", "resources", "", "worker", *CLIENT),
}
LOADED_BY_SLICER = {"timeline", "scene", "scripted_modules", "worker", *CLIENT, "errors", "files", ""}
SLICER_FILE_SCOPE = {
    *SLICER,
    "SimpleITK",
    "numpy",
    "scipy",
    "pydicom",
    PACKAGE,
    "GliomaRiskWidgets",
    "scripted_modules",
}
"""All that a file's scope may import where Slicer loads it: what Slicer ships, besides the standard library."""

FLIPS = ("GetArrayFromImage", "GetImageFromArray", ".transpose(2, 1, 0)", "diag([-1", "diag((-1")
FILES_WITH_FLIPS = {"TemporalGliomaRisk/timeline/sitk_images.py", "TemporalGliomaRisk/scene/volumes.py"}
"""The two files where KJI becomes IJK and LPS becomes RAS; the second is the bridge to MRML."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """One import statement's target."""

    path: Path
    line: int
    unit: str
    target: str
    at_file_scope: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(REPOSITORY)}:{self.line} imports {self.target}"


def sources() -> list[Path]:
    """Every Python file that ships."""
    folders = (REPOSITORY / PACKAGE, REPOSITORY / "scripted_modules")
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def unit_of(path: Path) -> str:
    """The folder or file of the design that a source belongs to."""
    parts = list(path.relative_to(REPOSITORY).with_suffix("").parts)
    if parts[0] != PACKAGE:
        return parts[0]
    return unit_of_module(parts[1:-1] if parts[-1] == "__init__" else parts[1:])


def unit_of_module(parts: list[str]) -> str:
    """The unit of a module inside the package, given its dotted parts below the package."""
    if parts[:1] == ["worker"]:
        return ".".join(parts[:2])
    return parts[0] if parts else ""


def imports_of(path: Path) -> Iterator[Import]:
    """Every import in a file, at any depth, relative ones resolved."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside_functions = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        for target in targets_of(node, path):
            yield Import(
                path=path,
                line=getattr(node, "lineno", 0),
                unit=unit_of(path),
                target=target,
                at_file_scope=node not in inside_functions,
            )


def targets_of(node: ast.AST, path: Path) -> Iterator[str]:
    """Dotted names that a statement imports; ``from a import b`` gives ``a.b``, for ``b`` may be a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = path.relative_to(REPOSITORY).parts[: -node.level]
            base = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__", "find_spec")):
        yield from (str(given.value) for given in node.args[:1] if isinstance(given, ast.Constant))


ALL_IMPORTS = [found for path in sources() for found in imports_of(path)]


def is_allowed(found: Import) -> bool:
    """Whether an import inside the package runs in a direction of the design."""
    parts = found.target.split(".")[1:]
    target_unit = unit_of_module(parts)
    if parts[0].startswith("__") or (len(parts) == 1 and not module_exists(parts)):
        return True  # a name of the package's own __init__, such as its version
    allowed = ALLOWED[found.unit]
    return target_unit in allowed | {found.unit} or any(".".join(parts).startswith(f"{file}.") for file in allowed)


def module_exists(parts: list[str]) -> bool:
    """Whether dotted parts below the package name a file or folder of it."""
    path = REPOSITORY.joinpath(PACKAGE, *parts)
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_the_sources_were_found() -> None:
    assert {unit_of(path) for path in sources()} >= {"", "errors", "timeline", "encode", "commands", "__main__"}
    assert len(ALL_IMPORTS) > 100


def test_every_unit_of_the_package_has_its_row_in_the_table() -> None:
    assert {unit_of(path) for path in sources()} - set(ALLOWED) == set()


def test_imports_run_only_in_the_directions_of_the_design() -> None:
    inside = [found for found in ALL_IMPORTS if found.target.split(".")[0] == PACKAGE and "." in found.target]

    assert [str(found) for found in inside if not is_allowed(found)] == []


def test_the_allowed_directions_hold_no_circle() -> None:
    followers = {
        unit: {name.split(".")[0] if name not in ALLOWED else name for name in ALLOWED[unit]} for unit in ALLOWED
    }
    remaining = dict(followers)
    while free := [unit for unit, needs in remaining.items() if not needs & set(remaining) - {unit}]:
        for unit in free:
            del remaining[unit]

    assert remaining == {}


def test_slicer_is_imported_only_by_the_bridge_the_viewer_and_the_modules() -> None:
    wrong = [found for found in ALL_IMPORTS if root_of(found) in SLICER and found.unit not in SLICER_UNITS]

    assert [str(found) for found in wrong] == []


def test_torch_and_monai_stay_out_of_everything_that_reads_shows_simulates_or_scores() -> None:
    wrong = [found for found in ALL_IMPORTS if root_of(found) in NETWORK and found.unit in WITHOUT_NETWORK]

    assert [str(found) for found in wrong] == []


def test_tensorboard_is_known_to_training_alone() -> None:
    found = {found.unit for found in ALL_IMPORTS if "tensorboard" in found.target.split(".")}

    assert found == {"learn"}


def test_file_scope_where_slicer_loads_imports_only_what_slicer_ships() -> None:
    wrong = [
        found
        for found in ALL_IMPORTS
        if found.unit in LOADED_BY_SLICER and found.at_file_scope and not ships_with_slicer(root_of(found))
    ]

    assert [str(found) for found in wrong] == []


def test_encode_and_risk_see_no_files() -> None:
    file_readers = {"pathlib", "SimpleITK", "nibabel", "pydicom", "io", "os", "json", "csv"}
    wrong = [found for found in ALL_IMPORTS if found.unit in ("encode", "risk") and root_of(found) in file_readers]

    assert [str(found) for found in wrong] == []


def test_evaluate_needs_nothing_but_numbers() -> None:
    allowed = {*sys.stdlib_module_names, *NUMBERS_ONLY, PACKAGE}
    wrong = [found for found in ALL_IMPORTS if found.unit == "evaluate" and root_of(found) not in allowed]

    assert [str(found) for found in wrong] == []


def test_the_worker_s_client_needs_the_standard_library_only() -> None:
    wrong = [
        found
        for found in ALL_IMPORTS
        if found.unit in CLIENT and root_of(found) not in {*sys.stdlib_module_names, PACKAGE}
    ]

    assert [str(found) for found in wrong] == []


def test_flips_between_axis_and_side_conventions_live_in_two_files() -> None:
    with_flips = {
        path.relative_to(REPOSITORY).as_posix()
        for path in sources()
        if any(flip in path.read_text(encoding="utf-8") for flip in FLIPS)
    }

    assert with_flips - FILES_WITH_FLIPS == set()
    assert "TemporalGliomaRisk/timeline/sitk_images.py" in with_flips


@pytest.mark.parametrize(
    ("file", "line", "is_right"),
    [
        ("encode/model.py", "from TemporalGliomaRisk.risk.hazards import x", False),
        ("encode/model.py", "from ..risk import hazards", False),
        ("encode/model.py", "def f():\n    import TemporalGliomaRisk.timeline.volume", False),
        ("encode/model.py", "from TemporalGliomaRisk import files", False),
        ("encode/model.py", "from TemporalGliomaRisk.encode.days import x", True),
        ("encode/model.py", "from TemporalGliomaRisk import __version__", True),
        ("bundle.py", "from TemporalGliomaRisk.preprocess.config import x", True),
        ("bundle.py", "from TemporalGliomaRisk.preprocess.grid import x", False),
        ("worker/client.py", "from TemporalGliomaRisk.errors import InputError", False),
        ("viewer/host.py", "from TemporalGliomaRisk.worker.client import Client", True),
        ("viewer/host.py", "from TemporalGliomaRisk.worker.server import serve", False),
        ("pipeline.py", "import importlib\nimportlib.import_module('TemporalGliomaRisk.report.page')", False),
    ],
)
def test_a_wrong_direction_is_noticed(file: str, line: str, is_right: bool) -> None:
    path = REPOSITORY / PACKAGE / file
    found = [
        Import(path=path, line=1, unit=unit_of(path), target=target, at_file_scope=True)
        for node in ast.walk(ast.parse(line))
        for target in targets_of(node, path)
        if target.startswith(PACKAGE)
    ]

    assert found
    assert all(is_allowed(one) for one in found) == is_right


def root_of(found: Import) -> str:
    """The top-level package that an import reaches for."""
    return found.target.split(".")[0]


def ships_with_slicer(name: str) -> bool:
    """Whether Slicer's Python has a package without any installation."""
    return name in sys.stdlib_module_names or name in SLICER_FILE_SCOPE
