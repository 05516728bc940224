"""A sixth visit added to five that are known, against the six anew: `predict_risk` from files to risks and terms."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.pipeline import predict_risk
from TemporalGliomaRisk.visit_cache import VisitCache

ROUNDS = 3


def test_a_visit_added(once: Any, figures: Any, shipped: Any, sample_timeline: Any, tmp_path: Path) -> None:
    five = replace(sample_timeline, visits=sample_timeline.visits[:5])
    predict_risk(five, shipped, cache=VisitCache(folder=tmp_path / "five"))
    known = [shutil.copytree(tmp_path / "five", tmp_path / f"copy{number}") for number in range(ROUNDS + 1)]
    copies = iter(known)
    risks: dict[str, list[float]] = {}

    def anew() -> None:
        found = predict_risk(sample_timeline, shipped)
        risks["anew"] = [visit.hazards.risk for visit in found.visits]

    def added() -> None:
        found = predict_risk(sample_timeline, shipped, cache=VisitCache(folder=next(copies)))
        risks["added"] = [visit.hazards.risk for visit in found.visits]

    def again() -> None:
        predict_risk(sample_timeline, shipped, cache=VisitCache(folder=known[0]))

    sides = {"sixth visit added": added, "all known": again, "six visits anew": anew}
    once(lambda: figures.compare("adding a visit", sides, rounds=ROUNDS, to="sixth visit added"))
    assert risks["added"] == risks["anew"]
