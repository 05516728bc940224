"""Where the network runs: on a GPU that works, else on the processor; a finding says where that was not asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.timeline.finding import Finding

DEVICES = ("auto", "cpu", "cuda")
NUMBERED = re.compile(r"cuda:(\d{1,3})")
"""One of several GPUs, by CUDA's own number."""


def choose_device(asked: str) -> tuple[torch.device, tuple[Finding, ...]]:
    """The device to use, and what to tell the reader about it.

    Args:
        asked: ``auto``, ``cpu``, ``cuda``, or ``cuda:1`` for one of several. A GPU that is asked for and not there
            falls back to the CPU and says so.

    Raises:
        UsageError: If ``asked`` is none of these.
    """
    numbered = NUMBERED.fullmatch(asked)
    if asked not in DEVICES and numbered is None:
        raise UsageError(f"The device must be one of {', '.join(DEVICES)} or cuda:NUMBER, got {asked[:40]!r}.")
    if asked != "cpu" and torch.cuda.is_available():
        if numbered is None:
            return torch.device("cuda"), ()
        if int(numbered.group(1)) < torch.cuda.device_count():
            return torch.device(asked), ()
    if asked.startswith("cuda"):
        message = "The GPU that was asked for is not available here; the CPU was used."
        return torch.device("cpu"), (Finding.note("no_cuda", message),)
    return torch.device("cpu"), ()


def device_of(network: torch.nn.Module) -> torch.device:
    """Where a network's weights lie; a network without any counts as on the processor."""
    weight = next(network.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


@contextmanager
def as_on_the_processor(device: torch.device) -> Iterator[None]:
    """Convolutions on a GPU in whole single precision, and by algorithms that give the same bits each time.

    By default torch lets cuDNN round the inputs of convolutions to ten bits (TF32), and risks would differ from the
    processor's; a GPU is there to give the same number sooner.

    Args:
        device: Where the network runs; nothing changes for the processor.
    """
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def device_failed(error: Exception) -> Finding:
    """What to say when the GPU gave up on the way and the CPU did the work instead."""
    message = f"The GPU failed ({type(error).__name__}); everything was computed again on the CPU."
    return Finding.warning("gpu_failed", message)
