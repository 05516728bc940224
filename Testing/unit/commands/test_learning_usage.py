"""Learning commands refuse, before they work or write, a folder that is something else's and numbers that are none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from TemporalGliomaRisk.bundle import seal_bundle
from TemporalGliomaRisk.commands import main
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A cohort of one patient that somebody would miss."""
    (tmp_path / "data" / "sub-01").mkdir(parents=True)
    table = "participant_id\tevent_observed\tfollow_up_days\nsub-01\ttrue\t400\n"
    (tmp_path / "data" / "participants.tsv").write_text(table, encoding="utf-8")
    return tmp_path / "data"


def test_simulate_never_replaces_the_tables_of_another_dataset(dataset: Path, capsys) -> None:
    before = (dataset / "participants.tsv").read_bytes()
    assert main(["simulate", "--patients", "1", "--output", str(dataset)]) == 2
    assert "holds another dataset" in capsys.readouterr().err
    assert (dataset / "participants.tsv").read_bytes() == before
    assert sorted(path.name for path in dataset.iterdir()) == ["participants.tsv", "sub-01"]


@pytest.mark.parametrize("output", ["", "participants.tsv"])
def test_calibrate_writes_no_bundle_into_a_cohort_or_over_a_file(dataset: Path, output: str, capsys) -> None:
    arguments = ["calibrate", "--cohort", str(dataset), "--run", str(dataset), "--output", str(dataset / output)]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "something else than a model bundle" in said if not output else "what is there is a file" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--output", "participants.tsv"], "what is there is a file"),
        (["--output", "new", "--resamples", "0"], "Wanted --resamples of 1 or more"),
        (["--output", "new", "--seed", "-1"], "Wanted --resamples of 1 or more"),
    ],
)
def test_evaluate_refuses_before_it_prepares_anybody(dataset: Path, more: list[str], words: str, capsys) -> None:
    more[1] = str(dataset / more[1])
    assert main(["evaluate", "--cohort", str(dataset), "--model", str(dataset), *more]) == 2
    assert words in capsys.readouterr().err
    assert not (dataset / "new").exists()


def test_evaluate_says_that_nobody_is_left_to_test(dataset: Path, tmp_path: Path, capsys) -> None:
    model = tmp_path / "model"
    shutil.copytree(resource_path(DEFAULT_MODEL), model)
    path = model / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    metadata["run"]["split"]["fractions"] = [1.0, 0.0, 0.0]
    path.write_text(json.dumps(metadata), encoding="utf-8")
    seal_bundle(model)
    arguments = ["--cohort", str(dataset), "--model", str(model), "--output", str(tmp_path / "new")]
    assert main(["evaluate", *arguments, "--part", "test"]) == 2
    assert "leaves none of the 1 patients for the test part" in capsys.readouterr().err
