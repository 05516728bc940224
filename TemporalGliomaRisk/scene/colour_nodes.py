"""The shared colours as MRML colour nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from TemporalGliomaRisk.colours import change_colours, heat_colours
from TemporalGliomaRisk.scene.record import SceneRecord
from TemporalGliomaRisk.scene.settings import MapKind

STEPS = 256


def add_colours(record: SceneRecord) -> list[Any]:
    """Make the colour nodes of a patient's maps that are not there; gives those made."""
    made = []
    for role, is_change in (("risk colours", False), ("change colours", True)):
        kinds = [MapKind(kind) for kind in record.get("map_kinds")]
        if record.find(role) is None and any(kind.is_change == is_change for kind in kinds):
            node = record.add("vtkMRMLColorTableNode", f"{record.label} {role}", role)
            fill_colour_node(node, is_change=is_change, threshold=0.0)
            made.append(node)
    return made


def fill_colour_node(node: Any, *, is_change: bool, threshold: float) -> None:
    """Colours of a map over its scale: zero to the top for hazard, both sides of zero for a change.

    Slice views draw a voxel of the overlay whole or not at all, so what lies under the threshold is fully transparent.

    Args:
        node: vtkMRMLColorTableNode, empty or filled before.
        is_change: Which of the two scales.
        threshold: Part of the scale's top, 0 to 1.
    """
    fractions = np.linspace(-1.0 if is_change else 0.0, 1.0, STEPS)
    colours = (change_colours(fractions) if is_change else heat_colours(fractions)) / 255.0
    # Zero itself is never shown: a visit without a map has one that is all zero.
    opaque = np.abs(fractions) >= (max(threshold, 0.01) if is_change else threshold)
    modifying = node.StartModify()
    if node.GetNumberOfColors() != STEPS:
        node.SetTypeToUser()
        node.SetNumberOfColors(STEPS)
        node.GetLookupTable().SetTableRange(0, STEPS - 1)
        node.SetHideFromEditors(False)
    for index, (colour, shown) in enumerate(zip(colours.tolist(), opaque.tolist(), strict=True)):
        node.SetColor(index, f"{100 * fractions[index]:+.0f} %", *colour, 1.0 if shown else 0.0)
    node.EndModify(modifying)
