"""The numbers as nodes: a table, a chart of it, and a text with model, caveats and warnings."""

from __future__ import annotations

import math
from typing import Any

import vtk

from TemporalGliomaRisk import RESEARCH_USE_ONLY, numbers
from TemporalGliomaRisk.colours import LESS, MORE
from TemporalGliomaRisk.scene.record import SceneRecord
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.result_visit import ResultWarning
from TemporalGliomaRisk.scene.scene_visit import SceneVisit, VisitIndex
from TemporalGliomaRisk.timeline.days import day_count

_GREY = (152, 162, 176)
_INK = (20, 20, 20)
"""Of the crosses over uncertain risks: Slicer's charts are drawn on white."""
SERIES = (
    # column, legend, colour, line style, marker
    ("risk (%)", "Risk", MORE, "Solid", "Circle"),
    ("highest member (%)", "Highest member", _GREY, "Dot", "None"),
    ("lowest member (%)", "Lowest member", _GREY, "Dot", "None"),
    ("single-visit risk (%)", "From that visit alone", LESS, "Dash", "Square"),
    ("uncertain risk (%)", "Uncertain", _INK, "None", "Cross"),
)


def add_table(record: SceneRecord, visits: tuple[SceneVisit, ...]) -> Any:
    """A row a visit: days, gap, risk, its members' extremes and the single-visit risk, in percent."""
    node = record.add("vtkMRMLTableNode", f"{record.label} risk", "table")
    table = node.GetTable()

    def column(name: str, values: list[float | None], unit: str, tells: str) -> None:
        if all(value is None for value in values):
            return
        array = vtk.vtkDoubleArray()
        array.SetName(name)
        for value in values:
            array.InsertNextValue(math.nan if value is None else round(value, 3))
        table.AddColumn(array)
        node.SetColumnUnitLabel(name, unit)
        node.SetColumnDescription(name, tells)

    def percents(name: str) -> list[float | None]:
        values = [getattr(visit, name) for visit in visits]
        return [None if value is None else 100 * value for value in values]

    sessions = vtk.vtkStringArray()
    sessions.SetName("visit")
    for visit in visits:
        sessions.InsertNextValue(f"{visit.number} ({visit.session_id})")
    table.AddColumn(sessions)
    column("days since first visit", [float(visit.days_since_first) for visit in visits], "d", "")
    column("days since treatment", [_float(visit.days_since_treatment) for visit in visits], "d", "Empty: unknown.")
    column("gap (d)", [_float(visit.gap_days) for visit in visits], "d", "Days since the previous visit.")
    horizon = (
        f"Probability of an event within {record.get('horizon_days')} days of the visit. {record.research_use_only}"
    )
    extreme = "Extreme of the ensemble's members, not a confidence interval."
    column("risk (%)", percents("risk"), "%", horizon)
    column("lowest member (%)", percents("risk_low"), "%", extreme)
    column("highest member (%)", percents("risk_high"), "%", extreme)
    column(
        "single-visit risk (%)",
        percents("single_visit_risk"),
        "%",
        "From that visit alone, by the head for single visits.",
    )
    doubtful = [100 * visit.risk if visit.certainty and visit.risk is not None else None for visit in visits]
    column("uncertain risk (%)", doubtful, "%", "The risk again, where it is not to be relied on.")
    certainty = vtk.vtkStringArray()
    certainty.SetName("certainty")
    for visit in visits:
        certainty.InsertNextValue(visit.certainty)
    table.AddColumn(certainty)
    node.SetColumnDescription("certainty", "Why the risk is uncertain; empty where all is as usual.")
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    return node


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def add_chart(record: SceneRecord, table: Any, visits: tuple[SceneVisit, ...], index: VisitIndex) -> Any:
    """The risk over days, with its members' extremes and the single-visit risk."""
    chart = record.add("vtkMRMLPlotChartNode", f"{record.label} risk over time", "chart")
    x_column = "days since treatment" if index.name == "days since treatment" else "days since first visit"
    columns = {table.GetTable().GetColumnName(number) for number in range(table.GetTable().GetNumberOfColumns())}
    for column, legend, colour, line, marker in SERIES:
        if column not in columns:
            continue
        series = record.add("vtkMRMLPlotSeriesNode", legend)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(series.PlotTypeScatter)
        series.SetXColumnName(x_column)
        series.SetYColumnName(column)
        series.SetColor(*(channel / 255 for channel in colour))
        series.SetLineStyle(series.GetLineStyleFromString(line.lower()))
        series.SetMarkerStyle(series.GetMarkerStyleFromString(marker.lower()))
        series.SetLineWidth(3 if legend == "Risk" else 1.5)
        series.SetMarkerSize(9)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(f"Risk within {record.get('horizon_days')} days of each visit. {record.research_use_only}")
    chart.SetXAxisTitle(index.name.capitalize())
    chart.SetYAxisTitle("Risk (%)")
    chart.SetLegendVisibility(True)
    # Slicer's own sizes cut a title of this length where the chart is one of several views.
    chart.SetTitleFontSize(13)
    chart.SetAxisTitleFontSize(13)
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, _ceiling(visits))
    return chart


def _ceiling(visits: tuple[SceneVisit, ...]) -> float:
    """Top of the risk axis, in percent: a round number above everything drawn."""
    shown = [getattr(visit, name) or 0.0 for visit in visits for name in ("risk", "risk_high", "single_visit_risk")]
    greatest = 100 * max(shown)
    return next(float(top) for top in (10, 20, 30, 40, 50, 60, 80, 100) if greatest <= 0.95 * top or top == 100)


def add_report(record: SceneRecord, result: RiskResult) -> Any:
    """The report as predict wrote it, so that a scene opened again can give it; None where there is none."""
    report = result.report()
    if report is None:
        return None
    node = record.add("vtkMRMLTextNode", f"{record.label} report", "report")
    node.SetText(report)
    return node


def add_text(record: SceneRecord, visits: tuple[SceneVisit, ...], result: RiskResult | None) -> Any:
    """Model, caveats and warnings, for whoever opens the scene without anything else of ours."""
    node = record.add("vtkMRMLTextNode", f"{record.label} notes", "text")
    node.SetText("\n".join(_lines(visits, result)) + "\n")
    return node


def _lines(visits: tuple[SceneVisit, ...], result: RiskResult | None) -> list[str]:
    lines = [f"{RESEARCH_USE_ONLY if result is None else result.research_use_only} Never a diagnosis.", ""]
    if result is None:
        return [*lines, "No risk has been computed for this timeline."]
    version = f" {result.model_version}" if result.model_version else ""
    lines += [f"Model: {result.model_name}{version}", result.caveat, ""]
    count = day_count(visits)
    lines += [f"Risk of an event within {result.horizon_days} days of each visit. {count.origin}"]
    for visit, day in zip(visits, count.days, strict=True):
        said = f"  visit {visit.number}, day {day}: {numbers.percent(visit.risk)}"
        members = numbers.percent_range(visit.risk_low, visit.risk_high)
        if visit.risk_low is not None and visit.risk_high is not None:
            said += f", ensemble's range {members}"
        if visit.single_visit_risk is not None:
            said += f", from that visit alone {numbers.percent(visit.single_visit_risk)}"
        if visit.certainty:
            said += f"; {visit.certainty}"
        lines.append(said)
    lines += ["", "Maps: hazard per mL; a map and the background add up to -log(1 - risk)."]
    lines += [*([result.heatmap_check] if result.heatmap_check else []), ""]
    lines += _said("Timeline", result.warnings)
    for visit in visits:
        lines += _said(f"Visit {visit.number}", visit.warnings)
    return lines


def _said(where: str, warnings: tuple[ResultWarning, ...]) -> list[str]:
    return [f"{where}, {one.severity}: {one.message}" for one in warnings]


def visit_label(visit: SceneVisit, day: int) -> str:
    """``visit 3, day 227``, with its risk where there is one, and that it is uncertain where it is."""
    risk = "" if visit.risk is None else f", risk {numbers.percent(visit.risk)}"
    risk += ", uncertain" if visit.certainty else ""
    return f"visit {visit.number}, day {day}{risk}"
