"""Training in several processes that torchrun started, each on its own GPU or on the processor.

    torchrun --standalone --nproc-per-node 4 -m -- TemporalGliomaRisk pretrain ...

Without torchrun there is one process, and nothing here communicates.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import distributed, nn

from TemporalGliomaRisk.device import choose_device
from TemporalGliomaRisk.timeline.finding import Finding

LONGEST_WAIT = timedelta(days=7)
"""For a process that does a stage alone, as preparing a cohort: torch's own half an hour is less than that can take."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that train together.

    Args:
        rank: Its number, from 0; the first one writes and reports.
        world: How many there are.
        device: Where its network runs.
        findings: What to tell the reader about the device.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    findings: tuple[Finding, ...] = ()

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all have come this far."""
        if self.world > 1:
            distributed.barrier()

    def average_gradients(self, network: nn.Module) -> None:
        """Leave the mean of all processes' gradients in each of them; a weight without one counts as zero."""
        if self.world == 1:
            return
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        pieces = torch.split(together.div_(self.world), [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))


ALONE = Ranks()


@contextmanager
def joined(asked: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if it did, for as long as the block runs.

    Args:
        asked: ``auto``, ``cpu`` or ``cuda``, as :func:`choose_device` takes it.
    """
    device, findings = choose_device(asked)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(device=device, findings=findings)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    try:
        yield Ranks(rank=distributed.get_rank(), world=world, device=device, findings=findings)
    finally:
        distributed.destroy_process_group()
