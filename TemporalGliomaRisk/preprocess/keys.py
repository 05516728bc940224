"""Keys: the same voxels in the same place have the same key, however they were stored."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from TemporalGliomaRisk.timeline.volume import Geometry, Volume


def geometry_bytes(geometry: Geometry) -> bytes:
    """Shape and matrix in bytes, the matrix rounded to a nanometre's noise (1e-5 mm)."""
    rounded = np.round(geometry.ijk_to_ras, 5) + 0.0
    return json.dumps([list(geometry.shape), rounded.tolist()]).encode()


def volume_key(volume: Volume) -> str:
    """SHA-256 over voxel type, voxels in [i, j, k] order and geometry of a canonical volume (see ``grid``)."""
    digest = hashlib.sha256(geometry_bytes(volume.geometry))
    digest.update(volume.voxels.dtype.newbyteorder("<").str.encode())
    digest.update(np.ascontiguousarray(volume.voxels).view(np.uint8).data)
    return digest.hexdigest()
