"""``risk.tsv``: what ``risk.json`` says of each visit, a row a visit, as BIDS writes tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from TemporalGliomaRisk.files import write_text_whole
from TemporalGliomaRisk.report.record import RiskRecord, VisitRecord, to_json

MISSING = "n/a"
SCALARS = (
    "days_since_first",
    "days_since_treatment",
    "risk",
    "risk_low",
    "risk_high",
    "single_visit_risk",
    "background_hazard",
    "outside_field_of_view_hazard",
    "heatmap",
    "change_heatmap",
)


def risk_rows(record: RiskRecord) -> list[dict[str, Any]]:
    """The table's rows, oldest visit first; None where a value is missing.

    Hazards become ``hazard_0_90`` and so on (days), measurements ``name [unit]``, the highest peak ``peak_r_mm``,
    ``peak_a_mm``, ``peak_s_mm``; sequences and warnings' codes are joined with commas, the codes of
    the whole timeline in every row.
    """
    measured = sorted({f"{item.name} [{item.unit}]" for visit in record.visits for item in visit.measurements})
    return [_row(record, visit, measured) for visit in record.visits]


def _row(record: RiskRecord, visit: VisitRecord, measured: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"session_id": visit.session_id}
    row.update({name: getattr(visit, name) for name in SCALARS})
    for (start, end), hazard in zip(record.intervals_days, visit.hazards, strict=True):
        row[f"hazard_{start}_{end}"] = hazard
    peak = visit.peaks[0].ras_mm if visit.peaks else (None, None, None)
    row.update(zip(("peak_r_mm", "peak_a_mm", "peak_s_mm"), peak, strict=True))
    values = {f"{item.name} [{item.unit}]": item.value for item in visit.measurements}
    row.update({name: values.get(name) for name in measured})
    row["sequences"] = ",".join(visit.sequences) or None
    row["uncertain_because"] = ",".join(visit.uncertain_because) or None
    row["warnings"] = ",".join(item.code for item in (*record.warnings, *visit.warnings)) or None
    row["caveat"] = record.research_use_only
    return row


def write_risk_tsv(record: RiskRecord, path: Path) -> None:
    """Write ``risk.tsv``, whole or not at all; ``n/a`` where a value is missing.

    Raises:
        InputError: If the record breaks the schema of ``risk.json``.
    """
    to_json(record)
    rows = risk_rows(record)
    lines = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    write_text_whole(path, "".join("\t".join(line) + "\n" for line in lines))


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    # repr gives the shortest text that reads back as the same number, so the table equals the JSON.
    text = repr(float(value)) if isinstance(value, float) else str(value)
    return " ".join(text.split())
