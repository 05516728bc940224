"""The results of ``evaluate`` in Markdown, for people and for the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from TemporalGliomaRisk.evaluate.table import AUROC_SHARE, LEAST_ROWS_FOR_CALIBRATION, format_cell, format_table

SHOWN = ("auroc", "auprc", "f1", "brier", "concordance")
HEADLINE = "4 or more"
ASKED_PATIENTS = 1500
"""Simulated patients that a headline was asked to rest on."""


def results_text(found: dict[str, Any]) -> str:
    """The results as Markdown, for people and for the model card."""
    several = found["several_visits"]
    names = [name for name in SHOWN[1:] if any(one["metrics"][name]["value"] is not None for one in several["groups"])]
    parts = [_who(found), _headline(found), _auroc_table(found)]
    parts.append("All visits so far, further figures:\n\n" + format_table(several["groups"], tuple(names)))
    if "concordance" in names:
        parts.append(
            "Uno's concordance weighs a pair of visits by the one whose event comes first. Each patient's follow-up "
            "has a clock of its own, so a risk that rises with the time since the first visit looks a little better by "
            "it than it is."
        )
    parts.append(_threshold_words(several))
    peers = ("auroc", "auprc", "brier", "concordance")
    if "reference" in found:
        settings = found["reference_settings"]
        parts.append(
            "The published architecture (`reference`), same rows; one network trained from random weights on outcomes "
            f"alone, on volumes averaged over {settings['pooling']} voxels along each axis, so the distance is not the "
            f"architecture's alone{_learnt_from_these(settings)}:\n\n"
            + format_table(found["reference"]["groups"], peers)
        )
        parts.append("Model above less `reference`, paired:\n\n" + format_table(found["several_less_reference"], peers))
    if "rival" in found:
        name = found["rival_model"]["name"]
        parts.append(
            f"`{name}`, same rows{_learnt_from_these(found['rival_model'])}:\n\n"
            + format_table(found["rival"]["groups"], peers)
        )
        parts.append(f"Model above less `{name}`, paired:\n\n" + format_table(found["several_less_rival"], peers))
    parts.append(_calibration_text(several["groups"]))
    if at_visit := found.get("event_at_next_visit"):
        parts.append(_at_next_visit_text(at_visit))
    maps = found.get("heatmaps_at_last_visit_before_event")
    if maps:
        parts.append(
            "Heatmaps at the last visit before the event, where there is true growth by then: how often the peak lies "
            "within half a feature cell of it (exact binomial intervals), and how much of the local hazard lies in it; "
            "in round brackets a random place and a flat map, beside them a map that always points at the centre of "
            "the resection cavity. Growth is told by the diameter of the ball of its volume.\n\n" + _heatmap_table(maps)
        )
    quiet = found["local_hazard_at_last_visit"]
    parts.append(
        "Sum of the map at the last visit (median, 5th to 95th percentile): "
        + "; ".join(
            f"{name.replace('_', ' ')}, {one['patients']} patients: {one['median']:.3f} "
            f"[{one['from_5th_percentile']:.3f}, {one['to_95th_percentile']:.3f}]"
            for name, one in quiet.items()
        )
        + "."
    )
    if "order" in found:
        parts.append(_order_text(found["order"]))
    if commands := found.get("redone_by"):
        lines = "\n".join(commands)
        parts.append(f"The same patients are drawn and these figures redone by:\n\n```sh\n{lines}\n```")
    return "\n\n".join(part.strip() for part in parts if part)


def _learnt_from_these(other: Mapping[str, Any]) -> str:
    """What makes another model's figures too good."""
    return (
        "; it learnt from patients of this cohort, so its figures look better than they are"
        if other.get("learnt_from")
        else ""
    )


def _heatmap_table(maps: dict[str, Any]) -> str:
    lines = [
        "| growth | maps | peak at growth | cavity's centre at growth | hazard in growth |",
        "| --- | --- | --- | --- | --- |",
    ]
    expected = maps.get("expected", {})
    kinds = {
        "6 mm or more": expected,
        "of these, a new focus of 6 mm or more": expected.get("with_new_focus"),
        "of these, at rims of what was there, or smaller": expected.get("at_rims"),
        "6 mm or more, borders that may only have moved left out": maps.get("expected_off_borders"),
    }
    named = [{**kind, "name": name} for name, kind in kinds.items() if kind]
    for group in (maps, *maps["by_growth_diameter"], *named):
        name = group.get("name", "any")
        if "from_mm" in group:
            end = " mm or more" if group["below_mm"] is None else f" to {group['below_mm']:.0f} mm"
            name = f"{group['from_mm']:.0f}{end}"
        cavities = group["maps_with_cavity"]
        centre = f"{_share(group, 'pointing_game_at_cavity_centre')} of {cavities}" if cavities else "not known"
        lines.append(
            f"| {name} | {group['maps']} | {_share(group, 'pointing_game')} ({group['pointing_game_by_chance']:.1%}) "
            f"| {centre} | {_share(group, 'share_of_hazard_in_growth')} ({group['share_by_chance']:.1%}) |"
        )
    return "\n".join(lines)


def _share(group: Mapping[str, Any], name: str) -> str:
    """A share of maps or of hazard, with its interval; older evaluations have none."""
    return _percent(group.get("intervals", {}).get(name, {"value": group[name], "low": None}))


def _percent(entry: Mapping[str, Any]) -> str:
    bounds = "" if entry["low"] is None else f" [{entry['low']:.0%}, {entry['high']:.0%}]"
    return f"{entry['value']:.0%}{bounds}"


def _order_text(order: Mapping[str, Any]) -> str:
    """Accuracy of the order of the first and the last visit, and the confidence in repeats."""
    lines = [[name, str(one["patients"]), format_cell(one["accuracy"])] for name, one in order["pairs"].items()]
    repeats = order["repeats"]
    shares, (low, high) = repeats["confidence_percentiles"], repeats["undecided"]
    return (
        "The ordering head, told nothing of dates, on each patient's first and last visit before the event or the end "
        "of follow-up, one pair a patient, with exact binomial intervals:\n\n"
        f"{_table(['pairs', 'patients', 'in their true order'], lines)}\n\nTwo pictures of one visit, "
        f"as if by two scanners ({repeats['patients']} patients): confidence {shares['50']:.2f} in the median, 5th to "
        f"95th percentile {shares['5']:.2f} to {shares['95']:.2f}; {repeats['share_undecided']:.0%} between {low} and "
        f"{high}, where all of them should be near one half."
    )


def whom(found: Mapping[str, Any]) -> str:
    """How many patients of what kind the figures are of, and whether the model had seen them, as far as is known."""
    what = "simulated patients" if found.get("cohort", {}).get("simulated") else "patients"
    known = found.get("seen_patients")
    if known and known < found["patients"]:
        seen = f"of whom the model learnt from {known:,}"
    elif found.get("learnt_from"):
        seen = "of a cohort that the model learnt from"
    elif found.get("held_out"):
        seen = "of a cohort that the model learnt from, of the part that its split keeps for the end"
    else:
        seen = (
            "that the model never saw" if known == 0 else "not of a cohort that the model is known to have learnt from"
        )
    return f"{found['patients']:,} {what} {seen}"


def _who(found: Mapping[str, Any]) -> str:
    several, cohort = found["several_visits"], found.get("cohort", {})
    drawn = ", ".join(f"`{name}`, simulator version {version}" for name, version in cohort.get("simulators", []))
    return (
        f"{whom(found)}{f' (population {drawn})' if drawn else ''}; "
        f"{100 * several['level']:.0f} % intervals by {several['resamples']} bootstrap resamples of patients. Events "
        f"within {several['horizon_days']:.0f} days of a visit, weighted for censoring."
        f"{_too_few(found)}"
    )


def _too_few(found: Mapping[str, Any]) -> str:
    """Of simulated patients there can be enough."""
    if not found.get("cohort", {}).get("simulated") or found["patients"] >= ASKED_PATIENTS:
        return ""
    return f" These are fewer than the {ASKED_PATIENTS:,} patients that were asked for."


def _headline(found: Mapping[str, Any]) -> str:
    """The figures at several visits, and how far of the way to the ideal observer they are."""
    keys = ("several_visits", "single_visit", "ideal_observer")
    entries = {key: _metric_of(found[key]["groups"]) for key in keys if key in found}
    model = entries["several_visits"]
    if model is None or model["value"] is None:
        return ""
    text = f"**At {HEADLINE} visits: AUROC {format_cell(model)}**"
    alone, ideal = entries.get("single_visit"), entries.get("ideal_observer")
    if alone is not None and alone["value"] is not None:
        text += f"; from the visit alone {format_cell(alone)}"
    if ideal is not None and ideal["value"] is not None:
        text += f"; ideal observer {format_cell(ideal)}"
        way = _metric_of(found.get("share_of_ideal_observer", []), AUROC_SHARE)
        if way is not None and way["value"] is not None:
            text += f", so the model goes {_percent(way)} of that observer's way from chance"
    limited = [(one["from_mm"], _metric_of(one["groups"])) for one in found.get("ideal_observer_seeing_from", [])]
    told = [f"below {least:.0f} mm {format_cell(one)}" for least, one in limited if one and one["value"] is not None]
    text += f". An ideal observer who sees no lesion {' or '.join(told)}" if told else ""
    deceived = _metric_of(found["ideal_observer_deceived"]["groups"]) if "ideal_observer_deceived" in found else None
    if deceived is not None and deceived["value"] is not None:
        text += f". One who takes a treatment effect for a lesion {format_cell(deceived)}"
    return text + "."


def _metric_of(groups: Sequence[Mapping[str, Any]], name: str = "auroc") -> Mapping[str, Any] | None:
    """A number at :data:`HEADLINE` visits, None without such rows."""
    return next((group["metrics"][name] for group in groups if group["name"] == HEADLINE), None)


def _at_next_visit_text(found: Mapping[str, Any]) -> str:
    """The same rows by the day on which a clinic would see the event."""
    return (
        "Where an event is put at the next visit, where a clinic would see it (in the median "
        f"{found['days_after_event_median']:.0f} days later, {found['events']} patients with one), the same risks on "
        f"the same rows: {_auroc_table(found)}"
    )


def _auroc_table(found: Mapping[str, Any]) -> str:
    """AUROC of model, visit alone and ideal observer side by side, by number of visits."""
    columns = [
        ("all visits so far", found["several_visits"]["groups"]),
        ("visit alone", found["single_visit"]["groups"]),
        ("difference", found["several_less_single"]),
    ]
    text = "AUROC by number of visits. Difference, paired: all visits so far less the visit alone, same rows."
    if "ideal_observer" in found:
        columns.append(("ideal observer", found["ideal_observer"]["groups"]))
        text += " The ideal observer knows the true diameters but for a reader's error of 0.5 mm in radius."
    titles = ["visits", "rows", "patients", "rows with event", *(title for title, _ in columns)]
    lines = []
    for number, group in enumerate(columns[0][1]):
        heads = [str(group[key]) for key in ("name", "rows", "patients", "events")]
        lines.append([*heads, *(format_cell(groups[number]["metrics"]["auroc"]) for _, groups in columns)])
    return f"{text}\n\n{_table(titles, lines)}"


def _threshold_words(several: Mapping[str, Any]) -> str:
    if several["threshold"] is None:
        return ""
    return f"F1 calls an event from a risk of {several['threshold']:.3f} on, which was chosen on validation patients."


def _calibration_text(groups: Sequence[Mapping[str, Any]]) -> str:
    names = ("calibration_slope", "calibration_intercept", "calibration_error")
    enough = [group for group in groups if group["rows"] >= LEAST_ROWS_FOR_CALIBRATION]
    rest = f"No figure where there are fewer than {LEAST_ROWS_FOR_CALIBRATION} rows."
    if not enough:
        whole = next(group for group in groups if group["name"] == "all")
        return f"Calibration is not given: {whole['rows']} rows in all. {rest}"
    lines = [
        [
            *(str(group[key]) for key in ("name", "rows", "patients", "events")),
            *(format_cell(group["metrics"][name]) for name in names),
        ]
        for group in enough
    ]
    titles = ["visits", "rows", "patients", "rows with event", "slope", "intercept", "expected calibration error"]
    return f"Calibration (best: 1, 0 and 0). {rest}\n\n{_table(titles, lines)}"


def subgroups_text(found: Mapping[str, Any]) -> str:
    """The subgroups as Markdown."""
    subgroups = found["subgroups"]
    known = [one for one in subgroups["groupings"] if not one["by_the_future"]]
    future = [one for one in subgroups["groupings"] if one["by_the_future"]]
    parts = ["From all visits so far, all rows of each group."]
    for groupings, names in (
        (known, ("auroc", "mean_risk", "observed_share", "risk_less_observed")),
        (future, ("auroc",)),
    ):
        lines = [
            [_titled(one), *(str(group[key]) for key in ("name", "rows", "patients", "events"))]
            + [format_cell(group["metrics"][name]) for name in names]
            for one in groupings
            for group in one["groups"]
        ]
        if not lines:
            continue
        if names == ("auroc",):
            parts.append(
                "By the growth that is still to come, which nobody knows at the visit; AUROC of each group's rows "
                "together with those of all patients whose tumour never comes back:"
            )
        titles = ["by", "group", "rows", "patients", "rows with event", *(name.replace("_", " ") for name in names)]
        parts.append(_table([title.replace("auroc", "AUROC") for title in titles], lines))
    if len(parts) == 1:
        parts = ["No group is large enough."]
    small = [
        f"{_titled(one)}: "
        + ", ".join(f"{group['name']} ({group['patients']}, {_with_event(group)})" for group in one["left_out"])
        for one in subgroups["groupings"]
        if one["left_out"]
    ]
    if small:
        parts.append(
            f"Left out, fewer than {subgroups['least_patients']} patients or {subgroups['least_events']} of them with "
            f"an event within the horizon (patients, those with one): {'; '.join(small)}."
        )
    return "\n\n".join(parts)


def _with_event(group: Mapping[str, Any]) -> int:
    """Patients with an event; evaluations of before counted rows."""
    return int(group.get("patients_with_event", group["events"]))


def _titled(grouping: Mapping[str, Any]) -> str:
    return f"{grouping['title']}{' (exploratory)' if grouping.get('exploratory') else ''}"


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
