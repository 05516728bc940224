"""Pairs of visits of one patient, cut to a cube: the material of pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor
from torch.nn import functional

from TemporalGliomaRisk.encode.evidence import CELL_VOXELS
from TemporalGliomaRisk.learn.augmentation import (
    AugmentationConfig,
    ContrastConfig,
    apply_flips,
    scanner_variation,
    shared_contrast,
    shared_flips,
)
from TemporalGliomaRisk.learn.implants import ImplantConfig, implant
from TemporalGliomaRisk.learn.stored_patient import StoredPatient

LEAST_GROWTH_VOXELS = 8


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Pairs of crops; visit ``earlier`` was before visit ``later``.

    Args:
        earlier: (pairs, 4, D, D, D), zero where absent or outside the brain.
        later: (pairs, 4, D, D, D).
        present: (pairs, 4), sequences used, the same for both visits of a pair.
        cells: (pairs, D/2, D/2, D/2), cells that hold brain.
        grown: (pairs, D/2, D/2, D/2), 1 where the lesion grew into the cell, NaN where the truth is not known or a
            border may only have moved.
        lesions: (pairs, 2, D/2, D/2, D/2), share of each cell that is tumour at the earlier and later visit, NaN where
            the truth is not known.
    """

    earlier: Tensor
    later: Tensor
    present: Tensor
    cells: Tensor
    grown: Tensor
    lesions: Tensor

    def to(self, device: torch.device) -> PairBatch:
        """The same batch on a device."""
        return PairBatch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """How pairs are drawn.

    Args:
        crop_voxels: Edge of the cube, an even number.
        growth_share: Share of the pairs drawn among those in which the lesion grew, where the truth is known: left to
            chance, few pairs show any growth.
        focus_chance: Chance that a cube is centred near the lesion (or its change), where the truth is known.
        augmentation: What differs between the two visits besides the patient.
        contrast: Other contrasts of the sequences, the same at both visits.
        implants: Lesions laid into both visits, where the truth is known.
    """

    crop_voxels: int = 24
    growth_share: float = 0.5
    focus_chance: float = 0.7
    augmentation: AugmentationConfig = field(
        default_factory=lambda: AugmentationConfig(low_signal_chance=0.3, thick_chance=0.25)
    )
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    implants: ImplantConfig = field(default_factory=lambda: ImplantConfig(chance=0.5))


class PairSampler:
    """Draws batches of pairs from prepared patients.

    Args:
        patients: Patients; those with a single visit or no common sequence in any pair are left out.
        config: How to draw.
    """

    def __init__(self, patients: Sequence[StoredPatient], config: PairConfig) -> None:
        self.config = config
        self.pairs: list[tuple[StoredPatient, int, int]] = []
        for patient in patients:
            options = [
                (patient, one, two)
                for one in range(patient.visits)
                for two in range(one + 1, patient.visits)
                if (patient.present[one] & patient.present[two]).any()
            ]
            if options:
                self.pairs.extend(options)
        by_patient: dict[str, list[int]] = {}
        for number, (patient, _, _) in enumerate(self.pairs):
            by_patient.setdefault(patient.patient_id, []).append(number)
        self._by_patient = list(by_patient.values())
        growing = [[number for number in options if _grew(*self.pairs[number])] for options in self._by_patient]
        self._growing = [options for options in growing if options]

    def draw(self, count: int, random: Generator) -> PairBatch:
        """A batch of pairs: a patient evenly, then one of the patient's pairs evenly."""
        crops = [self._crop(*self._choose(random), random) for _ in range(count)]
        return PairBatch(
            **{part.name: torch.stack([getattr(crop, part.name) for crop in crops]) for part in fields(PairBatch)}
        )

    def _choose(self, random: Generator) -> tuple[StoredPatient, int, int]:
        wanted = self._growing and torch.rand((), generator=random) < self.config.growth_share
        by_patient = self._growing if wanted else self._by_patient
        options = by_patient[_integer(len(by_patient), random)]
        return self.pairs[options[_integer(len(options), random)]]

    def _crop(self, patient: StoredPatient, one: int, two: int, random: Generator) -> PairBatch:
        corner = self._corner(patient, one, two, random)
        edge = self.config.crop_voxels
        window = tuple(slice(start, start + edge) for start in corner)
        inside = _padded(patient.brain[window], edge)
        common = torch.from_numpy(patient.present[one] & patient.present[two])
        present = _drop_sequences(common, self.config.augmentation.single_sequence_chance, random)
        flips, order = shared_flips(random)
        inside_turned = apply_flips(inside, flips, order)
        chosen = torch.nonzero(present).flatten().tolist()
        pair: list[Tensor] = []
        for visit in (one, two):
            volumes = torch.zeros((4, edge, edge, edge))
            for sequence in chosen:
                volumes[sequence] = _padded(patient.volumes[patient.volume_index(visit, sequence)][window], edge)
            pair.append(apply_flips(volumes, flips, order))
        cells = functional.max_pool3d(inside_turned[None], CELL_VOXELS)[0] > 0
        known = patient.growth_between(one, two, window)
        if known is None or patient.lesions is None:
            grown, lesions = torch.full(cells.shape, torch.nan), torch.full((2, *cells.shape), torch.nan)
        else:
            new, unsure, *there = (
                apply_flips(_padded(mask, edge), flips, order) > 0
                for mask in (*known, *(patient.lesions[visit][window] for visit in (one, two)))
            )
            masks = torch.stack(there)
            if inside.any() and torch.rand((), generator=random) < self.config.implants.chance:
                *pair, laid = implant(pair[0], pair[1], inside_turned, self.config.implants, random)
                new |= laid[1] & ~laid[0]
                masks |= laid
            grown, lesions = _targets(new, unsure, masks)
        recoloured = shared_contrast([volumes[chosen] for volumes in pair], self.config.contrast, random)
        visits = []
        for volumes in recoloured:
            seen = torch.zeros((4, edge, edge, edge))
            seen[chosen] = scanner_variation(volumes, inside_turned, self.config.augmentation, random)
            visits.append(seen)
        return PairBatch(earlier=visits[0], later=visits[1], present=present, cells=cells, grown=grown, lesions=lesions)

    def _corner(self, patient: StoredPatient, one: int, two: int, random: Generator) -> list[int]:
        edge = self.config.crop_voxels
        centre = _random_voxel(patient.brain, random)
        focused = patient.lesions is not None and torch.rand((), generator=random) < self.config.focus_chance
        change = patient.growth_between(one, two) if focused else None
        if change is not None and patient.lesions is not None:
            for region in (change[0], patient.lesions[two] | patient.lesions[one]):
                if region.any():
                    centre = _random_voxel(region, random)
                    break
        jitter = [_integer(edge // 2, random) - edge // 4 for _ in range(3)]
        # Even corners keep the crop's cells on the cells of the whole grid.
        return [
            max(0, min(int(place) + move - edge // 2, length - edge)) // CELL_VOXELS * CELL_VOXELS
            for place, move, length in zip(centre, jitter, patient.brain.shape, strict=True)
        ]


def _targets(new: Tensor, unsure: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """What is learnt of each cell: 1 where any of it is new and NaN where that isn't known, and how much is tumour.

    Args:
        new: (D, D, D) boolean.
        unsure: (D, D, D) boolean.
        masks: (2, D, D, D) boolean, the tumour at each visit.

    Returns:
        (D/2, D/2, D/2) and (2, D/2, D/2, D/2).
    """
    grown, doubtful = functional.max_pool3d(torch.stack([new, unsure]).float(), CELL_VOXELS)
    grown = torch.where((grown == 0) & (doubtful > 0), torch.nan, grown)
    return grown, functional.avg_pool3d(masks.float(), CELL_VOXELS)


def _grew(patient: StoredPatient, one: int, two: int) -> bool:
    """Whether the lesion grew by at least :data:`LEAST_GROWTH_VOXELS` between two visits, as far as is known."""
    change = patient.growth_between(one, two)
    return change is not None and int(change[0].sum()) >= LEAST_GROWTH_VOXELS


def _random_voxel(region: npt.NDArray[np.bool_], random: Generator) -> npt.NDArray[np.intp]:
    flat = np.flatnonzero(region)
    return np.array(np.unravel_index(flat[_integer(len(flat), random)], region.shape))


def _integer(below: int, random: Generator) -> int:
    return int(torch.randint(below, (), generator=random))


def _padded(array: npt.NDArray[np.generic], edge: int) -> Tensor:
    """A window as float32, padded with zeros at the far ends where the grid is smaller than the cube."""
    tensor = torch.from_numpy(np.asarray(array, dtype=np.float32))
    missing = [edge - length for length in reversed(tensor.shape)]
    return functional.pad(tensor, [part for gap in missing for part in (0, gap)])


def _drop_sequences(common: Tensor, single_chance: float, random: Generator) -> Tensor:
    """Either one of the common sequences alone, or all of them."""
    if torch.rand((), generator=random) >= single_chance:
        return common
    options = torch.nonzero(common).flatten()
    kept = torch.zeros_like(common)
    kept[options[_integer(len(options), random)]] = True
    return kept
