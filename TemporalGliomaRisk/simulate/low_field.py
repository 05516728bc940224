"""Contrast at 0.55 T, from the signal equations and relaxation times: the table of the population ``shifted``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from TemporalGliomaRisk.simulate.contrast import Signals
from TemporalGliomaRisk.timeline.visit import SequenceName


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """Proton density (share of water's) and relaxation times in ms."""

    density: float
    t1: float
    t2: float


TISSUES = {
    "grey": Tissue(density=0.82, t1=717.0, t2=112.0),
    "white": Tissue(density=0.70, t1=493.0, t2=89.0),
    "fluid": Tissue(density=1.00, t1=4000.0, t2=1800.0),
    "tumour": Tissue(density=0.90, t1=1000.0, t2=190.0),
    "oedema": Tissue(density=0.86, t1=860.0, t2=160.0),
    "necrosis": Tissue(density=0.95, t1=1800.0, t2=350.0),
    "scar": Tissue(density=0.84, t1=800.0, t2=145.0),
    "blood": Tissue(density=0.80, t1=330.0, t2=60.0),
    "enhanced": Tissue(density=0.90, t1=230.0, t2=120.0),
    "iron": Tissue(density=0.60, t1=600.0, t2=28.0),
    "calcium": Tissue(density=0.30, t1=500.0, t2=60.0),
}
"""Grey and white matter as measured at 0.55 T; the others ours, kept in proportion to them."""

FLAIR_MS = {"repetition": 7500.0, "echo": 110.0, "inversion": 2250.0}
T2_MS = {"repetition": 4500.0, "echo": 105.0}
T1_MS = {"repetition": 480.0, "echo": 12.0}


def spin_echo(tissue: Tissue, repetition: float, echo: float) -> float:
    """Signal of a spin echo with times in ms."""
    return tissue.density * -math.expm1(-repetition / tissue.t1) * math.exp(-echo / tissue.t2)


def inversion_recovery(tissue: Tissue, repetition: float, echo: float, inversion: float) -> float:
    """Magnitude of an inversion recovery with a spin echo, times in ms."""
    recovered = 1.0 - 2.0 * math.exp(-inversion / tissue.t1) + math.exp(-repetition / tissue.t1)
    return tissue.density * abs(recovered) * math.exp(-echo / tissue.t2)


def _table(values: dict[str, float], *, enhanced: bool, texture: float) -> Signals:
    scale = 0.45 / values["white"]
    scaled = {name: max(scale * value, 0.02) for name, value in values.items()}
    shown = scaled.pop("enhanced")
    return Signals(**scaled, enhanced=shown if enhanced else None, texture=texture)


def low_field_signals() -> dict[SequenceName, Signals]:
    """The table of each sequence, white matter at 0.45."""
    flair = {name: inversion_recovery(tissue, **FLAIR_MS) for name, tissue in TISSUES.items()}
    t2 = {name: spin_echo(tissue, **T2_MS) for name, tissue in TISSUES.items()}
    t1 = {name: spin_echo(tissue, **T1_MS) for name, tissue in TISSUES.items()}
    return {
        "FLAIR": _table(flair, enhanced=False, texture=-0.35),
        "T2w": _table(t2, enhanced=False, texture=-0.5),
        "T1w": _table(t1, enhanced=False, texture=0.6),
        "ce-gd_T1w": _table(t1, enhanced=True, texture=0.6),
    }
