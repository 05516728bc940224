"""A visit of a contrast unlike that of the others is told by the order of its intensities, and not learnt from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.learn.agreement import agreeing, contrast_agreement
from TemporalGliomaRisk.learn.finetune import FinetuneConfig
from TemporalGliomaRisk.learn.stored_patient import StoredPatient


def turned(patient: StoredPatient, visit: int, sequence: int) -> StoredPatient:
    """The patient with what is bright in one file dark."""
    volumes = patient.volumes.copy()
    volumes[patient.volume_index(visit, sequence)] *= -1
    return replace(patient, volumes=volumes)


def test_a_turned_contrast_in_one_sequence_is_told_whatever_the_scale_of_the_others(make_stored) -> None:
    patient = make_stored(1, visits=4)
    assert contrast_agreement(patient).min() > 0.6
    found = contrast_agreement(turned(patient, 2, 3))
    assert found[2] < -0.6
    assert found[[0, 1, 3]].min() > 0.6
    brighter = patient.volumes.copy()
    brighter[patient.volume_index(1, 0)] = 2 * brighter[patient.volume_index(1, 0)] + 1
    np.testing.assert_allclose(
        contrast_agreement(replace(patient, volumes=brighter)), contrast_agreement(patient), atol=1e-3
    )


def test_a_sequence_that_no_other_visit_has_agrees(make_stored) -> None:
    assert contrast_agreement(make_stored(1, visits=1)).tolist() == [1]


def test_what_is_learnt_from_begins_with_the_first_visit_that_agrees(make_stored) -> None:
    patient = replace(
        turned(make_stored(1, visits=4), 0, 3), cavity_centres_ijk=(None, (1, 1, 1), (2, 2, 2), (3, 3, 3))
    )
    (left,) = agreeing([patient], 0.6)
    assert left.days_since_first.tolist() == [0, 100, 200]
    assert left.days_since_treatment.tolist() == [140, 240, 340]
    assert left.days_to_end.tolist() == patient.days_to_end[1:].tolist()
    assert left.cavity_centres_ijk == ((1, 1, 1), (2, 2, 2), (3, 3, 3))
    for visit in range(3):
        np.testing.assert_array_equal(left.visit_volumes(visit), patient.visit_volumes(visit + 1))
    # Mapped from disk, voxels stay there.
    assert all(np.shares_memory(one, patient.volumes) for one in left.volumes)
    assert int(left.growth.sum()) == 6**3 - 4**3 < int(patient.growth.sum())


def test_growth_is_told_by_the_diameters_of_the_visits_that_are_left(make_stored) -> None:
    """By masks alone a border that grew is like one that moved; diameters of other visits would tell it wrong."""
    diameters = (9.0, 9.0, 9.0, 12.0)
    truth = {"visits": [{"lesion_diameters_mm": {"growth": diameter}} for diameter in diameters]}
    patient = replace(turned(make_stored(1, visits=4), 1, 3), truth=truth)
    (left,) = agreeing([patient], 0.6)

    assert [visit["lesion_diameters_mm"]["growth"] for visit in left.truth["visits"]] == [9.0, 9.0, 12.0]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        as_all = patient.growth_between(one + (one > 0), two + 1)
        for found, wanted in zip(left.growth_between(one, two), as_all, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_of_two_visits_that_do_not_agree_neither_is_learnt_from(make_stored) -> None:
    unlike, usual = turned(make_stored(2, visits=2), 1, 3), make_stored(3)
    assert agreeing([unlike, usual], 0.6) == [usual]
    assert agreeing([unlike, usual], -1.0) == [unlike, usual]


def test_an_agreement_that_is_no_correlation_is_refused() -> None:
    with pytest.raises(UsageError, match="--least-agreement"):
        FinetuneConfig(least_agreement=60.0)
