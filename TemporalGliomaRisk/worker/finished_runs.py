"""Runs that are done: asked for again, they are not done again.

A run is named by a hash of all that its files depend on, and its files by their own hashes: a folder that was touched
since is not taken for a result.
"""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import TemporalGliomaRisk
from TemporalGliomaRisk.bundle import RiskModel
from TemporalGliomaRisk.files import alone_in, sha256_of, sha256_of_json, written_together, written_whole
from TemporalGliomaRisk.preprocess.keys import volume_key
from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.results import RISK, SCENE, maps_of_earlier_run
from TemporalGliomaRisk.run import PredictRequest, RequestInputs

MOST_RUNS = 32

Reuse = Literal["kept", "copied"]


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """What a run left behind.

    Args:
        folder: Where.
        files: SHA-256 by path inside the folder.
        answer: What the host was told of it.
    """

    folder: Path = field(repr=False)
    files: Mapping[str, str]
    answer: Mapping[str, Any]


class FinishedRuns:
    """The last runs of this process."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, FinishedRun] = OrderedDict()

    def remember(self, key: str, run: FinishedRun) -> None:
        """Keep a run, and forget the one longest unused where there are too many."""
        self._runs[key] = run
        self._runs.move_to_end(key)
        while len(self._runs) > MOST_RUNS:
            self._runs.popitem(last=False)

    def reuse(self, key: str, folder: Path) -> tuple[FinishedRun, Reuse] | None:
        """The run of a key with its files in ``folder``; None where it must be done again.

        Args:
            key: From :func:`key_of`.
            folder: Where the files are wanted: left as they are if they are there, else copied.

        Raises:
            OutputError: If the folder cannot be written to; what was there before stays.
        """
        run = self._runs.get(key)
        if run is None or not _holds(run.folder, run.files):
            return None
        self._runs.move_to_end(key)
        if run.folder.resolve() == folder.resolve():
            return run, "kept"
        with alone_in(folder, check_cancelled):
            stale = [SCENE, *maps_of_earlier_run(folder)]
            with written_together(folder, last=RISK, stale=stale) as staged:
                for name in run.files:
                    with written_whole(staged / name) as temporary:
                        shutil.copyfile(run.folder / name, temporary)
        return (run, "copied") if _holds(folder, run.files) else None


def key_of(request: PredictRequest, inputs: RequestInputs, model: RiskModel, device: str) -> str | None:
    """Hash of all that a run's files depend on; None for volumes that are not files.

    Args:
        request: Its options; where the results go doesn't matter.
        inputs: The timeline, whose files are hashed here, and the mask.
        model: The model.
        device: The device that will be used.
    """
    timeline = inputs.timeline
    sources = [(visit, name, visit.sources[name].files) for visit in timeline.visits for name in visit.sequences]
    if not all(files for _, _, files in sources):
        return None
    content = {
        "version": TemporalGliomaRisk.__version__,
        "model": model.sha256,
        "device": device,
        "options": {**request.options(), "patient": None, "mask": "none" if request.mask == "none" else "auto"},
        "mask": None if inputs.brain_mask is None else volume_key(inputs.brain_mask),
        "patient": timeline.patient_id,
        "identity": dict(timeline.identity) if request.identified else None,
        "findings": [asdict(finding) for finding in timeline.findings],
        "volumes": [
            [visit.session_id, visit.days_since_first, visit.days_since_treatment, name, *map(sha256_of, files)]
            for visit, name, files in sources
        ],
    }
    return sha256_of_json(content)


def files_of(folder: Path, record: Mapping[str, Any], *, scene: bool) -> list[str]:
    """The files of a result, by their paths inside its folder, risk.json last.

    Args:
        folder: Of the result.
        record: What risk.json holds.
        scene: Whether a scene was asked for.
    """
    named = ["audit.json", "report.html", "montage.png", "risk.tsv", *([SCENE] if scene else [])]
    for visit in record["visits"]:
        named += [visit[kind] for kind in ("heatmap", "change_heatmap") if visit[kind]]
    return [*(name for name in named if (folder / name).is_file()), RISK]


def _holds(folder: Path, files: Mapping[str, str]) -> bool:
    try:
        return all(sha256_of(folder / name) == wanted for name, wanted in files.items())
    except OSError:
        return False
