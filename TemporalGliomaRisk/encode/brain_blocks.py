"""The encoder's convolutions where there is brain: the cells cut into blocks, and those around the brain left out.

Computes what :meth:`VisitEncoder.encode_sequence` does, for inference on a processor. Cells lie with their channels
side by side, which the convolution library is fastest at, and a block with what it reads is a few megabytes. A block is
as deep as a slab that :class:`PlaneConvolution` takes at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from TemporalGliomaRisk.encode.winograd import LEAST_PLANES, MOST_PLANES, TAPS, PlaneConvolution
from TemporalGliomaRisk.progress import check_cancelled

BLOCK_CELLS_I, BLOCK_CELLS_J = MOST_PLANES, 48
"""Largest extent of a block along the first two axes; along the third it reaches from end to end of its brain."""
SLOPE = 0.1
"""Of the leaky rectifier below zero."""
Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A box of cells, each axis from its first cell to one past its last."""

    i: Span
    j: Span
    k: Span

    def of(self, grid: Tensor, *, before: int = 0, after: int = 0, scale: int = 1) -> Tensor:
        """Its part of (..., I, J, K), widened; ``scale`` where the grid is finer than the cells."""
        i, j, k = (slice(scale * a - before, scale * b + after) for a, b in (self.i, self.j, self.k))
        return grid[..., i, j, k]


def brain_blocks(cells: Tensor) -> list[Block]:
    """(I, J, K) cells that hold brain to boxes that hold them all, without overlap, each as small as its brain."""
    found = []
    for i in _even_spans(cells, (1, 2), BLOCK_CELLS_I):
        slab = cells[i[0] : i[1]]
        for j in _even_spans(slab, (0, 2), BLOCK_CELLS_J):
            part = slab[:, j[0] : j[1]]
            if part.any():
                spans = [_extent(part, others) for others in ((1, 2), (0, 2), (0, 1))]
                (i0, i1), (j0, j1), k = spans
                found.append(Block(i=(i[0] + i0, i[0] + i1), j=(j[0] + j0, j[0] + j1), k=k))
    return found


def _extent(cells: Tensor, others: tuple[int, int]) -> Span:
    there = torch.nonzero(cells.any(dim=others[1]).any(dim=others[0]))
    return (int(there[0]), int(there[-1]) + 1) if len(there) else (0, 0)


def _even_spans(cells: Tensor, others: tuple[int, int], largest: int) -> list[Span]:
    """The extent along the axis that is not among ``others``, cut evenly."""
    start, end = _extent(cells, others)
    count = -(-(end - start) // largest)
    edges = [start + (end - start) * part // max(count, 1) for part in range(count + 1)]
    return list(itertools.pairwise(edges))


class BrainGrid:
    """The box of one brain's cells and room for the features of one sequence on them.

    Args:
        cells: (I, J, K), cells that hold brain.
        channels: Features of a cell.
        like: Gives kind and device of the numbers.
    """

    def __init__(self, cells: Tensor, channels: int, like: Tensor) -> None:
        spans = [_extent(cells, others) for others in ((1, 2), (0, 2), (0, 1))]
        self._spans = spans
        cells = Block(i=spans[0], j=spans[1], k=spans[2]).of(cells)
        self._blocks = brain_blocks(cells)
        self._inside = cells.to(like.dtype)[None, None]
        ringed = nn.functional.pad(cells, (1,) * 6)
        self._places = torch.nonzero(ringed.flatten()).flatten()
        self._now, self._next = (like.new_zeros((1, *ringed.shape, channels)).permute(0, 4, 1, 2, 3) for _ in range(2))
        self._voxels = like.new_zeros([2 * length + 2 for length in cells.shape])

    def encode(self, volume: Tensor, stem: nn.Conv3d, layers: list[nn.Conv3d], given: Tensor) -> None:
        """Features of one sequence at the brain's cells.

        Args:
            volume: (2 I, 2 J, 2 K), scaled intensities, zero outside the brain.
            stem: Of that sequence.
            layers: Shared by the sequences.
            given: (places, channels), filled.
        """
        self._take_voxels(volume)
        shaped = _laid_out(stem)
        for block in self._blocks:
            check_cancelled()
            seen = _convolved(block.of(self._voxels[None, None], after=2, scale=2), stem, shaped)
            torch.mul(seen, block.of(self._inside), out=self._inner(self._now, block))
        for layer in layers:
            convolved = _by_slabs(layer)
            for block in self._blocks:
                check_cancelled()
                active = nn.functional.leaky_relu(block.of(self._now, after=2), SLOPE)
                before, after = self._inner(self._now, block), self._inner(self._next, block)
                torch.addcmul(before, convolved(active), block.of(self._inside), out=after)
            self._now, self._next = self._next, self._now
        channels = self._now.shape[1]
        torch.index_select(self._now.permute(0, 2, 3, 4, 1).view(-1, channels), 0, self._places, out=given)

    def _take_voxels(self, volume: Tensor) -> None:
        """The voxels of the cells and one more on every side, zero where that lies outside the volume."""
        there, here = [], []
        for (start, end), length in zip(self._spans, volume.shape, strict=True):
            first, last = max(2 * start - 1, 0), min(2 * end + 1, length)
            there.append(slice(first, last))
            here.append(slice(first - (2 * start - 1), last - (2 * start - 1)))
        self._voxels[here[0], here[1], here[2]] = volume[there[0], there[1], there[2]]

    def _inner(self, grid: Tensor, block: Block) -> Tensor:
        """A block's own cells on the grid with its ring of zeros."""
        return block.of(grid, before=-1, after=1)


def _by_slabs(layer: nn.Conv3d) -> Callable[[Tensor], Tensor]:
    """The layer at every place that needs no padding, slab by slab."""
    shaped = _laid_out(layer)
    whole = partial(_convolved, layer=layer, weight=shaped)
    if not (_has_library(layer.weight) and tuple(layer.kernel_size) == (TAPS,) * 3):
        return whole
    planes = PlaneConvolution(layer)
    return lambda slab: (planes if LEAST_PLANES <= slab.shape[2] - TAPS + 1 <= MOST_PLANES else whole)(slab)


def _laid_out(layer: nn.Conv3d) -> Tensor:
    """The layer's weights with their channels side by side too."""
    return layer.weight.contiguous(memory_format=torch.channels_last_3d)


def _convolved(values: Tensor, layer: nn.Conv3d, weight: Tensor) -> Tensor:
    """The layer at every place that needs no padding, by the library that is also used with one thread.

    Left to itself torch takes another one for small blocks as soon as it has a single thread: a third of the speed, and
    other last digits than with two.
    """
    stride = list(layer.stride)
    if _has_library(values):
        found: Tensor = torch.mkldnn_convolution(values, weight, layer.bias, [0] * 3, stride, [1] * 3, 1)
        return found
    return nn.functional.conv3d(values, weight, layer.bias, stride=stride)


def _has_library(values: Tensor) -> bool:
    return bool(torch.backends.mkldnn.is_available()) and values.dtype == torch.float32  # type: ignore[no-untyped-call]
