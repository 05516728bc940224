"""Tissue and lesion shares to signal, one table a pulse sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from TemporalGliomaRisk.simulate.anatomy import Anatomy
from TemporalGliomaRisk.simulate.finding_maps import FindingMaps
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
    iron: float
    calcium: float


SIGNALS: dict[SequenceName, Signals] = {
    "FLAIR": Signals(
        grey=0.52, white=0.43, fluid=0.10, tumour=0.84, oedema=0.74, necrosis=0.45, scar=0.70, blood=0.40,
        enhanced=None, texture=-0.35, iron=0.10, calcium=0.18,
    ),
    "T2w": Signals(
        grey=0.50, white=0.36, fluid=0.95, tumour=0.74, oedema=0.68, necrosis=0.85, scar=0.66, blood=0.30,
        enhanced=None, texture=-0.5, iron=0.07, calcium=0.14,
    ),
    "T1w": Signals(
        grey=0.52, white=0.70, fluid=0.20, tumour=0.44, oedema=0.50, necrosis=0.30, scar=0.46, blood=0.92,
        enhanced=None, texture=1.0, iron=0.36, calcium=0.56,
    ),
    "ce-gd_T1w": Signals(
        grey=0.55, white=0.70, fluid=0.20, tumour=0.46, oedema=0.50, necrosis=0.30, scar=0.47, blood=0.92,
        enhanced=1.05, texture=1.0, iron=0.36, calcium=0.56,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ContrastRanges:
    """What a population's contrast is drawn from; the defaults are version 1's.

    Args:
        signals: Table of each sequence.
        spread: Standard deviation of each tissue's signal about the table's, relative, per file.
        random_share: Share of visits whose tissue signals are drawn widely, so that contrast isn't the sequence's.
        flatness: Range of a factor on the difference of grey and white, per file (protocols differ in weighting).
        brightness: Range of the tumour's brightness between grey matter and the table's tumour.
        high_grade_share: Share of high-grade tumours.
    """

    signals: Mapping[SequenceName, Signals] = field(default_factory=lambda: SIGNALS)
    spread: float = 0.03
    random_share: float = 0.0
    flatness: tuple[float, float] = (1.0, 1.0)
    brightness: tuple[float, float] = (0.82, 1.08)
    high_grade_share: float = 0.25


VERSION_1 = ContrastRanges()


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


def draw_tumour_look(generator: Generator, ranges: ContrastRanges = VERSION_1) -> TumourLook:
    """Grade and appearance."""
    high_grade = bool(generator.random() < ranges.high_grade_share)
    return TumourLook(
        high_grade=high_grade,
        enhances=bool(generator.random() < (0.8 if high_grade else 0.55)),
        brightness=generator.uniform(*ranges.brightness),
    )


def density_on(box_source: tuple[slice, ...], density: Float32Array, surgery: Surgery, target: Float32Array) -> None:
    """Raise ``target`` (i, j, k), of the operative box, in place, to a density (i, j, k) of a box inside it."""
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


VARIED = ("grey", "white", "fluid", "tumour", "oedema", "necrosis", "scar", "blood")
LEAST_TUMOUR_CONTRAST = 0.12


def vary_signals(generator: Generator, signals: Signals, ranges: ContrastRanges = VERSION_1) -> Signals:
    """The same sequence as another scanner's protocol weights it: each tissue's signal within a few per cent."""
    factors = 1.0 + ranges.spread * generator.standard_normal(8)
    varied = {name: getattr(signals, name) * float(f) for name, f in zip(VARIED, factors, strict=True)}
    if ranges.flatness[0] < ranges.flatness[1]:
        middle, flatness = 0.5 * (varied["grey"] + varied["white"]), generator.uniform(*ranges.flatness)
        for name in ("grey", "white"):
            varied[name] = middle + flatness * (varied[name] - middle)
    return replace(signals, **varied)


def random_signals(generator: Generator, signals: Signals) -> Signals:
    """Contrast part of the way from the table's values to random ones that are independent of them (after SynthSeg).

    The lesion stays apart from grey and white matter by a least difference, as without one nobody could see it; its
    sign is free, and the table's order of lesions (tumour, oedema, scar) is kept along it.
    """
    amount = generator.uniform(0.4, 1.0)
    drawn = generator.uniform(0.12, 1.0, size=3)
    base = {
        name: (1.0 - amount) * getattr(signals, name) + amount * float(value)
        for name, value in zip(("grey", "white", "fluid"), drawn, strict=True)
    }
    middle = 0.5 * (base["grey"] + base["white"])
    apart = 0.5 * abs(base["grey"] - base["white"]) + LEAST_TUMOUR_CONTRAST + generator.uniform(0.0, 0.35)
    sign = 1.0 if generator.random() < 0.5 or middle - apart < 0.05 else -1.0
    lesion = {"tumour": 1.0, "oedema": 0.8, "scar": 0.7, "necrosis": generator.uniform(-0.5, 1.2)}
    shown = {name: max(middle + sign * apart * share, 0.03) for name, share in lesion.items()}
    blood = float(generator.uniform(0.1, 1.0))
    enhanced = None if signals.enhanced is None else float(max(base.values()) + generator.uniform(0.15, 0.5))
    return replace(signals, **base, **shown, blood=blood, enhanced=enhanced)


def render_signal(
    *,
    anatomy: Anatomy,
    surgery: Surgery,
    reactions: Reactions,
    scene: VisitScene,
    look: TumourLook,
    signals: Signals,
    findings: FindingMaps | None = None,
) -> Float32Array:
    """(I, J, K) ideal signal of one sequence on one day, white matter about 0.4 to 0.7, no scanner yet."""
    signal = anatomy.grey * np.float32(signals.grey)
    signal += anatomy.white * np.float32(signals.white)
    signal += anatomy.fluid * np.float32(signals.fluid)
    signal += (np.float32(signals.texture) * anatomy.texture) * (1.0 - anatomy.fluid)
    if findings is not None:
        _blend_under(signal, anatomy, findings, signals)
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
    if findings is not None:
        _blend_over(signal, surgery, findings, scene, signals)
    return signal


def _blend_under(signal: Float32Array, anatomy: Anatomy, findings: FindingMaps, signals: Signals) -> None:
    """What lies under all lesions: white matter that isn't yet myelinated, or that treatment has changed."""
    if findings.unmyelinated is not None:
        late = findings.unmyelinated[0 if signals.texture > 0 else 1]  # fine texture is bright on T1 alone
        # Without myelin, white matter is darker than grey on T1 and brighter on T2.
        naked = 0.90 * signals.grey if signals.white > signals.grey else 1.15 * signals.grey
        signal += anatomy.white * late * np.float32(naked - signals.white)
    if findings.white_matter_change is not None:
        _blend(signal, findings.white_matter_change, signals.oedema)


def _blend_over(
    signal: Float32Array, surgery: Surgery, findings: FindingMaps, scene: VisitScene, signals: Signals
) -> None:
    """What marks whatever lies under it: vessels, chalk, iron, a catheter; cysts, which give way to tumour."""
    local = signal[surgery.box]
    for cyst in findings.cysts:
        fluid = signals.fluid + cyst.protein * (signals.grey - signals.fluid)
        _blend(local, cyst.share * (1.0 - scene.tumour), fluid)
        if signals.enhanced is not None and cyst.rim is not None:
            _blend(local, cyst.rim * (1.0 - scene.tumour), signals.enhanced)
    if findings.rim_iron is not None:
        _blend(local, findings.rim_iron, signals.iron)
    if signals.enhanced is not None and findings.vessels is not None:
        _blend(signal, findings.vessels, signals.enhanced)
    if findings.calcium is not None:
        _blend(signal, findings.calcium, signals.calcium)
    if findings.iron is not None:
        _blend(signal, findings.iron, signals.iron)
    if findings.catheter is not None:
        _blend(signal, findings.catheter, 0.5 * signals.iron)


def _blend(signal: Float32Array, share: Float32Array, value: float | Float32Array) -> None:
    """Replace a share of each voxel's signal, in place."""
    signal += np.asarray(share * (np.float32(value) if isinstance(value, float) else value) - share * signal)
