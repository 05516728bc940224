"""audit.json: hashes and settings, and nothing that names the patient."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.preprocess.prepared import Alignment
from TemporalGliomaRisk.report.audit import (
    AuditRecord,
    input_hashes,
    platform_name,
    read_audit_record,
    safe_options,
    versions,
    visit_days,
    write_audit_json,
)
from TemporalGliomaRisk.timeline.finding import Finding, Severity
from TemporalGliomaRisk.timeline.visit import Timeline, Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Geometry, Volume


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    file = tmp_path / "jane_doe_20210402.nii.gz"
    file.write_bytes(b"voxels")
    volume = Volume(voxels=np.zeros((2, 2, 2)), geometry=Geometry(shape=(2, 2, 2), ijk_to_ras=np.eye(4)))
    sources = {"FLAIR": VolumeInMemory(volume=volume, files=(file,)), "T2w": VolumeInMemory(volume=volume)}
    visit = Visit(session_id="ses-01", days_since_first=0, days_since_treatment=None, sources=sources)
    return Timeline(patient_id="sub-01", visits=(visit,), identity={"sub-01": "jane_doe"})


def an_audit(timeline: Timeline) -> AuditRecord:
    alignment = Alignment(
        sequence="T2w",
        target="reference",
        moved=True,
        to_target_ras=np.eye(4),
        similarity=np.float32(0.9),
        measure="mutual information",
        residual_mm=None,
    )
    finding = Finding(severity=Severity.WARNING, code="one_visit", message="A single visit.", visit=1)
    asked = {"timeline": "jane_doe", "output": Path("/data/jane_doe"), "register": "auto", "run": print}
    return AuditRecord(
        patient=timeline.patient_id,
        inputs=input_hashes(timeline),
        versions=versions("2.13.0"),
        platform=platform_name(),
        device="cpu",
        seed=None,
        options=safe_options(asked),
        preprocessing={"spacing_mm": 1.5},
        model="evidence",
        model_files={"models/member-1.safetensors": "0" * 64},
        timings_s={"preprocess": 3.2},
        findings=[finding.to_json()],
        alignments=[{"session_id": "ses-01", **alignment.to_json()}],
        days=visit_days(timeline),
    )


def test_inputs_are_hashed_under_bids_labels_and_nothing_names_the_patient(timeline: Timeline, tmp_path: Path) -> None:
    write_audit_json(an_audit(timeline), tmp_path / "audit.json")
    text = (tmp_path / "audit.json").read_text()
    assert "jane" not in text
    assert "2021" not in text
    inputs = json.loads(text)["inputs"]
    assert inputs == {"sub-01_ses-01_FLAIR": [hashlib.sha256(b"voxels").hexdigest()], "sub-01_ses-01_T2w": []}


def test_an_audit_read_back_says_the_same(timeline: Timeline, tmp_path: Path) -> None:
    write_audit_json(an_audit(timeline), tmp_path / "audit.json")
    audit = read_audit_record(tmp_path / "audit.json")
    assert audit.alignments[0]["to_target_ras"] == np.eye(4).tolist()
    assert audit.findings[0]["code"] == "one_visit"
    assert audit.versions["torch"] == "2.13.0"
    assert audit.options == {"timeline": "(withheld)", "output": "(withheld)", "register": "auto"}


def test_only_an_options_own_words_are_kept() -> None:
    given = {"device": "cuda:0", "mask": "smith", "register": "auto", "name": "auto", "seed": 3, "files": ["a"]}
    kept = {"device": "cuda:0", "mask": "(withheld)", "register": "auto", "name": "(withheld)", "seed": 3}
    assert safe_options(given) == {**kept, "files": "(withheld)"}
    for path in ("auto_smith.nii.gz", "none of smith", "smith/auto", "auto\n"):
        assert safe_options({"mask": path}) == {"mask": "(withheld)"}


def test_an_audit_with_a_label_that_is_not_bids_is_refused(timeline: Timeline, tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    write_audit_json(an_audit(timeline), path)
    content = json.loads(path.read_text())
    content["inputs"]["/data/jane_doe.nii.gz"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"audit\.json is not valid") as caught:
        read_audit_record(path)
    assert "jane" not in str(caught.value)
