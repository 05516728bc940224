"""``predict --scene``: one more file, whole, and a sentence where it cannot be made."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from TemporalGliomaRisk.commands import main


def test_a_scene_is_written_beside_the_results_and_nothing_else_is_said(
    simulated_patient: Path, small_bundle: Path, tmp_path: Path
) -> None:
    options = ["--model", small_bundle, "--no-cache", "--register", "never", "--scene", "--progress", "json"]
    command = [sys.executable, "-m", "TemporalGliomaRisk", "predict", simulated_patient, "--output", tmp_path, *options]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = zipfile.ZipFile(tmp_path / "scene.mrb").namelist()

    assert (done.returncode, done.stderr) == (0, "")
    assert events[-1]["type"] == "result"
    assert "scene" in {event.get("stage") for event in events}
    fractions = [event["fraction"] for event in events if event["type"] == "progress"]
    assert fractions == sorted(fractions)
    assert "scene/scene.mrml" in names
    for label in ("T2w", "ce-gd_T1w", "Risk map", "Change since the previous visit", "Change since the first visit"):
        assert any(f"{label} sequence" in name for name in names), label
    assert {path.name for path in tmp_path.iterdir()} >= {"risk.json", "report.html", "scene.mrb", "heatmaps"}
    assert list(tmp_path.glob(".*")) == []


def test_without_slicers_libraries_a_scene_is_refused_in_one_sentence_before_anything_is_done(
    simulated_patient: Path, small_bundle: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "TemporalGliomaRisk.scene.export", None)
    output = tmp_path / "out"
    status = main(["predict", str(simulated_patient), "--output", str(output), "--model", str(small_bundle), "--scene"])
    said = capsys.readouterr().err.strip()

    assert status == 2
    assert said.count("\n") == 0
    assert "slicer-core>=5.11,<5.14" in said
    assert not output.exists()
    with pytest.raises(ImportError):
        import TemporalGliomaRisk.scene.export  # noqa: F401, PLC0415
