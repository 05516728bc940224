"""The encoder against its own convolutions, and those against the rate at which this machine multiplies matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from TemporalGliomaRisk.encode.brain_blocks import brain_blocks

EDGE = 2048


def test_encoder_over_its_convolutions(once: Any, figures: Any, shipped: Any, head: Any) -> None:
    encoder = shipped.network.encoder
    blocks = brain_blocks(head.cells)
    last = torch.channels_last_3d
    stem, layers = encoder.stems[0], list(encoder.layers)
    kernels = {layer: layer.weight.contiguous(memory_format=last) for layer in [stem, *layers]}
    extents = [tuple(b - a for a, b in (block.i, block.j, block.k)) for block in blocks]
    ones = [torch.randn(1, 1, *(2 * n + 2 for n in extent)) for extent in extents]
    channels = encoder.channels
    many = [torch.randn(1, channels, *(n + 2 for n in extent)).contiguous(memory_format=last) for extent in extents]
    box = torch.randn(1, channels, *head.cells.shape).contiguous(memory_format=last)

    def convolve(values: torch.Tensor, layer: nn.Conv3d, stride: int, padding: int = 0) -> None:
        torch.mkldnn_convolution(values, kernels[layer], layer.bias, [padding] * 3, [stride] * 3, [1] * 3, 1)

    def convolutions() -> None:
        for _ in range(4):
            for one in ones:
                convolve(one, stem, 2)
            for layer in layers:
                for block in many:
                    convolve(block, layer, 1)

    def whole_box() -> None:
        for _ in range(4):
            convolve(head.intensities[:1][None], stem, 2, padding=1)
            for layer in layers:
                convolve(box, layer, 1, padding=1)

    matrix = torch.randn(EDGE, EDGE)
    product = torch.empty_like(matrix)
    sides = {
        "encoder": lambda: encoder(head.intensities, head.present, head.cells),
        "its convolutions alone": convolutions,
        "convolutions of the whole box": whole_box,
        f"matrix product of {EDGE}": lambda: torch.mm(matrix, matrix, out=product),
    }
    cells = sum(i * j * k for i, j, k in extents)
    operations = 4 * cells * 2 * channels * (64 + len(layers) * 27 * channels)

    def measure() -> None:
        with torch.inference_mode():
            found = figures.in_turn(sides, 9)
        alone = found["its convolutions alone"]["median"]
        rate = 2 * EDGE**3 / found[f"matrix product of {EDGE}"]["median"]
        figures.keep(
            "encoder of one visit",
            sides=found,
            to="its convolutions alone",
            ratios={name: value["median"] / alone for name, value in found.items() if "matrix" not in name},
            matrix_gigaflops_per_s=rate / 1e9,
            convolutions_gigaflops_per_s=operations / alone / 1e9,
            convolutions_share_of_matrix_rate=operations / alone / rate,
            cells_computed=cells,
            cells_of_the_brain=int(head.cells.sum()),
            cells_of_the_box=head.cells.numel(),
        )

    once(measure)
