"""The results of ``evaluate`` in Markdown, for people and for the model card."""

from __future__ import annotations

from typing import Any

from TemporalGliomaRisk.evaluate.table import format_table

SHOWN = ("auroc", "auprc", "brier", "concordance")


def results_text(found: dict[str, Any]) -> str:
    """The results as Markdown, for people and for the model card."""
    parts = [
        f"{found['patients']} patients that the model never saw; 95 % intervals by a bootstrap over patients. "
        "Events within 365 days, weighted for censoring.",
        "From all visits so far:\n\n" + format_table(found["several_visits"]["groups"], SHOWN),
        "From the visit alone, same rows:\n\n" + format_table(found["single_visit"]["groups"], SHOWN),
        "Difference, paired:\n\n" + format_table(found["several_less_single"], SHOWN),
    ]
    if "reference" in found:
        settings = found["reference_settings"]
        parts.append(
            "The published architecture (`reference`), same rows; one network trained from random weights on outcomes "
            f"alone, on volumes averaged over {settings['pooling']} voxels along each axis, so the distance is not the "
            "architecture's alone:\n\n" + format_table(found["reference"]["groups"], SHOWN)
        )
        parts.append("Model above less `reference`, paired:\n\n" + format_table(found["several_less_reference"], SHOWN))
    if "ideal_observer" in found:
        parts.append(
            "Ideal observer (knows the true diameters but for a reader's error of 0.5 mm in radius):\n\n"
            + format_table(found["ideal_observer"]["groups"], ("auroc", "auprc", "concordance"))
        )
    calibration = next(group for group in found["several_visits"]["groups"] if group["name"] == "all")["metrics"]
    parts.append(
        "Calibration over all rows: "
        + "; ".join(
            f"{title} {_number(calibration[name])}"
            for name, title in (
                ("calibration_slope", "slope"),
                ("calibration_intercept", "intercept"),
                ("calibration_error", "expected calibration error"),
            )
        )
        + "."
    )
    maps = found.get("heatmaps_at_last_visit_before_event")
    if maps:
        parts.append(
            "Heatmaps at the last visit before the event, where there is true growth by then: how often the peak lies "
            "within half a feature cell of it, and how much of the local hazard lies in it; in brackets a random place "
            "and a flat map, beside them a map that always points at the centre of the resection cavity. Growth is "
            "told by the diameter of the ball of its volume.\n\n" + _heatmap_table(maps)
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
    return "\n\n".join(part.strip() for part in parts)


def _heatmap_table(maps: dict[str, Any]) -> str:
    lines = [
        "| growth | maps | peak at growth | cavity's centre at growth | hazard in growth |",
        "| --- | --- | --- | --- | --- |",
    ]
    for group in (maps, *maps["by_growth_diameter"]):
        name = "any"
        if "from_mm" in group:
            end = " mm or more" if group["below_mm"] is None else f" to {group['below_mm']:.0f} mm"
            name = f"{group['from_mm']:.0f}{end}"
        at_centre, cavities = group["pointing_game_at_cavity_centre"], group["maps_with_cavity"]
        centre = "not known" if at_centre is None else f"{at_centre:.0%} of {cavities}"
        lines.append(
            f"| {name} | {group['maps']} | {group['pointing_game']:.0%} ({group['pointing_game_by_chance']:.1%}) "
            f"| {centre} | {group['share_of_hazard_in_growth']:.0%} ({group['share_by_chance']:.1%}) |"
        )
    return "\n".join(lines)


def _number(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return f"not given ({entry['reason']})"
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"
