"""Fixtures for the Slicer module's tests: its files on the path, and a Slicer of stand-ins where it needs one."""

# ruff: noqa: PLC0415  (what needs Slicer's libraries is imported where it is used)

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.visit import Timeline
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = REPOSITORY / "scripted_modules"
SHAPE = (20, 24, 16)
DAYS = (0, 91, 202)
RISKS = (0.05, 0.12, 0.41)


def load(name: str) -> Any:
    """A file beside this one, for no folder of tests is on Python's path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cmake_lists() -> Any:
    """``cmake_lists.py``."""
    return load("cmake_lists")


def forget_module() -> None:
    """Let the next import read the module's files anew: they hold on to what `qt` was when they were read."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("GliomaRisk", "GliomaRiskWidgets")]:
        del sys.modules[name]


@pytest.fixture(scope="session", autouse=True)
def modules_on_path() -> Iterator[None]:
    """What Slicer does with a module's folder."""
    sys.path.insert(0, str(MODULES))
    yield
    sys.path.remove(str(MODULES))


@pytest.fixture(scope="module")
def standin_slicer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The QApplication of a Slicer made of its wheels and of stand-ins; gone after the test file."""
    from TemporalGliomaRisk.scene import host

    standins = load("standins")
    scene = host.headless_scene()
    own = nodes_of(scene)
    forget_module()
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("slicer")
        app = standins.install(patch, scene=scene, app_logic=host.application_logic(), folder=folder)
        app.standins = standins
        yield app
    leave(scene, own)
    forget_module()


def nodes_of(scene: Any) -> set[str]:
    """IDs of a scene's nodes."""
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def leave(scene: Any, own: set[str]) -> None:
    """Close a scene, and remove the singletons that a closed scene keeps and that were not there before."""
    scene.Clear(0)
    for node in [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]:
        if node.GetID() not in own:
            scene.RemoveNode(node)


@pytest.fixture
def helper(standin_slicer: Any) -> Callable[[str], Any]:
    """A file of GliomaRiskWidgets, by its name."""
    return lambda name: importlib.import_module(f"GliomaRiskWidgets.{name}")


@pytest.fixture
def scene(standin_slicer: Any) -> Iterator[Any]:
    """An empty scene, and an empty one after."""
    import slicer

    slicer.mrmlScene.Clear(0)
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)


def oblique(number: int) -> Geometry:
    """A tilted grid, another one at every visit."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", (8 + number, -15, 20), degrees=True).as_matrix()
    matrix[:3, :3] = turn * (7.0, 7.5, 8.0)
    matrix[:3, 3] = (-60.0 + 2 * number, -70.0, -40.0)
    return Geometry(shape=SHAPE, ijk_to_ras=matrix)


def head(number: int) -> np.ndarray:
    """A ball of tissue with a spot that grows."""
    ijk = np.stack(np.meshgrid(*[np.arange(length) for length in SHAPE], indexing="ij"), axis=-1)
    radius = np.linalg.norm((ijk - (9.5, 11.5, 7.5)) / (8, 10, 6), axis=-1)
    spot = np.linalg.norm(ijk - (12, 14, 8), axis=-1) < 1 + number
    return (np.where(radius < 1, 300 + 20 * np.sin(ijk.sum(axis=-1)), 0) + 200 * spot).astype(np.float32)


@pytest.fixture(scope="session")
def small_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BIDS patient of three small oblique visits, two sequences, days since treatment."""
    folder = tmp_path_factory.mktemp("bids") / "sub-07"
    for number in range(1, len(DAYS) + 1):
        anat = folder / f"ses-{number:02d}" / "anat"
        anat.mkdir(parents=True)
        for place, sequence in enumerate(("FLAIR", "T2w")):
            volume = Volume(voxels=head(number) + 10 * place, geometry=oblique(number))
            write_nifti(volume, anat / f"sub-07_ses-{number:02d}_{sequence}.nii.gz")
    lines = ["session_id\tdays_since_treatment", *[f"ses-{n:02d}\t{30 + day}" for n, day in enumerate(DAYS, start=1)]]
    (folder / "sub-07_sessions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def alignments_of(timeline: Timeline) -> list[dict[str, Any]]:
    """Later visits' FLAIR moved by 2 mm a visit along R: made up, as audit.json and a registration list them."""
    alignments = []
    for number, visit in enumerate(timeline.visits[1:], start=2):
        move = np.eye(4)
        move[0, 3] = 2.0 * number
        names = {"session_id": visit.session_id, "sequence": "FLAIR", "target": "first"}
        alignments.append({**names, "moved": True, "to_target_ras": move.tolist(), "residual_mm": 0.1})
    return alignments


def write_result(timeline: Timeline, folder: Path, *, identified: bool = False) -> Path:
    """A result for the small series, in the form that predict writes: made up, for tests of what shows it."""
    (folder / "heatmaps").mkdir(parents=True)
    visits = []
    for number, (visit, risk) in enumerate(zip(timeline.visits, RISKS, strict=False), start=1):
        stem = f"heatmaps/{timeline.patient_id}_{visit.session_id}"
        geometry = visit.sources["FLAIR"].read().geometry
        heat = np.zeros(SHAPE, np.float32)
        heat[10:14, 12:16, 6:10] = 0.01 * number
        write_nifti(Volume(voxels=heat, geometry=geometry), folder / f"{stem}_desc-risk_heatmap.nii.gz")
        change = None
        if number > 1:
            change = f"{stem}_desc-change_heatmap.nii.gz"
            write_nifti(Volume(voxels=heat / number, geometry=geometry), folder / change)
        peak = {"name": "A", "share_of_hazard": 0.4, "hazard_per_mL": 0.01 * number}
        peak["ras_mm"] = geometry.to_ras((12, 14, 8)).tolist()
        content = {
            "session_id": visit.session_id,
            "days_since_first": visit.days_since_first,
            "days_since_treatment": visit.days_since_treatment,
            "risk": risk,
            "risk_low": risk - 0.02,
            "risk_high": risk + 0.03,
            "single_visit_risk": 0.1,
            "reference_sequence": "FLAIR",
            "sequences": list(visit.sequences),
            "heatmap": f"{stem}_desc-risk_heatmap.nii.gz",
            "change_heatmap": change,
            "peaks": [peak],
            "measurements": [{"name": "local hazard over the brain", "value": 0.02, "unit": "mL"}],
            "warnings": [{"code": "x", "message": "A warning of this visit.", "severity": "warning"}],
            "uncertain_because": ["one_visit_so_far", "members_at_odds"] if number == 1 else [],
        }
        visits.append(content)
    model = {"name": "evidence-simulated-5", "version": "0.1.0", "caveat": "Made up.", "sha256": "0" * 64}
    model["heatmap_check"] = "Maps of random weights are unlike these."
    said = {"schema_version": "1.1", "patient": timeline.patient_id}
    risk_json = {**said, "horizon_days": 365, "model": model, "visits": visits, "warnings": []}
    risk_json["research_use_only"] = "Research use only, trained on simulated data."
    (folder / "risk.json").write_text(json.dumps(risk_json), encoding="utf-8")
    audit = {**said, "inputs": {}, "alignments": alignments_of(timeline), "options": {"identified": identified}}
    (folder / "audit.json").write_text(json.dumps(audit), encoding="utf-8")
    (folder / "report.html").write_text("<p>a report: 5\u202f%</p>", encoding="utf-8")
    (folder / "risk.tsv").write_text("session_id\trisk\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def small_result(small_series: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result for the small series."""
    return write_result(read_timeline(small_series), tmp_path_factory.mktemp("result") / "result")


class ScriptedClient:
    """A WorkerClient whose answers a test gives; it writes the small result where a risk is asked for.

    Args:
        result: Folder to copy as the result.
    """

    def __init__(self, result: Path) -> None:
        self._result = result
        self._waiting: list[dict[str, Any]] = []
        self.busy: str | None = None
        self.running = False
        self.hello: dict[str, Any] | None = None
        self.ready: dict[str, Any] | None = None
        self.asked: list[dict[str, Any]] = []
        self.timelines: list[Timeline] = []
        self.closed = False

    def start(self) -> None:
        self.running = True

    def predict(self, timeline: Any, output: Any, **options: Any) -> str:
        identified = bool(options.get("identified", False))
        self.timelines.append(read_timeline(Path(timeline), identified=identified))
        write_result(self.timelines[-1], Path(output), identified=identified)
        return self._ask("predict", {"timeline": Path(timeline), "output": str(output), **options})

    def register(self, timeline: Any, **options: Any) -> str:
        self.timelines.append(read_timeline(Path(timeline)))
        return self._ask("register", {"timeline": Path(timeline), **options})

    def check(self, timeline: Any, **options: Any) -> str:
        self.timelines.append(read_timeline(Path(timeline)))
        return self._ask("check", {"timeline": Path(timeline), **options})

    def _ask(self, kind: str, content: dict[str, Any]) -> str:
        self.running = True
        self.busy = f"{kind}-{len(self.asked) + 1}"
        self.asked.append({"request": kind, **content})
        return self.busy

    def say(self, kind: str, /, **content: Any) -> None:
        """Answer the request under way."""
        if kind in ("hello", "ready"):
            setattr(self, kind, content)
        self._waiting.append({"protocol": 1, "id": self.busy, "type": kind, **content})

    def done(self, **content: Any) -> None:
        """End the request well."""
        last = self.asked[-1]
        said = {"output": last.get("output"), "device": "cpu", "notes": [], "files": [], "reuse": "computed"}
        if last["request"] == "register":
            moved = {"severity": "note", "code": "moved", "message": "FLAIR of visit 2 was moved.", "visit": 2}
            findings = [{**moved, "sequence": "FLAIR"}]
            alignments = alignments_of(self.timelines[-1])
            said = {"registration": {"patient": "sub-07", "alignments": alignments, "findings": findings}}
        self.say("result", **{"request": last["request"], "seconds": 3.2, **said, **content})

    def cancel(self, request_id: str | None = None) -> None:
        self.say("error", kind="cancelled", message="Cancelled.", findings=[])

    def poll(self) -> list[dict[str, Any]]:
        said, self._waiting = self._waiting, []
        if any(message["type"] in ("result", "error") for message in said):
            self.busy = None
        return said

    def diagnostics(self) -> str:
        return ""

    def close(self) -> None:
        self.closed, self.running = True, False


@pytest.fixture
def scripted_client(small_result: Path) -> ScriptedClient:
    """A worker that answers what the test says."""
    return ScriptedClient(small_result)


@pytest.fixture
def installed_tree(tmp_path: Path, cmake_lists: Any) -> Path:
    """What CMake's lists would install, in the folder where Slicer would put it."""
    modules = tmp_path / "lib" / "Slicer-5.13" / "qt-scripted-modules"
    places = {"PACKAGE_SCRIPTS": REPOSITORY, "PACKAGE_RESOURCES": REPOSITORY, "MODULE_PYTHON_SCRIPTS": MODULES}
    for variable, root in places.items():
        for name in cmake_lists.listed(variable):
            target = modules / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)
    return modules
