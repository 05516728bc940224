"""The report as a browser lays it out, on a desktop's screen, a phone's and paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from TemporalGliomaRisk.report.html import ModelCard, write_report
from TemporalGliomaRisk.report.record import Peak, read_risk_record

CARD = ModelCard(name="evidence", version="0.1.0", trained_on="Simulated.", calibration="On simulated patients.")
CUT_OFF = """() => {
    const inside = (cell, frame) => cell.right <= frame.right + 1 && cell.left >= frame.left - 1;
    return [...document.querySelectorAll('.columns')].flatMap(columns => {
        const frame = columns.getBoundingClientRect();
        const tables = [...columns.children].map(table => table.getBoundingClientRect());
        const over = tables.some((one, n) => tables.some((other, m) => n < m && one.right > other.left + 1 &&
            one.left < other.right - 1 && one.bottom > other.top + 1 && one.top < other.bottom - 1));
        return over || !tables.every(table => inside(table, frame)) ? [columns.innerText] : [];
    });
}"""
"""The visits whose tables lie over each other, or reach beyond their visit's frame."""


@pytest.fixture
def report(sample_result: Path, tmp_path: Path) -> Path:
    """Of a patient with as many and as long numbers as there can be, without pictures."""
    record = read_risk_record(sample_result / "risk.json")
    peaks = tuple(
        Peak(name=name, ras_mm=(-129.0, 171.0, -122.0), share_of_hazard=0.25, hazard_per_mL=0.3373) for name in "ABC"
    )
    record = replace(record, visits=tuple(replace(visit, peaks=peaks) for visit in record.visits))
    write_report(record, None, tmp_path / "report.html", model_card=CARD)
    return tmp_path / "report.html"


@pytest.mark.parametrize(("width", "media"), [(1280, "screen"), (390, "screen"), (320, "screen"), (703, "print")])
def test_no_table_of_the_report_lies_over_another_or_beyond_the_page(
    report: Path, chromium: str, width: int, media: str
) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.emulate_media(media=media)  # type: ignore[arg-type]
        page.goto(report.as_uri())
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        browser.close()
