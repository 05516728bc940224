"""risk.json and risk.tsv: valid, the same after a round trip, refused when they contradict themselves."""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.report.record import (
    Measurement,
    ModelRecord,
    Peak,
    RiskRecord,
    VisitRecord,
    Warned,
    from_json,
    read_risk_record,
    to_json,
    write_risk_json,
)
from TemporalGliomaRisk.report.schema import load_schema
from TemporalGliomaRisk.report.table import risk_rows, write_risk_tsv
from TemporalGliomaRisk.timeline.finding import Finding, Severity

HAZARDS = (0.02, 0.05, 0.11, 0.2)
RISK = 1.0 - math.exp(-0.18)


def a_visit(**changes: object) -> VisitRecord:
    visit = VisitRecord(
        session_id="ses-01",
        days_since_first=0,
        sequences=("FLAIR", "ce-gd_T1w"),
        reference_sequence="FLAIR",
        risk=RISK,
        risk_low=0.1,
        risk_high=0.25,
        single_visit_risk=0.2,
        hazards=HAZARDS,
        background_hazard=0.03,
        outside_field_of_view_hazard=0.0,
        heatmap="heatmaps/sub-01_ses-01_desc-risk_heatmap.nii.gz",
        peaks=(Peak(name="A", ras_mm=(-31.0, 12.5, 40.0), share_of_hazard=0.4, hazard_per_mL=0.013),),
        measurements=(Measurement(name="Volume above 0.01 hazard per mL", value=4.2, unit="mL"),),
        warnings=(Warned(code="long_gap", message="The gap of 400 days is longer than any\tseen in training."),),
    )
    return dataclasses.replace(visit, **changes)


@pytest.fixture
def record() -> RiskRecord:
    first = a_visit()
    second = a_visit(
        session_id="ses-02",
        days_since_first=97,
        days_since_treatment=130,
        heatmap=None,
        risk_low=None,
        risk_high=None,
        single_visit_risk=None,
        outside_field_of_view_hazard=None,
        peaks=(),
        measurements=(),
        warnings=(),
    )
    return RiskRecord(
        patient="sub-01",
        horizon_days=365,
        model=ModelRecord(name="evidence", sha256="a" * 64, version="0.1.0"),
        visits=(first, second),
        warnings=(Warned(code="young", message="A note.", severity="note"),),
    )


def test_a_record_read_back_from_json_is_equal(record: RiskRecord, tmp_path: Path) -> None:
    write_risk_json(record, tmp_path / "risk.json")
    assert read_risk_record(tmp_path / "risk.json") == record


def test_numbers_of_numpy_are_written_as_plain_numbers(record: RiskRecord, tmp_path: Path) -> None:
    visit = a_visit(
        risk=np.float32(RISK), hazards=np.array(HAZARDS, np.float32), days_since_first=np.int64(0), risk_low=None
    )
    record = dataclasses.replace(record, visits=(visit,))
    write_risk_json(record, tmp_path / "risk.json")
    assert read_risk_record(tmp_path / "risk.json").visits[0].risk == pytest.approx(RISK, abs=1e-6)


def test_unknown_days_since_treatment_are_null_and_never_zero(record: RiskRecord) -> None:
    assert to_json(record)["visits"][0]["days_since_treatment"] is None


def test_every_field_of_a_visit_is_required_and_described_by_the_schema() -> None:
    fields = {field.name for field in dataclasses.fields(VisitRecord)}
    schema = load_schema("risk")["$defs"]["visit"]
    assert set(schema["required"]) == fields == set(schema["properties"])


@pytest.mark.parametrize("name", ["risk", "audit"])
def test_our_schemas_are_valid_json_schema_2020_12(name: str) -> None:
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    Draft202012Validator.check_schema(load_schema(name))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda content: content["visits"][1].update(risk=1.2), r"\$\.visits\[1\]\.risk: wanted maximum 1"),
        (lambda content: content["visits"][0].pop("risk_low"), r"\$\.visits\[0\]: 'risk_low' is a required"),
        (lambda content: content["visits"][0].update(heatmap="/home/jane_doe/a.nii.gz"), r"heatmap: wanted pattern"),
        (lambda content: content["visits"][0].update(heatmap="../a.nii.gz"), r"heatmap: wanted pattern"),
        (lambda content: content["visits"][0].update(heatmap="C:\\a.nii.gz"), r"heatmap: wanted pattern"),
        (lambda content: content.update(patient="jane_doe"), r"\$\.patient: wanted pattern"),
        (lambda content: content["model"].update(sha256="abc"), r"\$\.model\.sha256: wanted pattern"),
        (lambda content: content.update(schema_version="9.0"), r"schema_version: wanted const"),
        (lambda content: content.update(visits=[]), r"\$\.visits: wanted minItems"),
        (lambda content: content["visits"][0].update(jane_doe=1), r"\$\.visits\[0\]: it holds a property"),
    ],
)
def test_content_that_breaks_the_schema_is_refused_at_its_place_without_repeating_it(
    record: RiskRecord, change: object, place: str
) -> None:
    content = copy.deepcopy(to_json(record))
    change(content)  # type: ignore[operator]
    with pytest.raises(InputError, match=place) as caught:
        from_json(content)
    assert "jane" not in str(caught.value)


def test_a_risk_that_is_not_what_its_hazards_say_is_refused(record: RiskRecord) -> None:
    content = to_json(record)
    content["visits"][0]["risk"] = 0.24
    with pytest.raises(InputError, match=r"contradicts itself\. Risk of visit 1 must be .* = 0\.16473, got 0\.24"):
        from_json(content)


@pytest.mark.parametrize(
    ("visit", "message"),
    [
        (a_visit(risk=float("nan")), "Risk of visit 1 must be"),
        (a_visit(risk_low=0.2), "must enclose its risk"),
        (a_visit(background_hazard=0.19), "exceeds the whole"),
        (a_visit(hazards=(0.18,)), "needs 4 hazards"),
    ],
)
def test_a_record_cannot_be_built_from_numbers_that_contradict_each_other(
    record: RiskRecord, visit: VisitRecord, message: str
) -> None:
    with pytest.raises(GliomaRiskError, match=message):
        dataclasses.replace(record, visits=(visit,))


def test_a_risk_is_uncertain_only_for_a_reason_that_a_warning_tells(record: RiskRecord) -> None:
    told = dataclasses.replace(record.visits[1], uncertain_because=("young",))  # told of the timeline as a whole
    record = dataclasses.replace(record, visits=(record.visits[0], told))
    assert [visit.certainty for visit in record.visits] == ["", "uncertain"]
    assert from_json(to_json(record)) == record
    assert [row["uncertain_because"] for row in risk_rows(record)] == [None, "young"]
    untold = dataclasses.replace(record.visits[0], uncertain_because=("long_gap", "members_at_odds"))
    with pytest.raises(GliomaRiskError, match="visit 1 is uncertain because of members_at_odds, which no warning"):
        dataclasses.replace(record, visits=(untold, told))


def test_a_record_whose_days_do_not_rise_or_whose_horizon_ends_no_interval_is_refused(record: RiskRecord) -> None:
    with pytest.raises(GliomaRiskError, match="day 0 after day 0"):
        dataclasses.replace(record, visits=(a_visit(), a_visit()))
    with pytest.raises(GliomaRiskError, match="horizon, 400 days"):
        dataclasses.replace(record, horizon_days=400)


@pytest.mark.parametrize(("text", "message"), [(None, "cannot be read"), ('{"visits": [', "is not JSON")])
def test_a_missing_or_cut_file_is_refused_without_its_path(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "jane_doe.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_risk_record(path)
    assert "jane" not in str(caught.value)


def test_the_table_says_exactly_what_the_json_says(record: RiskRecord, tmp_path: Path) -> None:
    write_risk_tsv(record, tmp_path / "risk.tsv")
    with (tmp_path / "risk.tsv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    for row, visit in zip(rows, to_json(record)["visits"], strict=True):
        for name in ("risk", "risk_low", "risk_high", "single_visit_risk", "days_since_treatment", "background_hazard"):
            assert (None if row[name] == "n/a" else json.loads(row[name])) == visit[name]
        hazards = [float(value) for name, value in row.items() if re.fullmatch(r"hazard_\d+_\d+", name)]
        assert hazards == visit["hazards"]
        assert row["session_id"] == visit["session_id"]
        assert row["heatmap"] == (visit["heatmap"] or "n/a")
    assert rows[0]["sequences"] == "FLAIR,ce-gd_T1w"
    assert (rows[0]["peak_r_mm"], rows[1]["peak_r_mm"]) == ("-31.0", "n/a")
    assert rows[0]["Volume above 0.01 hazard per mL [mL]"] == "4.2"
    assert [row["warnings"] for row in rows] == ["young,long_gap", "young"]  # the timeline's too


def test_every_row_has_the_same_columns(record: RiskRecord) -> None:
    first, second = risk_rows(record)
    assert list(first) == list(second)


def test_a_finding_becomes_a_warning_with_its_code_and_severity() -> None:
    finding = Finding(severity=Severity.NOTE, code="few_visits", message="One visit only.", visit=1)
    assert Warned.of(finding) == Warned(code="few_visits", message="One visit only.", severity="note")
