"""Train the risk heads on whole timelines, or the reference model that they are measured against.

The encoder of ``evidence`` stays as ``pretrain`` left it and its features are cached, so its heads take minutes. The
``reference`` model learns end to end, on the processor, from volumes shrunk by ``--pooling``, and ends with its
calibration; ``evaluate --reference`` scores it. Run again with the same folder after an interruption, either goes on
where it stood. Started by torchrun, its processes share the patients to encode and the heads to train.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from TemporalGliomaRisk.commands import add_cohorts, add_device, add_jobs, tell, whole

if TYPE_CHECKING:
    from TemporalGliomaRisk.bundle import RiskModel
    from TemporalGliomaRisk.encode.evidence import HistoryHead
    from TemporalGliomaRisk.learn.finetune import FinetuneConfig
    from TemporalGliomaRisk.learn.ranks import Ranks
    from TemporalGliomaRisk.learn.run_folder import RunFolder
    from TemporalGliomaRisk.learn.stored_patient import StoredPatient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_cohorts(parser)
    parser.add_argument("--run", type=Path, required=True, dest="run_folder", help="folder of the run to go on with")
    parser.add_argument(
        "--architecture",
        choices=("evidence", "reference"),
        default="evidence",
        help="what is trained (default %(default)s)",
    )
    parser.add_argument(
        "--members", type=whole(1, 100), default=3, help="heads of the ensemble, evidence only (default %(default)s)"
    )
    parser.add_argument("--epochs", type=whole(1), default=30, help="largest number of passes (default %(default)s)")
    parser.add_argument(
        "--place-weight",
        type=float,
        default=0.2,
        help="weight, beside the likelihood, of the loss that says where the hazard should lie before an event, where "
        "the truth is known; evidence only (default %(default)s)",
    )
    parser.add_argument(
        "--implants",
        type=float,
        default=0.5,
        help="share of the patients without an event who are learnt from again, with a lesion of any size and course "
        "laid into their visits and the event that it means; evidence only (default %(default)s)",
    )
    parser.add_argument(
        "--implants-each",
        type=whole(1),
        default=1,
        help="how many times each of them is learnt from again, with a new lesion; evidence only (default %(default)s)",
    )
    parser.add_argument(
        "--heads-from",
        type=Path,
        metavar="MODEL",
        help="begin with the heads of a finished model, whose encoder this run must have kept (pretrain --start-from "
        "MODEL --updates 0); evidence only",
    )
    parser.add_argument(
        "--places",
        type=whole(1),
        default=4500,
        help="places of a brain whose features are kept, a third of them the foremost, the others sampled, of which a "
        "third is seen a pass; fewer take less memory, evidence only (default %(default)s)",
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=1e-3,
        help="the largest, evidence only (default %(default)s)",
    )
    parser.add_argument(
        "--least-agreement",
        type=float,
        default=0.6,
        help="leave out visits whose contrast agrees less than this (rank correlation) with that of the patient's "
        "other visits, as when one sequence is taken for another; evidence only (default %(default)s)",
    )
    parser.add_argument("--seed", type=whole(0), default=1, help="seed of the first head (default %(default)s)")
    parser.add_argument(
        "--pooling",
        type=whole(1),
        default=2,
        help="voxels averaged along each axis before the network, reference only (default %(default)s)",
    )
    add_device(parser, "evidence only")
    parser.add_argument(
        "--bfloat16",
        action="store_true",
        help="encode the visits to learn from in bfloat16, faster on processors made for it; evidence only",
    )
    add_jobs(parser, " for preparing and encoding")


def run(arguments: argparse.Namespace) -> int:
    """Prepare what is not yet prepared, then train what was asked for."""
    from TemporalGliomaRisk.bundle import WEIGHTS
    from TemporalGliomaRisk.files import sha256_of
    from TemporalGliomaRisk.learn.cohort import read_cohorts
    from TemporalGliomaRisk.learn.cohort_findings import refuse_without_event
    from TemporalGliomaRisk.learn.curves import no_curves
    from TemporalGliomaRisk.learn.feature_store import PlaceSampling
    from TemporalGliomaRisk.learn.finetune import FinetuneConfig
    from TemporalGliomaRisk.learn.implanted_timelines import TimelineImplantConfig
    from TemporalGliomaRisk.learn.known_images import twins
    from TemporalGliomaRisk.learn.learnt_from import (
        learnt_of_model,
        learnt_of_run,
        learnt_of_stage,
        note_learnt,
        refuse_another_split,
    )
    from TemporalGliomaRisk.learn.ranks import joined
    from TemporalGliomaRisk.learn.run_folder import PREPARED, RunFolder

    # Before anything is read, so that a wrong value costs nobody an hour.
    foremost = -(-arguments.places // 3)
    sampled = arguments.places - foremost
    shared = FinetuneConfig(
        seed=arguments.seed,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        place_weight=arguments.place_weight,
        least_agreement=arguments.least_agreement,
        sampling=PlaceSampling(foremost=foremost, sampled=sampled),
        sampled_places=-(-sampled // 3),
        implants=TimelineImplantConfig(share=arguments.implants, each=arguments.implants_each),
    )
    with joined(arguments.device) as ranks:
        if ranks.first:
            tell((*ranks.findings, *no_curves()))
        run_folder = RunFolder.open(arguments.run_folder)
        evidence = arguments.architecture == "evidence"
        if evidence:
            _refuse_fewer_members(run_folder, arguments.members)
        split, encoder = run_folder.config.split, "This run's pretrained weights"
        refuse_another_split(learnt_of_run(run_folder), split, arguments.cohort, whose=encoder)
        finished = None if arguments.heads_from is None else _finished(arguments, run_folder)
        if finished is not None:
            shared = replace(shared, begun_from=sha256_of(arguments.heads_from / WEIGHTS))
        parts = run_folder.split(read_cohorts(arguments.cohort))
        refuse_without_event(parts)
        if ranks.first:
            run_folder.note_taught(run_folder.heads_folder if evidence else run_folder.reference_folder, parts)
        watched = (*parts["train"], *parts["validation"])
        stored = run_folder.prepared(watched, jobs=arguments.jobs, ranks=ranks)
        train, validation = stored[: len(parts["train"])], stored[len(parts["train"]) :]
        if ranks.first:
            tell(twins(run_folder.folder / PREPARED, watched))
            known = () if finished is None else learnt_of_model(finished.metadata)
            note_learnt(run_folder, (*known, learnt_of_stage(run_folder, arguments.cohort, stored)))
        if evidence:
            _evidence(arguments, shared, run_folder, train, validation, finished=finished, ranks=ranks)
        elif ranks.first:
            _reference(arguments, run_folder, train, validation)
        ranks.wait()
    return 0


def _refuse_fewer_members(run_folder: RunFolder, members: int) -> None:
    """Fewer than were begun: ``calibrate`` would take the others with them, of other settings perhaps."""
    from TemporalGliomaRisk.errors import UsageError

    begun = len(list(run_folder.heads_folder.glob("member-*.json")))
    if members < begun:
        raise UsageError(
            f"This run has {begun} heads, and calibrate takes all of them; got --members {members}. Go on with "
            f"--members {begun} or more, or begin a new run (pretrain --start-from this run --updates 0 keeps its "
            "encoder)."
        )


def _finished(arguments: argparse.Namespace, run_folder: RunFolder) -> RiskModel:
    """The model whose heads training begins with; it has the run's encoder and did not learn from its test patients."""
    from TemporalGliomaRisk.bundle import load_bundle
    from TemporalGliomaRisk.encode.evidence import EvidenceModel
    from TemporalGliomaRisk.errors import UsageError
    from TemporalGliomaRisk.learn.learnt_from import learnt_of_model, refuse_another_split

    model = load_bundle(arguments.heads_from)
    ours = EvidenceModel(run_folder.config.model)
    ours.encoder.load_state_dict(run_folder.pretrained().encoder.state_dict())
    if model.network.config != ours.config or not model.network.encodes_as(ours):
        raise UsageError(
            "The heads of --heads-from read another encoder's features than this run's. Begin a run with "
            "pretrain --start-from that model --updates 0, or leave --heads-from out."
        )
    learnt = learnt_of_model(model.metadata)
    refuse_another_split(learnt, run_folder.config.split, arguments.cohort, whose="The heads of --heads-from")
    return model


def _evidence(
    arguments: argparse.Namespace,
    shared: FinetuneConfig,
    run_folder: RunFolder,
    train: Sequence[StoredPatient],
    validation: Sequence[StoredPatient],
    *,
    finished: RiskModel | None,
    ranks: Ranks,
) -> None:
    """Cache the features, then train every member, the single-visit and the ordering head; ranks share the work."""
    from tqdm import tqdm

    from TemporalGliomaRisk.learn.agreement import agreeing
    from TemporalGliomaRisk.learn.feature_store import cache_features, load_features
    from TemporalGliomaRisk.learn.finetune import finetune_head
    from TemporalGliomaRisk.learn.implanted_timelines import with_implants
    from TemporalGliomaRisk.learn.ordering import OrderConfig, train_order

    pretrained = run_folder.pretrained().to(ranks.device)
    quiet = None if ranks.first else True
    heads = {f"member-{one + 1}": replace(shared, seed=shared.seed + one) for one in range(arguments.members)}
    heads["single"] = replace(shared, single_visit=True)
    ours = list(heads.items())[ranks.rank :: ranks.world]
    _begin_heads(run_folder, dict(ours), finished if ranks.first else None)
    train, validation = (agreeing(part, shared.least_agreement) for part in (train, validation))
    grid_mm = run_folder.config.preprocessing.grid_mm
    implanted = with_implants(train, shared.implants, grid_mm=grid_mm, seed=shared.seed)
    stored = (*train, *validation, *implanted)
    with tqdm(total=len(stored), desc="features", unit="patient", disable=quiet) as bar:
        folder = run_folder.features_folder
        cache_features(
            pretrained,
            stored,
            folder,
            shared.sampling,
            seed=shared.seed,
            bfloat16=arguments.bfloat16,
            jobs=arguments.jobs,
            ranks=ranks,
            advance=bar.update,
        )
    load = lru_cache(maxsize=None)(partial(load_features, folder))
    for name, config in ours:
        path = run_folder.heads_folder / f"{name}.safetensors"
        with tqdm(total=config.epochs, desc=name, unit="pass", disable=quiet) as bar:
            report = _reporter(run_folder, bar, name)
            start = None if finished is None else _head_of(finished, name)
            finetune_head(
                pretrained,
                (*train, *implanted),
                validation,
                load,
                path,
                config=config,
                start_from=start,
                report=report,
            )
    if ranks.first:
        order = OrderConfig(seed=shared.seed, epochs=min(shared.epochs, OrderConfig.epochs))
        with tqdm(total=order.epochs, desc="order", unit="pass", disable=quiet) as bar:
            report = _reporter(run_folder, bar, "order")
            train_order(pretrained, train, validation, load, run_folder.order_file, config=order, report=report)


def _begin_heads(run_folder: RunFolder, heads: Mapping[str, FinetuneConfig], finished: RiskModel | None) -> None:
    """Write down what each head is trained with, or see that it is what was begun, and whose heads they begin with."""
    from TemporalGliomaRisk.files import write_json_whole
    from TemporalGliomaRisk.learn.checkpoints import begin_with
    from TemporalGliomaRisk.learn.finetune import with_later_settings

    for name, config in heads.items():
        path = run_folder.heads_folder / f"{name}.json"
        begin_with(path, config, what="A head of this run", understood=with_later_settings)
    if finished is not None:
        (sha256,) = {config.begun_from for config in heads.values()}
        write_json_whole(run_folder.beginning_of_heads, {"name": finished.name, "sha256": sha256})


def _head_of(model: RiskModel, name: str) -> HistoryHead:
    """The head of a finished model that a run's head of this name begins with; members go round."""
    if name == "single":
        return model.network.single
    members = [cast("HistoryHead", head) for head in model.network.members]
    return members[(int(name.removeprefix("member-")) - 1) % len(members)]


def _reference(
    arguments: argparse.Namespace,
    run_folder: RunFolder,
    train: Sequence[StoredPatient],
    validation: Sequence[StoredPatient],
) -> None:
    """Train the reference model and fit its calibration."""
    from tqdm import tqdm

    from TemporalGliomaRisk.encode.reference import ReferenceConfig
    from TemporalGliomaRisk.learn.finetune_reference import ReferenceTrainingConfig, finetune_reference
    from TemporalGliomaRisk.learn.score_reference import calibrate_reference

    config = ReferenceTrainingConfig(
        model=ReferenceConfig(norm="group", first_stride=2 if arguments.pooling == 1 else 1),
        seed=arguments.seed,
        epochs=arguments.epochs,
        pooling=arguments.pooling,
    )
    folder = run_folder.reference_folder
    with tqdm(total=arguments.epochs, desc="reference", unit="pass", disable=None) as bar:
        report = _reporter(run_folder, bar, "reference")
        model = finetune_reference(train, validation, folder, config=config, report=report)
    with tqdm(total=len(validation), desc="calibrate", unit="patient", disable=None) as bar:
        calibrate_reference(model, validation, folder, config=config, advance=bar.update)


def _reporter(run_folder: RunFolder, bar: Any, name: str) -> Callable[[int, dict[str, float]], None]:
    def report(epoch: int, numbers: dict[str, float]) -> None:
        bar.update(epoch - bar.n)
        bar.set_postfix({key: f"{value:.4f}" for key, value in numbers.items()})
        run_folder.log("finetune", numbers, head=name, epoch=epoch)

    return report
