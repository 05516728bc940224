"""Timelines on disk for tests: a small head with ventricles on an oblique grid, and BIDS folders of it."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

PLANTED = "SECRETNAME"
"""Stands for a patient's name in file names and headers; no message may hold it."""


def oblique_geometry(shape=(44, 52, 40), spacing=(4.0, 4.0, 4.5)):
    """A right-handed grid turned 20 degrees about x and 10 about z, in LPS-like order."""
    one, two = np.radians(20), np.radians(10)
    x = np.array([[1, 0, 0], [0, np.cos(one), -np.sin(one)], [0, np.sin(one), np.cos(one)]])
    z = np.array([[np.cos(two), -np.sin(two), 0], [np.sin(two), np.cos(two), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = z @ x @ np.diag([-1.0, -1.0, 1.0]) * np.array(spacing)
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(shape) - 1) / 2) + [3.0, -7.0, 11.0]
    return Geometry(shape=shape, ijk_to_ras=matrix)


def head(seed=0, *, fluid="dark", geometry=None):
    """Whole numbers: an ellipsoid head of 500 to 700 with a ventricle, a skull-dark rim and empty air."""
    geometry = geometry or oblique_geometry()
    rng = np.random.default_rng(seed)
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), -1)
    ras = geometry.to_ras(ijk) - geometry.to_ras((np.array(geometry.shape) - 1) / 2)
    radius = np.linalg.norm(ras / [68.0, 85.0, 75.0], axis=-1)
    voxels = np.where(radius < 1, 600 + rng.normal(0, 25, geometry.shape), 0)
    ventricle = np.linalg.norm(ras / [22.0, 30.0, 18.0], axis=-1) < 1
    voxels[ventricle] = {"dark": 200, "bright": 1800}[fluid] + rng.normal(0, 10, int(ventricle.sum()))
    return Volume(voxels=np.rint(np.clip(voxels, 0, None)).astype(np.int16), geometry=geometry)


def write_bids_patient(root, visits, *, rows=None, column="days_since_first_scan", patient="sub-01") -> Path:
    """Write a BIDS patient under a folder, and give the patient's folder."""
    folder = root / patient
    for label, volumes in visits.items():
        for suffix, volume in volumes.items():
            path = folder / f"ses-{label}" / "anat" / f"{patient}_ses-{label}_{suffix}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(volume, path)
    if rows is not None:
        lines = ["\t".join(["session_id", *([column] if isinstance(column, str) else column)])]
        lines += ["\t".join(str(cell) for cell in (f"ses-{row[0]}", *row[1:])) for row in rows]
        (folder / f"{patient}_sessions.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def bids(tmp_path):
    """Write a BIDS patient: ``bids({"01": {"FLAIR": volume}}, rows=[("01", 0)])``; gives the patient's folder."""
    return functools.partial(write_bids_patient, tmp_path)


@pytest.fixture(scope="session")
def write_bids():
    """``write_bids_patient``, for fixtures that outlive a test."""
    return write_bids_patient


@pytest.fixture(scope="session")
def make_head():
    return head


@pytest.fixture
def oblique():
    return oblique_geometry


@pytest.fixture
def planted():
    return PLANTED
