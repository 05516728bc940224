from __future__ import annotations

import pytest
import torch

from TemporalGliomaRisk.encode.brain_blocks import BLOCK_CELLS_I, BLOCK_CELLS_J, brain_blocks
from TemporalGliomaRisk.encode.evidence import EvidenceConfig, VisitEncoder, brain_cells
from TemporalGliomaRisk.errors import Cancelled
from TemporalGliomaRisk.progress import cancellable


def a_head(shape=(60, 76, 52)):
    """An egg with a hole in it and an islet apart, touching one side of the box."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, length) for length in shape], indexing="ij")
    mask = (axes[0] - 0.2) ** 2 + axes[1] ** 2 * 1.5 + axes[2] ** 2 < 0.64
    mask[30:36, 30:44, 20:30] = False
    mask[2:5, 70:76, 0:4] = True
    return mask


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return VisitEncoder(EvidenceConfig()).eval()


def test_every_cell_with_brain_lies_in_one_block_and_every_block_is_as_small_as_its_brain():
    cells = brain_cells(a_head())
    held = torch.zeros(cells.shape, dtype=torch.int)
    for block in brain_blocks(cells):
        block.of(held).add_(1)
        part = block.of(cells)
        assert part.shape[0] <= BLOCK_CELLS_I
        assert part.shape[1] <= BLOCK_CELLS_J
        for axis in range(3):
            assert part.select(axis, 0).any()
            assert part.select(axis, -1).any()
    assert (held[cells] == 1).all()
    assert held.max() == 1
    assert held.sum() < 0.7 * cells.numel()


@pytest.mark.parametrize("threads", [1, 2])
def test_features_by_blocks_are_those_of_the_whole_box(encoder, threads):
    brain = a_head()
    cells = brain_cells(brain)
    present = torch.tensor([True, False, True, True])
    volumes = torch.randn((4, *brain.shape), generator=torch.Generator().manual_seed(1)) * brain
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = encoder(volumes, present, cells).detach()  # with gradients: the box as a whole, as in training
        with torch.no_grad():
            found = encoder(volumes, present, cells)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, whole, rtol=0, atol=3e-6 * float(whole.abs().max()))
    assert (found[1] == 0).all()


def test_a_head_without_brain_has_no_place_and_no_features(encoder):
    cells = torch.zeros((4, 5, 6), dtype=torch.bool)
    with torch.no_grad():
        found = encoder(torch.zeros(4, 8, 10, 12), torch.ones(4, dtype=torch.bool), cells)
    assert found.shape == (4, 0, 32)


def test_a_cancel_is_asked_about_in_every_block_of_every_layer(encoder):
    brain = a_head()
    asked = []

    def stop_late():
        asked.append(1)
        if len(asked) == 20:
            raise Cancelled

    with torch.no_grad(), cancellable(stop_late), pytest.raises(Cancelled):
        encoder(torch.zeros((4, *brain.shape)), torch.ones(4, dtype=torch.bool), brain_cells(brain))
    assert len(asked) < 4 * 4 * len(brain_blocks(brain_cells(brain)))
