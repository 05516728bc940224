"""Every row of the results, redone: simulate, train each variant, score all on the same patients, compare in pairs.

    make science                          all of it: some nights on two cores
    make science SCALE=0.02               the same way with a fiftieth of the patients and updates, to see that it runs

Each row is one model on the same landmark rows of the same test patients, on the simulator's main population and on
its shifted one, which nothing here learns from. A variant (``redo_rows.py``) has one head, its own calibration, and the
validation patients of all. Run again with the same folder, it goes on where it stopped: variants that are trained stay,
patients that were scored are scored for new rows only, and for those that were trained anew. ``--rows`` asks for some
of the rows.
"""

# ruff: noqa: T201 (a script: it prints what it finds)

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from redo_rows import (
    DATES,
    LEARNING,
    PREPROCESSING,
    REFERENCE,
    RULES,
    SHIPPED,
    SHUFFLED_VISITS,
    SINGLE,
    VARIANTS,
    Scorer,
    Sizes,
    Variant,
    Workshop,
    read_scores,
    train_dates,
    train_reference,
    train_variant,
)

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.bundle import CALIBRATION, WEIGHTS, load_bundle
from TemporalGliomaRisk.errors import GliomaRiskError, UsageError
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.table import EvaluationConfig, compare_risks, evaluate_risks, format_table
from TemporalGliomaRisk.files import read_json, sha256_of, write_json_whole, write_text_whole
from TemporalGliomaRisk.learn.checkpoints import begin_with
from TemporalGliomaRisk.learn.cohort import read_cohort, split_patients
from TemporalGliomaRisk.learn.concordance import torchsurv_concordance
from TemporalGliomaRisk.learn.finetune_reference import FINAL, ReferenceTrainingConfig
from TemporalGliomaRisk.learn.prepared_store import prepare_cohort
from TemporalGliomaRisk.learn.stored_patient import load_patient
from TemporalGliomaRisk.processes import processes
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path

TRAIN_SEED, TEST_SEED = 20261, 900011
LEARNING_SIZES = (50, 100, 200)
POPULATIONS = ("main", "shifted")
REFERENCE_MM = ReferenceTrainingConfig.pooling * PREPROCESSING.grid_mm
SCORED_WITH = "weights.json"
WEIGHTS_OF_A_ROW = ("network.safetensors", FINAL, CALIBRATION)
"""Beside a population's scores, of which weights they are; and what of a row's folder makes its scores."""
OTHERS = (DATES, REFERENCE, SHIPPED, SINGLE, SHUFFLED_VISITS, *RULES)
"""Rows beside the variants."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is made, the same in every run of a folder.

    Args:
        patients: Simulated to learn from and to watch.
        test_patients: Simulated to test on, a population.
        sizes: How much is learnt.
        learning_sizes: Numbers of training patients at which the gain of ordering is measured, beside all.
    """

    patients: int
    test_patients: int
    sizes: Sizes
    learning_sizes: tuple[int, ...] = LEARNING_SIZES

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Plan:
        """By the scale, but where a number is given: never less than something can be trained with."""

        def size(given: int | None, whole: int, least: int) -> int:
            return max(least, round(whole * arguments.scale)) if given is None else given

        return cls(
            patients=size(arguments.patients, 1300, 40),
            test_patients=size(arguments.test_patients, 1500, 30),
            sizes=Sizes(
                updates=size(arguments.updates, 7000, 20),
                passes=size(arguments.passes, 30, 2),
                reference_stride=arguments.reference_stride,
            ),
            learning_sizes=tuple(arguments.learning_sizes),
        )

    def variants(self, train: int) -> dict[str, Variant]:
        """Every row that is trained as a variant, with so many patients to learn from."""
        found = dict(VARIANTS)
        for size in self.learning_sizes:
            for name in LEARNING if size < train else ():
                # An encoder that learns nothing is the same for any number of patients.
                shared = name if not VARIANTS[name].pretrained else None
                found[f"{name}, {size} patients"] = replace(VARIANTS[name], patients=size, encoder=shared)
        return found


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """The model that the rows of the shipped one are made with.

    Args:
        sha256: Of its weights.
    """

    sha256: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """The folder of everything.

    Args:
        out: It.
        plan: What is made in it.
        model: Folder of the shipped bundle.
    """

    out: Path
    plan: Plan
    model: Path

    def workshop(self) -> Workshop:
        """Training and validation patients, prepared earlier, voxels mapped."""
        parts = split_patients(read_cohort(self.out / "train"), seed=1, fractions=(0.85, 0.15, 0.0))
        train, validation = (
            [load_patient(self.out / "prepared" / "train", patient.patient_id) for patient in parts[part]]
            for part in ("train", "validation")
        )
        return Workshop(folder=self.out / "variants", sizes=self.plan.sizes, train=train, validation=validation)

    @property
    def known_rows(self) -> list[str]:
        """Names of all rows that there could be, in the order of the table."""
        return [*self.plan.variants(self.plan.patients), *OTHERS]

    def scorer(self) -> Scorer:
        """All rows."""
        shop = self.workshop()
        return Scorer(shop=shop, variants=self.plan.variants(len(shop.train)), model=self.model)


def main(arguments: argparse.Namespace) -> int:
    """Redo what was asked for and write the numbers."""
    place = Place(out=arguments.output, plan=Plan.of(arguments), model=arguments.model)
    # As many rows as there could be: how many patients learn is not known yet.
    known = place.known_rows
    if not set(arguments.rows or ()) <= set(known):
        raise UsageError(f"Wanted --rows of: {'; '.join(known)}. Got: {'; '.join(arguments.rows)}.")
    begin_with(place.out / "plan.json", place.plan, what="What is redone in this folder")
    shipped = Shipped(sha256=sha256_of(place.model / WEIGHTS))
    begin_with(place.out / "shipped.json", shipped, what="What is redone in this folder, with another model,")
    _simulated(place.out / "train", "main", TRAIN_SEED, place.plan.patients, arguments.jobs)
    prepare_cohort(
        read_cohort(place.out / "train"), place.out / "prepared" / "train", PREPROCESSING, jobs=arguments.jobs
    )
    shop = place.workshop()
    variants = place.plan.variants(len(shop.train))
    wanted = [name for name in (*variants, *OTHERS) if name in (arguments.rows or known)]
    _train(place, wanted, variants, arguments.jobs)
    earlier = place.out / "science.json"
    found: dict[str, Any] = {
        **(read_json(earlier, damaged="science.json is damaged; remove it.") if earlier.exists() else {}),
        "plan": configs.to_json(place.plan),
        "model": load_bundle(place.model).name,
        "training_patients": len(shop.train),
        "validation_patients": len(shop.validation),
        # Of earlier runs' rows, too.
        "calibrations": {name: configs.to_json(shop.calibration(name)) for name in variants if shop.is_trained(name)},
    }
    for population in arguments.populations:
        found[population] = _measured(place, population, wanted, arguments)
        write_json_whole(place.out / "science.json", found)
    write_text_whole(place.out / "science.md", _as_text(found))
    print((place.out / "science.md").read_text(encoding="utf-8"))
    return 0


def _simulated(folder: Path, population: str, seed: int, patients: int, jobs: int) -> None:
    command = [sys.executable, "-m", "TemporalGliomaRisk", "simulate", "--population", population]
    command += ["--patients", str(patients), "--seed", str(seed), "--jobs", str(jobs), "--output", str(folder)]
    subprocess.run(command, check=True)


def _train(place: Place, wanted: Sequence[str], variants: Mapping[str, Variant], jobs: int) -> None:
    """Several rows at a time; those that share another's encoder after it."""
    first = [name for name in wanted if name in {DATES, REFERENCE, *variants}]
    first += [encoder for name in first if (encoder := _encoder_of(name, variants)) and encoder not in first]
    later = [name for name in first if _encoder_of(name, variants)]
    with processes(jobs, torch.set_num_threads, (1,)) as pool:
        for names in ([name for name in dict.fromkeys(first) if name not in later], later):
            for name in pool.map(partial(_train_one, place), names):
                print(f"{name}: trained", flush=True)


def _encoder_of(name: str, variants: Mapping[str, Variant]) -> str | None:
    """The row whose encoder a row shares."""
    return variants[name].encoder if name in variants else None


def _train_one(place: Place, name: str) -> str:
    shop = place.workshop()
    others: dict[str, Callable[[Workshop], None]] = {DATES: train_dates, REFERENCE: train_reference}
    if name in others:
        others[name](shop)
    else:
        train_variant(name, place.plan.variants(len(shop.train))[name], shop)
    return name


_scorers: dict[Path, Scorer] = {}
"""Of a process that scores: networks are read once."""


def _score_one(place: Place, population: str, wanted: Sequence[str], task: tuple[int, str]) -> str:
    """Score a patient for the rows that it lacks."""
    number, label = task
    path = place.out / "scored" / population / f"{label}.json"
    scores = read_scores(path)
    missing = [name for name in wanted if name not in scores]
    if missing:
        if place.out not in _scorers:
            _scorers[place.out] = place.scorer()
        patient = load_patient(place.out / "prepared" / f"test-{population}", label)
        write_json_whole(path, {**scores, **_scorers[place.out].scores(patient, number, missing)})
    return label


def forget_trained_anew(scored: Path, trained: Mapping[str, Path]) -> None:
    """Drop the scores of rows whose weights are others than those that they were scored with.

    Args:
        scored: Folder of a population's scores, a file a patient, made if need be.
        trained: Folder of each row that was trained.
    """
    scored.mkdir(parents=True, exist_ok=True)
    written = scored / SCORED_WITH
    before = read_json(written, damaged=f"{SCORED_WITH} is damaged; remove it.") if written.exists() else {}
    now = {
        name: {file: sha256_of(folder / file) for file in WEIGHTS_OF_A_ROW if (folder / file).exists()}
        for name, folder in trained.items()
    }
    anew = {name for name in now if before.get(name, now[name]) != now[name]}
    for path in scored.glob("sub-*.json") if anew else ():
        write_json_whole(path, {name: scores for name, scores in read_scores(path).items() if name not in anew})
    write_json_whole(written, {**before, **now})


def _measured(place: Place, population: str, wanted: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Every row's numbers on a population's test patients, and its paired difference to the shipped model."""
    cohort, folder = place.out / f"test-{population}", place.out / "prepared" / f"test-{population}"
    _simulated(cohort, population, TEST_SEED, place.plan.test_patients, arguments.jobs)
    patients = read_cohort(cohort)
    prepare_cohort(patients, folder, PREPROCESSING, jobs=arguments.jobs)
    labels = [patient.patient_id for patient in patients]
    shop = place.workshop()
    trained = [name for name in wanted if name in {DATES, REFERENCE, *place.plan.variants(len(shop.train))}]
    forget_trained_anew(place.out / "scored" / population, {name: shop.of(name) for name in trained})
    with processes(arguments.jobs, torch.set_num_threads, (1,)) as pool:
        score = partial(_score_one, place, population, tuple(wanted))
        for number, label in enumerate(pool.map(score, enumerate(labels)), 1):
            if number % 50 == 0 or number == len(labels):
                print(f"{population}: scored {number} of {len(labels)}, {label}", flush=True)
    scored = [read_scores(place.out / "scored" / population / f"{label}.json") for label in labels]
    stored = [load_patient(folder, label) for label in labels]
    rows = LandmarkRows.of_timelines(
        (one.days_since_first.tolist(), one.follow_up_days, one.event_observed) for one in stored
    )
    # Rows asked for in an earlier run are there, too.
    names = [name for name in place.known_rows if all(name in one for one in scored)]
    columns = {name: np.array([score for one in scored for score in one[name]]) for name in names}
    return compared(columns, rows, BootstrapConfig(resamples=arguments.resamples, seed=1), len(labels))


def compared(
    columns: Mapping[str, np.ndarray], rows: LandmarkRows, bootstrap: BootstrapConfig, patients: int
) -> dict[str, Any]:
    """Every row's table, what the shipped model has more, and what ordering adds.

    Args:
        columns: (rows,) of each, risks or a rule's scores.
        rows: What followed.
        bootstrap: How intervals are made.
        patients: Their number.
    """
    config = EvaluationConfig(bootstrap=bootstrap, concordance=torchsurv_concordance)
    ranks = replace(config, probabilities=False)
    risks = {name: values for name, values in columns.items() if name not in RULES}
    ours = risks.get(SHIPPED)
    return {
        "patients": patients,
        "rows": {
            name: evaluate_risks(values, rows, config if name in risks else ranks) for name, values in columns.items()
        },
        "shipped_less": {
            name: compare_risks(ours, other, rows, config)
            for name, other in risks.items()
            if ours is not None and name != SHIPPED
        },
        "ordering_gain": {
            f"{more} less {less}": compare_risks(risks[more], risks[less], rows, config)
            for more, less in _ordering_pairs(risks)
        },
    }


def _ordering_pairs(names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows with the ordering task and the same without, at each number of training patients."""
    without = {"ordering": "random encoder", "both": "growth maps"}
    pairs = []
    for name in names:
        variant, _, ending = name.partition(", ")
        if variant in without and (not ending or ending.endswith(" patients")):
            pairs.append((name, name.replace(variant, without[variant], 1)))
    return [(more, less) for more, less in pairs if less in names]


def _as_text(found: dict[str, Any]) -> str:
    """One line a row of the table, all visits and four or more, for each population; then what ordering adds."""
    plan = found["plan"]
    sizes = plan["sizes"]
    parts = [
        f"{found['training_patients']} training patients, {found['validation_patients']} to watch, {sizes['updates']} "
        f"updates of pretraining, {sizes['passes']} passes over all patients at most, and as many updates where there "
        f"are fewer; model {found['model']}.",
        f"The reference model sees voxels of {REFERENCE_MM:g} mm, its first convolution strides by "
        f"{sizes['reference_stride']}, and it learns end to end from outcomes alone. The shipped model learnt longer, "
        "from more patients and from two populations, and is an ensemble.",
        "Every row is one training; intervals are over test patients and hold nothing of another training's luck.",
    ]
    for population in POPULATIONS:
        if population not in found:
            continue
        measured = found[population]
        tables = {name: result["groups"] for name, result in measured["rows"].items()}
        parts.append(f"## {population}, {measured['patients']} patients\n\n" + _table(tables))
        if measured["ordering_gain"]:
            parts.append("What ordering adds, paired:\n\n" + _table(measured["ordering_gain"]))
    return "\n\n".join(parts) + "\n"


def _table(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    groups = [
        {**group, "name": f"{name}: {group['name']}"}
        for name, of in tables.items()
        for group in of
        if group["name"] in ("all", "4 or more")
    ]
    return format_table(groups, ("auroc", "auprc"))


def parser() -> argparse.ArgumentParser:
    """Of the script's options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--output", type=Path, required=True, help="folder of everything made and measured")
    made.add_argument("--scale", type=float, default=1.0, help="share of patients, updates and passes")
    made.add_argument("--patients", type=int, help="simulated to learn from, in place of the scale's number")
    made.add_argument("--test-patients", type=int, help="a population, likewise")
    made.add_argument("--updates", type=int, help="of pretraining, likewise")
    made.add_argument("--passes", type=int, help="of fine-tuning, likewise")
    made.add_argument("--reference-stride", type=int, choices=(1, 2), default=1, help="2: an eighth of its cost")
    made.add_argument("--learning-sizes", type=int, nargs="*", default=LEARNING_SIZES, help="training patients")
    made.add_argument("--populations", nargs="+", choices=POPULATIONS, default=POPULATIONS)
    made.add_argument("--rows", nargs="+", help="names of rows, all if left out; earlier ones stay in the table")
    made.add_argument("--model", type=Path, default=resource_path(DEFAULT_MODEL), help="the shipped bundle")
    made.add_argument("--jobs", type=int, default=2, help="processes, with one thread each")
    made.add_argument("--resamples", type=int, default=1000, help="of the bootstrap over patients")
    return made


if __name__ == "__main__":
    try:
        sys.exit(main(parser().parse_args()))
    except GliomaRiskError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
