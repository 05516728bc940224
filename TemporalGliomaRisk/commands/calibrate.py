"""Fit the calibration constants of a trained model on validation patients, and write the model bundle.

Calibration only scales the background and the local hazards by positive constants, so the heatmaps still add up. The
bundle also says when not to believe it: what visits of training look like, thresholds set on the validation patients,
and how alike the heatmaps of a network with random weights are. Visits that fine-tuning leaves out for their contrast
are left out of all this too. With --weights-of these are measured for a finished model on its own cohort, and its
weights and constants stay as they are. With --background-anew beside it the model's background is fitted to the days of
the patients whom it learnt from, which is how fine-tuning begins now, and the constants with it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from TemporalGliomaRisk.commands import add_cohorts, add_device, add_jobs, folder, refuse_in_cohort, tell

if TYPE_CHECKING:
    import torch

    from TemporalGliomaRisk.bundle import RiskModel
    from TemporalGliomaRisk.encode.evidence import EvidenceModel, HistoryHead
    from TemporalGliomaRisk.explain.sanity import HeatmapSanity
    from TemporalGliomaRisk.learn.doubting import SummarisedPatient
    from TemporalGliomaRisk.learn.run_folder import RunFolder
    from TemporalGliomaRisk.learn.scoring import ScoredVisit
    from TemporalGliomaRisk.learn.stored_patient import StoredPatient
    from TemporalGliomaRisk.risk.calibration import Calibration
    from TemporalGliomaRisk.risk.doubt import Doubt


Patient = TypeVar("Patient")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_cohorts(parser)
    parser.add_argument("--run", type=Path, required=True, dest="run_folder", help="folder of the finished run")
    parser.add_argument("--output", type=folder, required=True, help="folder of the bundle; its name is the model's")
    add_device(parser)
    add_jobs(parser, " for preparing visits")
    parser.add_argument(
        "--doubt-patients",
        type=int,
        default=240,
        help="training patients, at most, that say what a usual visit is; all validation patients set the thresholds, "
        "less the visits that fine-tuning leaves out (default %(default)s)",
    )
    parser.add_argument(
        "--sanity-patients",
        type=int,
        default=16,
        help="validation patients, at most, whose heatmaps are compared with those of random weights "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--note",
        action="append",
        default=[],
        metavar="SENTENCE",
        help="what the settings don't tell of the training, for metadata and card; may be given several times",
    )
    parser.add_argument(
        "--weights-of",
        type=Path,
        help="a model whose weights and constants are kept: only what tells when not to believe it is measured",
    )
    parser.add_argument(
        "--background-anew",
        action="store_true",
        help="with --weights-of and the cohorts it learnt from: fit its background to their days, and the constants, "
        "anew; for models of before fine-tuning began with that",
    )


def run(arguments: argparse.Namespace) -> int:
    """Score the validation patients, fit, and write the bundle."""
    _check_output(arguments.output)
    refuse_in_cohort(arguments.output, arguments.cohort, "--output")
    from TemporalGliomaRisk import config as configs
    from TemporalGliomaRisk.bundle import load_bundle
    from TemporalGliomaRisk.device import choose_device
    from TemporalGliomaRisk.errors import UsageError
    from TemporalGliomaRisk.learn.cohort import read_cohorts
    from TemporalGliomaRisk.learn.run_folder import RunConfig, RunFolder

    device, findings = choose_device(arguments.device)
    tell(findings)
    if arguments.background_anew and arguments.weights_of is None:
        raise UsageError(
            "--background-anew goes with --weights-of MODEL; a run's own background is fitted by finetune."
        )
    finished = None if arguments.weights_of is None else load_bundle(arguments.weights_of)
    if finished is None:
        run_folder = RunFolder.open(arguments.run_folder)
    else:
        run_folder = RunFolder.begin(arguments.run_folder, configs.from_json(RunConfig, finished.metadata["run"]))
    parts = run_folder.split(read_cohorts(arguments.cohort))
    if finished is not None:
        _measure_finished(finished, run_folder, parts, arguments, device)
    else:
        _calibrate(run_folder, parts, arguments, device)
    return 0


def _check_output(folder: Path) -> None:
    """Refuse, before anything is measured, a folder whose content is no bundle: a run, a cohort, a file."""
    from TemporalGliomaRisk.bundle import METADATA
    from TemporalGliomaRisk.errors import UsageError
    from TemporalGliomaRisk.files import check_output

    check_output(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / METADATA).exists():
        raise UsageError("The output folder holds something else than a model bundle. Name a new one with --output.")


def _calibrate(
    run_folder: RunFolder, parts: dict[str, Any], arguments: argparse.Namespace, device: torch.device
) -> None:
    from TemporalGliomaRisk.bundle import write_bundle
    from TemporalGliomaRisk.learn.agreement import agreeing
    from TemporalGliomaRisk.learn.card import bounds_words, model_card
    from TemporalGliomaRisk.learn.card_parts import card_with_doubt
    from TemporalGliomaRisk.learn.export import (
        assemble_network,
        bundle_metadata,
        caveat,
        finetuning_settings,
        fit_both,
        least_agreement,
        licence_text,
        order_head,
    )

    run_folder.refuse_others_taught(run_folder.heads_folder, parts)
    least = least_agreement(finetuning_settings(run_folder))
    network = assemble_network(run_folder)
    validation = run_folder.prepared(parts["validation"], jobs=arguments.jobs)
    learnable = agreeing(validation, least)
    watched = _watched("calibrate", network, learnable, device)
    rows = [row for patient in watched for row in patient.rows]
    ensemble, single = fit_both(rows)
    train = run_folder.prepared(parts["train"], jobs=arguments.jobs)
    metadata = bundle_metadata(
        arguments.output.name, run_folder, agreeing(train, least), learnable, drawn=(*train, *validation)
    )
    metadata |= {
        **_thresholds(rows, ensemble, single),
        "notes": list(arguments.note),
        **_learnt_from(run_folder, arguments.cohort, (*train, *validation)),
    }
    metadata["caveat"] = caveat(metadata)
    usual = agreeing(_spread(train, arguments.doubt_patients), least)
    doubt, sanity = _measure(network, ensemble, usual, watched, _spread(learnable, arguments.sanity_patients))
    write_bundle(
        arguments.output,
        network=network,
        preprocessing=run_folder.config.preprocessing,
        calibration=ensemble,
        single_visit_calibration=single,
        metadata=metadata,
        card=card_with_doubt(model_card(metadata, ensemble, single), doubt, sanity),
        licence=licence_text(),
        doubt=doubt,
        heatmap_sanity=sanity,
        order=order_head(run_folder),
        pretrained=run_folder.pretrained(),
    )
    print(f"Wrote {arguments.output.name}: {ensemble}, single visit {single}.")
    for sentence in bounds_words(ensemble, single):
        print(sentence, file=sys.stderr)


def _learnt_from(run_folder: RunFolder, cohorts: Sequence[Path], patients: Sequence[StoredPatient]) -> dict[str, Any]:
    """The bundle's ``learnt_from``, the hashes of all its cohorts, and ``heads_begun_from`` where a model's were."""
    from TemporalGliomaRisk.learn.export import heads_begun_from
    from TemporalGliomaRisk.learn.learnt_from import (
        LEARNT_FROM,
        Learnt,
        as_json,
        learnt_of_run,
        learnt_of_stage,
        together_once,
    )

    learnt = [learnt_of_stage(run_folder, cohorts, patients), *learnt_of_run(run_folder)]
    begun = heads_begun_from(run_folder)
    if begun and "cohorts_sha256" in begun:  # a run of before learnt_from.json
        learnt.append(Learnt(split=None, cohorts_sha256=tuple(begun["cohorts_sha256"])))
    learnt = together_once(learnt)
    hashes = dict.fromkeys(sha256 for one in learnt for sha256 in one.cohorts_sha256)
    return {
        "cohorts_sha256": list(hashes),
        LEARNT_FROM: as_json(learnt),
        **({"heads_begun_from": {name: begun[name] for name in ("name", "sha256")}} if begun else {}),
    }


def _thresholds(rows: Sequence[ScoredVisit], ensemble: Calibration, single: Calibration) -> dict[str, Any]:
    """The bundle's ``f1_threshold``, from uncalibrated rows of the validation patients; none without an event."""
    from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
    from TemporalGliomaRisk.evaluate.threshold import choose_thresholds
    from TemporalGliomaRisk.learn.export import calibrated_risks
    from TemporalGliomaRisk.learn.scoring import landmark_columns

    chosen = choose_thresholds(*calibrated_risks(rows, ensemble, single), LandmarkRows(**landmark_columns(rows)))
    return {} if chosen is None else {"f1_threshold": chosen}


def _measure_finished(
    model: RiskModel,
    run_folder: RunFolder,
    parts: dict[str, Any],
    arguments: argparse.Namespace,
    device: torch.device,
) -> None:
    """A finished model's weights and facts with a new account of when not to believe them, one version on."""
    from TemporalGliomaRisk.bundle import load_pretrained, write_bundle
    from TemporalGliomaRisk.learn.agreement import agreeing
    from TemporalGliomaRisk.learn.card import model_card
    from TemporalGliomaRisk.learn.card_parts import card_with_doubt
    from TemporalGliomaRisk.learn.export import fit_both, least_agreement, licence_text, next_version

    anew = arguments.background_anew
    ensemble, single = model.calibration, model.single_visit_calibration
    change = "says when not to believe it; weights and constants unchanged"
    if anew:
        _fit_backgrounds(model, parts, arguments.cohort)
        change = f"background and constants fitted anew; all other weights are those of {model.name}"
    metadata = next_version(model.metadata, change)
    least = least_agreement(model.metadata.get("finetuning"))
    train = run_folder.prepared(_spread(parts["train"], arguments.doubt_patients), jobs=arguments.jobs)
    train = agreeing(train, least)
    validation = agreeing(run_folder.prepared(parts["validation"], jobs=arguments.jobs), least)
    watched = _watched("watched visits", model.network, validation, device)
    if anew:
        rows = [row for patient in watched for row in patient.rows]
        ensemble, single = fit_both(rows)
        metadata |= {
            "name": arguments.output.name,
            "background_anew": model.name,
            **_thresholds(rows, ensemble, single),
        }
    shown = _spread(validation, arguments.sanity_patients)
    doubt, sanity = _measure(model.network, ensemble, train, watched, shown)
    write_bundle(
        arguments.output,
        network=model.network,
        preprocessing=model.preprocessing,
        calibration=ensemble,
        single_visit_calibration=single,
        metadata=metadata,
        card=card_with_doubt(model_card(metadata, ensemble, single) if anew else model.card, doubt, sanity),
        licence=licence_text(),
        doubt=doubt,
        heatmap_sanity=sanity,
        order=model.order,
        pretrained=load_pretrained(model),
    )
    print(f"Wrote {arguments.output.name}: {change}.\n{sanity.sentence}")


def _fit_backgrounds(model: RiskModel, parts: dict[str, Any], cohorts: Sequence[Path]) -> None:
    """Fit the background of a finished model's members anew, to the days of the very patients it learnt from.

    Raises:
        UsageError: If the cohorts are others: the model would have to say that it learnt from them, too.
    """
    from TemporalGliomaRisk.errors import UsageError
    from TemporalGliomaRisk.learn.background import FollowedDays, fit_background
    from TemporalGliomaRisk.learn.cohort import cohort_sha256, read_cohort

    if {cohort_sha256(read_cohort(one)) for one in cohorts} != set(model.metadata.get("cohorts_sha256") or ()):
        raise UsageError(
            "--background-anew needs the very cohorts that the model learnt from; name them with --cohort."
        )
    learnt, watched = ([FollowedDays.of(one) for one in parts[part]] for part in ("train", "validation"))
    seed = int((model.metadata.get("finetuning") or {}).get("seed", 1))
    for number, head in enumerate(model.network.members):
        fit_background(cast("HistoryHead", head), learnt, watched, seed=seed + number)


def _measure(
    network: EvidenceModel,
    calibration: Calibration,
    train: Sequence[StoredPatient],
    watched: Sequence[SummarisedPatient],
    shown: Sequence[StoredPatient],
) -> tuple[Doubt | None, HeatmapSanity]:
    """Usual visits and thresholds, None for too few visits, and the weight-randomisation test of the maps.

    Training patients define what is usual, validation patients set the thresholds; a visit is a few numbers.
    """
    from TemporalGliomaRisk.errors import ModelError
    from TemporalGliomaRisk.explain.sanity import STAGES, heatmap_sanity
    from TemporalGliomaRisk.learn.doubting import last_maps
    from TemporalGliomaRisk.risk.doubt import fit_doubt

    usual = _summarised("usual visits", network, train, members=False)
    seeds = 2
    with _bar("random weights", len(shown) * (1 + seeds * len(STAGES))) as advance:
        sanity = heatmap_sanity(network, lambda other: last_maps(other, shown, advance=advance), seeds=seeds)
    try:
        visits = [visit for patient in usual for visit in patient.summaries]
        doubt = fit_doubt(visits, [patient.with_spread(calibration) for patient in watched])
    except ModelError as error:
        print(f"The model won't say which visits are unlike training. {error}", file=sys.stderr)
        doubt = None
    return doubt, sanity


def _watched(
    what: str, network: EvidenceModel, patients: Sequence[StoredPatient], device: torch.device
) -> list[SummarisedPatient]:
    """Validation patients, by all members, on a device; the network is on the processor afterwards."""
    from TemporalGliomaRisk.device import as_on_the_processor

    network.to(device)
    with as_on_the_processor(device):
        found = _summarised(what, network, patients, members=True)
    network.to("cpu")
    return found


def _summarised(
    what: str, network: EvidenceModel, patients: Sequence[StoredPatient], *, members: bool
) -> list[SummarisedPatient]:
    """Many patients by one pass each, with a progress bar."""
    from TemporalGliomaRisk.learn.doubting import summarised

    found = []
    with _bar(what, len(patients)) as advance:
        for patient in patients:
            found.append(summarised(network, patient, members=members))
            advance(1)
    return found


def _spread(patients: Sequence[Patient], most: int) -> list[Patient]:
    """At most this many of the patients, spread evenly over the cohorts, by which they are ordered."""
    count = min(max(1, most), len(patients))
    return [patients[number * len(patients) // count] for number in range(count)]


@contextlib.contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A progress bar's own function to advance it, while the bar is open."""
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit="patient", disable=None) as bar:
        yield bar.update
