"""Where each volume of a visit lies in the first visit's space, and whether it had to be moved there.

A sequence that the first visit has too is aligned with its own counterpart there: the same sequence aligns to 0.1 mm,
where different ones end 0.2 to 0.9 mm apart, and differences between visits are taken within a sequence. The others
follow the visit's anchor (its reference sequence, or the first that both visits have).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from TemporalGliomaRisk.errors import RegistrationError
from TemporalGliomaRisk.preprocess.alignment import (
    MEASURE,
    Registered,
    mean_displacement_mm,
    prepared_for_metric,
    quick_measure,
    register,
)
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.descent import Fixed, dilated, flattened
from TemporalGliomaRisk.preprocess.loaded import LoadedVolume
from TemporalGliomaRisk.preprocess.prepared import Alignment, Frame
from TemporalGliomaRisk.timeline.finding import Finding
from TemporalGliomaRisk.timeline.resampling import resample
from TemporalGliomaRisk.timeline.visit import SEQUENCES, SequenceName
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry, Volume

LEAST_SIMILARITY = 1.03
LEAST_OVERLAP = 0.6


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a visit's volumes lie.

    Args:
        frame_to_volume: (4, 4) by sequence, from the first visit's RAS to the volume's own.
        alignments: What was measured and done, one per volume that had a target.
        findings: The same in sentences.
    """

    frame_to_volume: Mapping[SequenceName, FloatArray]
    alignments: tuple[Alignment, ...]
    findings: tuple[Finding, ...]


def trusted(volumes: Mapping[SequenceName, LoadedVolume]) -> Placement:
    """Every volume where its header says (``--register never``)."""
    return Placement(frame_to_volume={name: np.eye(4) for name in volumes}, alignments=(), findings=())


def place_first_visit(
    volumes: Mapping[SequenceName, LoadedVolume],
    reference: SequenceName,
    grid: Geometry,
    brain: BoolArray,
    config: PreprocessConfig,
) -> Placement:
    """Bring the first visit's other sequences to its reference sequence.

    Args:
        volumes: The first visit's.
        reference: Its reference sequence, which stays where it is.
        grid: The model grid.
        brain: (I, J, K), on that grid.
        config: Settings.

    Raises:
        RegistrationError: If one of them could not be brought there.
    """
    placing = _Placing(config=config, where=" of visit 1")
    placing.placed[reference] = np.eye(4)
    _follow(placing, volumes, reference, grid, brain)
    return placing.done()


def place_later_visit(
    volumes: Mapping[SequenceName, LoadedVolume],
    reference: SequenceName,
    frame: Frame,
    config: PreprocessConfig,
    where: str,
) -> Placement:
    """Bring a later visit's volumes to the first visit.

    Args:
        volumes: The visit's.
        reference: Its reference sequence.
        frame: From the first visit.
        config: Settings.
        where: " of visit 3", for messages; may be empty.

    Raises:
        RegistrationError: If one of them could not be brought there.
    """
    placing = _Placing(config=config, where=where)
    shared = [name for name in dict.fromkeys((reference, *SEQUENCES)) if name in volumes and name in frame.references]
    for name in shared:
        placing.place(name, volumes[name], _frame_target(frame, name, volumes[name]), "first", np.eye(4))
    if not shared:
        across = next(name for name in SEQUENCES if name in frame.references)
        fixed = _frame_target(frame, across, volumes[reference])
        placing.place(reference, volumes[reference], fixed, "first", np.eye(4), across=True)
    _follow(placing, volumes, next(iter(placing.placed)), frame.grid, frame.brain_mask)
    return placing.done()


def _follow(
    placing: _Placing,
    volumes: Mapping[SequenceName, LoadedVolume],
    anchor: SequenceName,
    grid: Geometry,
    brain: BoolArray,
) -> None:
    """Bring every volume that has no place yet to the anchor of its visit."""
    rest = [name for name in volumes if name not in placing.placed]
    if not rest or placing.config.register == "never":
        return
    start = placing.placed[anchor]
    small = prepared_for_metric(volumes[anchor].volume, volumes[anchor].background.value)
    voxels = resample(small, grid, start)
    target = Fixed(volume=Volume(voxels=voxels, geometry=grid), mask=brain, brain=brain)
    flat = flattened(target.volume, target, np.eye(4))
    for name in rest:
        alike = (volumes[name].stripped is None) == (volumes[anchor].stripped is None)
        fixed = Fixed(volume=flat, mask=dilated(brain) if alike else brain, brain=brain)
        placing.place(name, volumes[name], fixed, "reference", start, across=True)


def _frame_target(frame: Frame, name: SequenceName, moving: LoadedVolume) -> Fixed:
    """The first visit's volume as a registration's target; its rim takes part where both or neither are stripped."""
    around = dilated(frame.brain_mask)
    stripped = not frame.references[name][~around].any()
    alike = stripped == (moving.stripped is not None)
    return Fixed(
        volume=Volume(voxels=frame.references[name], geometry=frame.grid),
        mask=around if alike else frame.brain_mask,
        brain=frame.brain_mask,
    )


@dataclass(kw_only=True)
class _Placing:
    """What has been placed so far."""

    config: PreprocessConfig
    where: str
    placed: dict[SequenceName, FloatArray] = field(default_factory=dict)
    alignments: list[Alignment] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def place(
        self,
        name: SequenceName,
        loaded: LoadedVolume,
        fixed: Fixed,
        target: str,
        start: FloatArray,
        *,
        across: bool = False,
    ) -> None:
        """Measure, and move where the mode asks for it.

        Args:
            name: The sequence.
            loaded: Its volume.
            fixed: What it is brought to, on the grid.
            target: The alignment's ``target``.
            start: (4, 4), where the header (of an anchor that moved) says that the grid lies in the volume.
            across: Whether target and volume are different sequences.
        """
        config = self.config
        small = prepared_for_metric(loaded.volume, loaded.background.value)
        moving = Volume(
            voxels=small.voxels,
            geometry=Geometry(shape=small.geometry.shape, ijk_to_ras=np.linalg.inv(start) @ small.geometry.ijk_to_ras),
        )
        if config.register == "auto":
            measured = quick_measure(fixed, moving)
            limit = config.move_across_above_mm if across else config.move_above_mm
            if measured.displacement_mm <= limit:
                aligned = (
                    f"is aligned with {_TARGETS[target]} already (estimated {measured.displacement_mm:.1f} mm "
                    f"apart, {limit:.1f} mm allowed) and was not moved."
                )
                kept = Alignment(
                    sequence=name,
                    target=target,
                    moved=False,
                    to_target_ras=np.eye(4),
                    similarity=measured.similarity,
                    measure=MEASURE,
                    residual_mm=measured.displacement_mm,
                )
                self._keep(start, kept, aligned)
                return
        ended = register(fixed, moving)
        self._refuse_if_bad(name, target, ended)
        moved_mm = mean_displacement_mm(ended.fixed_to_moving, np.eye(4), fixed.brain, fixed.volume.geometry)
        message = (
            f"was moved by {moved_mm:.1f} mm on average onto {_TARGETS[target]}; two registrations agree within "
            f"{ended.disagreement_mm:.1f} mm."
        )
        done = Alignment(
            sequence=name,
            target=target,
            moved=True,
            to_target_ras=np.linalg.inv(ended.fixed_to_moving),
            similarity=ended.similarity,
            measure=MEASURE,
            residual_mm=ended.disagreement_mm,
        )
        self._keep(start @ ended.fixed_to_moving, done, message)

    def _keep(self, placed: FloatArray, alignment: Alignment, message: str) -> None:
        self.placed[alignment.sequence] = placed
        self.alignments.append(alignment)
        code = "moved" if alignment.moved else "aligned_already"
        sentence = f"{alignment.sequence}{self.where} {message}"
        self.findings.append(Finding.note(code, sentence, sequence=alignment.sequence))

    def _refuse_if_bad(self, name: SequenceName, target: str, ended: Registered) -> None:
        reason = ""
        if ended.overlap < LEAST_OVERLAP:
            reason = f"only {100 * ended.overlap:.0f} % of the brain lies in both ({100 * LEAST_OVERLAP:.0f} % wanted)"
        elif not ended.disagreement_mm <= self.config.refuse_above_mm:
            reason = (
                f"two registrations end {ended.disagreement_mm:.1f} mm apart "
                f"(at most {self.config.refuse_above_mm:.1f} mm wanted)"
            )
        elif ended.similarity < LEAST_SIMILARITY:
            reason = f"they stay unlike each other ({MEASURE} {ended.similarity:.3f}, {LEAST_SIMILARITY} wanted)"
        if reason:
            raise RegistrationError(
                f"{name}{self.where} cannot be brought onto {_TARGETS[target]}: {reason}. Check that both show the "
                "same head and that their spacing is right, or align them yourself and use --register never."
            )

    def done(self) -> Placement:
        """The whole."""
        return Placement(frame_to_volume=self.placed, alignments=tuple(self.alignments), findings=tuple(self.findings))


_TARGETS = {"reference": "the visit's reference sequence", "first": "the first visit"}
