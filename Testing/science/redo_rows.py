"""The rows of ``redo.py``: models that differ in one thing each, how each is trained, and what it says of a patient."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.bundle import CALIBRATION, RiskModel, load_bundle
from TemporalGliomaRisk.encode.days import DAY_FEATURES
from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel
from TemporalGliomaRisk.encode.reference import ReferenceConfig
from TemporalGliomaRisk.evaluate.observer import (
    Rule,
    by_worst_lesion,
    current_status_score,
    growth_rule_score,
    ideal_observer_score,
)
from TemporalGliomaRisk.files import read_json, write_json_whole, written_whole
from TemporalGliomaRisk.learn.agreement import agreeing
from TemporalGliomaRisk.learn.background import DayRows, fit_whole
from TemporalGliomaRisk.learn.export import fit_both
from TemporalGliomaRisk.learn.feature_store import cache_features, load_features
from TemporalGliomaRisk.learn.finetune import FinetuneConfig, finetune_head
from TemporalGliomaRisk.learn.finetune_reference import ReferenceTrainingConfig, finetune_reference
from TemporalGliomaRisk.learn.implanted_timelines import TimelineImplantConfig, with_implants
from TemporalGliomaRisk.learn.pretrain import PretrainConfig, pretrain
from TemporalGliomaRisk.learn.score_reference import TrainedReference, calibrate_reference, load_reference
from TemporalGliomaRisk.learn.scoring import (
    EncodedVisit,
    encoded_visits,
    score_by_model,
    score_patient,
    visit_days,
)
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.ensemble import TimelineRisk
from TemporalGliomaRisk.risk.hazards import INTERVALS, horizon_hazard

SHIPPED, SINGLE, SHUFFLED_VISITS = "evidence, shipped", "single visit", "evidence, shuffled visits"
DATES, REFERENCE = "dates and number of visits", "reference"
RULES: Mapping[str, Rule] = {
    "ideal observer": ideal_observer_score,
    "growth rule": growth_rule_score,
    "current status": current_status_score,
}
"""They rank and give no probability."""
PREPROCESSING = PreprocessConfig(register="never")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a row of the table came to be.

    Every variant is one head on a network of 32 channels and 3 convolutions, from one seed; the shipped model is an
    ensemble on 48 and 4, trained longer and on two populations. After pretraining the encoder stays as it is: a random
    one is a frozen one, and nothing here is trained from scratch end to end but the reference model.

    Args:
        truth: Whether growth maps of the simulator teach encoder and head; with them pretraining also sees implants,
            draws pairs by their growth, and fine-tuning is told where hazard should lie.
        order_weight: Of the ordering task.
        pretrained: Whether the encoder learns at all before its features are cached.
        shuffled: Whether outcomes are exchanged among the training patients and among those who are watched.
        implants: Whether fine-tuning also learns from implanted timelines; they need no growth maps.
        encoder: Variant whose encoder it shares, since it differs only after pretraining; its own if None.
        patients: It learns from so many; from all if None.
    """

    truth: bool
    order_weight: float = PretrainConfig.order_weight
    pretrained: bool = True
    shuffled: bool = False
    implants: bool = True
    encoder: str | None = None
    patients: int | None = None


VARIANTS = {
    "random encoder": Variant(truth=False, pretrained=False),
    "ordering": Variant(truth=False),
    "growth maps": Variant(truth=True, order_weight=0.0),
    "both": Variant(truth=True),
    # Beside the reference model, which learns from outcomes alone:
    "random encoder, no implanted timelines": Variant(
        truth=False, pretrained=False, implants=False, encoder="random encoder"
    ),
    "ordering, no implanted timelines": Variant(truth=False, implants=False, encoder="ordering"),
    # A control: nothing but outcomes could have told this row who recurs.
    "ordering, shuffled outcomes": Variant(truth=False, shuffled=True, implants=False, encoder="ordering"),
}
LEARNING = ("random encoder", "ordering", "growth maps", "both")
"""Rows that are redone with fewer patients."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is learnt.

    Args:
        updates: Of pretraining.
        passes: Largest number over all training patients, of every network; a row with fewer patients goes over them
            as much more often, and waits as much longer for a better likelihood, so that all have as many updates.
        reference_stride: Of the reference model's first convolution, on volumes pooled by 2: with 1 its later layers
            see cells of the same mm as in the ResNet paper, with 2 it costs an eighth.
    """

    updates: int
    passes: int
    reference_stride: int = 1


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where variants are trained and kept.

    Args:
        folder: Holds a folder a variant.
        sizes: How much is learnt.
        train: Patients to learn from.
        validation: Patients to watch and to calibrate on.
    """

    folder: Path
    sizes: Sizes
    train: Sequence[StoredPatient]
    validation: Sequence[StoredPatient]

    def of(self, name: str) -> Path:
        """A variant's folder."""
        return self.folder / name.replace(", ", "-").replace(" ", "-")

    def is_trained(self, name: str) -> bool:
        """Whether a variant is; its calibration is written last."""
        return (self.of(name) / CALIBRATION).exists()

    def calibration(self, name: str) -> Calibration:
        """Of a variant that is trained."""
        content = read_json(self.of(name) / CALIBRATION, damaged=f"The row {name} is damaged; train it anew.")
        return configs.from_json(Calibration, content)


class DatesOnly(nn.Module):
    """Hazards from the days and the number of visits so far, without any image: what follow-up itself gives away."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(DAY_FEATURES + 1, 16), nn.Linear(16, INTERVALS)
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor(EvidenceConfig.prior_interval_hazards).log())

    def forward(self, days: Tensor, visits_so_far: Tensor) -> Tensor:
        """(rows, day features) and (rows,) to (rows, 4) interval hazards."""
        so_far = visits_so_far.to(days.dtype).log()[:, None]
        hazards: Tensor = self.last(nn.functional.gelu(self.hidden(torch.cat([days, so_far], dim=1)))).exp()
        return hazards


def train_variant(name: str, variant: Variant, shop: Workshop) -> None:
    """Pretrain, cache, fine-tune and calibrate one variant, going on where an earlier run stopped."""
    folder, encoder = shop.of(name), shop.of(variant.encoder or name)
    if shop.is_trained(name):
        return
    train = shop.train[: variant.patients]
    seen, watched = (_as_known(part, truth=variant.truth) for part in (train, shop.validation))
    updates = shop.sizes.updates if variant.pretrained else 0
    settings = PretrainConfig(updates=updates, order_weight=variant.order_weight, validate_every=500, bfloat16=True)
    pair = pretrain(seen, watched, encoder / "pretrain", model_config=EvidenceConfig(), config=settings)
    times = max(1, round(len(shop.train) / len(train)))
    config = FinetuneConfig(
        epochs=times * shop.sizes.passes,
        patience=times * FinetuneConfig.patience,
        # Where no growth map taught it the growth head says nothing yet.
        growth_gain=FinetuneConfig.growth_gain * variant.truth,
        implants=TimelineImplantConfig(share=TimelineImplantConfig.share * variant.implants),
    )
    seen, watched = (agreeing(part, config.least_agreement) for part in (seen, watched))
    implanted = with_implants(seen, config.implants, grid_mm=PREPROCESSING.grid_mm, seed=1)
    cache_features(pair, (*seen, *watched, *implanted), encoder / "features", config.sampling, seed=1)
    load = lru_cache(maxsize=None)(partial(load_features, encoder / "features"))
    if variant.shuffled:
        seen, watched = _outcomes_exchanged(seen), _outcomes_exchanged(watched)
    head = finetune_head(pair, (*seen, *implanted), watched, load, folder / "head.safetensors", config=config)
    network = EvidenceModel(EvidenceConfig(), 1)
    network.encoder.load_state_dict(pair.encoder.state_dict())
    network.members[0].load_state_dict(head.state_dict())
    network.eval()
    plain = Calibration()
    scored = [
        row.without_map()
        for patient in watched
        for row in score_patient(network, patient, calibration=plain, single_visit_calibration=plain)
    ]
    with written_whole(folder / "network.safetensors") as temporary:
        save_file(network.state_dict(), str(temporary))
    write_json_whole(folder / CALIBRATION, configs.to_json(fit_both(scored)[0]))


def _as_known(patients: Sequence[StoredPatient], *, truth: bool) -> list[StoredPatient]:
    """The patients with their growth maps, or as a hospital knows them."""
    return list(patients) if truth else [replace(patient, lesions=None) for patient in patients]


def _outcomes_exchanged(patients: list[StoredPatient]) -> list[StoredPatient]:
    """Outcomes of other patients; visits on or after the day on which such a follow-up ends are left out."""
    order = np.random.default_rng(1).permutation(len(patients))
    exchanged = []
    for patient, other in zip(patients, (patients[place] for place in order), strict=True):
        kept = int((patient.days_since_first < other.follow_up_days).sum())
        exchanged.append(
            replace(
                patient,
                event_observed=other.event_observed,
                follow_up_days=other.follow_up_days,
                days_since_first=patient.days_since_first[:kept],
                days_since_treatment=patient.days_since_treatment[:kept],
                present=patient.present[:kept],
            )
        )
    return exchanged


def train_dates(shop: Workshop) -> None:
    """The row that sees no image, to the end of what days can teach; nothing in it is left to calibrate."""
    torch.manual_seed(1)
    network = DatesOnly()
    path = shop.of(DATES) / "network.safetensors"
    if path.exists():
        return
    learnt, watched = (DayRows.of(part) for part in (shop.train, shop.validation))
    fit_whole(
        network,
        lambda: learnt.mean_loss(network(learnt.days, learnt.visits_so_far)),
        lambda: watched.mean_loss(network(watched.days, watched.visits_so_far)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        save_file(network.state_dict(), str(temporary))


def train_reference(shop: Workshop) -> None:
    """The published architecture, from outcomes alone."""
    built = ReferenceConfig(norm="group", first_stride=shop.sizes.reference_stride)
    config = ReferenceTrainingConfig(model=built, epochs=shop.sizes.passes)
    model = finetune_reference(shop.train, shop.validation, shop.of(REFERENCE), config=config)
    calibrate_reference(model, shop.validation, shop.of(REFERENCE), config=config)


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """What each row says of a patient; networks are read when they are first asked.

    Args:
        shop: Where the variants are.
        variants: The rows that were trained, by name.
        model: Folder of the shipped bundle.
    """

    shop: Workshop
    variants: Mapping[str, Variant]
    model: Path

    @torch.inference_mode()
    def scores(self, patient: StoredPatient, number: int, wanted: Sequence[str]) -> dict[str, list[float]]:
        """Of the rows wanted: (visits,) risks, or scores where it is a rule; ``number`` seeds a reader's errors."""
        found = dict(self._by_variants(patient, wanted))
        if DATES in wanted:
            hazards = self._dates(visit_days(patient), torch.arange(1, patient.visits + 1))
            found[DATES] = [float(risk) for risk in -torch.expm1(-horizon_hazard(hazards))]
        if REFERENCE in wanted:
            found[REFERENCE] = self._reference.risks(patient)
        if {SHIPPED, SINGLE, SHUFFLED_VISITS} & set(wanted):
            found |= self._by_shipped(patient, number, wanted)
        found |= {name: _by_worst_lesion(rule, patient, number) for name, rule in RULES.items() if name in wanted}
        return found

    def _by_variants(self, patient: StoredPatient, wanted: Sequence[str]) -> Iterator[tuple[str, list[float]]]:
        """A patient is encoded once for all variants with one encoder."""
        encoded: dict[str, list[EncodedVisit]] = {}
        for name, variant in self.variants.items():
            if name not in wanted:
                continue
            if name not in self._networks:
                self._networks[name] = self._trained(name)
            network, calibration = self._networks[name]
            encoder = variant.encoder or name
            if encoder not in encoded:
                encoded[encoder] = list(encoded_visits(network, patient))
            rows = score_patient(
                network,
                patient,
                calibration=calibration,
                single_visit_calibration=calibration,
                encoded=encoded[encoder],
            )
            yield name, [row.hazards.risk for row in rows]

    def _trained(self, name: str) -> tuple[EvidenceModel, Calibration]:
        network = EvidenceModel(EvidenceConfig(), 1)
        network.load_state_dict(load_file(str(self.shop.of(name) / "network.safetensors")))
        return network.eval(), self.shop.calibration(name)

    @cached_property
    def _networks(self) -> dict[str, tuple[EvidenceModel, Calibration]]:
        return {}

    @cached_property
    def _reference(self) -> TrainedReference:
        return load_reference(self.shop.of(REFERENCE))

    @cached_property
    def _dates(self) -> DatesOnly:
        network = DatesOnly()
        network.load_state_dict(load_file(str(self.shop.of(DATES) / "network.safetensors")))
        return network.eval()

    @cached_property
    def _shipped(self) -> RiskModel:
        return load_bundle(self.model)

    def _by_shipped(self, patient: StoredPatient, number: int, wanted: Sequence[str]) -> dict[str, list[float]]:
        model = self._shipped
        encoded = list(encoded_visits(model.network, patient))
        rows = score_by_model(model, patient, encoded)
        found = {
            SHIPPED: [row.hazards.risk for row in rows],
            SINGLE: [row.hazards.single_visit_risk for row in rows],
        }
        if SHUFFLED_VISITS in wanted:
            found[SHUFFLED_VISITS] = _risks_of_shuffled_visits(model, encoded, number)
        return {name: risks for name, risks in found.items() if name in wanted}


def _risks_of_shuffled_visits(model: RiskModel, encoded: Sequence[EncodedVisit], number: int) -> list[float]:
    """Risk at every landmark where the pictures up to it are exchanged among their dates.

    What is left of the ranking then does not come from the order of the pictures.
    """
    random, found = np.random.default_rng([2, number]), []
    for visits in range(1, len(encoded) + 1):
        running = TimelineRisk(model.network, model.calibration, model.single_visit_calibration)
        pictures = random.permutation(visits)
        for (_, _, days), picture in zip(encoded, pictures, strict=False):
            features, present, _ = encoded[int(picture)]
            hazards = running.see(features, present, days)
        found.append(hazards.risk)
    return found


def _by_worst_lesion(rule: Rule, patient: StoredPatient, number: int) -> list[float]:
    """A rule's scores at the patient's visits, by the lesion that looks worst, each lesion judged on its own."""
    truth = patient.truth or {"visits": [{"lesion_diameters_mm": {}}] * patient.visits}
    diameters = [visit["lesion_diameters_mm"] for visit in truth["visits"][: patient.visits]]
    scores = by_worst_lesion(rule, diameters, patient.days_since_first, np.random.default_rng([1, number]))
    return [float(score) for score in scores]


def read_scores(path: Path) -> dict[str, list[float]]:
    """A patient's scores so far, by row; none where there is no file."""
    found: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found
