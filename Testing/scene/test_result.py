"""The files of a result: read as they are meant, refused in a sentence where they are not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.sitk_images import write_nifti


def rewrite(folder: Path, name: str, change) -> None:
    """Change a JSON file in place."""
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    change(content)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def folder(phantom, tmp_path) -> Path:
    """A result of two visits."""
    small = phantom.grid((22, 26, 20), (8.0, 8.0, 8.0))
    move = phantom.turned((4, 5, 6), (7, 8, 9))
    visits = [phantom.Visit(0, geometry=small), phantom.Visit(90, geometry=small, to_frame=move)]
    phantom.result(tmp_path / "result", visits)
    return tmp_path / "result"


def test_a_result_says_what_its_files_say(folder, phantom) -> None:
    result = RiskResult.read(folder)

    assert (result.patient, result.model_name, result.horizon_days) == ("sub-07", "phantom-model", 365)
    assert [visit.gap_days for visit in result.visits] == [None, 90]
    assert result.visits[1].heatmap.is_file()
    assert result.visits[0].change_heatmap is None
    assert result.visits[1].to_frame() == pytest.approx(phantom.turned((4, 5, 6), (7, 8, 9)))
    assert (result.visits[0].to_frame("T1w") == np.eye(4)).all()


def test_what_was_brought_to_its_visits_reference_goes_on_from_there(folder, phantom) -> None:
    to_reference = phantom.turned((1, 2, 3), (0.5, 0.2, 0.1))

    def align(content) -> None:
        content["alignments"][1] |= {"target": "reference", "to_target_ras": to_reference.tolist()}
        first = {"session_id": "ses-01", "sequence": "T1w", "target": "reference"}
        content["alignments"].insert(0, first | {"to_target_ras": to_reference.tolist()})

    rewrite(folder, "audit.json", align)
    result = RiskResult.read(folder)

    assert result.visits[0].to_frame("T1w") == pytest.approx(to_reference)
    expected = to_reference @ phantom.turned((4, 5, 6), (7, 8, 9))
    assert result.visits[1].to_frame("T1w") == pytest.approx(expected)


def _leave(name: str):
    return lambda content: content["visits"][0].update(heatmap=name)


FAR_PEAK = {"name": "A", "ras_mm": [1e308, -1e308, 0], "share_of_hazard": 0.5, "hazard_per_mL": 0.1}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("risk.json", _leave("../elsewhere.nii.gz"), "visit 1 lies outside"),
        ("risk.json", _leave("/etc/passwd"), "visit 1 lies outside"),
        ("risk.json", _leave("C:/x.nii.gz"), "visit 1 lies outside"),
        ("risk.json", _leave("heatmaps/gone.nii.gz"), "visit 1 is missing"),
        ("risk.json", lambda content: content.update(schema_version="2.0"), "of version '2.0', wanted 1.0"),
        ("risk.json", lambda content: content.pop("visits"), "lacks what belongs in it"),
        ("risk.json", lambda content: content["visits"].clear(), "holds no visit"),
        ("risk.json", lambda content: content["visits"][0].update(risk="high"), "lacks what belongs in it"),
        ("risk.json", lambda content: content["visits"][0].update(risk=float("nan")), "cannot be read as JSON"),
        ("risk.json", lambda content: content["visits"][0].update(risk=2.0), "holds what does not"),
        ("risk.json", lambda content: content["visits"][0].update(risk="0.1"), "holds what does not"),
        ("risk.json", lambda content: content["visits"][0].update(single_visit_risk=-1), "holds what does not"),
        ("risk.json", lambda content: content["visits"][0].update(days_since_treatment=True), "holds what does not"),
        ("risk.json", lambda content: content["visits"][0].update(days_since_first=10**400), "holds what does not"),
        ("risk.json", lambda content: content["visits"][0].update(peaks=[FAR_PEAK]), "holds what does not"),
        ("audit.json", lambda content: content.update(patient="sub-99"), "of different patients"),
        ("audit.json", lambda content: content["alignments"][0].update(to_target_ras=[[1]]), "no \\(4, 4\\) matrix"),
    ],
)
def test_a_wrong_result_is_refused(folder, name, change, message) -> None:
    rewrite(folder, name, change)

    with pytest.raises(InputError, match=message) as refused:
        RiskResult.read(folder)
    assert str(folder) not in str(refused.value)


def test_a_folder_without_results_or_with_broken_ones_is_refused(folder, tmp_path) -> None:
    with pytest.raises(InputError, match=r"holds no risk\.json"):
        RiskResult.read(tmp_path / "nowhere")
    for broken in ("{", "[" * 200_000):
        (folder / "risk.json").write_text(broken, encoding="utf-8")
        with pytest.raises(InputError, match=r"risk\.json cannot be read as JSON"):
            RiskResult.read(folder)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path) -> None:
    (tmp_path / "outside").mkdir()
    map_file = folder / "heatmaps" / "sub-07_ses-01_desc-risk_heatmap.nii.gz"
    map_file.rename(tmp_path / "outside" / map_file.name)
    map_file.symlink_to(tmp_path / "outside" / map_file.name)

    with pytest.raises(InputError, match="visit 1 lies outside"):
        RiskResult.read(folder)


def test_a_timeline_that_is_not_the_results_own_is_refused(folder, phantom, tmp_path) -> None:
    result = RiskResult.read(folder)
    timeline = phantom.timeline([phantom.Visit(0), phantom.Visit(90)])
    result.check_inputs(timeline)
    path = tmp_path / "flair.nii.gz"
    write_nifti(phantom.head(phantom.grid((12, 12, 12)), np.eye(4)), path)
    source = VolumeFile(path=path, role="FLAIR of visit 1")
    visit = replace(timeline.visits[0], sources={**timeline.visits[0].sources, "FLAIR": source})
    from_file = replace(timeline, visits=(visit, timeline.visits[1]))

    with pytest.raises(InputError, match="has 2 visits and the timeline 1"):
        result.check_inputs(replace(timeline, visits=timeline.visits[:1]))
    with pytest.raises(InputError, match="FLAIR of visit 1 is not the file"):
        replace(result, input_hashes={"sub-07_ses-01_FLAIR": ("0" * 64,)}).check_inputs(from_file)
    for sources in ({"FLAIR": source}, {**visit.sources, "T2w": source}):
        other = replace(timeline, visits=(replace(visit, sources=sources), timeline.visits[1]))
        with pytest.raises(InputError, match=r"was made from FLAIR, T1w of visit 1 and the timeline has "):
            result.check_inputs(other)
