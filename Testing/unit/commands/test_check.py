"""The command ``check``: what it prints, and with which status it ends."""

from __future__ import annotations

import json

import pytest

from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.resources import resource_path


def test_real_pair_prints_a_row_a_visit_within_100_columns_and_ends_well(shared_data, capsys):
    assert main(["check", str(shared_data / "ms_pair"), "--no-alignment"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "sub-01: 2 visits. Day 0 is the first visit."
    assert [line.split()[:4] for line in lines if line[:1] in "12" and line] == [
        ["1", "0", "-", "FLAIR"],
        ["2", "203", "203", "FLAIR"],
    ]


def test_days_count_from_treatment_where_it_is_known_as_everywhere_else(capsys):
    assert main(["check", str(resource_path("SampleData") / "sub-01"), "--no-alignment"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sub-01: 6 visits. Day 0 is treatment."
    assert [line.split()[:3] for line in lines if line[:1] in "12" and line] == [["1", "20", "-"], ["2", "111", "91"]]


def test_registered_pair_is_measured_nearer_than_the_unregistered_one(shared_data, capsys):
    distances = []
    for name in ("ms_pair", "ms_pair/derivatives/registered/sub-01"):
        main(["check", str(shared_data / name), "--json"])
        distances.append(json.loads(capsys.readouterr().out)["visits"][1]["displacement_mm"])
    assert distances[0] > 5
    assert distances[1] < 1


@pytest.mark.parametrize("as_json", [False, True])
def test_a_refusal_ends_with_status_2_and_is_told_in_either_form(shared_data, capsys, as_json):
    options = ["--json"] if as_json else []
    assert main(["check", str(shared_data / "glioblastoma_pairs"), *options]) == 2
    out = capsys.readouterr().out
    assert "holds 2 patients" in out
    if as_json:
        assert json.loads(out)["refused"] is True


def test_on_a_terminal_every_visit_is_announced_and_elsewhere_nothing_but_the_table(shared_data, capsys, monkeypatch):
    arguments = ["check", str(shared_data / "ms_pair"), "--no-alignment"]
    assert main(arguments) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(arguments) == 0
    assert [line.split("%  ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "Starting",
        "Checking visit 1",
        "Checking visit 2",
    ]


@pytest.mark.parametrize("metadata", ['{"name": "older"}', '{"trained_gaps_days": null}', '{"trained_gaps_days": []}'])
def test_a_model_that_names_no_gaps_is_told_of_and_refuses_nothing(shared_data, tmp_path, capsys, metadata):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(metadata)
    arguments = ["check", str(shared_data / "ms_pair"), "--no-alignment", "--json"]
    assert main([*arguments, "--model", str(tmp_path)]) == 0
    found = {item["code"]: item["severity"] for item in json.loads(capsys.readouterr().out)["findings"]}
    assert found["gaps_not_compared"] == "note"
    assert main(arguments) == 0
    assert "gaps_not_compared" not in capsys.readouterr().out


@pytest.mark.parametrize("metadata", ["[]", "7", '{"trained_gaps_days": 7}', '{"trained_gaps_days": [1, 2, 3]}'])
def test_metadata_of_no_model_ends_in_one_sentence(shared_data, tmp_path, capsys, metadata):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(metadata)
    assert main(["check", str(shared_data / "ms_pair"), "--no-alignment", "--model", str(tmp_path)]) == 2
    assert "metadata.json cannot be read. Name a model folder" in capsys.readouterr().err
