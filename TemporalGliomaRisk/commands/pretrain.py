"""Teach the encoder, without risk labels, what changes between visits and in which order.

Where the cohort has a simulator's truth it also learns where the lesion grew. Run again with the same folder after an
interruption, it goes on where it stood. Started by torchrun, its processes share the pairs of every update.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from TemporalGliomaRisk.commands import add_cohorts, add_device, add_jobs, refuse_in_cohort, tell, whole

if TYPE_CHECKING:
    from TemporalGliomaRisk.encode.pairs import PairModel
    from TemporalGliomaRisk.learn.learnt_from import Learnt
    from TemporalGliomaRisk.learn.ranks import Ranks
    from TemporalGliomaRisk.learn.run_folder import Beginning, RunConfig

CHANNELS = ("feature_channels", "comparison_channels")
FRACTIONS = (0.55, 0.15, 0.30)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_cohorts(parser)
    parser.add_argument("--run", type=Path, required=True, dest="run_folder", help="folder of this training run")
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="DIR",
        help="begin with the pretrained weights of a model or of another run's folder, not with random ones; with "
        "--updates 0 they are kept as they are, for finetune to go on with",
    )
    parser.add_argument(
        "--channels",
        type=whole(1),
        help="features of a place and of a comparison (default 32, or as what it starts from; more than that begin as "
        "the same function)",
    )
    parser.add_argument(
        "--convolutions",
        type=whole(1),
        help="convolutions of the encoder: 3 see 32 mm, 4 see 40 mm (default 3, or as what it starts from)",
    )
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the largest (default %(default)s)")
    parser.add_argument(
        "--order-weight",
        type=float,
        default=0.05,
        help="weight of the ordering loss beside the growth loss, where the truth maps of growth are known "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--lesion-weight",
        type=float,
        default=1.0,
        help="weight of the loss that says where the lesion is, where its truth maps are known (default %(default)s)",
    )
    parser.add_argument("--updates", type=whole(0), default=6000, help="number of updates (default %(default)s)")
    parser.add_argument("--pairs", type=whole(1), default=12, help="pairs of visits an update (default %(default)s)")
    parser.add_argument(
        "--validate-every",
        type=whole(1),
        default=250,
        metavar="UPDATES",
        help="updates between validations, each with a checkpoint to go on from (default %(default)s)",
    )
    parser.add_argument(
        "--validation-pairs", type=whole(1), default=240, help="pairs of a validation (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=1, help="seed of weights, draws and split (default %(default)s)"
    )
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=FRACTIONS,
        metavar=("TRAIN", "VAL", "TEST"),
        help=f"shares of the patients (default {' '.join(map(str, FRACTIONS))})",
    )
    add_device(parser)
    parser.add_argument("--bfloat16", action="store_true", help="faster on processors and GPUs made for it")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the encoder for the GPU (torch.compile), not yet tried on one; on a processor it changes nothing",
    )
    add_jobs(parser, " for preparing visits and for drawing pairs")


def run(arguments: argparse.Namespace) -> int:
    """Prepare the training and validation patients, then pretrain."""
    from TemporalGliomaRisk.encode.evidence import EvidenceConfig
    from TemporalGliomaRisk.learn.learnt_from import refuse_another_split
    from TemporalGliomaRisk.learn.pretrain import PretrainConfig
    from TemporalGliomaRisk.learn.ranks import joined
    from TemporalGliomaRisk.learn.run_folder import RunConfig, SplitConfig
    from TemporalGliomaRisk.learn.widening import widened

    channels = {} if arguments.channels is None else dict.fromkeys(CHANNELS, arguments.channels)
    convolutions = {} if arguments.convolutions is None else {"convolutions": arguments.convolutions}
    # Before anything is read, so that a wrong value costs nobody a minute.
    config = RunConfig(
        model=replace(EvidenceConfig(), **channels, **convolutions),
        pretraining=PretrainConfig(
            seed=arguments.seed,
            updates=arguments.updates,
            pairs_per_update=arguments.pairs,
            learning_rate=arguments.learning_rate,
            order_weight=arguments.order_weight,
            lesion_weight=arguments.lesion_weight,
            validate_every=arguments.validate_every,
            validation_pairs=arguments.validation_pairs,
            bfloat16=arguments.bfloat16,
        ),
        split=SplitConfig(seed=arguments.seed, fractions=tuple(arguments.fractions)),
    )
    start: PairModel | None = None
    known: tuple[Learnt, ...] = ()
    if arguments.start_from is not None:
        begun_from, start, known = _beginning(arguments.start_from)
        refuse_another_split(known, config.split, arguments.cohort, whose="The weights of --start-from")
        config = replace(config, model=replace(start.config, **channels, **convolutions), begun_from=begun_from)
        start = widened(start, config.model)
    with joined(arguments.device) as ranks:
        _pretrain(arguments, config, start, known, ranks)
    return 0


def _beginning(folder: Path) -> tuple[Beginning, PairModel, tuple[Learnt, ...]]:
    """Pretrained weights of a run's folder or of a model, what is said of them, and whom they learnt from."""
    from TemporalGliomaRisk import config as configs
    from TemporalGliomaRisk.bundle import PRETRAINED, load_bundle, load_pretrained
    from TemporalGliomaRisk.errors import ModelError
    from TemporalGliomaRisk.files import sha256_of
    from TemporalGliomaRisk.learn.learnt_from import learnt_of_model, learnt_of_run
    from TemporalGliomaRisk.learn.run_folder import SETTINGS, Beginning, RunConfig, RunFolder

    if (folder / SETTINGS).is_file():
        run_folder = RunFolder.open(folder)
        return *run_folder.beginning(), learnt_of_run(run_folder)
    model = load_bundle(folder)
    pretrained = load_pretrained(model)
    if pretrained is None:
        raise ModelError("The model holds no pretrained weights to begin with; name a run's folder, or another model.")
    earlier = configs.from_json(RunConfig, model.metadata["run"])
    # Of the weights alone: a card that is written anew in between makes no other beginning of them.
    begun_from = Beginning(sha256=sha256_of(folder / PRETRAINED), updates=earlier.updates_so_far)
    return begun_from, pretrained, learnt_of_model(model.metadata)


def _pretrain(
    arguments: argparse.Namespace, config: RunConfig, start: PairModel | None, known: Sequence[Learnt], ranks: Ranks
) -> None:
    """Prepare what is not yet prepared, by the first process, then train, by all."""
    from tqdm import tqdm

    from TemporalGliomaRisk.learn.cohort import read_cohorts
    from TemporalGliomaRisk.learn.cohort_findings import (
        folders_without_row,
        parts_without_event,
        visits_after_last_contact,
    )
    from TemporalGliomaRisk.learn.curves import no_curves
    from TemporalGliomaRisk.learn.known_images import twins
    from TemporalGliomaRisk.learn.learnt_from import learnt_of_stage, note_learnt
    from TemporalGliomaRisk.learn.pretrain import pretrain
    from TemporalGliomaRisk.learn.run_folder import PREPARED, RunFolder

    refuse_in_cohort(arguments.run_folder, arguments.cohort, "--run")
    # A cohort that is refused leaves no run behind.
    patients = read_cohorts(arguments.cohort)
    parts = RunFolder(folder=arguments.run_folder, config=config).split(patients)
    if ranks.first:
        tell((*ranks.findings, *no_curves()))
        tell((*folders_without_row(arguments.cohort, patients), *visits_after_last_contact(patients)))
        tell(parts_without_event(parts))
        RunFolder.begin(arguments.run_folder, config)
    ranks.wait()
    run_folder = RunFolder.begin(arguments.run_folder, config)
    watched = (*parts["train"], *parts["validation"])
    quiet = None if ranks.first else True
    with tqdm(total=len(watched), desc="prepare", unit="patient", disable=quiet) as bar:
        stored = run_folder.prepared(watched, jobs=arguments.jobs, ranks=ranks, advance=bar.update)
    train, validation = stored[: len(parts["train"])], stored[len(parts["train"]) :]
    if ranks.first:
        tell(twins(run_folder.folder / PREPARED, watched))
        note_learnt(run_folder, (*known, learnt_of_stage(run_folder, arguments.cohort, stored)))
    with tqdm(total=arguments.updates, desc="pretrain", unit="update", disable=quiet) as bar:

        def report(update: int, numbers: dict[str, float]) -> None:
            bar.update(update - bar.n)
            if "validation_order" in numbers:
                bar.set_postfix({name: f"{value:.3f}" for name, value in numbers.items()})
                run_folder.log("pretrain", numbers, update=update)

        pretrain(
            train,
            validation,
            run_folder.pretraining_folder,
            model_config=config.model,
            config=config.pretraining,
            start_from=start,
            jobs=arguments.jobs,
            compiled_by="inductor" if arguments.compile and ranks.device.type == "cuda" else None,
            ranks=ranks,
            report=report,
        )
