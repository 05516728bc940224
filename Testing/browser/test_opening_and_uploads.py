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

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.viewer.app import Viewer
from TemporalGliomaRisk.viewer.opening import Opened, find
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


def test_a_timeline_beside_a_timeline_is_refused() -> None:
    with pytest.raises(InputError, match=r"holds no risk\.json"):
        find(SAMPLES / "sub-01", SAMPLES / "sub-01")


def test_an_uploaded_table_is_found_among_its_images(tmp_path: Path) -> None:
    anat = SAMPLES / "sub-01" / "ses-01" / "anat" / "sub-01_ses-01_FLAIR.nii.gz"
    shutil.copy(anat, tmp_path / "first.nii.gz")
    (tmp_path / "scans.csv").write_text("path,sequence,days_since_treatment\nfirst.nii.gz,FLAIR,20\n")

    assert find(tmp_path).timeline_path == tmp_path / "scans.csv"


@pytest.mark.parametrize("another", [False, True])
def test_a_result_that_is_done_is_shown_unless_another_patient_was_opened_meanwhile(
    sample_result: Path, another: bool
) -> None:
    taken: list[Opened] = []
    asked_for = Opened(timeline_path=SAMPLES / "sub-01")
    session = SimpleNamespace(opened=asked_for, take_result=taken.append)
    viewer = SimpleNamespace(_session=session, _asked_for=asked_for, _safely=lambda action: action)

    async def go() -> None:
        Viewer._run_finished(viewer, sample_result)
        if another:
            session.opened = Opened(timeline_path=SAMPLES / "sub-02")
        await viewer._later

    asyncio.run(go())
    assert [one.result.patient for one in taken] == ([] if another else ["sub-01"])


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
