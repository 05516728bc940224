"""Slices without a view: their pixels, layers and places."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def slice_pixels(slice_logic: Any, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """(rows, columns, 3) of a vtkMRMLSliceLogic's blended layers, top row first; no view is needed.

    Args:
        slice_logic: Of the view.
        size: (columns, rows) to give the slice first; its own by default.
    """
    raise NotImplementedError


def slice_logics(scene: Any) -> list[Any]:
    """The application's slice logics."""
    raise NotImplementedError
