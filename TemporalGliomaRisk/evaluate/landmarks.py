"""Landmark rows: one a visit before the event, and what is known of the time that follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from TemporalGliomaRisk.errors import ShapeError
from TemporalGliomaRisk.shapes import check_shape

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

HORIZON_DAYS = 365.0


@dataclass(frozen=True, kw_only=True)
class LandmarkRows:
    """What happened after each landmark; a patient has as many rows as visits before the event.

    Args:
        patient: (rows,), an integer that tells patients apart.
        visits: (rows,), visits up to and with the landmark, at least 1.
        days: (rows,), days from the landmark to the event or to the end of follow-up, at least 0.
        event_observed: (rows,), True where ``days`` ends with the event, False where it ends with censoring.
        days_since_first: (rows,), days from the patient's first visit to the landmark, by which follow-up is the same
            clock for all rows of a patient; None where rows are subjects of their own, each with a clock from 0.

    Raises:
        ShapeError: If lengths differ or a number is not finite or out of range.
    """

    patient: IntArray
    visits: IntArray
    days: FloatArray
    event_observed: BoolArray
    days_since_first: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check lengths and ranges once, and fix the types."""
        kinds = {"patient": np.int64, "visits": np.int64, "days": np.float64, "event_observed": np.bool_}
        for name, kind in kinds.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=kind))
            check_shape(getattr(self, name), name, (np.asarray(self.patient).size,))
        if self.days_since_first is not None:
            object.__setattr__(self, "days_since_first", np.asarray(self.days_since_first, dtype=np.float64))
            check_shape(self.days_since_first, "days_since_first", (len(self),))
            if not (np.isfinite(self.days_since_first).all() and (self.days_since_first >= 0).all()):
                raise ShapeError("days_since_first must be finite and at least 0 in every landmark row.")
        if not (np.isfinite(self.days).all() and (self.days >= 0).all() and (self.visits >= 1).all()):
            raise ShapeError("days must be finite and at least 0, and visits at least 1, in every landmark row.")

    @classmethod
    def of_timelines(cls, timelines: Iterable[tuple[Sequence[float], float, bool]]) -> LandmarkRows:
        """A row at every visit of patients, each given by days of the visits, day of the end, and whether by an event.

        Days count from the patient's first visit; all visits lie before the end.
        """
        names = ("patient", "visits", "days", "event_observed", "days_since_first")
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for number, (visits, end, event) in enumerate(timelines):
            columns["patient"] += [number] * len(visits)
            columns["visits"] += range(1, len(visits) + 1)
            columns["days"] += [end - day for day in visits]
            columns["event_observed"] += [event] * len(visits)
            columns["days_since_first"] += visits
        return cls(**{name: np.array(values) for name, values in columns.items()})

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.patient.size)

    def chosen(self, keep: BoolArray) -> LandmarkRows:
        """The rows where ``keep`` (rows,) is True."""
        return LandmarkRows(
            patient=self.patient[keep],
            visits=self.visits[keep],
            days=self.days[keep],
            event_observed=self.event_observed[keep],
            days_since_first=None if self.days_since_first is None else self.days_since_first[keep],
        )

    def cases(self, horizon_days: float = HORIZON_DAYS) -> BoolArray:
        """(rows,), event seen on or before the horizon."""
        return self.event_observed & (self.days <= horizon_days)

    def controls(self, horizon_days: float = HORIZON_DAYS) -> BoolArray:
        """(rows,), known to be free of an event through the horizon; the rest were censored before it."""
        free: BoolArray = (self.days > horizon_days) | (~self.event_observed & (self.days == horizon_days))
        return free


def checked_risk(risk: npt.ArrayLike, rows: LandmarkRows) -> FloatArray:
    """(rows,) finite numbers, one a landmark row.

    Raises:
        ShapeError: If the length differs or a number is not finite.
    """
    numbers = np.asarray(risk, dtype=np.float64)
    check_shape(numbers, "risk", (len(rows),))
    if not np.isfinite(numbers).all():
        raise ShapeError(f"risk must be finite in every landmark row, got {int((~np.isfinite(numbers)).sum())} not.")
    return numbers
