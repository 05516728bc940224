"""First stage: from pairs of visits, learn where a lesion is and grew, if the truth is known, and which came first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.encode.evidence import EvidenceConfig, VisitEncoder
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import InputError, ModelError, UsageError
from TemporalGliomaRisk.learn.checkpoints import Place, load_checkpoint, save_checkpoint
from TemporalGliomaRisk.learn.pair_crops import PairBatch, PairConfig, PairSampler
from TemporalGliomaRisk.learn.ranks import ALONE, Ranks
from TemporalGliomaRisk.learn.stored_patient import StoredPatient

VALIDATION_SEED = 2**31
"""Far from every update's seed, so that validation pairs are the same each time and never those of training."""
FINAL = "final.safetensors"
"""Weights at the end, in a run's folder of pretraining."""
LOSSES = ("growth", "lesion", "order")
"""Of a batch, as they are reported."""
RANK_STRIDE = 2**40
"""Between the seeds of two ranks: further than any number of updates."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of pretraining.

    Args:
        seed: Of the weights and of every draw.
        updates: Number of updates.
        pairs_per_update: Pairs of visits an update.
        learning_rate: Largest learning rate; a linear start, then a half cosine to zero.
        weight_decay: Of AdamW.
        order_weight: Weight of the ordering loss beside the growth loss. At 0.3 its gradient in the encoder was twice
            to four times that of growth, and crops without a change can hardly be ordered.
        grown_weight: Weight of a cell with growth in the growth loss, since few cells have any.
        lesion_weight: Weight of the loss that says how much of each cell is tumour at each visit. Few pairs show any
            growth and most patients a lesion; a reader, too, knows growth by knowing the lesion on both.
        validate_every: Updates between validations and checkpoints.
        validation_pairs: Pairs of a validation.
        bfloat16: Run the network in bfloat16 where it is safe; faster where the processor has instructions for it.
        pairs: How pairs are drawn.
    """

    seed: int = 1
    updates: int = 6000
    pairs_per_update: int = 12
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    order_weight: float = 0.05
    grown_weight: float = 4.0
    lesion_weight: float = 1.0
    validate_every: int = 250
    validation_pairs: int = 240
    bfloat16: bool = False
    pairs: PairConfig = field(default_factory=PairConfig)

    def __post_init__(self) -> None:
        for option, value, least in (
            ("--updates", self.updates, 0),
            ("--pairs", self.pairs_per_update, 1),
            ("--validate-every", self.validate_every, 1),
            ("--validation-pairs", self.validation_pairs, 1),
        ):
            if value < least:
                raise UsageError(f"Wanted {option} of {least} or more, got {value}.")
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"The learning rate (--learning-rate) is a number above 0, got {self.learning_rate}.")
        for task, option, weight in (
            ("ordering", "--order-weight", self.order_weight),
            ("lesions", "--lesion-weight", self.lesion_weight),
        ):
            if not 0 <= weight < math.inf:
                raise UsageError(f"The weight of {task} ({option}) is a number from 0 on, got {weight}.")


class UpdateBatches(Dataset[PairBatch]):
    """The batch of each update from ``start`` on, drawn by the update's own seed: the same from any process.

    Of several ranks each has its share of an update's pairs, with a seed of its own.
    """

    def __init__(self, sampler: PairSampler, config: PretrainConfig, start: int, ranks: Ranks) -> None:
        self._sampler, self._config, self._start, self._ranks = sampler, config, start, ranks

    def __len__(self) -> int:
        """Number of updates left."""
        return self._config.updates - self._start

    def __getitem__(self, index: int) -> PairBatch:
        """The batch of an update, counted from ``start``."""
        seed = self._config.seed * 1_000_003 + self._start + index + self._ranks.rank * RANK_STRIDE
        return self._sampler.draw(
            self._config.pairs_per_update // self._ranks.world, torch.Generator().manual_seed(seed)
        )


@dataclass(frozen=True, kw_only=True)
class PairLosses:
    """Losses of a batch, and what is reported of it."""

    growth: Tensor
    lesion: Tensor
    order: Tensor
    order_accuracy: float


def encode_crops(encoder: VisitEncoder, volumes: Tensor, present: Tensor, cells: Tensor) -> Tensor:
    """(pairs, 4, D, D, D) crops to (pairs, 4, places, channels); each sequence's stem sees the crops that have it."""
    pairs, places = volumes.shape[0], cells[0].numel()
    encoded: dict[int, Tensor] = {}
    for sequence in torch.nonzero(present.any(dim=0)).flatten().tolist():
        having = torch.nonzero(present[:, sequence]).flatten()
        grid = encoder.encode_sequence(volumes[having, sequence], sequence, cells[having])
        rows = grid.permute(0, 2, 3, 4, 1).reshape(len(having), places, encoder.channels)
        # Indexed in one piece a sequence: writing crop by crop into one tensor costs more than the convolutions.
        encoded[sequence] = rows.new_zeros((pairs, places, encoder.channels)).index_copy(0, having, rows)
    absent = next(iter(encoded.values())).new_zeros((pairs, places, encoder.channels))
    return torch.stack([encoded.get(sequence, absent) for sequence in range(volumes.shape[1])], dim=1)


def pair_losses(model: PairModel, batch: PairBatch, config: PretrainConfig) -> PairLosses:
    """Growth and lesion losses over the cells with known truth, ordering loss over the pairs."""
    both = torch.cat([batch.earlier, batch.later])
    features = encode_crops(model.encoder, both, batch.present.repeat(2, 1), batch.cells.repeat(2, 1, 1, 1))
    earlier, later = features.chunk(2)
    inside = batch.cells.flatten(1)
    found = model.all_logits(earlier, later, batch.present, inside)
    weight = torch.tensor(config.grown_weight, device=both.device)
    # The head is antisymmetric, so presenting each pair in its true order loses nothing.
    return PairLosses(
        growth=_over_known(found.growth, batch.grown.flatten(1), inside, weight),
        lesion=_over_known(found.lesions, batch.lesions.flatten(2), inside[:, None].expand_as(found.lesions)),
        order=functional.softplus(-found.order).mean(),
        order_accuracy=float((found.order > 0).float().mean()),
    )


def _over_known(logits: Tensor, shares: Tensor, inside: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of shares of cells over those of the brain whose truth is known; 0 if there are none."""
    known = inside & ~torch.isnan(shares)
    if not known.any():
        return logits.new_zeros(())
    return functional.binary_cross_entropy_with_logits(logits[known], shares[known].to(logits), pos_weight=weight)


def learning_rate_at(update: int, updates: int, largest: float) -> float:
    """A linear start over 3 % of the updates, then half a cosine to zero."""
    start = max(1, updates * 3 // 100)
    if update < start:
        return largest * (update + 1) / start
    done = (update - start) / max(1, updates - start)
    return largest * 0.5 * float(1 + torch.cos(torch.tensor(torch.pi * done)))


def take_step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Move the weights by their gradient, shortened to a length of 1.

    Raises:
        ModelError: If the gradient is not finite; the weights stay as they were.
    """
    length = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    if not bool(torch.isfinite(length)):
        raise ModelError("A gradient is not finite; train with a smaller learning rate, without --bfloat16.")
    optimizer.step()


def pretrain(
    train: Sequence[StoredPatient],
    validation: Sequence[StoredPatient],
    folder: Path,
    *,
    model_config: EvidenceConfig,
    config: PretrainConfig,
    start_from: PairModel | None = None,
    jobs: int = 1,
    compiled_by: str | None = None,
    ranks: Ranks = ALONE,
    report: Callable[[int, dict[str, float]], object] = lambda update, numbers: None,
) -> PairModel:
    """Pretrain on pairs, going on from the folder's checkpoint where there is one.

    Args:
        train: Patients to learn from.
        validation: Patients to watch; they choose nothing here.
        folder: Holds ``checkpoint.safetensors`` while it runs and ``final.safetensors`` at the end.
        model_config: Sizes.
        config: Settings.
        start_from: Pretrained model whose weights to begin with, None for random ones.
        jobs: Processes: this one trains, the others draw its pairs ahead of it; the weights are the same for any.
        compiled_by: Backend of torch.compile for the encoder, which takes most of the time; None to leave it as it is.
        ranks: This process among those that train together, each on its share of every update's pairs.
        report: Called with the update's number and its losses; with ``validation_...`` keys after a validation.

    Returns:
        The trained model.

    Raises:
        InputError: If no training patient has a pair of visits to compare.
        ModelError: If a gradient is not finite.
        UsageError: If an update's pairs cannot be shared evenly by the ranks.
    """
    if config.pairs_per_update % ranks.world:
        raise UsageError(
            f"{ranks.world} processes cannot share {config.pairs_per_update} pairs evenly; change --pairs."
        )
    model, optimizer = _untrained(model_config, config, ranks)
    final, checkpoint = folder / FINAL, folder / "checkpoint.safetensors"
    if final.exists():
        load_checkpoint(final, model)
        return model
    if start_from is not None and not checkpoint.exists():
        model.load_state_dict(start_from.state_dict())
    start = load_checkpoint(checkpoint, model, optimizer).updates if checkpoint.exists() else 0
    sampler, watched = PairSampler(train, config.pairs), PairSampler(validation, config.pairs)
    if not sampler.pairs:
        raise InputError("No training patient has two visits with a sequence in common; pretraining needs such pairs.")
    batches = DataLoader(UpdateBatches(sampler, config, start, ranks), batch_size=None, num_workers=max(0, jobs - 1))
    began = time.monotonic()
    with _compiled(model.encoder, compiled_by):
        for update, batch in enumerate(batches, start):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(update, config.updates, config.learning_rate)
            losses = _take_update(model, optimizer, batch, config, ranks)
            if not ranks.first:
                continue
            numbers = {name: float(getattr(losses, name).detach()) for name in LOSSES}
            if (update + 1) % config.validate_every == 0 or update + 1 == config.updates:
                numbers |= validate_pairs(model, watched, config)
                numbers["seconds_per_update"] = (time.monotonic() - began) / (update + 1 - start)
                save_checkpoint(checkpoint, model, optimizer, Place(updates=update + 1, notes={}))
            report(update + 1, numbers)
    if ranks.first:
        save_checkpoint(final, model, None, Place(updates=config.updates, notes={}))
    ranks.wait()
    return model


def _untrained(
    model_config: EvidenceConfig, config: PretrainConfig, ranks: Ranks
) -> tuple[PairModel, torch.optim.Optimizer]:
    """A model of the seed's random weights, and what moves them."""
    torch.manual_seed(config.seed)
    model = PairModel(model_config).to(ranks.device)
    # Channels last: processors and GPUs made for bfloat16 convolve it without copying, and places become rows for free.
    model.encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return model, torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


@contextmanager
def _compiled(encoder: VisitEncoder, backend: str | None) -> Iterator[None]:
    """While inside, the encoder is compiled, where a backend is named."""
    if backend is None:
        yield
        return
    # Dynamic: how many crops have a sequence differs from update to update.
    compiled = torch.compile(encoder.encode_sequence, backend=backend, dynamic=True)
    encoder.encode_sequence = compiled  # type: ignore[method-assign]
    try:
        yield
    finally:
        del encoder.encode_sequence


def _take_update(
    model: PairModel, optimizer: torch.optim.Optimizer, batch: PairBatch, config: PretrainConfig, ranks: Ranks
) -> PairLosses:
    """One update by a rank's share of its pairs; the losses are that share's, from before it."""
    with torch.autocast(ranks.device.type, dtype=torch.bfloat16, enabled=config.bfloat16):
        losses = pair_losses(model, batch.to(ranks.device), config)
    optimizer.zero_grad(set_to_none=True)
    total = losses.growth + config.lesion_weight * losses.lesion + config.order_weight * losses.order
    total.backward()  # type: ignore[no-untyped-call]
    ranks.average_gradients(model)
    take_step(model, optimizer)
    return losses


@torch.no_grad()
def validate_pairs(model: PairModel, sampler: PairSampler, config: PretrainConfig) -> dict[str, float]:
    """Mean losses and ordering accuracy on the same validation pairs each time."""
    if not sampler.pairs:
        return {}
    random = torch.Generator().manual_seed(VALIDATION_SEED)
    batches = max(1, config.validation_pairs // config.pairs_per_update)
    drawn = (sampler.draw(config.pairs_per_update, random).to(device_of(model)) for _ in range(batches))
    found = [pair_losses(model, batch, config) for batch in drawn]
    return {
        **{f"validation_{name}": sum(float(getattr(losses, name)) for losses in found) / batches for name in LOSSES},
        "validation_order_accuracy": sum(losses.order_accuracy for losses in found) / batches,
    }
