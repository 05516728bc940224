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
WAY = "share of the ideal observer's distance from chance (AUROC less 0.5), four or more visits"
ERROR, SLOPE = "expected calibration error", "calibration slope"
PEAK = "heatmap's peak on true growth"
EXPECTED = f"{PEAK}, 6 mm or more"
ORDER = "first and last visit put in order by the images alone"
AIMS = {
    WAY: "85 %, shifted 70 %",
    ERROR: "at most 0.05",
    SLOPE: "0.9 to 1.1, shifted 0.8 to 1.25",
    EXPECTED: "85 %",
    f"{ORDER}, recurrent": "0.90",
}
"""What was asked for."""
GROUPS = {"4 or more": "four or more visits", "all": "all visits"}


def evaluations() -> dict[str, dict[str, Any]]:
    """What ``evaluate`` found, by population."""
    return {
        name: json.loads((RESULTS / file).read_text(encoding="utf-8"))
        for name, file in POPULATIONS.items()
        if (RESULTS / file).is_file()
    }


def cell(entry: Mapping[str, Any], digits: int = 2) -> str:
    """A number with its interval."""
    value, low, high = (f"{entry[end]:.{digits}f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def metric(groups: list[dict[str, Any]], group: str, name: str) -> dict[str, Any]:
    """One entry of a table of ``evaluate``."""
    found: dict[str, Any] = next(one for one in groups if one["name"] == group)["metrics"][name]
    return found


def lines(known: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Both tables."""
    yield "| population | AUROC of | all visits so far | the visit alone | difference, paired | ideal observer |"
    yield "|---|---|---|---|---|---|"
    for name, one in known.items():
        for group, title in GROUPS.items():
            columns = [one[key]["groups"] for key in ("several_visits", "single_visit")]
            columns += [one["several_less_single"], one["ideal_observer"]["groups"]]
            cells = " | ".join(cell(metric(groups, group, "auroc")) for groups in columns)
            yield f"| `{name}`, {one['patients']} patients | {title} | {cells} |"
    yield ""
    yield f"| | {' | '.join(f'`{name}`' for name in known)} | aim |"
    yield f"|---|{'---|' * (len(known) + 1)}"
    rows = {name: dict(facts(one)) for name, one in known.items()}
    titles = dict.fromkeys(title for found in rows.values() for title in found)
    for title in titles:
        yield f"| {title} | {' | '.join(found.get(title, '') for found in rows.values())} | {AIMS.get(title, '')} |"


def facts(one: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is said of one population beside its AUROC: a title and a cell each."""
    ours, ideal = (metric(one[key]["groups"], "4 or more", "auroc") for key in ("several_visits", "ideal_observer"))
    yield WAY, f"{(ours['value'] - 0.5) / (ideal['value'] - 0.5):.0%}{_way_interval(one)}"
    for part in one.get("ideal_observer_seeing_from", []):
        limited = metric(part["groups"], "4 or more", "auroc")
        yield f"AUROC of an ideal observer who sees nothing below {part['from_mm']:.0f} mm, four or more", cell(limited)
    if deceived := one.get("ideal_observer_deceived"):
        found = metric(deceived["groups"], "4 or more", "auroc")
        yield "AUROC of one who takes a treatment effect for a lesion, four or more", cell(found)
    for title, name in ((ERROR, "calibration_error"), (SLOPE, "calibration_slope")):
        found = metric(one["several_visits"]["groups"], "all", name)
        digits = 3 if title == ERROR else 2
        yield title, f"not given, {found['reason']}" if found["value"] is None else cell(found, digits)
    difference = metric(one["several_less_single"], "all", "brier")
    low, high = (f"{difference[end]:+.3f}" for end in ("low", "high"))
    yield "Brier score less that of the visit alone", f"{difference['value']:+.3f} [{low}, {high}]"
    yield from map_facts(one.get("heatmaps_at_last_visit_before_event") or {})
    for kind, found in one.get("order", {}).get("pairs", {}).items():
        yield f"{ORDER}, {kind}", cell(found["accuracy"])


def _way_interval(one: Mapping[str, Any]) -> str:
    """Of the share of the way, where the evaluation was made with one."""
    if "share_of_ideal_observer" not in one:
        return ", without an interval"
    found = metric(one["share_of_ideal_observer"], "4 or more", "auroc_share")
    return "" if found["low"] is None else f" [{found['low']:.0%}, {found['high']:.0%}]"


def _hits(maps: Mapping[str, Any]) -> str:
    """Share of the maps whose peak hits, with its interval."""
    found = maps["intervals"]["pointing_game"]
    return f"{found['value']:.0%} [{found['low']:.0%}, {found['high']:.0%}] of {maps['maps']}"


def map_facts(maps: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How often the highest place of the last map before an event lies on true growth."""
    if not maps:
        return
    chance = maps["pointing_game_by_chance"]
    yield f"{PEAK}, any", f"{_hits(maps)} (by chance {chance:.1%})"
    small = next((one for one in maps.get("by_growth_diameter", []) if not one["from_mm"]), None)
    if small:
        yield f"{PEAK}, below {small['below_mm']:.0f} mm", _hits(small)
    expected = maps.get("expected")
    if expected:
        yield EXPECTED, _hits(expected)
        for key, title in (("with_new_focus", "a new focus of that size"), ("at_rims", "at rims of what was there")):
            if found := expected.get(key):
                yield f"{PEAK}, {title}", _hits(found)
    if off := maps.get("expected_off_borders"):
        title = "6 mm or more, borders that may only have moved left out"
        yield f"{PEAK}, {title}", _hits(off)


def with_results(text: str, known: Mapping[str, dict[str, Any]]) -> str:
    """A README whose figures of the model are these."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n" + "\n".join(lines(known)) + f"\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_results(README.read_text(encoding="utf-8"), evaluations()), encoding="utf-8")
