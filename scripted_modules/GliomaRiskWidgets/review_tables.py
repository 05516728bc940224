"""The peaks and the measurements of the visit that is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from TemporalGliomaRisk.numbers import percent, place, quantity
from TemporalGliomaRisk.scene.patient_scene import PatientScene

from .tables import on_return, set_up


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
        set_up(self._peaks, [_("Peak"), _("Share"), _("Place")], widest=2)
        self._peaks.horizontalHeaderItem(1).setToolTip(_("Part of this visit's hazard that gathers there, in percent."))
        self._peaks.horizontalHeaderItem(2).setToolTip(
            _("In the first visit's space: right or left, front or back, up.")
        )
        set_up(self._measurements, [_("Value"), _("Measured")], widest=1)
        for table in (self._peaks, self._measurements):
            table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self._peaks.connect("cellClicked(int,int)", self._on_peak)
        on_return(self._peaks, lambda: self._on_peak(self._peaks.currentRow(), 0))

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
        if 0 <= line < len(self._names):
            self._peak_chosen(self._names[line])


def _unit(unit: str) -> str:
    """A unit short enough for its column."""
    return "" if unit.startswith("hazard within") else unit


def _show(table: Any, lines: list[tuple[str, ...]]) -> None:
    table.setRowCount(len(lines))
    for row, cells in enumerate(lines):
        for column, text in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(row, column, item)
