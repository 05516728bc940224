"""Whether the risk answers growth of every size and look: known growth laid into the last visit of stable patients.

    python Testing/science/growth_response.py --cohort COHORT --prepared RUN/prepared --model BUNDLE --output FOLDER

Patients are the first without an event, with two visits or more, in whom nothing grew. One lesion a patient
(TemporalGliomaRisk/learn/implants.py), in one place and shape, is given every diameter and look in turn; what is told
is how far the risk at the last visit rises over that without it. Two controls: the largest at every visit, which stands
still, and at every visit but the last, which is gone: neither should raise the risk. growth_response.json and
growth_response.png are written.

Training sees implants of these kinds, in other patients: this asks whether a lesson was learnt, not whether it fits
real tumours.
"""

# ruff: noqa: T201 (a script: it prints what it finds)

from __future__ import annotations

import argparse
import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.encode.evidence import brain_cells
from TemporalGliomaRisk.files import write_json_whole
from TemporalGliomaRisk.learn.cohort import read_cohort
from TemporalGliomaRisk.learn.implants import FATES, ImplantConfig, implant
from TemporalGliomaRisk.learn.scoring import visit_days
from TemporalGliomaRisk.learn.stored_patient import StoredPatient, load_patient
from TemporalGliomaRisk.report.model_plots import BLACK, BLUE, DPI, GRID, INK, ORANGE, WARN
from TemporalGliomaRisk.risk.ensemble import TimelineRisk, VisitHazards

DIAMETERS_MM = (4.0, 6.0, 8.0, 10.0, 14.0, 20.0, 28.0)
PLAIN = ImplantConfig(
    chance=1, fates=tuple(float(name == "appears") for name in FATES), rim_chance=0, unusual_sign_chance=0
)
LOOKS = {
    "signal 2.5, as tumours have it": replace(PLAIN, signal=(2.5, 2.5)),
    "signal 1, as tumours have it": replace(PLAIN, signal=(1.0, 1.0)),
    "signal 2.5, dark where tumours are bright": replace(PLAIN, signal=(2.5, 2.5), unusual_sign_chance=1),
}
SAID = {
    "signal 2.5, as tumours have it": "bright: 2.5 units of scaled intensity",
    "signal 1, as tumours have it": "faint: 1 unit",
    "signal 2.5, dark where tumours are bright": "2.5 units of the unusual sign (dark on FLAIR)",
}
STYLES = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (BLACK, "D", ":"))
CONTROLS = ("stands still", "gone at the last visit")


class Patient:
    """A prepared patient whose last visit, or any other, may be given a lesion."""

    def __init__(self, model: RiskModel, stored: StoredPatient, seed: int, voxel_mm: float) -> None:
        self._model, self._stored, self._seed, self._voxel_mm = model, stored, seed, voxel_mm
        self._inside = torch.from_numpy(stored.brain).float()
        self._cells = brain_cells(torch.from_numpy(stored.brain))
        self._days = visit_days(stored)

    def with_lesion(self, visit: int, diameter_mm: float, look: ImplantConfig) -> tuple[torch.Tensor, torch.Tensor]:
        """A visit's volumes with the lesion, (4, I, J, K), and where it is, (I, J, K)."""
        radius = diameter_mm / 2 / self._voxel_mm
        sized = replace(look, radius_voxels=(radius, radius))
        volumes = self.plain(visit)
        random = torch.Generator().manual_seed(self._seed)
        _, later, there = implant(volumes, volumes, self._inside, sized, random)
        return later * torch.from_numpy(self._stored.present[visit])[:, None, None, None], there[1]

    def plain(self, visit: int) -> torch.Tensor:
        """A visit's volumes as they are."""
        return torch.from_numpy(self._stored.visit_volumes(visit))

    def begin(self) -> TimelineRisk:
        """A pass that has seen nothing."""
        calibrations = self._model.calibration, self._model.single_visit_calibration
        return TimelineRisk(self._model.network, *calibrations)

    def see(self, running: TimelineRisk, visit: int, volumes: torch.Tensor) -> VisitHazards:
        """One visit's pass."""
        present = torch.from_numpy(self._stored.present[visit])
        features = self._model.network.encode_visit(volumes, present, self._cells)
        return running.see(features, present, self._days[visit])

    def points_at(self, hazards: VisitHazards, where: torch.Tensor) -> bool:
        """Whether the map's peak lies in the lesion."""
        return bool(brain_cells(where)[self._cells][hazards.horizon_terms.argmax()])

    @torch.inference_mode()
    def answers(self) -> dict[str, Any]:
        """Risk at the last visit: as it is, with each lesion, and with the controls."""
        last = self._stored.visits - 1
        running = self.begin()
        for visit in range(last):
            self.see(running, visit, self.plain(visit))
        plain = self.see(copy.copy(running), last, self.plain(last))
        looks = {}
        for name, look in LOOKS.items():
            rows = []
            for diameter in DIAMETERS_MM:
                volumes, where = self.with_lesion(last, diameter, look)
                hazards = self.see(copy.copy(running), last, volumes)
                rows.append({"risk": hazards.risk, "pointing": self.points_at(hazards, where)})
            looks[name] = rows
        look = next(iter(LOOKS.values()))
        running = self.begin()
        for visit in range(last):
            self.see(running, visit, self.with_lesion(visit, DIAMETERS_MM[-1], look)[0])
        still = self.with_lesion(last, DIAMETERS_MM[-1], look)[0]
        controls = [self.see(copy.copy(running), last, volumes).risk for volumes in (still, self.plain(last))]
        return {"plain": plain.risk, "looks": looks, "controls": dict(zip(CONTROLS, controls, strict=True))}


def stable(patient: StoredPatient) -> bool:
    """Whether nothing happens to a patient who came at least twice."""
    return not patient.event_observed and patient.visits > 1 and patient.growth is not None and not patient.growth.any()


def summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Percentiles over the patients: the risk as it is, and its rise by look and diameter and by the controls."""

    def spread(values: list[float]) -> dict[str, float]:
        low, median, high = np.percentile(values, (10, 50, 90)).tolist()
        return {"from_10th_percentile": low, "median": median, "to_90th_percentile": high}

    def row(name: str, place: int) -> dict[str, Any]:
        rises = [case["looks"][name][place]["risk"] - case["plain"] for case in cases]
        pointing = [case["looks"][name][place]["pointing"] for case in cases]
        return {"diameter_mm": DIAMETERS_MM[place], "rise": spread(rises), "pointing": float(np.mean(pointing))}

    return {
        "patients": len(cases),
        "plain": spread([case["plain"] for case in cases]),
        "looks": {name: [row(name, place) for place in range(len(DIAMETERS_MM))] for name in LOOKS},
        "controls": {name: spread([case["controls"][name] - case["plain"] for case in cases]) for name in CONTROLS},
    }


def picture(found: dict[str, Any], heading: str, caveat: str) -> Figure:
    """Rise of the risk against the diameter laid in, a line a look, with the patients' spread."""
    figure = Figure(figsize=(7.6, 4.8), dpi=DPI)
    axes = figure.add_axes((0.1, 0.2, 0.86, 0.62))
    for (name, rows), (colour, mark, line) in zip(found["looks"].items(), STYLES, strict=True):
        across = [row["diameter_mm"] for row in rows]
        low, middle, high = (
            [100 * row["rise"][key] for row in rows] for key in ("from_10th_percentile", "median", "to_90th_percentile")
        )
        axes.fill_between(across, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(across, middle, color=colour, marker=mark, linestyle=line, label=SAID[name])
        axes.plot(across, low, color=colour, linewidth=0.8)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel="diameter of the growth (mm)", ylabel="rise of the risk (percentage points)", ylim=(-10, 100))
    axes.set_xticks(DIAMETERS_MM, [f"{one:g}" for one in DIAMETERS_MM])
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper left")
    figure.text(0.1, 0.94, heading, color=INK, fontsize=12, weight="bold", va="top")
    figure.text(
        0.1,
        0.885,
        f"median, and 10th (thin line) to 90th percentile, of {found['patients']} stable patients",
        color=INK,
        va="top",
    )
    figure.text(0.1, 0.03, caveat, color=WARN, fontsize=8)
    return figure


def main(arguments: argparse.Namespace) -> int:
    """Measure, write, and say in a line a look what came out."""
    model = load_bundle(arguments.model)
    cases = []
    for one in read_cohort(arguments.cohort):
        if len(cases) == arguments.patients:
            break
        if not (arguments.prepared / one.patient_id).is_dir():
            continue
        stored = load_patient(arguments.prepared, one.patient_id)
        if stable(stored):
            cases.append(Patient(model, stored, len(cases) + 1, model.preprocessing.grid_mm).answers())
            print(f"{len(cases)} of {arguments.patients} patients", end="\r", file=sys.stderr)
    if not cases:
        raise SystemExit("The cohort has no prepared patient without an event in whom nothing grew.")
    found = {"caveat": model.metadata["caveat"], "model": model.name, "sha256": model.sha256, **summary(cases)}
    write_json_whole(arguments.output / "growth_response.json", found)
    figure = picture(found, f"{model.name}: growth laid into stable patients", model.metadata["caveat"])
    figure.savefig(arguments.output / "growth_response.png")
    print(f"without growth {found['plain']['median']:.0%}")
    for name, rows in found["looks"].items():
        print(
            name, *(f"{row['diameter_mm']:g} mm {row['rise']['median']:+.1%} ({row['pointing']:.0%})" for row in rows)
        )
    for name, spread in found["controls"].items():
        print(f"{name}: {spread['median']:+.1%}")
    return 0


def arguments() -> argparse.Namespace:
    """What to measure, on whom."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True, help="its prepared patients")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(arguments()))
