"""Checks a simulated patient's ``truth.json``, which others may have changed: a value of another kind is refused."""

from __future__ import annotations

import importlib.resources
import json
from functools import cache
from typing import Any

import jsonschema

TOLD_OF_A_VISIT = ("lesion_diameter_mm", "lesion_diameters_mm")


def is_truth(record: Any, *, visits: int = 0) -> bool:
    """Whether all that is read of a truth file is of its kind, by ``schemas/truth.schema.json``.

    Args:
        record: Its content.
        visits: Number of visits to be prepared. Above 0, the file must hold the lesions of each, and what the patient
            was drawn from.
    """
    try:
        json.dumps(record, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    if not _validator().is_valid(record):
        return False
    if visits == 0:
        return True
    told = record.get("visits", [])[:visits]
    drawn = "config" in record and "age_years" in record.get("parameters", {})
    drawn = drawn and record.get("simulator_version") is not None
    return drawn and len(told) == visits and all(name in visit for visit in told for name in TOLD_OF_A_VISIT)


@cache
def _validator() -> jsonschema.Draft202012Validator:
    path = importlib.resources.files("TemporalGliomaRisk.learn") / "schemas" / "truth.schema.json"
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
