"""For hosts without a desktop: a scene with the logics that Slicer's application has."""

from __future__ import annotations

from typing import Any


def headless_scene() -> Any:
    """The process's scene, made with its application logic where there is none; the same one at every call."""
    raise NotImplementedError


def complete_host(scene: Any, app_logic: Any) -> None:
    """Add the logics and names that a host such as trame-slicer's lacks (Sequences, Tables, Plots, Models, Texts ...).

    ``slicer.mrmlScene`` and ``slicer.modules`` are set where they are missing.
    """
    raise NotImplementedError
