"""Markers in what a worker is given, looked for in every byte of its two streams, also where it fails or crashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from TemporalGliomaRisk.timeline.volume import Geometry, Volume
from TemporalGliomaRisk.worker.diagnostics import Diagnostics
from TemporalGliomaRisk.worker.messages import encode

FAILING = """
import os, resource
from TemporalGliomaRisk import visit_encoding
from TemporalGliomaRisk.commands import main
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
right, calls = visit_encoding.prepare_first_visit, []
def prepare(*given, **named):
    calls.append(given)
    if len(calls) == 1:
        return right(*given, **named)
    if len(calls) == 2:
        raise OSError(5, "Input/output error", os.environ["MARKED"])
    os.abort()
visit_encoding.prepare_first_visit = prepare
raise SystemExit(main(["worker"]))
"""
"""A worker that prepares once, is refused by the system the second time, and crashes the third."""


@pytest.fixture
def planted(markers: Any, tmp_path: Path) -> Path:
    """Dated files of two small heads that name the patient and the days wherever a name can stand."""
    folder = tmp_path / "in" / f"{markers.STEM}01 Surname, Given {markers.BIRTH}"
    folder.mkdir(parents=True)
    radius = np.linalg.norm(np.indices((24, 24, 24)).reshape(3, -1).T - 11.5, axis=1).reshape(24, 24, 24)
    voxels = np.where(radius < 10, 200 + 20 * np.sin(radius), 0).astype(np.float32)
    geometry = Geometry(shape=(24, 24, 24), ijk_to_ras=np.diag([6.0, 6.0, 6.0, 1.0]))
    for number, day in enumerate(markers.VISITS, start=1):
        volume = Volume(voxels=voxels + number * (voxels > 0), geometry=geometry)
        content = markers.marked_nifti(volume, str(folder / "x.nii.gz"))
        (folder / f"{markers.STEM}25 Surname-Given_{day}_T2w.nii.gz").write_bytes(content)
    return folder


def test_a_worker_says_nothing_of_the_patient_or_the_day_until_it_crashes(
    markers: Any, planted: Path, small_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    marked = f"/data/{markers.STEM} Surname/{markers.BIRTH}.nii.gz"
    environment = {**os.environ, "TEMPORAL_GLIOMA_RISK_CACHE": str(out / "cache"), "MARKED": marked}
    environment["OMP_NUM_THREADS"] = "1"
    options = {"model": str(small_bundle), "mask": "none", "register": "never", "heatmaps": False, "cache": False}
    asked = {"timeline": str(planted), "options": options}
    rows = [
        {"path": str(path), "sequence": "T2w", "date": day}
        for path, day in zip(sorted(planted.iterdir()), markers.VISITS, strict=True)
    ]
    torn = [{**rows[0], "path": str(planted / f"{markers.STEM}gone.nii.gz")}, rows[1]]
    requests = (
        ("check", {"timeline": str(planted), "options": {"alignment": False}}, "result"),
        ("predict", {**asked, "output": str(out / "whole"), "options": {**options, "cache": True}}, "result"),
        ("check", {"table": torn, "options": {"patient": markers.STEM}}, "result"),
        (
            "predict",
            {**asked, "output": str(out / "refused"), "options": {**options, "patient": markers.STEM}},
            "error",
        ),
        ("predict", {"table": rows, "output": str(out / "failed"), "options": options}, "error"),
        ("predict", {**asked, "output": str(out / "crashed")}, None),
    )
    with (tmp_path / "errors").open("wb") as errors:
        worker = subprocess.Popen(
            [sys.executable, "-c", FAILING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd=out,
        )
        said = []
        for number, (kind, content, ending) in enumerate(requests):
            worker.stdin.write(encode(kind, f"r{number}", content))
            worker.stdin.flush()
            for line in iter(worker.stdout.readline, b""):
                said.append(line)
                if not line.strip():
                    continue
                message = json.loads(line)
                if message["id"] == f"r{number}" and message["type"] in ("result", "error"):
                    assert message["type"] == ending, line
                    break
            else:
                assert ending is None
        worker.stdin.close()
        worker.stdout.close()
        assert worker.wait(timeout=60) < 0
    errors = (tmp_path / "errors").read_bytes()
    assert markers.spoken_in(*(line.decode() for line in said), errors.decode()) == []
    assert any(b"OSError (Input/output error)" in line for line in said)
    assert (out / "whole" / "risk.json").is_file()
    assert markers.found_in(out) == []


def test_what_a_crash_prints_is_cleaned_for_a_bug_report(markers: Any) -> None:
    diagnostics = Diagnostics()
    diagnostics.withhold({"timeline": f"/data/{markers.STEM} Surname", "options": {"patient": markers.STEM}})
    diagnostics.feed(
        f"Fatal Python error: Aborted\n"
        f'  File "/home/{markers.STEM}/x.py", line 3 in f\n'
        f"OSError: /data/{markers.STEM} Surname/{markers.BIRTH}.nii.gz\n"
        f"{markers.STEM} of {markers.forms_of(markers.BIRTH)[1]}\n".encode()
    )
    assert markers.spoken_in(diagnostics.text()) == []
    assert "Fatal Python error: Aborted" in diagnostics.text()
