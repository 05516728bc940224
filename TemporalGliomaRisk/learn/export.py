"""From a finished run to a bundle: heads joined to the encoder, calibration, facts for its metadata and card."""

from __future__ import annotations

import importlib.metadata
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import TemporalGliomaRisk
from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.encode.evidence import EvidenceModel
from TemporalGliomaRisk.encode.pairs import OrderHead
from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.explain.sanity import HeatmapSanity
from TemporalGliomaRisk.learn.checkpoints import load_checkpoint
from TemporalGliomaRisk.learn.prepared_store import StoredPatient
from TemporalGliomaRisk.learn.run_folder import RunFolder
from TemporalGliomaRisk.learn.scoring import ScoredVisit
from TemporalGliomaRisk.risk.calibration import Calibration, fit_calibration
from TemporalGliomaRisk.risk.doubt import Doubt
from TemporalGliomaRisk.timeline.visit import SEQUENCES

EVALUATION_BEGINS, EVALUATION_ENDS = "<!-- evaluation begins -->", "<!-- evaluation ends -->"
DOUBT_BEGINS, DOUBT_ENDS = "<!-- doubt begins -->", "<!-- doubt ends -->"
CARD_WIDTH = 118


def assemble_network(run_folder: RunFolder) -> EvidenceModel:
    """The ``evidence`` model of a run: its pretrained encoder, all its members, its single-visit head.

    Raises:
        InputError: If a head is missing.
    """
    paths = sorted(run_folder.heads_folder.glob("member-*.safetensors"))
    members = [path for path in paths if path.stem.count(".") == 0]
    single = run_folder.heads_folder / "single.safetensors"
    if not members or not single.exists():
        raise InputError("The run lacks fine-tuned heads; run finetune to its end first.")
    network = EvidenceModel(run_folder.config.model, len(members))
    network.encoder.load_state_dict(run_folder.pretrained().encoder.state_dict())
    for head, path in zip(network.members, members, strict=True):
        load_checkpoint(path, head)
    load_checkpoint(single, network.single)
    return network.eval()


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


def bundle_metadata(
    name: str, run_folder: RunFolder, train: Sequence[StoredPatient], validation: Sequence[StoredPatient]
) -> dict[str, Any]:
    """What the bundle says of itself, read off the run and its patients."""
    gaps = np.concatenate([np.diff(patient.days_since_first) for patient in train])
    simulated = [patient.truth for patient in (*train, *validation) if patient.truth is not None]
    versions = sorted({str(truth.get("simulator_version")) for truth in simulated})
    model = run_folder.config.model
    return {
        "name": name,
        "version": TemporalGliomaRisk.__version__,
        "task": "Risk of glioma recurrence within 365 days of each visit, from that visit and earlier ones",
        "intended_use": "Research use only; never a diagnosis.",
        "trained_on": "simulated data" if len(simulated) == len(train) + len(validation) else "a user's cohort",
        "caveat": TemporalGliomaRisk.RESEARCH_USE_ONLY if simulated else "Research use only.",
        "simulator_versions": versions,
        "training_patients": len(train),
        "training_visits": int(sum(patient.visits for patient in train)),
        "validation_patients": len(validation),
        "validation_visits": int(sum(patient.visits for patient in validation)),
        "trained_gaps_days": [float(gaps.min()), float(gaps.max())] if len(gaps) else None,
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


def model_card(metadata: Mapping[str, Any], ensemble: Calibration, single: Calibration) -> str:
    """The model card without results; ``evaluate --card`` writes those between its markers."""
    low, high = metadata["trained_gaps_days"] or (float("nan"), float("nan"))
    return f"""# {metadata["name"]}

{metadata["caveat"]} Never a diagnosis.

## What it gives

For every visit of a patient's timeline, the risk that the glioma recurs within 365 days of that visit, from that
visit and earlier ones only, and a heatmap whose sum over the brain, with the background, is that risk's hazard.

## Population and endpoint

Trained on {metadata["trained_on"]}: {metadata["training_patients"]} patients with {metadata["training_visits"]} visits
before the event; {metadata["validation_patients"]} further patients with {metadata["validation_visits"]} visits decided
when to stop and gave the calibration. Gaps between visits were {low:.0f} to {high:.0f} days, and a timeline had up to
{metadata["trained_visits"][1]} visits. An event is the first day on which true lesion growth passes 25 % in
cross-section over the smallest so far and is at least 10 mm across. No child's image was used, and nothing here says
how the model does on one.

## Model

`evidence`: a shared 3-D encoder sees each sequence of each visit on its own; at every place a recurrence carries the
comparisons with the first and the previous visit; local hazards add up over the brain. Receptive field
{metadata["receptive_field_mm"]:.0f} mm. Pretrained on pairs of visits (which visit came first and, where a simulator's
truth is there, where the lesion grew), then fine-tuned on timelines by the discrete-time likelihood with censoring.
The members of the ensemble share the encoder and differ in seed and in a bootstrap of the training patients: their
extremes are a spread, not a confidence interval.

## Calibration

Positive scaling only, by likelihood on the validation patients: background x {ensemble.background_scale:.3f}, local
terms x {ensemble.local_scale:.3f}; single-visit head x {single.local_scale:.3f}.

{DOUBT_BEGINS}
{DOUBT_ENDS}

## Results

{EVALUATION_BEGINS}
Not yet evaluated.
{EVALUATION_ENDS}
"""


def card_with_results(card: str, results: str) -> str:
    """A card with the text between its markers replaced.

    Raises:
        InputError: If the card has no markers.
    """
    before, begins, rest = card.partition(EVALUATION_BEGINS)
    _, ends, after = rest.partition(EVALUATION_ENDS)
    if not (begins and ends):
        raise InputError("The model card has no markers for results; write the bundle again with calibrate.")
    return f"{before}{begins}\n{results.strip()}\n{ends}{after}"


def card_with_doubt(card: str, doubt: Doubt | None, sanity: HeatmapSanity) -> str:
    """A card that says when not to believe the model; an earlier account of it is replaced."""
    before, begins, rest = card.partition(DOUBT_BEGINS)
    _, ends, after = rest.partition(DOUBT_ENDS)
    if not (begins and ends):
        before, results, after = card.partition("## Results")
        before, after = before.rstrip("\n") + "\n\n", f"\n\n{results}{after}"
    usual = "Too few visits were there to say what is unlike training." if doubt is None else _usual_text(doubt)
    text = f"## When not to believe it\n\n{usual}\n\n{_sanity_text(sanity)}"
    return f"{before}{DOUBT_BEGINS}\n{text}\n{DOUBT_ENDS}{after}"


def _usual_text(doubt: Doubt) -> str:
    text = (
        "A visit is called unlike training by a Mahalanobis distance (shrunk covariance) of its encoder features, "
        "pooled in the brain, its intensities and the size of its brain; and likewise by its change since the first "
        f"visit. What is usual comes from {doubt.training_visits} training visits; the threshold lets pass all but "
        f"{doubt.false_alarm_rate:.0%} of {doubt.validation_visits} visits of {doubt.validation_patients} validation "
        "patients. Members count as at odds when the logarithms of their hazards lie "
        f"{doubt.at_odds_above:.2f} or more apart, which {doubt.at_odds_rate:.0%} of those visits pass. Both rates "
        "were set before any wrong input was looked at. A first visit's risk rests on one visit and is always called "
        "uncertain. Left and right are not told apart."
    )
    return textwrap.fill(text, CARD_WIDTH)


def _sanity_text(sanity: HeatmapSanity) -> str:
    text = (
        f"Weight randomisation of the heatmap, {sanity.visits} validation patients at their last visit, {sanity.seeds} "
        f"random networks a stage (mean, 5th to 95th percentile; overlap by chance {sanity.top_share:.0%}):"
    )
    rows = [
        "| random weights | rank correlation over the brain | "
        f"overlap of the highest {sanity.top_share:.0%} of places |",
        "| --- | --- | --- |",
    ]
    rows += [
        f"| {stage.randomised} | {stage.correlation:.2f} [{stage.correlation_low:.2f}, {stage.correlation_high:.2f}] | "
        f"{stage.top_overlap:.0%} |"
        for stage in sanity.stages
    ]
    if sanity.members_correlation is not None and sanity.members_top_overlap is not None:
        rows.append(
            f"| none: two of its own members | {sanity.members_correlation:.2f} | {sanity.members_top_overlap:.0%} |"
        )
    return "\n".join([textwrap.fill(text, CARD_WIDTH), "", *rows])


def licence_text() -> str:
    """The licence of the weights: the package's own, from the source tree or the installed metadata."""
    beside = Path(TemporalGliomaRisk.__file__).resolve().parents[1] / "LICENSE"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    return "SPDX-License-Identifier: Apache-2.0\n"
