"""Retake every picture that shows the shipped model: ``make pictures``, after a change of model, page or panel.

    python Testing/browser/take_pictures.py [RESULT] [--only montage viewer panel]

Runs ``predict`` on the sample patient (or takes RESULT, a folder that it wrote), then writes into
Resources/Screenshots:

- ``montage.png``, the one of that run, unchanged;
- ``viewer.png``, ``viewer_3d.png``, ``viewer_compare.png``, ``viewer_all_visits.png``: the page in Chromium, at the
  visit and place where it opens, 1280 x 800, as it is seen, all colours kept;
- ``panel.png``: the module's panel, drawn through the stand-ins of Qt of ``Testing/desktop``.

``make pictures`` also writes anew the pictures that ``test_in_chromium.py`` compares each layout with. Look at all of
them before they are committed.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = REPOSITORY / "Resources" / "Screenshots"
SAMPLE = REPOSITORY / "Resources" / "SampleData" / "sub-03"
LAYOUTS = {"four": "viewer", "three_d": "viewer_3d", "compare": "viewer_compare", "row": "viewer_all_visits"}
PATIENCE_S = 240.0
PANEL_WIDTH, PANEL_HEIGHT, GAP = 400, 990, 20


def load(folder: str, name: str = "conftest") -> Any:
    """A file of the tests, for no folder of them is on Python's path."""
    path = REPOSITORY / "Testing" / folder / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Take the pictures asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    takers: dict[str, Callable[[Path, Path], None]] = {
        "montage": take_montage,
        "viewer": take_viewer,
        "panel": take_panel,
    }
    parser.add_argument("result", type=Path, nargs="?", help="a result of the sample patient (default: a fresh one)")
    parser.add_argument("--only", nargs="+", choices=tuple(takers), default=tuple(takers))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pictures-") as temporary:
        folder = Path(temporary)
        result = given.result.resolve() if given.result else predicted(folder / "result")
        for name in given.only:
            takers[name](result, folder)
    return 0


def predicted(folder: Path) -> Path:
    """A fresh result of the sample patient."""
    from TemporalGliomaRisk.commands import main as command  # noqa: PLC0415

    status = command(["predict", str(SAMPLE), "--output", str(folder), "--no-cache"])
    if status:
        raise SystemExit(status)
    return folder


def take_montage(result: Path, _: Path) -> None:
    """The picture that ``predict`` made."""
    shutil.copyfile(result / "montage.png", PICTURES / "montage.png")
    say("montage")


def take_viewer(result: Path, folder: Path) -> None:
    """Every layout of the page."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    browser = load("browser")
    chromium = next(filter(None, map(shutil.which, browser.CHROMIUM_NAMES)))
    viewer = browser.started(str(result), "--timeline", str(SAMPLE), folder=folder)
    try:
        with sync_playwright() as playwright:
            opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            reader = browser.Reader(page=None, browser=opened).at(viewer.address, seconds=PATIENCE_S)
            for layout, name in LAYOUTS.items():
                reader.page.click(f'.bar [data-layout="{layout}"]')
                reader.waits_for(lambda layout=layout: reader.state("shown_layout") == layout, seconds=PATIENCE_S)
                reader.page.wait_for_selector(f'.views[data-layout="{layout}"]')
                reader.page.mouse.move(5, 5)
                for view in reader.page.eval_on_selector_all(".view", "all => all.map(view => view.dataset.view)"):
                    reader.page.wait_for_selector(f'[data-view="{view}"] img[src]', timeout=1000 * PATIENCE_S)
                    reader.rests(view, seconds=PATIENCE_S)
                reader.page.screenshot(path=folder / "seen.png")
                Image.open(folder / "seen.png").convert("RGB").save(PICTURES / f"{name}.png", optimize=True)
                say(name)
            opened.close()
    finally:
        browser.stopped(viewer)


def take_panel(result: Path, folder: Path) -> None:
    """The panel's first step and its last one, side by side."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    import pytest  # noqa: PLC0415
    from PySide6 import QtCore, QtWidgets  # noqa: PLC0415

    from TemporalGliomaRisk.scene import host  # noqa: PLC0415

    desktop, standins = load("desktop"), load("desktop", "standins")
    sys.path.insert(0, str(desktop.MODULES))
    with pytest.MonkeyPatch.context() as patch:
        scene, logic = host.headless_scene(), host.application_logic()
        application = standins.install(patch, scene=scene, app_logic=logic, folder=folder)  # lives as long as this
        client = desktop.ScriptedClient(result)
        client.predict = lambda timeline, output, **options: (
            shutil.copytree(result, output, dirs_exist_ok=True),
            client._ask("predict", {"timeline": Path(timeline), "output": str(output), **options}),
        )[1]
        import GliomaRisk  # noqa: PLC0415
        from GliomaRiskWidgets import dependencies, risk_logic  # noqa: PLC0415
        from GliomaRiskWidgets.parameters import SeriesSource  # noqa: PLC0415

        patch.setattr(risk_logic, "make_client", lambda: client)
        patch.setattr(dependencies, "is_own_python", lambda: False)
        widget = GliomaRisk.GliomaRiskWidget()
        widget.setup()
        widget.logic.session._make_client = lambda: client
        panel = widget.panel

        def settle() -> None:
            for _ in range(5):
                panel.logic.session.poll()
                QtWidgets.QApplication.processEvents()
            panel.refresh()

        panel.parameters.source = SeriesSource.FOLDER
        patch.chdir(SAMPLE.parents[1])
        panel.parameters.folder = str(SAMPLE.relative_to(Path.cwd()))
        panel.series.read_folder()
        settle()
        shown = panel.ui.seriesStep.window()
        pictures = [grabbed(shown, QtCore, settle)]
        panel.run.apply_or_cancel()
        client.done()
        settle()
        panel.ui.measurementsGroup.collapsed = False
        settle()
        pictures.append(grabbed(shown, QtCore, settle))
        whole = Image.new("RGB", (2 * PANEL_WIDTH + GAP, PANEL_HEIGHT), pictures[0].getpixel((2, 2)))
        for column, picture in enumerate(pictures):
            whole.paste(picture, (column * (PANEL_WIDTH + GAP), 0))
        whole.save(PICTURES / "panel.png", optimize=True)
        widget.cleanup()
        del application
        say("panel")


def grabbed(widget: Any, core: Any, settle: Callable[[], None]) -> Image.Image:
    """A widget as it is drawn at the panel's width."""
    widget.resize(PANEL_WIDTH, PANEL_HEIGHT)
    widget.show()
    settle()
    buffer = core.QBuffer()
    buffer.open(core.QIODevice.OpenModeFlag.WriteOnly)
    widget.grab().save(buffer, "PNG")
    return Image.open(io.BytesIO(bytes(buffer.data()))).convert("RGB")


def say(name: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"pictures: {name}.png, {(PICTURES / f'{name}.png').stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    sys.exit(main())
