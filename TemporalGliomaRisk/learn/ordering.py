"""The ordering head taught on whole visits, so that its confidence can be read out.

Pretraining learns the order from small cubes, half of them drawn near a lesion. Over a whole brain the same lesion is
one place in twenty thousand, so the head goes on learning there, from the cached features of the frozen encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.encode.pairs import OrderHead, PairModel
from TemporalGliomaRisk.learn.feature_store import PatientFeatures
from TemporalGliomaRisk.learn.likelihood_training import Learner, Report, train_by_likelihood
from TemporalGliomaRisk.learn.stored_patient import StoredPatient


@dataclass(frozen=True, kw_only=True)
class OrderConfig:
    """Settings of teaching the ordering head.

    Args:
        seed: Of the bootstrap of patients and of every draw.
        epochs: Largest number of passes over the training patients.
        patience: Passes without a better validation likelihood before stopping.
        patients_per_update: Patients an update.
        pairs: Pairs of visits, at most, drawn of a patient.
        learning_rate: Largest learning rate.
        weight_decay: Of AdamW.
        sampled_places: Places drawn anew each time from the cached sample of the rest of the brain.
        drop_sequence_chance: Chance that a patient's pairs are compared by one sequence alone.
    """

    seed: int = 1
    epochs: int = 12
    patience: int = 3
    patients_per_update: int = 8
    pairs: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    sampled_places: int = 1000
    drop_sequence_chance: float = 0.25


def comparable_pairs(patient: StoredPatient) -> Tensor:
    """(pairs, 2) indices of visits, the earlier first: each visit with the one before it and with the first.

    Only those with a sequence in common.
    """
    pairs = sorted({(earlier, later) for later in range(1, patient.visits) for earlier in (0, later - 1)})
    kept = [pair for pair in pairs if (patient.present[pair[0]] & patient.present[pair[1]]).any()]
    return torch.tensor(kept, dtype=torch.long).reshape(-1, 2)


def order_losses(head: OrderHead, cached: PatientFeatures, present: Tensor, pairs: Tensor, places: Tensor) -> Tensor:
    """Minus log-likelihood of the true order.

    Args:
        head: The head.
        cached: A patient's features.
        present: (visits, 4), sequences to compare by.
        pairs: (pairs, 2), the earlier visit first.
        places: (places,), which of the cached places; all the foremost and some of the others.

    Returns:
        (pairs,).
    """
    device = device_of(head)
    earlier, later = pairs.T
    log_weights = cached.log_weights(len(places) - cached.foremost)
    shares = (log_weights - torch.logsumexp(log_weights, dim=0)).to(device)
    before, after = (cached.features[visits][:, :, places].float().to(device) for visits in (earlier, later))
    common = (present[earlier] & present[later]).to(device)
    return functional.softplus(-head.order_logit(before, after, common, shares))


def train_order(
    pretrained: PairModel,
    train: Sequence[StoredPatient],
    validation: Sequence[StoredPatient],
    load: Callable[[str], PatientFeatures],
    path: Path,
    *,
    config: OrderConfig,
    report: Report = lambda epoch, numbers: None,
) -> OrderHead | None:
    """Teach the pretrained ordering head whole visits, going on from its checkpoint where there is one.

    Args:
        pretrained: Pretrained pair model.
        train: Patients to learn from.
        validation: Patients whose likelihood decides when to stop; never the test part.
        load: Gives a patient's cached features.
        path: Where the final weights go.
        config: Settings.
        report: Called with the number of passes done and the losses.

    Returns:
        The head of the best validation likelihood; None where no patient of either part has visits to compare.
    """
    taught, watched = ([one for one in part if len(comparable_pairs(one))] for part in (train, validation))
    if not taught or not watched:
        return None
    head = pretrained.head_of_order().to(device_of(pretrained))

    def drawn_losses(patient: StoredPatient, random: Generator) -> Tensor:
        cached, pairs = load(patient.patient_id), comparable_pairs(patient)
        chosen = pairs[torch.randperm(len(pairs), generator=random)[: config.pairs]]
        places = cached.drawn_places(config.sampled_places, random)
        present = _perhaps_one_sequence(torch.from_numpy(patient.present), config.drop_sequence_chance, random)
        compared = chosen[(present[chosen[:, 0]] & present[chosen[:, 1]]).any(dim=1)]
        return order_losses(head, cached, present, compared, places)

    def backward(patients: Sequence[StoredPatient], randoms: Sequence[Generator]) -> Tensor:
        losses = torch.cat([drawn_losses(*one) for one in zip(patients, randoms, strict=True)])
        if len(losses):
            losses.mean().backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    def row_losses(patient: StoredPatient) -> Tensor:
        cached = load(patient.patient_id)
        present, places = torch.from_numpy(patient.present), torch.arange(cached.features.shape[2])
        return order_losses(head, cached, present, comparable_pairs(patient), places)

    learner = Learner(network=head, backward=backward, row_losses=row_losses)
    train_by_likelihood(learner, taught, watched, path, config=config, report=report)
    return head


def _perhaps_one_sequence(present: Tensor, chance: float, random: Generator) -> Tensor:
    """(visits, 4) presence, now and then of a single sequence that some visit has."""
    if torch.rand((), generator=random) >= chance:
        return present
    options = torch.nonzero(present.any(dim=0)).flatten()
    kept = torch.zeros(present.shape[1], dtype=torch.bool)
    kept[options[int(torch.randint(len(options), (), generator=random))]] = True
    return present & kept
