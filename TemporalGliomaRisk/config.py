"""Configurations: frozen keyword-only dataclasses, written as JSON beside whatever they made."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from TemporalGliomaRisk.errors import UsageError

Config = TypeVar("Config")
LARGEST = 2.0**63
"""Of a number in settings; none is infinite."""
_NAME = re.compile(r"[A-Za-z_]{1,60}")
_PLAIN: Mapping[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


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
        UsageError: If a key is not one of the configuration's fields, or a value not of its kind.
    """
    if not isinstance(content, Mapping):
        raise UsageError(f"Wanted the settings of {kind.__name__} under their names, got {type(content).__name__}.")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(content) - set(hints))
    if unknown:
        named = [name for name in unknown if _NAME.fullmatch(name)] or [f"{len(unknown)} of no name"]
        raise UsageError(f"Unknown setting {', '.join(named)} for {kind.__name__}; known: {', '.join(sorted(hints))}.")
    return kind(**{name: _typed(hints[name], value, name) for name, value in content.items()})


def _typed(hint: Any, value: Any, name: str) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value)
    if (kind := typing.get_origin(hint)) in (tuple, list):
        inner = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"Wanted a list for {name}, got {type(value).__name__}.")
        return kind(_typed(inner, item, name) for item in value)
    return _plainly_typed(hint, value, name)


def _plainly_typed(hint: Any, value: Any, name: str) -> Any:
    """A number, word or switch as it is where it is of its kind; any other hint takes whatever there is."""
    if hint not in _PLAIN:
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
    right = is_number if hint in (int, float) else isinstance(value, hint)
    if not right or (hint is int and value != int(value)):
        raise UsageError(f"Wanted {_PLAIN[hint]} for {name}, got {type(value).__name__}.")
    return int(value) if hint is int else value
