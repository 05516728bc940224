"""What can be opened, and what cannot; folders that come through the page."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.refusals import TimelineRefused
from TemporalGliomaRisk.viewer.app import NOT_SHOWN, Viewer
from TemporalGliomaRisk.viewer.opening import Opened, find
from TemporalGliomaRisk.viewer.runs import Runs
from TemporalGliomaRisk.viewer.uploads import Uploads, safe_name

SAMPLES = Path(__file__).resolve().parents[2] / "Resources" / "SampleData"


def test_a_result_with_its_timeline_is_found_whole(sample_result: Path) -> None:
    opened = find(sample_result, SAMPLES / "sub-01")

    assert opened.result.patient == opened.timeline.patient_id == "sub-01"
    assert opened.report == sample_result / "report.html"


def test_a_result_without_images_says_what_to_do(sample_result: Path) -> None:
    with pytest.raises(InputError, match=r"--timeline.*predict with --scene"):
        find(sample_result)


def test_a_result_of_another_timeline_is_refused(sample_result: Path) -> None:
    with pytest.raises(InputError, match=r"another timeline|not the file"):
        find(sample_result, SAMPLES / "sub-02")


def test_a_result_whose_images_changed_is_refused(sample_result: Path, tmp_path: Path) -> None:
    patient = shutil.copytree(SAMPLES / "sub-01", tmp_path / "sub-01")
    shutil.copy(
        patient / "ses-02" / "anat" / "sub-01_ses-02_FLAIR.nii.gz",
        patient / "ses-03" / "anat" / "sub-01_ses-03_FLAIR.nii.gz",
    )

    with pytest.raises(InputError, match="FLAIR of visit 3 is not the file"):
        find(sample_result, patient)


def test_a_result_whose_map_lies_elsewhere_is_refused(sample_result: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sample_result, tmp_path / "result")
    content = json.loads((folder / "risk.json").read_text())
    content["visits"][0]["heatmap"] = "../../secret.nii.gz"
    (folder / "risk.json").write_text(json.dumps(content))

    with pytest.raises(InputError, match="outside the folder"):
        find(folder, SAMPLES / "sub-01")


def test_a_timeline_alone_has_no_result_and_can_be_predicted() -> None:
    opened = find(SAMPLES / "sub-02")

    assert opened.result is None
    assert opened.report is None
    assert opened.timeline_path == SAMPLES / "sub-02"


@pytest.mark.parametrize("visit", [-1, 0, 7])
def test_a_visit_that_there_is_none_of_is_refused_before_images_are_read(sample_result: Path, visit: int) -> None:
    timeline = find(SAMPLES / "sub-01")
    for named, opened in (
        ("timeline", timeline),
        ("result", Opened(result=find(sample_result, SAMPLES / "sub-01").result)),
    ):
        with pytest.raises(InputError, match=rf"^The {named} has 6 visits, and visit {visit} was asked for"):
            opened.refuse_without(visit)
        opened.refuse_without(6)


def test_a_timeline_beside_a_timeline_is_refused() -> None:
    with pytest.raises(InputError, match=r"holds no risk\.json"):
        find(SAMPLES / "sub-01", SAMPLES / "sub-01")


def test_an_uploaded_table_is_found_among_its_images(tmp_path: Path) -> None:
    anat = SAMPLES / "sub-01" / "ses-01" / "anat" / "sub-01_ses-01_FLAIR.nii.gz"
    shutil.copy(anat, tmp_path / "first.nii.gz")
    (tmp_path / "scans.csv").write_text("path,sequence,days_since_treatment\nfirst.nii.gz,FLAIR,20\n")

    assert find(tmp_path).timeline_path == tmp_path / "scans.csv"


def dated(folder: Path, *names: str) -> Path:
    """Images of the sample patient's first visits, called by a name and a date."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names, start=1):
        session = f"ses-{number:02d}"
        image = SAMPLES / "sub-01" / session / "anat" / f"sub-01_{session}_FLAIR.nii.gz"
        shutil.copy(image, folder / f"{name}_FLAIR.nii.gz")
    return folder


def in_a_table(folder: Path, *patients: str) -> Path:
    """A table of two visits for each patient: images of the sample patients, every patient's another one's."""
    folder.mkdir()
    lines = ["subject,path,sequence,date"]
    for sample, patient in enumerate(patients, start=1):
        for visit, date in ((1, "2019-03-04"), (2, "2019-07-01")):
            label, session = f"sub-{sample:02d}", f"ses-{visit:02d}"
            lines.append(f"{patient},{label}_{session}.nii.gz,FLAIR,{date}")
            image = SAMPLES / label / session / "anat" / f"{label}_{session}_FLAIR.nii.gz"
            shutil.copy(image, folder / f"{label}_{session}.nii.gz")
    (folder / "scans.csv").write_text("\n".join(lines) + "\n")
    return folder / "scans.csv"


def predicted(timeline: Path, output: Path, *options: str) -> Path:
    arguments = ["predict", str(timeline), "--output", str(output), "--no-cache", "--no-heatmaps", *options]
    assert main(arguments) == 0
    return output


def test_a_table_of_something_else_beside_dated_files_leaves_them_the_timeline(tmp_path: Path) -> None:
    folder = dated(tmp_path / "scans", "A_20190304", "A_20190701")
    (folder / "clinical.csv").write_text("patient,grade\nA,2\n")

    opened = find(folder)

    assert len(opened.timeline.visits) == len(read_timeline(folder).visits) == 2
    assert opened.timeline_path == folder


def test_a_table_of_volumes_beside_dated_files_leaves_them_the_timeline_too_as_predict_does(tmp_path: Path) -> None:
    folder = dated(tmp_path / "scans", "A_20190304", "A_20190701")
    (folder / "one.csv").write_text("path,sequence,date\nA_20190304_FLAIR.nii.gz,FLAIR,2019-03-04\n")

    assert len(find(folder).timeline.visits) == 2


def test_the_table_that_names_volumes_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    table = in_a_table(tmp_path / "scans", "anyone")
    (table.parent / "clinical.tsv").write_text("grade\tage\n2\t7\n")
    (table.parent / "._scans.csv").write_text("path,sequence\n")

    assert find(table.parent).timeline_path == table


def test_a_folder_without_a_timeline_says_why_and_not_what_is_wrong_with_a_table_of_something_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "clinical.csv").write_text("patient,grade\nA,2\n")

    with pytest.raises(InputError, match="holds no image that is known"):
        find(tmp_path)


def test_a_result_that_names_its_patient_opens_with_the_timeline_it_was_made_from(tmp_path: Path) -> None:
    folder = dated(tmp_path / "scans", "Mustermann_20190304", "Mustermann_20190701")
    result = predicted(folder, tmp_path / "result", "--identified")

    opened = find(result, folder)

    assert [visit.session_id for visit in opened.timeline.visits] == ["ses-20190304", "ses-20190701"]
    assert opened.result.patient == opened.timeline.patient_id == "sub-Mustermann"


@pytest.mark.parametrize("options", [(), ("--identified",)])
def test_a_result_of_one_of_several_patients_finds_its_own_by_their_images(tmp_path: Path, options: tuple) -> None:
    table = in_a_table(tmp_path / "scans", "Mustermann", "Musterfrau", "Mustersohn")
    result = predicted(table, tmp_path / "result", "--patient", "Musterfrau", *options)

    opened = find(result, table)

    assert opened.patient == "Musterfrau"
    assert [visit.sources["FLAIR"].files[0].name[:6] for visit in opened.timeline.visits] == ["sub-02", "sub-02"]
    assert find(result, table, patient="Musterfrau").result.patient == opened.result.patient
    with pytest.raises(InputError, match="is not the file"):
        find(result, table, patient="Mustersohn")
    (table.parent / "sub-02_ses-01.nii.gz").write_bytes((table.parent / "sub-03_ses-01.nii.gz").read_bytes())
    with pytest.raises(InputError, match="from none of them as they are now") as refused:
        find(result, table)
    assert "Muster" not in str(refused.value)


def test_a_result_in_whose_table_a_name_means_two_patients_asks_for_one(sample_result: Path, tmp_path: Path) -> None:
    table = in_a_table(tmp_path / "scans", "A", "sub-A")

    with pytest.raises(InputError, match="from none of them as they are now"):
        find(sample_result, table)
    with pytest.raises(TimelineRefused, match="holds 2 patients"):
        find(sample_result, table, patient="A")


def test_a_result_of_a_patient_of_a_dataset_opens_with_the_dataset(sample_result: Path) -> None:
    opened = find(sample_result, SAMPLES)

    assert (opened.timeline.patient_id, opened.patient) == ("sub-01", "sub-01")


def test_one_of_several_patients_is_chosen_and_predicted(tmp_path: Path) -> None:
    assert find(SAMPLES, patient="sub-03").timeline.patient_id == "sub-03"
    with pytest.raises(TimelineRefused, match="holds 3 patients") as refused:
        find(SAMPLES)
    assert refused.value.patients == ("sub-01", "sub-02", "sub-03")
    several = dated(tmp_path / "scans", "Mustermann_20190304", "Musterfrau_20190701")
    opened = find(several, patient="Musterfrau")
    assert len(opened.timeline.visits) == 1
    asked: list[tuple[Path, str | None]] = []
    client = SimpleNamespace(predict=lambda timeline, _, *, patient: asked.append((timeline, patient)) or "1")
    runs = Runs(show=lambda _: None, finished=lambda _: None, failed=lambda _: None, client=client)

    async def go() -> None:
        runs.predict(opened.timeline_path, tmp_path / "out", patient=opened.patient)
        runs._task.cancel()

    asyncio.run(go())
    assert asked == [(several, "Musterfrau")]


def test_a_cell_that_two_patients_rows_share_chooses_neither(tmp_path: Path) -> None:
    table = in_a_table(tmp_path / "scans", "A", "B")
    text = table.read_text().replace("subject,", "patient_id,subject,")
    table.write_text(text.replace("\nA,", "\nH7,A,").replace("\nB,", "\nH7,B,"))

    with pytest.raises(TimelineRefused) as refused:
        read_timeline(table)
    assert refused.value.patients == ("A", "B")
    assert len(read_timeline(table, patient="B").visits) == 2


class Page:
    """What the page knows."""

    notice = ""

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("another", [False, True])
def test_a_result_that_is_done_is_shown_unless_another_patient_was_opened_meanwhile(
    sample_result: Path, another: bool
) -> None:
    taken: list[Opened] = []
    asked_for = Opened(timeline_path=SAMPLES / "sub-01")
    session = SimpleNamespace(opened=asked_for, take_result=taken.append)
    page = Page()
    server = SimpleNamespace(state=page)
    viewer = SimpleNamespace(_session=session, _asked_for=asked_for, _safely=lambda action: action, server=server)

    async def go() -> None:
        Viewer._run_finished(viewer, sample_result)
        if another:
            session.opened = Opened(timeline_path=SAMPLES / "sub-02")
        await viewer._later

    asyncio.run(go())
    assert [one.result.patient for one in taken] == ([] if another else ["sub-01"])
    assert page.notice == (NOT_SHOWN if another else "")
    assert not viewer._reading


def test_while_a_folder_is_read_neither_a_run_nor_another_folder_begins() -> None:
    shown: list[Opened] = []
    asked: list[Path] = []
    viewer = object.__new__(Viewer)
    viewer._runs = SimpleNamespace(
        active=False, warm_up=lambda: None, predict=lambda path, *_, **__: asked.append(path)
    )
    viewer._session = SimpleNamespace(open=shown.append, opened=Opened(timeline_path=SAMPLES / "sub-02"))
    viewer.server = SimpleNamespace(state=Page())
    viewer._reading = False

    async def run() -> None:
        viewer._predict()

    async def go() -> list[BaseException | None]:
        first, second = (viewer._open(str(SAMPLES / label)) for label in ("sub-01", "sub-03"))
        return await asyncio.gather(first, second, run(), return_exceptions=True)

    said = asyncio.run(go())
    assert [one.timeline.patient_id for one in shown] == ["sub-01"]
    assert asked == []
    assert [type(one) for one in said] == [type(None), InputError, InputError]
    assert all("is being read" in str(one) for one in said[1:])
    asyncio.run(viewer._open(str(SAMPLES / "sub-03")))
    assert shown[-1].timeline.patient_id == "sub-03"


# Uploads


@pytest.mark.parametrize("name", ["sub-01/ses-01/anat/a.nii.gz", "a.nii.gz", "ä b/c.csv"])
def test_a_name_inside_the_upload_stays_as_it_is(name: str) -> None:
    assert safe_name(name).as_posix() == name


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../a", "a/../../b", "a/..", ".", "C:/a", "a\\b", "a\0b", "/".join("a" * 20), "b" * 300],
)
def test_a_name_that_leaves_the_upload_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        safe_name(name)


def sending(folder: Path, send, **limits: int):
    """Run ``send(client, uploads)`` against the uploads' own routes."""

    async def go():
        uploads = Uploads(folder, **limits)
        application = web.Application()
        application.add_routes(uploads.routes())
        async with TestClient(TestServer(application)) as client:
            return await send(client, uploads)

    return asyncio.run(go())


async def new_upload(client) -> str:
    answer = await client.post("/upload/new")
    return await answer.text()


def test_what_is_sent_is_kept_below_its_own_private_folder(tmp_path: Path) -> None:
    async def send(client, uploads):
        upload = await new_upload(client)
        for name, content in (("sub-01/a.txt", b"one"), ("sub-01/b/c.txt", b"two")):
            answer = await client.post(f"/upload/{upload}/file", params={"name": name}, data=content)
            assert answer.status == 200
        return uploads.place(upload)

    place = sending(tmp_path / "uploads", send)

    assert place.name == "sub-01"
    assert (place / "b" / "c.txt").read_bytes() == b"two"
    assert place.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("limits", "sentence"), [({"most_bytes": 10}, "were uploaded"), ({"most_files": 1}, "Too many files")]
)
def test_an_upload_beyond_the_limit_is_refused_and_removed(tmp_path: Path, limits: dict, sentence: str) -> None:
    async def send(client, uploads):
        upload = await new_upload(client)
        answers = [
            await client.post(f"/upload/{upload}/file", params={"name": f"{index}.txt"}, data=b"12345678")
            for index in range(2)
        ]
        again = await client.post(f"/upload/{await new_upload(client)}/file", params={"name": "0.txt"}, data=b"1234567")
        return [answer.status for answer in (*answers, again)], await answers[1].text(), upload

    statuses, said, upload = sending(tmp_path / "uploads", send, **limits)

    assert statuses == [200, 413, 200]
    assert sentence in said
    assert not (tmp_path / "uploads" / upload).exists()


def test_nothing_is_written_outside_an_upload(tmp_path: Path) -> None:
    async def send(client, uploads):
        upload = await new_upload(client)
        outside = await client.post(f"/upload/{upload}/file", params={"name": "../../outside.txt"}, data=b"x")
        unknown = await client.post("/upload/0000/file", params={"name": "a.txt"}, data=b"x")
        return outside.status, unknown.status

    assert sending(tmp_path / "uploads", send) == (413, 404)
    assert [path.name for path in tmp_path.iterdir()] == ["uploads"]


def test_an_upload_that_is_gone_says_so(tmp_path: Path) -> None:
    for name in ("0000", "..", "../.."):
        with pytest.raises(InputError, match="upload the folder again"):
            Uploads(tmp_path).place(name)
