"""The viewer put together: server, scene, views, page, the worker, and what happens on every click."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vtk
from aiohttp import web
from trame.ui.html import DivLayout
from trame_slicer.core import SlicerApp

from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.failures import shown_sentence_of
from TemporalGliomaRisk.scene.host import complete_host
from TemporalGliomaRisk.viewer.gate import REPORT_POLICY, Gate
from TemporalGliomaRisk.viewer.opening import Opened, find
from TemporalGliomaRisk.viewer.private_folder import private_folder
from TemporalGliomaRisk.viewer.runs import Runs
from TemporalGliomaRisk.viewer.server import HOST, STATIC_ROUTE, guarded_server, run
from TemporalGliomaRisk.viewer.session import Session
from TemporalGliomaRisk.viewer.stage import Stage
from TemporalGliomaRisk.viewer.state import ARRANGED_BY_READER, CHOSEN_BY_READER, first_state
from TemporalGliomaRisk.viewer.uploads import Uploads
from TemporalGliomaRisk.viewer.words import in_page_words

PAGE = Path(__file__).with_name("templates") / "page.html"
TITLE = "Temporal Glioma Risk"
ENDED = '<p class="opening">The viewer has ended. Start it again on the command line.</p>'
STILL_ALIVE = "; everything else still works"
NOT_SHOWN = (
    "The prediction is done and isn't shown, because another timeline was opened meanwhile. Open the one it was for "
    "and run it again."
)
SECONDS_A_VISIT = 1.4
"""While playing."""
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How the viewer is started.

    Args:
        port: 0 for any that is free.
        visit: Shown first; None for where the risk rises most.
        with_3d: Whether OpenGL works here.
    """

    port: int = 0
    visit: int | None = None
    with_3d: bool = True


class Viewer:
    """One run of the viewer.

    Args:
        opened: What is shown first; empty for the page that asks.
        options: How it is started.
        folder: Private to this run, for what is uploaded, predicted and saved.
    """

    def __init__(self, opened: Opened, options: ViewOptions, folder: Path) -> None:
        self.gate = Gate()
        self._options = options
        self._folder = folder
        self._uploads = Uploads(self._folder / "uploads")
        self._results = 0
        routes = [web.get("/report.html", self._report), web.get("/scene.mrb", self._scene), *self._uploads.routes()]
        self.server = guarded_server(self.gate, routes)
        self._host = SlicerApp()
        _keep_vtk_quiet(self._folder / "vtk.log")
        complete_host(self._host.scene, self._host.app_logic)
        self._stage = Stage(self.server, self._host, with_3d=options.with_3d)
        self._session = Session(self.server, self._host, self._stage)
        self._runs = Runs(show=self._show_run, finished=self._run_finished, failed=self._say_error)
        self._playing: asyncio.Task[None] | None = None
        self._asked_for = Opened()
        self._reading = False
        self.server.state.update(
            {
                **first_state(with_3d=options.with_3d),
                "trame__title": TITLE,
                "trame__favicon": f"{STATIC_ROUTE}/icon.svg",
                "trame__template_error": ENDED,
            }
        )
        self._connect()
        with DivLayout(self.server) as layout:
            layout.root.add_child(PAGE.read_text(encoding="utf-8"))
        if opened.timeline is not None or opened.scene_file is not None:
            self._session.open(opened, options.visit)

    async def serve(self, ready: Callable[[str, str], None]) -> None:
        """Serve until cancelled.

        Args:
            ready: Given the address, secret included, and one that leads there once, once the page can be opened.
        """

        def tell(**_: Any) -> None:
            server = f"http://{HOST}:{self.server.port}"
            ready(f"{server}{self.gate.prefix}/", server + self.gate.entrance.new_path())

        asyncio.get_running_loop().set_exception_handler(self._unforeseen)
        self.server.controller.on_server_ready.add(tell)
        try:
            await run(self.server, self._options.port)
        finally:
            self._runs.close()
            with contextlib.suppress(asyncio.CancelledError):
                await self._stage.close()

    def _connect(self) -> None:
        state = self.server.state
        state.change(*CHOSEN_BY_READER)(self._safely(lambda **_: self._session.display_changed()))
        state.change(*ARRANGED_BY_READER)(self._safely(lambda **_: self._session.arrangement_changed()))
        state.change("playing")(self._play)
        actions: dict[str, Callable[..., Any]] = {
            "key": self._key,
            "slice": self._stage.set_slice,
            "go_to_peak": self._session.go_to_peak,
            "open": self._open,
            "open_upload": self._open_upload,
            "predict": self._predict,
            "cancel": self._runs.cancel,
        }
        for name, action in actions.items():
            self.server.controller.trigger(name)(self._safely(action))

    def _safely(self, action: Callable[..., Any]) -> Callable[..., Any]:
        """What fails becomes a sentence on the page; the viewer goes on."""

        async def act(*arguments: Any, **named: Any) -> None:
            try:
                outcome = action(*arguments, **named)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception as error:  # one failed click must not end the viewer
                if not isinstance(error, GliomaRiskError):
                    _LOGGER.debug("An action of the page failed.", exc_info=True)  # may hold a path, so it isn't shown
                self._say_error(shown_sentence_of(error, advice=STILL_ALIVE))

        return act

    def _unforeseen(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What fails beside every click: a sentence on the page. asyncio would print a text that may hold a path."""
        error = context.get("exception")
        _LOGGER.debug("Something in the background failed.", exc_info=error)
        if isinstance(error, Exception):
            self._say_error(shown_sentence_of(error, advice=STILL_ALIVE))

    def _say_error(self, sentence: str) -> None:
        with self.server.state as state:
            state.error = in_page_words(sentence)

    # Keys and playing

    def _key(self, key: str) -> None:
        state = self.server.state
        if key == "map":
            state.map_on = not state.map_on and bool(state.map_kinds)
        elif key in ("earlier", "later"):
            step = 1 if key == "later" else -1
            state.visit = max(1, min(max(1, len(state.visits)), int(state.visit) + step))
        else:
            self._stage.step_slice(state.hovered, 1 if key == "slice_up" else -1)

    def _play(self, playing: bool, **_: Any) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None
        if playing:
            self._playing = asyncio.get_running_loop().create_task(self._step_through())

    async def _step_through(self) -> None:
        state = self.server.state
        while state.playing and state.visits:
            with state:
                state.visit = int(state.visit) % len(state.visits) + 1
            await asyncio.sleep(SECONDS_A_VISIT)

    # Opening

    async def _open_upload(self, upload: str) -> None:
        await self._open(str(self._uploads.place(upload)), patient=self.server.state.open_patient)

    async def _open(self, path: str, timeline: str = "", patient: str = "") -> None:
        if self._runs.active:
            raise InputError("A prediction is under way; cancel it before another timeline is opened.")
        self._refuse_while_reading()
        self._reading = True
        with self.server.state as state:
            state.error, state.upload = "", {"words": "Reading the folder"}
        try:
            images = _named(timeline) if timeline.strip() else None
            opened = await asyncio.to_thread(find, _named(path), images, patient=patient.strip() or None)
            self._session.open(opened)
        finally:
            self._reading = False
            with self.server.state as state:
                state.upload = {"words": ""}
        with self.server.state as state:
            state.dialog = ""
        if opened.result is None:
            self._runs.warm_up()

    def _refuse_while_reading(self) -> None:
        """What is read now changes who is open, so nothing else that does or that needs to know may begin."""
        if self._reading:
            raise InputError("A folder is being read; wait until it is shown, then try again.")

    # Predicting

    def _predict(self) -> None:
        self._refuse_while_reading()
        opened = self._session.opened
        if opened.timeline_path is None:
            raise InputError("There is no timeline to predict from; open its folder first.")
        self._results += 1
        with self.server.state as state:
            state.error = state.notice = ""
        self._asked_for = opened
        output = self._folder / f"result-{self._results}"
        self._runs.predict(opened.timeline_path, output, patient=opened.patient)

    def _show_run(self, shown: dict[str, Any]) -> None:
        with self.server.state as state:
            state.run = shown

    def _run_finished(self, folder: Path) -> None:
        asked_for = self._asked_for
        self._reading = True

        async def take() -> None:
            try:
                opened = await asyncio.to_thread(find, folder, asked_for.timeline_path, patient=asked_for.patient)
            finally:
                self._reading = False
            if self._session.opened is asked_for:
                self._session.take_result(opened)
                return
            # Another timeline is open: its reader must not take these risks for that one's, nor wait for them.
            with self.server.state as state:
                state.notice = NOT_SHOWN

        self._later = asyncio.get_running_loop().create_task(self._safely(take)())

    # Files of what is open

    async def _report(self, _: web.Request) -> web.StreamResponse:
        report = self._session.opened.report
        if report is None:
            return web.Response(status=404, text="There is no report; run a prediction first.\n")
        return web.FileResponse(report, headers={"Content-Security-Policy": REPORT_POLICY})

    async def _scene(self, _: web.Request) -> web.StreamResponse:
        patient = self._session.patient
        if patient is None:
            return web.Response(status=404, text="No timeline is open.\n")
        path = self._folder / "scene.mrb"
        self._session.save_scene(path)
        name = f"{patient.patient}_risk-scene.mrb"
        return web.FileResponse(path, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _named(path: str) -> Path:
    """A path as people paste it: with quotes or spaces around it, or from the home folder."""
    return Path(path.strip().strip("\"'")).expanduser()


def _keep_vtk_quiet(path: Path) -> None:
    """Send VTK's own messages to a file that goes with the viewer; they may name a patient's files."""
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    window = vtk.vtkFileOutputWindow()
    window.SetFileName(str(path))
    vtk.vtkOutputWindow.SetInstance(window)


async def serve(opened: Opened, options: ViewOptions, ready: Callable[[str, str], None]) -> None:
    """Show what was found, until cancelled.

    Args:
        opened: What is shown first.
        options: How the viewer is started.
        ready: Given the address, secret included, and one that leads there once, once the page can be opened.

    Raises:
        InputError: If images or maps cannot be read, or the port is taken.
        OutputError: If the folder for what is uploaded and predicted cannot be made.
    """
    with private_folder() as folder:
        await Viewer(opened, options, folder).serve(ready)
