"""The README's tables are the ones made from the figures that were measured."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

from TemporalGliomaRisk.bundle import load_bundle
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path

TESTING = Path(__file__).resolve().parents[1]


def script(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, TESTING / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_s_speed_table_is_made_from_the_measured_figures() -> None:
    speed = script("benchmarks/readme_table.py")
    known = json.loads(speed.RESULTS.read_text(encoding="utf-8"))
    text = speed.README.read_text(encoding="utf-8")
    assert text == speed.with_table(text, known)


def test_the_readme_s_figures_of_the_model_are_the_measured_ones_of_the_shipped_model() -> None:
    results = script("science/readme_results.py")
    known = results.evaluations()
    assert set(known) == set(results.POPULATIONS)
    shipped = load_bundle(resource_path(DEFAULT_MODEL))
    assert len(shipped.risk_files) == 2
    for one in known.values():
        assert (one["model"], one["risk_files_sha256"]) == (shipped.name, shipped.risk_files)
    text = results.README.read_text(encoding="utf-8")
    assert text == results.with_results(text, known)
