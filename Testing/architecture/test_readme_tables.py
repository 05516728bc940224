"""The README's table of speed is the one made from the figures that `make bench` wrote."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "Testing" / "benchmarks" / "readme_table.py"


def test_the_readme_s_speed_table_is_made_from_the_measured_figures() -> None:
    spec = importlib.util.spec_from_file_location("readme_table", SCRIPT)
    readme_table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme_table)
    known = json.loads(readme_table.RESULTS.read_text(encoding="utf-8"))
    text = readme_table.README.read_text(encoding="utf-8")

    assert text == readme_table.with_table(text, known)
