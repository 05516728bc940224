"""The peer to beat: ``reference`` learns the hazards end to end from whole timelines and their outcomes.

It shares with ``evidence`` the cohort, the split, the prepared volumes, the likelihood, the loop that stops early and
what is dropped at random. Four things differ, and any comparison of the two says so: it begins from random weights
(``evidence`` was pretrained on pairs, with the simulator's truth where there is one), it learns from the cohort's
outcomes alone (``evidence`` from implanted timelines too), it is one network (``evidence`` an ensemble of a few), and
it sees volumes shrunk by ``pooling``, since two processor cores cannot afford more. It is never part of a model bundle,
and ``predict`` does not know it.

All of it is in single precision. In bfloat16, which takes two thirds of the time, torch 2.13 on a processor leaves in
the gradients of the last convolutions, on 2 x 2 x 2 cells, what was in the memory before: soon the weights were no
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from TemporalGliomaRisk.encode.reference import ReferenceConfig, ReferenceModel
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.learn.augmentation import AugmentationConfig, apply_flips, scanner_variation
from TemporalGliomaRisk.learn.checkpoints import begin_with
from TemporalGliomaRisk.learn.finetune import drawn_visits
from TemporalGliomaRisk.learn.likelihood_training import Learner, Report, train_by_likelihood
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.risk.hazards import negative_log_likelihood

SETTINGS, FINAL = "settings.json", "final.safetensors"


@dataclass(frozen=True, kw_only=True)
class ReferenceTrainingConfig:
    """Settings of training the reference model.

    Args:
        model: How it is built; as published (every prefix read anew) but for the norm: one timeline is in memory at
            a time, and batch norm over the few visits of one head would carry that head's own mean into the features
            in training and not afterwards, so group norm takes its place. ``batch`` is there for machines that hold
            many timelines at once.
        seed: Of the weights, of the bootstrap of patients and of every draw.
        epochs: Largest number of passes over the training patients.
        patience: Passes without a better validation likelihood before stopping.
        patients_per_update: Timelines an update; their gradients are added up one after another.
        learning_rate: Largest learning rate.
        weight_decay: Of AdamW.
        pooling: Edge of the blocks of voxels that are averaged before the network, in training and in scoring; 1 is
            the prepared grid. With blocks of 2 the first convolution has stride 1, so that the later layers see cells
            of the same mm as on the prepared grid with the stride of 2 of the ResNet paper.
        augmentation: What differs between pictures of an unchanged head, drawn anew for every visit, in voxels of the
            prepared grid, the sizes that ``evidence`` was pretrained with. Its ``single_sequence_chance`` is not used.
        flip_chance: Chance that a timeline is mirrored left to right.
        drop_visit_chance: Chance that a visit is left out, so that any number and spacing of visits is met.
        drop_sequence_chance: Chance that a timeline is reduced to one of its sequences.
    """

    model: ReferenceConfig = field(default_factory=lambda: ReferenceConfig(norm="group", first_stride=1))
    seed: int = 1
    epochs: int = 30
    patience: int = 6
    patients_per_update: int = 8
    learning_rate: float = 3e-4
    weight_decay: float = 1e-3
    pooling: int = 2
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    flip_chance: float = 0.5
    drop_visit_chance: float = 0.1
    drop_sequence_chance: float = 0.25

    def __post_init__(self) -> None:
        if self.pooling < 1:
            raise UsageError(f"pooling must be 1 or more voxels, got {self.pooling}.")


@dataclass(frozen=True, kw_only=True)
class ReferenceTimeline:
    """A patient's visits as the reference model sees them, and what followed each.

    Args:
        intensities: (visits, 4, I, J, K), pooled.
        present: (visits, 4).
        days_since_first: (visits,), since the first visit used.
        days_since_treatment: (visits,), NaN where unknown.
        days_to_end: (visits,).
        event: (visits,).
    """

    intensities: Tensor
    present: Tensor
    days_since_first: Tensor
    days_since_treatment: Tensor
    days_to_end: Tensor
    event: Tensor


def plain_timeline(patient: StoredPatient, pooling: int) -> ReferenceTimeline:
    """A patient's visits as they are."""
    visits = torch.arange(patient.visits)
    return _timeline(patient, visits, torch.from_numpy(patient.present), pooling)


def training_timeline(patient: StoredPatient, config: ReferenceTrainingConfig, random: Generator) -> ReferenceTimeline:
    """A patient's visits with visits, sequences and the days of treatment dropped, and pictures varied, at random."""
    visits, present = drawn_visits(
        patient,
        drop_visit_chance=config.drop_visit_chance,
        drop_sequence_chance=config.drop_sequence_chance,
        random=random,
    )
    timeline = _timeline(patient, visits, present, config.pooling)
    if torch.rand((), generator=random) >= 0.5:
        unknown = torch.full_like(timeline.days_since_treatment, math.nan)
        timeline = replace(timeline, days_since_treatment=unknown)
    inside = (shrunk(torch.from_numpy(patient.brain).float()[None], config.pooling)[0] > 0).float()
    sizes = _in_pooled_voxels(config.augmentation, config.pooling)
    varied = torch.stack([scanner_variation(visit, inside, sizes, random) for visit in timeline.intensities])
    if torch.rand((), generator=random) < config.flip_chance:
        varied = apply_flips(varied, [0], [0, 1, 2])
    return replace(timeline, intensities=varied)


def shrunk(volumes: Tensor, pooling: int) -> Tensor:
    """(N, I, J, K) averaged over blocks of ``pooling`` voxels along each axis; a block cut by the edge is smaller."""
    return volumes if pooling == 1 else functional.avg_pool3d(volumes, pooling, ceil_mode=True)


def _in_pooled_voxels(augmentation: AugmentationConfig, pooling: int) -> AugmentationConfig:
    """The same moves in mm, and the noise that averaging independent voxels leaves."""
    return replace(
        augmentation, shift_voxels=augmentation.shift_voxels / pooling, noise=augmentation.noise / pooling**1.5
    )


def _timeline(patient: StoredPatient, visits: Tensor, present: Tensor, pooling: int) -> ReferenceTimeline:
    first = torch.from_numpy(patient.days_since_first)[visits]
    volumes = [shrunk(torch.from_numpy(patient.visit_volumes(visit)), pooling) for visit in visits.tolist()]
    return ReferenceTimeline(
        intensities=torch.stack(volumes),
        present=present,
        days_since_first=(first - first[0]).float(),
        days_since_treatment=torch.from_numpy(patient.days_since_treatment)[visits].float(),
        days_to_end=torch.from_numpy(patient.days_to_end)[visits].float(),
        event=torch.full((len(visits),), patient.event_observed),
    )


def timeline_hazards(model: ReferenceModel, timeline: ReferenceTimeline) -> Tensor:
    """(visits, 4) interval hazards, each row from its visit and earlier ones only."""
    valid = torch.ones(1, len(timeline.present), dtype=torch.bool)
    days = timeline.days_since_first[None], timeline.days_since_treatment[None]
    hazards: Tensor = model(timeline.intensities[None], timeline.present[None], *days, valid)
    return hazards[0]


def finetune_reference(
    train: Sequence[StoredPatient],
    validation: Sequence[StoredPatient],
    folder: Path,
    *,
    config: ReferenceTrainingConfig,
    report: Report = lambda epoch, numbers: None,
) -> ReferenceModel:
    """Train the reference model, going on from the folder's checkpoint where there is one.

    Args:
        train: Patients to learn from.
        validation: Patients whose likelihood decides when to stop; never the test part.
        folder: Holds ``settings.json``, ``checkpoint`` files while it runs and ``final.safetensors`` at the end.
        config: Settings.
        report: Called with the number of passes done and the losses.

    Returns:
        The model of the best validation likelihood, in evaluation mode.

    Raises:
        InputError: If the folder was begun with other settings, or a part has no patient.
    """
    begin_with(folder / SETTINGS, config, what="The run's reference model")
    torch.manual_seed(config.seed)
    model = ReferenceModel(config.model)

    def row_losses(timeline: ReferenceTimeline) -> Tensor:
        hazards = timeline_hazards(model, timeline)
        return negative_log_likelihood(hazards, timeline.days_to_end, timeline.event)

    def backward(patients: Sequence[StoredPatient], randoms: Sequence[Generator]) -> Tensor:
        found = []
        for patient, random in zip(patients, randoms, strict=True):
            torch.manual_seed(random.initial_seed())  # dropout draws from the global source
            losses = row_losses(training_timeline(patient, config, random))
            losses.sum().backward()  # type: ignore[no-untyped-call]
            found.append(losses.detach())
        every = torch.cat(found)
        for weight in model.parameters():
            if weight.grad is not None:
                weight.grad /= len(every)
        return every

    learner = Learner(
        network=model,
        backward=backward,
        row_losses=lambda patient: row_losses(plain_timeline(patient, config.pooling)),
    )
    train_by_likelihood(learner, train, validation, folder / FINAL, config=config, report=report)
    return model.eval()
