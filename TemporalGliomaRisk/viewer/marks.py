"""The peaks' marks in the views: crosses alone, since the panel names them; in a saved scene as Slicer shows them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from TemporalGliomaRisk.scene.patient_scene import PatientScene

NAMED_SCALE = 2.6
"""Size of a peak's name in views, as the scene sets it."""


def mark(patient: PatientScene, *, shown: bool, named: bool) -> None:
    """Show or hide the peaks' marks.

    Args:
        patient: Whose.
        shown: Whether there are marks at all.
        named: Whether each carries its name.
    """
    peaks = patient.peaks()
    display = None if peaks is None else peaks.GetDisplayNode()
    if display is not None:
        display.SetTextScale(NAMED_SCALE if named else 0.0)
        display.SetVisibility(shown)


@contextlib.contextmanager
def marked(patient: PatientScene, *, shown: bool, named: bool) -> Iterator[None]:
    """The same for a while; afterwards as before."""
    peaks = patient.peaks()
    display = None if peaks is None else peaks.GetDisplayNode()
    before = None if display is None else (bool(display.GetVisibility()), display.GetTextScale() > 0)
    mark(patient, shown=shown, named=named)
    try:
        yield
    finally:
        if before is not None:
            mark(patient, shown=before[0], named=before[1])
