"""A finished run and a loaded model are taken for what is asked only where nothing that they depend on differs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import TemporalGliomaRisk
from TemporalGliomaRisk.bundle import seal_bundle
from TemporalGliomaRisk.errors import Cancelled
from TemporalGliomaRisk.files import alone_in, sha256_of
from TemporalGliomaRisk.progress import cancellable
from TemporalGliomaRisk.run import PredictRequest, RequestInputs
from TemporalGliomaRisk.timeline.finding import Finding, Severity
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.visit import Timeline, Visit
from TemporalGliomaRisk.timeline.volume import Geometry, Volume
from TemporalGliomaRisk.worker.finished_runs import FinishedRun, FinishedRuns, key_of
from TemporalGliomaRisk.worker.work import Work


def cube(value: int, origin_mm: float = 0.0) -> Volume:
    matrix = np.eye(4)
    matrix[0, 3] = origin_mm
    return Volume(voxels=np.full((4, 4, 4), value, np.uint8), geometry=Geometry(shape=(4, 4, 4), ijk_to_ras=matrix))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """All that a run is named by."""

    request: PredictRequest
    inputs: RequestInputs
    model: Any
    device: str = "cpu"

    def key(self) -> str | None:
        return key_of(self.request, self.inputs, self.model, self.device)

    def with_request(self, **changes: Any) -> Asked:
        return replace(self, request=replace(self.request, **changes))

    def with_timeline(self, **changes: Any) -> Asked:
        return replace(self, inputs=replace(self.inputs, timeline=replace(self.inputs.timeline, **changes)))

    def with_visit(self, number: int, **changes: Any) -> Asked:
        visits = list(self.inputs.timeline.visits)
        visits[number - 1] = replace(visits[number - 1], **changes)
        return self.with_timeline(visits=tuple(visits))


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    visits = []
    for number in (1, 2):
        sources = {}
        for name in ("FLAIR", "T1w"):
            path = tmp_path / f"{number}_{name}.nii.gz"
            path.write_bytes(f"{name} of visit {number}".encode())
            sources[name] = VolumeFile(path=path, role=name)
        day = 100 * number - 100
        visits.append(
            Visit(session_id=f"ses-0{number}", days_since_first=day, days_since_treatment=day + 30, sources=sources)
        )
    timeline = Timeline(patient_id="sub-01", visits=tuple(visits), identity={"sub-01": "Jane"})
    return Asked(
        request=PredictRequest(timeline=tmp_path, output=tmp_path / "out", mask=tmp_path / "mask.nii.gz"),
        inputs=RequestInputs(timeline=timeline, brain_mask=cube(1)),
        model=SimpleNamespace(sha256="a" * 64),
    )


def other_bytes(asked: Asked) -> Asked:
    (path,) = asked.inputs.timeline.visits[1].sources["T1w"].files
    path.write_bytes(b"another export")
    return asked


def exchanged(asked: Asked) -> Asked:
    """The same two files, each called what the other was."""
    sources = asked.inputs.timeline.visits[1].sources
    return asked.with_visit(2, sources={"FLAIR": sources["T1w"], "T1w": sources["FLAIR"]})


OTHERS: dict[str, Callable[[Asked], Asked]] = {
    "bytes of a file": other_bytes,
    "sequences of the files": exchanged,
    "a sequence less": lambda asked: asked.with_visit(
        2, sources={"FLAIR": asked.inputs.timeline.visits[1].sources["FLAIR"]}
    ),
    "a visit less": lambda asked: asked.with_timeline(visits=asked.inputs.timeline.visits[:1]),
    "the day": lambda asked: asked.with_visit(2, days_since_first=101),
    "the day of treatment": lambda asked: asked.with_visit(2, days_since_treatment=None),
    "the visit's label": lambda asked: asked.with_visit(2, session_id="ses-late"),
    "the patient's label": lambda asked: asked.with_timeline(patient_id="sub-02"),
    "what reading found": lambda asked: asked.with_timeline(
        findings=(Finding(severity=Severity.WARNING, code="series_left_out", message="A series was left out."),)
    ),
    "the mask's voxels": lambda asked: replace(asked, inputs=replace(asked.inputs, brain_mask=cube(2))),
    "the mask's place": lambda asked: replace(asked, inputs=replace(asked.inputs, brain_mask=cube(1, 0.5))),
    "no mask": lambda asked: replace(asked, inputs=replace(asked.inputs, brain_mask=None)),
    "the whole field of view": lambda asked: asked.with_request(mask="none"),
    "registration": lambda asked: asked.with_request(register="never"),
    "heatmaps": lambda asked: asked.with_request(heatmaps=False),
    "a scene": lambda asked: asked.with_request(scene=True),
    "names shown": lambda asked: asked.with_request(identified=True),
    "the device asked for": lambda asked: asked.with_request(device="cuda"),
    "the device used": lambda asked: replace(asked, device="cuda"),
    "the model": lambda asked: replace(asked, model=SimpleNamespace(sha256="b" * 64)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_run_is_another_where_anything_that_its_files_depend_on_is_another(asked: Asked, what: str) -> None:
    before = asked.key()
    assert before is not None
    assert OTHERS[what](asked).key() != before


def test_a_run_of_another_version_is_another(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    before = asked.key()
    monkeypatch.setattr(TemporalGliomaRisk, "__version__", "99.0")
    assert asked.key() != before


def test_where_names_are_shown_another_name_is_another_run_and_else_it_is_not(asked: Asked) -> None:
    other = asked.with_timeline(identity={"sub-01": "Joan"})
    assert other.key() == asked.key()
    assert other.with_request(identified=True).key() != asked.with_request(identified=True).key()


def test_where_files_lie_and_where_results_go_is_none_of_a_run(asked: Asked, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    visits = []
    for visit in asked.inputs.timeline.visits:
        sources = {}
        for name, source in visit.sources.items():
            copied = Path(shutil.copy(source.files[0], elsewhere / source.files[0].name))
            sources[name] = VolumeFile(path=copied, role=name)
        visits.append(replace(visit, sources=sources))
    moved = asked.with_timeline(visits=tuple(visits)).with_request(timeline=elsewhere, output=elsewhere / "other")
    assert moved.with_request(mask=elsewhere / "mask.nii.gz", patient="Jane").key() == asked.key()


def test_a_model_is_loaded_once_and_anew_where_its_files_are_others(small_bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_bundle, tmp_path / "model"))
    work = Work()
    first = work.model(folder)
    assert work.model(folder) is first
    with (folder / "docs" / "README.md").open("a") as card:
        card.write("Trained again.\n")
    seal_bundle(folder)
    assert work.model(folder).sha256 != first.sha256


def test_a_known_run_is_copied_into_no_folder_that_another_run_is_writing_to(tmp_path: Path) -> None:
    done, busy = tmp_path / "done", tmp_path / "busy"
    done.mkdir()
    (done / "risk.json").write_text("{}")
    runs = FinishedRuns()
    runs.remember("key", FinishedRun(folder=done, files={"risk.json": sha256_of(done / "risk.json")}, answer={}))

    looks: list[int] = []

    def given_up() -> None:
        looks.append(len(list(busy.iterdir())))
        if len(looks) == 3:
            raise Cancelled("Cancelled.")

    with alone_in(busy, lambda: None):
        with cancellable(given_up), pytest.raises(Cancelled):
            runs.reuse("key", busy)
        assert looks == [0, 0, 0]  # it waited, and began nothing there meanwhile
    _, how = runs.reuse("key", busy)
    assert how == "copied"
    assert (busy / "risk.json").read_text() == "{}"
