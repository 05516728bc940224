"""What a repeated run takes from its audit, and every difference that it promises to tell, part by part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from TemporalGliomaRisk import repeat
from TemporalGliomaRisk.errors import InputError, UsageError
from TemporalGliomaRisk.report.audit import WITHHELD, AuditRecord, input_hashes, visit_days
from TemporalGliomaRisk.run import PredictRequest, RequestInputs
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.visit import Timeline, Visit


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    visits = []
    for number in (1, 2):
        path = tmp_path / f"{number}.nii.gz"
        path.write_bytes(f"visit {number}".encode())
        source = VolumeFile(path=path, role="FLAIR")
        day = 100 * number - 100
        visits.append(
            Visit(
                session_id=f"ses-0{number}",
                days_since_first=day,
                days_since_treatment=day + 30,
                sources={"FLAIR": source},
            )
        )
    return Timeline(patient_id="sub-01", visits=tuple(visits))


def audit_of(timeline: Timeline, **changes: Any) -> AuditRecord:
    options = {"device": "cpu", "register": "auto", "mask": "auto", "heatmaps": True, "identified": False}
    whole = AuditRecord(
        patient="sub-01",
        inputs=input_hashes(timeline),
        versions={},
        platform="Plan 9",
        device="cpu",
        seed=None,
        options=options,
        preprocessing={},
        model="any",
        model_files={},
        timings_s={},
        findings=[],
        alignments=[],
        days=visit_days(timeline),
    )
    return replace(whole, **changes)


def test_every_option_of_the_audit_is_that_of_the_repetition(timeline: Timeline, tmp_path: Path) -> None:
    for device, register, heatmaps, identified, scene in (
        ("cuda:1", "always", False, True, False),
        ("cpu", "never", True, False, True),
    ):
        options = {
            "device": device,
            "register": register,
            "mask": "none",
            "heatmaps": heatmaps,
            "identified": identified,
            "scene": scene,
            "patient": WITHHELD,
        }
        asked = repeat.request_of(audit_of(timeline, options=options), tmp_path, tmp_path / "out", patient="Jane")
        assert asked == PredictRequest(
            timeline=tmp_path,
            output=tmp_path / "out",
            patient="Jane",
            device=device,
            register=register,
            mask="none",
            heatmaps=heatmaps,
            identified=identified,
            scene=scene,
        )


def test_a_mask_is_given_where_the_run_had_one_and_only_there(timeline: Timeline, tmp_path: Path) -> None:
    without = audit_of(timeline)
    with_one = audit_of(timeline, options={**without.options, "mask": WITHHELD})
    mask = tmp_path / "mask.nii.gz"
    assert repeat.request_of(with_one, tmp_path, tmp_path, mask=mask).mask == mask
    with pytest.raises(UsageError, match="Name its file with --mask FILE"):
        repeat.request_of(with_one, tmp_path, tmp_path)
    with pytest.raises(UsageError, match="was given no brain mask"):
        repeat.request_of(without, tmp_path, tmp_path, mask=mask)


@pytest.mark.parametrize("since_treatment", [31, None])
def test_another_day_of_treatment_alone_is_another_input(timeline: Timeline, since_treatment: int | None) -> None:
    first = replace(timeline.visits[0], days_since_treatment=since_treatment)
    other = replace(timeline, visits=(first, timeline.visits[1]))
    repeat.refuse_other_input(audit_of(timeline), RequestInputs(timeline=timeline, brain_mask=None))
    with pytest.raises(InputError, match=r"audited run: visit 1 is on another day\. "):
        repeat.refuse_other_input(audit_of(timeline), RequestInputs(timeline=other, brain_mask=None))


def test_a_library_that_was_there_then_or_is_there_now_alone_is_told(timeline: Timeline) -> None:
    said = repeat.noted_before(audit_of(timeline, versions={"fortran": "77"}))
    assert "fortran was 77 and is absent." in said
    assert any(sentence.startswith("numpy was absent and is ") for sentence in said)


def risks(folder: Path, *values: float) -> Path:
    folder.mkdir()
    (folder / "risk.json").write_text(json.dumps({"visits": [{"risk": value} for value in values]}))
    return folder


def test_another_device_and_the_largest_difference_of_a_risk_are_told_whichever_way_it_goes(
    timeline: Timeline, tmp_path: Path
) -> None:
    before = risks(tmp_path / "before", 0.5, 0.25, 0.125)
    for name, now, words in (("lower", (0.5, 0.125, 0.125), "0.12"), ("higher", (0.75, 0.25, 0.125), "0.25")):
        said = repeat.noted_after(
            audit_of(timeline, device="cuda"),
            SimpleNamespace(device="cpu"),
            before,
            risks(tmp_path / name, *now),
        )
        assert said == [
            "The device was cuda and is cpu.",
            f"risk.json differs; the largest difference of a visit's risk is {words}.",
        ]


def test_risks_that_cannot_be_compared_are_not_called_the_same(timeline: Timeline, tmp_path: Path) -> None:
    run, now = SimpleNamespace(device="cpu"), risks(tmp_path / "now", 0.5, 0.25)
    (tmp_path / "none").mkdir()
    fewer = risks(tmp_path / "fewer", 0.5)
    same = risks(tmp_path / "same", 0.5, 0.25)
    said = [repeat.noted_after(audit_of(timeline), run, then, now) for then in (tmp_path / "none", fewer, same)]
    assert said == [
        ["No risk.json lies beside the audit, so the risks could not be compared."],
        ["The risk.json beside the audit cannot be read, so the risks could not be compared."],
        ["risk.json is the same, byte for byte."],
    ]
