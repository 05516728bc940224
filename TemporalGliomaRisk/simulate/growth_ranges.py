"""What a population's lesions are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class GrowthRanges:
    """What a population's growth is drawn from; the defaults are version 1's.

    Args:
        laws: Share of each growth law; with ``logistic``, none other.
        kinds: Share of each origin.
        front_width_mm: Range of the width of a reaction-diffusion front.
        roughness: Range of the lumpiness of a new focus.
        distant_mm: Range of a distant focus's distance from cavity and residual.
        low_grade_velocity: Median, spread of the logarithm, least and largest radial velocity, mm/year.
        high_grade_velocity: The same for high grade.
        arrested_share: Of patients without an event, those with a lesion that grows a little and stops.
        shrinking_share: Of residuals that cause no event, those that shrink.
        tract_stretch: Range of how much faster a lesion grows along its tract than across, 1 to 1 for not at all.
    """

    laws: Mapping[str, float] = field(
        default_factory=lambda: {"reaction_diffusion": 0.5, "linear": 0.15, "exponential": 0.2, "gompertz": 0.15}
    )
    kinds: Mapping[str, float] = field(default_factory=lambda: {"margin": 0.45, "distant": 0.10, "residual": 0.45})
    front_width_mm: tuple[float, float] = (2.0, 3.5)
    roughness: tuple[float, float] = (0.12, 0.12)
    distant_mm: tuple[float, float] = (12.0, 30.0)
    low_grade_velocity: tuple[float, float, float, float] = (3.5, 0.5, 1.0, 12.0)
    high_grade_velocity: tuple[float, float, float, float] = (14.0, 0.4, 6.0, 35.0)
    arrested_share: float = 0.15
    shrinking_share: float = 0.15
    tract_stretch: tuple[float, float] = (1.0, 1.0)


VERSION_1 = GrowthRanges()
