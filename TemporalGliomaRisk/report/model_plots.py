"""A model's two pictures for its card: how well it tells events apart, and whether its risks are what comes.

Both are drawn from the numbers that ``evaluate`` writes, on white paper, in colours that are told apart without colour
vision and in grey print (Okabe and Ito's), each with a mark of its own.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from TemporalGliomaRisk.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 130
COLOURS = 64
INK, DIM, GRID, WARN = "#1b1f24", "#5a6472", "#dde1e6", "#9c4a00"
BLUE, ORANGE, BLACK = "#0072b2", "#d55e00", "#333333"
LINES = (
    ("ideal_observer", "ideal observer (knows the true diameters)", BLACK, "D", ":"),
    ("several_visits", "model, all visits so far", BLUE, "o", "-"),
    ("single_visit", "model, that visit alone", ORANGE, "s", "--"),
)
OFFSET = 0.13
LEAST_EVENTS = 10
"""Rows with an event, from which on a number of visits is drawn."""
MOST_PANELS = 4
HEAD_IN, FOOT_IN, LEAST_WIDTH_IN = 0.98, 0.36, 7.2
LETTERS_AN_INCH = 16.0
"""Of a heading; a longer one takes two lines."""


def discrimination_figure(found: Mapping[str, Any], *, heading: str, caveat: str) -> Figure | None:
    """AUROC by number of visits, with intervals.

    Args:
        found: The content of ``evaluation.json``.
        heading: Which model on which patients.
        caveat: The model's own, shown in the figure.

    Returns:
        None when no number of visits has an AUROC.
    """
    numbers = [group for group in found["several_visits"]["groups"] if _visits(group["name"])]
    # A curve through points of a few events shows their chance; where no number of visits has more, it is all there is.
    names = [group["name"] for group in numbers if group["events"] >= LEAST_EVENTS] or [one["name"] for one in numbers]
    groups = {
        key: {group["name"]: group for group in found[key]["groups"]} for key, *_ in LINES if found.get(key) is not None
    }
    if not any(groups["several_visits"][name]["metrics"]["auroc"]["value"] is not None for name in names):
        return None
    figure = _figure(
        7.6,
        4.6,
        _with_level(heading, found),
        "How well an event within 365 days is told apart, by number of visits",
        caveat,
    )
    axes = _axes(figure, 0.72, FOOT_IN + 0.68, 6.36, 4.6 - HEAD_IN - FOOT_IN - 0.76)
    places = list(range(1, len(names) + 1))
    axes.axhline(0.5, color=DIM, linewidth=1)
    axes.text(len(names) + 0.55, 0.5, "chance", color=DIM, fontsize=8, va="center")
    for number, (key, label, colour, mark, line) in enumerate(LINES):
        if key in groups:
            entries = [groups[key][name]["metrics"]["auroc"] for name in names]
            shifted = [place + (number - 1) * OFFSET for place in places]
            _line(axes, shifted, entries, {"label": label, "color": colour, "marker": mark, "linestyle": line})
    shown = [groups["several_visits"][name] for name in names]
    axes.set_xticks(places, [_under(group) for group in shown], fontsize=7.5, linespacing=1.45)
    axes.set_xlim(0.5, len(names) + 0.5)
    axes.set_ylim(min(0.4, axes.get_ylim()[0]), 1.0)
    axes.text(-0.012, -0.035, "visits\npatients\nwith event", transform=axes.transAxes, **_side_label())
    axes.set_ylabel("AUROC", fontsize=8.5, color=INK)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=3, frameon=False, fontsize=8, handlelength=2.6)
    return figure


def calibration_figure(found: Mapping[str, Any], *, heading: str, caveat: str) -> Figure | None:
    """Reliability curves: all rows, and the numbers of visits that have rows enough.

    Args:
        found: The content of ``evaluation.json``.
        heading: Which model on which patients.
        caveat: The model's own, shown in the figure.

    Returns:
        None when no group has rows enough.
    """
    groups = [group for group in found["several_visits"]["groups"] if group.get("reliability")][:MOST_PANELS]
    if not groups:
        return None
    side, gap, left = (3.0, 0.5, 0.72) if len(groups) <= 2 else (2.3, 0.38, 0.66)
    width = max(left + len(groups) * (side + gap), LEAST_WIDTH_IN)
    height = HEAD_IN + FOOT_IN + side + 0.56
    end = _end(groups)
    figure = _figure(
        width, height, _with_level(heading, found), "Whether events come as often as the risk says", caveat
    )
    indent = left + (width - left - len(groups) * (side + gap)) / 2
    for number, group in enumerate(groups):
        axes = _axes(figure, indent + number * (side + gap), FOOT_IN + 0.48, side, side)
        _reliability(axes, group, end)
        axes.set_xlabel("risk within 365 days, %", fontsize=8.5, color=INK)
        if number == 0:
            axes.set_ylabel("events within 365 days, %", fontsize=8.5, color=INK)
    return figure


def write_plot(figure: Figure, path: Path) -> None:
    """Write a figure as a small PNG, whole or not at all, the same bytes for the same numbers."""
    from PIL import Image  # noqa: PLC0415

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    with written_whole(path) as temporary:
        Image.open(drawn).convert("RGB").quantize(COLOURS).save(temporary, format="png", optimize=True)


def _with_level(heading: str, found: Mapping[str, Any]) -> str:
    return f"{heading}; bars: {100 * found['several_visits']['level']:.0f}\u00a0% intervals over patients"


def _visits(name: str) -> bool:
    return name.partition(" ")[0].isdecimal() and name.partition(" ")[2] in ("visit", "visits")


def _under(group: Mapping[str, Any]) -> str:
    number = group["name"].partition(" ")[0]
    return f"{number}\n{group['patients']:,}\n{group['events']:,}"


def _side_label() -> dict[str, Any]:
    return {"ha": "right", "va": "top", "fontsize": 7.5, "color": DIM, "linespacing": 1.45}


def _figure(width: float, height: float, heading: str, title: str, caveat: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (no pyplot: Slicer loads us)
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    lines = textwrap.wrap(heading, int(LETTERS_AN_INCH * (width - 0.28)))
    figure.text(0.14 / width, 1 - 0.26 / height, title, fontsize=11, weight="bold", color=INK)
    figure.text(0.14 / width, 1 - 0.36 / height, "\n".join(lines), fontsize=8.5, color=DIM, va="top", linespacing=1.35)
    figure.text(0.14 / width, 0.13 / height, caveat, fontsize=8.5, weight="bold", color=WARN)
    return figure


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.tick_params(labelsize=8, colors=INK, length=3)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(DIM)
    return axes


def _line(axes: Axes, places: Sequence[float], entries: Sequence[Mapping[str, Any]], style: dict[str, Any]) -> None:
    """Values joined by a line, each with its interval where it has one; undefined ones are left out."""
    known = [(place, entry) for place, entry in zip(places, entries, strict=True) if entry["value"] is not None]
    axes.plot([place for place, _ in known], [entry["value"] for _, entry in known], markersize=4.5, **style)
    for place, entry in known:
        if entry["low"] is not None:
            axes.plot([place, place], [entry["low"], entry["high"]], color=style["color"], linewidth=1.1, alpha=0.75)


def _end(groups: Sequence[Mapping[str, Any]]) -> float:
    """Where every panel's axes end, in percent: all bins and their intervals lie inside."""
    bins = [one for group in groups for one in group["reliability"] if one["observed"] is not None]
    highest = max(float(max(one["predicted"], one["high"] or one["observed"])) for one in bins)
    return min(100.0, 10.0 * math.ceil(10 * highest + 0.2))


def _reliability(axes: Axes, group: Mapping[str, Any], end: float) -> None:
    known = [one for one in group["reliability"] if one["observed"] is not None]
    axes.plot([0, end], [0, end], color=DIM, linewidth=1, linestyle="--")
    axes.plot(
        [100 * one["predicted"] for one in known],
        [100 * one["observed"] for one in known],
        color=BLUE,
        marker="o",
        markersize=4.5,
    )
    for one in known:
        if one["low"] is not None:
            at = 100 * one["predicted"]
            axes.plot([at, at], [100 * one["low"], 100 * one["high"]], color=BLUE, linewidth=1.1, alpha=0.75)
    axes.set_xlim(0, end)
    axes.set_ylim(0, end)
    step = 20 if end > 50 else 10 if end > 20 else 5
    ticks = [float(tick) for tick in range(0, int(end) + 1, step)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    words = group["name"] if _visits(group["name"]) else f"{group['name']} visits"
    name = "all rows" if group["name"] == "all" else f"at {words}"
    axes.set_title(f"{name}: {group['rows']:,} rows, {group['patients']:,} patients", fontsize=8, color=INK)
    axes.text(0.04, 0.97, _measured(group["metrics"]), transform=axes.transAxes, fontsize=7, va="top", color=INK)


def _measured(metrics: Mapping[str, Any]) -> str:
    titles = (("calibration_slope", "slope"), ("calibration_intercept", "intercept"), ("calibration_error", "ECE"))
    lines = []
    for name, title in titles:
        entry = metrics[name]
        if entry["value"] is not None:
            bounds = "" if entry["low"] is None else f" [{entry['low']:.2f}, {entry['high']:.2f}]"
            lines.append(f"{title} {entry['value']:.2f}{bounds}" if title != "ECE" else _error(entry))
    return "\n".join(lines)


def _error(entry: Mapping[str, Any]) -> str:
    bounds = "" if entry["low"] is None else f" [{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"ECE {entry['value']:.3f}{bounds}"
