"""What a reader may choose to see, kept in the scene with everything else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from TemporalGliomaRisk.colours import SHOWN_FROM
from TemporalGliomaRisk.errors import InputError

VolumeRendering = Literal["volume", "surface", "off"]
AUTOMATIC = (0.0, 1.0)
"""The parts of a visit's automatic window that are that window itself."""


class MapKind(str, Enum):
    """The maps there are, by the name under which nodes and hosts know them."""

    RISK = "risk"
    CHANGE = "change"
    CHANGE_FROM_FIRST = "change-from-first"

    @property
    def label(self) -> str:
        """In words, for a menu or a node's name."""
        return _LABELS[self]

    @property
    def is_change(self) -> bool:
        """Whether it has two sides of zero."""
        return self is not MapKind.RISK


_LABELS = {
    MapKind.RISK: "Risk map",
    MapKind.CHANGE: "Change since the previous visit",
    MapKind.CHANGE_FROM_FIRST: "Change since the first visit",
}


@dataclass(frozen=True, kw_only=True)
class DisplaySettings:
    """How a patient is shown.

    Args:
        sequence: Pulse sequence shown in grey.
        map_kind: Map laid over it; None for grey alone.
        opacity: Of the map in slice views, 0 to 1.
        threshold: Part of the scale's top (0 to 1) below which the map is not shown; of either sign for a change.
        window: Black and white in parts of each visit's automatic window, so that greys of all visits stay comparable:
            (0.0, 1.0) is the automatic window, (0.1, 0.6) is brighter and harder. None is automatic.
        volume_rendering: ``"volume"`` (ray cast), ``"surface"`` (fast), or ``"off"``.
        threshold_3d: The threshold in 3D, where it lags behind while a reader drags it; None for the same.

    Raises:
        InputError: If a value is outside its range.
    """

    sequence: str
    map_kind: MapKind | None = MapKind.RISK
    opacity: float = 0.55
    threshold: float = SHOWN_FROM
    window: tuple[float, float] | None = None
    volume_rendering: VolumeRendering = "surface"
    threshold_3d: float | None = None

    def __post_init__(self) -> None:
        for name in ("opacity", "threshold", "threshold_in_3d"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name.capitalize()} must be between 0 and 1, got {getattr(self, name):g}.")
        if self.window is not None and not self.window[1] > self.window[0]:
            raise InputError(
                f"A window's white must lie above its black, got {self.window[0]:g} to {self.window[1]:g}."
            )
        if self.volume_rendering not in ("volume", "surface", "off"):
            raise InputError(f"The 3D view must show a volume, a surface or be off, got {self.volume_rendering!r}.")

    @property
    def threshold_in_3d(self) -> float:
        """Part of the scale's top below which 3D views show nothing of the map."""
        return self.threshold if self.threshold_3d is None else self.threshold_3d

    def to_json(self) -> dict[str, Any]:
        """As JSON keeps it."""
        content = dict(vars(self))
        content["map_kind"] = None if self.map_kind is None else self.map_kind.value
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> DisplaySettings:
        """From what :meth:`to_json` gave."""
        kind, window = content["map_kind"], content["window"]
        return cls(
            **{
                **content,
                "map_kind": None if kind is None else MapKind(kind),
                "window": None if window is None else (float(window[0]), float(window[1])),
            }
        )
