"""Checkpoints without pickle, and training that goes on after a kill to the same weights, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from TemporalGliomaRisk.bundle_weights import load_weights, parts_added_later
from TemporalGliomaRisk.encode.evidence import EvidenceConfig
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import InputError, ModelError
from TemporalGliomaRisk.learn.checkpoints import Place, load_checkpoint, save_checkpoint
from TemporalGliomaRisk.learn.cohort import read_cohort
from TemporalGliomaRisk.learn.feature_store import PlaceSampling, cache_features, load_features
from TemporalGliomaRisk.learn.finetune import FinetuneConfig, finetune_head
from TemporalGliomaRisk.learn.pair_crops import PairConfig
from TemporalGliomaRisk.learn.pretrain import PretrainConfig, learning_rate_at, pretrain, take_step
from TemporalGliomaRisk.learn.run_folder import RunConfig, RunFolder, SplitConfig

SMALL = EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=6, history_channels=6)
FEW = PretrainConfig(
    updates=7, pairs_per_update=2, validate_every=3, validation_pairs=2, pairs=PairConfig(crop_voxels=16)
)


def updated(steps: int, seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    step(network, optimizer, steps)
    return network, optimizer


def step(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for number in range(steps):
        optimizer.zero_grad()
        network(torch.full((1, 3), 0.1 * number + 0.5)).square().sum().backward()
        optimizer.step()


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for (name, value), (_, found) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(value, found), name


def test_a_checkpoint_brings_back_weights_moments_and_place_to_the_bit(tmp_path: Path) -> None:
    network, optimizer = updated(5)
    save_checkpoint(tmp_path / "c.safetensors", network, optimizer, Place(updates=5, notes={"best": 0.25}))
    other, fresh = updated(1, seed=9)
    place = load_checkpoint(tmp_path / "c.safetensors", other, fresh)
    assert (place.updates, place.notes) == (5, {"best": 0.25})
    assert_same_weights(network, other)
    # The moments show in the next steps only.
    step(network, optimizer, 3)
    step(other, fresh, 3)
    assert_same_weights(network, other)


def test_a_checkpoint_is_a_safetensors_file_and_holds_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    network, optimizer = updated(2)
    save_checkpoint(path, network, optimizer, Place(updates=2, notes={}))
    with safe_open(str(path), framework="pt") as file:
        assert any(name.startswith("optimizer.") for name in file.keys())  # noqa: SIM118
    content = path.read_bytes()
    assert not content.startswith((b"PK", b"\x80"))
    assert b"torch" not in content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"\x80\x04." + content])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage) -> None:
    path = tmp_path / "c.safetensors"
    network, optimizer = updated(2)
    save_checkpoint(path, network, optimizer, Place(updates=2, notes={}))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match="checkpoint is damaged or of another shape"):
        load_checkpoint(path, network)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    network, _ = updated(1)
    save_checkpoint(tmp_path / "c.safetensors", network, None, Place(updates=1, notes={}))
    with pytest.raises(ModelError, match="another shape"):
        load_checkpoint(tmp_path / "c.safetensors", nn.Linear(3, 5))


def test_a_checkpoint_and_a_bundle_complete_weights_of_an_earlier_version_to_the_same_network(tmp_path: Path) -> None:
    whole, resumed, read = PairModel(SMALL), PairModel(SMALL), PairModel(SMALL)
    read.load_state_dict(resumed.state_dict())
    before = {name: value for name, value in whole.state_dict().items() if not name.startswith("lesion.")}
    assert set(parts_added_later(whole, before)) == {"lesion.weight", "lesion.bias"}
    assert parts_added_later(whole, whole.state_dict()) == parts_added_later(nn.Linear(3, 4), {}) == {}
    path = tmp_path / "weights.safetensors"
    save_file({f"weights.{name}": value for name, value in before.items()}, str(path))
    load_checkpoint(path, resumed)
    save_file(before, str(path))
    assert_same_weights(load_weights(read, path), resumed)


class Killed(BaseException):
    """What a kill looks like from inside."""


def killed_at(number: int):
    def report(done: int, numbers: dict[str, float]) -> None:
        if done == number:
            raise Killed

    return report


@pytest.fixture(scope="module")
def patients(make_stored):
    return [make_stored(number, grows=number % 2 == 0) for number in range(4)]


@pytest.mark.parametrize("at", [2, 3, 5])
def test_pretraining_killed_and_resumed_ends_with_the_same_weights(patients, tmp_path: Path, at: int) -> None:
    def train(folder: Path, **more):
        return pretrain(patients[:3], patients[3:], folder, model_config=SMALL, config=FEW, **more)

    with pytest.raises(Killed):
        train(tmp_path / "killed", report=killed_at(at))
    assert not (tmp_path / "killed" / "final.safetensors").exists()
    done: list[int] = []
    resumed = train(tmp_path / "killed", report=lambda update, numbers: done.append(update))
    assert done[0] == {2: 1, 3: 4, 5: 4}[at]
    assert_same_weights(resumed, train(tmp_path / "whole"))
    again: list[int] = []
    assert_same_weights(train(tmp_path / "killed", report=lambda update, numbers: again.append(update)), resumed)
    assert again == []


def test_pairs_drawn_in_processes_of_their_own_give_the_same_weights(patients, tmp_path: Path) -> None:
    alone, helped = (
        pretrain(patients[:3], patients[3:], tmp_path / str(jobs), model_config=SMALL, config=FEW, jobs=jobs)
        for jobs in (1, 3)
    )
    assert_same_weights(alone, helped)


def test_a_compiled_encoder_learns_the_same_weights(patients, tmp_path: Path) -> None:
    def trained(backend: str | None) -> nn.Module:
        folder = tmp_path / str(backend)
        return pretrain(patients[:3], patients[3:], folder, model_config=SMALL, config=FEW, compiled_by=backend)

    plain = trained(None)
    # This backend traces as the GPU's does and then runs the very same operations, without a compiler.
    torch._dynamo.utils.counters.clear()
    assert_same_weights(trained("eager"), plain)
    assert torch._dynamo.utils.counters["stats"]["calls_captured"] > 0
    assert not torch._dynamo.utils.counters["graph_break"]


def test_fine_tuning_killed_and_resumed_ends_with_the_same_weights(patients, tmp_path: Path) -> None:
    pretrained = pretrain(patients[:3], patients[3:], tmp_path / "p", model_config=SMALL, config=FEW).eval()
    cache_features(pretrained, patients, tmp_path / "f", PlaceSampling(foremost=50, sampled=80), seed=1)
    config = FinetuneConfig(epochs=4, patients_per_update=2, sampled_places=40)

    def train(path: Path, **more):
        return finetune_head(
            pretrained,
            patients[:3],
            patients[3:],
            lambda name: load_features(tmp_path / "f", name),
            path,
            config=config,
            **more,
        )

    with pytest.raises(Killed):
        train(tmp_path / "killed.safetensors", report=killed_at(2))
    done: list[int] = []
    resumed = train(tmp_path / "killed.safetensors", report=lambda epoch, numbers: done.append(epoch))
    assert done == [3, 4]
    assert_same_weights(resumed, train(tmp_path / "whole.safetensors"))
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["killed.safetensors", "whole.safetensors"]


def test_patients_without_a_pair_of_visits_cannot_be_pretrained_on(make_stored, tmp_path: Path) -> None:
    alone = [make_stored(number, visits=1) for number in range(3)]
    with pytest.raises(InputError, match="No training patient has two visits"):
        pretrain(alone[:2], alone[2:], tmp_path, model_config=SMALL, config=FEW)


def test_a_split_that_leaves_nobody_to_watch_is_refused(simulated_cohort: Path, tmp_path: Path) -> None:
    split = SplitConfig(fractions=(1.0, 0.0, 0.0))
    run = RunFolder.begin(tmp_path, RunConfig(split=split))
    with pytest.raises(InputError, match="leaves none for validation"):
        run.split(read_cohort(simulated_cohort))


def test_training_brings_the_losses_down(patients, tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    config = PretrainConfig(
        updates=120, pairs_per_update=4, validate_every=120, validation_pairs=4, pairs=PairConfig(crop_voxels=16)
    )
    pretrain(
        patients[:3],
        patients[3:],
        tmp_path,
        model_config=SMALL,
        config=config,
        report=lambda update, numbers: seen.append(numbers),
    )
    growth = [numbers["growth"] for numbers in seen]
    assert sum(growth[-20:]) < 0.5 * sum(growth[:20])


def test_the_learning_rate_rises_once_and_falls_to_nothing() -> None:
    rates = [learning_rate_at(update, 1000, 2e-3) for update in range(1000)]
    assert rates[29] == pytest.approx(2e-3)
    assert rates[:30] == sorted(rates[:30])
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[-1] < 1e-7


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_ends_training_before_it_reaches_the_weights(value: float) -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    network(torch.ones(1, 3)).sum().backward()
    network.weight.grad[0, 1] = value
    with pytest.raises(ModelError, match="gradient is not finite"):
        take_step(network, optimizer)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    optimizer.zero_grad()
    network(torch.ones(1, 3)).sum().backward()
    take_step(network, optimizer)
    assert not torch.equal(network.weight, before["weight"])


def test_a_run_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    RunFolder.begin(tmp_path, RunConfig())
    assert RunFolder.begin(tmp_path, RunConfig()).config == RunFolder.open(tmp_path).config == RunConfig()
    with pytest.raises(InputError, match="other settings"):
        RunFolder.begin(tmp_path, RunConfig(pretraining=FEW))
    with pytest.raises(InputError, match="run pretrain with it first"):
        RunFolder.open(tmp_path / "nowhere")
