"""A host's message, checked before, as a request of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.run import PredictRequest, RegisterRequest, TimelineInput, mask_asked
from TemporalGliomaRisk.worker.messages import Message


@dataclass(frozen=True, kw_only=True)
class PredictAsked:
    """A ``predict`` as the pipeline takes it.

    Args:
        request: What to predict.
        model: Folder of the model, None for the one that is shipped.
        cache: Whether anything is kept for the next time.
    """

    request: PredictRequest
    model: Path | None
    cache: bool


@dataclass(frozen=True, kw_only=True)
class RegisterAsked:
    """A ``register`` as the pipeline takes it."""

    request: RegisterRequest
    model: Path | None


@dataclass(frozen=True, kw_only=True)
class CheckAsked:
    """A ``check`` as the pipeline takes it."""

    timeline: TimelineInput = field(repr=False)
    patient: str | None = field(repr=False)
    model: Path | None
    alignment: bool


def predict_asked(message: Message) -> PredictAsked:
    """A checked ``predict`` message as a request."""
    options = message["options"]
    return PredictAsked(
        request=PredictRequest(
            timeline=_timeline(message),
            output=Path(message["output"]),
            patient=options.get("patient"),
            device=options.get("device", "auto"),
            register=options.get("register", "auto"),
            mask=mask_asked(options.get("mask", "auto")),
            heatmaps=options.get("heatmaps", True),
            identified=options.get("identified", False),
            scene=options.get("scene", False),
        ),
        model=_path(options.get("model")),
        cache=options.get("cache", True),
    )


def register_asked(message: Message) -> RegisterAsked:
    """A checked ``register`` message as a request."""
    options = message["options"]
    return RegisterAsked(
        request=RegisterRequest(
            timeline=_timeline(message),
            patient=options.get("patient"),
            register=options.get("register", "always"),
            mask=mask_asked(options.get("mask", "auto")),
        ),
        model=_path(options.get("model")),
    )


def check_asked(message: Message) -> CheckAsked:
    """A checked ``check`` message as a request."""
    options = message["options"]
    return CheckAsked(
        timeline=_timeline(message),
        patient=options.get("patient"),
        model=_path(options.get("model")),
        alignment=options.get("alignment", True),
    )


def _timeline(message: Message) -> TimelineInput:
    if message.get("table") is None:
        return Path(message["timeline"])
    rows: list[Mapping[str, Any]] = message["table"]
    return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
