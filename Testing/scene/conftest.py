"""A phantom head in a scene: an ellipsoid with a bright block in its right half and hazard at a known place."""

# No jsonschema and no torch here: these tests also run beside slicer-core alone.

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from TemporalGliomaRisk.scene.host import headless_scene
from TemporalGliomaRisk.scene.record import hierarchy_of
from TemporalGliomaRisk.scene.result import RiskResult
from TemporalGliomaRisk.scene.slices import fit, slice_logics, slice_pixels
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.visit import Timeline, Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

HOT = np.array([30.0, 20.0, 10.0])
"""Where the phantom's hazard is, in the first visit's RAS."""


def turned(degrees: tuple[float, float, float], shift_mm: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """(4, 4) rigid."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def grid(shape=(44, 52, 40), spacing_mm=(4.0, 4.0, 4.0), turn=(0.0, 0.0, 0.0), flips=(1, 1, 1)) -> Geometry:
    """A grid centred on RAS zero, turned and flipped."""
    axes = turned(turn)[:3, :3] @ np.diag(np.array(flips) * spacing_mm)
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    matrix[:3, 3] = -axes @ ((np.array(shape) - 1) / 2)
    return Geometry(shape=shape, ijk_to_ras=matrix)


def places(geometry: Geometry, to_frame: np.ndarray) -> np.ndarray:
    """(I, J, K, 3), every voxel's place in the first visit's RAS."""
    ras = geometry.to_ras(np.moveaxis(np.indices(geometry.shape), 0, -1))
    return ras @ to_frame[:3, :3].T + to_frame[:3, 3]


def head(geometry: Geometry, to_frame: np.ndarray, gain: float = 1.0) -> Volume:
    """The head: 400 inside an ellipsoid, 1000 in a block on the right, 0 outside."""
    at = places(geometry, to_frame)
    inside = ((at / (62, 78, 58)) ** 2).sum(axis=-1) < 1
    block = (np.abs(at - (35, 0, 0)) < (12, 20, 20)).all(axis=-1)
    return Volume(voxels=(gain * np.where(block, 1000, np.where(inside, 400, 0))).astype(np.int16), geometry=geometry)


def hazard(geometry: Geometry, to_frame: np.ndarray, height: float, place: np.ndarray = HOT) -> Volume:
    """A Gaussian of hazard, 8 mm wide, zero outside the head."""
    at = places(geometry, to_frame)
    inside = ((at / (62, 78, 58)) ** 2).sum(axis=-1) < 1
    bump = height * np.exp(-((at - place) ** 2).sum(axis=-1) / (2 * 8.0**2))
    return Volume(voxels=np.where(inside, bump + 1e-6, 0).astype(np.float32), geometry=geometry)


@dataclass
class PhantomVisit:
    """How one visit of a phantom patient is made.

    ``height`` is the map's greatest hazard per mL, None for a visit without a map; ``to_frame`` takes this visit's RAS
    to the first visit's.
    """

    days_since_first: int
    days_since_treatment: int | None = None
    sequences: tuple[str, ...] = ("FLAIR", "T1w")
    geometry: Geometry = field(default_factory=grid)
    to_frame: np.ndarray = field(default_factory=lambda: np.eye(4))
    height: float | None = 0.01
    risk: float = 0.2
    peaks: tuple[str, ...] = ("A",)
    gain: float = 1.0


def make_timeline(visits: list[PhantomVisit], patient: str = "sub-07") -> Timeline:
    """The volumes of phantom visits."""
    return Timeline(
        patient_id=patient,
        visits=tuple(
            Visit(
                session_id=f"ses-{number:02d}",
                days_since_first=visit.days_since_first,
                days_since_treatment=visit.days_since_treatment,
                sources={
                    name: VolumeInMemory(volume=head(visit.geometry, visit.to_frame, visit.gain))
                    for name in visit.sequences
                },
            )
            for number, visit in enumerate(visits, start=1)
        ),
    )


def write_result(folder: Path, visits: list[PhantomVisit], patient: str = "sub-07") -> RiskResult:
    """What predict would write of phantom visits, maps included."""
    (folder / "heatmaps").mkdir(parents=True)
    said, alignments = [], []
    for number, visit in enumerate(visits, start=1):
        session = f"ses-{number:02d}"
        names: dict[str, str | None] = {"risk": None, "change": None}
        if visit.height is not None:
            risk = hazard(visit.geometry, visit.to_frame, visit.height)
            names["risk"] = f"heatmaps/{patient}_{session}_desc-risk_heatmap.nii.gz"
            write_nifti(risk, folder / names["risk"])
            before = next((one.height for one in visits[number - 2 :: -1] if one.height), None) if number > 1 else None
            if before is not None:
                change = Volume(
                    voxels=risk.voxels - hazard(visit.geometry, visit.to_frame, before).voxels,
                    geometry=risk.geometry,
                )
                names["change"] = f"heatmaps/{patient}_{session}_desc-change_heatmap.nii.gz"
                write_nifti(change, folder / names["change"])
        ras = np.linalg.inv(visit.to_frame) @ np.append(HOT, 1.0)
        peaks = [
            {"name": name, "ras_mm": ras[:3].tolist(), "share_of_hazard": 0.34, "hazard_per_mL": visit.height or 0.0}
            for name in visit.peaks
        ]
        said.append(
            {
                "session_id": session,
                "days_since_first": visit.days_since_first,
                "days_since_treatment": visit.days_since_treatment,
                "risk": visit.risk,
                "risk_low": visit.risk - 0.02,
                "risk_high": visit.risk + 0.05,
                "single_visit_risk": 0.1,
                "sequences": list(visit.sequences),
                "reference_sequence": visit.sequences[0],
                "heatmap": names["risk"],
                "change_heatmap": names["change"],
                "peaks": peaks,
                "measurements": [{"name": "local hazard over the brain", "value": 0.01, "unit": "hazard"}],
                "warnings": [{"code": "moved", "message": f"Visit {number} was moved.", "severity": "note"}],
            }
        )
        alignments += [
            {"session_id": session, "sequence": name, "target": "first", "to_target_ras": visit.to_frame.tolist()}
            for name in visit.sequences
            if number > 1
        ]
    sentence = "Research use only, trained on simulated data."
    risk_json = {
        "schema_version": "1.0",
        "patient": patient,
        "horizon_days": 365,
        "model": {
            "name": "phantom-model",
            "version": "9",
            "sha256": "0" * 64,
            "caveat": "A phantom's caveat.",
            "heatmap_check": "Maps of random weights are unlike these.",
        },
        "visits": said,
        "warnings": [{"code": "gap", "message": "A long gap.", "severity": "warning"}],
        "research_use_only": sentence,
    }
    audit = {"schema_version": "1.0", "patient": patient, "inputs": {}, "alignments": alignments}
    (folder / "risk.json").write_text(json.dumps(risk_json), encoding="utf-8")
    (folder / "audit.json").write_text(json.dumps(audit), encoding="utf-8")
    return RiskResult.read(folder)


@pytest.fixture
def scene() -> Iterator[object]:
    """The process's scene, emptied afterwards of all but what belongs to the host."""
    mrml = headless_scene()
    hierarchy_of(mrml)
    yield mrml
    mrml.Clear(False)
    for logic in slice_logics(mrml):
        logic.GetSliceCompositeNode().RemoveAttribute("TemporalGliomaRisk.held")


@pytest.fixture(scope="session")
def three_visits() -> list[PhantomVisit]:
    """Three visits on unequal, oblique grids; the second lies 20 mm and 15 degrees off and has no T1w and no map."""
    return [
        PhantomVisit(days_since_first=0, days_since_treatment=20, height=0.004, risk=0.1),
        PhantomVisit(
            days_since_first=91,
            days_since_treatment=111,
            sequences=("FLAIR",),
            geometry=grid((50, 46, 48), (4.0, 4.4, 3.6), (10.0, -15.0, 20.0), (-1, -1, 1)),
            to_frame=turned((15.0, 4.0, -8.0), (20.0, -6.0, 4.0)),
            height=None,
            peaks=(),
            gain=3.0,
        ),
        PhantomVisit(
            days_since_first=207,
            days_since_treatment=227,
            geometry=grid((60, 40, 44), (3.0, 5.0, 4.0), (-12.0, 8.0, 30.0), (-1, 1, 1)),
            to_frame=turned((-5.0, 10.0, 12.0), (-9.0, 3.0, 6.0)),
            height=0.02,
            risk=0.35,
            peaks=("A", "B"),
        ),
    ]


@pytest.fixture(scope="session")
def three_results(three_visits: list[PhantomVisit], tmp_path_factory: pytest.TempPathFactory) -> RiskResult:
    """Their result."""
    return write_result(tmp_path_factory.mktemp("phantom") / "result", three_visits)


def pictures(mrml: object, size: tuple[int, int] = (220, 220)) -> dict[str, np.ndarray]:
    """Every slice view's pixels by orientation: Axial, Coronal, Sagittal."""
    found = {}
    for logic in slice_logics(mrml):
        node = logic.GetSliceNode()
        logic.ResizeSliceNode(*size)
        fit(node, np.zeros(3), np.full(3, 200.0))
        found[node.GetOrientation()] = slice_pixels(logic).astype(int)
    return found


def coloured(pixels: np.ndarray) -> np.ndarray:
    """(rows, columns), where a picture is not grey."""
    return pixels.max(axis=-1) != pixels.min(axis=-1)


@pytest.fixture(scope="session")
def phantom():
    """The makers above, for tests in files (Testing is no package, so they cannot import this one)."""
    import types  # noqa: PLC0415

    return types.SimpleNamespace(
        Visit=PhantomVisit,
        grid=grid,
        turned=turned,
        head=head,
        hazard=hazard,
        timeline=make_timeline,
        result=write_result,
        pictures=pictures,
        coloured=coloured,
        HOT=HOT,
    )
