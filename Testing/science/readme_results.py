"""The README's figures of the shipped model: ``python Testing/science/readme_results.py`` writes them.

They are read off the evaluations in Testing/benchmarks/results; a test compares, so that they cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "Testing" / "benchmarks" / "results"
README = ROOT / "README.md"
POPULATIONS = {"main": "evaluation-main.json", "shifted": "evaluation-shifted.json"}
BEGIN, END = "<!-- model: written by Testing/science/readme_results.py -->", "<!-- model: end -->"
GROUPS = {"4 or more": "four or more visits", "all": "all visits"}


def evaluations() -> dict[str, dict[str, Any]]:
    """What ``evaluate`` found, by population."""
    return {
        name: json.loads((RESULTS / file).read_text(encoding="utf-8"))
        for name, file in POPULATIONS.items()
        if (RESULTS / file).is_file()
    }


def cell(entry: Mapping[str, Any]) -> str:
    """A number with its interval."""
    return f"{entry['value']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}]"


def metric(groups: list[dict[str, Any]], group: str, name: str) -> dict[str, Any]:
    """One entry of a table of ``evaluate``."""
    found: dict[str, Any] = next(one for one in groups if one["name"] == group)["metrics"][name]
    return found


def lines(known: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """The table and what is said below it."""
    yield "| population | AUROC of | all visits so far | the visit alone | difference, paired | ideal observer |"
    yield "|---|---|---|---|---|---|"
    for name, one in known.items():
        for group, title in GROUPS.items():
            columns = [one[key]["groups"] for key in ("several_visits", "single_visit")]
            columns += [one["several_less_single"], one["ideal_observer"]["groups"]]
            cells = " | ".join(cell(metric(groups, group, "auroc")) for groups in columns)
            yield f"| `{name}`, {one['patients']} patients | {title} | {cells} |"
    yield ""
    for name, one in known.items():
        yield f"- `{name}`: {'; '.join(facts(one))}."


def facts(one: Mapping[str, Any]) -> Iterator[str]:
    """Calibration, heatmaps and order of one population, in words."""
    limited = ", ".join(
        f"{cell(metric(part['groups'], '4 or more', 'auroc'))} if it sees nothing below {part['from_mm']:.0f} mm"
        for part in one.get("ideal_observer_seeing_from", [])
    )
    if limited:
        deceived = one.get("ideal_observer_deceived")
        if deceived:
            said = cell(metric(deceived["groups"], "4 or more", "auroc"))
            limited += f", {said} if it takes a treatment effect for a lesion"
        yield f"the ideal observer's AUROC with four or more visits is {limited}"
    slope, error = (
        metric(one["several_visits"]["groups"], "all", name) for name in ("calibration_slope", "calibration_error")
    )
    if slope["value"] is None:
        yield f"calibration not given, {slope['reason']}"
    else:
        yield f"calibration slope {cell(slope)}, expected calibration error {cell(error)}"
    difference = metric(one["several_less_single"], "all", "brier")
    yield f"Brier score less that of the visit alone {difference['value']:+.3f} [{difference['low']:+.3f}, " + (
        f"{difference['high']:+.3f}]"
    )
    maps = one.get("heatmaps_at_last_visit_before_event")
    if maps:
        sizes = "".join(
            f"; {group['pointing_game']:.0%} of {group['maps']} with growth of {group['from_mm']:.0f} mm"
            + (f" to {group['below_mm']:.0f} mm" if group["below_mm"] else " or more")
            for group in maps.get("by_growth_diameter", [])
        )
        expected = maps.get("expected", {})
        kinds = {"with_new_focus": "a new focus of that size", "at_rims": "growth at rims of what was there"}
        told = ", ".join(
            f"{title} {expected[kind]['pointing_game']:.0%} of {expected[kind]['maps']}"
            for kind, title in kinds.items()
            if kind in expected
        )
        if expected:
            sizes += f"; of all from 6 mm on {expected['pointing_game']:.0%} of {expected['maps']}"
            sizes += f": {told}" if told else ""
        yield (
            "at the last visit before an event the heatmap's peak lies on true growth in "
            f"{maps['pointing_game']:.0%} of {maps['maps']} patients (by chance "
            f"{maps['pointing_game_by_chance']:.1%}{sizes})"
        )
    if "order" in one:
        pairs = one["order"]["pairs"]
        told = ", ".join(
            f"{kind} {found['accuracy']['value']:.2f} [{found['accuracy']['low']:.2f}, {found['accuracy']['high']:.2f}]"
            for kind, found in pairs.items()
        )
        yield f"first and last visit put in order by the images alone: {told}"


def with_results(text: str, known: Mapping[str, dict[str, Any]]) -> str:
    """A README whose figures of the model are these."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n" + "\n".join(lines(known)) + f"\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_results(README.read_text(encoding="utf-8"), evaluations()), encoding="utf-8")
