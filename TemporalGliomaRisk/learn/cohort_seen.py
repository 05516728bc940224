"""Which patients of a cohort a model learnt from: a hash tells a whole cohort, numbers and images any part of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from TemporalGliomaRisk.learn.cohort import CohortPatient, cohort_sha256, split_patients
from TemporalGliomaRisk.learn.cohort_facts import simulated_cohorts
from TemporalGliomaRisk.learn.known_images import known_images
from TemporalGliomaRisk.learn.learnt_from import Learnt, learnt_of_model
from TemporalGliomaRisk.learn.run_folder import SplitConfig


def learnt_from_cohort(patients: Sequence[CohortPatient], metadata: Mapping[str, Any]) -> bool:
    """Whether a bundle's metadata name this very cohort, all of its patients, among those it learnt from."""
    return cohort_sha256(patients) in metadata.get("cohorts_sha256", ())


def seen_patients(
    patients: Sequence[CohortPatient], truths: Sequence[Mapping[str, Any] | None], metadata: Mapping[str, Any]
) -> int | None:
    """How many of the patients a model learnt from, training and validation alike.

    Simulated ones are known by population, seed and number, real ones by the images of their first visit.

    Those learnt from by a run or model that it went on from count, too; patients kept for the end by the split of each
    don't. Numbers between the first and the last that are named all do, also where some of them are missing.

    Args:
        patients: Of the cohort to evaluate.
        truths: What :meth:`~CohortPatient.truth_record` of each gave.
        metadata: The bundle's.

    Returns:
        None where no patient is known to have been seen but it is not certain that none was: a patient, or some of
        those learnt from, were not simulated, the metadata are older, or weights or heads began with another model's.
    """
    found = _seen(patients, truths, learnt_of_model(metadata))
    if found:
        return found
    of_simulated = sum(one["patients"] for one in metadata.get("simulated_cohorts") or [])
    counted = metadata.get("training_patients", 0) + metadata.get("validation_patients", 0)
    learnt_from = metadata.get("drawn_patients", counted)  # those of whom every visit was left out included
    begun = (metadata.get("run") or {}).get("begun_from") or metadata.get("heads_begun_from")
    everybody = None not in truths and all({"seed", "patient_number"} <= set(truth or ()) for truth in truths)
    return 0 if everybody and of_simulated == learnt_from > 0 and not begun else None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of who has learnt from patients that are evaluated.

    Args:
        learnt_from: Whether the model has, from some of them at least.
        patients: From how many; None where that isn't known.
        held_out: Whether they are those of the model's own cohort that its split keeps for the end.
        by_reference: Whether a reference model beside it has.
        by_rival: Whether another model beside it has.
    """

    learnt_from: bool
    patients: int | None
    held_out: bool = False
    by_reference: bool = False
    by_rival: bool = False


def who_saw(
    patients: Sequence[CohortPatient],
    truths: Sequence[Mapping[str, Any] | None],
    metadata: Mapping[str, Any],
    *,
    test_part_of: Sequence[CohortPatient] = (),
    reference: Sequence[Learnt] = (),
    rival: Sequence[Learnt] = (),
) -> Seen:
    """Who has learnt from the patients of an evaluation.

    Args:
        patients: Those evaluated.
        truths: What :meth:`~CohortPatient.truth_record` of each gave.
        metadata: The bundle's.
        test_part_of: The whole cohort, where they are the part of it that the bundle's split keeps for the end.
        reference: What a reference model beside it learnt from.
        rival: What another model beside it learnt from.
    """
    seen, cohort = seen_patients(patients, truths, metadata), cohort_sha256(patients)

    def knows(learnt: Sequence[Learnt]) -> bool:
        return any(cohort in one.cohorts_sha256 for one in learnt) or bool(_seen(patients, truths, learnt))

    return Seen(
        learnt_from=bool(seen) or learnt_from_cohort(patients, metadata),
        patients=seen,
        held_out=bool(test_part_of) and learnt_from_cohort(test_part_of, metadata),
        by_reference=knows(reference),
        by_rival=knows(rival),
    )


def _seen(
    patients: Sequence[CohortPatient], truths: Sequence[Mapping[str, Any] | None], learnt: Sequence[Learnt]
) -> int:
    """How many of the patients are named by number and not kept for the end, or are real and known by their images."""
    images = {image for one in learnt for image in one.images_sha256}
    return sum(
        bool(images and images & known_images(patient))
        if truth is None
        else any(_learnt(patient, truth, one) for one in learnt)
        for patient, truth in zip(patients, truths, strict=True)
    )


def _learnt(patient: CohortPatient, truth: Mapping[str, Any], learnt: Learnt) -> bool:
    (drawn,) = simulated_cohorts([truth])
    named = any(
        (one["population"], one["seed"]) == (drawn["population"], drawn["seed"])
        and one["first_patient"] <= drawn["first_patient"] <= one["last_patient"]
        for one in learnt.simulated_cohorts
    )
    return named and not _of_test_part(patient, truth, learnt.split)


def _of_test_part(patient: CohortPatient, truth: Mapping[str, Any], split: SplitConfig | None) -> bool:
    """Whether a split keeps a patient for the end, by the label that the simulator gave."""
    if split is None:
        return False
    first, second, third = split.fractions
    named = replace(patient, patient_id=f"sub-{truth.get('patient_number', 0):05d}")
    return bool(split_patients((named,), seed=split.seed, fractions=(first, second, third))["test"])
