"""What a simulated cohort is told: a few settings, everything else is written in PHYSICS.md."""

from __future__ import annotations

from dataclasses import dataclass

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName

SIMULATOR_VERSION = 1
"""Stands in every truth file; raised whenever the same seed gives other bytes."""

HORIZON_DAYS = 365


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Settings of a simulated cohort.

    Args:
        recurrent_fraction: Share of patients whose lesion is destined to pass the event threshold.
        median_event_days: Median day of that event, counted from the first visit, in those patients.
        extent_hazard_ratios: Whether the event's hazard rises with less resection (near total 2.0, subtotal 3.0,
            biopsy 3.6, against gross total). False in the main cohort: fate is independent of the first visit.
        sequences: Pulse sequences to render, of those in a patient's protocol.

    Raises:
        UsageError: If a fraction, a duration or a sequence is impossible.
    """

    recurrent_fraction: float = 0.45
    median_event_days: float = 600.0
    extent_hazard_ratios: bool = False
    sequences: tuple[SequenceName, ...] = SEQUENCES

    def __post_init__(self) -> None:
        if not 0.0 <= self.recurrent_fraction <= 1.0:
            raise UsageError(f"recurrent_fraction must lie in 0 to 1, got {self.recurrent_fraction}.")
        if self.median_event_days <= 0:
            raise UsageError(f"median_event_days must be above 0, got {self.median_event_days}.")
        unknown = [name for name in self.sequences if name not in SEQUENCES]
        if unknown or not self.sequences:
            raise UsageError(f"sequences must be some of {', '.join(SEQUENCES)}, got {', '.join(unknown) or 'none'}.")
