from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from TemporalGliomaRisk.config import from_json, to_json
from TemporalGliomaRisk.encode.reference import ReferenceConfig, ReferenceModel
from TemporalGliomaRisk.errors import ShapeError, UsageError

SMALL = ReferenceConfig(first_stride=1, widen=0.125, width=32, heads=2, dropout=0.0, causal=True)
SIDE = 24


def a_model(*, seed: int = 3, **changes: object) -> ReferenceModel:
    torch.manual_seed(seed)
    model = ReferenceModel(dataclasses.replace(SMALL, **changes))  # type: ignore[arg-type]
    with torch.no_grad():
        model.readout.weight.mul_(30)
    return model.eval()


def timelines(visits: int = 5, batch: int = 2, *, seed: int = 7) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    days = torch.cumsum(torch.rand(batch, visits, generator=generator) * 200 + 20, dim=1)
    days = days - days[:, :1]
    return {
        "intensities": torch.randn(batch, visits, 4, SIDE, SIDE, SIDE, generator=generator),
        "present": torch.ones(batch, visits, 4, dtype=torch.bool),
        "days_since_first": days,
        "days_since_treatment": torch.where(torch.arange(batch)[:, None] == 0, days + 30, math.nan),
        "valid": torch.ones(batch, visits, dtype=torch.bool),
    }


def first_visits(inputs: dict[str, Tensor], visits: int) -> dict[str, Tensor]:
    return {name: value[:, :visits] for name, value in inputs.items()}


@pytest.mark.parametrize("causal", [True, False])
@torch.no_grad()
def test_the_risk_at_a_visit_is_that_of_the_timeline_ending_there(causal: bool) -> None:
    model, inputs = a_model(causal=causal), timelines()
    whole = model(**inputs)
    for visits in range(1, 6):
        alone = model(**first_visits(inputs, visits))[:, -1]
        torch.testing.assert_close(alone, whole[:, visits - 1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("causal", [True, False])
@torch.no_grad()
def test_changing_a_later_visit_changes_no_earlier_hazard_by_a_bit(causal: bool) -> None:
    model, inputs = a_model(causal=causal), timelines()
    before = model(**inputs)
    changed = {name: value.clone() for name, value in inputs.items()}
    changed["intensities"][:, 3] = 50.0
    changed["days_since_first"][:, 3:] += 400
    changed["days_since_treatment"][:, 3:] = math.nan
    changed["present"][:, 3, :2] = False
    after = model(**changed)

    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] - after[:, 3:]).abs().min() > 0


@pytest.mark.parametrize("causal", [True, False])
@torch.no_grad()
def test_padding_changes_nothing_whatever_it_holds(causal: bool) -> None:
    model, inputs = a_model(causal=causal), timelines(visits=3)
    expected = model(**inputs)
    padded = {
        "intensities": torch.cat([inputs["intensities"], torch.full((2, 2, 4, SIDE, SIDE, SIDE), math.nan)], dim=1),
        "present": torch.cat([inputs["present"], torch.ones(2, 2, 4, dtype=torch.bool)], dim=1),
        "days_since_first": torch.cat([inputs["days_since_first"], torch.full((2, 2), math.nan)], dim=1),
        "days_since_treatment": torch.cat([inputs["days_since_treatment"], torch.zeros(2, 2)], dim=1),
        "valid": torch.tensor([[True, True, True, False, False]] * 2),
    }
    found = model(**padded)

    torch.testing.assert_close(found[:, :3], expected, rtol=0, atol=1e-6)
    assert torch.equal(found[:, 3:], torch.zeros(2, 2, 4))


@torch.no_grad()
def test_a_timeline_has_the_same_hazards_alone_and_beside_a_shorter_one() -> None:
    model, inputs = a_model(), timelines()
    inputs["valid"][1, 2:] = False
    both = model(**inputs)
    alone = model(**{name: value[:1] for name, value in inputs.items()})

    torch.testing.assert_close(both[:1], alone, rtol=0, atol=1e-6)


@torch.no_grad()
def test_without_the_causal_mask_an_earlier_visit_attends_to_later_ones() -> None:
    inputs = timelines()
    causal, published = a_model(causal=True), a_model(causal=False)
    published.load_state_dict(causal.state_dict())

    torch.testing.assert_close(causal(**inputs)[:, 0], published(**inputs)[:, 0], rtol=0, atol=1e-6)
    assert (causal(**inputs)[:, -1] - published(**inputs)[:, -1]).abs().max() > 1e-5


@torch.no_grad()
def test_an_absent_sequence_is_not_looked_at_and_not_read_as_a_blank_one() -> None:
    model, inputs = a_model(), timelines(visits=1)
    absent = inputs["present"].clone()
    absent[:, :, 2] = False
    blank = inputs["intensities"].clone()
    blank[:, :, 2] = 0

    without = model(**{**inputs, "present": absent})
    without_and_nan = inputs["intensities"].clone()
    without_and_nan[:, :, 2] = math.nan
    assert torch.equal(without, model(**{**inputs, "present": absent, "intensities": without_and_nan}))
    assert (without - model(**{**inputs, "intensities": blank})).abs().max() > 1e-6


@torch.no_grad()
def test_days_since_treatment_and_the_order_of_visits_change_the_hazards() -> None:
    model, inputs = a_model(), timelines(visits=3)
    expected = model(**inputs)
    unknown = torch.full_like(inputs["days_since_treatment"], math.nan)
    assert (model(**{**inputs, "days_since_treatment": unknown})[0] - expected[0]).abs().max() > 1e-6
    swapped = {**inputs, "intensities": inputs["intensities"].flip(1)}
    assert (model(**swapped)[:, -1] - expected[:, -1]).abs().max() > 1e-6


def test_an_untrained_model_gives_a_risk_near_the_prevalence() -> None:
    torch.manual_seed(0)
    model = ReferenceModel(dataclasses.replace(SMALL, prevalence=0.15)).eval()
    with torch.no_grad():
        hazards = model(**timelines())

    risk = -torch.expm1(-hazards[..., :3].sum(dim=-1))
    assert (risk - 0.15).abs().max() < 0.03
    torch.testing.assert_close(hazards[..., 3] / hazards[..., 0], torch.full((2, 5), 365 / 90), rtol=0.2, atol=0)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_gradients_reach_every_parameter(norm: str) -> None:
    model = a_model(norm=norm).train()
    model(**timelines(visits=3)).log().sum().backward()

    dead = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().max() > 0)]
    assert dead == []


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_training_sees_a_visit_as_evaluation_does_without_batch_norm(norm: str) -> None:
    model, inputs = a_model(norm=norm), timelines(visits=3)
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs), model.train()(**inputs), rtol=0, atol=1e-5)


def test_four_random_timelines_can_be_learned_by_heart() -> None:
    model = a_model(seed=1, norm="group").train()
    inputs = timelines(visits=3, batch=4)
    inputs["intensities"] = inputs["intensities"][..., :16, :16, :16]
    inputs["days_since_treatment"][:] = math.nan
    wanted = torch.tensor([1.0, 0.0, 0.0, 1.0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(40):
        total = model(**inputs)[:, -1, :3].sum(dim=-1)
        loss = -(wanted * torch.log(-torch.expm1(-total)) - (1 - wanted) * total).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with torch.no_grad():
        risk = -torch.expm1(-model.eval()(**inputs)[:, -1, :3].sum(dim=-1))
    torch.testing.assert_close(risk, wanted, rtol=0, atol=0.1)


def test_the_configuration_survives_json() -> None:
    config = ReferenceConfig(causal=True, norm="group", interval_ends_days=(365.0, 730.0))

    assert from_json(ReferenceConfig, to_json(config)) == config


def test_padding_before_a_visit_is_refused() -> None:
    model = a_model()
    valid = torch.tensor([[False, True]])
    with pytest.raises(ShapeError, match="padding must follow the visits"):
        model.hazards(torch.zeros(1, 2, model.features), torch.zeros(1, 2), torch.zeros(1, 2), valid)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(UsageError, match="norm must be one of batch, instance, group, got layer"):
        ReferenceConfig(norm="layer")
