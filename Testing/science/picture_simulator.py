"""Pictures of simulated timelines: one PNG a population, what grows outlined, to look at as a reader would.

    python Testing/science/picture_simulator.py --population wide --patients 3 8 --seed 1 --output FILE.png

Slices lie along the grid's third axis (near axial), the patient's right at the reader's left.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from TemporalGliomaRisk.simulate import patient as patients
from TemporalGliomaRisk.simulate.config import POPULATIONS, SIMULATOR_VERSIONS, SimulationConfig

MOST_VISITS = 6
LONGEST_CAPTION = 125
CELL_INCHES = (1.3, 1.45)
SHOWN = ("FLAIR", "T2w", "ce-gd_T1w", "T1w")
NAMES = {"ce-gd_T1w": "T1w + Gd"}


def as_seen(slice_ij: np.ndarray) -> np.ndarray:
    """A slice (I, J) with right at the left and the front at the top."""
    return np.asarray(slice_ij[::-1, ::-1].T)


def best_slice(visits: list[patients.SimulatedVisit], truth: patients.PatientTruth) -> int:
    """The slice in which most grows, else most swells under treatment, else most tumour is, else through the bed."""
    grown = visits[-1].lesion & ~visits[0].lesion
    if grown.sum() > 10:
        return int(grown.sum(axis=(0, 1)).argmax())
    effect = truth.reactions.treatment_effect
    if effect is not None:
        peak = effect.onset_day + effect.peak_days
        swelling = patients.reaction_maps(truth.reactions, truth.anatomy, truth.surgery, peak).swelling
        return int(swelling.sum(axis=(0, 1)).argmax()) + truth.surgery.box[2].start
    if visits[0].lesion.sum() > 10:
        return int(visits[0].lesion.sum(axis=(0, 1)).argmax())
    return round(truth.surgery.centre_mm[2] / 2.0 + 39.5)


def chosen_days(count: int) -> list[int]:
    """Which of a patient's visits are shown: the first, the last, and evenly between."""
    return sorted(set(np.linspace(0, count - 1, min(count, MOST_VISITS)).round().astype(int).tolist()))


def rows_of(number: int, population: str, seed: int, fraction: float) -> dict[str, Any]:
    """A patient's visits, the sequences most often there, and the slice."""
    truth = patients.draw_truth(SimulationConfig(population=population, recurrent_fraction=fraction), seed, number)
    visits = [patients.render_visit(truth, visit) for visit in chosen_days(len(truth.visit_days))]
    often = sorted(SHOWN, key=lambda name: -sum(name in visit.volumes for visit in visits))[:2]
    often.sort(key=SHOWN.index)
    sequences = [name for name in often if any(name in visit.volumes for visit in visits)]
    return {"truth": truth, "visits": visits, "sequences": sequences, "slice": best_slice(visits, truth)}


def caption(truth: patients.PatientTruth) -> str:
    """Age, what was left, what came, and what only looks like it."""
    after_surgery = truth.schedule.first_days_since_treatment + (truth.event_day or 0)
    event = f"event on day {after_surgery}" if truth.event_observed else "no event"
    growing = patients.parameters_of(truth)["growth_origin"] if truth.event_observed else None
    others = [name.replace("_", " ") for name in patients.distractors_of(truth)]
    left = truth.surgery.extent.replace("_", " ") + ("" if truth.surgery.extent == "biopsy" else " resection")
    age = f"{truth.age_years:.0f} years" if truth.age_years >= 2 else f"{12 * truth.age_years:.0f} months"
    said = f"{age}, {left}, {event}{f' ({growing})' if growing else ''}"
    for kept in range(len(others), 0, -1):
        line = f"{said}; also: {', '.join(others[:kept])}{' and more' if kept < len(others) else ''}"
        if len(line) <= LONGEST_CAPTION:
            return line
    return said


def draw_cell(axes: Any, visit: patients.SimulatedVisit, sequence: str, layer: int) -> None:
    """One sequence of one visit, the lesion outlined."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("black")
    if sequence not in visit.volumes:
        axes.text(0.5, 0.5, "not acquired", color="0.6", fontsize=7, ha="center", va="center", transform=axes.transAxes)
        return
    voxels = visit.volumes[sequence].voxels
    inside = voxels[voxels > 0]
    low, high = np.quantile(inside, [0.005, 0.995])
    axes.imshow(as_seen(voxels[:, :, layer]), cmap="gray", vmin=0.7 * low, vmax=high, interpolation="bilinear")
    lesion = as_seen(visit.lesion[:, :, layer])
    if lesion.any():
        axes.contour(lesion.astype(float), levels=[0.5], colors="#ffb000", linewidths=1.1)
    for letter, place in (("R", 0.03), ("L", 0.97)):
        axes.text(
            place,
            0.88,
            letter,
            color="w",
            fontsize=7,
            ha="left" if letter == "R" else "right",
            transform=axes.transAxes,
        )


def main(words: list[str]) -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--population", choices=POPULATIONS, default="main")
    parser.add_argument("--patients", type=int, nargs="+", required=True)
    parser.add_argument("--slices", type=int, nargs="+", help="slice of each patient instead of the telling one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recurrent-fraction", type=float, default=0.45)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(words)
    found = [
        rows_of(number, arguments.population, arguments.seed, arguments.recurrent_fraction)
        for number in arguments.patients
    ]
    for one, layer in zip(found, arguments.slices or [], strict=False):
        one["slice"] = layer if layer >= 0 else one["slice"]
    columns = max(len(one["visits"]) for one in found)
    rows = sum(len(one["sequences"]) for one in found)
    width, height = CELL_INCHES[0] * columns + 0.35, CELL_INCHES[1] * rows + 0.5 * len(found) + 0.5
    figure = Figure(figsize=(width, height), facecolor="black", dpi=105)
    version = SIMULATOR_VERSIONS[arguments.population]
    said = (
        "Simulated, not patients. Research use only. Days after surgery; outlined: true tumour.",
        f"Population {arguments.population} (version {version}), seed {arguments.seed}",
    )
    for line, words_of_line in enumerate(said):
        figure.text(0.01, 1.0 - (0.14 + 0.17 * line) / height, words_of_line, color="w", fontsize=8, va="center")
    top = 1.0 - 0.42 / height
    for one in found:
        figure.text(0.01, top - 0.13 / height, caption(one["truth"]), color="#ffd27f", fontsize=7, va="center")
        top -= 0.42 / height
        for column, visit in enumerate(one["visits"]):
            middle = (0.35 + CELL_INCHES[0] * (column + 0.5)) / width
            figure.text(
                middle, top + 0.06 / height, f"day {visit.days_since_treatment}", color="w", fontsize=7, ha="center"
            )
        for sequence in one["sequences"]:
            top -= CELL_INCHES[1] / height
            name = NAMES.get(sequence, sequence)
            figure.text(0.008, top + 0.7 / height, name, color="w", fontsize=7, rotation=90, va="center")
            for column, visit in enumerate(one["visits"]):
                left = (0.35 + CELL_INCHES[0] * column) / width
                axes = figure.add_axes((left, top, 0.97 * CELL_INCHES[0] / width, 0.97 * CELL_INCHES[1] / height))
                draw_cell(axes, visit, sequence, one["slice"])
        top -= 0.08 / height
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, facecolor="black")
    # Greys and two colours: a palette halves the file.
    Image.open(drawn).convert("RGB").quantize(160, dither=Image.Dither.NONE).save(arguments.output, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
