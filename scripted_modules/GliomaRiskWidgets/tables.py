"""What the tables of the panel have in common: columns and lines as large as the reader's font needs, and a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt

LEAST_LINE_PX = 24
"""A line is as high as its text, but never too low to be hit."""


def set_up(table: Any, heads: Sequence[str], *, widest: int) -> None:
    """Give a table its heads; how high it is follows from its lines, up to the height that the .ui file allows.

    Args:
        table: A QTableWidget, empty.
        heads: Of its columns.
        widest: Column that takes what is left beside the others, which are as wide as what stands in them.
    """
    table.setColumnCount(len(heads))
    table.setHorizontalHeaderLabels(list(heads))
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setMinimumSectionSize(LEAST_LINE_PX)
    table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header = table.horizontalHeader()
    header.setMinimumSectionSize(24)
    for column in range(len(heads)):
        mode = qt.QHeaderView.Stretch if column == widest else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, mode)


def on_return(widget: Any, call: Callable[[], None]) -> None:
    """Let the Return key do what a click on the current line does.

    Args:
        widget: A QTableWidget or QListWidget; what is typed into a cell of it is not meant.
        call: What a click does.
    """
    for key in ("Return", "Enter"):
        shortcut = qt.QShortcut(qt.QKeySequence(key), widget)
        shortcut.setContext(qt.Qt.WidgetShortcut)
        shortcut.connect("activated()", call)
