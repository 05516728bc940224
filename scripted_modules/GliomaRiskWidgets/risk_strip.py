"""The strip of visits: a coloured button each, as far apart as the days between them, which are written there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from TemporalGliomaRisk.colours import ink_on, risk_colour
from TemporalGliomaRisk.numbers import NARROW, days, percent, percent_range
from TemporalGliomaRisk.scene.scene_visit import SceneVisit

MOST_WITH_TEXT, MOST_WITH_GAPS = 8, 6
"""More visits than this have no room for their risk, or for the days between, in 400 pixels: they are in tooltips."""
BUTTON_PX, NARROW_PX, GAP_PX = 40, 8, 18
"""Width of a visit with and without text, and the least of a gap whose days are written."""
UNKNOWN_COLOUR = "#8a8a8a"


def gap_stretches(visits: Sequence[SceneVisit]) -> list[int]:
    """How much of the strip's width each gap gets, none less than a tenth of the widest."""
    gaps = [visit.gap_days or 0 for visit in visits[1:]]
    widest = max(gaps, default=1) or 1
    return [max(round(100 * gap / widest), 10) for gap in gaps]


def tooltip_of(visit: SceneVisit) -> str:
    """All that the strip has no room for."""
    since = (
        _("{days} since treatment").format(days=days(visit.days_since_treatment))
        if visit.days_since_treatment is not None
        else _("{days} since the first visit").format(days=days(visit.days_since_first))
    )
    if visit.risk is None:
        return _("Visit {number}, {since}: no risk computed").format(number=visit.number, since=since)
    said = _(
        "Visit {number}, {since}: risk {risk} within 365 days, ensemble's range {members}, this visit alone {alone}"
    )
    return (f"{said}; {visit.certainty}" if visit.certainty else said).format(
        number=visit.number,
        since=since,
        risk=percent(visit.risk),
        members=percent_range(visit.risk_low, visit.risk_high),
        alone=percent(visit.single_visit_risk),
    )


def doubt_mark(visit: SceneVisit) -> str:
    """What stands above an uncertain risk where there is no room for the word, which the tooltip and headline have."""
    return f"{NARROW}?" if visit.certainty else ""


class RiskStrip:
    """The strip in its frame.

    Args:
        frame: An empty widget of the panel.
        chosen: Told the number of the visit that was clicked.
    """

    def __init__(self, frame: Any, chosen: Callable[[int], None]) -> None:
        self._frame = frame
        self._chosen = chosen
        self._layout = qt.QHBoxLayout(frame)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self._parts: list[Any] = []
        self._visits: tuple[SceneVisit, ...] = ()
        self._selected = 0

    @property
    def buttons(self) -> list[Any]:
        """A button a visit, oldest first."""
        return [part for part in self._parts if part.objectName.startswith("visit")]

    def show(self, visits: Sequence[SceneVisit], selected: int) -> None:
        """Show visits, one of them selected; what is shown already is left alone."""
        if tuple(visits) != self._visits:
            self._visits = tuple(visits)
            self._build()
        self._selected = selected
        for visit, button in zip(self._visits, self.buttons, strict=True):
            button.setStyleSheet(self._style(visit))
            button.setChecked(visit.number == selected)

    def _build(self) -> None:
        for part in self._parts:
            self._layout.removeWidget(part)
            part.hide()
            part.deleteLater()
        self._parts = []
        with_text, with_gaps = len(self._visits) <= MOST_WITH_TEXT, len(self._visits) <= MOST_WITH_GAPS
        stretches = gap_stretches(self._visits)
        for visit in self._visits:
            if visit.gap_days is not None:
                gap = qt.QLabel(str(visit.gap_days) if with_gaps else "", self._frame)
                gap.setObjectName(f"gap{visit.number}")
                gap.setAlignment(qt.Qt.AlignCenter)
                gap.setToolTip(_("{days} between the visits").format(days=days(visit.gap_days)))
                gap.setMinimumWidth(GAP_PX if with_gaps else 1)
                gap.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
                font = qt.QFont(gap.font)
                font.setPixelSize(9)
                gap.setFont(font)
                self._add(gap, stretches[visit.number - 2])
            button = qt.QPushButton(self._frame)
            button.setObjectName(f"visit{visit.number}")
            button.setCheckable(True)
            button.setText(f"{visit.number}{doubt_mark(visit)}\n{percent(visit.risk)}" if with_text else "")
            button.setToolTip(tooltip_of(visit))
            button.setFixedSize(BUTTON_PX if with_text else NARROW_PX, 46)
            button.connect("clicked()", lambda number=visit.number: self._chosen(number))
            self._add(button, 0)

    def _add(self, part: Any, stretch: int) -> None:
        self._layout.addWidget(part, stretch)
        self._parts.append(part)

    def _style(self, visit: SceneVisit) -> str:
        """A risk's own colour, the same in light and dark styles, and a frame around the visit that is shown."""
        colour = UNKNOWN_COLOUR if visit.risk is None else risk_colour(visit.risk)
        ink = ink_on(colour)
        border = "palette(highlight)" if visit.number == self._selected else ink if visit.certainty else colour
        line = "2px solid" if visit.number == self._selected or not visit.certainty else "1px dashed"
        return (
            f"QPushButton {{ background-color: {colour}; color: {ink}; border: {line} {border}; "
            "border-radius: 4px; padding: 0px; font-size: 11px; }"
        )
