"""Markers in every name that the viewer is given, looked for in all that it shows, serves, says and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from playwright.sync_api import sync_playwright

from TemporalGliomaRisk.timeline.volume import Geometry, Volume
from TemporalGliomaRisk.viewer.app import Viewer
from TemporalGliomaRisk.viewer.gate import Gate
from TemporalGliomaRisk.viewer.server import _keeper

STATE = (
    "patient",
    "visits",
    "grid",
    "slices",
    "curve",
    "model",
    "absent",
    "legends",
    "error",
    "notice",
    "run",
    "upload",
)
"""All that the page knows, but for what the reader typed."""


@pytest.fixture
def planted(markers: Any, tmp_path: Path) -> Callable[..., Path]:
    """Makes dated files of two small heads that name the patient and the days wherever a name can stand.

    The second head is the first one's copy, which no prediction takes, unless it has grown brighter.
    """

    def made(name: str, *, brighter: float) -> Path:
        folder = tmp_path / name / f"{markers.STEM}01 Surname, Given {markers.BIRTH}"
        folder.mkdir(parents=True)
        radius = np.linalg.norm(np.indices((24, 24, 24)).reshape(3, -1).T - 11.5, axis=1).reshape(24, 24, 24)
        geometry = Geometry(shape=(24, 24, 24), ijk_to_ras=np.diag([7.0, 7.0, 7.0, 1.0]))
        for number, day in enumerate(markers.VISITS):
            voxels = np.where(radius < 10, 200 + (20 + number * brighter) * np.sin(radius), 0).astype(np.float32)
            content = markers.marked_nifti(Volume(voxels=voxels, geometry=geometry), str(folder / "x.nii.gz"))
            (folder / f"{markers.STEM}25 Surname-Given_{day}_T2w.nii.gz").write_bytes(content)
        return folder

    return made


def test_a_viewer_shows_serves_says_and_leaves_nothing_of_the_patient_or_the_day(
    markers: Any,
    planted: Callable[..., Path],
    chromium: str,
    start_viewer: Callable[..., Any],
    stop_viewer: Callable[[Any], int],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    copied, grown = planted("copied", brighter=0.0), planted("grown", brighter=5.0)
    viewer = start_viewer(str(copied), folder=out, environment={"TEMPORAL_GLIOMA_RISK_CACHE": str(out / "cache")})
    shown: list[str] = []
    suggested: list[str] = []
    with contextlib.ExitStack() as ends, sync_playwright() as playwright:
        ends.callback(viewer.process.kill)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("console", lambda said: shown.append(said.text))
        page.goto(viewer.address)
        page.wait_for_selector('[data-view="axial"] img[src]', timeout=120_000)

        def look() -> None:
            shown.append(page.evaluate("names => JSON.stringify(names.map(n => window.trame.state.get(n)))", STATE))
            shown.append(page.inner_text("body"))

        def fails(name: str, *given: str) -> None:
            page.evaluate("() => window.trame.state.set('error', '')")
            page.evaluate("([name, given]) => window.trame.trigger(name, given)", [name, list(given)])
            page.wait_for_function("() => window.trame.state.get('error')", timeout=120_000)
            look()

        def downloads(name: str) -> None:
            with page.expect_download() as download:
                page.click(f'a[href="{name}"]')
            suggested.append(download.value.suggested_filename)
            download.value.save_as(out / "downloaded" / f"{len(suggested)}-{suggested[-1]}")

        look()
        downloads("scene.mrb")
        fails("predict")
        fails("open", str(copied / f"{markers.STEM}nowhere"))
        last = max(copied.iterdir())
        last.write_bytes(last.read_bytes()[:-2000])
        fails("open", str(copied))
        page.click("text=Open…")
        page.set_input_files('[name="upload"]', grown)
        page.wait_for_function("() => window.trame.state.get('dialog') === ''", timeout=120_000)
        look()
        page.evaluate("() => window.trame.trigger('predict')")
        page.wait_for_function("() => window.trame.state.get('has_risk')", timeout=120_000)
        look()
        downloads("scene.mrb")
        shown.append(page.request.get(f"{viewer.address}report.html").text())
        names = [path.relative_to(out).as_posix() for path in out.rglob("*") if "/uploads/" not in path.as_posix()]
        browser.close()
        assert stop_viewer(viewer) == 130
    assert [text for text in shown if markers.spoken_in(text)] == []
    assert markers.spoken_in(*names) == []
    assert suggested == ["sub-01_risk-scene.mrb"] * 2
    assert markers.found_in(out) == []
    assert len(shown) > 10


def test_a_request_that_fails_unforeseen_is_one_sentence_and_nothing_is_logged(
    markers: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    gate = Gate()

    async def fail(_: web.Request) -> web.Response:
        raise OSError(5, "Input/output error", f"/data/{markers.STEM} Surname/{markers.BIRTH}.nii.gz")

    async def ask() -> tuple[int, str]:
        application = web.Application(middlewares=[_keeper(gate)])
        application.router.add_get(f"{gate.prefix}/fails", fail)
        async with TestClient(TestServer(application, host="127.0.0.1")) as client:
            answer = await client.get(f"{gate.prefix}/fails")
            return answer.status, await answer.text()

    with caplog.at_level(logging.INFO):
        status, said = asyncio.run(ask())
    captured = capfd.readouterr()
    assert status == 500
    assert said.startswith("Stopped by an unexpected OSError (Input/output error)")
    assert markers.spoken_in(said, caplog.text, captured.out, captured.err) == []


def test_what_fails_in_the_background_is_a_sentence_on_the_page_and_nothing_is_printed(
    markers: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    async def fail() -> None:
        raise OSError(5, "Input/output error", f"/data/{markers.STEM} Surname/{markers.BIRTH}.nii.gz")

    async def go() -> None:
        viewer = SimpleNamespace(_say_error=said.append)
        asyncio.get_running_loop().set_exception_handler(lambda *given: Viewer._unforeseen(viewer, *given))
        task = asyncio.get_running_loop().create_task(fail())
        await asyncio.sleep(0.01)
        assert task.done()
        del task

    with caplog.at_level(logging.INFO):
        asyncio.run(go())
    captured = capfd.readouterr()
    assert len(said) == 1
    assert said[0].startswith("Stopped by an unexpected OSError (Input/output error)")
    assert markers.spoken_in(said[0], caplog.text, captured.out, captured.err) == []
