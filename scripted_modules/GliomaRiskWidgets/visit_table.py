"""The Qt table of visits: shows rows, and tells what the reader edits in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName

from . import visits
from .parameters import SeriesSource
from .tables import on_return, set_up

DAY, GAP, FIRST_SEQUENCE = 0, 1, 2
HEADS = {"FLAIR": "FLAIR", "T2w": "T2w", "T1w": "T1w", "ce-gd_T1w": "T1w+C"}


class VisitTable:
    """The table of step 1.

    Args:
        table: A QTableWidget.
        day_changed: Told a visit's key and the text typed as its day.
        included_changed: Told a visit's key and whether it was ticked.
        sequence_clicked: Told a visit's key and the sequence whose cell was clicked.
    """

    def __init__(
        self,
        table: Any,
        *,
        day_changed: Callable[[str, str], None],
        included_changed: Callable[[str, bool], None],
        sequence_clicked: Callable[[str, SequenceName], None],
    ) -> None:
        self._table = table
        self._day_changed, self._included_changed = day_changed, included_changed
        self._sequence_clicked = sequence_clicked
        self._rows: tuple[visits.VisitRow, ...] = ()
        self._shown: tuple[Any, ...] | None = None
        self._filling = False
        self._set_up()

    def _set_up(self) -> None:
        table = self._table
        set_up(table, [_("Day"), _("Gap"), *[HEADS[name] for name in SEQUENCES]], widest=DAY)
        for column, tip in (
            (DAY, _("Ticked visits take part. Type a date (YYYY-MM-DD) or a whole number of days.")),
            (GAP, _("Days since the previous visit that takes part.")),
            (FIRST_SEQUENCE + SEQUENCES.index("ce-gd_T1w"), _("T1w after a contrast agent.")),
        ):
            table.horizontalHeaderItem(column).setToolTip(tip)
        table.connect("cellChanged(int,int)", self._on_change)
        table.connect("cellClicked(int,int)", self._on_cell)
        on_return(table, self._on_return)

    def show(
        self,
        rows: Sequence[visits.VisitRow],
        kind: visits.DayKind,
        volume_name: Callable[[visits.VisitRow, SequenceName], str],
        source: SeriesSource,
    ) -> None:
        """Show the rows that are not removed; what is shown already is left alone, with what is typed into it now."""
        names = [[volume_name(row, sequence) for sequence in row.sequences] for row in visits.shown(rows)]
        if self._shown == (tuple(rows), kind, names, source):
            return
        self._shown = (tuple(rows), kind, names, source)
        selected = self.selected_key()
        self._rows = visits.shown(rows)
        gaps, problems = visits.gaps(rows, kind), visits.problems(rows, kind)
        self._filling = True
        try:
            self._table.setRowCount(len(self._rows))
            for line, row in enumerate(self._rows):
                self._set_day(line, row, problems.get(row.key, ""))
                gap = gaps.get(row.key)
                self._set(line, GAP, "" if gap is None else str(gap), _("{gap} days").format(gap=gap) if gap else "")
                for column, sequence in enumerate(SEQUENCES, start=FIRST_SEQUENCE):
                    there = sequence in row.volumes
                    lost = there and source is SeriesSource.SCENE and not volume_name(row, sequence)
                    name = volume_name(row, sequence) if there else ""
                    tip = _("This volume is no longer in the scene; click to choose another.") if lost else name
                    self._set(line, column, "?" if lost else "✓" if there else "–", tip or _("Click to change."))
            if selected is not None:
                self._select(selected)
        finally:
            self._filling = False

    def selected_key(self) -> str | None:
        """Key of the selected visit, None if none is."""
        line = self._table.currentRow()
        has_selection = bool(self._table.selectedItems())
        return self._rows[line].key if has_selection and 0 <= line < len(self._rows) else None

    def _select(self, key: str) -> None:
        for line, row in enumerate(self._rows):
            if row.key == key:
                self._table.setCurrentCell(line, max(self._table.currentColumn(), DAY))

    def _set_day(self, line: int, row: visits.VisitRow, problem: str) -> None:
        item = self._set(line, DAY, row.day, problem or _("Type a date or a number of days."))
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEditable | qt.Qt.ItemIsUserCheckable)
        item.setCheckState(qt.Qt.Checked if row.included else qt.Qt.Unchecked)
        warning = self._table.style().standardIcon(qt.QStyle.SP_MessageBoxWarning)
        item.setIcon(warning if problem else qt.QIcon())

    def _set(self, line: int, column: int, text: str, tip: str) -> Any:
        item = self._table.item(line, column)
        if item is None:
            item = qt.QTableWidgetItem()
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            if column != DAY:
                item.setTextAlignment(qt.Qt.AlignCenter)
            self._table.setItem(line, column, item)
        item.setText(text)
        item.setToolTip(tip)
        return item

    def _on_change(self, line: int, column: int) -> None:
        if self._filling or column != DAY or line >= len(self._rows):
            return
        row, item = self._rows[line], self._table.item(line, column)
        included = item.checkState() == qt.Qt.Checked
        if included != row.included:
            self._included_changed(row.key, included)
        elif item.text().strip() != row.day:
            self._day_changed(row.key, item.text())

    def _on_return(self) -> None:
        line, column = self._table.currentRow(), self._table.currentColumn()
        if column == DAY and line >= 0:
            self._table.editItem(self._table.item(line, DAY))
        else:
            self._on_cell(line, column)

    def _on_cell(self, line: int, column: int) -> None:
        if column >= FIRST_SEQUENCE and 0 <= line < len(self._rows):
            self._sequence_clicked(self._rows[line].key, SEQUENCES[column - FIRST_SEQUENCE])
