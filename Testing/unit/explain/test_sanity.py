"""The weight-randomisation test: what is random at each stage, and closed forms of likeness."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch

from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel
from TemporalGliomaRisk.errors import ModelError
from TemporalGliomaRisk.explain.sanity import STAGES, HeatmapSanity, heatmap_sanity, likeness, randomised


@pytest.fixture(scope="module")
def network() -> EvidenceModel:
    torch.manual_seed(2)
    made = EvidenceModel(
        EvidenceConfig(feature_channels=4, convolutions=1, comparison_channels=4, history_channels=4), members=2
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3)
    return made.eval()


def changed(network: EvidenceModel, stage: int) -> set[str]:
    before, after = network.state_dict(), randomised(network, STAGES[stage][1], seed=1).state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_each_stage_changes_more_than_the_one_before_from_the_heads_down(network: EvidenceModel) -> None:
    stages = [changed(network, stage) for stage in range(len(STAGES))]
    for earlier, later in itertools.pairwise(stages):
        assert earlier < later
    last_layers = {"local_last.weight", "local_last.bias", "growth.weight", "growth.bias", "growth_gain"}
    assert stages[0] == {f"members.{number}.{name}" for number in (0, 1) for name in last_layers}
    assert not any(name.startswith("encoder.") for name in stages[1])
    assert stages[-1] == {name for name in network.state_dict() if not name.startswith("single.")}


def test_random_weights_follow_their_seed_and_leave_the_network_and_the_random_state_alone(
    network: EvidenceModel,
) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, again, other = (randomised(network, STAGES[-1][1], seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    name = "encoder.layers.0.weight"
    assert torch.equal(one[name], again[name])
    assert not torch.equal(one[name], other[name])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_likeness_of_a_map_with_itself_its_reverse_and_a_flat_one() -> None:
    ramp = torch.linspace(1e-9, 1e-3, 1000)
    assert likeness(ramp, ramp) == (pytest.approx(1.0), 1.0)
    assert likeness(ramp, 5 * ramp**2) == (pytest.approx(1.0), 1.0)
    assert likeness(ramp, -ramp) == (pytest.approx(-1.0), 0.0)
    assert likeness(ramp, torch.full_like(ramp, 0.1))[0] == 0.0


def maps_of(network: EvidenceModel) -> Iterator[torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    for _ in range(3):
        features = torch.randn(4, 300, 4, generator=random)
        present = torch.ones(4).bool()
        with torch.inference_mode():
            _, logs = network.see(None, features, present, torch.zeros(5))
        yield logs.double().exp().sum(dim=2)


def test_a_map_that_hangs_on_the_heads_falls_apart_with_them(network: EvidenceModel) -> None:
    found = heatmap_sanity(network, maps_of, seeds=3)
    assert [stage.randomised for stage in found.stages] == [name for name, _ in STAGES]
    assert (found.visits, found.seeds) == (3, 3)
    for stage in found.stages:
        assert stage.correlation_low <= stage.correlation <= stage.correlation_high < 1
    same = heatmap_sanity(network, lambda other: maps_of(network), seeds=1)
    assert {stage.correlation for stage in same.stages} == {1.0}
    assert {stage.top_overlap for stage in same.stages} == {1.0}
    assert "r = 1.00" in same.sentence
    assert "3 visits" in same.sentence


def test_without_a_stage_there_is_nothing_to_say() -> None:
    with pytest.raises(ModelError, match="no stage"):
        HeatmapSanity(stages=(), members_correlation=None, members_top_overlap=None, visits=1, seeds=1)
