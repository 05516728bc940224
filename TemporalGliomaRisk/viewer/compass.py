"""Where the patient's right, front and head lie in the 3D view, as three short lines for a corner of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SIDES = (("R", (1.0, 0.0, 0.0)), ("A", (0.0, 1.0, 0.0)), ("S", (0.0, 0.0, 1.0)))


def compass(position: Sequence[float], focal_point: Sequence[float], view_up: Sequence[float]) -> list[dict[str, Any]]:
    """The axes as they are seen by a camera.

    Args:
        position: (3,), of the camera, RAS.
        focal_point: (3,), what it looks at, RAS.
        view_up: (3,), what is up for it; need not be at right angles.

    Returns:
        One a side, farthest first: ``letter``, ``x`` to the right and ``y`` downwards, -1 to 1, and ``near`` from 0
        (pointing away) to 1 (pointing at the reader). Nothing if the camera looks along its own up.
    """
    ahead = np.asarray(focal_point, dtype=np.float64) - np.asarray(position, dtype=np.float64)
    across = np.cross(ahead, np.asarray(view_up, dtype=np.float64))
    if not np.linalg.norm(ahead) or not np.linalg.norm(across):
        return []
    ahead, across = ahead / np.linalg.norm(ahead), across / np.linalg.norm(across)
    up = np.cross(across, ahead)
    seen = [
        {
            "letter": letter,
            "x": round(float(across @ np.array(side)), 3),
            "y": round(-float(up @ np.array(side)), 3),
            "near": round((1 - float(ahead @ np.array(side))) / 2, 3),
        }
        for letter, side in SIDES
    ]
    return sorted(seen, key=lambda one: float(one["near"]))
