from __future__ import annotations

import pytest
import torch
from torch import nn

from TemporalGliomaRisk.encode.winograd import (
    LEAST_PLANES,
    MIXED_TAPS,
    MOST_PLANES,
    PlaneConvolution,
    mixed_planes,
    result_planes,
)


@pytest.mark.parametrize("planes", range(LEAST_PLANES, MOST_PLANES + 1))
def test_mixed_products_are_the_sums_of_three_taps(planes):
    random = torch.Generator().manual_seed(0)
    signal, kernel = (torch.randn(length, generator=random, dtype=torch.float64) for length in (planes + 2, 3))
    wanted = torch.stack([signal[at : at + 3] @ kernel for at in range(planes)])
    taps = torch.tensor(MIXED_TAPS, dtype=torch.float64) @ kernel
    products = [one * tap for one, tap in zip(mixed_planes(signal.unbind()), taps, strict=False)]
    torch.testing.assert_close(torch.stack(result_planes(products)), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("planes", range(LEAST_PLANES, MOST_PLANES + 1))
@pytest.mark.parametrize("bias", [True, False])
def test_a_slab_rounds_within_three_times_the_library(planes, bias):
    torch.manual_seed(1)
    layer = nn.Conv3d(40, 24, kernel_size=3, bias=bias)
    slab = nn.functional.leaky_relu(torch.randn(1, 40, planes + 2, 9, 13), 0.1)
    slab = slab.contiguous(memory_format=torch.channels_last_3d)
    weight, doubled = layer.weight.detach().double(), None if layer.bias is None else layer.bias.detach().double()
    wanted = nn.functional.conv3d(slab.double(), weight, doubled)
    with torch.inference_mode():
        found, plain = PlaneConvolution(layer)(slab), layer(slab)
    assert found.shape == plain.shape
    errors = [float((one - wanted).square().mean().sqrt()) for one in (found, plain)]
    assert errors[0] < 3 * errors[1]
    assert errors[0] < 1e-6 * float(wanted.abs().max())


def test_a_slab_need_not_lie_with_its_channels_side_by_side():
    torch.manual_seed(2)
    layer = nn.Conv3d(3, 5, kernel_size=3)
    slab = torch.randn(1, 3, 6, 4, 5)
    with torch.inference_mode():
        found = PlaneConvolution(layer)(slab)
        torch.testing.assert_close(found, layer(slab), rtol=0, atol=1e-6)


@pytest.mark.parametrize("planes", range(LEAST_PLANES, MOST_PLANES + 1))
def test_the_last_digits_are_the_same_for_any_number_of_threads(planes):
    torch.manual_seed(3)
    layer = nn.Conv3d(48, 48, kernel_size=3)
    slab = torch.randn(1, 48, planes + 2, 45, 61).contiguous(memory_format=torch.channels_last_3d)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                found.append(PlaneConvolution(layer)(slab))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
