"""The trained reference model as ``evaluate`` meets it: one calibrated risk a landmark row, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.encode.reference import ReferenceModel
from TemporalGliomaRisk.errors import GliomaRiskError, InputError
from TemporalGliomaRisk.files import write_json_whole
from TemporalGliomaRisk.learn.checkpoints import load_checkpoint, read_settings
from TemporalGliomaRisk.learn.finetune_reference import (
    FINAL,
    SETTINGS,
    ReferenceTrainingConfig,
    plain_timeline,
    timeline_hazards,
)
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.risk.calibration import fit_calibration
from TemporalGliomaRisk.risk.hazards import horizon_hazard

CALIBRATION = "calibration.json"
WHAT = "The reference model of this run"
LARGEST_SCALE = 1e6


@dataclass(frozen=True, kw_only=True)
class TrainedReference:
    """A trained reference model with its one calibration constant.

    Args:
        model: The network in evaluation mode.
        config: What it was trained with.
        scale: Positive factor on every hazard, of largest likelihood on the validation patients.
    """

    model: ReferenceModel
    config: ReferenceTrainingConfig
    scale: float

    def risks(self, patient: StoredPatient) -> list[float]:
        """Calibrated risk of an event within the horizon at each of a patient's visits, oldest first."""
        hazards = self.scale * raw_hazards(self.model, patient, self.config)
        return [float(risk) for risk in -torch.expm1(-horizon_hazard(hazards))]


@torch.inference_mode()
def raw_hazards(model: ReferenceModel, patient: StoredPatient, config: ReferenceTrainingConfig) -> Tensor:
    """(visits, 4) uncalibrated interval hazards, in double precision."""
    return timeline_hazards(model, plain_timeline(patient, config.pooling)).double()


def calibrate_reference(
    model: ReferenceModel,
    validation: Sequence[StoredPatient],
    folder: Path,
    *,
    config: ReferenceTrainingConfig,
    advance: Callable[[int], object] = lambda done: None,
) -> TrainedReference:
    """Fit the constant on the validation patients and write it beside the weights."""
    found = []
    for patient in validation:
        found.append(raw_hazards(model, patient, config))
        advance(1)
    hazards = torch.cat(found)
    days = torch.cat([torch.from_numpy(patient.days_to_end) for patient in validation])
    event = torch.cat([torch.full((patient.visits,), patient.event_observed) for patient in validation])
    scale = fit_calibration(torch.zeros_like(hazards), hazards, days, event).local_scale
    write_json_whole(folder / CALIBRATION, {"scale": scale})
    return TrainedReference(model=model, config=config, scale=scale)


def load_reference(folder: Path) -> TrainedReference:
    """A reference model whose training and calibration have ended.

    Raises:
        InputError: If they have not, or a file of it is damaged.
    """
    if not all((folder / name).is_file() for name in (SETTINGS, FINAL, CALIBRATION)):
        raise InputError(
            "The run lacks a trained and calibrated reference model; run finetune --architecture reference to its end."
        )
    content = read_settings(folder / SETTINGS, what=WHAT)
    found = read_settings(folder / CALIBRATION, what=WHAT)
    scale = found.get("scale") if isinstance(found, dict) else None
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < LARGEST_SCALE:
        raise InputError(f"{WHAT} has a {CALIBRATION} that holds no positive factor; remove it and run finetune again.")
    try:
        config = configs.from_json(ReferenceTrainingConfig, content)
        model = ReferenceModel(config.model)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, GliomaRiskError) as error:
        raise InputError(f"{WHAT} has a {SETTINGS} that is not understood; bring it back.") from error
    load_checkpoint(folder / FINAL, model)
    return TrainedReference(model=model.eval(), config=config, scale=scale)
