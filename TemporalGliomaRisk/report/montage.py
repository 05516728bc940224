"""``montage.png``: every visit side by side, the sequence alone and under its heatmap, with day and risk."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.colours import SHOWN_FROM, heat_colours, ink_on, risk_colour, scale_words
from TemporalGliomaRisk.files import written_whole
from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.report.pictures import ReportPictures, Slice
from TemporalGliomaRisk.report.record import RiskRecord, VisitRecord
from TemporalGliomaRisk.report.slices import SIDES
from TemporalGliomaRisk.timeline.days import day_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VISITS_A_BAND = 6
TILE_IN = 1.75
GAP_IN = 0.13
ROW_GAP_IN = 0.05
HEAD_IN, FOOT_IN, TOP_IN, BOTTOM_IN, LEFT_IN, BAR_IN = 0.42, 0.42, 0.75, 0.42, 0.25, 0.95
REASON_IN, CHECK_IN = 0.13, 0.15
"""A line of the reasons why a risk is uncertain, and of what is said of the maps."""
REASON_LETTERS, CHECK_LETTERS_AN_INCH = 30, 21
LEAST_WIDTH_IN = 6.6
DPI = 130
PAPER, INK, DIM = "#0e1116", "#e8ebf0", "#98a2b0"


def write_montage(record: RiskRecord, pictures: ReportPictures, path: Path) -> None:
    """Write the montage, whole or not at all: six visits a band, and as many bands as it takes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (no pyplot: Slicer loads us)
    from matplotlib.figure import Figure  # noqa: PLC0415

    rows = _rows(pictures)
    heights = [_tile_height(pictures, index) for index in range(len(rows))]
    columns = min(VISITS_A_BAND, len(record.visits))
    bands = -(-len(record.visits) // VISITS_A_BAND)
    most_lines = max(len(_reasons(visit)) for visit in record.visits)
    band_in = HEAD_IN + sum(heights) + ROW_GAP_IN * (len(rows) - 1) + FOOT_IN + REASON_IN * most_lines
    width = max(LEAST_WIDTH_IN, 2 * LEFT_IN + columns * (TILE_IN + GAP_IN) + (BAR_IN if pictures.has_heat else 0))
    said = f"Colours: {scale_words(pictures.heat_top)}. {record.model.heatmap_check or ''}" if pictures.has_heat else ""
    check_lines = textwrap.wrap(said, int(CHECK_LETTERS_AN_INCH * (width - 2 * LEFT_IN)))
    bottom = BOTTOM_IN + CHECK_IN * len(check_lines)
    height = TOP_IN + bands * band_in + bottom
    indent = (width - columns * (TILE_IN + GAP_IN) - (BAR_IN if pictures.has_heat else 0)) / 2
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    _write_titles(figure, record, pictures, height)
    for index in range(len(record.visits)):
        band, column = divmod(index, VISITS_A_BAND)
        left = indent + column * (TILE_IN + GAP_IN)
        _draw_visit(figure, record, pictures, index, corner=(left, height - TOP_IN - band * band_in))
    if pictures.has_heat:
        bar_bottom = height - TOP_IN - HEAD_IN - sum(heights[:2]) - ROW_GAP_IN
        bar_left = indent + columns * (TILE_IN + GAP_IN) + 0.04
        _draw_bar(figure, pictures, (bar_left, bar_bottom), sum(heights[:2]) + ROW_GAP_IN)
    for index, line in enumerate(reversed(check_lines)):
        _text(figure, LEFT_IN, BOTTOM_IN + CHECK_IN * index, line, fontsize=6.8, color=DIM)
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, facecolor=PAPER, metadata={"Software": None})


def _reasons(visit: VisitRecord) -> list[str]:
    """Lines under a risk that say why it is uncertain."""
    return textwrap.wrap(visit.certainty_words.partition(": ")[2], REASON_LETTERS)


def _rows(pictures: ReportPictures) -> list[str]:
    return ["plain", "axial", "coronal"] if pictures.has_heat else ["plain", "coronal"]


def _slice_of(pictures: ReportPictures, index: int, row: str) -> Slice:
    return pictures.visits[index].at_place[1 if row == "coronal" else 0]


def _tile_height(pictures: ReportPictures, row_index: int) -> float:
    rows, columns = _slice_of(pictures, 0, _rows(pictures)[row_index]).grey.shape
    return float(TILE_IN * rows / columns)


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Any:
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def _text(figure: Figure, left: float, bottom: float, text: str, **style: Any) -> None:
    across, up = figure.get_size_inches()
    figure.text(left / across, bottom / up, text, **{"color": INK, **style})


def _write_titles(figure: Figure, record: RiskRecord, pictures: ReportPictures, height: float) -> None:
    title = f"{record.patient}: risk of recurrence within {record.horizon_days} days of each visit"
    _text(figure, LEFT_IN, height - 0.32, title, fontsize=11, weight="bold")
    where = "one place at every visit" if pictures.one_place else "the highest peak, or the middle of the head"
    where = (
        f"Slices through {where}; patient right (R) is on the left of the picture. {day_count(record.visits).origin}"
    )
    _text(figure, LEFT_IN, height - 0.55, where, fontsize=7.5, color=DIM)
    _text(figure, LEFT_IN, 0.16, record.research_use_only, fontsize=8.5, color="#ffc252", weight="bold")


def _draw_visit(
    figure: Figure, record: RiskRecord, pictures: ReportPictures, index: int, *, corner: tuple[float, float]
) -> None:
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    check_cancelled()
    visit, gap, (left, top) = record.visits[index], record.gaps_days[index], corner
    heights = [_tile_height(pictures, row) for row in range(len(_rows(pictures)))]
    middle = left + TILE_IN / 2
    _text(figure, left, top - 0.18, f"Visit {index + 1}", fontsize=8.5, weight="bold")
    _text(figure, left + TILE_IN, top - 0.18, f"day {day_count(record.visits).days[index]}", fontsize=8.5, ha="right")
    after = "first visit" if gap is None else f"{gap} days after visit {index}"
    _text(figure, left, top - 0.34, after, fontsize=6.8, color=DIM)
    bottom = top - HEAD_IN
    for row, tile_in in zip(_rows(pictures), heights, strict=True):
        bottom -= tile_in
        slice_ = _slice_of(pictures, index, row)
        pixels = np.repeat(slice_.grey[..., None], 3, axis=2) if row == "plain" else pictures.heat_picture(slice_)
        axes = _axes(figure, left, bottom, TILE_IN, tile_in)
        # "auto" only stretches by the rounding of a pixel: the axes have the picture's own proportions.
        axes.imshow(pixels, interpolation="bilinear", aspect="auto")
        axes.set_axis_off()
        if index % VISITS_A_BAND == 0 or visit.reference_sequence != record.visits[index - 1].reference_sequence:
            said = visit.reference_sequence if row == "plain" else f"{visit.reference_sequence}, map over it"
            shade = [withStroke(linewidth=1.6, foreground="black")]
            axes.text(0.02, 0.02, said, transform=axes.transAxes, color=INK, fontsize=6.2, path_effects=shade)
        side_left, side_right, side_top, _ = SIDES[slice_.plane]
        for x, y, letter in ((0.02, 0.5, side_left), (0.98, 0.5, side_right), (0.5, 0.97, side_top)):
            align = {"ha": {0.02: "left", 0.98: "right"}.get(x, "center"), "va": "top" if y > 0.9 else "center"}
            axes.text(x, y, letter, transform=axes.transAxes, color=DIM, fontsize=6.5, **align)
        bottom -= ROW_GAP_IN
    colour = risk_colour(visit.risk)
    chip = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "none"}
    _text(
        figure,
        middle,
        bottom - 0.14,
        numbers.percent(visit.risk) + (f"  {visit.certainty}" if visit.certainty else ""),
        fontsize=10,
        weight="bold",
        color=ink_on(colour),
        ha="center",
        va="center",
        bbox=chip,
    )
    for line_number, line in enumerate(_reasons(visit)):
        _text(figure, middle, bottom - 0.39 - REASON_IN * line_number, line, fontsize=6.8, color=INK, ha="center")


def _draw_bar(figure: Figure, pictures: ReportPictures, corner: tuple[float, float], height: float) -> None:
    axes = _axes(figure, *corner, 0.11, height)
    shown = np.linspace(SHOWN_FROM, 1, 128)
    axes.imshow(
        heat_colours(shown)[:, None, :],
        origin="lower",
        aspect="auto",
        extent=(0, 1, SHOWN_FROM * pictures.heat_top, pictures.heat_top),
    )
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    ticks = [SHOWN_FROM * pictures.heat_top, 0.5 * pictures.heat_top, pictures.heat_top]
    axes.set_yticks(ticks, [numbers.significant(tick) for tick in ticks], fontsize=7, color=INK)
    axes.tick_params(color=DIM, length=2)
    axes.set_ylabel("hazard per mL within the horizon", fontsize=7.5, color=INK)
    for edge in axes.spines.values():
        edge.set_visible(False)
