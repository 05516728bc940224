"""Schemas of the files we write, and reading against them: one sentence when a file does not fit."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.errors import InputError

LARGEST_BYTES = 50_000_000


def load_schema(name: str) -> dict[str, Any]:
    """A packaged JSON Schema (2020-12) by its name, ``"risk"`` or ``"audit"``."""
    folder = importlib.resources.files("TemporalGliomaRisk.report") / "schemas"
    schema: dict[str, Any] = json.loads((folder / f"{name}.schema.json").read_text(encoding="utf-8"))
    return schema


def check_content(content: Any, name: str) -> None:
    """Check JSON content against a packaged schema.

    The message names the place and the rule, never the value found there: it could be an identifier.

    Raises:
        InputError: If the content breaks a rule of the schema.
    """
    import jsonschema  # noqa: PLC0415  (slow to import, needed here only)

    validator = jsonschema.Draft202012Validator(load_schema(name))
    error = jsonschema.exceptions.best_match(validator.iter_errors(content))
    if error is None:
        return
    if error.validator == "required":
        wanted = error.message
    elif error.validator == "additionalProperties":
        wanted = "it holds a property that this version does not know"
    else:
        wanted = f"wanted {error.validator} {json.dumps(error.validator_value)}"
    raise InputError(f"{name}.json is not valid at {error.json_path}: {wanted}. Write it anew with predict.")


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON.")


def read_checked(path: Path, name: str) -> Any:
    """Read a JSON file and check it against a packaged schema.

    Raises:
        InputError: If the file is missing, is not JSON, or breaks a rule of the schema.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{name}.json is larger than any that predict writes. Write it anew with predict.")
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise InputError(f"{name}.json cannot be read ({error.strerror}). Name a folder that predict wrote.") from None
    except (ValueError, RecursionError):
        raise InputError(f"{name}.json is not JSON; it may be cut short. Write it anew with predict.") from None
    check_content(content, name)
    return content
