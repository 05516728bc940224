"""A second prediction by the warm worker against the first, and how soon a cancel is obeyed at any moment of a run.

Run by name on a quiet machine: ``python -m pytest Testing/benchmarks/worker_warm.py -s``. The shipped sample patient
with the shipped model; for cancels also real MRI that must be aligned.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk.worker.client import WorkerClient

SAMPLE = Path(__file__).resolve().parents[2] / "Resources" / "SampleData" / "sub-01"
REPEATS, CANCELS = 3, 10
MOST_OF_FIRST, LONGEST_CANCEL_S = 0.05, 1.0
PATIENCE_S = 600.0


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "TEMPORAL_GLIOMA_RISK_CACHE": str(cache)}


def seconds(client: WorkerClient, output: Path, reuse: str, **options: Any) -> float:
    """From the call to its result, as a host sees it."""
    began = time.perf_counter()
    result = client.wait(client.predict(SAMPLE, output, **options), timeout_s=PATIENCE_S)
    assert result["reuse"] == reuse, result
    return time.perf_counter() - began


def once(folder: Path) -> dict[str, float]:
    """One worker from its start on, then a second one with what the first left on disk."""
    own = environment(folder / "cache")
    found = {}
    with WorkerClient(environment=own) as client:
        began = time.perf_counter()
        client.start()
        while client.ready is None:
            client.poll()
            time.sleep(0.005)
        found["start until ready"] = time.perf_counter() - began
        found["first"] = seconds(client, folder / "out", "computed")
        found["again, same folder"] = seconds(client, folder / "out", "kept")
        found["again, another folder"] = seconds(client, folder / "other", "copied")
        (folder / "out" / "risk.tsv").unlink()
        found["again, result damaged, features in memory"] = seconds(client, folder / "out", "computed")
        shutil.rmtree(folder / "other")
        found["no maps, features in memory"] = seconds(client, folder / "other", "computed", heatmaps=False)
    with WorkerClient(environment=own) as client:
        found["new worker with its start, features on disk"] = seconds(client, folder / "third", "computed")
    return found


def test_a_warm_worker_takes_less_than_a_twentieth_of_the_first_time(figures: Any, tmp_path: Path) -> None:
    runs = [once(tmp_path / str(repeat)) for repeat in range(REPEATS)]
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    spread = {name: max(run[name] for run in runs) - min(run[name] for run in runs) for name in runs[0]}
    print(f"\nsub-01, six visits, median of {REPEATS} and range, share of the first")  # noqa: T201
    for name, value in middle.items():
        print(f"  {name:44s} {value:8.3f} s  {spread[name]:7.3f} s  {100 * value / middle['first']:6.2f} %")  # noqa: T201
    figures.keep(
        "warm worker",
        clock="wall clock",
        sides={
            name: {
                "median": value,
                "least": min(run[name] for run in runs),
                "greatest": max(run[name] for run in runs),
                "rounds": REPEATS,
            }
            for name, value in middle.items()
        },
        share_of_first={name: value / middle["first"] for name, value in middle.items() if name != "first"},
    )
    assert middle["again, same folder"] < MOST_OF_FIRST * middle["first"]
    assert middle["again, another folder"] < MOST_OF_FIRST * middle["first"]


@pytest.mark.parametrize("which", ["sample", "real, to be aligned"])
def test_a_cancel_is_obeyed_within_a_second_at_any_moment(which: str, tmp_path: Path, shared_data: Path) -> None:
    timeline = SAMPLE if which == "sample" else shared_data / "ms_pair" / "sub-01"
    took: list[tuple[float, str]] = []
    with WorkerClient(environment=environment(tmp_path / "cache")) as client:
        began = time.perf_counter()
        client.wait(client.predict(timeline, tmp_path / "whole", cache=False), timeout_s=PATIENCE_S)
        whole_s = time.perf_counter() - began
        for number in range(CANCELS):
            request = client.predict(timeline, tmp_path / "out", cache=False)
            stop_at, stage = time.perf_counter() + whole_s * (number + 0.5) / CANCELS, "start"
            while time.perf_counter() < stop_at and client.busy:
                for message in client.poll():
                    stage = message.get("message", stage)
                time.sleep(0.005)
            if client.busy is None:
                continue
            asked = time.perf_counter()
            client.cancel()
            answer = client.wait(request, timeout_s=30)
            took.append((time.perf_counter() - asked, f"{answer.get('kind', 'result')} after: {stage}"))
    longest = sorted(took, reverse=True)[:4]
    middle = statistics.median(value for value, _ in took)
    print(f"\n{which}: {len(took)} cancels over {whole_s:.0f} s, median {middle:.2f} s, longest")  # noqa: T201
    for value, where in longest:
        print(f"  {value:5.2f} s  {where}")  # noqa: T201
    assert longest[0][0] < LONGEST_CANCEL_S
