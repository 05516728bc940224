"""From a finished run to a bundle: heads joined to the encoder, calibration, facts for its metadata."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import TemporalGliomaRisk
from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.bundle import SIMULATED, only_simulated
from TemporalGliomaRisk.encode.evidence import EvidenceModel
from TemporalGliomaRisk.encode.pairs import OrderHead
from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.learn.checkpoints import load_checkpoint, read_settings
from TemporalGliomaRisk.learn.cohort_facts import cohort_facts, simulated_cohorts
from TemporalGliomaRisk.learn.run_folder import RunFolder
from TemporalGliomaRisk.learn.scoring import ScoredVisit
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.risk.calibration import Calibration, fit_calibration
from TemporalGliomaRisk.risk.hazards import HORIZON_INTERVALS
from TemporalGliomaRisk.timeline.visit import SEQUENCES


def assemble_network(run_folder: RunFolder) -> EvidenceModel:
    """The ``evidence`` model of a run: its pretrained encoder, all its members, its single-visit head.

    Raises:
        InputError: If a head is missing, or was begun and not ended.
    """
    members = _members(run_folder)
    single = run_folder.heads_folder / "single.safetensors"
    unfinished = any(
        not one.with_suffix(".safetensors").exists() for one in run_folder.heads_folder.glob("member-*.json")
    )
    order = run_folder.order_file
    order_begun = any(order.parent.glob(f"{order.stem}.*")) and not order.exists()
    if not members or not single.exists() or unfinished or order_begun:
        raise InputError("The run lacks fine-tuned heads; run finetune to its end first.")
    network = EvidenceModel(run_folder.config.model, len(members))
    network.encoder.load_state_dict(run_folder.pretrained().encoder.state_dict())
    for head, path in zip(network.members, members, strict=True):
        load_checkpoint(path, head)
    load_checkpoint(single, network.single)
    return network.eval()


def _members(run_folder: RunFolder) -> list[Path]:
    paths = sorted(run_folder.heads_folder.glob("member-*.safetensors"))
    return [path for path in paths if path.stem.count(".") == 0]


def finetuning_settings(run_folder: RunFolder) -> dict[str, Any] | None:
    """Settings of the first member's fine-tuning, which the others share but for the seed; None if not written."""
    path = run_folder.heads_folder / "member-1.json"
    if not path.is_file():
        return None
    settings: dict[str, Any] = read_settings(path, what="A head of this run")
    return settings


def heads_begun_from(run_folder: RunFolder) -> dict[str, Any] | None:
    """``name`` and ``sha256`` of the model whose heads a run's began with; None for fresh ones.

    A run of before ``learnt_from.json`` says ``cohorts_sha256`` here, too.
    """
    if not run_folder.beginning_of_heads.is_file():
        return None
    what = "The beginning of this run's heads"
    found = read_settings(run_folder.beginning_of_heads, what=what)
    known = found if isinstance(found, dict) else {}
    cohorts = known.get("cohorts_sha256", [])
    if not (
        isinstance(cohorts, list)
        and all(isinstance(one, str) for one in (*cohorts, known.get("name"), known.get("sha256")))
    ):
        raise InputError(f"{what} names no model; bring back {run_folder.beginning_of_heads.name}, or fine-tune again.")
    return known


def least_agreement(finetuning: Mapping[str, Any] | None) -> float:
    """Smallest agreement of contrast of the visits learnt from, by a model's ``finetuning``; -1 where all were."""
    return float((finetuning or {}).get("least_agreement", -1.0))


def order_head(run_folder: RunFolder) -> OrderHead | None:
    """The run's ordering head as taught on whole visits, None where it has none."""
    if not run_folder.order_file.exists():
        return None
    head = OrderHead(run_folder.config.model)
    load_checkpoint(run_folder.order_file, head)
    return head.eval()


def fit_both(rows: Sequence[ScoredVisit]) -> tuple[Calibration, Calibration]:
    """Calibration of the ensemble and of the single-visit head from uncalibrated rows.

    The single-visit head gives one sum for background and terms, so its two constants are one.
    """
    days = torch.tensor([row.days_to_end for row in rows], dtype=torch.float64)
    event = torch.tensor([row.event for row in rows])
    background = torch.stack([row.hazards.background for row in rows])
    local = torch.stack([row.hazards.terms.sum(dim=0) for row in rows])
    ensemble = fit_calibration(background, local, days, event)
    alone = torch.stack([row.hazards.single_visit_hazards for row in rows])
    single = fit_calibration(torch.zeros_like(alone), alone, days, event).local_scale
    return ensemble, Calibration(background_scale=single, local_scale=single)


def calibrated_risks(
    rows: Sequence[ScoredVisit], ensemble: Calibration, single: Calibration
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Risk and single-visit risk, both (rows,), from uncalibrated rows."""
    several = [
        ensemble.background_scale * row.hazards.background_hazard
        + ensemble.local_scale * float(row.hazards.horizon_terms.sum())
        for row in rows
    ]
    alone = [single.local_scale * float(row.hazards.single_visit_hazards[:HORIZON_INTERVALS].sum()) for row in rows]
    return -np.expm1(-np.array(several)), -np.expm1(-np.array(alone))


def bundle_metadata(
    name: str,
    run_folder: RunFolder,
    train: Sequence[StoredPatient],
    validation: Sequence[StoredPatient],
    *,
    drawn: Sequence[StoredPatient],
) -> dict[str, Any]:
    """What the bundle says of itself, read off the run and its patients, but for its :func:`caveat`.

    Args:
        name: The model's.
        run_folder: The finished run.
        train: Patients with the visits that the heads learnt from.
        validation: Patients with the visits that they were calibrated on.
        drawn: All patients of both parts with all their visits, those left out for their contrast too.
    """
    gaps = np.concatenate([np.diff(patient.days_since_first) for patient in train])
    simulated = [patient.truth for patient in drawn if patient.truth is not None]
    used_visits = sum(patient.visits for patient in (*train, *validation))
    versions = sorted({str(truth.get("simulator_version")) for truth in simulated})
    model = run_folder.config.model
    return {
        "name": name,
        "version": TemporalGliomaRisk.__version__,
        "task": "Risk of glioma recurrence within 365 days of each visit, from that visit and earlier ones",
        "intended_use": "Research use only; never a diagnosis.",
        "trained_on": " and ".join(["a user's cohort"] * (len(simulated) < len(drawn)) + [SIMULATED] * bool(simulated)),
        "simulator_versions": versions,
        "training_patients": len(train),
        "training_visits": int(sum(patient.visits for patient in train)),
        "validation_patients": len(validation),
        "validation_visits": int(sum(patient.visits for patient in validation)),
        "drawn_patients": len(drawn),
        "visits_left_out": int(sum(patient.visits for patient in drawn) - used_visits),
        "trained_gaps_days": [float(gaps.min()), float(gaps.max())] if len(gaps) else None,
        **cohort_facts(train, validation),
        "simulated_cohorts": simulated_cohorts(simulated),
        "members": len(_members(run_folder)),
        "finetuning": finetuning_settings(run_folder),
        "trained_visits": [1, int(max(patient.visits for patient in train))],
        "sequences": list(SEQUENCES),
        "limits": [
            "How it does on real children is not known: it has learnt from what is named above and nothing else.",
            "The members of the ensemble share one encoder, so their extremes say too little of what is not known.",
            "A map shows where the model's hazard lies, which need not be where tumour is.",
        ],
        "receptive_field_mm": model.receptive_field_voxels * run_folder.config.preprocessing.grid_mm,
        "run": configs.to_json(run_folder.config),
        "torch_version": importlib.metadata.version("torch"),
        "monai_version": importlib.metadata.version("monai"),
        "optional_packages_version": {"safetensors": importlib.metadata.version("safetensors")},
    }


def caveat(metadata: Mapping[str, Any]) -> str:
    """What stands beside every number, from a bundle's metadata with all that its weights learnt from."""
    return TemporalGliomaRisk.RESEARCH_USE_ONLY if only_simulated(metadata) else "Research use only."


def next_version(metadata: Mapping[str, Any], change: str) -> dict[str, Any]:
    """Metadata one patch version on, with what changed.

    Raises:
        InputError: If the version is not three numbers.
    """
    numbers = str(metadata.get("version")).split(".")
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        raise InputError("The model's version must be three numbers, such as 0.1.0; correct it.")
    version = ".".join([*numbers[:2], str(int(numbers[2]) + 1)])
    return {**metadata, "version": version, "changelog": {version: change, **metadata.get("changelog", {})}}


def licence_text() -> str:
    """The licence of the weights: the package's own, from the source tree or the installed metadata."""
    beside = Path(TemporalGliomaRisk.__file__).resolve().parents[1] / "LICENSE"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    return "SPDX-License-Identifier: Apache-2.0\n"
