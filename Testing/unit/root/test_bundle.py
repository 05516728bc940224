"""Bundles: the same after a round trip; refused in one sentence, and nothing run, when they are not ours."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from safetensors.torch import load_file, save_file

from TemporalGliomaRisk.bundle import (
    CALIBRATION,
    CARD,
    INFERENCE,
    METADATA,
    ORDER,
    SUMS,
    WEIGHTS,
    load_bundle,
    load_pretrained,
    seal_bundle,
    write_bundle,
)
from TemporalGliomaRisk.bundle_weights import load_weights
from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import InputError, ModelError
from TemporalGliomaRisk.files import sha256_of
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path

FILES = (METADATA, INFERENCE, WEIGHTS, ORDER, CALIBRATION, CARD, "LICENSE")
Change = Callable[[dict[str, Any]], Any]


class Bomb:
    """Leaves a file behind if anyone unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.fixture
def bundle(small_bundle: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(small_bundle, tmp_path / "small"))


def change_json(bundle: Path, name: str, change: Change) -> None:
    """Alter a JSON file of a bundle, hashes made right again: an attacker can do that, too."""
    content = json.loads((bundle / name).read_text(encoding="utf-8"))
    change(content)
    (bundle / name).write_text(json.dumps(content), encoding="utf-8")
    seal_bundle(bundle)


def refusal(bundle: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_bundle(bundle)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(bundle) not in sentence
    return sentence


def test_what_is_loaded_is_what_was_written_bit_for_bit(small_bundle: Path, tmp_path: Path) -> None:
    model = load_bundle(small_bundle)
    write_bundle(
        tmp_path / "again",
        network=model.network,
        preprocessing=model.preprocessing,
        calibration=model.calibration,
        single_visit_calibration=model.single_visit_calibration,
        metadata=model.metadata,
        card=model.card,
        licence=(small_bundle / "LICENSE").read_text(encoding="utf-8"),
        order=model.order,
    )
    for name in (*FILES, SUMS):
        assert (tmp_path / "again" / name).read_bytes() == (small_bundle / name).read_bytes()
    again = load_bundle(tmp_path / "again")
    assert again.sha256 == model.sha256 == sha256_of(small_bundle / SUMS)
    assert (again.preprocessing, again.calibration) == (model.preprocessing, model.calibration)
    for one, other in zip(model.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not again.network.training
    assert again.order is not None
    assert all(torch.equal(*two) for two in zip(model.order.parameters(), again.order.parameters(), strict=True))


def test_a_bundle_without_an_ordering_head_has_none_and_a_crafted_one_is_refused(bundle: Path) -> None:
    tensors = load_file(bundle / ORDER)
    (bundle / ORDER).unlink()
    seal_bundle(bundle)
    assert load_bundle(bundle).order is None
    save_file({name: value for name, value in tensors.items() if "pooled" not in name}, bundle / ORDER)
    seal_bundle(bundle)
    assert "weights do not fit its configuration" in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_in_any_file_is_refused(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    assert f"{name} of the model has another hash than SHA256SUMS says" in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert f"lacks {name}, which SHA256SUMS lists" in refusal(bundle)


def test_what_lies_beside_the_bundle_s_own_files_is_not_sealed(bundle: Path) -> None:
    foreign = (
        *("docs/Übersicht (1).md", "docs/.hidden.md", "docs/._README.md", "docs/table.xlsx", "docs/kept/old.md"),
        *(".DS_Store", "models/.DS_Store", "models/model (copy).safetensors", "notes.txt", ".git/LICENSE"),
    )
    for name in (*foreign, "docs/results of wide.png"):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_bytes(b"x")
    (bundle / "docs" / "elsewhere.md").symlink_to(bundle.parent / "elsewhere.md")
    (bundle.parent / "elsewhere.md").write_bytes(b"x")
    seal_bundle(bundle)
    assert set(load_bundle(bundle).files) == {*FILES, SUMS, "docs/results of wide.png"}
    for name in foreign:
        (bundle / name).unlink()
    load_bundle(bundle)
    (bundle / "docs" / "results of wide.png").write_bytes(b"y")
    assert "another hash" in refusal(bundle)


def test_the_shipped_model_is_sealed_with_every_file_of_its(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(resource_path(DEFAULT_MODEL), tmp_path / "copy"))
    seal_bundle(copy)
    assert (copy / SUMS).read_bytes() == (resource_path(DEFAULT_MODEL) / SUMS).read_bytes()


def test_a_folder_without_hashes_is_no_bundle(bundle: Path) -> None:
    (bundle / SUMS).unlink()
    assert "needs SHA256SUMS" in refusal(bundle)
    assert "needs SHA256SUMS" in refusal(bundle / "nowhere")


def test_weights_that_no_hash_covers_are_refused(bundle: Path) -> None:
    lines = (bundle / SUMS).read_text(encoding="utf-8").splitlines(keepends=True)
    (bundle / SUMS).write_text("".join(line for line in lines if WEIGHTS not in line), encoding="utf-8")
    assert f"does not cover {WEIGHTS}" in refusal(bundle)


@pytest.mark.parametrize("name", ["../outside.txt", "{absolute}", "models/../../outside.txt", "linked", ""])
def test_hashes_of_files_outside_the_folder_are_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("x", encoding="utf-8")
    (bundle / "linked").symlink_to(outside)
    with (bundle / SUMS).open("a", encoding="utf-8") as sums:
        sums.write(f"{sha256_of(outside)}  {name.format(absolute=outside)}\n")
    assert "names a file outside its folder" in refusal(bundle)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\0\0\0  \0", b"abc\n", b"g" * 64 + b"  LICENSE\n"])
def test_damaged_hashes_are_a_refusal(bundle: Path, content: bytes) -> None:
    (bundle / SUMS).write_bytes(content)
    assert "fetch the model again" in refusal(bundle)


def test_a_pickle_in_place_of_the_weights_is_never_opened(bundle: Path, tmp_path: Path) -> None:
    trace = tmp_path / "exploded"
    (bundle / WEIGHTS).write_bytes(pickle.dumps(Bomb(trace)))
    seal_bundle(bundle)
    assert "cannot be read as safetensors" in refusal(bundle)
    torch.save({"weights": Bomb(trace)}, bundle / WEIGHTS)
    seal_bundle(bundle)
    assert "cannot be read as safetensors" in refusal(bundle)
    assert not trace.exists()


def test_a_pickle_beside_the_weights_is_left_alone(bundle: Path, tmp_path: Path) -> None:
    trace = tmp_path / "exploded"
    torch.save(Bomb(trace), bundle / "models" / "model.pt")
    load_bundle(bundle)
    assert not trace.exists()


def test_no_class_that_a_file_names_is_ever_built(bundle: Path, tmp_path: Path) -> None:
    trace = tmp_path / "exploded"

    def aim_elsewhere(content: dict[str, Any]) -> None:
        content["network_def"]["_target_"] = "pathlib.Path.touch"

    change_json(bundle, INFERENCE, aim_elsewhere)
    assert "a network that this version does not know" in refusal(bundle)

    def aim_config_elsewhere(content: dict[str, Any]) -> None:
        content["network_def"]["_target_"] = "TemporalGliomaRisk.encode.evidence.EvidenceModel"
        content["network_def"]["config"]["_target_"] = "os.system"

    change_json(bundle, INFERENCE, aim_config_elsewhere)
    assert "a network that this version does not know" in refusal(bundle)

    def run_an_expression(content: dict[str, Any]) -> None:
        content["network_def"]["config"]["_target_"] = "TemporalGliomaRisk.encode.evidence.EvidenceConfig"
        content["network_def"]["members"] = f"$__import__('pathlib').Path({str(trace)!r}).touch()"

    change_json(bundle, INFERENCE, run_an_expression)
    assert "configuration is incomplete or not understood" in refusal(bundle)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("members", 10**6, "sizes are outside"),
        ("members", 0, "sizes are outside"),
        ("members", None, "not understood"),
        ("feature_channels", 10**7, "sizes are outside"),
        ("feature_channels", -1, "sizes are outside"),
        ("feature_channels", 8.5, "not understood"),
        ("convolutions", 10**6, "sizes are outside"),
        ("prior_interval_hazards", [0.1, 0.2], "not understood"),
        ("prior_places", "many", "not understood"),
        ("no_such_setting", 1, "not understood"),
        ("feature_channels", 9, "weights do not fit its configuration"),
        ("members", 3, "weights do not fit its configuration"),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_built(
    bundle: Path, field: str, value: Any, words: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        definition = content["network_def"]
        (definition if field == "members" else definition["config"])[field] = value

    change_json(bundle, INFERENCE, change)
    assert words in refusal(bundle)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (METADATA, lambda content: content.update(format_version=2), "bundle format 1, the model has 2"),
        (INFERENCE, lambda content: content["preprocessing"].update(grid_mm=0.01), "not understood"),
        (INFERENCE, lambda content: content.pop("preprocessing"), "not understood"),
        (INFERENCE, lambda content: content.update(network_def=[1, 2]), "not understood"),
        (CALIBRATION, lambda content: content["ensemble"].update(local_scale=-1.0), "positive and finite"),
        (CALIBRATION, lambda content: content["ensemble"].update(local_scale="big"), "not understood"),
        (CALIBRATION, lambda content: content.pop("single_visit"), "not understood"),
    ],
)
def test_settings_of_another_kind_are_refused(bundle: Path, name: str, change: Change, words: str) -> None:
    change_json(bundle, name, change)
    assert words in refusal(bundle)


@pytest.mark.parametrize("content", ["[1]", "{", "[" * 100_000, "\ud800"])
@pytest.mark.parametrize("name", [METADATA, INFERENCE, CALIBRATION])
def test_a_settings_file_that_is_no_json_object_is_refused(bundle: Path, name: str, content: str) -> None:
    (bundle / name).write_bytes(content.encode("utf-8", errors="surrogatepass"))
    seal_bundle(bundle)
    assert Path(name).name in refusal(bundle)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bundle: Path, value: float) -> None:
    tensors = load_file(str(bundle / WEIGHTS))
    tensors["single.growth.bias"] = torch.full((1,), value)
    save_file(tensors, str(bundle / WEIGHTS))
    seal_bundle(bundle)
    assert "not finite" in refusal(bundle)


def test_a_refused_model_is_bad_input_and_no_fault_of_ours() -> None:
    assert issubclass(ModelError, InputError)


def test_monai_builds_the_same_network_from_the_bundle(small_bundle: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(small_bundle / INFERENCE))
    parser.read_meta(str(small_bundle / METADATA))
    network = parser.get_parsed_content("network_def")
    assert isinstance(network, EvidenceModel)
    network.load_state_dict(load_file(str(small_bundle / WEIGHTS)))
    ours = load_bundle(small_bundle).network.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in network.state_dict().items())
    assert parser["_meta_"]["monai_version"]


def test_metadata_has_the_keys_that_a_monai_bundle_must_have(small_bundle: Path) -> None:
    metadata = json.loads((small_bundle / METADATA).read_text(encoding="utf-8"))
    # The schema's required keys, by MONAI's specification of bundles (its schema file lies on the net).
    wanted = ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "authors", "copyright")
    assert [name for name in wanted if not isinstance(metadata.get(name), str)] == []
    assert isinstance(metadata["required_packages_version"], dict)
    tensors = ("type", "format", "num_channels", "spatial_shape", "dtype", "is_patch_data", "channel_def")
    for side in ("inputs", "outputs"):
        for tensor in metadata["network_data_format"][side].values():
            assert [name for name in tensors if name not in tensor] == []
            assert len(tensor["channel_def"]) == tensor["num_channels"]


def test_weights_from_before_a_head_was_added_are_read_and_no_others_that_lack_a_part(tmp_path: Path) -> None:
    config = EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6)
    old, new = PairModel(config), PairModel(config)
    weights = old.state_dict()
    before = {name: weight for name, weight in weights.items() if name not in PairModel.ADDED_LATER}
    path = tmp_path / "weights.safetensors"
    save_file(before, str(path))
    begun = {name: new.state_dict()[name].clone() for name in PairModel.ADDED_LATER}
    read = load_weights(new, path).state_dict()
    assert all(torch.equal(read[name], {**before, **begun}[name]) for name in read)
    assert read.keys() == weights.keys()
    save_file({name: weight for name, weight in before.items() if name != "growth.bias"}, str(path))
    with pytest.raises(ModelError, match="do not fit"):
        load_weights(PairModel(config), path)


def test_the_shipped_model_can_be_gone_on_from() -> None:
    assert load_pretrained(load_bundle(resource_path(DEFAULT_MODEL))) is not None
