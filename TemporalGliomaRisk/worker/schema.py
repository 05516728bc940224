"""Messages against the schemas that say what they may hold: every field is checked, nothing is guessed."""

from __future__ import annotations

import importlib.resources
import json
from functools import lru_cache
from typing import Any

from TemporalGliomaRisk.worker.messages import Message, MessageError


def load_schema(name: str) -> dict[str, Any]:
    """A packaged JSON Schema by its name, ``"request"`` or ``"answer"``."""
    path = importlib.resources.files("TemporalGliomaRisk.worker") / "schemas" / f"{name}.schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def check_request(message: Message) -> None:
    """Check a host's message against ``schemas/request.schema.json``.

    The sentence names the place and the rule, never the value found there: it could be an identifier.

    Raises:
        MessageError: If it breaks a rule.
    """
    import jsonschema  # noqa: PLC0415  (slow to import, and the greeting comes first)

    error = jsonschema.exceptions.best_match(_validator().iter_errors(message))
    if error is not None:
        rule = f"{error.validator} {json.dumps(error.validator_value)}"
        wanted = rule if len(rule) < 120 else str(error.validator)
        # A place may be named by the message itself: only our own names are repeated.
        place = ".".join(str(part) for part in error.absolute_schema_path if part in _NAMES) or "its top"
        raise MessageError(f"The message is not valid at {place}: wanted {wanted}.", message.get("id"))


_NAMES = {"timeline", "table", "output", "options", "model", "patient", "device", "register", "mask", "heatmaps"} | {
    *("identified", "scene", "cache", "alignment", "path", "sequence", "date", "id"),
    *("days_since_treatment", "days_since_first_scan"),
}


@lru_cache(maxsize=1)
def _validator() -> Any:
    import jsonschema  # noqa: PLC0415

    return jsonschema.Draft202012Validator(load_schema("request"))
