"""What a simulated cohort is told: a few settings, everything else is written in PHYSICS.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from TemporalGliomaRisk.config import to_json
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName

PopulationName = Literal["main", "wide", "shifted"]
POPULATIONS: tuple[PopulationName, ...] = get_args(PopulationName)

SIMULATOR_VERSIONS: dict[PopulationName, int] = {"main": 1, "wide": 4, "shifted": 5}
"""Stands in every truth file; a population's rises to a number not used before when the same seed gives other bytes."""

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
        population: ``main`` is version 1, ``wide`` is for training, ``shifted`` is kept out of all training.
        anatomies: Folder of further anatomies for ``wide``, see ``templates.py``.

    Raises:
        UsageError: If a fraction, a duration, a sequence or a combination is impossible.
    """

    recurrent_fraction: float = 0.45
    median_event_days: float = 600.0
    extent_hazard_ratios: bool = False
    sequences: tuple[SequenceName, ...] = SEQUENCES
    population: PopulationName = "main"
    anatomies: Path | None = None

    @property
    def simulator_version(self) -> int:
        """The version of the population's simulator."""
        return SIMULATOR_VERSIONS[self.population]

    def stream_seed(self, seed: int) -> int:
        """The seed of a cohort's random streams: patients of two populations with one seed share no draw."""
        return seed if self.population == "main" else seed + (self.simulator_version << 40)

    def record(self) -> dict[str, Any]:
        """As written in truth files: ``main`` as version 1 wrote it, and never a path."""
        content = to_json(self)
        del content["anatomies"]
        if self.population == "main":
            del content["population"]
        return content

    def __post_init__(self) -> None:
        if not 0.0 <= self.recurrent_fraction <= 1.0:
            raise UsageError(f"recurrent_fraction must lie in 0 to 1, got {self.recurrent_fraction}.")
        if self.median_event_days <= 0:
            raise UsageError(f"median_event_days must be above 0, got {self.median_event_days}.")
        unknown = [name for name in self.sequences if name not in SEQUENCES]
        if unknown or not self.sequences:
            raise UsageError(f"sequences must be some of {', '.join(SEQUENCES)}, got {', '.join(unknown) or 'none'}.")
        if self.population not in POPULATIONS:
            raise UsageError(f"population must be one of {', '.join(POPULATIONS)}, got {self.population}.")
        if self.anatomies is not None and self.population != "wide":
            raise UsageError(f"Further anatomies are for the population wide; {self.population} has its own. Drop one.")
