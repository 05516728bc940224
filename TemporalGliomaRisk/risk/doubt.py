"""When a visit's risk is not to be relied on: a visit unlike those of training, or members that disagree.

A sequence's summary (``encode.summary``) is compared with those of training visits by a Mahalanobis distance with a
shrunk covariance; so is the summary of its change since the first visit. The logarithm of each distance is measured in
spreads from its mean over validation visits, and a visit's score is the largest over its sequences and both kinds.
The two thresholds are quantiles over the validation visits that can be judged, at rates that stand here and were not
chosen by any result. A visit with a sequence of which training saw too little is always unlike it and sets neither;
``calibrate`` gives no visit whose contrast is unlike that of the patient's others (``learn.agreement``).

Sources:
    Lee K, et al. A simple unified framework for detecting out-of-distribution samples. NeurIPS 2018.
    Ledoit O, Wolf M. A well-conditioned estimator for large-dimensional covariance matrices. J Multivar Anal 2004.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from TemporalGliomaRisk.encode.summary import summarise_change
from TemporalGliomaRisk.errors import ModelError
from TemporalGliomaRisk.risk.hazards import HORIZON_INTERVALS
from TemporalGliomaRisk.shapes import check_shape

FALSE_ALARM_RATE = 0.01
"""Share of good visits that may be called unlike training."""
AT_ODDS_RATE = 0.05
"""Share of good visits at which members count as at odds."""
LEAST_ROWS = 8
"""With fewer training visits of a sequence nothing is known of it."""
SMALLEST_SPREAD = 1e-3


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What summaries of training visits are like, by sequence.

    Args:
        centre: (4, length).
        whitening: (4, length, length): of ``x - centre``, to as many numbers of spread 1 without correlation.
        level: (4, 2), mean and spread over validation visits of the logarithm of the distance.
        known: (4,), sequences of which enough was seen.
    """

    centre: Tensor
    whitening: Tensor
    level: Tensor
    known: Tensor

    def log_distances(self, summaries: Tensor) -> Tensor:
        """(..., 4, length) to (..., 4): log of the root mean square of the whitened difference from the centre."""
        whitened = torch.einsum("sij,...sj->...si", self.whitening.double(), summaries.double() - self.centre)
        return whitened.square().mean(dim=-1).sqrt().clamp(min=1e-9).log()

    def scores(self, summaries: Tensor, present: Tensor) -> Tensor:
        """(..., 4) of (..., 4, length): spreads above the usual; -inf for absent sequences, inf for unknown."""
        level = self.level.double()
        scores = (self.log_distances(summaries) - level[:, 0]) / level[:, 1]
        scores = torch.where(self.known, scores, torch.full_like(scores, math.inf))
        return torch.where(present, scores, torch.full_like(scores, -math.inf))


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """All that a model knows of when not to believe it.

    Args:
        appearance: Of a visit by itself.
        change: Of a visit against the first.
        unusual_above: Score above which a visit is unlike training.
        at_odds_above: Spread of the members' log hazards above which they are at odds.
        training_visits: Visits that say what is usual.
        validation_visits: Visits that set the thresholds: those given, without the ones that can't be judged.
        validation_patients: Their patients.
        false_alarm_rate: Share of those visits above ``unusual_above``, by design.
        at_odds_rate: Share of those visits above ``at_odds_above``, by design.

    Raises:
        ModelError: If a threshold is not finite.
    """

    appearance: Usual
    change: Usual
    unusual_above: float
    at_odds_above: float
    training_visits: int
    validation_visits: int
    validation_patients: int
    false_alarm_rate: float = FALSE_ALARM_RATE
    at_odds_rate: float = AT_ODDS_RATE

    def __post_init__(self) -> None:
        if not (math.isfinite(self.unusual_above) and math.isfinite(self.at_odds_above)):
            raise ModelError("The thresholds of doubt must be finite numbers; fetch the model again.")


@dataclass(frozen=True, kw_only=True)
class VisitSummary:
    """One visit's numbers.

    Args:
        appearance: (4, length).
        present: (4,), sequences it has.
        change: (4, length), against the first visit; zero for the first itself.
        common: (4,), sequences shared with the first visit; none for the first itself.
        spread: Of the members, see :func:`members_spread`.
    """

    appearance: Tensor
    present: Tensor
    change: Tensor
    common: Tensor
    spread: float


@dataclass(frozen=True, kw_only=True)
class VisitDoubt:
    """How doubtful one visit is.

    Args:
        appearance: (4,), score of each sequence by itself, -inf where absent.
        change: (4,), score of each sequence's change since the first visit, -inf where there is none.
        spread: Of the members' log hazards.
    """

    appearance: Tensor
    change: Tensor
    spread: float

    @property
    def score(self) -> float:
        """The largest of both kinds."""
        return float(torch.maximum(self.appearance.max(), self.change.max()))


def visit_change(first: tuple[Tensor, Tensor] | None, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Change since the first visit and the sequences it is known of; none for the first visit itself.

    Args:
        first: The first visit's (4, places, channels) features and (4,) presence; None at the first visit.
        features: (4, places, channels), of this visit.
        present: (4,), its sequences.
    """
    if first is None:
        nothing = torch.zeros_like(present)
        return summarise_change(features, features, nothing), nothing
    common = first[1] & present
    return summarise_change(first[0], features, common), common


def members_spread(member_hazards: Tensor) -> float:
    """Difference between the largest and the smallest member's log hazard within the horizon; 0 for one member.

    Args:
        member_hazards: (members, intervals).
    """
    logs = member_hazards[:, :HORIZON_INTERVALS].sum(dim=1).clamp(min=1e-12).log()
    return float(logs.max() - logs.min())


def judge(doubt: Doubt, visit: VisitSummary) -> VisitDoubt:
    """One visit's scores."""
    return VisitDoubt(
        appearance=doubt.appearance.scores(visit.appearance, visit.present),
        change=doubt.change.scores(visit.change, visit.common),
        spread=visit.spread,
    )


def fit_doubt(train: Sequence[VisitSummary], validation: Sequence[Sequence[VisitSummary]]) -> Doubt:
    """What is usual, from training visits, and both thresholds, from validation visits.

    Args:
        train: Visits.
        validation: Patients, each with its visits. A visit with a sequence unknown from training sets no threshold and
            is not counted, since it is called unlike training whatever the threshold is.

    Raises:
        ModelError: If there are too few visits.
    """
    watched = [visit for patient in validation for visit in patient]
    if len(train) < LEAST_ROWS or not watched:
        raise ModelError(
            f"Telling unusual visits takes {LEAST_ROWS} training visits and a validation visit, got {len(train)} and "
            f"{len(watched)}; bring more patients."
        )
    appearance = _fit_usual(
        torch.stack([visit.appearance for visit in train]),
        torch.stack([visit.present for visit in train]),
        torch.stack([visit.appearance for visit in watched]),
        torch.stack([visit.present for visit in watched]),
    )
    change = _fit_usual(
        torch.stack([visit.change for visit in train]),
        torch.stack([visit.common for visit in train]),
        torch.stack([visit.change for visit in watched]),
        torch.stack([visit.common for visit in watched]),
    )
    begun = Doubt(
        appearance=appearance,
        change=change,
        unusual_above=0.0,
        at_odds_above=0.0,
        training_visits=len(train),
        validation_visits=0,
        validation_patients=0,
    )
    scored = [[(judge(begun, visit).score, visit.spread) for visit in patient] for patient in validation]
    judged = [[pair for pair in patient if math.isfinite(pair[0])] for patient in scored]
    pairs = [pair for patient in judged for pair in patient]
    if not pairs:
        raise ModelError("No validation visit has a sequence that training visits have; bring more patients.")
    return replace(
        begun,
        unusual_above=upper_quantile([score for score, _ in pairs], FALSE_ALARM_RATE),
        at_odds_above=upper_quantile([spread for _, spread in pairs], AT_ODDS_RATE),
        validation_visits=len(pairs),
        validation_patients=sum(map(bool, judged)),
    )


def upper_quantile(values: Sequence[float], rate: float) -> float:
    """The value that a further one passes with a chance of at most ``rate``; the largest where there are too few.

    Source:
        Conformal prediction: the ceil((n + 1)(1 - rate))-th smallest, e.g. Vovk V, et al. 2005.
    """
    ordered = sorted(values)
    rank = math.ceil((len(ordered) + 1) * (1 - rate))
    return ordered[min(rank, len(ordered)) - 1]


def shrunk_covariance(rows: Tensor) -> Tensor:
    """(rows, length) of mean zero to their covariance, shrunk towards a multiple of the identity (Ledoit and Wolf)."""
    lengths = check_shape(rows, "rows", ("rows", "length"))
    count, length = lengths["rows"], lengths["length"]
    sample = rows.T @ rows / count
    level = sample.trace() / length
    identity = torch.eye(length, dtype=rows.dtype)
    distance = (sample - level * identity).square().sum()
    error = (rows.square().sum(dim=1).square().sum() / count - sample.square().sum()) / count
    share = float((error / distance).clamp(0, 1)) if distance > 0 else 1.0
    return share * level * identity + (1 - share) * sample


def _fit_usual(train: Tensor, train_known: Tensor, watched: Tensor, watched_known: Tensor) -> Usual:
    """Centre and covariance from training visits, level of the distance from validation visits, by sequence."""
    sequences, length = train.shape[1:]
    centre = torch.zeros(sequences, length, dtype=torch.float64)
    whitening = torch.zeros(sequences, length, length, dtype=torch.float64)
    level = torch.tensor([[0.0, 1.0]], dtype=torch.float64).repeat(sequences, 1)
    known = train_known.sum(dim=0) >= LEAST_ROWS
    for sequence in torch.nonzero(known).flatten().tolist():
        rows = train[train_known[:, sequence], sequence].double()
        centre[sequence] = rows.mean(dim=0)
        spread = rows.std(dim=0, correction=0).clamp(min=SMALLEST_SPREAD)
        covariance = shrunk_covariance((rows - centre[sequence]) / spread)
        values, vectors = torch.linalg.eigh(covariance)
        whitening[sequence] = (vectors / values.clamp(min=1e-6).sqrt()).T / spread
    # In the precision that they are kept in, so that what is loaded gives the very scores that were fitted.
    kept = Usual(centre=centre.float(), whitening=whitening.float(), level=level, known=known)
    logs = kept.log_distances(watched)
    for sequence in torch.nonzero(known).flatten().tolist():
        found = logs[watched_known[:, sequence], sequence]
        if len(found) > 1:
            level[sequence, 0] = found.mean()
            level[sequence, 1] = found.std().clamp(min=SMALLEST_SPREAD)
    return Usual(centre=kept.centre, whitening=kept.whitening, level=level.float(), known=known)
