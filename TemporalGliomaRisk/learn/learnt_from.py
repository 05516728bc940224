"""Which patients weights learnt from, under which split, through every run and model that they went on from.

A run writes it down at each stage (``learnt_from.json``) and a model carries it in its metadata, so that whoever goes
on from either learns when it already knows patients who are to be watched or tested.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.errors import GliomaRiskError, InputError, UsageError
from TemporalGliomaRisk.files import read_json, write_json_whole
from TemporalGliomaRisk.learn.cohort import cohort_sha256, read_cohort, split_patients
from TemporalGliomaRisk.learn.cohort_facts import simulated_cohorts
from TemporalGliomaRisk.learn.known_images import images_of_real, known_images
from TemporalGliomaRisk.learn.run_folder import PREPARED, RunFolder, SplitConfig
from TemporalGliomaRisk.learn.stored_patient import StoredPatient

LEARNT_FROM = "learnt_from"


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """Cohorts that were split in one way.

    Args:
        split: How; patients of its test part were not learnt from. None where that is not known.
        cohorts_sha256: Hash of each cohort (:func:`~TemporalGliomaRisk.learn.cohort.cohort_sha256`).
        simulated_cohorts: What drew those of the patients who are simulated
            (:func:`~TemporalGliomaRisk.learn.cohort_facts.simulated_cohorts`).
        images_sha256: Hashes of images, by which real patients among them are recognised in any cohort
            (:func:`~TemporalGliomaRisk.learn.known_images.images_of_real`).
    """

    split: SplitConfig | None
    cohorts_sha256: tuple[str, ...]
    simulated_cohorts: tuple[Mapping[str, Any], ...] = ()
    images_sha256: tuple[str, ...] = ()


def learnt_of_stage(run_folder: RunFolder, cohorts: Sequence[Path], patients: Sequence[StoredPatient]) -> Learnt:
    """What a stage of a run learns from.

    Args:
        run_folder: The run.
        cohorts: Folders of its cohorts.
        patients: Those of them who learn or watch.
    """
    return Learnt(
        split=run_folder.config.split,
        cohorts_sha256=tuple(cohort_sha256(read_cohort(folder)) for folder in cohorts),
        simulated_cohorts=tuple(simulated_cohorts(one.truth for one in patients if one.truth is not None)),
        images_sha256=images_of_real(run_folder.folder / PREPARED, patients),
    )


def learnt_of_model(metadata: Mapping[str, Any]) -> tuple[Learnt, ...]:
    """What a bundle's metadata say; a bundle of before this was written down knows its own run's cohorts only.

    Raises:
        InputError: If they are not understood.
    """
    if LEARNT_FROM in metadata:
        return _from_json(metadata[LEARNT_FROM], "The model's metadata name no cohorts; fetch the model again.")
    written = (metadata.get("run") or {}).get("split")
    return (
        Learnt(
            split=None if written is None else configs.from_json(SplitConfig, written),
            cohorts_sha256=tuple(metadata.get("cohorts_sha256") or ()),
            simulated_cohorts=tuple(metadata.get("simulated_cohorts") or ()),
        ),
    )


def learnt_of_run(run_folder: RunFolder) -> tuple[Learnt, ...]:
    """What was written down in a run; nothing for a run of before.

    Raises:
        InputError: If the file is damaged.
    """
    path = run_folder.folder / f"{LEARNT_FROM}.json"
    damaged = f"{path.name} of the run, which held whom it learnt from, is damaged; bring it back, or begin a new run."
    return _from_json(read_json(path, damaged=damaged), damaged) if path.is_file() else ()


def note_learnt(run_folder: RunFolder, learnt: Iterable[Learnt]) -> None:
    """Write down in a run what else its weights have learnt from."""
    before = learnt_of_run(run_folder)
    together = together_once((*before, *learnt))
    if len(together) > len(before):
        write_json_whole(run_folder.folder / f"{LEARNT_FROM}.json", as_json(together))


def together_once(learnt: Iterable[Learnt]) -> list[Learnt]:
    """Each of them once, in the same order."""
    return list({json.dumps(configs.to_json(one), sort_keys=True): one for one in learnt}.values())


def as_json(learnt: Iterable[Learnt]) -> list[dict[str, Any]]:
    """For a file."""
    return [configs.to_json(one) for one in learnt]


def knows_by_another_split(
    learnt: Iterable[Learnt],
    split: SplitConfig,
    cohorts: Sequence[Path],
    *,
    kept_apart: Sequence[str] = ("validation", "test"),
) -> bool:
    """Whether cohorts were learnt from under another split, so that patients kept apart now are known.

    Args:
        learnt: Whom the weights learnt from.
        split: The one of now.
        cohorts: Folders of the cohorts.
        kept_apart: Parts whose patients may not be known, where a cohort is known by its patients alone, since it has
            grown or was corrected.
    """
    others = [one for one in learnt if one.split != split]
    hashes = {sha256 for one in others for sha256 in one.cohorts_sha256}
    images = {image for one in others for image in one.images_sha256}
    first, second, third = split.fractions
    for folder in cohorts if others else ():
        patients = read_cohort(folder)
        if cohort_sha256(patients) in hashes:
            return True
        parts = split_patients(patients, seed=split.seed, fractions=(first, second, third))
        if images and any(images & known_images(patient) for name in kept_apart for patient in parts[name]):
            return True
    return False


def refuse_another_split(learnt: Iterable[Learnt], split: SplitConfig, cohorts: Sequence[Path], *, whose: str) -> None:
    """Refuse to go on with weights that know patients whom a run watches or tests.

    Args:
        learnt: Whom the weights learnt from.
        split: The run's.
        cohorts: Folders of its cohorts.
        whose: What the weights are, to begin the sentence with.

    Raises:
        UsageError: If they learnt from one of the cohorts by another split.
    """
    if knows_by_another_split(learnt, split, cohorts):
        raise UsageError(
            f"{whose} learnt from this cohort by another split, so they know patients whom this run watches or tests. "
            "Begin a run with the --seed and --fractions of theirs."
        )


def _from_json(content: Any, damaged: str) -> tuple[Learnt, ...]:
    try:
        found = tuple(configs.from_json(Learnt, one) for one in content)
    except (TypeError, ValueError, AttributeError, KeyError, GliomaRiskError) as error:
        raise InputError(damaged) from error
    return found
