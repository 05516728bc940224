"""The peaks and the measurements of the visit that is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from TemporalGliomaRisk.numbers import percent, place, quantity
from TemporalGliomaRisk.scene.patient_scene import PatientScene

LINE_PX = 24
MOST_LINES = 8
"""More are scrolled to."""


class ReviewTables:
    """Two tables of the panel.

    Args:
        panel: The panel.
        peak_chosen: Told the name of the peak that was clicked.
    """

    def __init__(self, panel: Any, peak_chosen: Callable[[str], None]) -> None:
        self._peaks, self._measurements = panel.ui.peaksTable, panel.ui.measurementsTable
        self._peak_chosen = peak_chosen
        self._names: list[str] = []
        _set_up(self._peaks, [_("Peak"), _("Share"), _("Place")], widths=(44, 56))
        self._peaks.horizontalHeaderItem(1).setToolTip(_("Part of this visit's hazard that gathers there, in percent."))
        self._peaks.horizontalHeaderItem(2).setToolTip(
            _("In the first visit's space: right or left, front or back, up.")
        )
        _set_up(self._measurements, [_("Value"), _("Measured")], widths=(90,))
        self._peaks.connect("cellClicked(int,int)", self._on_peak)

    def show(self, patient: PatientScene | None) -> None:
        """Show the selected visit's."""
        visit = None if patient is None else patient.visits[patient.selected_visit - 1]
        peaks = () if visit is None else visit.peaks
        self._names = [peak.name for peak in peaks]
        lines = []
        for peak in peaks:
            world = (
                patient.peak_ras(visit.number, peak.name) if patient is not None and visit is not None else peak.ras_mm
            )
            lines.append((peak.name, percent(peak.share_of_hazard), place((world[0], world[1], world[2]))))
        if visit is not None and visit.risk is not None and not lines:
            lines = [("–", "–", _("No place stands out at this visit."))]
        _show(self._peaks, lines)
        measured = () if visit is None else visit.measurements
        _show(self._measurements, [(quantity(one.value, _unit(one.unit)), one.name) for one in measured])

    def _on_peak(self, line: int, column: int) -> None:
        if line < len(self._names):
            self._peak_chosen(self._names[line])


def _unit(unit: str) -> str:
    """A unit short enough for its column."""
    return "" if unit.startswith("hazard within") else unit


def _set_up(table: Any, heads: list[str], widths: tuple[int, ...]) -> None:
    table.setColumnCount(len(heads))
    table.setHorizontalHeaderLabels(heads)
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(LINE_PX)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    header = table.horizontalHeader()
    for column in range(len(heads)):
        fixed = column < len(widths)
        header.setSectionResizeMode(column, qt.QHeaderView.Fixed if fixed else qt.QHeaderView.Stretch)
        if fixed:
            table.setColumnWidth(column, widths[column])


def _show(table: Any, lines: list[tuple[str, ...]]) -> None:
    """Show lines, and be no higher than they need."""
    table.setRowCount(len(lines))
    table.setMaximumHeight(LINE_PX * (min(len(lines), MOST_LINES) + 1) + 6)
    for row, cells in enumerate(lines):
        for column, text in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(row, column, item)
