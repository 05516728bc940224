"""A simulated patient's ``truth.json`` as others may have left it: what is read of it is of its kind, or it is refused.

What a field may lack, because an older simulator didn't write it, may be missing; what is there is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]
LARGEST = 1e9
"""Of any number in a truth file: days, mm, seeds."""
VISITS, DIAMETER, DIAMETERS = "visits", "lesion_diameter_mm", "lesion_diameters_mm"


def _number(value: Any) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and -LARGEST <= value <= LARGEST and not math.isnan(value)


def _size(value: Any) -> bool:
    return _number(value) and value >= 0


def _whole(value: Any) -> bool:
    return isinstance(value, int) and _number(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()


def _switch(value: Any) -> bool:
    return isinstance(value, bool)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(check: Check, count: int | None = None) -> Check:
    return lambda value: isinstance(value, list) and count in (None, len(value)) and all(check(one) for one in value)


def _mapping_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(_text(name) and check(one) for name, one in value.items())


def _object_of(fields: Mapping[str, Check], needed: tuple[str, ...] = ()) -> Check:
    def check(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and set(needed) <= set(value)
            and all(fields[name](one) for name, one in value.items() if name in fields)
        )

    return check


_FILE = _object_of(
    {"slice_thickness_mm": _size, "snr": _number, "artefacts": _list_of(_text)},
    needed=("slice_thickness_mm", "snr", "artefacts"),
)
_VISIT_FIELDS: Mapping[str, Check] = {
    DIAMETER: _size,
    DIAMETERS: _mapping_of(_size),
    "treatment_effect_diameter_mm": _size,
    "cavity_centre_ras_mm": _or_none(_list_of(_number, 3)),
    "files": _mapping_of(_FILE),
}
_RECORD = _object_of(
    {
        "simulator_version": _or_none(_whole),
        "seed": _or_none(_whole),
        "patient_number": _whole,
        "fate": _text,
        "event_day_at_visit": _or_none(_number),
        "config": _object_of(
            {
                "population": _text,
                "recurrent_fraction": _or_none(_number),
                "extent_hazard_ratios": _or_none(_switch),
                "sequences": _list_of(_text),
            }
        ),
        "parameters": _object_of(
            {
                "age_years": _size,
                "high_grade": _or_none(_switch),
                "anatomy": _or_none(_text),
                "growth_law": _or_none(_text),
                "growth_origin": _or_none(_text),
                "growth_velocity_mm_per_year": _or_none(_number),
            }
        ),
        VISITS: _list_of(_object_of(_VISIT_FIELDS)),
    }
)


def is_truth(record: Any, *, visits: int = 0) -> bool:
    """Whether all that is read of a truth file is of its kind.

    Args:
        record: Its content.
        visits: So many visits are to be prepared, whose lesions must be told, and what the patient was drawn from.
    """
    if not _RECORD(record):
        return False
    if not visits:
        return True
    told = record.get(VISITS, [])[:visits]
    drawn = "config" in record and "age_years" in record.get("parameters", {})
    drawn = drawn and record.get("simulator_version") is not None
    return drawn and len(told) == visits and all(DIAMETER in visit and DIAMETERS in visit for visit in told)
