"""Passes over patients until the validation likelihood no longer improves: the loop that both models are trained by.

Every draw is seeded by the pass, the update and the place in it, so a run that was killed goes on to the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn

from TemporalGliomaRisk.errors import InputError, ModelError
from TemporalGliomaRisk.learn.checkpoints import Place, load_checkpoint, save_checkpoint
from TemporalGliomaRisk.learn.pretrain import learning_rate_at, take_step
from TemporalGliomaRisk.learn.stored_patient import StoredPatient

Report = Callable[[int, dict[str, float]], object]


class LoopConfig(Protocol):
    """What the loop reads of a model's own training settings."""

    @property
    def seed(self) -> int:
        """Of the bootstrap of patients and of every draw."""

    @property
    def epochs(self) -> int:
        """Largest number of passes over the training patients."""

    @property
    def patience(self) -> int:
        """Passes without a better validation likelihood before stopping."""

    @property
    def patients_per_update(self) -> int:
        """Timelines an update."""

    @property
    def learning_rate(self) -> float:
        """Largest learning rate; a linear start, then half a cosine to zero."""

    @property
    def weight_decay(self) -> float:
        """Of AdamW."""


@dataclass(frozen=True, kw_only=True)
class Learner:
    """What the loop needs of a model.

    Args:
        network: Its weights are trained.
        backward: From an update's patients and a source of draws for each: leaves the gradient of the mean loss of
            all their rows in the weights, and returns those losses, (rows,).
        row_losses: (rows,) losses of a patient as it is, for validation.
        begin: Run once before training and before a checkpoint is read.
        keeps_start: Whether the weights that it begins with are kept where no pass finds better ones.
    """

    network: nn.Module
    backward: Callable[[Sequence[StoredPatient], Sequence[Generator]], Tensor]
    row_losses: Callable[[StoredPatient], Tensor]
    begin: Callable[[], object] = lambda: None
    keeps_start: bool = False


def train_by_likelihood(
    learner: Learner,
    train: Sequence[StoredPatient],
    validation: Sequence[StoredPatient],
    path: Path,
    *,
    config: LoopConfig,
    report: Report = lambda epoch, numbers: None,
) -> None:
    """Train to the best validation likelihood, going on from the checkpoint where there is one.

    The patients are a bootstrap of the training part, drawn by the seed, so that members of an ensemble differ.

    Args:
        learner: The model; it holds the weights of the best validation likelihood afterwards.
        train: Patients to learn from.
        validation: Patients whose likelihood decides when to stop; never the test part.
        path: Where the final weights go; ``.checkpoint`` and ``.best`` files beside it while it runs.
        config: Settings.
        report: Called with the number of passes done and the losses.

    Raises:
        InputError: If there is no patient to learn from or to validate on.
        ModelError: If a gradient is not finite, or no pass gave a finite validation likelihood.
    """
    if path.exists():
        load_checkpoint(path, learner.network)
        return
    if not train or not validation:
        raise InputError(
            f"Training needs patients to learn from and to validate on, got {len(train)} and {len(validation)}; "
            "give a larger cohort, or other --fractions to pretrain."
        )
    learner.begin()
    weights = learner.network.parameters()
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    checkpoint, best = path.with_suffix(".checkpoint.safetensors"), path.with_suffix(".best.safetensors")
    notes: dict[str, float] = {"best_validation": math.inf, "best_epoch": 0.0}
    epoch = 0
    if checkpoint.exists():
        place = load_checkpoint(checkpoint, learner.network, optimizer)
        epoch, notes = place.updates, {**notes, **place.notes}
    elif learner.keeps_start:
        notes = {"best_validation": validation_likelihood(learner, validation), "best_epoch": 0.0}
        save_checkpoint(best, learner.network, None, Place(updates=0, notes=notes))
    while epoch < config.epochs and epoch - notes["best_epoch"] < config.patience:
        training_loss = _one_epoch(learner, optimizer, train, config=config, epoch=epoch)
        epoch += 1
        found = validation_likelihood(learner, validation)
        if found < notes["best_validation"]:
            notes = {"best_validation": found, "best_epoch": float(epoch)}
            save_checkpoint(best, learner.network, None, Place(updates=epoch, notes=notes))
        save_checkpoint(checkpoint, learner.network, optimizer, Place(updates=epoch, notes=notes))
        report(epoch, {"training": training_loss, "validation": found, **notes})
    if not best.exists():
        raise ModelError("No pass gave a finite validation likelihood; train with a smaller learning rate.")
    place = load_checkpoint(best, learner.network)
    save_checkpoint(path, learner.network, None, place)
    checkpoint.unlink(missing_ok=True)
    best.unlink(missing_ok=True)


def _one_epoch(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    train: Sequence[StoredPatient],
    *,
    config: LoopConfig,
    epoch: int,
) -> float:
    """One pass over the bootstrap of patients; mean loss of its rows."""
    learner.network.train()
    bootstrap = np.random.default_rng(config.seed).integers(len(train), size=len(train))
    order = np.random.default_rng([config.seed, epoch]).permutation(bootstrap)
    updates = math.ceil(len(order) / config.patients_per_update)
    total, count = 0.0, 0
    for update in range(updates):
        for group in optimizer.param_groups:
            done = epoch * updates + update
            group["lr"] = learning_rate_at(done, config.epochs * updates, config.learning_rate)
        chosen = order[update * config.patients_per_update : (update + 1) * config.patients_per_update]
        first_draw = (((config.seed * 10_007 + epoch) * 1_000_003 + update) * 64) % 2**62
        randoms = [torch.Generator().manual_seed(first_draw + place) for place in range(len(chosen))]
        optimizer.zero_grad(set_to_none=True)
        losses = learner.backward([train[int(index)] for index in chosen], randoms)
        take_step(learner.network, optimizer)
        total, count = total + float(losses.sum()), count + len(losses)
    return total / count


@torch.no_grad()
def validation_likelihood(learner: Learner, patients: Sequence[StoredPatient]) -> float:
    """Mean negative log-likelihood over all landmark rows."""
    learner.network.eval()
    return float(torch.cat([learner.row_losses(patient) for patient in patients]).mean())
