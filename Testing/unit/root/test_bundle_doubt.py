"""What a bundle says of when not to believe it: kept to the bit, missing without harm, refused when it is not ours."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from TemporalGliomaRisk.bundle import SUMS, RiskModel, load_bundle, seal_bundle, write_bundle
from TemporalGliomaRisk.bundle_doubt import DOUBT, DOUBT_TENSORS, SANITY
from TemporalGliomaRisk.encode.summary import change_length, summary_length
from TemporalGliomaRisk.errors import ModelError
from TemporalGliomaRisk.explain.sanity import HeatmapSanity, StageSanity
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.risk.doubt import Doubt, Usual

SANE = HeatmapSanity(
    stages=(
        StageSanity(
            randomised="every weight", correlation=0.1, correlation_low=-0.1, correlation_high=0.3, top_overlap=0.02
        ),
    ),
    members_correlation=None,
    members_top_overlap=None,
    visits=4,
    seeds=2,
)


def usual(length: int) -> Usual:
    random = torch.Generator().manual_seed(length)
    return Usual(
        centre=torch.randn(4, length, generator=random),
        whitening=torch.randn(4, length, length, generator=random),
        level=torch.rand(4, 2, generator=random) + 0.1,
        known=torch.tensor([True, True, False, True]),
    )


@pytest.fixture(scope="module")
def doubt(small_bundle: Path) -> Doubt:
    channels = load_bundle(small_bundle).network.config.feature_channels
    return Doubt(
        appearance=usual(summary_length(channels)),
        change=usual(change_length(channels)),
        unusual_above=2.5,
        at_odds_above=0.7,
        training_visits=30,
        validation_visits=20,
        validation_patients=7,
    )


def written(folder: Path, model: RiskModel, **given: Any) -> Path:
    write_bundle(
        folder,
        network=model.network,
        preprocessing=model.preprocessing,
        calibration=model.calibration,
        single_visit_calibration=model.single_visit_calibration,
        metadata=model.metadata,
        card=model.card,
        licence="Apache-2.0\n",
        **given,
    )
    return folder


@pytest.fixture
def bundle(small_bundle: Path, doubt: Doubt, tmp_path: Path) -> Path:
    return written(tmp_path / "doubting", load_bundle(small_bundle), doubt=doubt, heatmap_sanity=SANE)


def refusal(bundle: Path) -> str:
    seal_bundle(bundle)
    with pytest.raises(ModelError) as caught:
        load_bundle(bundle)
    assert "\n" not in str(caught.value)
    assert str(bundle) not in str(caught.value)
    return str(caught.value)


def test_what_is_loaded_is_what_was_written(bundle: Path, doubt: Doubt) -> None:
    model = load_bundle(bundle)
    assert model.heatmap_sanity == SANE
    for part in ("appearance", "change"):
        one, other = getattr(model.doubt, part), getattr(doubt, part)
        assert all(torch.equal(getattr(one, name), tensor) for name, tensor in other.__dict__.items())
    assert replace(model.doubt, appearance=doubt.appearance, change=doubt.change) == doubt


def test_a_bundle_from_before_loads_and_says_nothing_of_doubt(small_bundle: Path) -> None:
    model = load_bundle(small_bundle)
    assert model.doubt is None
    assert model.heatmap_sanity is None


def test_writing_a_bundle_anew_without_it_leaves_nothing_of_it_behind(bundle: Path) -> None:
    written(bundle, load_bundle(bundle))
    assert not any((bundle / name).exists() for name in (DOUBT, DOUBT_TENSORS, SANITY))
    assert load_bundle(bundle).doubt is None


@pytest.mark.parametrize("name", [DOUBT, DOUBT_TENSORS, SANITY])
def test_a_flipped_byte_is_refused(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(ModelError, match="another hash than SHA256SUMS says"):
        load_bundle(bundle)


def test_files_that_no_hash_covers_are_not_believed(bundle: Path, small_bundle: Path) -> None:
    plain = load_bundle(small_bundle)
    for name in (DOUBT, DOUBT_TENSORS, SANITY):
        shutil.copy(bundle / name, bundle.parent / Path(name).name)
    written(bundle, plain)
    for name in (DOUBT, DOUBT_TENSORS, SANITY):
        shutil.copy(bundle.parent / Path(name).name, bundle / name)
    assert load_bundle(bundle).doubt is None
    sums = bundle / SUMS
    seal_bundle(bundle)
    lines = [line for line in sums.read_text().splitlines(keepends=True) if DOUBT_TENSORS not in line]
    sums.write_text("".join(lines))
    with pytest.raises(ModelError, match=f"does not cover {DOUBT_TENSORS}"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("change.whitening", torch.zeros(4, 2, 2), "does not fit its network"),
        ("appearance.level", torch.zeros(4, 2), "spread that is not above 0"),
        ("appearance.known", torch.ones(4), "unusable numbers"),
        ("appearance.level", torch.full((4, 2), torch.nan), "unusable numbers"),
    ],
)
def test_tensors_of_another_kind_are_refused(bundle: Path, name: str, tensor: torch.Tensor, words: str) -> None:
    tensors = load_file(str(bundle / DOUBT_TENSORS))
    save_file({**tensors, name: tensor}, str(bundle / DOUBT_TENSORS))
    assert words in refusal(bundle)


def test_a_pickle_in_place_of_the_tensors_is_never_opened(bundle: Path) -> None:
    torch.save({"appearance.centre": torch.zeros(2)}, bundle / DOUBT_TENSORS)
    assert "cannot be read" in refusal(bundle)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (DOUBT, {"unusual_above": "high"}),
        (DOUBT, {"unusual_above": None}),
        (DOUBT, {"at_odds_above": 1e999}),
        (DOUBT, {"training_visits": 1e999}),
        (SANITY, {"stages": []}),
        (SANITY, {"stages": "all"}),
        (SANITY, {"stages": [{"randomised": "x"}]}),
        (SANITY, {"visits": None, "top_share": "much"}),
        (SANITY, {"something_else": 1}),
    ],
)
def test_numbers_that_are_none_are_refused(bundle: Path, name: str, change: dict[str, Any]) -> None:
    content = json.loads((bundle / name).read_text(encoding="utf-8"))
    (bundle / name).write_text(json.dumps({**content, **change}), encoding="utf-8")
    assert "fetch the model again" in refusal(bundle)


def test_summaries_of_another_form_are_not_compared_with_ours(bundle: Path) -> None:
    content = json.loads((bundle / DOUBT).read_text(encoding="utf-8"))
    (bundle / DOUBT).write_text(json.dumps({**content, "summary_version": 99}), encoding="utf-8")
    seal_bundle(bundle)
    assert load_bundle(bundle).doubt is None


def test_the_shipped_model_says_when_not_to_believe_it() -> None:
    model = load_bundle(resource_path(DEFAULT_MODEL))
    assert model.doubt is not None
    assert model.doubt.false_alarm_rate == 0.01
    assert model.heatmap_sanity is not None
    assert "## When not to believe it" in model.card
