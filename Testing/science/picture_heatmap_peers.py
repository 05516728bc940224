"""One picture of what heatmap_peers.py measured: four maps and true growth on the same slices, and the curves.

    python Testing/science/picture_heatmap_peers.py FOLDER

FOLDER is the output of heatmap_peers.py; heatmap_peers.png is written there.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from TemporalGliomaRisk.colours import heat_colours
from TemporalGliomaRisk.report.colours import grey_pixels, with_heat

PICTURED = {
    "ours": "Ours: the terms\nof the sum",
    "Grad-CAM": "Grad-CAM",
    "integrated gradients, from the first visit": "Integrated gradients,\nfrom the first visit",
    "occlusion, by the first visit": "Occlusion,\nby the first visit",
}
LINES = {
    "ours": ("#ffb000", "-", 2.2),
    "Grad-CAM": ("#648fff", "-", 1.4),
    "integrated gradients, from the first visit": ("#3fc1a8", "-", 1.4),
    "occlusion, by the first visit": ("#dc6bb4", "-", 1.4),
    "true growth": ("#e8ebf0", "--", 1.4),
    "random order": ("#98a2b0", ":", 1.4),
}
PAPER, INK, DIM, OUTLINE = "#0e1116", "#e8ebf0", "#98a2b0", "#5ef0ff"
TILE_IN, GAP_IN, ROW_GAP_IN, LEFT_IN, WIDTH_IN = 1.68, 0.08, 0.24, 1.0, 10.0
TOP_IN, CURVES_IN, FOOT_IN = 1.62, 2.9, 1.35
SHOWN_CASES = 4
NEAR_MM = 64.0
"""Edge of the square around growth that the maps are shown on; cells are 4 mm."""
DPI = 140


def as_seen(slice_ij: np.ndarray) -> np.ndarray:
    """A slice (I, J), i to the right and j to the front, with the patient's right at the left, the front at the top."""
    return np.asarray(slice_ij[::-1, ::-1].T)


def chosen(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cases from the smallest to the largest growth, in even steps of rank: not the best ones."""
    ranked = sorted(cases, key=lambda case: case["growth_diameter_mm"])
    places = np.linspace(0, len(ranked) - 1, min(SHOWN_CASES, len(ranked))).round().astype(int)
    return [ranked[place] for place in dict.fromkeys(places.tolist())]


@dataclass(frozen=True)
class Window:
    """A square of a slice; what lies outside the grid is black."""

    first: tuple[int, int]
    edge: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """(I, J, ...) to (edge, edge, ...)."""
        wide = np.pad(pixels, [(self.edge, self.edge)] * 2 + [(0, 0)] * (pixels.ndim - 2))
        i, j = (start + self.edge for start in self.first)
        return wide[i : i + self.edge, j : j + self.edge]


def around(mask: np.ndarray, edge: int | None = None) -> Window:
    """The square around the middle of a mask's box, as large as needed unless told."""
    i, j = np.nonzero(mask)
    edge = edge or int(max(np.ptp(i), np.ptp(j))) + 9
    return Window((_first(i, edge), _first(j, edge)), edge)


def _first(places: np.ndarray, edge: int) -> int:
    return (int(places.min()) + int(places.max()) + 1 - edge) // 2


def tile(figure: Figure, corner: tuple[float, float]) -> Any:
    """Axes of a tile whose lower left corner lies so many inches from the figure's."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((corner[0] / width, corner[1] / height, TILE_IN / width, TILE_IN / height))
    axes.set_axis_off()
    return axes


def draw_case(figure: Figure, folder: Path, case: dict[str, Any], bottom: float) -> None:
    """A row: the sequence with true growth outlined, and each map over its surroundings."""
    stored = np.load(folder / "cases" / f"{case['patient_id']}.npz")
    brain = stored["brain"]
    low, high = np.quantile(stored["image"][brain], [0.01, 0.995])
    grey = grey_pixels(np.where(brain, stored["image"], low).astype(np.float32), (float(low), float(high)))
    # Dimmed below the maps, so that their light end stands out from bright tissue.
    dim = (grey * 0.6).astype(np.uint8)
    whole, near = around(brain), around(stored["growth"], round(NEAR_MM / case["grid_mm"]))
    height = figure.get_size_inches()[1]
    words = (
        f"Growth\n{case['growth_diameter_mm']:.0f} mm across\n\n{case['shown'].replace('ce-gd_T1w', 'T1w + Gd')}\n"
        f"visit {case['visits']}\n\nrisk {-np.expm1(-case['hazard']):.0%}"
    )
    figure.text(0.1 / WIDTH_IN, (bottom + TILE_IN / 2) / height, words, color=INK, fontsize=8, va="center")
    for column, name in enumerate((None, *PICTURED)):
        axes = tile(figure, (LEFT_IN + column * (TILE_IN + GAP_IN), bottom))
        top = case["maps"][name]["highest"] if name else 0.0
        window = near if name else whole
        pixels = window.of(with_heat(dim if name else grey, stored[f"map {name}"] if top > 0 else None, top))
        axes.imshow(np.stack([as_seen(pixels[..., one]) for one in range(3)], axis=-1), interpolation="nearest")
        growth = as_seen(window.of(stored["growth"])).astype(float)
        axes.contour(growth, levels=[0.5], colors=OUTLINE, linewidths=1.1 if name else 0.8)
        if name is None:
            left = whole.first[0] + whole.edge - near.first[0] - near.edge - 0.5
            top = whole.first[1] + whole.edge - near.first[1] - near.edge - 0.5
            axes.add_patch(Rectangle((left, top), near.edge, near.edge, fill=False, edgecolor=DIM, linewidth=0.7))
        else:
            hit = case["maps"][name]
            said = f"{hit['share_inside']:.0%} inside" if hit["share_inside"] >= 0.005 else "under 0.5% inside"
            said += ", peak at growth" if hit["hit"] >= 0.5 else f", peak {hit['peak_distance_mm']:.0f} mm away"
            axes.text(0.5, -0.075, said, color=INK, fontsize=6.5, ha="center", transform=axes.transAxes)
        for letter, place in (("R", 0.02), ("L", 0.94)) if name is None else ():
            axes.text(place, 0.5, letter, color=DIM, fontsize=6.5, va="center", transform=axes.transAxes)


def draw_curves(figure: Figure, group: dict[str, Any], shares: list[float]) -> None:
    """Deletion and insertion, put back to the first and to the previous visit."""
    height = figure.get_size_inches()[1]
    panels = [(back_to, kind) for back_to in ("first", "previous") for kind in ("deletion", "insertion")]
    every = [row["value"] for back_to, kind in panels for name in LINES for row in group["curves"][back_to][name][kind]]
    highest = 100 * max(1.08, 1.04 * max(every))
    wide = (WIDTH_IN - 0.75 - 0.15 - 3 * 0.28) / 4
    for number, (back_to, kind) in enumerate(panels):
        left = 0.75 + number * (wide + 0.28)
        box = (left / WIDTH_IN, FOOT_IN / height, wide / WIDTH_IN, (CURVES_IN - 0.85) / height)
        axes = figure.add_axes(box, facecolor=PAPER)
        for name, (colour, dash, line) in LINES.items():
            rows = group["curves"][back_to][name][kind]
            heights = [100 * row["value"] for row in rows[1:]]
            axes.plot(
                [100 * share for share in shares[1:]],
                heights,
                color=colour,
                linestyle=dash,
                linewidth=line,
                zorder=3 if name == "ours" else 2,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([0.1, 1, 10, 100]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels(["0.1", "1", "10", "100"])
        axes.set_ylim(0, highest)
        axes.set_xlim(0.1, 100)
        axes.tick_params(colors=DIM, labelsize=7, labelleft=number == 0)
        axes.grid(color="#262d38", linewidth=0.6)
        for spine in axes.spines.values():
            spine.set_color("#3a4351")
        better = "lower is better" if kind == "deletion" else "higher is better"
        axes.set_title(f"{kind.capitalize()} ({better})\nput back to the {back_to} visit", color=INK, fontsize=8, pad=5)
        axes.set_xlabel("% of the brain's places", color=DIM, fontsize=7.5)
        if number == 0:
            axes.set_ylabel("hazard, % of the visit's own", color=DIM, fontsize=7.5)
    handles = [
        figure.axes[-1].plot([], [], color=colour, linestyle=dash, linewidth=line)[0]
        for colour, dash, line in LINES.values()
    ]
    legend = figure.legend(
        handles,
        [name[0].upper() + name[1:] for name in LINES],
        loc="center",
        bbox_to_anchor=(0.5, (FOOT_IN - 0.62) / height),
        ncol=3,
        frameon=False,
        fontsize=7.5,
    )
    for text in legend.get_texts():
        text.set_color(INK)


def draw_bar(figure: Figure, place: tuple[float, float]) -> None:
    """The scale of the maps."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((place[0] / width, place[1] / height, 1.5 / width, 0.09 / height))
    steps = np.linspace(0, 1, 64)
    axes.imshow(steps[None], aspect="auto", cmap=ListedColormap(heat_colours(steps) / 255), extent=(0, 100, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([0, 100])
    axes.tick_params(colors=DIM, labelsize=6.5, length=2, pad=1)
    axes.set_title("% of the map's highest place in the brain", color=DIM, fontsize=6.5, pad=2)


def main(folder: Path) -> None:
    """Draw the picture."""
    found = json.loads((folder / "heatmap_peers.json").read_text(encoding="utf-8"))
    shown = chosen(found["by_case"])
    group = found["groups"]["all"]
    curves = CURVES_IN if group["curves"] else 0.0
    height = TOP_IN + len(shown) * (TILE_IN + ROW_GAP_IN) + FOOT_IN + curves
    figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    figure.text(
        0.1 / WIDTH_IN,
        1 - 0.26 / height,
        "Where one network's hazard comes from, by four maps of the same visits",
        color=INK,
        fontsize=13,
        va="center",
    )
    lines = (
        f"{found['caveat']}",
        "Last visit before the event, slice with most growth. Outlined: true growth since the first visit. Maps: the "
        f"framed {NEAR_MM:.0f} mm.",
        "Radiological convention: R is the patient's right.",
    )
    for number, line in enumerate(lines):
        figure.text(0.1 / WIDTH_IN, 1 - (0.52 + 0.2 * number) / height, line, color=DIM, fontsize=8, va="center")
    for column, title in enumerate(("Image and\ntrue growth", *PICTURED.values())):
        middle = LEFT_IN + column * (TILE_IN + GAP_IN) + TILE_IN / 2
        figure.text(
            middle / WIDTH_IN, 1 - (TOP_IN - 0.22) / height, title, color=INK, fontsize=8.5, ha="center", va="center"
        )
    for row, case in enumerate(shown):
        draw_case(figure, folder, case, height - TOP_IN - (row + 1) * (TILE_IN + ROW_GAP_IN) + ROW_GAP_IN)
    if group["curves"]:
        draw_curves(figure, group, found["curve_shares"])
    draw_bar(figure, (WIDTH_IN - 1.95, 0.28))
    cohort, settings = found["cohort"], found["settings"]
    words = (
        f"Model {found['model']}; population {cohort['population']} (simulator version {cohort['simulator_version']}), "
        f"seed {cohort['seed']}.\nCurves: means over {group['maps_with_curves']} patient(s). Occlusion in cubes of "
        f"{settings['occlusion_voxels']} voxels, integrated gradients in {settings['steps']} steps."
    )
    figure.text(0.1 / WIDTH_IN, 0.3 / height, words, color=DIM, fontsize=7, va="center", linespacing=1.5)
    figure.savefig(folder / "heatmap_peers.png", dpi=DPI, facecolor=PAPER, metadata={"Software": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
