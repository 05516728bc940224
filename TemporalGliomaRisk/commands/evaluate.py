"""Score a model on a cohort kept apart.

Every visit before the event is a landmark row. Writes evaluation.json with every number and its patient-clustered
bootstrap interval: for the timeline, for the single visit on the same rows, their paired difference and, on simulated
cohorts, for the ideal observer, and how the heatmaps point at true growth. With ``--reference`` also for the reference
model of a run, with the paired difference to it: the peer to beat, never part of a bundle. ``--rival`` does the same
for another bundle, such as an earlier one. Subgroups are those of evaluate/known_groups.py. Two plots are written
beside evaluation.json; ``--card`` puts all of it into the bundle's model card, one section for each ``--title``, so
that one card can hold several cohorts. Every patient's scores are kept in the output folder: an evaluation that was
interrupted goes on from there, and one that is repeated scores nobody again.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from TemporalGliomaRisk.commands import add_device, add_jobs, folder, refuse_in_cohort, tell, whole

if TYPE_CHECKING:
    from TemporalGliomaRisk.bundle import RiskModel
    from TemporalGliomaRisk.evaluate.known_groups import KnownPatient
    from TemporalGliomaRisk.learn.cohort import CohortPatient
    from TemporalGliomaRisk.learn.cohort_seen import Seen
    from TemporalGliomaRisk.learn.score_reference import TrainedReference
    from TemporalGliomaRisk.patient_scoring import Rival, ScoredPatient

MAIN_TITLE = "Test patients"
MOST_RESAMPLES = 100_000
EVALUATION, PREPARED, SCORES = "evaluation.json", "prepared", "scores"
"""The figures; the folder of prepared visits, kept for another model's evaluation; and the folder of the patients'
scores, so that an interrupted evaluation goes on, and one with another title or more resamples scores nobody again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--cohort", type=Path, required=True, help="BIDS cohort with participants.tsv")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model bundle")
    parser.add_argument("--output", type=folder, required=True, metavar="DIR", help="folder for evaluation.json")
    parser.add_argument(
        "--part",
        choices=("all", "test"),
        default="all",
        help="all patients of a cohort kept apart, or the test part of the training cohort (default %(default)s)",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="RUN",
        help="run folder with a trained reference model, scored on the same rows",
    )
    parser.add_argument(
        "--rival", type=Path, metavar="MODEL", help="another model bundle, compared in pairs on the same rows"
    )
    parser.add_argument(
        "--resamples",
        type=whole(1, MOST_RESAMPLES),
        default=1000,
        help="number of resamples of the bootstrap (default %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=whole(0),
        default=1,
        help="seed of the bootstrap and of the reader's errors (default %(default)s)",
    )
    parser.add_argument("--card", action="store_true", help="write the results into the bundle's model card, too")
    parser.add_argument(
        "--title",
        default=MAIN_TITLE,
        help="what card and plots call these patients; each title has its section in the card (default %(default)s)",
    )
    parser.add_argument(
        "--order-patients",
        type=whole(0),
        default=300,
        help="number of patients, from the first on, with whom the ordering head is tried (default %(default)s)",
    )
    parser.add_argument(
        "--discard-prepared",
        action="store_true",
        help="delete the prepared visits, about 20 MB a patient, which another model's evaluation could use",
    )
    add_device(parser)
    add_jobs(parser, " for preparing and scoring")


def run(arguments: argparse.Namespace) -> int:
    """Prepare, score, measure, write."""
    from TemporalGliomaRisk import config as configs
    from TemporalGliomaRisk.bundle import load_bundle
    from TemporalGliomaRisk.device import as_on_the_processor, choose_device
    from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
    from TemporalGliomaRisk.evaluate.words import results_text, subgroups_text
    from TemporalGliomaRisk.files import check_output, refuse_other_contents, write_json_whole
    from TemporalGliomaRisk.learn.card_parts import check_title
    from TemporalGliomaRisk.patient_scoring import Rival
    from TemporalGliomaRisk.scored_cohort import ScoredCohort

    check_title(arguments.title)
    check_output(arguments.output)
    refuse_in_cohort(arguments.output, [arguments.cohort], "--output")
    refuse_other_contents(arguments.output, (EVALUATION, PREPARED, SCORES), than="an evaluation")
    model = load_bundle(arguments.model)
    if arguments.card:
        _refuse_shared_pictures(arguments.title, model.card)
    device, findings = choose_device(arguments.device)
    tell(findings)
    model.network.to(device)
    peer = _reference(arguments, model) if arguments.reference else None
    other = load_bundle(arguments.rival) if arguments.rival else None
    if other:
        _refuse_knowing_rival(arguments, other, model)
        other.network.to(device)
    rival = Rival.of(other, model) if other else None
    patients = _patients(arguments, model.metadata)
    truths = [patient.truth_record() for patient in patients]
    seen = _who_was_seen(arguments, patients, truths, model, other)
    with as_on_the_processor(device):
        scored = _scored(arguments, model, peer, rival, patients)
    cohort = ScoredCohort(patients=scored, known=_known(arguments.cohort, patients, truths))
    found = {
        "title": arguments.title,
        "model": model.name,
        "model_sha256": model.sha256,
        # A card that is written anew changes the hash of the whole, not these.
        "risk_files_sha256": model.risk_files,
        "patients": len(patients),
        "part": arguments.part,
        "held_out": seen.held_out,
        "learnt_from": seen.learnt_from,
        "seen_patients": seen.patients,
        **cohort.measured(
            _thresholds(model.metadata), BootstrapConfig(resamples=arguments.resamples, seed=arguments.seed)
        ),
    }
    found["redone_by"] = _redone_by(arguments, found)
    if peer:
        found["reference_settings"] = {
            **configs.to_json(peer.config),
            "calibration_scale": peer.scale,
            "learnt_from": seen.by_reference,
        }
    if other:
        found["rival_model"] = {"name": other.name, "sha256": other.sha256, "learnt_from": seen.by_rival}
    write_json_whole(arguments.output / EVALUATION, found)
    print(f"{results_text(found)}\n\n{subgroups_text(found)}")
    _write_plots(arguments.output, "", found, model)
    if arguments.card:
        _write_card(arguments, found, model)
    return 0


def _scored(
    arguments: argparse.Namespace,
    model: RiskModel,
    peer: TrainedReference | None,
    rival: Rival | None,
    patients: Sequence[CohortPatient],
) -> list[ScoredPatient]:
    """Every patient's scores, with a progress bar; kept ones of an evaluation before are used."""
    from tqdm import tqdm

    from TemporalGliomaRisk.files import remove_leftovers
    from TemporalGliomaRisk.kept_scores import KeptScores, made_by
    from TemporalGliomaRisk.learn.prepared_store import begin_preparing
    from TemporalGliomaRisk.patient_scoring import PatientScoring, Task

    folder = arguments.output / PREPARED
    remove_leftovers(arguments.output)
    begin_preparing(patients, folder, model.preprocessing)
    scoring = PatientScoring(
        model=model,
        peer=peer,
        rival=rival,
        folder=folder,
        discard=arguments.discard_prepared,
        seed=arguments.seed,
        order_patients=arguments.order_patients,
    )
    kept = KeptScores(folder=arguments.output / SCORES, made_by=made_by(scoring))
    tasks = [Task(number=number, patient=patient) for number, patient in enumerate(patients)]
    found = {task.number: scored for task in tasks if (scored := kept.load(task)) is not None}
    missing = [task for task in tasks if task.number not in found]
    if found:
        print(f"{len(found)} of {len(tasks)} patients were scored before, so their scores are used.", file=sys.stderr)
    with tqdm(total=len(tasks), initial=len(found), desc="score", unit="patient", disable=None) as bar:

        def lost(done: int) -> None:
            scored = len(tasks) - len(missing) + done
            bar.write(f"A process was killed after {scored} patients were scored; others go on.", file=sys.stderr)

        for task, scored in zip(missing, scoring.score_all(missing, jobs=arguments.jobs, lost=lost), strict=True):
            kept.keep(task, scored)
            found[task.number] = scored
            bar.update()
    return [found[task.number] for task in tasks]


def _patients(arguments: argparse.Namespace, metadata: Any) -> tuple[Any, ...]:
    from TemporalGliomaRisk import config as configs
    from TemporalGliomaRisk.errors import InputError
    from TemporalGliomaRisk.learn.cohort import read_cohort, split_patients
    from TemporalGliomaRisk.learn.cohort_findings import folders_without_row, visits_after_last_contact
    from TemporalGliomaRisk.learn.run_folder import SplitConfig

    patients = read_cohort(arguments.cohort)
    tell((*folders_without_row([arguments.cohort], patients), *visits_after_last_contact(patients)))
    if arguments.part == "all":
        return patients
    split = configs.from_json(SplitConfig, metadata["run"]["split"])
    first, second, third = split.fractions
    test = split_patients(patients, seed=split.seed, fractions=(first, second, third))["test"]
    if not test:
        raise InputError(
            f"The model's split leaves none of the {len(patients)} patients for the test part; name a cohort kept "
            "apart, with --part all."
        )
    return test


def _reference(arguments: argparse.Namespace, model: RiskModel) -> TrainedReference:
    """The run's reference model, refused where its rows would not be those of the bundle."""
    from TemporalGliomaRisk import config as configs
    from TemporalGliomaRisk.errors import InputError
    from TemporalGliomaRisk.learn.run_folder import RunFolder
    from TemporalGliomaRisk.learn.score_reference import load_reference

    run_folder = RunFolder.open(arguments.reference)
    if run_folder.config.preprocessing != model.preprocessing:
        raise InputError(
            "The reference model learnt from visits prepared otherwise than the bundle's; train both in one run."
        )
    if arguments.part == "test" and configs.to_json(run_folder.config.split) != model.metadata["run"]["split"]:
        raise InputError(
            "The reference model's run split the patients otherwise than the bundle's, so it may have seen the test "
            "part; train both in one run, or evaluate a cohort kept apart."
        )
    return load_reference(run_folder.reference_folder)


def _refuse_knowing_rival(arguments: argparse.Namespace, rival: RiskModel, model: RiskModel) -> None:
    """Refuse a rival that learnt from patients of what is the model's test part."""
    from TemporalGliomaRisk import config as configs
    from TemporalGliomaRisk.errors import UsageError
    from TemporalGliomaRisk.learn.learnt_from import knows_by_another_split, learnt_of_model
    from TemporalGliomaRisk.learn.run_folder import SplitConfig

    split = configs.from_json(SplitConfig, model.metadata["run"]["split"])
    learnt = learnt_of_model(rival.metadata)
    if arguments.part == "test" and knows_by_another_split(learnt, split, [arguments.cohort], kept_apart=["test"]):
        raise UsageError(
            "The model of --rival split this cohort otherwise and may have learnt from the test part; name a rival of "
            "the same split, or evaluate a cohort kept apart."
        )


def _who_was_seen(
    arguments: argparse.Namespace,
    patients: Sequence[CohortPatient],
    truths: Sequence[Mapping[str, Any] | None],
    model: RiskModel,
    other: RiskModel | None,
) -> Seen:
    """Find out who learnt from the patients, and say whose figures look better than they are for it."""
    from TemporalGliomaRisk.learn.cohort import read_cohort
    from TemporalGliomaRisk.learn.cohort_seen import who_saw
    from TemporalGliomaRisk.learn.learnt_from import learnt_of_model, learnt_of_run
    from TemporalGliomaRisk.learn.run_folder import RunFolder

    found = who_saw(
        patients,
        truths,
        model.metadata,
        test_part_of=read_cohort(arguments.cohort) if arguments.part == "test" else (),
        reference=learnt_of_run(RunFolder.open(arguments.reference)) if arguments.reference else (),
        rival=learnt_of_model(other.metadata) if other else (),
    )
    if found.learnt_from:
        whom = f"{found.patients} of these {len(patients)} patients" if found.patients else "this cohort"
        message = (
            f"The model learnt from {whom}, so these figures look better than they are; ask for --part test, or "
            "another cohort."
        )
        print(message, file=sys.stderr)
    for knows, option in ((found.by_reference, "--reference"), (found.by_rival, "--rival")):
        if knows:
            message = (
                f"The model of {option} learnt from patients of this cohort, so its figures look better than they are."
            )
            print(message, file=sys.stderr)
    return found


def _known(
    cohort: Path, patients: Sequence[CohortPatient], truths: Sequence[Mapping[str, Any] | None]
) -> list[KnownPatient]:
    """What is known of each patient beside the images: the line of participants.tsv, and the truth."""
    from TemporalGliomaRisk.evaluate.known_groups import KnownPatient
    from TemporalGliomaRisk.learn.cohort import read_participants

    said = {row["participant_id"]: row for _, row in read_participants(cohort)}
    return [
        KnownPatient(participant=said.get(patient.patient_id, {}), truth=truth)
        for patient, truth in zip(patients, truths, strict=True)
    ]


def _thresholds(metadata: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The bundle's thresholds of F1 for risk and single-visit risk; None for a bundle that has none."""
    from TemporalGliomaRisk.errors import ModelError

    said = metadata.get("f1_threshold")
    if said is None:
        return None, None
    names = ("risk", "single_visit_risk")
    numbers: list[Any] = [said.get(name) if isinstance(said, dict) else None for name in names]
    if not all(isinstance(number, (int, float)) and 0 <= number <= 1 for number in numbers):
        raise ModelError("f1_threshold of the model must hold two numbers of 0 to 1; fetch the model again.")
    return float(numbers[0]), float(numbers[1])


def _redone_by(arguments: argparse.Namespace, found: Mapping[str, Any]) -> list[str]:
    """Commands that simulate the patients again and repeat the evaluation; none for real or hand-picked patients."""
    from TemporalGliomaRisk.learn.cohort_facts import simulate_command

    drawn = found["cohort"]["drawn"]
    if len(drawn) != 1 or drawn[0]["patients"] != found["patients"]:
        return []
    no_gaps = drawn[0]["last_patient"] - drawn[0]["first_patient"] + 1 == found["patients"]
    simulate = simulate_command(drawn[0], "COHORT")
    # The test part is told by labels, so it is the same of all patients from the first to the last of it.
    if simulate is None or not (no_gaps or arguments.part == "test"):
        return []
    options = [f"--cohort COHORT --model MODEL --part {arguments.part}"]
    options += [f"{name} {name[2:].upper()}" for name in ("--reference", "--rival") if vars(arguments)[name[2:]]]
    options += [f"--seed {arguments.seed} --resamples {arguments.resamples}"]
    options += [f'--order-patients {arguments.order_patients} --title "{arguments.title}" --output DIR']
    return [simulate, f"python -m TemporalGliomaRisk evaluate {' '.join(options)}"]


def _write_plots(folder: Path, suffix: str, found: Mapping[str, Any], model: RiskModel) -> list[str]:
    """Write the plots that the numbers suffice for, remove older ones that they don't, and give the names written."""
    from TemporalGliomaRisk.evaluate.words import whom
    from TemporalGliomaRisk.report.model_plots import calibration_figure, discrimination_figure, write_plot

    heading = f"{model.name}, {found['title'].lower()}: {whom(found)}"
    written = []
    for kind, draw in (("discrimination", discrimination_figure), ("calibration", calibration_figure)):
        path = folder / f"{kind}{suffix}.png"
        figure = draw(found, heading=heading, caveat=model.metadata["caveat"])
        if figure is None:
            path.unlink(missing_ok=True)
        else:
            write_plot(figure, path)
            written.append(path.name)
    return written


def _suffix(title: str) -> str:
    """What the pictures' names end in."""
    return "" if title == MAIN_TITLE else "-" + re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")


def _refuse_shared_pictures(title: str, card: str) -> None:
    """Refuse a title whose pictures would take the place of another's in the card."""
    from TemporalGliomaRisk.errors import UsageError
    from TemporalGliomaRisk.learn.card_parts import titles_in

    others = [other for other in titles_in(card, "evaluation") if other != title and _suffix(other) == _suffix(title)]
    if others:
        raise UsageError(
            f"The card holds {others[0]!r}, whose pictures have the names that those of this --title would have; "
            "name a title that differs in more than signs and capitals, or that very one."
        )


def _write_card(arguments: argparse.Namespace, found: Mapping[str, Any], model: RiskModel) -> None:
    """Results, subgroups and plots into the bundle, in the section of this title; others stay as they are."""
    from TemporalGliomaRisk.bundle import CARD, seal_bundle
    from TemporalGliomaRisk.evaluate.words import results_text, subgroups_text
    from TemporalGliomaRisk.files import write_text_whole
    from TemporalGliomaRisk.learn.card_parts import card_with, has_part

    path = arguments.model / CARD
    title = arguments.title
    written = _write_plots(path.parent, _suffix(title), found, model)
    pictures = [f"![{name.split('.')[0]}]({name})" for name in written]
    results, subgroups = "\n\n".join([results_text(dict(found)), *pictures]), subgroups_text(found)
    card = path.read_text(encoding="utf-8")
    if has_part(card, "subgroups"):
        card = card_with(card, "subgroups", title, subgroups)
    else:
        results = f"{results}\n\nSubgroups:\n\n{subgroups}"
    write_text_whole(path, card_with(card, "evaluation", title, results))
    seal_bundle(arguments.model)
