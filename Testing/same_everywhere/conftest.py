"""A real viewer with a real Chromium, and the Slicer of wheels and stand-ins: fixtures of two folders beside this."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any


def load(name: str) -> Any:
    """The conftest of a folder beside this one, for no folder of tests is on Python's path."""
    path = Path(__file__).resolve().parents[1] / name / "conftest.py"
    spec = importlib.util.spec_from_file_location(f"fixtures_of_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


browser, desktop = load("browser"), load("desktop")
chromium, start_viewer, stop_viewer = browser.chromium, browser.start_viewer, browser.stop_viewer
modules_on_path, standin_slicer, scene = desktop.modules_on_path, desktop.standin_slicer, desktop.scene
