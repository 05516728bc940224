"""A prediction to write again and again, and faults where the package meets the system."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BIDS root of sub-01 and sub-02, two visits each on an oblique grid of 8 mm; ``mask.nii.gz`` is sub-01's brain."""
    from TemporalGliomaRisk.timeline.sitk_images import write_nifti  # noqa: PLC0415
    from TemporalGliomaRisk.timeline.volume import Volume  # noqa: PLC0415

    path = Path(__file__).parents[1] / "unit" / "timeline" / "conftest.py"
    spec = importlib.util.spec_from_file_location("small_heads", path)
    heads = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(heads)
    root = tmp_path_factory.mktemp("small")
    grid = heads.oblique_geometry((24, 28, 22), (8.0, 8.0, 8.5))
    for patient in (1, 2):
        visits = {f"{number:02d}": {"FLAIR": heads.head(10 * patient + number, geometry=grid)} for number in (1, 2)}
        heads.write_bids_patient(root, visits, rows=[("01", 0), ("02", 100)], patient=f"sub-{patient:02d}")
        brain = visits["01"]["FLAIR"].voxels > 0
        mask = Volume(voxels=brain.astype(np.uint8), geometry=grid)
        write_nifti(mask, root / f"sub-{patient:02d}_mask.nii.gz")
    return root


@pytest.fixture(scope="session")
def small_patient(small_patients: Path) -> Path:
    return small_patients / "sub-01"


@pytest.fixture(scope="session")
def brain_mask_file(small_patients: Path) -> Path:
    return small_patients / "sub-01_mask.nii.gz"


@pytest.fixture(scope="session")
def prediction(small_patient: Path, small_bundle: Path, brain_mask_file: Path) -> Any:
    """Of the small patient's two visits."""
    from TemporalGliomaRisk.bundle import load_bundle  # noqa: PLC0415
    from TemporalGliomaRisk.pipeline import PredictOptions, predict_risk  # noqa: PLC0415
    from TemporalGliomaRisk.timeline.image_file import VolumeFile  # noqa: PLC0415
    from TemporalGliomaRisk.timeline.reading import read_timeline  # noqa: PLC0415

    mask = VolumeFile(path=brain_mask_file, role="brain mask").read()
    options = PredictOptions(device="cpu", register="never")
    return predict_risk(read_timeline(small_patient), load_bundle(small_bundle), options=options, brain_mask=mask)


@pytest.fixture
def cheap_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps, slices and report are made once and then reused, the montage is blank; every file is written each time.

    Nothing waits for the disk: no test here can see whether bytes have reached it.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    from TemporalGliomaRisk import pipeline, results  # noqa: PLC0415
    from TemporalGliomaRisk.files import written_whole  # noqa: PLC0415
    from TemporalGliomaRisk.report import html  # noqa: PLC0415

    gather, render, carry = results.gather_pictures, html.render_report, pipeline.to_visit_grid
    kept: dict[Any, Any] = {}

    def gathered(record: Any, volumes: Iterator[Any]) -> Any:
        if "pictures" not in kept:
            kept["pictures"] = gather(record, volumes)
        for _ in volumes:
            pass
        return kept["pictures"]

    def rendered(*given: Any, **named: Any) -> str:
        if "report" not in kept:
            kept["report"] = render(*given, **named)
        return kept["report"]

    def carried(density: Any, geometry: Any, to_frame: Any) -> Any:
        key = id(density), geometry.ijk_to_ras.tobytes()
        if key not in kept:
            kept[key] = carry(density, geometry, to_frame)
        return kept[key]

    def blank(record: Any, pictures: Any, path: Path) -> None:
        with written_whole(path) as temporary:
            Figure(figsize=(1, 1), dpi=20).savefig(temporary, format="png")

    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(pipeline, "to_visit_grid", carried)
    monkeypatch.setattr(results, "gather_pictures", gathered)
    monkeypatch.setattr(html, "render_report", rendered)
    monkeypatch.setattr(results, "write_montage", blank)


class Faults:
    """Counts calls that change the disk, and fails the one asked for: the nearest to pulling a plug.

    A writer that fails leaves half its file. SimpleITK says nothing of a full disk, and raises an error of its own,
    with the path, for anything else.

    Args:
        at: Number of the call that fails, from 1; 0 for none.
        number: Its errno.
        act: Done instead of failing.
        at_each: Done before every call, and in the middle of every writing.
    """

    CALLS = ("mkdir", "fsync", "replace", "open", "unlink")

    def __init__(
        self,
        at: int = 0,
        number: int = errno.ENOSPC,
        act: Callable[[], None] | None = None,
        at_each: Callable[[], None] | None = None,
    ) -> None:
        self.at, self.number, self.act, self.at_each = at, number, act, at_each
        self.made: list[str] = []

    def count(self, name: str) -> None:
        self.made.append(name)
        if self.at_each is not None:
            self.at_each()
        if len(self.made) == self.at:
            if self.act is None:
                raise OSError(self.number, os.strerror(self.number), "/data/SECRETNAME")
            self.act()

    def _call(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self.count(name)
            return real(*given, **named)

        return call

    def _writer(self, name: str, real: Callable[..., Any], place: int) -> Callable[..., Any]:
        """A writer whose path is its argument number ``place``."""

        def half(*given: Any, **named: Any) -> None:
            real(*given, **named)
            os.truncate(given[place], Path(given[place]).stat().st_size // 2)

        def write(*given: Any, **named: Any) -> Any:
            try:
                self.count(name)
            except OSError:
                half(*given, **named)
                if name != "WriteImage":
                    raise
                if self.number == errno.ENOSPC:
                    return None
                raise RuntimeError("ITK ERROR: failed to write image: /data/SECRETNAME") from None
            if self.at_each is not None:
                half(*given, **named)
                self.at_each()
            return real(*given, **named)

        return write

    @contextlib.contextmanager
    def installed(self) -> Iterator[Faults]:
        import SimpleITK  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        writers = (
            (Path, "write_text", 0),
            (Path, "write_bytes", 0),
            (SimpleITK, "WriteImage", 1),
            (Figure, "savefig", 1),
        )
        with pytest.MonkeyPatch.context() as patch:
            for name in self.CALLS:
                patch.setattr(os, name, self._call(name, getattr(os, name)))
            for owner, name, place in writers:
                patch.setattr(owner, name, self._writer(name, getattr(owner, name), place))
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
