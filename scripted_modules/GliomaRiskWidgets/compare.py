"""Two visits side by side: linked slices, and the difference of their maps."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from TemporalGliomaRisk.scene.patient_scene import Comparison, PatientScene

from . import layouts
from .parameters import LayoutChoice


class Comparing:
    """The group "Compare two visits" of the panel."""

    def __init__(self, panel: Any) -> None:
        self.panel = panel
        self.ui = panel.ui
        self._open: Comparison | None = None
        self._patient: Any = None
        self._filling = False
        self.ui.compareButton.connect("toggled(bool)", self._on_button)
        for name in ("firstVisitCombo", "secondVisitCombo"):
            getattr(self.ui, name).connect("currentIndexChanged(int)", self._on_visit)

    @property
    def is_open(self) -> bool:
        """Whether two visits are side by side."""
        return self._open is not None

    def refresh(self, patient: PatientScene | None) -> None:
        """Offer the patient's visits; the first and the one shown until the reader chooses others."""
        count = 0 if patient is None else len(patient.visits)
        browser = None if patient is None else patient.browser
        self._filling = True
        try:
            if browser is not self._patient or self.ui.firstVisitCombo.count != count:
                self.close()
                self._patient = browser
                for name, chosen in (("firstVisitCombo", 0), ("secondVisitCombo", count - 1)):
                    combo = getattr(self.ui, name)
                    combo.clear()
                    for number in range(1, count + 1):
                        combo.addItem(_("Visit {number}").format(number=number), number)
                    combo.setCurrentIndex(chosen)
            for name in ("firstVisitCombo", "secondVisitCombo", "compareButton"):
                getattr(self.ui, name).enabled = count > 1
            blocked = self.ui.compareButton.blockSignals(True)
            self.ui.compareButton.setChecked(self.is_open)
            self.ui.compareButton.blockSignals(blocked)
        finally:
            self._filling = False
        self.panel.review.show_difference(None if self._open is None else self._open.difference_kind)

    def _on_button(self, checked: bool) -> None:
        wanted = LayoutChoice.SIDE_BY_SIDE if checked else LayoutChoice.FOUR_UP
        if self.panel.parameters.layout is not wanted:
            self.panel.parameters.layout = wanted
        elif checked:
            self.open()
        else:
            self.panel.review.arrange(wanted)

    def _on_visit(self, index: int) -> None:
        if not self._filling and self.is_open:
            self.open()

    def open(self) -> None:
        """Show the two chosen visits, in the layout for it where there are viewers."""
        patient = self.panel.review.patient
        if patient is None or len(patient.visits) < 2:
            return
        self.close()
        with self.panel.trying(self.ui.visitNotes.setText):
            shown = layouts.switch_to(LayoutChoice.SIDE_BY_SIDE)
            self._open = patient.compare(
                self.ui.firstVisitCombo.currentIndex + 1, self.ui.secondVisitCombo.currentIndex + 1
            )
            if shown:
                self._show(patient, self._open)
        self.refresh(patient)

    def _show(self, patient: PatientScene, comparison: Comparison) -> None:
        columns = [
            layouts.slice_nodes(name, slicer.mrmlScene) for name in (layouts.FIRST, layouts.SECOND, layouts.DIFFERENCE)
        ]
        comparison.show(first=columns[0], second=columns[1], difference=columns[2])
        nodes = [node for column in columns for node in column]
        layouts.link(nodes)
        slicer.util.resetSliceViews()
        patient.go_to(patient.default_ras(), nodes)

    def close(self) -> None:
        """Give the views back."""
        if self._open is not None:
            self._open.close()
            self._open = None
            self.panel.review.show_difference(None)
