"""Train the risk heads on whole timelines.

The encoder stays as ``pretrain`` left it and its features are cached, so this takes minutes. Run again with the same
folder after an interruption, it goes on where it stood.
"""

from __future__ import annotations

import argparse
from functools import lru_cache, partial
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--cohort", type=Path, required=True, help="BIDS cohort with participants.tsv")
    parser.add_argument("--run", type=Path, required=True, dest="run_folder", help="folder of the run to go on with")
    parser.add_argument("--members", type=int, default=3, help="heads of the ensemble (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="largest number of passes (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first head (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes for preparing visits (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Cache the features, then train every member and the single-visit head."""
    from tqdm import tqdm

    from TemporalGliomaRisk import config as configs
    from TemporalGliomaRisk.files import write_json_whole
    from TemporalGliomaRisk.learn.cohort import read_cohort
    from TemporalGliomaRisk.learn.feature_store import cache_features, load_features
    from TemporalGliomaRisk.learn.finetune import FinetuneConfig, finetune_head
    from TemporalGliomaRisk.learn.run_folder import RunFolder

    run_folder = RunFolder.open(arguments.run_folder)
    parts = run_folder.split(read_cohort(arguments.cohort))
    stored = run_folder.prepared((*parts["train"], *parts["validation"]), jobs=arguments.jobs)
    train, validation = stored[: len(parts["train"])], stored[len(parts["train"]) :]
    pretrained = run_folder.pretrained()
    shared = FinetuneConfig(epochs=arguments.epochs)
    with tqdm(total=len(stored), desc="features", unit="patient", disable=None) as bar:
        folder = run_folder.features_folder
        cache_features(pretrained, stored, folder, shared.sampling, seed=arguments.seed, advance=bar.update)
    load = lru_cache(maxsize=None)(partial(load_features, folder))
    heads = {f"member-{number + 1}": (arguments.seed + number, False) for number in range(arguments.members)}
    heads["single"] = (arguments.seed, True)
    for name, (seed, single) in heads.items():
        config = FinetuneConfig(epochs=arguments.epochs, seed=seed, single_visit=single)
        write_json_whole(run_folder.heads_folder / f"{name}.json", configs.to_json(config))
        with tqdm(total=arguments.epochs, desc=name, unit="pass", disable=None) as bar:

            def report(epoch: int, numbers: dict[str, float], bar: Any = bar, name: str = name) -> None:
                bar.update(epoch - bar.n)
                bar.set_postfix({key: f"{value:.4f}" for key, value in numbers.items()})
                run_folder.log("finetune", {"head": name, "epoch": epoch, **numbers})

            path = run_folder.heads_folder / f"{name}.safetensors"
            finetune_head(pretrained, train, validation, load, path, config=config, report=report)
    return 0
