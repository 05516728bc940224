"""The logic without its panel, as a script uses it: blocking, non-blocking, cancelled, refused."""

from __future__ import annotations

import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk.errors import Cancelled, GliomaRiskError, InputError, OutputError

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def logic(scene: Any, helper: Any, scripted_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(helper("risk_logic"), "make_client", lambda: scripted_client)
    made = importlib.import_module("GliomaRisk").GliomaRiskLogic()
    made.session._make_client = lambda: scripted_client
    yield made
    made.close()


def test_a_script_that_does_not_wait_is_told_when_the_patient_is_there(
    logic: Any, scripted_client: Any, small_series: Path
) -> None:
    ended: list[Any] = []
    prediction = logic.start(small_series, finished=ended.append, device="cpu")
    scripted_client.say("progress", stage="encode", fraction=0.5, message="Half", seconds_left=None)
    logic.session.poll()
    assert (prediction.fraction, prediction.message, prediction.done) == (0.5, "Half", False)

    scripted_client.done()
    logic.session.poll()

    assert ended == [prediction]
    assert prediction.done
    assert [visit.risk for visit in prediction.patient.visits] == [0.05, 0.12, 0.41]
    assert scripted_client.asked[0]["device"] == "cpu"


def test_a_script_that_waits_gets_the_patient(logic: Any, scripted_client: Any, small_series: Path) -> None:
    polled = scripted_client.poll
    scripted_client.poll = lambda: (scripted_client.busy and scripted_client.done(), polled())[1]

    patient = logic.run(small_series)

    assert patient.patient == "sub-07"
    assert logic.output_of(patient).name.endswith("-result")


@pytest.mark.parametrize("identified", [False, True])
def test_a_result_is_shown_with_its_own_labels_also_where_they_are_the_input_s_names(
    logic: Any, scripted_client: Any, small_series: Path, tmp_path: Path, identified: bool
) -> None:
    for number, day in enumerate(("20200101", "20200401", "20200721"), start=1):
        source = small_series / f"ses-{number:02d}" / "anat" / f"sub-07_ses-{number:02d}_FLAIR.nii.gz"
        shutil.copyfile(source, tmp_path / f"Case_{day}_FLAIR.nii.gz")
    prediction = logic.start(tmp_path, output=tmp_path / "out", identified=identified)
    scripted_client.done()
    logic.session.poll()

    assert prediction.error is None
    assert prediction.patient.patient == ("sub-Case" if identified else "sub-01")
    assert [visit.risk for visit in prediction.patient.visits] == [0.05, 0.12, 0.41]


def test_a_result_in_a_folder_that_a_script_named_stays_when_its_patient_goes(
    logic: Any, scripted_client: Any, small_series: Path, tmp_path: Path
) -> None:
    patients = []
    for name in ("own", None):
        own = {} if name is None else {"output": tmp_path / name}
        logic.start(small_series, finished=lambda done: patients.append(done.patient), **own)
        scripted_client.done()
        logic.session.poll()
    temporary = logic.output_of(patients[1])
    assert temporary.is_dir()
    for patient in patients:
        patient.remove()
    logic.forget_gone_outputs()

    assert (tmp_path / "own" / "risk.json").is_file()
    assert not temporary.exists()


@pytest.mark.parametrize(("kind", "error"), [("cancelled", Cancelled), ("input", InputError)])
def test_a_script_that_waits_gets_the_worker_s_error(
    logic: Any, scripted_client: Any, small_series: Path, kind: str, error: type[Exception]
) -> None:
    polled = scripted_client.poll

    def poll() -> list[Any]:
        if scripted_client.busy:
            scripted_client.say("error", kind=kind, message="A sentence.", findings=[])
        return polled()

    scripted_client.poll = poll
    with pytest.raises(error, match=r"A sentence\."):
        logic.run(small_series)


def test_a_worker_s_python_that_does_not_do_is_asked_for_anew_at_the_next_request(
    scene: Any, helper: Any, monkeypatch: pytest.MonkeyPatch, small_series: Path
) -> None:
    from TemporalGliomaRisk.worker.client import WorkerClient  # noqa: PLC0415

    named = ["/nowhere/python", "/nowhere/else/python"]
    monkeypatch.setattr(
        helper("risk_logic"), "make_client", lambda: WorkerClient(interpreter=named.pop(0), environment={})
    )
    logic = importlib.import_module("GliomaRisk").GliomaRiskLogic()
    try:
        for left in (1, 0):
            with pytest.raises(GliomaRiskError, match=r"with the setting GliomaRisk/WorkerPython\.$"):
                logic.run(small_series)
            assert len(named) == left
    finally:
        logic.close()


def test_the_last_words_of_a_worker_that_cannot_start_are_in_the_log_without_names_and_paths(
    scene: Any,
    helper: Any,
    monkeypatch: pytest.MonkeyPatch,
    small_series: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from TemporalGliomaRisk.worker.client import WorkerClient  # noqa: PLC0415

    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho 'libcudart is missing' >&2\necho 'at {small_series}' >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(helper("risk_logic"), "make_client", lambda: WorkerClient(interpreter=python, environment={}))
    logic = importlib.import_module("GliomaRisk").GliomaRiskLogic()
    try:
        with pytest.raises(GliomaRiskError, match="could not start"):
            logic.run(small_series)
    finally:
        logic.close()

    assert "libcudart is missing" in caplog.text
    assert small_series.name not in caplog.text


def test_a_file_that_the_dicom_database_lost_is_said_and_leaves_nothing_behind(
    logic: Any, helper: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = tmp_path / "there.dcm"
    there.write_bytes(b"x")
    monkeypatch.setattr(helper("dicom_database"), "files_of", lambda patient: [str(there), str(tmp_path / "DOE.dcm")])
    with pytest.raises(InputError, match="File 2 of this patient is not where the DICOM database has it") as raised:
        logic.linked_dicom("1")

    assert "DOE" not in str(raised.value)
    assert list(logic._temporary.iterdir()) == []


def test_a_folder_for_temporary_files_that_is_not_there_is_said_with_the_setting_that_names_it(
    logic: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import slicer  # noqa: PLC0415

    monkeypatch.setattr(slicer.app, "temporaryPath", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match=r"No such file or directory.*Modules > Temporary directory\.$"):
        logic.temporary_folder("result")


def test_models_and_samples_that_ship_are_offered(logic: Any) -> None:
    (model,) = logic.models()

    assert model.card.is_file()
    assert model.licence.is_file()
    assert all(logic.sample(name).is_dir() for name in logic.samples())


def test_the_module_s_example_has_five_lines_and_names_what_there_is(logic: Any) -> None:
    text = importlib.import_module("GliomaRisk").__doc__
    lines = [line for line in text.splitlines() if line.startswith("    ")]

    assert len(lines) == 5
    compile("\n".join(line.strip() for line in lines), "example", "exec")
    assert {name for line in lines for name in re.findall(r"logic\.(\w+)", line)} <= set(dir(logic))


def test_sample_data_offers_the_sample_patients_by_files_that_are_there(
    helper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys  # noqa: PLC0415
    import types  # noqa: PLC0415

    import slicer  # noqa: PLC0415

    offered: list[dict[str, Any]] = []
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = type(
        "SampleDataLogic", (), {"registerCustomSampleDataSource": staticmethod(lambda **named: offered.append(named))}
    )
    monkeypatch.setitem(sys.modules, "SampleData", module)
    opened: list[str] = []
    monkeypatch.setattr(slicer.util, "showStatusMessage", lambda *given: None)
    monkeypatch.setattr(slicer.util, "selectModule", lambda name: None)
    helper("sample_data").register_samples(opened.append)

    for one, files in zip(offered, (12, 12, 10), strict=True):
        assert len(one["uris"]) == len(one["fileNames"]) == len(one["nodeNames"]) == files
        assert all(uri.startswith("file://") and uri.endswith(".nii.gz") for uri in one["uris"])
        assert Path(one["thumbnailFileName"]).is_file()
        one["customDownloader"](object())
    assert opened == ["sub-01", "sub-02", "sub-03"]


def test_a_dicom_patient_of_the_database_is_read_from_links_of_its_files(
    logic: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_dicom_series: Any, small_series: Path
) -> None:
    import numpy as np  # noqa: PLC0415
    import slicer  # noqa: PLC0415

    from TemporalGliomaRisk.timeline.reading import read_timeline  # noqa: PLC0415
    from TemporalGliomaRisk.timeline.volume import Volume  # noqa: PLC0415

    files: dict[str, list[str]] = {}
    for number, visit in enumerate(read_timeline(small_series).visits, start=1):
        volume = visit.sources["FLAIR"].read()
        whole = Volume(voxels=np.rint(volume.voxels).astype(np.uint16), geometry=volume.geometry)
        made = write_dicom_series(whole, tmp_path / str(number), date=f"2020010{number}", description="t2 flair")
        files[f"series-{number}"] = [str(path) for path in made]
    made_later = files.pop("series-3")

    class Database:
        isOpen = True  # noqa: N815

        def patients(self) -> list[str]:
            return ["1", "2"]

        def studiesForPatient(self, patient: str) -> list[str]:
            return ["study"] if patient == "1" else []

        def seriesForStudy(self, study: str) -> list[str]:
            return list(files)

        def filesForSeries(self, series: str) -> list[str]:
            return files[series]

        def nameForPatient(self, patient: str) -> str:
            return "Doe^Jane"

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    from_database = importlib.import_module("GliomaRiskWidgets.dicom_database")
    assert from_database.patients() == [("1", "Doe Jane (1 studies)")]
    timeline = logic.read(logic.linked_dicom("1"))

    assert [visit.days_since_first for visit in timeline.visits] == [0, 1]
    linked = logic.linked_dicom("1")
    assert logic.linked_dicom("1") == linked

    files["series-3"] = made_later
    assert [visit.days_since_first for visit in logic.read(logic.linked_dicom("1")).visits] == [0, 1, 2]
    assert not linked.exists()
    with pytest.raises(InputError, match="not in the DICOM database"):
        logic.linked_dicom("2")
