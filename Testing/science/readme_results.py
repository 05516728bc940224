"""The README's figures of the shipped model: ``python Testing/science/readme_results.py`` writes them.

They are read off the evaluations and measurements in Testing/benchmarks/results and off the model, tables and
sentences alike; a test compares, so that they cannot disagree.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.evaluate.words import ASKED_PATIENTS
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.risk.calibration import LARGEST_LOG_SCALE, Calibration

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "Testing" / "benchmarks" / "results"
README = ROOT / "README.md"
POPULATIONS = {"main": "evaluation-main.json", "shifted": "evaluation-shifted.json"}
VISIBILITY = RESULTS / "growth_visibility.json"
DAYS = RESULTS / "days_alone.json"
"""What the days alone tell of the same rows, by population, and of the rows of ``make science``."""
ROWS = RESULTS / "science.json"
"""What ``make science`` found, for as many of its rows as were made."""
WITHOUT_IMAGES = " †"
"""Beside a row whose calibration leaves nothing of what the images say."""
ROWS_COMPARED = "rows compared"
WIDTH = 120
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


def days_alone() -> dict[str, dict[str, Any]]:
    """What the days alone tell, by population or :data:`ROWS_COMPARED`."""
    found: dict[str, dict[str, Any]] = json.loads(DAYS.read_text(encoding="utf-8"))
    return found


def cell(entry: Mapping[str, Any], digits: int = 2) -> str:
    """A number with its interval."""
    value, low, high = (f"{entry[end]:.{digits}f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def metric(groups: list[dict[str, Any]], group: str, name: str) -> dict[str, Any]:
    """One entry of a table of ``evaluate``."""
    found: dict[str, Any] = next(one for one in groups if one["name"] == group)["metrics"][name]
    return found


def lines(known: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Both tables, and what they leave unsaid."""
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
    days = days_alone()
    rows = {name: dict(facts(one, days[name])) for name, one in known.items()}
    titles = dict.fromkeys(title for found in rows.values() for title in found)
    for title in titles:
        yield f"| {title} | {' | '.join(found.get(title, '') for found in rows.values())} | {AIMS.get(title, '')} |"
    yield ""
    yield filled(" ".join(sentences(known)))


def filled(text: str, hanging: str = "") -> str:
    """A paragraph of the README's width."""
    return textwrap.fill(text, WIDTH, subsequent_indent=hanging, break_on_hyphens=False, break_long_words=False)


def percent(share: float) -> str:
    """A share as the README's sentences write it."""
    return f"{100 * share:.0f} %"


def by_population(said: Mapping[str, str]) -> str:
    """``0.09 on `main` and 0.06 on `shifted```."""
    return " and ".join(f"{value} on `{name}`" for name, value in said.items())


def sentences(known: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """What the tables leave unsaid."""
    yield from distances(known)
    for name, one in known.items():
        if tenths := next(group for group in one["several_visits"]["groups"] if group["name"] == "all")["reliability"]:
            said, came = (", ".join(f"{100 * part[key]:.0f}" for part in tenths) for key in ("predicted", "observed"))
            yield f"By tenths of the visits of `{name}`, mean risks are {said} %, and of them {came} % recur."
    if repeats := {name: one["order"]["repeats"] for name, one in known.items() if "order" in one}:
        low, high = next(iter(repeats.values()))["undecided"]
        shares = {name: percent(found["share_undecided"]) for name, found in repeats.items()}
        yield (
            "Two pictures of one visit, as if by two scanners, should leave the order open, and do so (a confidence of "
            f"{low} to {high}) in {by_population(shares)}."
        )
    if any(one["patients"] < ASKED_PATIENTS for one in known.values()):
        scored = " and ".join(f"{one['patients']} of `{name}`" for name, one in known.items())
        yield f"Asked for were {ASKED_PATIENTS:,} test patients; {scored} were scored."


def distances(known: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """How far the model comes on the way to the observers, and how much earlier visits help of what they could."""
    way, by_days, deceived, helped, could = {}, {}, {}, {}, {}
    days = days_alone()
    for name, one in known.items():
        keys = ("several_visits", "single_visit", "ideal_observer")
        ours, alone, ideal = (metric(one[key]["groups"], "4 or more", "auroc")["value"] for key in keys)
        way[name], could[name] = percent((ours - 0.5) / (ideal - 0.5)), f"{ideal - alone:.2f}"
        by_days[name] = percent((days[name]["auroc"]["4 or more"]["value"] - 0.5) / (ideal - 0.5))
        helped[name] = f"{metric(one['several_less_single'], '4 or more', 'auroc')['value']:.2f}"
        if other := one.get("ideal_observer_deceived"):
            nearer = metric(other["groups"], "4 or more", "auroc")["value"]
            deceived[name] = percent((ours - 0.5) / (nearer - 0.5))
    far = f"With four or more visits its AUROC covers {by_population(way)} of the distance from 0.5 to the ideal"
    nearer_words = (
        f"; to that of one who takes treatment effects for lesions {by_population(deceived)}" if deceived else ""
    )
    yield f"{far} observer's{nearer_words}."
    yield f"The days alone, which show no tumour, cover {by_population(by_days)} of the way to the ideal observer."
    yield f"Earlier visits help by {by_population(helped)}; they could help by {by_population(could)}."


def random_maps() -> str:
    """What maps of random networks have in common with those of the shipped model."""
    found = json.loads((resource_path(DEFAULT_MODEL) / "sanity.json").read_text(encoding="utf-8"))
    stage = next(one for one in found["stages"] if one["randomised"] == "every weight")
    return filled(
        "Maps of the same network with every weight random should have nothing in common with the model's. Their "
        f"highest {percent(found['top_share'])} of places overlap by {stage['top_overlap']:.2f} (its own members' by "
        f"{found['members_top_overlap']:.2f}), but over the whole brain their rank correlation is "
        f"{stage['correlation']:.2f} (members {found['members_correlation']:.2f}; {found['visits']} patients, "
        f"{found['seeds']} random networks); the report says so beside the maps."
    )


def growth_shown() -> str:
    """How much of true growth the images show, and what is left to an observer who sees no more."""
    tables = json.loads(VISIBILITY.read_text(encoding="utf-8"))["tables"]
    main, shifted = (
        next(one for one in tables if one["population"] == name and "readers" in one) for name in POPULATIONS
    )
    seen = [
        f"{one['from_mm']:.0f} to {one['to_mm']:.0f} mm in {percent(one['visible_share']['value'])}"
        for one in main["growth"]
        if one["visits"] and one["from_mm"] >= 2
    ]
    (all_of_it, shown), (all_there, shown_there) = (
        [cell(table["readers"][name]["4 or more"]) for name in ("ideal_observer", "seeing_what_shows")]
        for table in (main, shifted)
    )
    return filled(
        "- **The images don't show all growth.** Visits rendered twice, with and without their growth, say what it "
        "adds. A filter that knows its shape and contrast, and not where it is, finds growth of "
        f"{', of '.join(seen)} of visits (`Testing/science/growth_visibility.py`, {main['patients']} other patients). "
        f"An ideal observer to whom invisible growth is none reaches {shown} at four or more visits where the one who "
        f"knows every diameter reaches {all_of_it}, by one difference of two visits, and no strict bound. On "
        f"`shifted` ({shifted['patients']} other patients) it is {shown_there} of {all_there}.",
        "  ",
    )


def rows_compared() -> Iterator[str]:
    """Every row of ``make science`` on the same visits of the same patients, and what ordering adds."""
    found = json.loads(ROWS.read_text(encoding="utf-8"))
    sizes = found["plan"]["sizes"]
    yield filled(
        f"Trained on {found['training_patients']} patients and watched on {found['validation_patients']}: "
        f"{sizes['updates']:,} updates of pretraining, {sizes['passes']} passes of fine-tuning at most, one training a "
        "row, so that intervals hold nothing of another training's luck. The shipped model is larger, an ensemble, and "
        "learnt longer and from more patients."
    )
    for population in (name for name in POPULATIONS if name in found):
        one = found[population]
        yield ""
        who, last = f"`{population}`, {one['patients']} patients", "shipped less this, four or more"
        yield f"| {who} | AUROC, all visits | four or more | {last} |"
        yield "|---|---|---|---|"
        for name, table in one["rows"].items():
            if _fewer(name):
                continue
            cells = [cell(metric(table["groups"], group, "auroc")) for group in ("all", "4 or more")]
            less = one["shipped_less"].get(name)
            cells.append(signed(metric(less, "4 or more", "auroc")) if less else "")
            yield f"| {name}{_mark(found, name)} | {' | '.join(cells)} |"
        if one["ordering_gain"]:
            yield ""
            yield from _ordering_gains(found, population)
    if any(_mark(found, name) for name in found["calibrations"]):
        yield ""
        yield filled(
            "†: calibration on the patients watched lowers what the images say as far as it may, to a "
            f"{math.exp(LARGEST_LOG_SCALE):.0f}th. The risks that are left hardly differ, and rank by the days between "
            "visits."
        )
    days = days_alone()[ROWS_COMPARED]["auroc"]
    yield ""
    yield filled(
        "By the law that events are drawn from, the days alone rank these visits with an AUROC of "
        f"{cell(days['all'])}, and with {cell(days['4 or more'])} at four or more (`Testing/science/days_alone.py`): "
        "the row of dates has not learnt it, so it is no measure of what dates are worth."
    )


def _mark(found: Mapping[str, Any], name: str) -> str:
    """Says of a row whose calibration stopped at its bound that images count for nothing in it."""
    constants = found["calibrations"].get(name)
    silent = constants and Calibration(**constants).bounds_reached.get("local terms") == "low"
    return WITHOUT_IMAGES if silent else ""


def _fewer(name: str) -> int | None:
    """Of how many training patients a row is, where that is not all of them."""
    found = re.search(r", (\d+) patients$", name)
    return int(found[1]) if found else None


def _ordering_gains(found: Mapping[str, Any], population: str) -> Iterator[str]:
    """What ordering adds to the AUROC, paired, by what it is added to and how many patients both learn from."""
    one, patients = found[population], found["training_patients"]
    yield f"| on `{population}` ordering is added to | training patients | all visits | gain | four or more | gain |"
    yield "|---|---|---|---|---|---|"
    pairs = {less: (more, gain) for name, gain in one["ordering_gain"].items() for more, less in [name.split(" less ")]}
    for less in sorted(pairs, key=lambda name: (name.startswith("growth maps"), _fewer(name) or patients)):
        more, gain = pairs[less]
        cells = [f"{less.partition(',')[0]}{_mark(found, less)}", str(_fewer(less) or patients)]
        for group in ("all", "4 or more"):
            cells.append(cell(metric(one["rows"][less]["groups"], group, "auroc")))
            cells.append(signed(metric(gain, group, "auroc")) + _mark(found, more))
        yield f"| {' | '.join(cells)} |"


def signed(entry: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    value, low, high = (f"{entry[end]:+.2f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def facts(one: Mapping[str, Any], days: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is said of one population beside its AUROC, and beside that of the days alone: a title and a cell each."""
    ours, ideal = (metric(one[key]["groups"], "4 or more", "auroc") for key in ("several_visits", "ideal_observer"))
    yield WAY, f"{(ours['value'] - 0.5) / (ideal['value'] - 0.5):.0%}{_way_interval(one)}"
    for part in one.get("ideal_observer_seeing_from", []):
        limited = metric(part["groups"], "4 or more", "auroc")
        yield f"AUROC of an ideal observer who sees nothing below {part['from_mm']:.0f} mm, four or more", cell(limited)
    if deceived := one.get("ideal_observer_deceived"):
        found = metric(deceived["groups"], "4 or more", "auroc")
        yield "AUROC of one who takes a treatment effect for a lesion, four or more", cell(found)
    for group, title in (("4 or more", "four or more"), ("all", "all visits")):
        yield f"AUROC of the days alone, {title}", cell(days["auroc"][group])
    yield (
        "AUROC of the model's background, its own account of the days, four or more",
        cell(days["background"]["auroc"]["4 or more"]),
    )
    for who, risks in (("the days alone", days["risks"]), ("the model's background", days["background"]["risks"])):
        low, middle, high = (f"{100 * risks[end]:.0f}" for end in ("10", "50", "90"))
        yield f"risk by {who}, median [10th, 90th percentile], %", f"{middle} [{low}, {high}]"
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
    parts = {"model": "\n".join(lines(known)), "random maps": random_maps(), "growth shown": growth_shown()}
    parts |= {"rows": "\n".join(rows_compared())}
    for name, content in parts.items():
        begin, end = f"<!-- {name}: written by Testing/science/readme_results.py -->\n", f"\n *<!-- {name}: end -->"
        pattern = re.compile(f"({re.escape(begin)}).*?({end})", re.DOTALL)
        text, found = pattern.subn(lambda at, content=content: f"{at[1]}\n{content}\n{at[2]}", text)
        if found != 1:
            raise SystemExit(f"The README needs the markers of {name!r} once, found {found}.")
    return text


if __name__ == "__main__":
    README.write_text(with_results(README.read_text(encoding="utf-8"), evaluations()), encoding="utf-8")
