"""Where the heatmap lies on real MRI: its share inside tumour or lesion change against chance, and each visit's risk.

    python Testing/science/real_pairs.py --real ../shared/data --output Testing/benchmarks/results/real_pairs.json \\
        --pictures FOLDER --drawing Resources/Screenshots/real_pairs.png

Adults, two dates at most, other diseases: none tells whether a risk is right. Chance is the mask's share of the brain,
which a flat map would give. Everything is reported as it is. The montages show the images, which stay out of this
repository; the drawing shows maps and outlines alone.
"""

# ruff: noqa: T201 (a script: it prints what it finds)

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from TemporalGliomaRisk import RESEARCH_USE_ONLY
from TemporalGliomaRisk.colours import LEAST_SCALE_TOP, heat_colours
from TemporalGliomaRisk.files import write_json_whole

MASKS = "glioblastoma_pairs/derivatives/tumour_masks/{patient}/{visit}/anat/{patient}_{visit}_{ending}"
MASK_ENDING = "ce-gd_T1w_desc-tumour_mask.nii.gz"
CHANGE = "ms_pair/derivatives/registered/sub-01/sub-01_space-common_desc-lesionchange_mask.nii.gz"
PAPER, BRAIN, OUTLINE = "#101418", "#404448", "#7fd4ff"
DPI = 110


@dataclass(frozen=True, kw_only=True)
class RealCase:
    """A timeline, and what is known to be tumour or change in it.

    Args:
        name: What the table calls it.
        timeline: Its folder.
        masks: Mask file by visit number.
        change: Whether the masks mark change since the visit before, so that the change map is measured, too.
        options: Further options of ``predict``.
    """

    name: str
    timeline: Path
    masks: dict[int, Path]
    change: bool = False
    options: tuple[str, ...] = ()


def real_cases(real: Path) -> list[RealCase]:
    """The cases of the folder of real MRI."""
    glioblastoma = [
        RealCase(
            name=f"glioblastoma {patient}",
            timeline=real / "glioblastoma_pairs" / patient,
            masks={
                number: real / MASKS.format(patient=patient, visit=f"ses-{number:02d}", ending=MASK_ENDING)
                for number in (1, 2)
            },
        )
        for patient in ("sub-01", "sub-05")
    ]
    registered = RealCase(
        name="multiple sclerosis, registered by its authors",
        timeline=real / "ms_pair" / "derivatives" / "registered" / "sub-01",
        masks={2: real / CHANGE},
        change=True,
        options=("--register", "never"),
    )
    single = RealCase(name="glioma, one date", timeline=real / "glioma_single" / "sub-01", masks={})
    return [*glioblastoma, registered, single]


def measured(case: RealCase, folder: Path) -> dict[str, Any]:
    """Predict a case into a folder, and compare its maps with its masks."""
    command = [sys.executable, "-m", "TemporalGliomaRisk", "predict", str(case.timeline), "--output", str(folder)]
    subprocess.run([*command, "--device", "cpu", *case.options], check=True, capture_output=True)
    record = json.loads((folder / "risk.json").read_text(encoding="utf-8"))
    visits = []
    for number, visit in enumerate(record["visits"], start=1):
        found: dict[str, Any] = {
            "visit": number,
            "risk": visit["risk"],
            "risk_low": visit["risk_low"],
            "risk_high": visit["risk_high"],
            "warnings": [warning["code"] for warning in visit["warnings"]],
        }
        if number in case.masks:
            found["risk_map"] = share_inside(folder / visit["heatmap"], case.masks[number])
            if case.change:
                found["change_map"] = share_inside(folder / visit["change_heatmap"], case.masks[number])
        visits.append(found)
    return {"case": case.name, "visits": visits}


def share_inside(heatmap: Path, mask: Path) -> dict[str, float]:
    """Share of a map's rise inside a mask, the mask's share of the brain, and whether the peak lies in it.

    A change map counts where it rises. Map and mask lie on one grid, or this is refused.
    """
    picture, region = sitk.ReadImage(str(heatmap)), sitk.ReadImage(str(mask))
    same = np.allclose(picture.GetOrigin(), region.GetOrigin(), atol=0.1) and picture.GetSize() == region.GetSize()
    if not same or not np.allclose(picture.GetDirection(), region.GetDirection(), atol=1e-3):
        raise SystemExit(f"{mask.name} lies on another grid than the map; nothing was measured.")
    values, inside = sitk.GetArrayFromImage(picture).astype(np.float64), sitk.GetArrayFromImage(region) > 0
    brain, rise = values != 0, np.maximum(values, 0.0)
    return {
        "share": float(rise[inside].sum() / rise.sum()),
        "chance": float((inside & brain).sum() / brain.sum()),
        "peak_inside": float(inside[rise == rise.max()].mean()),
    }


@dataclass(frozen=True, kw_only=True)
class SeenFromAbove:
    """A visit's map and mask projected along the body's axis: front up, the patient's left on the right.

    Args:
        heat: (rows, columns), the highest hazard per mL.
        brain: (rows, columns), where there is any brain.
        mask: (rows, columns), where there is any of the mask; None where the visit has none.
        shape: Height over width of a pixel.
    """

    heat: np.ndarray
    brain: np.ndarray
    mask: np.ndarray | None
    shape: float


def seen_from_above(heatmap: Path, mask: Path | None) -> SeenFromAbove:
    """A map and its mask, turned to one orientation and projected."""
    picture = sitk.DICOMOrient(sitk.ReadImage(str(heatmap)), "LPS")
    values = sitk.GetArrayFromImage(picture).astype(np.float64)
    brain = values != 0
    rows, columns = (np.flatnonzero(brain.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    region = None
    if mask is not None:
        inside = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(mask)), "LPS")) > 0
        region = inside.any(axis=0)[box]
    across, down, _ = picture.GetSpacing()
    return SeenFromAbove(heat=values.max(axis=0)[box], brain=brain.any(axis=0)[box], mask=region, shape=down / across)


def drawing(cases: list[dict[str, Any]], seen: list[list[SeenFromAbove]]) -> Figure:
    """Every visit of every pair: the hazard over the outline of the brain, and the outline of the mask."""
    figure = Figure(figsize=(3.0 * len(cases), 6.9), dpi=DPI, facecolor=PAPER)
    panels = figure.subplots(2, len(cases), squeeze=False)
    for column, (case, visits) in enumerate(zip(cases, seen, strict=True)):
        top = max(LEAST_SCALE_TOP, *(float(visit.heat.max()) for visit in visits))
        for row, (found, visit) in enumerate(zip(case["visits"], visits, strict=True)):
            axes = panels[row, column]
            part = np.clip(visit.heat / top, 0, 1)
            alpha = np.clip(2 * part, 0, 1)[..., None]
            under = np.where(visit.brain[..., None], to_rgb(BRAIN), to_rgb(PAPER))
            pixels = (1 - alpha) * under + alpha * heat_colours(part) / 255
            axes.imshow(pixels, aspect=visit.shape, interpolation="nearest")
            if visit.mask is not None:
                axes.contour(visit.mask, levels=[0.5], colors=OUTLINE, linewidths=1.1)
            title = f"visit {found['visit']}: risk {found['risk']:.0%}\n"
            if inside := found.get("risk_map"):
                title += f"{inside['share']:.0%} of the hazard inside, by chance {inside['chance']:.1%}"
            axes.set_title(title if row else f"{case['case'].split(',')[0]}\n{title}", color="white", fontsize=9)
            axes.set_axis_off()
    figure.tight_layout()
    return figure


def main(arguments: argparse.Namespace) -> int:
    """Measure every case and write the numbers, the montages and the drawing of the pairs."""
    cases, pairs, seen = [], [], []
    for case in real_cases(arguments.real):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            cases.append(measured(case, folder))
            if case.masks:
                record = json.loads((folder / "risk.json").read_text(encoding="utf-8"))
                maps = [folder / visit["heatmap"] for visit in record["visits"]]
                pairs.append(cases[-1])
                seen.append([seen_from_above(path, case.masks.get(number)) for number, path in enumerate(maps, 1)])
            if arguments.pictures:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
                title = case.name.replace(", ", "-").replace(" ", "-")
                (arguments.pictures / f"{title}.png").write_bytes((folder / "montage.png").read_bytes())
        print(as_line(cases[-1]), flush=True)
    if arguments.drawing:
        drawing(pairs, seen).savefig(arguments.drawing, facecolor=PAPER, metadata={"Software": None})
    write_json_whole(arguments.output, {"caveat": RESEARCH_USE_ONLY, "cases": cases})
    return 0


def as_line(case: dict[str, Any]) -> str:
    """A case in a line."""
    parts = []
    for visit in case["visits"]:
        text = f"visit {visit['visit']}: risk {visit['risk']:.0%} ({visit['risk_low']:.0%} to {visit['risk_high']:.0%})"
        for kind in ("risk_map", "change_map"):
            if kind in visit:
                text += (
                    f", {kind.replace('_', ' ')} {visit[kind]['share']:.1%} inside (chance {visit[kind]['chance']:.1%})"
                )
        parts.append(text)
    return f"{case['case']}: " + "; ".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder of real MRI")
    parser.add_argument("--output", type=Path, required=True, help="JSON of all numbers")
    parser.add_argument("--pictures", type=Path, help="folder for the montages, which show the images")
    parser.add_argument("--drawing", type=Path, help="picture of the pairs' maps and outlines, which does not")
    return parser


if __name__ == "__main__":
    sys.exit(main(_parser().parse_args()))
