"""Random numbers that depend on the seed, the patient and their purpose, and on nothing else.

Every purpose ("fate", "anatomy", "scanner of visit 3, FLAIR") has a stream of its own, so that rendering fewer
sequences, running more jobs or adding patients changes no byte of what is rendered.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Generator = np.random.Generator
Float32Array = npt.NDArray[np.float32]


def stream(seed: int, patient_number: int, *purpose: str | int) -> Generator:
    """The generator for one purpose of one patient.

    A purpose's words are the same in number wherever they are used: a trailing 0 alone does not tell two apart.
    """
    words = [zlib.crc32(word.encode()) if isinstance(word, str) else word for word in purpose]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, patient_number, *words])))


def smooth_field(generator: Generator, shape: tuple[int, ...], scale_voxels: float) -> Float32Array:
    """Of this shape, a smooth random field of mean 0 and standard deviation 1, correlated over ``scale_voxels``."""
    field: Float32Array = ndimage.gaussian_filter(
        generator.standard_normal(shape, dtype=np.float32), scale_voxels, mode="wrap", truncate=3.0
    )
    field -= field.mean()
    field /= max(float(field.std()), 1e-12)
    return field


def clipped_log_normal(generator: Generator, median: float, spread: float, low: float, high: float) -> float:
    """One draw of a log-normal law with a median and a standard deviation of the logarithm, clipped to a range."""
    return float(np.clip(median * np.exp(spread * generator.standard_normal()), low, high))
