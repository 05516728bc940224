"""Where the network runs: the GPU when there is one that works, else the processor, and which of the two is said."""

from __future__ import annotations

import torch

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.timeline.finding import Finding, Severity

DEVICES = ("auto", "cpu", "cuda")


def choose_device(asked: str) -> tuple[torch.device, tuple[Finding, ...]]:
    """The device to use, and what to tell the reader about it.

    Args:
        asked: ``auto``, ``cpu`` or ``cuda``. CUDA that is asked for and not there falls back to the CPU and says so.

    Raises:
        UsageError: If ``asked`` is none of these.
    """
    if asked not in DEVICES:
        raise UsageError(f"The device must be one of {', '.join(DEVICES)}, got {asked}.")
    if asked != "cpu" and torch.cuda.is_available():
        return torch.device("cuda"), ()
    if asked == "cuda":
        message = "CUDA was asked for and is not available here; the CPU was used."
        return torch.device("cpu"), (Finding(severity=Severity.NOTE, code="no_cuda", message=message),)
    return torch.device("cpu"), ()


def device_failed(error: Exception) -> Finding:
    """What to say when the GPU gave up on the way and the CPU did the work instead."""
    message = f"The GPU failed ({type(error).__name__}); everything was computed again on the CPU."
    return Finding(severity=Severity.WARNING, code="gpu_failed", message=message)
