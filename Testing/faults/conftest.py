"""A prediction to write again and again, and faults where the package meets the system."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def brain_mask_file(simulated_patient: Path) -> Path:
    name = simulated_patient.name
    return simulated_patient.parent / "truth" / name / f"{name}_desc-brain_mask.nii.gz"


@pytest.fixture(scope="session")
def prediction(simulated_patient: Path, small_bundle: Path, brain_mask_file: Path) -> Any:
    """Of the simulated patient's first two visits."""
    from TemporalGliomaRisk.bundle import load_bundle  # noqa: PLC0415
    from TemporalGliomaRisk.pipeline import PredictOptions, predict_risk  # noqa: PLC0415
    from TemporalGliomaRisk.timeline.image_file import VolumeFile  # noqa: PLC0415
    from TemporalGliomaRisk.timeline.reading import read_timeline  # noqa: PLC0415
    from TemporalGliomaRisk.timeline.visit import Timeline  # noqa: PLC0415

    whole = read_timeline(simulated_patient)
    two = Timeline(patient_id=whole.patient_id, visits=whole.visits[:2], findings=whole.findings)
    mask = VolumeFile(path=brain_mask_file, role="brain mask").read()
    return predict_risk(
        two, load_bundle(small_bundle), options=PredictOptions(device="cpu", register="never"), brain_mask=mask
    )


@pytest.fixture
def cheap_pictures(prediction: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices are gathered once and then reused; maps are still written each time, by the volumes that go by."""
    from TemporalGliomaRisk import results  # noqa: PLC0415

    plainly, kept = results.gather_pictures, []

    def gathered(record: Any, volumes: Iterator[Any]) -> Any:
        if not kept:
            kept.append(plainly(record, volumes))
        else:
            for _ in volumes:
                pass
        return kept[0]

    monkeypatch.setattr(results, "gather_pictures", gathered)


class Faults:
    """Counts calls that change the disk, and fails the one asked for: the nearest to pulling a plug.

    Args:
        at: Number of the call that fails, from 1; 0 for none.
        number: Its errno.
        act: Done instead of failing.
    """

    CALLS = ("mkdir", "fsync", "replace", "open")

    def __init__(self, at: int = 0, number: int = errno.ENOSPC, act: Callable[[], None] | None = None) -> None:
        self.at, self.number, self.act = at, number, act
        self.made: list[str] = []

    def count(self, name: str) -> None:
        self.made.append(name)
        if len(self.made) == self.at:
            if self.act is None:
                raise OSError(self.number, os.strerror(self.number), "/data/SECRETNAME")
            self.act()

    @contextlib.contextmanager
    def installed(self) -> Iterator[Faults]:
        real = {name: getattr(os, name) for name in self.CALLS}
        write_text = Path.write_text

        def wrapped(name: str) -> Callable[..., Any]:
            def call(*given: Any, **named: Any) -> Any:
                self.count(name)
                return real[name](*given, **named)

            return call

        def half_written(path: Path, data: str, *given: Any, **named: Any) -> int:
            before = len(self.made)
            try:
                self.count("write")
            except OSError:
                write_text(path, data[: len(data) // 2], *given, **named)
                raise
            finally:
                assert len(self.made) == before + 1
            return write_text(path, data, *given, **named)

        with pytest.MonkeyPatch.context() as patch:
            for name in self.CALLS:
                patch.setattr(os, name, wrapped(name))
            patch.setattr(Path, "write_text", half_written)
            yield self


@pytest.fixture
def faults() -> type[Faults]:
    return Faults


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path."""
    if not folder.exists():
        return {}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    return everything
