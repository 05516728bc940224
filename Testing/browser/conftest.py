"""A running viewer with the sample patient's result, and a real Chromium in front of it.

With ``SLOW_PAGE=8`` in the environment the page computes eight times slower than it could, which finds tests that look
before the page has drawn.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from TemporalGliomaRisk.commands import main

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "Resources" / "SampleData" / "sub-01"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1280, 800
SECONDS = 40.0
"""A page is waited for so long; on a computer that does other things, too, most of it may be needed."""


@pytest.fixture(scope="session")
def sample_result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``predict`` writes for the recurring sample patient."""
    folder = tmp_path_factory.mktemp("sample") / "result"
    assert main(["predict", str(SAMPLE), "--output", str(folder), "--no-cache"]) == 0
    return folder


@dataclass(frozen=True, kw_only=True)
class RunningViewer:
    """A ``view`` command in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    port: int
    token: str


def started(*arguments: str, folder: Path, environment: dict[str, str] | None = None) -> RunningViewer:
    """Start ``view`` on a free port and wait until it says where it is."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    process = subprocess.Popen(
        [sys.executable, "-m", "TemporalGliomaRisk", "view", *arguments],
        env={**inherited, "XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=(folder / "viewer.err").open("w"),
        text=True,
    )
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/([0-9a-f]+)/", line):
            return RunningViewer(process=process, address=found[0], port=int(found[1]), token=found[2])
    process.wait()
    pytest.fail(f"The viewer ended with {process.returncode}: {(folder / 'viewer.err').read_text()}")


def stopped(viewer: RunningViewer) -> int:
    """End it as Ctrl-C does; gives the exit status."""
    viewer.process.send_signal(signal.SIGINT)
    try:
        return viewer.process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        viewer.process.kill()
        raise


@pytest.fixture(scope="session")
def start_viewer() -> Callable[..., RunningViewer]:
    """Starts another viewer."""
    return started


@pytest.fixture(scope="session")
def stop_viewer() -> Callable[[RunningViewer], int]:
    """Ends one."""
    return stopped


@pytest.fixture(scope="session")
def viewer(sample_result: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningViewer]:
    """The viewer with the sample patient's result; what it kept on disk is gone when it has ended."""
    folder = tmp_path_factory.mktemp("viewer")
    running = started(str(sample_result), "--timeline", str(SAMPLE), folder=folder)
    yield running
    assert stopped(running) == 130
    assert [path.name for path in folder.iterdir() if path.name.startswith("temporal-glioma-risk-")] == []


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium on this computer."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium must be there in CI, where none of its tests may skip.")
        pytest.skip("no Chromium on this computer")
    return found


DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""What the page knows becomes elements a moment later: whoever looks at those first waits for two of its frames."""


@dataclass(kw_only=True)
class Reader:
    """A person in front of the page.

    Attributes:
        complaints: What the page's console said, errors and warnings.
        asked: Every address that the page asked for.
    """

    page: Any
    browser: Any
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def at(self, address: str, *, seconds: float = SECONDS) -> Reader:
        """The same person in front of another viewer; what is asked for and complained of is recorded together."""
        page = self.browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        reader = Reader(page=page, browser=self.browser, complaints=self.complaints, asked=self.asked)
        watch(reader)
        page.set_default_timeout(1000 * SECONDS)
        if slower := os.environ.get("SLOW_PAGE"):
            page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": float(slower)})
        page.goto(address)
        page.wait_for_selector('[data-view="axial"] img[src]', timeout=1000 * seconds)
        return reader

    def state(self, name: str) -> Any:
        """What the page knows under a name."""
        return self.page.evaluate("name => window.trame.state.get(name)", name)

    def choose(self, **values: Any) -> None:
        """Set what the reader may choose, as the page's own fields do."""
        self.page.evaluate("values => window.trame.state.update(values)", values)

    def waits_for(self, condition: Callable[[], bool], *, seconds: float = SECONDS, what: str = "") -> float:
        """Wait for a condition, and then until the page has drawn what it knows; gives the seconds it took."""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            if condition():
                took = time.monotonic() - started
                self.page.evaluate(DRAWN)
                return took
            self.page.wait_for_timeout(40)
        pytest.fail(f"Not seen within {seconds} s: {what or condition}. The page says: {self.state('error')!r}.")

    def pixels(self, view: str) -> np.ndarray:
        """(rows, columns, 3), the middle of a view, where nothing is written over it."""
        return middle(self.picture(f'[data-view="{view}"] .picture'))

    def picture(self, selector: str) -> np.ndarray:
        """(rows, columns, 3) of an element as it is seen."""
        content = self.page.locator(selector).first.screenshot()
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)

    def sees_change(self, view: str, before: np.ndarray, *, seconds: float = SECONDS) -> float:
        """Wait until a view looks different; gives the seconds it took."""
        return self.waits_for(
            lambda: self.pixels(view).shape != before.shape or np.abs(self.pixels(view) - before).mean() > 0.2,
            seconds=seconds,
            what=f"{view} to change",
        )

    def rests(self, view: str, *, seconds: float = SECONDS) -> np.ndarray:
        """The middle of a view once it has stopped changing."""
        last = [self.pixels(view)]

        def settled() -> bool:
            self.page.wait_for_timeout(350)
            now, before = self.pixels(view), last[0]
            last[0] = now
            return now.shape == before.shape and bool(np.array_equal(now, before)) and now.max() > 40

        self.waits_for(settled, seconds=seconds, what=f"{view} to rest")
        return last[0]


def middle(picture: np.ndarray) -> np.ndarray:
    """The middle of a picture: 70 % of its width and height."""
    rows, columns = picture.shape[:2]
    return picture[int(0.17 * rows) : int(0.86 * rows), int(0.15 * columns) : int(0.85 * columns)]


@pytest.fixture(scope="module")
def the_reader(viewer: RunningViewer, chromium: str) -> Iterator[Reader]:
    """One page for all tests of a file; all that it asks for is recorded, and only this computer answers.

    Not for the whole session: Playwright holds an event loop, and other tests have theirs.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield Reader(page=None, browser=browser).at(viewer.address)
        browser.close()


def watch(reader: Reader) -> None:
    """Record what a page asks for and complains of; requests to elsewhere are stopped."""

    def answer(route: Any) -> None:
        reader.asked.append(route.request.url)
        if route.request.url.startswith("http://127.0.0.1:"):
            route.continue_()
        else:
            route.abort()

    page = reader.page
    page.route("**/*", answer)
    page.on("websocket", lambda socket: reader.asked.append(socket.url))
    page.on("pageerror", lambda error: reader.complaints.append(str(error)))
    page.on(
        "console",
        lambda said: said.type in ("error", "warning") and reader.complaints.append(f"{said.type}: {said.text}"),
    )


AT_FIRST = {
    "layout": "four",
    "visit": 2,
    "map_on": True,
    "map_kind": "risk",
    "opacity": 60,
    "threshold": 10,
    "window_low": 0,
    "window_high": 100,
    "sequence": "FLAIR",
    "three_d_mode": "surface",
    "playing": False,
    "dialog": "",
    "error": "",
    "orientation": "Axial",
}


@pytest.fixture
def reader(the_reader: Reader, sample_result: Path) -> Reader:
    """The page as it opens, at visit 2 and the highest place there."""
    if len(the_reader.state("visits")) != 6:
        the_reader.page.evaluate("paths => window.trame.trigger('open', paths)", [str(sample_result), str(SAMPLE)])
        the_reader.waits_for(lambda: len(the_reader.state("visits")) == 6, what="the sample patient")
    the_reader.choose(**AT_FIRST)
    the_reader.page.mouse.move(5, 5)
    the_reader.page.evaluate("document.activeElement.blur()")
    the_reader.page.evaluate("window.trame.trigger('go_to_peak', [''])")
    the_reader.waits_for(lambda: the_reader.state("shown_layout") == "four", what="four views")
    the_reader.page.wait_for_selector('[data-view="axial"] img[src]')
    the_reader.rests("axial")
    return the_reader
