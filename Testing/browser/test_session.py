"""Who is open, in a session without a page: another patient, a result that arrives, and what cannot be shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trame.app import get_server

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.host import headless_scene
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.record import hierarchy_of
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.viewer import session as session_module
from TemporalGliomaRisk.viewer.loading import load
from TemporalGliomaRisk.viewer.opening import Opened, find
from TemporalGliomaRisk.viewer.session import Session
from TemporalGliomaRisk.viewer.state import first_state

SAMPLES = Path(__file__).resolve().parents[2] / "Resources" / "SampleData"


class Stage:
    """Views that show nothing and know whose they are."""

    with_3d = False
    difference_kind = None

    def __init__(self) -> None:
        self.patient: PatientScene | None = None

    def set_patient(self, patient: PatientScene | None) -> None:
        self.patient = patient

    def visits_of_slices(self, _: int) -> dict[str, int]:
        return {}

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


@pytest.fixture
def session() -> Iterator[Session]:
    state = get_server("a test of the session").state
    state.update(first_state(with_3d=False))
    scene = headless_scene()
    yield Session(SimpleNamespace(state=state), SimpleNamespace(scene=scene), Stage())
    for patient in PatientScene.all_in(scene):
        patient.remove()


def timeline(label: str, visits: int = 2) -> Opened:
    path = SAMPLES / label
    read = read_timeline(path)
    return Opened(timeline=replace(read, visits=read.visits[:visits]), timeline_path=path)


def labels(session: Session) -> list[str]:
    return [patient.label for patient in PatientScene.all_in(session._host.scene)]


def test_another_patient_takes_the_place_of_the_one_that_was_open(session: Session) -> None:
    session.open(timeline("sub-01"))
    session._state.playing = True
    session.open(timeline("sub-02"))
    assert not session._state.playing  # else it would leave the visit at which the patient opens
    assert session._state.patient["label"] == session.patient.label == "sub-02"
    assert labels(session) == ["sub-02"]
    assert session._stage.patient is session.patient


@pytest.mark.parametrize("how", ["opened", "result"])
def test_whoever_cannot_be_shown_whole_is_not_shown_under_what_was_said_of_another(
    session: Session, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    session.open(timeline("sub-01"))

    def fail(*_: Any) -> None:
        raise InputError("Visit 1 has no peak.")

    monkeypatch.setattr(session_module, "visit_rows", fail)
    show, wanted = {
        "opened": (session.open, timeline("sub-02")),
        "result": (session.take_result, timeline("sub-01", visits=3)),
    }[how]
    with pytest.raises(InputError, match="no peak"):
        show(wanted)
    assert (session.patient, session._stage.patient, session.opened) == (None, None, Opened())
    assert (session._state.patient, session._state.visits, session._state.can_predict) == (None, [], False)
    assert labels(session) == []


def test_whoever_cannot_be_read_leaves_the_open_one_open_and_called_as_before(session: Session, tmp_path: Path) -> None:
    opened = timeline("sub-01")
    session.open(opened)
    unread = timeline("sub-01")
    visit = unread.timeline.visits[1]
    gone = {name: replace(source, path=tmp_path / "gone.nii.gz") for name, source in visit.sources.items()}
    broken = replace(unread.timeline, visits=(unread.timeline.visits[0], replace(visit, sources=gone)))
    with pytest.raises(InputError):
        session.open(replace(unread, timeline=broken))
    assert session.opened is opened
    assert labels(session) == ["sub-01"]
    assert session._stage.patient is session.patient
    with pytest.raises(InputError):
        session.take_result(replace(unread, timeline=broken))
    assert (session.patient, session._stage.patient, session._state.patient) == (None, None, None)
    assert labels(session) == []


# A result's own scene


@pytest.fixture(scope="module")
def scene_file(sample_result: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``predict --scene`` writes it."""
    opened = find(sample_result, SAMPLES / "sub-01")
    patient = PatientScene.build(headless_scene(), opened.timeline, opened.result)
    path = tmp_path_factory.mktemp("scene") / "scene.mrb"
    patient.save(path)
    patient.remove()
    return path


def nodes(scene: Any) -> set[str]:
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def items(scene: Any) -> int:
    hierarchy = hierarchy_of(scene)
    return hierarchy.GetNumberOfItemChildren(hierarchy.GetSceneItemID(), True)


@pytest.mark.parametrize("damage", ["cut short", "another timeline"])
def test_nothing_of_a_scene_file_that_is_refused_stays_beside_the_open_patient(
    session: Session, sample_result: Path, scene_file: Path, tmp_path: Path, damage: str
) -> None:
    """Else its images would go into the open patient's scene when that is saved."""
    session.open(timeline("sub-02"))
    scene, result = session._host.scene, RiskResult.read(sample_result)
    before = nodes(scene), items(scene)
    path = tmp_path / "scene.mrb"
    content = scene_file.read_bytes()
    if damage == "cut short":
        content = content[: len(content) // 2]
    else:
        result = replace(result, visits=result.visits[:2])
    path.write_bytes(content)
    with pytest.raises(InputError, match="run predict with --scene again"):
        session.open(Opened(result=result, scene_file=path))
    assert (nodes(scene), items(scene)) == before
    assert labels(session) == ["sub-02"]


def test_of_a_scene_file_with_two_patients_the_result_s_one_is_shown_alone(
    session: Session, sample_result: Path, scene_file: Path, tmp_path: Path
) -> None:
    scene = session._host.scene
    beside = PatientScene.build(scene, timeline("sub-02").timeline)
    known = load(scene, scene_file, RiskResult.read(sample_result))
    known.save(tmp_path / "both.mrb")
    beside.remove()
    known.remove()
    opened = Opened(result=RiskResult.read(sample_result), scene_file=tmp_path / "both.mrb")
    session.open(opened)
    assert session.patient.patient == "sub-01"
    assert labels(session) == ["sub-01"]
