"""Scores of single patients kept on disk, so that an evaluation that was ended goes on at the patient it was at.

What ``participants.tsv`` says of a patient isn't among them: it may hold a name or a date.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from TemporalGliomaRisk import __version__
from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.bundle import CARD, SUMS, RiskModel
from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.files import sha256_of_json, write_text_whole
from TemporalGliomaRisk.learn.prepared_inputs import files_state
from TemporalGliomaRisk.learn.score_reference import TrainedReference
from TemporalGliomaRisk.learn.stored_patient import stored_name
from TemporalGliomaRisk.patient_scoring import PatientScoring, ScoredPatient, Task
from TemporalGliomaRisk.resources import library_version
from TemporalGliomaRisk.visit_encoding import LIBRARIES

KEPT_VERSION = 1
"""Raised when scores are made otherwise than before."""


@dataclass(frozen=True, kw_only=True)
class KeptScores:
    """A folder of patients' scores.

    Args:
        folder: Made when first written to.
        made_by: What scores depend on beside the patient, from :func:`made_by`; files of anything else aren't used.
    """

    folder: Path
    made_by: str

    def load(self, task: Task) -> ScoredPatient | None:
        """A patient's scores; None where there are none, or none of these images, this outcome and this scoring."""
        try:
            content = json.loads(self._path(task).read_text(encoding="utf-8"))
            return configs.from_json(ScoredPatient, content["scores"]) if content["key"] == self._key(task) else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, UsageError):
            return None  # Whatever is wrong with it, the cure is to score the patient anew.

    def keep(self, task: Task, scored: ScoredPatient) -> None:
        """Write a patient's scores."""
        self.folder.mkdir(exist_ok=True)
        content = {"key": self._key(task), "scores": configs.to_json(scored)}
        write_text_whole(self._path(task), json.dumps(content, allow_nan=False))

    def _path(self, task: Task) -> Path:
        return self.folder / f"{stored_name(task.patient.patient_id)}.json"

    def _key(self, task: Task) -> str:
        patient = task.patient
        folders = [folder for folder in (patient.folder, patient.truth) if folder is not None]
        outcome = [patient.event_observed, patient.follow_up_days, patient.event_day_at_visit]
        return sha256_of_json([self.made_by, task.number, outcome, [files_state(folder) for folder in folders]])


def made_by(scoring: PatientScoring) -> str:
    """Everything that scores depend on beside the patient, hashed."""
    return sha256_of_json(
        {
            "versions": [__version__, KEPT_VERSION, *(library_version(library) for library in LIBRARIES)],
            "model": _files(scoring.model),
            "rival": _files(scoring.rival.model) if scoring.rival else None,
            "reference": _reference(scoring.peer) if scoring.peer else None,
            "seed": scoring.seed,
            "order_patients": scoring.order_patients,
            "device": device_of(scoring.model.network).type,
        }
    )


def _files(model: RiskModel) -> dict[str, str]:
    """All but the card with its plots, which evaluations write."""
    docs = CARD.partition("/")[0]
    return {name: digest for name, digest in model.files.items() if name != SUMS and name.partition("/")[0] != docs}


def _reference(peer: TrainedReference) -> list[Any]:
    weights = hashlib.sha256(save(peer.model.state_dict())).hexdigest()
    return [weights, peer.scale, configs.to_json(peer.config)]
