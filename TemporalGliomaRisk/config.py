"""Configurations: frozen keyword-only dataclasses, written as JSON beside whatever they made."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from TemporalGliomaRisk.errors import UsageError

Config = TypeVar("Config")


def to_json(config: Any) -> dict[str, Any]:
    """A configuration as JSON-ready dictionaries and lists."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"A configuration is a dataclass instance, got {type(config).__name__}.")
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def from_json(kind: type[Config], content: Mapping[str, Any]) -> Config:
    """A configuration read back from :func:`to_json`'s form.

    Raises:
        UsageError: If a key is not one of the configuration's fields.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(content) - set(hints))
    if unknown:
        raise UsageError(
            f"Unknown setting {', '.join(unknown)} for {kind.__name__}; known: {', '.join(sorted(hints))}."
        )
    return kind(**{name: _typed(hints[name], value) for name, value in content.items()})


def _typed(hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_typed(inner, item) for item in value)
    return value
