"""Markers in every name that the panel is given, looked for in what it shows, exports, saves and keeps."""

from __future__ import annotations

import importlib
import importlib.util
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6 import QtWidgets

from TemporalGliomaRisk.timeline.reading import read_timeline


@pytest.fixture
def planted(markers: Any, small_series: Path, tmp_path: Path) -> Path:
    """The small series' first two visits as dated files that name the patient and the days."""
    folder = tmp_path / "in" / f"{markers.STEM}01 Surname, Given {markers.BIRTH}"
    folder.mkdir(parents=True)
    for visit, day in zip(read_timeline(small_series).visits, markers.VISITS, strict=False):
        content = markers.marked_nifti(visit.sources["FLAIR"].read(), str(folder / "x.nii.gz"))
        (folder / f"{markers.STEM}25 Surname-Given_{day}_FLAIR.nii.gz").write_bytes(content)
    return folder


@pytest.fixture
def widget(scene: Any, helper: Any, scripted_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's widget, set up, with a worker that answers what the test says."""
    monkeypatch.setattr(helper("risk_logic"), "make_client", lambda: scripted_client)
    monkeypatch.setattr(helper("dependencies"), "is_own_python", lambda: False)
    made = importlib.import_module("GliomaRisk").GliomaRiskWidget()
    made.setup()
    made.logic.session._make_client = lambda: scripted_client
    yield made
    made.cleanup()


def settle(panel: Any) -> None:
    for _ in range(3):
        panel.logic.session.poll()
        QtWidgets.QApplication.processEvents()
    panel.refresh()


def words_of(panel: Any) -> list[str]:
    """Every text that the panel shows, but for what the reader types, chooses or corrects: the folder, the days."""
    found = []
    for shown in QtWidgets.QApplication.allWidgets():
        if isinstance(shown, (QtWidgets.QLabel, QtWidgets.QAbstractButton)):
            found += [said(shown, "text"), said(shown, "toolTip")]
        elif isinstance(shown, QtWidgets.QGroupBox):
            found.append(said(shown, "title"))
        elif isinstance(shown, QtWidgets.QTableWidget):
            first = 1 if shown is panel.ui.visitsTable else 0
            lines, columns = int(said(shown, "rowCount")), int(said(shown, "columnCount"))
            cells = (shown.item(line, column) for line in range(lines) for column in range(first, columns))
            found += [word for cell in cells if cell is not None for word in (cell.text(), cell.toolTip())]
    return found


def said(shown: Any, name: str) -> str:
    """A property, which Qt has as a function and Slicer as a value."""
    value = getattr(shown, name)
    return str(value() if callable(value) else value)


def test_what_the_panel_shows_exports_and_saves_names_no_patient_and_no_day(
    widget: Any, planted: Path, markers: Any, helper: Any, scripted_client: Any, scene: Any, tmp_path: Path,
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    panel = widget.panel
    panel.parameters.source = helper("parameters").SeriesSource.FOLDER
    panel.parameters.folder = str(planted)
    with caplog.at_level(0):
        panel.series.read_folder()
        settle(panel)
        panel.run.apply_or_cancel()
        scripted_client.done()
        settle(panel)
        for kind in ("report", "table", "heatmaps", "scene", "dicom"):
            panel.review.exporting.write(kind, panel.review.patient, tmp_path / "out" / kind)
        (tmp_path / "saved").mkdir()
        panel.review.patient.save(tmp_path / "saved" / "scene.mrb")
        # What cannot be read is refused in the panel, and the fault stands in the log.
        last = max(planted.iterdir())
        last.write_bytes(last.read_bytes()[:-2000])
        panel.series.read_folder()
        panel.series.open_series()
        settle(panel)
    spoken = capfd.readouterr()
    assert len(panel.review.patient.visits) == 2
    words = words_of(panel)
    assert len([word for word in words if word]) > 50
    assert markers.spoken_in(*words, spoken.out, spoken.err, caplog.text) == []
    assert markers.found_in(tmp_path / "out") == []
    # Saved as Slicer saves, a scene keeps what the reader named to the panel, by which it is read again, and no more.
    leaks = {where for where, _ in markers.found_in(tmp_path / "saved")}
    with zipfile.ZipFile(tmp_path / "saved" / "scene.mrb") as saved:
        scenes = [name for name in saved.namelist() if name.endswith(".mrml")]
        texts = [re.sub(r"<ScriptedModule\b[^>]*>", "", saved.read(name).decode("utf-8")) for name in scenes]
    assert leaks <= {"scene.mrb", *(f"scene.mrb>{name}" for name in scenes)}
    assert markers.spoken_in(*texts) == []
    names = [scene.GetNthNode(number).GetName() or "" for number in range(scene.GetNumberOfNodes())]
    assert markers.spoken_in(*names) == []
    kept = panel.logic.temporary_folder("x").parent
    assert markers.found_in(kept) == []
