"""Visits with nodes of their own, for layouts that show several at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class VisitCopy:
    """One visit's nodes, apart from the browser's.

    Args:
        number: Of the visit, from 1.
        volume: vtkMRMLScalarVolumeNode of the sequence shown; None where the visit lacks it.
        map: Of the kind shown; None where the visit lacks it.
    """

    number: int
    volume: Any
    map: Any


class Comparison:
    """Two visits side by side; the difference of their risk maps lies on the second one's grid.

    Args:
        first: The one visit.
        second: The other.
        difference: vtkMRMLScalarVolumeNode, hazard per mL of the second less that of the first; None without maps.
    """

    first: VisitCopy
    second: VisitCopy
    difference: Any

    def show(self, *, first: Iterable[Any] = (), second: Iterable[Any] = (), difference: Iterable[Any] = ()) -> None:
        """Show them in slice nodes, which are linked and belong to this comparison until it is closed."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove all its nodes and give the slice views back."""
        raise NotImplementedError


class VisitRow:
    """Every visit at the same place.

    Args:
        visits: One a visit asked for.
    """

    visits: tuple[VisitCopy, ...]

    def show(self, slice_nodes: Iterable[Any]) -> None:
        """Show one visit in each slice node, linked; they belong to this row until it is closed."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove all its nodes and give the slice views back."""
        raise NotImplementedError
