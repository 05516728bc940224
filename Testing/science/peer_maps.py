"""The maps that heatmap_peers.py compares, all of one number: the hazard at a patient's last visit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from monai.visualize import OcclusionSensitivity
from torch import Tensor, nn

from TemporalGliomaRisk.bundle import RiskModel
from TemporalGliomaRisk.encode.brain_blocks import SLOPE
from TemporalGliomaRisk.encode.evidence import CELL_VOXELS, HistoryHead, VisitMemory, brain_cells
from TemporalGliomaRisk.learn.scoring import encoded_visits
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.risk.hazards import HORIZON_INTERVALS
from TemporalGliomaRisk.timeline.visit import SEQUENCES

OURS = "ours"


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What each layer of the encoder is given at a visit, with a margin of zeros around the grid.

    Args:
        image: (4, I, J, K) intensities.
        inside: (I/2, J/2, K/2), 1 in cells that hold brain.
        features: Of each layer, (sequences of the visit, channels, I/2, J/2, K/2).
        number: (I/2, J/2, K/2) of a place among the brain's, -1 elsewhere.
    """

    image: Tensor
    inside: Tensor
    features: list[Tensor]
    number: Tensor


class LastVisit(nn.Module):
    """Calibrated hazard within the horizon at a patient's last visit, as a function of that visit's intensities.

    Called, it keeps gradients; :meth:`hazard_put_back` doesn't, and goes the way of ``predict``.
    """

    @torch.no_grad()
    def __init__(self, model: RiskModel, patient: StoredPatient, device: torch.device) -> None:
        super().__init__()
        self.network = model.network.requires_grad_(False)
        self.local_scale = model.calibration.local_scale
        self.brain = torch.from_numpy(np.array(patient.brain)).to(device)
        self.cells = brain_cells(self.brain)
        self.memory: VisitMemory | None = None
        *before, (self.own_features, self.present, self.days) = encoded_visits(self.network, patient)
        for features, present, days in before:
            self.memory, _ = self.network.see(self.memory, features, present, days)
        background = self.network.background_hazards(self.days[None])[:, 0, :HORIZON_INTERVALS].double()
        self.background = float(model.calibration.background_scale * background.mean(dim=0).sum())
        self.image = torch.from_numpy(patient.visit_volumes(patient.visits - 1)).to(device)
        self.sequences = torch.nonzero(self.present).flatten().tolist()
        self.gathered = nn.Identity()
        self.own_terms = self._terms(self.own_features, self.memory)
        # Of cells around the grid, so that what a change at its edge reaches lies on it.
        self.margin = self.network.config.convolutions + 2

    @property
    def hazard(self) -> float:
        """Of the visit as it is."""
        return self.background + float(self.own_terms.sum())

    def forward(self, intensities: Tensor) -> Tensor:
        """(visits, 4, I, J, K) to (visits,) hazards; ``gathered`` sees all sequences' features on the cells."""
        inside = intensities * self.brain
        cells = self.cells.expand(len(inside), *self.cells.shape)
        encode = self.network.encoder.encode_sequence
        grid = self.gathered(torch.cat([encode(inside[:, one], one, cells) for one in self.sequences], dim=1))
        parts = grid[:, :, self.cells].unflatten(1, (len(self.sequences), -1)).transpose(2, 3)
        features = parts.new_zeros((len(parts), len(SEQUENCES), *parts.shape[2:]))
        features = features.index_copy(1, torch.tensor(self.sequences, device=parts.device), parts)
        return torch.stack([self.background + self._terms(one, self.memory).sum() for one in features])

    @torch.no_grad()
    def hazard_put_back(self, voxels: Tensor, fill: Tensor) -> float:
        """Hazard with the intensities of some voxels replaced.

        Args:
            voxels: (I, J, K) boolean.
            fill: (4, I, J, K) intensities to put there.
        """
        intensities = torch.where(voxels & self.brain, fill, self.image)
        features = self.network.encode_visit(intensities, self.present, self.cells)
        return self.background + float(self._terms(features, self.memory).sum())

    @torch.no_grad()
    def hazard_put_back_near(self, voxels: Tensor, fill: Tensor) -> float:
        """The same for voxels side by side: only the cells that each layer's change reaches are computed again."""
        changed = torch.nonzero(voxels & self.brain)
        if not len(changed):
            return self.hazard
        low, high = changed.amin(dim=0).tolist(), changed.amax(dim=0).tolist()
        # A cell's stem reads its own voxels and one more on every side.
        reached = [
            (self.margin + (first - 1) // CELL_VOXELS, self.margin + (last + 1) // CELL_VOXELS + 1)
            for first, last in zip(low, high, strict=True)
        ]
        there = _widened(reached, 0, scale=CELL_VOXELS, more=1)
        given = self.layers.image[(slice(None), *there)].clone()
        start = torch.tensor([part.start - CELL_VOXELS * self.margin for part in there], device=changed.device)
        given[(slice(None), *(changed - start).T)] = fill[(slice(None), *changed.T)]
        inside = self.layers.inside
        encoder = self.network.encoder
        stems = [nn.functional.conv3d(given[one][None, None], *_weights(encoder.stems[one])) for one in self.sequences]
        now = torch.cat(stems) * inside[_widened(reached, 0)]
        for depth, layer in enumerate(encoder.layers):
            around = self.layers.features[depth][(..., *_widened(reached, 2))].clone()
            around[..., 2:-2, 2:-2, 2:-2] = now
            convolved = nn.functional.conv3d(nn.functional.leaky_relu(around, SLOPE), *_weights(layer))
            reached = [(first - 1, last + 1) for first, last in reached]
            now = around[..., 1:-1, 1:-1, 1:-1] + convolved * inside[_widened(reached, 0)]
        again = self.layers.number[_widened(reached, 0)]
        known = again >= 0
        places = again[known]
        features = now.new_zeros((len(SEQUENCES), len(places), now.shape[1]))
        features[self.sequences] = now[:, :, known].transpose(1, 2)
        terms = self._terms(features, _at_places(self.memory, places))
        return self.hazard + float((terms - self.own_terms[places]).sum())

    @cached_property
    @torch.no_grad()
    def layers(self) -> Layers:
        """Of the visit as it is."""
        encoder, margin = self.network.encoder, self.margin
        inside = nn.functional.pad(self.cells, (margin,) * 6).to(self.image)
        image = nn.functional.pad(self.image, (CELL_VOXELS * margin,) * 6)
        stems = [encoder.stems[one](image[one][None, None]) for one in self.sequences]
        features = [torch.cat(stems) * inside]
        for layer in encoder.layers[:-1]:
            features.append(features[-1] + layer(nn.functional.leaky_relu(features[-1], SLOPE)) * inside)
        number = torch.full(inside.shape, -1, device=inside.device)
        number[inside > 0] = torch.arange(int(self.cells.sum()), device=inside.device)
        return Layers(image=image, inside=inside, features=features, number=number)

    def _terms(self, features: Tensor, memory: VisitMemory | None) -> Tensor:
        """(4, places, channels) to (places,) local hazards within the horizon."""
        if torch.is_grad_enabled() and memory is not None:
            logs = torch.stack([self._logs(head, number, features) for number, head in enumerate(self.network.members)])
        else:
            logs = self.network.see(memory, features, self.present, self.days)[1]
        return self.local_scale * logs.double().exp()[..., :HORIZON_INTERVALS].sum(dim=-1).mean(dim=0)

    def _logs(self, head: HistoryHead, number: int, features: Tensor) -> Tensor:
        memory = self.memory
        first = head.comparison(memory.first, features, memory.first_present, self.present)
        previous = head.comparison(memory.previous, features, memory.previous_present, self.present)
        return head.step(memory.states[number], first, previous, self.days)[1]


def _widened(spans: list[tuple[int, int]], cells: int, *, scale: int = 1, more: int = 0) -> tuple[slice, ...]:
    """A box of cells, widened, on a grid so many times as fine, and there widened again."""
    return tuple(slice(scale * (first - cells) - more, scale * (last + cells) + more) for first, last in spans)


def _weights(layer: nn.Module) -> tuple[Tensor, Tensor | None, int]:
    """Weight, bias and stride of a convolution, whose padding is left out."""
    return layer.weight, layer.bias, layer.stride


def _at_places(memory: VisitMemory | None, places: Tensor) -> VisitMemory | None:
    if memory is None:
        return None
    return VisitMemory(
        memory.first[:, places],
        memory.first_present,
        memory.previous[:, places],
        memory.previous_present,
        memory.states[:, places],
    )


class Occluded(nn.Module):
    """Change of the hazard for MONAI's occlusion: it occludes a volume of ones, and where it left zeros intensities go.

    Args:
        visit: The visit.
        fill: (4, I, J, K) intensities to put there.
        box: The part of the grid that the volume of ones covers.
    """

    def __init__(self, visit: LastVisit, fill: Tensor, box: tuple[slice, ...]) -> None:
        super().__init__()
        self.visit, self.fill, self.box, self.positions = visit, fill, box, 0

    def forward(self, ones: Tensor) -> Tensor:
        """(1, 1, i, j, k) to (1, 1)."""
        self.positions += 1
        voxels = torch.zeros_like(self.visit.brain)
        voxels[self.box] = torch.as_tensor(ones[0, 0] < 0.5)
        return ones.new_tensor([[self.visit.hazard_put_back_near(voxels, self.fill) - self.visit.hazard]])


def fills(visit: LastVisit, patient: StoredPatient) -> tuple[dict[str, Tensor], bool]:
    """What a place can be put back to, (4, I, J, K) each.

    Returns:
        ``mean``: each sequence's mean in the brain; ``previous``, ``first``: the latest and the first earlier visit
        with the same sequence, where the mean stands in for a sequence that no earlier visit has; and
        whether every sequence was seen before.
    """
    empty = torch.zeros_like(visit.image)
    found, complete = {name: empty.clone() for name in ("mean", "previous", "first")}, True
    for one in visit.sequences:
        found["mean"][one] = visit.image[one][visit.brain].mean() * visit.brain
        having = np.flatnonzero(patient.present[:-1, one]).tolist()
        complete &= bool(having)
        for name, place in (("first", 0), ("previous", -1)):
            given = patient.visit_volumes(having[place])[one] if having else found["mean"][one].cpu().numpy()
            found[name][one] = torch.from_numpy(given).to(empty)
    return found, complete


@dataclass(frozen=True, kw_only=True)
class PeerSettings:
    """What every case is computed with.

    Args:
        steps: Of integrated gradients.
        occlusion_voxels: Edge of the cube that occlusion covers, which is its stride too.
        seed: Of orders among equals, random order and bootstrap.
        device: Where the networks run.
        threads: Of each process.
    """

    steps: int = 20
    occlusion_voxels: int = 4
    seed: int = 1
    device: str = "cpu"
    threads: int = 1


def maps_of(visit: LastVisit, patient: StoredPatient, settings: PeerSettings) -> dict[str, Callable[[], Any]]:
    """How each map is made: (places,) values, at least 0, and what is worth noting of it."""
    fill, _ = fills(visit, patient)
    zero = torch.zeros_like(visit.image)

    def ours() -> tuple[Tensor, dict[str, float]]:
        return visit.own_terms, {}

    def grad_cam() -> tuple[Tensor, dict[str, float]]:
        found = LayerGradCam(visit, visit.gathered).attribute(visit.image[None], relu_attributions=True)
        return found[0, 0][visit.cells], {}

    def integrated(base: Tensor) -> tuple[Tensor, dict[str, float]]:
        found, missing = IntegratedGradients(visit).attribute(
            visit.image[None],
            baselines=base[None],
            n_steps=settings.steps,
            internal_batch_size=1,
            return_convergence_delta=True,
        )
        whole = float(found.sum() - missing)
        error = float(missing) / whole if whole else 0.0
        return by_cell(found[0].sum(dim=0))[visit.cells], {"completeness_error": error}

    def occluded(fill: Tensor) -> tuple[Tensor, dict[str, float]]:
        return occlusion(visit, fill, settings.occlusion_voxels)

    return {
        OURS: ours,
        "Grad-CAM": grad_cam,
        "integrated gradients": lambda: integrated(zero),
        "integrated gradients, from the first visit": lambda: integrated(fill["first"]),
        "occlusion": lambda: occluded(fill["mean"]),
        "occlusion, by the first visit": lambda: occluded(fill["first"]),
    }


def occlusion(visit: LastVisit, fill: Tensor, edge: int) -> tuple[Tensor, dict[str, float]]:
    """MONAI's occlusion in cubes side by side over the brain's box, the last of a row moved back into it.

    Returns:
        (places,) sums over the cells of how much the hazard falls, and the number of positions.
    """
    inside = torch.nonzero(visit.brain)
    box = []
    for low, high, length in zip(
        inside.amin(dim=0).tolist(), inside.amax(dim=0).tolist(), visit.brain.shape, strict=True
    ):
        start = max(0, min(low // CELL_VOXELS * CELL_VOXELS, length - edge))
        box.append(slice(start, max(high + 1, start + edge)))
    occluded = Occluded(visit, fill, tuple(box))
    driver = OcclusionSensitivity(
        occluded, mask_size=edge, overlap=0.0, n_batch=1, mode=0.0, activate=False, verbose=False
    )
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using a non-tuple sequence")
        change = driver(torch.ones((1, 1, *(part.stop - part.start for part in box))))[0][0, 0]
    fall = torch.zeros(visit.brain.shape, dtype=torch.float64)
    fall[tuple(box)] = -torch.as_tensor(np.asarray(change), dtype=torch.float64)
    return by_cell(fall)[visit.cells.cpu()], {"positions": occluded.positions}


def by_cell(voxels: Tensor) -> Tensor:
    """(I, J, K) to the sums over the cells."""
    pooled: Tensor = nn.functional.avg_pool3d(voxels[None, None], CELL_VOXELS)[0, 0]
    return pooled * CELL_VOXELS**3
