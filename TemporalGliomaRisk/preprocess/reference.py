"""Which of a visit's sequences stands for it: the grid on which its heatmap returns."""

from __future__ import annotations

from collections.abc import Mapping

from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName
from TemporalGliomaRisk.timeline.volume import Geometry


def reference_sequence(geometries: Mapping[SequenceName, Geometry]) -> SequenceName:
    """The sequence seen finest in its worst direction.

    The rule: the smallest largest spacing wins, compared in steps of 0.1 mm so that header noise decides nothing;
    ties go to the order of ``SEQUENCES`` (FLAIR, T2w, T1w, ce-gd_T1w).

    Args:
        geometries: Each present sequence's own grid, at least one.

    Raises:
        ValueError: If there is none.
    """
    if not geometries:
        raise ValueError("A visit needs at least one sequence to have a reference.")

    def coarseness(name: SequenceName) -> tuple[int, int]:
        return round(float(geometries[name].spacing_mm.max()) / 0.1), SEQUENCES.index(name)

    return min(geometries, key=coarseness)
