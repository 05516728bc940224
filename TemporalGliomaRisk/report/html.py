"""``report.html``: one file that holds all it shows and asks nothing of any other machine."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.colours import SHOWN_FROM, ink_on, risk_colour, scale_words
from TemporalGliomaRisk.files import write_text_whole
from TemporalGliomaRisk.progress import check_cancelled
from TemporalGliomaRisk.report import charts
from TemporalGliomaRisk.report.audit import AuditRecord
from TemporalGliomaRisk.report.colours import change_gradient, heat_gradient
from TemporalGliomaRisk.report.pictures import ReportPictures, Slice, jpeg_uri
from TemporalGliomaRisk.report.record import RiskRecord, VisitRecord
from TemporalGliomaRisk.report.slices import SIDES
from TemporalGliomaRisk.timeline.days import DayCount, day_count


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a reader must know of the model.

    Args:
        name: The bundle's name.
        version: Its version.
        trained_on: What it was trained on, a sentence.
        calibration: How it was calibrated and on whom, a sentence.
        points: Further limits and measured results, a sentence each.
    """

    name: str
    version: str
    trained_on: str
    calibration: str
    points: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One picture as the template draws it: sizes in pixels of the picture, letters at its sides."""

    uri: str
    width: int
    height: int
    sides: tuple[str, str, str, str]
    mark: tuple[float, float] | None
    caption: str
    alt: str


def write_report(
    record: RiskRecord,
    pictures: ReportPictures | None,
    path: Path,
    *,
    model_card: ModelCard,
    audit: AuditRecord | None = None,
    identity: str | None = None,
) -> None:
    """Write the report, whole or not at all.

    Args:
        record: The risks.
        pictures: The slices, by :func:`pictures.gather_pictures`; None to leave pictures out.
        path: Where.
        model_card: What to know of the model.
        audit: What was done; its summary is shown.
        identity: What the input calls the patient, shown only when given (``--identified``).
    """
    write_text_whole(path, render_report(record, pictures, model_card=model_card, audit=audit, identity=identity))


def render_report(
    record: RiskRecord,
    pictures: ReportPictures | None,
    *,
    model_card: ModelCard,
    audit: AuditRecord | None = None,
    identity: str | None = None,
) -> str:
    """The report's HTML; see :func:`write_report`."""
    import jinja2  # noqa: PLC0415  (needed here only)

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("TemporalGliomaRisk.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        percent=numbers.percent,
        significant=numbers.significant,
        quantity=numbers.quantity,
        days=numbers.days,
        place=numbers.place,
    )
    return environment.get_template("report.html.j2").render(
        record=record,
        card=model_card,
        audit=audit,
        identity=identity,
        strip=charts.risk_strip(record, _thumbnails(pictures, len(record.visits)), proportion=_proportion(pictures)),
        curve=charts.risk_curve(record),
        count=day_count(record.visits),
        width=charts.WIDTH,
        visits=[_visit_content(record, index, pictures) for index in range(len(record.visits))],
        scale=None if pictures is None else _scale(pictures),
        one_sequence=len({visit.reference_sequence for visit in record.visits}) == 1,
    )


def _thumbnails(pictures: ReportPictures | None, count: int) -> list[str | None]:
    if pictures is None:
        return [None] * count
    return [jpeg_uri(pictures.heat_picture(visit.at_place[0])) for visit in pictures.visits]


def _proportion(pictures: ReportPictures | None) -> float:
    if pictures is None:
        return 1.0
    rows, columns = pictures.visits[0].at_place[0].grey.shape
    return float(rows / columns)


def _scale(pictures: ReportPictures) -> dict[str, Any]:
    return {
        "where": "at one place of the head" if pictures.one_place else "through each visit's own highest peak",
        "has_heat": pictures.has_heat,
        "has_change": pictures.has_change,
        "heat_top": numbers.significant(pictures.heat_top),
        "heat_middle": numbers.significant(pictures.heat_top / 2),
        "heat_from": numbers.significant(pictures.heat_top * SHOWN_FROM),
        "change_top": numbers.significant(pictures.change_top),
        "heat_words": scale_words(pictures.heat_top),
        "change_words": scale_words(pictures.change_top),
        "heat_gradient": heat_gradient(),
        "change_gradient": change_gradient(),
    }


def _visit_content(record: RiskRecord, index: int, pictures: ReportPictures | None) -> dict[str, Any]:
    check_cancelled()
    visit, gap = record.visits[index], record.gaps_days[index]
    colour = risk_colour(visit.risk)
    hazard = record.horizon_hazard(visit)
    return {
        "number": index + 1,
        "record": visit,
        "colour": colour,
        "ink": ink_on(colour),
        "facts": _facts(index, visit, gap, day_count(record.visits)),
        "range": numbers.percent_range(visit.risk_low, visit.risk_high),
        "background_share": numbers.percent(visit.background_hazard / hazard if hazard > 0 else None),
        "outside_share": numbers.percent((visit.outside_field_of_view_hazard or 0.0) / hazard if hazard > 0 else None),
        "figures": [] if pictures is None else _figures(index, visit.reference_sequence, pictures),
        "intervals": [
            (f"{start} to {end}", numbers.percent(float(-np.expm1(-interval_hazard))))
            for (start, end), interval_hazard in zip(record.intervals_days, visit.hazards, strict=True)
        ],
    }


def _facts(index: int, visit: VisitRecord, gap: int | None, count: DayCount) -> list[str]:
    day = count.days[index]
    years = numbers.years(day)
    since_first = [] if gap is None else [f"{numbers.days(visit.days_since_first)} since the first visit"]
    return [
        f"Day {day}" + (f" ({years})" if years else ""),
        "First visit" if gap is None else f"{numbers.days(gap)} after visit {index}",
        *(since_first if count.since == "treatment" else ["Days since treatment unknown"]),
        "Sequences: " + ", ".join(visit.sequences),
    ]


def _figures(index: int, sequence: str | None, pictures: ReportPictures) -> list[Figure]:
    slices = pictures.visits[index].at_peak
    axial, where = slices[0], "through the highest hazard" if slices[0].mark else "through the middle of the head"
    figures = [_plain_figure(index, sequence, axial, where)]
    if axial.heat is not None:
        for slice_ in slices:
            name = f"{slice_.plane.capitalize()}, hazard"
            alt = f"Visit {index + 1}, {slice_.plane} {where}, hazard per mL laid over"
            figures.append(_figure(slice_, jpeg_uri(pictures.heat_picture(slice_)), name, alt))
    else:
        for slice_ in slices[1:]:
            alt = f"Visit {index + 1}, {slice_.plane} {where}"
            figures.append(_figure(slice_, jpeg_uri(slice_.grey), slice_.plane.capitalize(), alt))
    if axial.change is not None:
        alt = f"Visit {index + 1}, axial {where}, change of hazard since visit {index} laid over"
        name = f"Axial, change since visit {index}"
        figures.append(_figure(axial, jpeg_uri(pictures.change_picture(axial)), name, alt))
    return figures


def _plain_figure(index: int, sequence: str | None, slice_: Slice, where: str) -> Figure:
    """The slice as it is, of the sequence named: no overlay and no mark on it."""
    bare = dataclasses.replace(slice_, mark=None)
    named = "" if sequence is None else f" {sequence}"
    alt = f"Visit {index + 1}, axial{named} {where}"
    return _figure(bare, jpeg_uri(slice_.grey), f"Axial{named}, without overlay", alt)


def _figure(slice_: Slice, uri: str, caption: str, alt: str) -> Figure:
    height, width = slice_.grey.shape
    return Figure(
        uri=uri, width=width, height=height, sides=SIDES[slice_.plane], mark=slice_.mark, caption=caption, alt=alt
    )
