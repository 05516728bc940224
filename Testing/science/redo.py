"""Every row of the results, redone: simulate, train each variant, score all on the same patients, compare in pairs.

    make science                          all of it: some nights on two cores
    make science SCALE=0.02               the same way with a fiftieth of the patients and updates, to see that it runs

Each row is one model on the same landmark rows of the same test patients, on the simulator's main population and on
its shifted one, which nothing here learns from. Variants differ in one thing each; every one has one head, its own
calibration, and the validation patients of all. Run again with the same folder, it goes on where it stopped.
"""

# ruff: noqa: T201 (a script: it prints what it finds)

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.encode.days import DAY_FEATURES
from TemporalGliomaRisk.encode.evidence import EvidenceConfig, EvidenceModel
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.observer import (
    Rule,
    by_worst_lesion,
    current_status_score,
    growth_rule_score,
    ideal_observer_score,
)
from TemporalGliomaRisk.evaluate.table import EvaluationConfig, compare_risks, evaluate_risks, format_table
from TemporalGliomaRisk.files import write_json_whole, write_text_whole
from TemporalGliomaRisk.learn.agreement import agreeing
from TemporalGliomaRisk.learn.cohort import read_cohort, split_patients
from TemporalGliomaRisk.learn.concordance import torchsurv_concordance
from TemporalGliomaRisk.learn.export import fit_both
from TemporalGliomaRisk.learn.feature_store import cache_features, load_features
from TemporalGliomaRisk.learn.finetune import FinetuneConfig, finetune_head
from TemporalGliomaRisk.learn.finetune_reference import ReferenceTrainingConfig, finetune_reference
from TemporalGliomaRisk.learn.implanted_timelines import TimelineImplantConfig, with_implants
from TemporalGliomaRisk.learn.likelihood_training import Learner, train_by_likelihood
from TemporalGliomaRisk.learn.prepared_store import prepare_cohort
from TemporalGliomaRisk.learn.pretrain import PretrainConfig, pretrain
from TemporalGliomaRisk.learn.score_reference import calibrate_reference
from TemporalGliomaRisk.learn.scoring import (
    ScoredVisit,
    encoded_visits,
    landmark_columns,
    score_patient,
    score_patients,
    visit_days,
)
from TemporalGliomaRisk.learn.stored_patient import StoredPatient, load_patient
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.risk.calibration import Calibration
from TemporalGliomaRisk.risk.ensemble import TimelineRisk
from TemporalGliomaRisk.risk.hazards import INTERVALS, horizon_hazard, negative_log_likelihood

TRAIN_SEED, TEST_SEED = 20261, 777001
LEARNING_SIZES = (50, 100, 200)
Risks = Callable[[StoredPatient], Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a row of the table came to be; all else is as in the shipped recipe.

    Args:
        truth: Whether growth maps of the simulator teach encoder and head.
        order_weight: Of the ordering task.
        pretrained: Whether the encoder learns at all before its features are cached.
        shuffled: Whether outcomes are exchanged among the training patients.
        implants: Whether fine-tuning also learns from implanted timelines; they need no growth maps.
        encoder: Variant whose encoder it shares, since it differs only after pretraining; its own if None.
    """

    truth: bool
    order_weight: float = PretrainConfig.order_weight
    pretrained: bool = True
    shuffled: bool = False
    implants: bool = True
    encoder: str | None = None


VARIANTS = {
    "random encoder": Variant(truth=False, pretrained=False),
    "ordering": Variant(truth=False),
    "growth maps": Variant(truth=True, order_weight=0.0),
    "both": Variant(truth=True),
    "both, no implanted timelines": Variant(truth=True, implants=False, encoder="both"),
    "both, shuffled outcomes": Variant(truth=True, shuffled=True, implants=False, encoder="both"),
}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of a whole redoing, times a factor, with a floor under which nothing could be trained.

    Args:
        factor: 1 for the whole.
    """

    factor: float

    def of(self, whole: int, least: int) -> int:
        """A size, scaled."""
        return max(least, round(whole * self.factor))


class DatesOnly(nn.Module):
    """Hazards from the days alone, without any image: what follow-up itself gives away."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(DAY_FEATURES, 16), nn.Linear(16, INTERVALS)
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor(EvidenceConfig.prior_interval_hazards).log())

    def forward(self, days: Tensor) -> Tensor:
        """(visits, day features) to (visits, 4) interval hazards."""
        hazards: Tensor = self.last(nn.functional.gelu(self.hidden(days))).exp()
        return hazards


def main(arguments: argparse.Namespace) -> int:
    """Redo everything and write the numbers."""
    scale, out = Scale(factor=arguments.scale), arguments.output
    torch.set_num_threads(arguments.threads)
    train, validation = _training_patients(out, scale, arguments)
    rows: dict[str, Risks] = {"dates and number of visits": _dates_only(train, validation, out)}
    for name, variant in VARIANTS.items():
        rows[name] = _trained(name, variant, train, validation, out, scale)
    for size in LEARNING_SIZES:
        if size < len(train):
            for name in ("random encoder", "ordering", "growth maps", "both"):
                label = f"{name}, {size} patients"
                rows[label] = _trained(label, VARIANTS[name], train[:size], validation, out, scale)
    rows["reference"] = _reference(train, validation, out, scale)
    model = load_bundle(arguments.model)
    found: dict[str, Any] = {"scale": arguments.scale, "model": model.name, "training_patients": len(train)}
    for population in ("main", "shifted"):
        patients = _test_patients(out, population, scale, arguments)
        found[population] = _measured(patients, rows, model, arguments)
        write_json_whole(out / "science.json", found)
    write_text_whole(out / "science.md", _as_text(found))
    print((out / "science.md").read_text(encoding="utf-8"))
    return 0


def _training_patients(
    out: Path, scale: Scale, arguments: argparse.Namespace
) -> tuple[list[StoredPatient], list[StoredPatient]]:
    cohort = _simulated(out / "train", "main", TRAIN_SEED, scale.of(1300, 40), arguments.jobs)
    parts = split_patients(read_cohort(cohort), seed=1, fractions=(0.85, 0.15, 0.0))
    folder = out / "prepared" / "train"
    prepare_cohort((*parts["train"], *parts["validation"]), folder, _preprocessing(), jobs=arguments.jobs)
    train, validation = (
        [load_patient(folder, patient.patient_id) for patient in parts[part]] for part in ("train", "validation")
    )
    return train, validation


def _test_patients(out: Path, population: str, scale: Scale, arguments: argparse.Namespace) -> list[StoredPatient]:
    cohort = _simulated(out / f"test-{population}", population, TEST_SEED, scale.of(1500, 30), arguments.jobs)
    folder = out / "prepared" / f"test-{population}"
    patients = read_cohort(cohort)
    prepare_cohort(patients, folder, _preprocessing(), jobs=arguments.jobs)
    return [load_patient(folder, patient.patient_id) for patient in patients]


def _preprocessing() -> PreprocessConfig:
    return PreprocessConfig(register="never")


def _simulated(folder: Path, population: str, seed: int, patients: int, jobs: int) -> Path:
    command = [sys.executable, "-m", "TemporalGliomaRisk", "simulate", "--population", population]
    command += ["--patients", str(patients), "--seed", str(seed), "--jobs", str(jobs), "--output", str(folder)]
    subprocess.run(command, check=True)
    return folder


def _trained(
    name: str,
    variant: Variant,
    train: list[StoredPatient],
    validation: list[StoredPatient],
    out: Path,
    scale: Scale,
) -> Risks:
    """Pretrain, cache, fine-tune and calibrate one variant, going on where an earlier run stopped."""
    folder = out / "variants" / name.replace(", ", "-").replace(" ", "-")
    seen = train if variant.truth else [replace(patient, lesions=None) for patient in train]
    watched = validation if variant.truth else [replace(patient, lesions=None) for patient in validation]
    updates = scale.of(7000, 20) if variant.pretrained else 0
    settings = PretrainConfig(updates=updates, order_weight=variant.order_weight, validate_every=500, bfloat16=True)
    encoder = out / "variants" / variant.encoder if variant.encoder else folder
    pair = pretrain(seen, watched, encoder / "pretrain", model_config=EvidenceConfig(), config=settings)
    config = FinetuneConfig(
        epochs=scale.of(30, 2), implants=TimelineImplantConfig(share=TimelineImplantConfig.share * variant.implants)
    )
    seen, watched = (agreeing(part, config.least_agreement) for part in (seen, watched))
    implanted = with_implants(seen, config.implants, grid_mm=_preprocessing().grid_mm, seed=1)
    cache_features(pair, (*seen, *watched, *implanted), encoder / "features", config.sampling, seed=1)
    load = lru_cache(maxsize=None)(partial(load_features, encoder / "features"))
    if variant.shuffled:
        seen = _outcomes_exchanged(seen)
        config = replace(config, place_weight=0.0)
    head = finetune_head(pair, (*seen, *implanted), watched, load, folder / "head.safetensors", config=config)
    network = EvidenceModel(EvidenceConfig(), 1)
    network.encoder.load_state_dict(pair.encoder.state_dict())
    network.members[0].load_state_dict(head.state_dict())
    network.eval()
    plain = Calibration()
    scored = score_patients(network, watched, calibration=plain, single_visit_calibration=plain)
    calibration, single = fit_both(scored)
    print(f"{name}: trained; {calibration}", flush=True)
    return lambda patient: [
        row.hazards.risk
        for row in score_patient(network, patient, calibration=calibration, single_visit_calibration=single)
    ]


def _outcomes_exchanged(patients: list[StoredPatient]) -> list[StoredPatient]:
    """Outcomes of other patients; a follow-up that ends before the last visit is carried past it by a day."""
    order = np.random.default_rng(1).permutation(len(patients))
    return [
        replace(
            patient,
            event_observed=patients[other].event_observed,
            follow_up_days=max(patients[other].follow_up_days, float(patient.days_since_first[-1]) + 1),
        )
        for patient, other in zip(patients, order, strict=True)
    ]


def _dates_only(train: list[StoredPatient], validation: list[StoredPatient], out: Path) -> Risks:
    torch.manual_seed(1)
    network = DatesOnly()

    def losses(patient: StoredPatient) -> Tensor:
        event = torch.full((patient.visits,), patient.event_observed)
        hazards = network(visit_days(patient))
        return negative_log_likelihood(hazards, torch.from_numpy(patient.days_to_end).float(), event)

    def backward(patients: Sequence[StoredPatient], randoms: Sequence[torch.Generator]) -> Tensor:
        found = torch.cat([losses(patient) for patient in patients])
        found.mean().backward()  # type: ignore[no-untyped-call]
        return found.detach()

    learner = Learner(network=network, backward=backward, row_losses=losses)
    path = out / "variants" / "dates-only" / "head.safetensors"
    train_by_likelihood(learner, train, validation, path, config=FinetuneConfig())

    @torch.no_grad()
    def risks(patient: StoredPatient) -> list[float]:
        return [float(risk) for risk in -torch.expm1(-horizon_hazard(network(visit_days(patient))))]

    return risks


def _reference(train: list[StoredPatient], validation: list[StoredPatient], out: Path, scale: Scale) -> Risks:
    folder = out / "variants" / "reference"
    config = ReferenceTrainingConfig(epochs=scale.of(30, 1), bfloat16=True)
    model = finetune_reference(train, validation, folder, config=config)
    return calibrate_reference(model, validation, folder, config=config).risks


def _measured(
    patients: list[StoredPatient], trained: dict[str, Risks], model: RiskModel, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Every row's numbers on these patients, and its paired difference to the shipped model."""
    risks: dict[str, list[float]] = {name: [] for name in ("evidence, shipped", "single visit", *trained)}
    risks["evidence, shuffled visits"] = []
    rules = {
        "ideal observer": ideal_observer_score,
        "growth rule": growth_rule_score,
        "current status": current_status_score,
    }
    scores: dict[str, list[float]] = {name: [] for name in rules}
    rows: list[ScoredVisit] = []
    for number, patient in enumerate(patients):
        shipped = _shipped(model, patient)
        rows += shipped
        risks["evidence, shipped"] += [row.hazards.risk for row in shipped]
        risks["single visit"] += [row.hazards.single_visit_risk for row in shipped]
        risks["evidence, shuffled visits"] += _risks_of_shuffled_visits(model, patient, number)
        for name, give in trained.items():
            risks[name] += give(patient)
        for name, rule in rules.items():
            scores[name] += _by_the_worst_lesion(rule, patient, number)
    landmarks = LandmarkRows(**landmark_columns(rows))
    config = EvaluationConfig(
        bootstrap=BootstrapConfig(resamples=arguments.resamples, seed=1), concordance=torchsurv_concordance
    )
    ranks = replace(config, probabilities=False)
    ours = np.array(risks["evidence, shipped"])
    found = {name: evaluate_risks(np.array(numbers), landmarks, config) for name, numbers in risks.items()}
    found |= {name: evaluate_risks(np.array(numbers), landmarks, ranks) for name, numbers in scores.items()}
    others = {name: numbers for name, numbers in risks.items() if name != "evidence, shipped"}
    return {
        "patients": len(patients),
        "rows": found,
        "shipped_less": {
            name: compare_risks(ours, np.array(other), landmarks, config) for name, other in others.items()
        },
        "ordering_gain": _gains(risks, landmarks, config),
    }


def _gains(risks: dict[str, list[float]], landmarks: LandmarkRows, config: EvaluationConfig) -> dict[str, Any]:
    """What the ordering task adds at each number of training patients, with and without truth maps."""
    pairs = [("ordering", "random encoder"), ("both", "growth maps")]
    endings = ["", *(f", {size} patients" for size in LEARNING_SIZES)]
    return {
        f"{more} less {less}{ending}": compare_risks(
            np.array(risks[more + ending]), np.array(risks[less + ending]), landmarks, config
        )
        for more, less in pairs
        for ending in endings
        if more + ending in risks
    }


def _shipped(model: RiskModel, patient: StoredPatient) -> list[ScoredVisit]:
    return score_patient(
        model.network,
        patient,
        calibration=model.calibration,
        single_visit_calibration=model.single_visit_calibration,
    )


@torch.inference_mode()
def _risks_of_shuffled_visits(model: RiskModel, patient: StoredPatient, number: int) -> list[float]:
    """Risk at every landmark where the pictures up to it are exchanged among their dates.

    What is left of the ranking then does not come from the order of the pictures.
    """
    random, found = np.random.default_rng([2, number]), []
    encoded = list(encoded_visits(model.network, patient))
    for visits in range(1, patient.visits + 1):
        running = TimelineRisk(model.network, model.calibration, model.single_visit_calibration)
        pictures = random.permutation(visits)
        for (_, _, days), picture in zip(encoded, pictures, strict=False):
            features, present, _ = encoded[int(picture)]
            hazards = running.see(features, present, days)
        found.append(hazards.risk)
    return found


def _by_the_worst_lesion(rule: Rule, patient: StoredPatient, number: int) -> list[float]:
    """A rule's scores at the patient's visits, by the lesion that looks worst, each lesion judged on its own."""
    truth = patient.truth or {"visits": [{"lesion_diameters_mm": {}}] * patient.visits}
    diameters = [visit["lesion_diameters_mm"] for visit in truth["visits"][: patient.visits]]
    scores = by_worst_lesion(rule, diameters, patient.days_since_first, np.random.default_rng([1, number]))
    return [float(score) for score in scores]


def _as_text(found: dict[str, Any]) -> str:
    """One line a row of the table, all visits and four or more, for each population."""
    parts = [f"Scale {found['scale']}, {found['training_patients']} training patients, model {found['model']}."]
    for population in ("main", "shifted"):
        measured = found[population]
        groups = []
        for name, result in measured["rows"].items():
            groups += [
                {**group, "name": f"{name}: {group['name']}"}
                for group in result["groups"]
                if group["name"] in ("all", "4 or more")
            ]
        parts.append(f"## {population}, {measured['patients']} patients\n\n" + format_table(groups, ("auroc", "auprc")))
    return "\n\n".join(parts) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of everything made and measured")
    parser.add_argument("--scale", type=float, default=1.0, help="share of patients, updates and passes")
    parser.add_argument("--model", type=Path, default=resource_path(DEFAULT_MODEL), help="the shipped bundle")
    parser.add_argument("--jobs", type=int, default=2, help="processes for simulating and preparing")
    parser.add_argument("--threads", type=int, default=2, help="threads of the networks")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap over patients")
    return parser


if __name__ == "__main__":
    sys.exit(main(_parser().parse_args()))
