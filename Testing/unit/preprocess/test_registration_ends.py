"""A registration gives the same bits however many threads there are, and stops where it is told to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from TemporalGliomaRisk.errors import Cancelled
from TemporalGliomaRisk.preprocess.alignment import SEEDS, prepared_for_metric
from TemporalGliomaRisk.preprocess.brain_mask import background_of, head_mask
from TemporalGliomaRisk.preprocess.descent import Fixed, run_level
from TemporalGliomaRisk.preprocess.grid import canonical
from TemporalGliomaRisk.preprocess.template_mask import template, template_mask
from TemporalGliomaRisk.progress import cancellable
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.volume import Volume


@pytest.fixture(scope="module")
def head(simulated_patient: Path) -> Volume:
    """A head at about 2 mm, oblique, with its scalp."""
    volume = canonical(read_timeline(simulated_patient).visits[0].sources["T2w"].read())
    return prepared_for_metric(volume, background_of(volume).value)


@pytest.fixture
def with_threads() -> Callable[[int], None]:
    """Sets SimpleITK's number of threads for one test."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    yield sitk.ProcessObject.SetGlobalDefaultNumberOfThreads
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def test_a_descent_ends_on_the_same_bits_with_any_number_of_threads(
    head: Volume, with_threads: Callable[[int], None]
) -> None:
    content = head_mask(head)
    fixed = Fixed(volume=head, mask=content, brain=content)
    start = np.eye(4)
    start[:3, 3] = (6.0, -4.0, 3.0)
    ends = []
    for threads in (1, 2, 4, 4):
        with_threads(threads)
        ends.append(run_level(fixed, head, start, level_mm=4.0, step_mm=1.0, iterations=30, seed=SEEDS[0]).tobytes())
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads
    assert len(set(ends)) == 1


@pytest.mark.parametrize("error", [Cancelled("stop"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [1, 10, 400])
def test_a_template_match_stops_at_the_next_iteration_and_says_nothing(
    head: Volume, error: BaseException, at: int, capfd: pytest.CaptureFixture[str]
) -> None:
    template()
    looked = 0

    def look() -> None:
        nonlocal looked
        looked += 1
        if looked >= at:
            raise error

    hook = sys.excepthook
    with cancellable(look), pytest.raises(type(error)):
        template_mask(head)
    assert looked == at
    assert sys.excepthook is hook
    assert capfd.readouterr().err == ""


def test_after_a_cancel_the_next_match_is_as_if_there_had_been_none(head: Volume) -> None:
    wanted, similarity = template_mask(head)

    def look() -> None:
        raise Cancelled("stop")

    with cancellable(look), pytest.raises(Cancelled):
        template_mask(head)
    found, again = template_mask(head)
    assert again == similarity
    assert np.array_equal(found.voxels, wanted.voxels)
