from __future__ import annotations

import pytest
import torch

from TemporalGliomaRisk.encode import head_stack
from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel, single_visit_days

PRESENT = torch.tensor([[1, 0, 0, 1], [1, 1, 0, 1], [0, 1, 0, 1], [1, 0, 1, 1]], dtype=torch.bool)
PLACES = 1500


@pytest.fixture
def model():
    torch.manual_seed(3)
    # In double precision: in single, six last digits of a logarithm near 12 are more than is allowed here, and
    # processors differ by that much.
    network = EvidenceModel(EvidenceConfig(), members=3).double().eval()
    with torch.no_grad():
        for head in [*network.members, network.single]:
            head.growth_gain.fill_(0.5)
            head.local_last.weight.mul_(20)
    return network


@pytest.fixture
def timeline():
    features = torch.randn((4, 4, PLACES, 32), generator=torch.Generator().manual_seed(1)) * PRESENT[..., None, None]
    days = torch.tensor([0.0, 100.0, 230.0, 300.0])
    return features.double(), day_features(days, days + 20).double()


def seen(model, features, days):
    memory, found = None, []
    for visit in range(len(features)):
        memory, logs = model.see(memory, features[visit], PRESENT[visit], days[visit])
        found.append(logs)
    return torch.stack(found)


def test_heads_side_by_side_give_what_each_gives_by_itself_in_training(model, timeline):
    features, days = timeline
    found = seen(model, features, days)
    for number, head in enumerate(model.members):
        _, logs = head(features, PRESENT, days)
        torch.testing.assert_close(found[:, number], logs.detach(), rtol=0, atol=5e-6)


def test_the_single_visit_head_gives_what_it_gives_in_training(model, timeline):
    features, _ = timeline
    background, logs = model.see_alone(features[1], PRESENT[1])
    days = single_visit_days(features)[None]
    wanted_background, wanted = model.single(features[1:2], PRESENT[1:2], days)
    torch.testing.assert_close(logs, wanted[0].detach(), rtol=0, atol=5e-6)
    torch.testing.assert_close(background, wanted_background[0].detach())


def test_the_size_of_a_piece_changes_no_hazard(model, timeline, monkeypatch):
    whole = seen(model, *timeline)
    monkeypatch.setattr(head_stack, "PLACES_AT_ONCE", 333)
    torch.testing.assert_close(seen(model, *timeline), whole, rtol=0, atol=5e-6)


def test_a_visit_that_repeats_the_first_shows_no_difference_to_the_last_bit(model, timeline):
    features, days = timeline
    none = head_stack.HeadStack(list(model.members), [0, 3], days[1])
    same = head_stack.Earlier(features=features[0].clone(), common=frozenset({0, 3}))
    _, alone = none.see(features[0], None, None, None)
    _, repeated = none.see(features[0], same, same, None)
    assert torch.equal(alone, repeated)
