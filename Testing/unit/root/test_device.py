"""Which device is used, on computers with none, one and several graphics cards: made up, for this one may have any."""

from __future__ import annotations

import pytest
import torch

from TemporalGliomaRisk.device import as_on_the_processor, choose_device
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.worker.greeting import devices


def cards(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let torch tell of graphics cards."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: names[number])


@pytest.mark.parametrize(
    ("there", "asked", "used"),
    [
        (0, "auto", "cpu"),
        (1, "auto", "cuda"),
        (2, "auto", "cuda"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_the_device_asked_for_is_used_where_it_is_there(
    monkeypatch: pytest.MonkeyPatch, there: int, asked: str, used: str
) -> None:
    cards(monkeypatch, *(f"Card {number}" for number in range(there)))

    assert choose_device(asked) == (torch.device(used), ())


@pytest.mark.parametrize(("there", "asked"), [(0, "cuda"), (0, "cuda:0"), (2, "cuda:2")])
def test_a_card_that_is_not_there_is_replaced_by_the_processor_which_is_said(
    monkeypatch: pytest.MonkeyPatch, there: int, asked: str
) -> None:
    cards(monkeypatch, *(["Card"] * there))
    device, (finding,) = choose_device(asked)

    assert device == torch.device("cpu")
    assert finding.code == "no_cuda"


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:-1", "cuda:1;x", ""])
def test_anything_else_is_refused(asked: str) -> None:
    with pytest.raises(UsageError, match="one of auto, cpu, cuda or cuda:NUMBER"):
        choose_device(asked)


def test_every_card_is_offered_by_name_and_a_single_one_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch)
    assert [one["name"] for one in devices()] == ["cpu"]
    cards(monkeypatch, "NVIDIA A")
    assert devices()[1:] == [{"name": "cuda", "label": "NVIDIA A"}]
    cards(monkeypatch, "NVIDIA A", "NVIDIA A")
    assert devices()[1:] == [{"name": "cuda:0", "label": "0: NVIDIA A"}, {"name": "cuda:1", "label": "1: NVIDIA A"}]


@pytest.mark.parametrize(("device", "exact"), [("cpu", False), ("cuda", True), ("cuda:1", True)])
def test_on_a_card_convolutions_are_whole_and_the_same_each_time_and_afterwards_all_is_as_it_was(
    device: str, exact: bool
) -> None:
    def known() -> tuple[bool, bool, bool]:
        cudnn = torch.backends.cudnn
        return cudnn.enabled, cudnn.deterministic, cudnn.allow_tf32

    before = known()
    with as_on_the_processor(torch.device(device)):
        assert known() == ((True, True, False) if exact else before)
    assert known() == before
