"""Everything the page knows, with what it is before anything is open; the page's template uses these names."""

from __future__ import annotations

from typing import Any

from TemporalGliomaRisk import RESEARCH_USE_ONLY
from TemporalGliomaRisk.viewer.layouts import AXIAL, FOUR, LABELS, ORIENTATIONS, THREE_D
from TemporalGliomaRisk.viewer.runs import IDLE

HORIZON_DAYS = 365

THREE_D_MODES = [{"value": "surface", "label": "Surface"}, {"value": "volume", "label": "Volume"}]
CHOSEN_BY_READER = (
    "sequence",
    "window_low",
    "window_high",
    "map_on",
    "map_kind",
    "opacity",
    "threshold",
    "steering",
    "three_d_mode",
)
"""How the patient is shown."""
ARRANGED_BY_READER = ("layout", "visit", "compare_with", "orientation")
"""What is shown where."""


def first_state(*, with_3d: bool) -> dict[str, Any]:
    """The page before a patient is open.

    Args:
        with_3d: Whether 3D can be drawn on this computer.
    """
    return {
        "research_use_only": RESEARCH_USE_ONLY,
        "layouts": layout_choices(1, with_3d=with_3d),
        "orientations": list(ORIENTATIONS),
        "three_d_modes": THREE_D_MODES,
        **no_patient(),
        "layout": FOUR,
        "orientation": AXIAL,
        "three_d_mode": "surface",
        "map_on": True,
        "opacity": 60,
        "threshold": 10,
        "steering": False,
        "window_low": 0,
        "window_high": 100,
        "compass": [],
        "hovered": "",
        "dialog": "",
        "open_path": "",
        "open_timeline": "",
        "open_patient": "",
        "upload": {"words": ""},
        "run": dict(IDLE),
        "error": "",
        "notice": "" if with_3d else "This computer cannot draw with OpenGL, so there is no 3D; slices are shown.",
    }


def no_patient() -> dict[str, Any]:
    """What is gone when no patient is open."""
    return {
        "patient": None,
        "visits": [],
        "visit": 1,
        "playing": False,
        "compare_with": 1,
        "curve": None,
        "model": None,
        "horizon_days": HORIZON_DAYS,
        "has_risk": False,
        "has_report": False,
        "can_predict": False,
        "sequences": [],
        "sequence": "",
        "map_kinds": [],
        "map_kind": "",
        "window_words": "",
        "legends": [],
        "absent": {},
        "grid": {"tiles": [], "columns": "1fr", "rows": "1fr"},
        "shown_layout": "",
        "slices": {},
    }


def layout_choices(visits: int, *, with_3d: bool) -> list[dict[str, Any]]:
    """The layouts; those that make no sense are off and say why."""
    reasons = {
        THREE_D: "" if with_3d else "This computer cannot draw 3D (no OpenGL).",
        "compare": "" if visits > 1 else "There is one visit only.",
        "row": "" if visits > 1 else "There is one visit only.",
    }
    return [
        {"value": name, "label": label, "off": bool(reasons.get(name)), "why": reasons.get(name, "")}
        for name, label in LABELS.items()
    ]
