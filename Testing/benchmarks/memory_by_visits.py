"""Peak memory and time of `predict_risk` by the number of visits, each in a process of its own.

The sample patient's visits, repeated at later dates; taken as aligned, nothing cached.
"""

# ruff: noqa: PLC0415  (the measuring process must not be weighed down by what only the others need)

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

VISITS = (1, 6, 12, 24)


def peak_MB() -> float:
    """Peak of this process since it began; the kernel's other account, ru_maxrss, starts at the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0 if sys.platform != "darwin" else 1024.0**2)


def measure(visits: int) -> dict[str, float]:
    from dataclasses import replace

    import torch

    from TemporalGliomaRisk.pipeline import PredictOptions, predict_risk
    from TemporalGliomaRisk.resources import resource_path
    from TemporalGliomaRisk.run import load_model
    from TemporalGliomaRisk.timeline.reading import read_timeline

    torch.set_num_threads(int(os.environ.get("BENCH_THREADS", "1")))
    timeline = read_timeline(resource_path("SampleData") / "sub-01")
    repeated = tuple(
        replace(
            timeline.visits[number % len(timeline.visits)],
            session_id=f"ses-{number + 1:02d}",
            days_since_first=90 * number,
            days_since_treatment=90 * number + 10,
        )
        for number in range(visits)
    )
    model = load_model(None)
    before = peak_MB()
    began = time.process_time()
    found = predict_risk(
        replace(timeline, visits=repeated), model, options=PredictOptions(device="cpu", register="never")
    )
    for result in found.visits:
        result.heatmap()
    return {"peak_MB": peak_MB(), "libraries_and_model_MB": before, "seconds": time.process_time() - began}


def test_memory_and_time_by_visits(once: Any, figures: Any) -> None:
    def all_sizes() -> dict[str, dict[str, float]]:
        found = {}
        for visits in VISITS:
            command = [sys.executable, __file__, str(visits)]
            found[str(visits)] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return found

    found = once(all_sizes)
    few, many = found[str(VISITS[1])], found[str(VISITS[-1])]
    further = VISITS[-1] - VISITS[1]
    figures.keep(
        "memory by visits",
        unit="MB",
        clock="processor time",
        by_visits=found,
        a_further_visit_MB=(many["peak_MB"] - few["peak_MB"]) / further,
        a_further_visit_s=(many["seconds"] - few["seconds"]) / further,
    )
    assert many["peak_MB"] < 2000


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))  # noqa: T201
