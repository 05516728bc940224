"""Training's numbers as TensorBoard reads them back, and training without its package."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from TemporalGliomaRisk.learn import curves
from TemporalGliomaRisk.learn.pair_crops import PairConfig
from TemporalGliomaRisk.learn.pretrain import PretrainConfig, pretrain
from TemporalGliomaRisk.learn.run_folder import RunConfig, RunFolder


def read_back(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of every curve, by TensorBoard's own reader."""
    events = EventAccumulator(str(folder))
    events.Reload()
    names = events.Tags()["scalars"]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


def logged(run: Path, place: str) -> list[dict]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if place in (entry["stage"], entry.get("head"))]


def test_a_killed_run_goes_on_in_the_same_curves_with_the_numbers_of_its_log(make_stored, tmp_path: Path) -> None:
    patients = [make_stored(number, grows=number % 2 == 0) for number in range(4)]
    config = RunConfig(
        pretraining=PretrainConfig(
            updates=6, pairs_per_update=2, validate_every=2, validation_pairs=2, pairs=PairConfig(crop_voxels=16)
        )
    )

    def train(last: int) -> None:
        run = RunFolder.begin(tmp_path, config)  # a process begins with it, too

        def report(update: int, numbers: dict[str, float]) -> None:
            if "validation_order" in numbers:
                run.log("pretrain", numbers, update=update)
            if update == last:
                raise KeyboardInterrupt

        pretrain(
            patients[:3],
            patients[3:],
            run.pretraining_folder,
            model_config=config.model,
            config=config.pretraining,
            report=report,
        )

    with pytest.raises(KeyboardInterrupt):
        train(3)
    train(-1)
    found, lines = read_back(tmp_path / "tensorboard" / "pretrain"), logged(tmp_path, "pretrain")
    assert [line["update"] for line in lines] == [2, 4, 6]
    assert set(found) == set(lines[0]) - {"time", "stage", "update"}
    for name, points in found.items():
        assert [step for step, _ in points] == [2, 4, 6]
        assert [value for _, value in points] == pytest.approx([line[name] for line in lines], rel=1e-6)


def test_every_head_has_curves_of_its_own(tmp_path: Path) -> None:
    run = RunFolder.begin(tmp_path, RunConfig())
    for head, loss in (("member-1", 0.5), ("order", 0.25)):
        run.log("finetune", {"training": loss, "best_validation": float("inf")}, head=head, epoch=1)
    assert read_back(tmp_path / "tensorboard" / "order")["training"] == [(1, 0.25)]
    assert read_back(tmp_path / "tensorboard" / "member-1")["training"] == [(1, 0.5)]
    assert [line["head"] for line in logged(tmp_path, "finetune")] == ["member-1", "order"]


def test_without_the_package_the_log_is_written_and_the_want_of_curves_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert curves.no_curves() == ()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (said,) = curves.no_curves()
    assert "tensorboard is not installed (extra train)" in said.message
    RunFolder.begin(tmp_path, RunConfig()).log("pretrain", {"growth": 0.5}, update=2)
    assert logged(tmp_path, "pretrain")[0]["growth"] == 0.5
    assert not (tmp_path / "tensorboard").exists()
