"""Tissue and lesion shares to signal, one table a pulse sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TemporalGliomaRisk.simulate.anatomy import Anatomy
from TemporalGliomaRisk.simulate.growth import visible_fraction
from TemporalGliomaRisk.simulate.lesion import Lesion
from TemporalGliomaRisk.simulate.randomness import Float32Array, Generator
from TemporalGliomaRisk.simulate.reaction import ReactionMaps, Reactions
from TemporalGliomaRisk.simulate.surgery import Surgery
from TemporalGliomaRisk.timeline.visit import SequenceName


@dataclass(frozen=True, kw_only=True)
class Signals:
    """Relative signal of each tissue in one sequence, and how strongly fine texture shows."""

    grey: float
    white: float
    fluid: float
    tumour: float
    oedema: float
    necrosis: float
    scar: float
    blood: float
    enhanced: float | None
    texture: float


SIGNALS: dict[SequenceName, Signals] = {
    "FLAIR": Signals(
        grey=0.52, white=0.43, fluid=0.10, tumour=0.84, oedema=0.74, necrosis=0.45, scar=0.70, blood=0.40,
        enhanced=None, texture=-0.35,
    ),
    "T2w": Signals(
        grey=0.50, white=0.36, fluid=0.95, tumour=0.74, oedema=0.68, necrosis=0.85, scar=0.66, blood=0.30,
        enhanced=None, texture=-0.5,
    ),
    "T1w": Signals(
        grey=0.52, white=0.70, fluid=0.20, tumour=0.44, oedema=0.50, necrosis=0.30, scar=0.46, blood=0.92,
        enhanced=None, texture=1.0,
    ),
    "ce-gd_T1w": Signals(
        grey=0.55, white=0.70, fluid=0.20, tumour=0.46, oedema=0.50, necrosis=0.30, scar=0.47, blood=0.92,
        enhanced=1.05, texture=1.0,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TumourLook:
    """How this patient's tumour looks, the same for residual and regrowth; knows nothing of fate."""

    high_grade: bool
    enhances: bool
    brightness: float


@dataclass(frozen=True, kw_only=True)
class VisitScene:
    """All that is in the head on one day, before any scanner: shares on the operative box."""

    reactions: ReactionMaps
    tumour: Float32Array
    tumour_enhancement: Float32Array
    necrosis: Float32Array


def draw_tumour_look(generator: Generator, high_grade_share: float) -> TumourLook:
    """Grade and appearance."""
    high_grade = bool(generator.random() < high_grade_share)
    return TumourLook(
        high_grade=high_grade,
        enhances=bool(generator.random() < (0.8 if high_grade else 0.55)),
        brightness=generator.uniform(0.82, 1.08),
    )


def density_on(box_source: tuple[slice, ...], density: Float32Array, surgery: Surgery, target: Float32Array) -> None:
    """Raise ``target``, which lies on the operative box, to a density that lies on a box inside it."""
    inner = tuple(
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(box_source, surgery.box, strict=True)
    )
    target[inner] = np.maximum(target[inner], density)


def draw_scene(
    lesions: tuple[Lesion, ...], reactions: ReactionMaps, surgery: Surgery, look: TumourLook, day: float
) -> VisitScene:
    """Put lesions and reactions of one day together."""
    density = np.zeros_like(reactions.cavity)
    for lesion in lesions:
        density_on(lesion.front.box, lesion.density_at(day), surgery, density)
    tumour = visible_fraction(density)
    necrosis = np.zeros_like(density)
    enhancement = np.zeros_like(density)
    if look.enhances:
        enhancement = np.clip((density - 0.5) / 0.4, 0.0, 1.0)
    if look.high_grade and look.enhances:
        necrosis = 0.9 * np.clip((density - 0.985) / 0.01, 0.0, 1.0)
        enhancement = enhancement * (1.0 - necrosis)
    return VisitScene(reactions=reactions, tumour=tumour, tumour_enhancement=enhancement, necrosis=necrosis)


def vary_signals(generator: Generator, signals: Signals) -> Signals:
    """The same sequence as another scanner's protocol weights it: each tissue's signal within a few per cent."""
    factors = 1.0 + 0.03 * generator.standard_normal(8)
    names = ("grey", "white", "fluid", "tumour", "oedema", "necrosis", "scar", "blood")
    varied = {name: getattr(signals, name) * float(f) for name, f in zip(names, factors, strict=True)}
    return Signals(**varied, enhanced=signals.enhanced, texture=signals.texture)


def render_signal(
    *,
    anatomy: Anatomy,
    surgery: Surgery,
    reactions: Reactions,
    scene: VisitScene,
    look: TumourLook,
    signals: Signals,
) -> Float32Array:
    """(I, J, K) ideal signal of one sequence on one day, white matter about 0.4 to 0.7, no scanner yet."""
    signal = anatomy.grey * np.float32(signals.grey)
    signal += anatomy.white * np.float32(signals.white)
    signal += anatomy.fluid * np.float32(signals.fluid)
    signal += (np.float32(signals.texture) * anatomy.texture) * (1.0 - anatomy.fluid)
    _blend(signal, reactions.spots * (1.0 - anatomy.fluid), signals.scar)
    _blend(signal, reactions.scar_fluid, signals.fluid)
    local, maps = signal[surgery.box], scene.reactions
    texture = np.asarray(np.float32(0.5 * signals.texture) * anatomy.texture[surgery.box], dtype=np.float32)
    tumour_signal = signals.tumour
    if signals.grey < signals.tumour:
        tumour_signal = signals.grey + (signals.tumour - signals.grey) * look.brightness
    protein = signals.fluid
    if signals.fluid < signals.grey:
        protein += reactions.healing.protein * (signals.grey - signals.fluid)
    _blend(local, maps.oedema, signals.oedema + texture)
    _blend(local, maps.swelling, signals.tumour + np.float32(3.0) * texture)
    _blend(local, scene.tumour * (1.0 - maps.cavity), tumour_signal + np.float32(3.0) * texture)
    _blend(local, scene.necrosis, signals.necrosis)
    if signals.enhanced is not None:
        either = np.asarray(np.maximum(maps.swelling_enhancement, scene.tumour_enhancement), dtype=np.float32)
        _blend(local, 0.85 * either, signals.enhanced)
    _blend(local, maps.cavity, protein)
    if signals.enhanced is not None:
        _blend(local, 0.8 * maps.enhancement, signals.enhanced)
    _blend(local, 0.8 * maps.blood, signals.blood)
    return signal


def _blend(signal: Float32Array, share: Float32Array, value: float | Float32Array) -> None:
    """Replace a share of each voxel's signal, in place."""
    signal += np.asarray(share * (np.float32(value) if isinstance(value, float) else value) - share * signal)
