"""The features of :mod:`timeline_features` at a sample of places, cached so that fine-tuning takes minutes.

Of a brain's some 20,000 places the foremost are all kept and the rest is
sampled; a sampled place stands for as many as were left out, so that sums over the brain are estimated without bias.
Places known to hold true growth count among the foremost.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Generator, Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from TemporalGliomaRisk.device import device_of
from TemporalGliomaRisk.encode.evidence import CELL_VOXELS, brain_cells
from TemporalGliomaRisk.encode.pairs import PairModel
from TemporalGliomaRisk.errors import InputError, UsageError
from TemporalGliomaRisk.files import written_whole
from TemporalGliomaRisk.learn.checkpoints import begin_with
from TemporalGliomaRisk.learn.implanted_timelines import ImplantedPatient
from TemporalGliomaRisk.learn.pair_crops import LEAST_GROWTH_VOXELS
from TemporalGliomaRisk.learn.ranks import ALONE, Ranks
from TemporalGliomaRisk.learn.stored_patient import StoredPatient
from TemporalGliomaRisk.learn.timeline_features import implanted_features, timeline_features

FEATURES_VERSION = 1
"""Of what is kept of a patient beside the encoder's numbers; another one, and everybody is encoded anew."""
MADE_OF = "made_of"


@dataclass(frozen=True, kw_only=True)
class PlaceSampling:
    """How many places are kept: the foremost, and a sample of the rest.

    Args:
        foremost: Places kept for being most changed by the pretrained model's account.
        sampled: Places drawn from the rest.
    """

    foremost: int = 1500
    sampled: int = 3000

    def __post_init__(self) -> None:
        if self.foremost < 1 or self.sampled < 1:
            raise UsageError(
                "Wanted places to keep (--places) of 3 or more, so that some stand for the rest of the brain; got "
                f"{self.foremost + self.sampled}."
            )


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """What the cached features of a run depend on beside its encoder.

    Args:
        sampling: How many places are kept.
        seed: Of the sampled places.
        bfloat16: As for :func:`timeline_features`.
    """

    sampling: PlaceSampling
    seed: int
    bfloat16: bool


@dataclass(frozen=True, kw_only=True)
class PatientFeatures:
    """A patient's features at the kept places.

    Args:
        features: (visits, 4, places, channels) float16, foremost places first, zero for absent sequences.
        foremost: How many of the places are kept for themselves.
        rest: How many places of the brain the sampled ones stand for.
        grown: (visits, places) boolean, where the lesion has grown since the first visit; None where not known.
    """

    features: Tensor
    foremost: int
    rest: int
    grown: Tensor | None = None

    def log_weights(self, sampled: int) -> Tensor:
        """(foremost + sampled,), logarithm of how many places each stands for."""
        each = math.log(self.rest / sampled) if sampled else 0.0
        return torch.cat([torch.zeros(self.foremost), torch.full((sampled,), each)])

    def drawn_places(self, sampled: int, random: Generator) -> Tensor:
        """(places,), indices of all foremost places and of ``sampled`` others, or all there are, drawn each time."""
        rest = self.features.shape[2] - self.foremost
        drawn = self.foremost + torch.randperm(rest, generator=random)[:sampled]
        return torch.cat([torch.arange(self.foremost), drawn])


@torch.no_grad()
def _priority(model: PairModel, features: Tensor, present: Tensor) -> Tensor:
    """(places,), the largest change any visit shows against the first or the previous one.

    By the growth head, with the length of the change of the features as a small part: where pretraining had no truth
    the head says nearly the same everywhere, and that length decides.
    """
    found = features.new_full((features.shape[2],), -math.inf)
    for later in range(features.shape[0]):
        for earlier in {0, max(0, later - 1)}:
            logits = model.growth_logits(features[earlier], features[later], present[earlier], present[later])
            common = (present[earlier] & present[later]).to(features.dtype)[:, None, None]
            change = ((features[later] - features[earlier]) * common).square().sum(dim=(0, 2)).sqrt()
            found = torch.maximum(found, logits + 1e-3 * change)
    return found


def grown_places(patient: StoredPatient) -> Tensor | None:
    """(visits, places) boolean, cells of the brain that the lesion has grown into since the first visit.

    None where the truth is not known. Borders that may only have moved, and growth of fewer than
    :data:`LEAST_GROWTH_VOXELS` voxels, count as none.
    """
    changes = [patient.growth_between(0, visit) for visit in range(patient.visits)]
    known = [change[0] for change in changes if change is not None]
    if not known:
        return None
    cells = brain_cells(torch.from_numpy(patient.brain))
    new = torch.from_numpy(np.stack(known))
    new &= (new.flatten(1).sum(dim=1) >= LEAST_GROWTH_VOXELS)[:, None, None, None]
    grown: Tensor = functional.max_pool3d(new[:, None].float(), CELL_VOXELS)[:, 0, cells] > 0
    return grown


class Encoding(Dataset[int]):
    """Encodes and stores a patient each time one is asked for, unless it is stored already, of the same visits.

    Those with a lesion laid into the same visits are encoded with their host, at the places that see the lesion. Gives
    how many patients that makes.
    """

    def __init__(
        self,
        model: PairModel,
        patients: Sequence[StoredPatient],
        folder: Path,
        settings: FeatureSettings,
    ) -> None:
        self._model, self._folder, self._settings = model, folder, settings
        hosts: dict[str, list[tuple[int, StoredPatient]]] = {}
        for number, patient in enumerate(patients):
            hosts.setdefault(_host_of(patient).patient_id, []).append((number, patient))
        self._groups = list(hosts.values())

    def __len__(self) -> int:
        """Number of hosts."""
        return len(self._groups)

    def __getitem__(self, number: int) -> int:
        """Encode host ``number`` and whoever has its visits with a lesion."""
        group = self._groups[number]
        paths = [self._folder / f"{patient.patient_id}.safetensors" for _, patient in group]
        host: Tensor | None = None
        bfloat16 = self._settings.bfloat16
        for (place, patient), path in zip(group, paths, strict=True):
            made_of = _made_of(patient)
            if _stored_of(path) == made_of:
                continue
            if host is None:
                host = timeline_features(self._model, _host_of(patient), bfloat16=bfloat16)
            features = host
            if isinstance(patient, ImplantedPatient):
                features = implanted_features(self._model, patient, host, bfloat16=bfloat16)
            with written_whole(path) as temporary:
                temporary.write_bytes(save(self._content(patient, place, features), metadata={MADE_OF: made_of}))
        return len(group)

    def _content(self, patient: StoredPatient, number: int, features: Tensor) -> dict[str, Tensor]:
        priority = _priority(self._model, features, torch.from_numpy(patient.present).to(features.device)).cpu()
        grown = grown_places(patient)
        if grown is not None:
            priority[grown.any(dim=0)] = math.inf
        order = torch.argsort(priority, descending=True)
        sampling = self._settings.sampling
        foremost, rest = order[: sampling.foremost], order[sampling.foremost :].numpy()
        drawn = np.random.default_rng([self._settings.seed, number]).permutation(rest)[: sampling.sampled]
        kept = torch.cat([foremost, torch.from_numpy(drawn)])
        content = {
            "features": features[:, :, kept.to(features.device)].to(torch.float16).cpu().contiguous(),
            "counts": torch.tensor([len(foremost), len(rest)]),
        }
        return content if grown is None else {**content, "grown": grown[:, kept].contiguous()}


def _made_of(patient: StoredPatient) -> str:
    """Hash of the visits and the implanted lesion that features were made of; the voxels are the run folder's own."""
    digest = hashlib.sha256(f"{FEATURES_VERSION} {_host_of(patient).patient_id}".encode())
    arrays = [patient.days_since_first, patient.present]
    if isinstance(patient, ImplantedPatient):
        lesion = patient.lesion
        digest.update(repr((patient.corner, patient.void, lesion.edge)).encode())
        # Not its distances, whose last bits may hang on the processor; they are drawn from the same stream.
        tensors = (lesion.inside, lesion.signals, lesion.rims, lesion.flattening)
        arrays += [patient.radii_voxels, patient.strengths, *(tensor.numpy() for tensor in tensors)]
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _stored_of(path: Path) -> str | None:
    """The hash that a file of features carries, see :func:`_made_of`; None without a file or a hash."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return (file.metadata() or {}).get(MADE_OF)
    except (OSError, SafetensorError):
        return None


def _host_of(patient: StoredPatient) -> StoredPatient:
    """Whose visits they are, before any lesion was laid in."""
    return patient.host if isinstance(patient, ImplantedPatient) else patient


def cache_features(
    model: PairModel,
    patients: Sequence[StoredPatient],
    folder: Path,
    sampling: PlaceSampling,
    *,
    seed: int,
    bfloat16: bool = False,
    jobs: int = 1,
    ranks: Ranks = ALONE,
    advance: Callable[[int], object] = lambda done: None,
) -> None:
    """Encode every patient not yet in the folder.

    Args:
        model: Pretrained encoder, and the growth head that ranks places.
        patients: Whom to encode.
        folder: Holds a file a patient.
        sampling: How many places are kept.
        seed: Of the sampled places.
        bfloat16: As for :func:`timeline_features`.
        jobs: Processes, one thread each where there are several; on a GPU there is one.
        ranks: This process among those that share the patients.
        advance: Called with the number of patients done since the last call.

    Raises:
        InputError: If the folder was begun with another sampling, seed or precision.
    """
    settings = FeatureSettings(sampling=sampling, seed=seed, bfloat16=bfloat16)
    if ranks.first:
        begin_with(folder / "settings.json", settings, what="The cache of features in this run")
    encoding = Encoding(model, patients, folder, settings)
    ours = range(ranks.rank, len(encoding), ranks.world)
    workers = jobs if jobs > 1 and device_of(model).type == "cpu" else 0
    for done in DataLoader(encoding, batch_size=None, sampler=ours, num_workers=workers):
        advance(int(done))
    ranks.wait()


def load_features(folder: Path, patient_id: str) -> PatientFeatures:
    """A patient's cached features.

    Raises:
        InputError: If they are missing or damaged.
    """
    try:
        content = load_file(str(folder / f"{patient_id}.safetensors"))
        foremost, rest = content["counts"].tolist()
        visits, _, places, _ = content["features"].shape
        grown = content.get("grown")
        if not (
            0 <= foremost <= places <= foremost + rest
            and content["features"].dtype == torch.float16
            and (grown is None or (grown.dtype == torch.bool and grown.shape == (visits, places)))
        ):
            raise ValueError("Counts and features are of different places.")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise InputError(
            "Features of a patient cached in this run are damaged; remove the run's folder features and run again."
        ) from error
    return PatientFeatures(features=content["features"], foremost=foremost, rest=rest, grown=content.get("grown"))
