"""One time point, and a patient's timeline of them."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from TemporalGliomaRisk.errors import TimelineError
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.volume import Volume

SequenceName = Literal["FLAIR", "T2w", "T1w", "ce-gd_T1w"]
SEQUENCES: tuple[SequenceName, ...] = ("FLAIR", "T2w", "T1w", "ce-gd_T1w")
"""Every pulse sequence known, in the order of the model's input channels."""


class VolumeSource(Protocol):
    """Where one volume comes from. Reading is put off, so that a long timeline costs one visit's memory."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files behind it, for hashing; empty for a volume in memory."""

    def read(self) -> Volume:
        """Read the volume, geometry in full.

        Raises:
            VolumeError, GeometryError: If it cannot be read or used, in one sentence without the path.
        """


@dataclass(frozen=True, kw_only=True)
class VolumeInMemory:
    """A volume that is already there: from the simulator, a test or a scene."""

    volume: Volume
    files: tuple[Path, ...] = ()

    def read(self) -> Volume:
        """The volume itself."""
        return self.volume


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One time point: its volumes, one a pulse sequence, and its day.

    Args:
        session_id: BIDS label with its prefix, ``ses-01``: never a date or identifier unless the input was BIDS.
        days_since_first: Days since the patient's first visit; 0 for the first.
        days_since_treatment: Days since the end of treatment or surgery, None when unknown (never 0 for unknown).
        sources: Where each present sequence's volume comes from.
        date: The calendar date when known. Never written anywhere unless the reader asks with ``--identified``.
    """

    session_id: str
    days_since_first: int
    days_since_treatment: int | None
    sources: Mapping[SequenceName, VolumeSource]
    date: datetime.date | None = field(default=None, repr=False)

    @property
    def sequences(self) -> tuple[SequenceName, ...]:
        """Sequences present, in the order of :data:`SEQUENCES`."""
        return tuple(name for name in SEQUENCES if name in self.sources)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A patient's visits, oldest first.

    Args:
        patient_id: BIDS label with its prefix, ``sub-01``.
        visits: At least one, in order of ``days_since_first``, which starts at 0 and rises with every visit.
        findings: What the reader noticed while reading (ignored files, odd dates).
        identity: What the input called patient and visits, shown only with ``--identified``.

    Raises:
        TimelineError: If there is no visit, a visit has no volume, or days do not rise.
    """

    patient_id: str
    visits: tuple[Visit, ...]
    findings: tuple[Finding, ...] = ()
    identity: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.visits:
            raise TimelineError("A timeline needs at least one visit, got none. Check the folder or table you named.")
        days = [visit.days_since_first for visit in self.visits]
        if days[0] != 0:
            raise TimelineError(f"The first visit must be on day 0 of the timeline, got day {days[0]}.")
        for number, (earlier, later) in enumerate(itertools.pairwise(days), start=2):
            if later <= earlier:
                raise TimelineError(
                    f"Visit {number} is on day {later}, not after visit {number - 1} (day {earlier}). "
                    "Reorder the visits or correct the date."
                )
        for number, visit in enumerate(self.visits, start=1):
            if not visit.sources:
                raise TimelineError(f"Visit {number} has no volume. Add one of {', '.join(SEQUENCES)} or leave it out.")

    @property
    def gaps_days(self) -> tuple[int | None, ...]:
        """Days since the previous visit, None for the first."""
        days = [visit.days_since_first for visit in self.visits]
        return (None, *[int(gap) for gap in np.diff(days)])
