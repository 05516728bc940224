"""The background hazard, fitted to days and outcomes alone: what follow-up tells before any image is looked at.

A few numbers a visit and a network of some hundred weights, so all rows fit into one update and a fit takes seconds.
Passes over timelines, as the images need them, end long before they have learnt how the hazard falls over the years.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import HistoryHead
from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.learn.cohort import CohortPatient
from TemporalGliomaRisk.risk.hazards import negative_log_likelihood
from TemporalGliomaRisk.timeline.reading import read_timeline

ROUNDS, PATIENCE, STEPS = 40, 6, 20
"""Rounds at most, rounds without a better watched likelihood before the end, steps of L-BFGS a round."""
RIDGE = 1e-4


class Followed(Protocol):
    """A patient's days: a prepared patient, or one of whom no more was read."""

    @property
    def days_since_first(self) -> npt.NDArray[np.float64]:
        """(visits,), all of them before the event or the last contact."""

    @property
    def days_since_treatment(self) -> npt.NDArray[np.float64]:
        """(visits,), NaN where unknown."""

    @property
    def row_ends(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """(visits,) days from each visit to the end, and (visits,) whether that is an event."""


@dataclass(frozen=True, kw_only=True)
class FollowedDays:
    """A patient of whom the days are known and nothing else; see :class:`Followed`."""

    days_since_first: npt.NDArray[np.float64]
    days_since_treatment: npt.NDArray[np.float64]
    row_ends: tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]

    @classmethod
    def of(cls, patient: CohortPatient) -> FollowedDays:
        """Of a cohort's patient, whose images are not read.

        Raises:
            InputError: If the timeline cannot be read, or no visit lies before the end.
        """
        visits = patient.input_visits(read_timeline(patient.folder).visits)
        if not visits:
            raise InputError(
                f"{patient.told}: no visit lies before the end of follow-up. Correct follow_up_days, or drop the row."
            )
        first = np.array([visit.days_since_first for visit in visits], dtype=np.float64)
        treatment = [math.nan if visit.days_since_treatment is None else visit.days_since_treatment for visit in visits]
        return cls(
            days_since_first=first,
            days_since_treatment=np.array(treatment, dtype=np.float64),
            row_ends=(patient.follow_up_days - first, np.full(len(visits), patient.event_observed)),
        )


@dataclass(frozen=True, kw_only=True)
class DayRows:
    """Landmark rows of which the days are known and no image.

    Args:
        days: (rows, day features), from :func:`day_features`.
        visits_so_far: (rows,), each row's visit included.
        days_to_end: (rows,), to the event or the last contact.
        event: (rows,) boolean, whether the end is an event.
    """

    days: Tensor
    visits_so_far: Tensor
    days_to_end: Tensor
    event: Tensor

    @classmethod
    def of(cls, patients: Iterable[Followed]) -> DayRows:
        """Rows of all visits, each once with the day of treatment as it is known and once without."""
        days, numbers, ends, events = [], [], [], []
        for patient in patients:
            first, treatment = (
                torch.from_numpy(one) for one in (patient.days_since_first, patient.days_since_treatment)
            )
            end, event = (torch.from_numpy(one) for one in patient.row_ends)
            for known in (treatment, torch.full_like(treatment, math.nan)):
                days.append(day_features(first - first[0], known).float())
                numbers.append(torch.arange(1, len(first) + 1))
                ends.append(end.float())
                events.append(event)
        together = [torch.cat(parts) for parts in (days, numbers, ends, events)]
        return cls(days=together[0], visits_so_far=together[1], days_to_end=together[2], event=together[3])

    def mean_loss(self, interval_hazards: Tensor) -> Tensor:
        """Mean negative log-likelihood of (rows, 4) interval hazards."""
        return negative_log_likelihood(interval_hazards, self.days_to_end, self.event).mean()

    def to(self, device: torch.device) -> DayRows:
        """The same rows on a device."""
        return DayRows(**{one.name: getattr(self, one.name).to(device) for one in fields(self)})


def fit_background(head: HistoryHead, train: Sequence[Followed], validation: Sequence[Followed], *, seed: int) -> None:
    """Fit a head's background to days and outcomes, as if no image told anything; calibration sets its level later.

    Args:
        head: Its background's weights change, and nothing else.
        train: Patients to learn from; a bootstrap of them, drawn by the seed, so that members differ.
        validation: Patients whose likelihood decides when to stop.
        seed: Of the bootstrap.

    Raises:
        InputError: If there is no patient to learn from or to validate on.
    """
    if not train or not validation:
        raise InputError(
            f"A background needs patients to learn from and to validate on, got {len(train)} and {len(validation)}; "
            "give a larger cohort, or other --fractions to pretrain."
        )
    bootstrap = np.random.default_rng(seed).integers(len(train), size=len(train))
    device = device_of(head)
    learnt, watched = (DayRows.of(part).to(device) for part in ([train[one] for one in bootstrap], validation))
    fit_whole(
        nn.ModuleList([head.background, head.background_last]),
        lambda: learnt.mean_loss(head.background_hazards(learnt.days)),
        lambda: watched.mean_loss(head.background_hazards(watched.days)),
    )


def fit_whole(network: nn.Module, loss: Callable[[], Tensor], watched_loss: Callable[[], Tensor]) -> None:
    """Fit a small network to all rows at once by L-BFGS, keeping the weights of the best watched loss.

    Args:
        network: Its weights are fitted, those that it has included.
        loss: Of the rows to learn from.
        watched_loss: Of the rows that decide when to stop.
    """
    weights = list(network.parameters())
    optimizer = torch.optim.LBFGS(weights, max_iter=STEPS, history_size=STEPS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        total = loss() + RIDGE * torch.stack([one.square().sum() for one in weights if one.ndim > 1]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    best, kept, since = math.inf, [one.detach().clone() for one in weights], 0
    for _ in range(ROUNDS + 1):
        with torch.no_grad():
            found = float(watched_loss())
        if found < best:
            best, kept, since = found, [one.detach().clone() for one in weights], 0
        else:
            since += 1
        if since > PATIENCE or not math.isfinite(found):
            break
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for weight, value in zip(weights, kept, strict=True):
            weight.copy_(value)
        for weight in weights:
            weight.grad = None
