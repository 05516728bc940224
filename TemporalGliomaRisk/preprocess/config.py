"""Everything that changes what preprocessing makes of a visit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from TemporalGliomaRisk.errors import UsageError

RegisterMode = Literal["auto", "always", "never"]
MaskMode = Literal["auto", "none"]


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """Settings of preprocessing; part of every key and of the model bundle, since all of them change the result.

    Args:
        grid_mm: Voxel size of the isotropic model grid (see ``grid`` for why 2 mm).
        margin_mm: Least distance kept between the brain mask and the edge of the grid.
        mask: ``"auto"``: keep a stripped volume's own mask, else register the template's; ``"none"``: the whole field
            of view counts as brain. A mask given as a volume wins over both.
        register: ``"auto"`` measures and moves only what needs it; ``"always"`` redoes it; ``"never"`` trusts.
        move_above_mm: In ``auto``, a volume is moved when its measured displacement is larger, mean over the brain.
        move_across_above_mm: The same between different sequences, whose best match is known less well (on a
            co-registered glioma the best matches of different sequences lay 0.2 to 0.9 mm from where they were).
        refuse_above_mm: A registration whose two independent ends differ by more is refused, mean over the brain.
        block_mm: Blocks whose means carry bias field, gain and gamma: far larger than noise, smaller than a lesion.
        correct_bias: Whether the first visit's smooth bias field is estimated and removed.
        harmonise: Whether later visits are brought to the first by gain, gamma and smooth bias.
        bias_order: Largest total degree of the bias polynomials.
        gamma_limits: Range within which a visit's gamma is believed.
        clip: Range of the scaled intensities.
    """

    grid_mm: float = 2.0
    margin_mm: float = 6.0
    mask: MaskMode = "auto"
    register: RegisterMode = "auto"
    move_above_mm: float = 0.5
    move_across_above_mm: float = 1.5
    refuse_above_mm: float = 2.0
    block_mm: float = 6.0
    correct_bias: bool = True
    harmonise: bool = True
    bias_order: int = 3
    gamma_limits: tuple[float, ...] = (0.6, 1.7)
    clip: tuple[float, ...] = (-6.0, 12.0)

    def __post_init__(self) -> None:
        if not 0.5 <= self.grid_mm <= 4.0:
            raise UsageError(f"grid_mm must be between 0.5 and 4, got {self.grid_mm}.")
        for name, low, high in (("margin_mm", 0.0, 50.0), ("block_mm", 1.0, 50.0), ("bias_order", 0, 8)):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} must be between {low} and {high}, got {getattr(self, name)}.")
        for name in ("move_above_mm", "move_across_above_mm", "refuse_above_mm"):
            if not 0.0 <= getattr(self, name) <= 1e6:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}.")
        for name in ("gamma_limits", "clip"):
            limits = getattr(self, name)
            if len(limits) != 2 or not -1e6 < limits[0] < limits[1] < 1e6:
                raise UsageError(f"{name} must be two rising numbers, got {limits}.")
        if self.register not in ("auto", "always", "never"):
            raise UsageError(f"register must be auto, always or never, got {self.register}.")
        if self.mask not in ("auto", "none"):
            raise UsageError(f"mask must be auto or none (a given mask is passed as a volume), got {self.mask}.")
