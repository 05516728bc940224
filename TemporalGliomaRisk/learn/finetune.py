"""Second stage: from whole timelines and outcomes, learn the hazards. The encoder stays as pretraining left it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.encode.days import day_features
from TemporalGliomaRisk.encode.evidence import HistoryHead, single_visit_days
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.learn.background import fit_background
from TemporalGliomaRisk.learn.feature_store import PatientFeatures, PlaceSampling
from TemporalGliomaRisk.learn.implanted_timelines import ImplantedPatient, TimelineImplantConfig
from TemporalGliomaRisk.learn.likelihood_training import Learner, Report, train_by_likelihood
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.risk.hazards import negative_log_likelihood

LoadFeatures = Callable[[str], PatientFeatures]
PREVALENCE_ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Settings of fine-tuning one head.

    Args:
        seed: Of the weights, of the bootstrap of patients and of every draw.
        single_visit: Learn from one visit at a time, without dates, instead of from timelines.
        epochs: Largest number of passes over the training patients.
        patience: Passes without a better validation likelihood before stopping.
        patients_per_update: Timelines an update.
        learning_rate: Largest learning rate.
        weight_decay: Of AdamW.
        sampled_places: Places drawn anew each time from the cached sample of the rest of the brain.
        growth_gain: How strongly the pretrained growth head moves the local hazards at the start.
        drop_visit_chance: Chance that a visit is left out, so that any number and spacing of visits is met.
        drop_sequence_chance: Chance that a timeline is reduced to one of its sequences.
        least_agreement: Smallest agreement of contrast of the visits that patients are given with (:func:`agreeing`);
            -1 for all visits. Where everything differs growth can't be told, and heads that have seen it are either
            deaf to growth or loud wherever a scanner changes.
        soften_above: Interval hazard above which the training loss sees its logarithm grow, not itself: a visit in
            which everything changed has a hazard, and a gradient, a hundred times the others', and leaves them none.
        place_weight: Weight, beside the likelihood, of the loss that says where the hazard should lie: before an
            event, in the true growth. Nothing where the truth is not known.
        sampling: Places kept by the feature cache.
        implants: Patients learnt from again, with a lesion laid in.
        background_first: Whether the background is fitted to the days alone before images are learnt from.
        begun_from: Hash of the weights of the model whose heads it begins with, None for a fresh recurrence.
    """

    seed: int = 1
    single_visit: bool = False
    epochs: int = 30
    patience: int = 6
    patients_per_update: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    sampled_places: int = 1000
    growth_gain: float = 1.0
    drop_visit_chance: float = 0.1
    drop_sequence_chance: float = 0.25
    least_agreement: float = 0.6
    soften_above: float = 1.5
    place_weight: float = 0.2
    sampling: PlaceSampling = field(default_factory=PlaceSampling)
    implants: TimelineImplantConfig = field(default_factory=TimelineImplantConfig)
    background_first: bool = True
    begun_from: str | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.seed < 0:
            raise UsageError(f"Wanted --epochs of 1 or more, --seed of 0 or more; got {self.epochs} and {self.seed}.")
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"The learning rate (--learning-rate) is a number above 0, got {self.learning_rate}.")
        if not 0 <= self.place_weight < math.inf:
            raise UsageError(f"The weight of places (--place-weight) is a number from 0 on, got {self.place_weight}.")
        if not -1 <= self.least_agreement <= 1:
            raise UsageError(
                "The agreement of contrast (--least-agreement) is a rank correlation, from -1 to 1, "
                f"got {self.least_agreement}."
            )


def with_later_settings(written: Any) -> Any:
    """Settings of a head as an earlier version wrote them, with what it did without naming it.

    Its background was not fitted first; a head that is on its way goes on all the same.
    """
    if not isinstance(written, dict):
        return written
    implants = written.get("implants")
    if isinstance(implants, dict):
        written = {**written, "implants": {"each": 1, **implants}}
    return {"background_first": True, "begun_from": None, **written}


@dataclass(frozen=True, kw_only=True)
class TimelineRows:
    """A patient's landmark rows: inputs up to each visit, and what followed.

    Args:
        features: (visits, 4, places, channels).
        log_weights: (places,), logarithm of how many places each stands for.
        present: (visits, 4).
        days: (visits, day features).
        days_to_end: (visits,).
        event: (visits,).
        grown: (visits, places) boolean, true growth since the first visit; None where not known.
    """

    features: Tensor
    log_weights: Tensor
    present: Tensor
    days: Tensor
    days_to_end: Tensor
    event: Tensor
    grown: Tensor | None = None

    def to(self, device: torch.device) -> TimelineRows:
        """The same rows on a device."""
        tensors = {one.name: getattr(self, one.name) for one in fields(self)}
        moved: dict[str, Any] = {name: value if value is None else value.to(device) for name, value in tensors.items()}
        return TimelineRows(**moved)


def drawn_visits(
    patient: StoredPatient, *, drop_visit_chance: float, drop_sequence_chance: float, random: Generator
) -> tuple[Tensor, Tensor]:
    """What a training draw keeps of a patient, at least one visit.

    Args:
        patient: The patient.
        drop_visit_chance: Chance that a visit is left out.
        drop_sequence_chance: Chance that the timeline is reduced to one of the sequences that all kept visits have.
        random: Source of the draws.

    Returns:
        (kept,) indices of the visits, and (kept, 4) the sequences used of them.
    """
    keep = torch.rand(patient.visits, generator=random) >= drop_visit_chance
    keep[int(torch.randint(patient.visits, (), generator=random))] = True
    visits = torch.nonzero(keep).flatten()
    present = torch.from_numpy(patient.present)[visits]
    if torch.rand((), generator=random) < drop_sequence_chance:
        sequences = torch.nonzero(present.all(dim=0)).flatten()
        if len(sequences):
            kept = torch.zeros(present.shape[1], dtype=torch.bool)
            kept[sequences[int(torch.randint(len(sequences), (), generator=random))]] = True
            present = present & kept
    return visits, present


def training_rows(
    patient: StoredPatient, cached: PatientFeatures, config: FinetuneConfig, random: Generator
) -> TimelineRows:
    """A patient's rows with visits, sequences, places and the day of treatment dropped at random."""
    visits, present = drawn_visits(
        patient,
        drop_visit_chance=config.drop_visit_chance,
        drop_sequence_chance=config.drop_sequence_chance,
        random=random,
    )
    places = cached.drawn_places(config.sampled_places, random)
    treatment_known = bool(torch.rand((), generator=random) < 0.5)
    rows = _rows(patient, cached, visits, present, places)
    return rows if treatment_known else replace(rows, days=_days(patient, visits, treatment_known=False))


def plain_rows(patient: StoredPatient, cached: PatientFeatures) -> TimelineRows:
    """A patient's rows as they are, at every cached place."""
    places = torch.arange(cached.features.shape[2])
    present = torch.from_numpy(patient.present)
    return _rows(patient, cached, torch.arange(patient.visits), present, places)


def _rows(
    patient: StoredPatient,
    cached: PatientFeatures,
    visits: Tensor,
    present: Tensor,
    places: Tensor,
) -> TimelineRows:
    features = cached.features[visits][:, :, places].float() * present[:, :, None, None]
    days_to_end, events = (torch.from_numpy(ends)[visits] for ends in patient.row_ends)
    return TimelineRows(
        features=features,
        log_weights=cached.log_weights(len(places) - cached.foremost),
        present=present,
        days=_days(patient, visits, treatment_known=True),
        days_to_end=days_to_end.float(),
        event=events,
        grown=None if cached.grown is None else cached.grown[visits][:, places],
    )


def _days(patient: StoredPatient, visits: Tensor, *, treatment_known: bool) -> Tensor:
    first = torch.from_numpy(patient.days_since_first)[visits]
    treatment = torch.from_numpy(patient.days_since_treatment)[visits]
    unknown = torch.full_like(treatment, math.nan)
    return day_features(first - first[0], treatment if treatment_known else unknown).float()


def rows_local_logs(head: HistoryHead, rows: TimelineRows, *, single_visit: bool) -> tuple[Tensor, Tensor]:
    """(visits, 4) background hazards, and (visits, places, 4) logarithms of what each place stands for.

    By the timeline or by each visit alone.
    """
    if single_visit:
        days = single_visit_days(rows.features)[None]
        passes = [
            head(rows.features[visit : visit + 1], rows.present[visit : visit + 1], days)
            for visit in range(len(rows.features))
        ]
        background = torch.cat([one for one, _ in passes])
        local_logs = torch.cat([one for _, one in passes])
    else:
        background, local_logs = head(rows.features, rows.present, rows.days)
    return background, local_logs + rows.log_weights[None, :, None]


def rows_hazards(head: HistoryHead, rows: TimelineRows, *, single_visit: bool) -> tuple[Tensor, Tensor]:
    """(visits, 4) background and (visits, 4) summed local hazards, by the timeline or by each visit alone."""
    background, local_logs = rows_local_logs(head, rows, single_visit=single_visit)
    return background, torch.logsumexp(local_logs, dim=1).exp()


def place_losses(local_logs: Tensor, rows: TimelineRows) -> Tensor:
    """How little of the local hazard lies where, before an event, the lesion truly grows: minus the share's logarithm.

    Args:
        local_logs: (visits, places, 4), from :func:`rows_local_logs`.
        rows: Its rows.

    Returns:
        (visits,), 0 where no event follows, nothing has grown yet, or the truth is not known.
    """
    if rows.grown is None:
        return local_logs.new_zeros(len(local_logs))
    logs = torch.logsumexp(local_logs, dim=2)
    counts = rows.event & rows.grown.any(dim=1)
    # Rows that do not count are given every place, a share of one, so that no infinity reaches the gradient.
    inside = rows.grown | ~counts[:, None]
    return torch.logsumexp(logs, dim=1) - torch.logsumexp(logs.masked_fill(~inside, -math.inf), dim=1)


def softened(hazards: Tensor, above: float) -> Tensor:
    """Hazards, of any shape, that grow as their logarithm above a bound; value and slope are continuous there."""
    return torch.where(hazards > above, above * (1 + torch.log(hazards.clamp(min=above) / above)), hazards)


def finetune_head(
    pretrained: PairModel,
    train: Sequence[StoredPatient],
    validation: Sequence[StoredPatient],
    load: LoadFeatures,
    path: Path,
    *,
    config: FinetuneConfig,
    start_from: HistoryHead | None = None,
    report: Report = lambda epoch, numbers: None,
) -> HistoryHead:
    """Fine-tune one head, going on from its checkpoint where there is one.

    The patients of a head are a bootstrap of the training part, drawn by its seed. The weights of the best validation
    likelihood are kept.

    Args:
        pretrained: Pretrained pair model: comparison and growth head to begin with.
        train: Patients to learn from.
        validation: Patients whose likelihood decides when to stop; never the test part.
        load: Gives a patient's cached features.
        path: Where the final weights go; ``.checkpoint`` and ``.best`` files beside it while it runs.
        config: Settings.
        start_from: A finished head on the same encoder to begin with, None for a fresh recurrence.
        report: Called with the number of passes done and the losses.

    Returns:
        The head of the best validation likelihood.
    """
    device = device_of(pretrained)
    head = (begin_head(pretrained, config) if start_from is None else copy.deepcopy(start_from)).to(device)

    def begin() -> None:
        if start_from is not None:
            return
        lived = [patient for patient in train if not isinstance(patient, ImplantedPatient)]
        if config.background_first and lived and not config.single_visit:
            fit_background(head, lived, validation, seed=config.seed)
        match_prevalence(head, train[:40], load, config)

    def training_losses(patient: StoredPatient, rows: TimelineRows) -> tuple[Tensor, Tensor]:
        rows = rows.to(device)
        background, local_logs = rows_local_logs(head, rows, single_visit=config.single_visit)
        if isinstance(patient, ImplantedPatient):
            # Its event was drawn, not lived: hosts are those who stayed well for long, and their days would tell.
            background = background.detach()
        hazards = softened(background + torch.logsumexp(local_logs, dim=1).exp(), config.soften_above)
        return negative_log_likelihood(hazards, rows.days_to_end, rows.event), place_losses(local_logs, rows)

    def likelihood_losses(patient: StoredPatient) -> Tensor:
        rows = plain_rows(patient, load(patient.patient_id)).to(device)
        background, local = rows_hazards(head, rows, single_visit=config.single_visit)
        return negative_log_likelihood(background + local, rows.days_to_end, rows.event)

    def backward(patients: Sequence[StoredPatient], randoms: Sequence[Generator]) -> Tensor:
        losses = [
            training_losses(patient, training_rows(patient, load(patient.patient_id), config, random))
            for patient, random in zip(patients, randoms, strict=True)
        ]
        likelihood, places = (torch.cat(parts) for parts in zip(*losses, strict=True))
        (likelihood + config.place_weight * places).mean().backward()  # type: ignore[no-untyped-call]
        return likelihood.detach()

    learner = Learner(
        network=head,
        backward=backward,
        row_losses=likelihood_losses,
        begin=begin,
        keeps_start=start_from is not None,
    )
    train_by_likelihood(learner, train, validation, path, config=config, report=report)
    return head


def begin_head(pretrained: PairModel, config: FinetuneConfig) -> HistoryHead:
    """A head with fresh recurrence, and the pretrained comparison and growth head."""
    torch.manual_seed(config.seed)
    head = HistoryHead(pretrained.config)
    head.comparison.load_state_dict(pretrained.comparison.state_dict())
    head.growth.load_state_dict(pretrained.growth.state_dict())
    with torch.no_grad():
        head.growth_gain.fill_(config.growth_gain)
    return head


@torch.no_grad()
def match_prevalence(
    head: HistoryHead, patients: Sequence[StoredPatient], load: LoadFeatures, config: FinetuneConfig
) -> None:
    """Shift the local bias so that the median row's sum of local hazards starts at half of the prior over e.

    The median, not the mean: a few visits in which much changed have a sum a thousand times the others', and a mean
    matched by them leaves every other visit silent, too far down for fine-tuning to climb back. A few times over,
    because terms near their bound follow a shift only in part.
    """
    device = device_of(head)
    wanted = torch.tensor(head.config.prior_interval_hazards, device=device) / 2 / math.e
    for _ in range(PREVALENCE_ROUNDS):
        sums = []
        for patient in patients:
            rows = plain_rows(patient, load(patient.patient_id)).to(device)
            sums.append(rows_hazards(head, rows, single_visit=config.single_visit)[1])
        head.local_last.bias.add_(wanted.log() - torch.cat(sums).median(dim=0).values.log())
