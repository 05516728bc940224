"""The risk from which F1 calls an event; chosen on validation patients, used on others."""

from __future__ import annotations

from typing import Any

import numpy as np

from TemporalGliomaRisk.evaluate.censoring import censoring_weights
from TemporalGliomaRisk.evaluate.landmarks import HORIZON_DAYS, BoolArray, FloatArray, LandmarkRows, checked_risk

DEFINITION = (
    "the lowest risk of largest F1 over the validation landmark rows that were calibrated on, weighted by inverse "
    "probability of censoring"
)


def largest_f1(risk: FloatArray, cases: BoolArray, weights: FloatArray) -> tuple[float, float] | None:
    """The threshold of largest F1 among the risks themselves, and that F1; the lowest of equal ones.

    Args:
        risk: (rows,).
        cases: (rows,).
        weights: (rows,), censoring weights.

    Returns:
        None without a case of known fate.
    """
    order = np.argsort(-risk, kind="stable")
    last_of_value = np.append(np.diff(risk[order]) != 0, True)
    called, true = np.cumsum(weights[order]), np.cumsum(weights[order] * cases[order])
    if not true[-1] > 0:
        return None
    f1 = (2 * true / (called + true[-1]))[last_of_value]
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    return float(risk[order][last_of_value][best]), float(f1[best])


def choose_thresholds(
    risk: FloatArray, single_visit_risk: FloatArray, rows: LandmarkRows, horizon_days: float = HORIZON_DAYS
) -> dict[str, Any] | None:
    """What a bundle's metadata says of its thresholds, ``f1_threshold``.

    Args:
        risk: (rows,), calibrated, of validation patients.
        single_visit_risk: (rows,), likewise.
        rows: What followed.
        horizon_days: The horizon.

    Returns:
        ``{"risk", "single_visit_risk", "f1", "single_visit_f1", "rows", "patients", "events", "definition"}``; None
        when no validation patient has an event within the horizon.
    """
    cases, weights = rows.cases(horizon_days), censoring_weights(rows, horizon_days)
    several = largest_f1(checked_risk(risk, rows), cases, weights)
    single = largest_f1(checked_risk(single_visit_risk, rows), cases, weights)
    if several is None or single is None:
        return None
    return {
        "risk": several[0],
        "single_visit_risk": single[0],
        "f1": several[1],
        "single_visit_f1": single[1],
        "rows": len(rows),
        "patients": int(np.unique(rows.patient).size),
        "events": int(cases.sum()),
        "definition": DEFINITION,
    }
