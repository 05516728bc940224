"""One reader in front of one patient: what is open, chosen and shown, between the page's state and the scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from trame_slicer.core import SlicerApp

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.patient_scene import PatientScene
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.settings import DisplaySettings, MapKind
from TemporalGliomaRisk.scene.volumes import is_empty, volume_of
from TemporalGliomaRisk.timeline.volume import FloatArray
from TemporalGliomaRisk.viewer.curve import risk_curve
from TemporalGliomaRisk.viewer.layouts import FOUR, THREE_D
from TemporalGliomaRisk.viewer.legends import legend
from TemporalGliomaRisk.viewer.loading import load
from TemporalGliomaRisk.viewer.marks import mark, marked
from TemporalGliomaRisk.viewer.opening import Opened
from TemporalGliomaRisk.viewer.saving import save_for_slicer
from TemporalGliomaRisk.viewer.stage import Stage
from TemporalGliomaRisk.viewer.state import ARRANGED_BY_READER, layout_choices, no_patient
from TemporalGliomaRisk.viewer.words import opening_visit, patient_words, visit_rows


class Session:
    """Opens patients and follows what the reader chooses.

    Args:
        server: trame's server.
        host: Slicer's scene and application logic.
        stage: The views.
    """

    def __init__(self, server: Any, host: SlicerApp, stage: Stage) -> None:
        self._state = server.state
        self._host = host
        self._stage = stage
        self._patient: PatientScene | None = None
        self._arranged: tuple[Any, ...] = ()
        self.opened = Opened()

    @property
    def patient(self) -> PatientScene | None:
        """Who is open."""
        return self._patient

    def open(self, opened: Opened, visit: int | None = None) -> None:
        """Show what was found, in place of what was open.

        Args:
            opened: Timeline, result or both.
            visit: Number of the visit shown first; None for where the risk rises most.

        Raises:
            InputError: If images or maps cannot be read.
        """
        with self._patient.giving_up_its_label() if self._patient is not None else nullcontext():
            patient = self._build(opened)
        if self._patient is not None:
            self._stage.set_patient(None)
            self._patient.remove()
        self._patient = patient
        with self._nobody_if_it_fails():
            chosen = opening_visit(patient.visits) if visit is None else visit
            self._show(opened, chosen)
            place = self.peak_place(chosen, "")
            self._stage.go_to(place)
            self._stage.look_from_the_side_of(place)

    def take_result(self, opened: Opened) -> None:
        """A prediction of the open timeline is done: keep what the reader set, and show where the risk rises."""
        if self._patient is None or opened.timeline is None:
            self.open(opened)
            return
        self._stage.set_patient(None)
        with self._nobody_if_it_fails():
            self._patient.update(opened.timeline, opened.result)
            self._show(opened, opening_visit(self._patient.visits))
            self.go_to_peak("")

    def _show(self, opened: Opened, visit: int) -> None:
        self.opened = opened
        self._stage.set_patient(self._patient)
        self._fill(visit)
        self._show_chosen()

    @contextmanager
    def _nobody_if_it_fails(self) -> Iterator[None]:
        """Show no patient where showing one fails halfway: the page would say of it what it said of another."""
        try:
            yield
        except BaseException:
            patient, self._patient, self.opened = self._patient, None, Opened()
            self._stage.set_patient(None)
            with self._state as state:
                state.update(no_patient())
            if patient is not None:
                with suppress(InputError):  # where an update failed it is removed already
                    patient.remove()
            raise

    def _build(self, opened: Opened) -> PatientScene:
        if opened.timeline is not None:
            return PatientScene.build(self._host.scene, opened.timeline, opened.result)
        if opened.scene_file is not None and opened.result is not None:
            return load(self._host.scene, opened.scene_file, opened.result)
        raise InputError("There is no timeline to show.")

    def _fill(self, visit: int) -> None:
        """Everything the page says of the patient."""
        patient = self._patient
        if patient is None:
            return
        result, kinds = self.opened.result, patient.map_kinds
        kept = self._state.sequence if self._state.sequence in patient.sequences else None
        kind = self._state.map_kind if self._state.map_kind in kinds else (kinds[0].value if kinds else "")
        with self._state as state:
            state.update(
                {
                    **no_patient(),
                    "patient": {
                        **patient_words(patient.patient, patient.visits),
                        "warnings": [
                            {"message": one.message, "note": one.severity == "note"}
                            for one in (result.warnings if result else ())
                        ],
                    },
                    "visits": visit_rows(patient.visits, patient.peak_ras),
                    "visit": visit,
                    "compare_with": visit - 1 if visit > 1 else min(2, len(patient.visits)),
                    "curve": risk_curve(patient.visits),
                    "model": None if result is None else _model_words(result),
                    "horizon_days": result.horizon_days if result else no_patient()["horizon_days"],
                    "has_risk": any(one.risk is not None for one in patient.visits),
                    "has_report": self.opened.report is not None,
                    "can_predict": self.opened.timeline_path is not None,
                    "sequences": list(patient.sequences),
                    "sequence": kept or patient.display.sequence,
                    "map_kinds": [{"value": one.value, "label": one.label} for one in kinds],
                    "map_kind": kind,
                    "layouts": layout_choices(len(patient.visits), with_3d=self._stage.with_3d),
                }
            )
            if next(one["off"] for one in state.layouts if one["value"] == state.layout):
                state.layout = state.layouts[0]["value"]

    # What the reader chooses

    def display_changed(self) -> None:
        """Sequence, window, map, opacity, threshold or 3D mode."""
        if self._patient is None or self._patient.display == self._settings():
            return
        if self._settings().volume_rendering != self._patient.display.volume_rendering:
            self._stage.expect_slow_3d()
        self._patient.apply(self._settings())
        self._tell_display()
        self._stage.draw(with_3d=not self._state.steering)

    def arrangement_changed(self) -> None:
        """Layout, visit, the visit compared with, or the slices' orientation."""
        if self._patient is None or self._arranged == self._arrangement():
            return
        self._show_chosen()

    def _arrangement(self) -> tuple[Any, ...]:
        return tuple(self._state[name] for name in ARRANGED_BY_READER)

    def _show_chosen(self) -> None:
        patient, state = self._patient, self._state
        if patient is None:
            return
        visits = len(patient.visits)
        visit = max(1, min(visits, int(state.visit)))
        other = int(state.compare_with)
        if other == visit or not 1 <= other <= visits:
            other = visit - 1 if visit > 1 else min(2, visits)
        if patient.selected_visit != visit:
            patient.selected_visit = visit
        self._stage.arrange(state.layout, visit, other, state.orientation)
        patient.apply(self._settings())
        # Peaks are those of the selected visit, so they stay out of layouts that show others too.
        mark(patient, shown=state.layout in (FOUR, THREE_D), named=False)
        with state:
            state.update({"visit": visit, "compare_with": other})
            self._arranged = self._arrangement()
        self._stage.tell(state.layout)
        self._tell_display()
        self._stage.draw()

    def _settings(self) -> DisplaySettings:
        state = self._state
        # While the threshold is dragged the slices follow it, and 3D, which is slow, when it is let go.
        held = self._patient.display.threshold_in_3d if state.steering and self._patient is not None else None
        return DisplaySettings(
            sequence=state.sequence,
            map_kind=MapKind(state.map_kind) if state.map_on and state.map_kind else None,
            opacity=float(state.opacity) / 100,
            threshold=float(state.threshold) / 100,
            window=(float(state.window_low) / 100, float(state.window_high) / 100),
            volume_rendering=state.three_d_mode if self._stage.with_3d else "off",
            threshold_3d=held,
        )

    def _tell_display(self) -> None:
        """The legend, the window in intensities, and what this visit lacks."""
        patient, state = self._patient, self._state
        if patient is None:
            return
        threshold, horizon = float(state.threshold) / 100, int(state.horizon_days)
        shown: list[tuple[MapKind, str | None]] = [(MapKind(state.map_kind), None)] if state.map_kind else []
        if self._stage.difference_kind is not None:
            shown.append((self._stage.difference_kind, "Difference"))
        legends = [legend(kind, patient.scale_top(kind), threshold, horizon, title) for kind, title in shown]
        window = patient.automatic_window(int(state.visit), state.sequence)
        words = ""
        if window is not None:
            low, high = (
                window[0] + part / 100 * (window[1] - window[0]) for part in (state.window_low, state.window_high)
            )
            words = f"{low:.0f} to {high:.0f}"
        with state:
            state.update({"legends": legends, "window_words": words, "absent": self._absent()})

    def _absent(self) -> dict[str, str]:
        """View -> what its visit lacks, where it lacks something."""
        patient, state = self._patient, self._state
        if patient is None:
            return {}
        absent = {}
        for name, number in self._stage.visits_of_slices(int(state.visit)).items():
            visit = patient.visits[number - 1]
            if state.sequence not in visit.sequences:
                absent[name] = f"visit {number} has no {state.sequence}"
            elif state.map_on and state.map_kind and MapKind(state.map_kind) not in patient.kinds_of(number):
                absent[name] = f"no such map at visit {number}"
        return absent

    # Places

    def peak_place(self, visit: int, name: str) -> FloatArray:
        """(3,), world RAS, mm, of a peak of a visit: the one named, else the first, else the highest place of its map.

        A visit without a risk map keeps the place where its patient is looked at first.
        """
        patient = self._patient
        if patient is None:
            raise InputError("No timeline is open.")
        peaks = patient.visits[visit - 1].peaks
        if peaks:
            return patient.peak_ras(visit, name or peaks[0].name)
        node = patient.map(MapKind.RISK) if MapKind.RISK in patient.map_kinds else None
        if node is None or is_empty(node):
            return patient.default_ras()
        drawn = volume_of(node, in_world=True)
        return drawn.geometry.to_ras(np.unravel_index(int(np.argmax(drawn.voxels)), drawn.voxels.shape))

    def go_to_peak(self, name: str) -> None:
        """Jump the slices to a peak of the selected visit."""
        if self._patient is not None:
            self._stage.go_to(self.peak_place(int(self._state.visit), name))

    def save_scene(self, path: Path) -> None:
        """Write the whole scene, as Slicer opens it."""
        if self._patient is None:
            raise InputError("No timeline is open.")
        with marked(self._patient, shown=True, named=True):
            save_for_slicer(self._host, self._patient, self._stage.place(), path)


def _model_words(result: RiskResult) -> dict[str, Any]:
    return {"name": result.model_name, "caveat": result.caveat, "heatmap_check": result.heatmap_check}
