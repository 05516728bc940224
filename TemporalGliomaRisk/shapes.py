"""Shapes in messages: what a function wanted, and what it got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from TemporalGliomaRisk.errors import ShapeError


class HasShape(Protocol):
    """Anything with a shape: a numpy array, a torch tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """Length along every axis."""
        ...


def check_shape(array: HasShape, name: str, axes: Sequence[str | int]) -> dict[str, int]:
    """Check an array's shape against named axes, and give the length of each name.

    Args:
        array: The array or tensor.
        name: What it is called in the message.
        axes: One entry an axis: an integer is a length, a word is any length (the same word, the same length).

    Returns:
        The length found for each word.

    Raises:
        ShapeError: If the number of axes, a fixed length or a repeated word's length differs.
    """
    lengths: dict[str, int] = {}
    found = tuple(int(length) for length in array.shape)
    matches = len(found) == len(axes)
    if matches:
        for axis, length in zip(axes, found, strict=True):
            wanted = axis if isinstance(axis, int) else lengths.setdefault(axis, length)
            matches = matches and wanted == length
    if not matches:
        raise ShapeError(f"{name} must be ({', '.join(str(axis) for axis in axes)}), got {found}.")
    return lengths
