"""From a visit's files to its features, once: prepared, encoded, and kept for the next time.

A visit's entry in the cache depends on the bytes of its files, those of the first visit, the brain mask, the
preprocessing, the model and the versions of what computes it, and on nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import TemporalGliomaRisk
from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.bundle import RiskModel
from TemporalGliomaRisk.encode.evidence import brain_cells
from TemporalGliomaRisk.encode.summary import SUMMARY_VERSION, summarise_visit, summary_length
from TemporalGliomaRisk.errors import GliomaRiskError
from TemporalGliomaRisk.files import sha256_of, sha256_of_json
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.keys import volume_key
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.preprocess.prepared import Alignment, Frame, IntensityScale, PreparedVisit
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener
from TemporalGliomaRisk.resources import library_version
from TemporalGliomaRisk.timeline.finding import Finding, Severity
from TemporalGliomaRisk.timeline.visit import SequenceName, Visit
from TemporalGliomaRisk.timeline.volume import BoolArray, FloatArray, Geometry, Volume
from TemporalGliomaRisk.visit_cache import CacheEntry, VisitCache

PREPARING_SHARE = 0.8
"""Part of a visit's time that preparing takes, for the progress shown."""
KEPT_VERSION = 3
"""Raised when preparing notices more than before, or finds a brain elsewhere: a kept entry is as it was then."""
LIBRARIES = ("torch", "monai", "SimpleITK", "numpy", "scipy")
"""Those that decide a visit's numbers: of another version, they may give others."""
NUMBER_HERE = " of visit {number}"
"""What stands for the visit's number in a kept finding's message."""


@dataclass(frozen=True, kw_only=True)
class EncodedVisit:
    """What is kept of a visit once it is encoded.

    Args:
        features: (sequences present, places, channels) float32.
        present: (4,), which sequences the visit has.
        summary: (4, numbers), what each sequence is like, for telling when a visit is unlike those of training.
        visit_ras_to_frame_ras: (4, 4) rigid, from the reference sequence's RAS to the first visit's.
        reference_sequence: The sequence on whose own voxel grid maps are given.
        reference_geometry: That grid.
        alignments: One per volume that had a target.
        findings: What was noticed, with the visit's number.
    """

    features: npt.NDArray[np.float32]
    present: BoolArray
    summary: npt.NDArray[np.float64]
    visit_ras_to_frame_ras: FloatArray
    reference_sequence: SequenceName
    reference_geometry: Geometry
    alignments: tuple[Alignment, ...]
    findings: tuple[Finding, ...]

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """(4, places, channels) features, zero where a sequence is absent, and (4,) presence."""
        whole = torch.zeros((len(self.present), *self.features.shape[1:]))
        whole[torch.from_numpy(self.present)] = torch.from_numpy(self.features)
        return whole.to(device), torch.from_numpy(self.present).to(device)


class VisitEncoding:
    """Prepares and encodes a timeline's visits, the first one first.

    Args:
        model: Its encoder and hash.
        preprocessing: Settings, the reader's choices included.
        device: Where the encoder runs.
        brain_mask: A given mask, or None.
        cache: Or None.

    Attributes:
        seconds: Time spent so far on preparing (reading included) and on the encoder; what was known costs neither.
    """

    def __init__(
        self,
        model: RiskModel,
        preprocessing: PreprocessConfig,
        device: torch.device,
        brain_mask: Volume | None,
        cache: VisitCache | None,
    ) -> None:
        self._model = model
        self._preprocessing = preprocessing
        self._device = device
        self._brain_mask = brain_mask
        self._cache = cache
        self._first_files: list[str] | None = None
        self._frame: Frame | None = None
        self._cells: BoolArray | None = None
        self._versions = {library: library_version(library) for library in LIBRARIES}
        self.seconds = {"prepare": 0.0, "encode": 0.0}

    @property
    def frame(self) -> Frame:
        """What the first visit fixed; there once the first visit is encoded."""
        if self._frame is None:
            raise RuntimeError("The first visit must be encoded before its frame is asked for.")
        return self._frame

    @property
    def cells(self) -> BoolArray:
        """(I, J, K), feature cells that hold brain, in the first visit's frame."""
        if self._cells is None:
            self._cells = brain_cells(torch.from_numpy(self.frame.brain_mask)).numpy()
        return self._cells

    def encode(self, visit: Visit, number: int, progress: ProgressListener) -> EncodedVisit:
        """Features of one visit, from the cache or made now.

        Args:
            visit: The visit; on the first call the timeline's first.
            number: Its number in the timeline, from 1, for its findings.
            progress: Told of progress within this visit.
        """
        key = self._key(visit)
        known = self._known(key, number)
        if known is not None:
            progress(ProgressEvent(stage="encode", fraction=1.0, message="known from before"))
            return known

        def preparing(event: ProgressEvent) -> None:
            progress(replace(event, fraction=PREPARING_SHARE * event.fraction))

        began = time.perf_counter()
        first = self._frame is None
        if first:
            self._frame, prepared = prepare_first_visit(
                visit, self._preprocessing, brain_mask=self._brain_mask, progress=preparing
            )
        else:
            prepared = prepare_visit(visit, self.frame, self._preprocessing, number=number, progress=preparing)
        prepared_at = time.perf_counter()
        encoded = self._encoded(prepared, number)
        self.seconds["prepare"] += prepared_at - began
        self.seconds["encode"] += time.perf_counter() - prepared_at
        progress(ProgressEvent(stage="encode", fraction=1.0, message="encoded"))
        if self._cache is not None and key is not None:
            self._cache.store(key, _entry_of(encoded, self.frame if first else None))
        return encoded

    def _known(self, key: str | None, number: int) -> EncodedVisit | None:
        """A visit from the cache; None where there is none, or one that another version wrote in another form."""
        entry = self._cache.load(key) if self._cache is not None and key is not None else None
        if entry is None:
            return None
        before = self._frame, self._cells
        try:
            if self._frame is None:
                self._frame = _frame_from(entry)
            encoded = _encoded_from(entry, number)
            channels = self._model.network.config.feature_channels
            wanted = (int(encoded.present.sum()), int(self.cells.sum()), channels)
            summary = (len(encoded.present), summary_length(channels))
            if (encoded.features.shape, encoded.summary.shape) != (wanted, summary):
                raise ValueError("The features are not those of this brain and model.")
        except (KeyError, TypeError, ValueError, AttributeError, GliomaRiskError):
            self._frame, self._cells = before
            return None
        return encoded

    @torch.inference_mode()
    def _encoded(self, prepared: PreparedVisit, number: int) -> EncodedVisit:
        intensities = torch.from_numpy(prepared.intensities).to(self._device)
        present = torch.from_numpy(prepared.present).to(self._device)
        cells = torch.from_numpy(self.cells).to(self._device)
        features = self._model.network.encode_visit(intensities, present, cells)
        brain = torch.from_numpy(self.frame.brain_mask).to(self._device)
        return EncodedVisit(
            features=features[present].cpu().numpy(),
            present=prepared.present,
            summary=summarise_visit(features, present, cells, intensities, brain).cpu().numpy(),
            visit_ras_to_frame_ras=prepared.visit_ras_to_frame_ras,
            reference_sequence=prepared.reference_sequence,
            reference_geometry=prepared.reference_geometry,
            alignments=prepared.alignments,
            findings=tuple(replace(finding, visit=number) for finding in prepared.findings),
        )

    def _key(self, visit: Visit) -> str | None:
        """Hash of all that the entry depends on; None where the visit's volumes, or the first visit's, are no files."""
        files = _file_hashes(visit)
        if self._frame is None:
            self._first_files = files
        if files is None or self._first_files is None:
            return None
        content = {
            "files": files,
            "first": self._first_files,
            "mask": None if self._brain_mask is None else volume_key(self._brain_mask),
            "preprocessing": configs.to_json(self._preprocessing),
            "model": self._model.sha256,
            "version": TemporalGliomaRisk.__version__,
            "libraries": self._versions,
            "summary": SUMMARY_VERSION,
            "kept": KEPT_VERSION,
            "device": self._device.type,
        }
        return sha256_of_json(content)


def _file_hashes(visit: Visit) -> list[str] | None:
    hashes = []
    for name in visit.sequences:
        files = visit.sources[name].files
        if not files:
            return None
        hashes.append(f"{name}:{','.join(sha256_of(path) for path in files)}")
    return hashes


def _entry_of(encoded: EncodedVisit, frame: Frame | None) -> CacheEntry:
    facts: dict[str, Any] = {
        "reference_sequence": encoded.reference_sequence,
        "reference_geometry": _geometry_json(encoded.reference_geometry),
        "visit_ras_to_frame_ras": encoded.visit_ras_to_frame_ras.tolist(),
        "alignments": [alignment.to_json() for alignment in encoded.alignments],
        # Not keyed by the visit's number, which a visit put in between would change.
        "findings": [{**finding.to_json(), "message": _unnumbered(finding)} for finding in encoded.findings],
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "features": encoded.features,
        "present": encoded.present,
        "summary": encoded.summary,
    }
    if frame is not None:
        facts["frame"] = {
            "grid": _geometry_json(frame.grid),
            "scales": {name: [scale.centre, scale.scale] for name, scale in frame.scales.items()},
        }
        arrays["brain_mask"] = frame.brain_mask
        arrays |= {f"reference.{name}": reference for name, reference in frame.references.items()}
    return CacheEntry(arrays=arrays, facts=facts)


def _unnumbered(finding: Finding) -> str:
    return finding.message.replace(f" of visit {finding.visit}", NUMBER_HERE)


def _renumbered(content: Mapping[str, Any], number: int) -> Finding:
    message = str(content["message"]).replace(NUMBER_HERE, f" of visit {number}")
    return Finding(**{**content, "severity": Severity(content["severity"]), "message": message, "visit": number})


def _encoded_from(entry: CacheEntry, number: int) -> EncodedVisit:
    facts = entry.facts
    return EncodedVisit(
        features=entry.arrays["features"],
        present=entry.arrays["present"],
        summary=entry.arrays["summary"],
        visit_ras_to_frame_ras=np.array(facts["visit_ras_to_frame_ras"]),
        reference_sequence=facts["reference_sequence"],
        reference_geometry=_geometry_from(facts["reference_geometry"]),
        alignments=tuple(
            Alignment(**{**alignment, "to_target_ras": np.array(alignment["to_target_ras"])})
            for alignment in facts["alignments"]
        ),
        findings=tuple(_renumbered(finding, number) for finding in facts["findings"]),
    )


def _frame_from(entry: CacheEntry) -> Frame:
    facts = entry.facts["frame"]
    names: list[SequenceName] = list(facts["scales"])
    return Frame(
        grid=_geometry_from(facts["grid"]),
        brain_mask=entry.arrays["brain_mask"],
        references={name: entry.arrays[f"reference.{name}"] for name in names},
        scales={name: IntensityScale(centre=pair[0], scale=pair[1]) for name, pair in facts["scales"].items()},
    )


def _geometry_json(geometry: Geometry) -> dict[str, Any]:
    return {"shape": list(geometry.shape), "ijk_to_ras": geometry.ijk_to_ras.tolist()}


def _geometry_from(content: Mapping[str, Any]) -> Geometry:
    i, j, k = content["shape"]
    return Geometry(shape=(i, j, k), ijk_to_ras=np.array(content["ijk_to_ras"]))
