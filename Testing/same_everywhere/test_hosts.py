"""One request through the command line, the worker, the browser host and Slicer's module gives one risk.json.

Each computes it in a process of its own and with a cache of its own, all at once; none copies from another.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import slicer
from playwright.sync_api import sync_playwright

from TemporalGliomaRisk.worker.client import WorkerClient

SAMPLE = Path(__file__).resolve().parents[2] / "Resources" / "SampleData" / "sub-01"
HOSTS = ("command line", "worker", "browser", "Slicer")
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample patient's first two visits, one sequence: what every host can be given by its path alone."""
    patient = tmp_path_factory.mktemp("timeline") / "sub-01"
    for session in ("ses-01", "ses-02"):
        (patient / session / "anat").mkdir(parents=True)
        name = f"{session}/anat/sub-01_{session}_FLAIR.nii.gz"
        shutil.copy(SAMPLE / name, patient / name)
    lines = (SAMPLE / "sub-01_sessions.tsv").read_text(encoding="utf-8").splitlines()[:3]
    (patient / "sub-01_sessions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return patient


@pytest.fixture(scope="module")
def results(
    timeline: Path,
    tmp_path_factory: pytest.TempPathFactory,
    chromium: str,
    standin_slicer: object,
    start_viewer: Callable[..., Any],
    stop_viewer: Callable[[Any], int],
) -> Iterator[Mapping[str, Path]]:
    """Host -> the folder it wrote."""
    folder = tmp_path_factory.mktemp("hosts")

    def environment(host: str) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": "1", "TEMPORAL_GLIOMA_RISK_CACHE": str(folder / f"cache of {host}")}

    written = {host: folder / host for host in HOSTS}
    command = [sys.executable, "-m", "TemporalGliomaRisk", "predict", str(timeline), "--output"]
    with (
        subprocess.Popen([*command, str(written["command line"])], env=environment("command line")) as process,
        WorkerClient(environment=environment("worker")) as client,
        pytest.MonkeyPatch.context() as patch,
        sync_playwright() as playwright,
    ):
        request = client.predict(timeline, written["worker"])
        patch.setenv("TEMPORAL_GLIOMA_RISK_PYTHON", sys.executable)
        patch.setattr(slicer.util, "startupEnvironment", lambda: environment("Slicer"), raising=False)
        logic = importlib.import_module("GliomaRisk").GliomaRiskLogic()
        prediction = logic.start(timeline, output=written["Slicer"])
        viewer = start_viewer(str(timeline), folder=folder, environment=environment("browser"))
        page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]).new_page()
        page.goto(viewer.address)
        page.click("text=Run prediction", timeout=60_000)
        assert client.wait(request, timeout_s=PATIENCE_S)["type"] == "result"
        assert process.wait(timeout=PATIENCE_S) == 0
        ends = time.monotonic() + PATIENCE_S
        while not prediction.done and time.monotonic() < ends:
            logic.session.poll()
            time.sleep(0.05)
        assert prediction.error is None
        page.wait_for_function("() => window.trame.state.get('has_risk')", timeout=1000 * PATIENCE_S)
        (kept,) = folder.glob("temporal-glioma-risk-*/result-1")
        shutil.copytree(kept, written["browser"])
        logic.close()
        page.context.browser.close()
        assert stop_viewer(viewer) == 130
    yield written
    slicer.mrmlScene.Clear(0)


def test_every_host_gives_the_same_risk_json_byte_for_byte(results: Mapping[str, Path]) -> None:
    said = {host: (results[host] / "risk.json").read_bytes() for host in HOSTS}
    assert {host: content == said["command line"] for host, content in said.items()} == dict.fromkeys(HOSTS, True)
    content = json.loads(said["command line"])
    assert len({visit["risk"] for visit in content["visits"]}) == 2
    assert not re.search(r"time|clock|second|\d\d:\d\d", " ".join(content) + " ".join(content["visits"][0]))


def test_every_host_gives_the_same_voxels_and_the_same_table(results: Mapping[str, Path]) -> None:
    names = sorted(path.name for path in (results["command line"] / "heatmaps").iterdir())
    assert len(names) == 3
    for host in HOSTS:
        assert sorted(path.name for path in (results[host] / "heatmaps").iterdir()) == names
        assert (results[host] / "risk.tsv").read_bytes() == (results["command line"] / "risk.tsv").read_bytes()
        for name in names:
            maps = [gzip.decompress((results[one] / "heatmaps" / name).read_bytes()) for one in (host, "command line")]
            assert maps[0] == maps[1]
            assert len(set(maps[0][352:])) > 100
