"""Seconds in a real Chromium from a click on a visit to new slices, and until the 3D view rests.

The aims on two cores: slices begin to change within 0.5 s, and the 3D view has settled within 3 s.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

SPEC = importlib.util.spec_from_file_location(
    "browser_fixtures", Path(__file__).resolve().parents[1] / "browser" / "conftest.py"
)
browser_fixtures = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = browser_fixtures  # its dataclasses look themselves up
SPEC.loader.exec_module(browser_fixtures)
sample_result, viewer = browser_fixtures.sample_result, browser_fixtures.viewer
chromium, the_reader = browser_fixtures.chromium, browser_fixtures.the_reader

WATCH = """names => {
  window.drawn = {};
  window.watchers?.forEach((watcher) => watcher.disconnect());
  window.watchers = names.map((name) => {
    window.drawn[name] = [];
    const watcher = new MutationObserver(() => window.drawn[name].push(performance.now()));
    const picture = document.querySelector(`[data-view="${name}"] img`);
    watcher.observe(picture, { attributes: true, attributeFilter: ["src"] });
    return watcher;
  });
}"""
CLICK = """visit => {
  window.clicked = performance.now();
  document.querySelector(`tr[data-visit="${visit}"]`).click();
}"""
ROUNDS = 8


@pytest.fixture(scope="module", params=["surface", "volume"])
def reader(the_reader: Any, request: pytest.FixtureRequest) -> Any:
    """The page with one of the two ways in 3D, everything drawn once."""
    the_reader.choose(three_d_mode=request.param)
    the_reader.page.wait_for_timeout(6000)
    the_reader.page.evaluate(WATCH, ["axial", "three_d"])
    return the_reader


def seconds_after_a_click(reader: Any, visit: int) -> tuple[float, float]:
    """From the click: to the first new slice, and to the last new picture in 3D."""
    reader.page.evaluate("for (const name in window.drawn) window.drawn[name] = []")
    reader.page.evaluate(CLICK, visit)
    reader.page.wait_for_timeout(6000)
    drawn, clicked = reader.page.evaluate("[window.drawn, window.clicked]")
    return (drawn["axial"][0] - clicked) / 1000, (drawn["three_d"][-1] - clicked) / 1000


def test_a_visit_step(benchmark: Any, reader: Any) -> None:
    measured = [seconds_after_a_click(reader, reader.state("visit") % 6 + 1) for _ in range(ROUNDS)]
    slices, three_d = ([one[part] for one in measured] for part in range(2))
    benchmark.extra_info.update(
        {
            "slices_begin_s": round(statistics.median(slices), 3),
            "slices_begin_greatest_s": round(max(slices), 3),
            "three_d_settles_s": round(statistics.median(three_d), 3),
            "three_d_settles_greatest_s": round(max(three_d), 3),
        }
    )
    benchmark.pedantic(lambda: reader.pixels("axial"), rounds=1)

    assert statistics.median(slices) < 0.5
    assert statistics.median(three_d) < 3.0
