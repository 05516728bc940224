"""Our heatmaps beside Grad-CAM, integrated gradients and occlusion: one network, the same visits, the true growth.

    python Testing/science/heatmap_peers.py --cohort COHORT --model BUNDLE --cases 60 --output FOLDER

Cases are the first patients of a simulated cohort with an event and true growth by the last visit before it. All maps
explain one number, the hazard within the horizon at that visit, by that visit's intensities, earlier visits held as
they are, and all are brought to the network's own cells of 2 voxels before they are judged, which calms the gradients.
Grad-CAM and integrated gradients are Captum's, occlusion is MONAI's. The last two replace intensities, once by the
usual (zero, or the sequence's mean in the brain), and once by those of the first visit with the same sequence, which
suits a model of change. The network's receptive field is bounded, so behind MONAI's occlusion only the cells that
a change can reach are computed again; the number is that of a whole pass.

Deletion and insertion curves (TemporalGliomaRisk/evaluate/deletion.py) put places back to the latest earlier visit with
the same sequence, and, in curves of their own, to the first one, since which true growth is measured. Patients with a
sequence at the last visit that no earlier one has are left out of them, and counted. An interrupted run goes on
where it stopped. heatmap_peers.json and heatmap_peers.md are written, and heatmap_peers.png
(picture_heatmap_peers.py) once there is a case of every kind shown.
"""

# ruff: noqa: T201 (a script: it prints what it finds)

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_maps import OURS, LastVisit, PeerSettings, by_cell, fills, maps_of

from TemporalGliomaRisk import RESEARCH_USE_ONLY
from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.bundle import RiskModel, load_bundle
from TemporalGliomaRisk.device import choose_device
from TemporalGliomaRisk.encode.evidence import CELL_VOXELS
from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig, interval, patient_resamples
from TemporalGliomaRisk.evaluate.deletion import CURVE_SHARES, deletion_curves, most_marked_first
from TemporalGliomaRisk.evaluate.heatmaps import GROWTH_EDGES_MM, score_heatmap
from TemporalGliomaRisk.files import write_json_whole, write_text_whole
from TemporalGliomaRisk.learn.cohort import read_cohort
from TemporalGliomaRisk.learn.prepared_store import prepare_cohort
from TemporalGliomaRisk.learn.scoring import on_voxels
from TemporalGliomaRisk.learn.stored_patient import StoredPatient, load_patient
from TemporalGliomaRisk.processes import processes
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.timeline.visit import SEQUENCES

EXPECTED_FROM_MM = 6.0
"""From this diameter of growth on a map is expected to point at it."""
Mean = Callable[[list[float | None]], dict[str, Any]]
BACK_TO = ("previous", "first")
"""Earlier visits that the curves put places back to."""


@lru_cache(maxsize=1)
def _model(folder: Path, device: str, threads: int) -> tuple[RiskModel, torch.device]:
    torch.set_num_threads(threads)
    model, place = load_bundle(folder), choose_device(device)[0]
    model.network.to(place)
    return model, place


def measure(task: tuple[Path, Path, str, PeerSettings, Path]) -> str:
    """All maps of one case and what they are worth; written whole, once."""
    bundle, prepared, label, settings, output = task
    written = output / "cases" / f"{label}.json"
    if written.exists():
        return label
    model, device = _model(bundle, settings.device, settings.threads)
    # A processor's own seconds: on one that others use too, the wall's would say little.
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    patient = load_patient(prepared, label)
    visit = LastVisit(model, patient, device)
    grown = patient.growth_before_event
    cells, grid_mm = visit.cells.cpu().numpy(), model.preprocessing.grid_mm
    found: dict[str, Any] = {}
    drawn: dict[str, np.ndarray] = {}
    values: dict[str, np.ndarray] = {}
    layer = int(grown.sum(axis=(0, 1)).argmax())
    for name, make in maps_of(visit, patient, settings).items():
        start = clock()
        given, noted = make()
        seconds = clock() - start
        values[name] = np.maximum(given.detach().double().cpu().numpy(), 0.0)
        heatmap = on_voxels(values[name], cells)
        score = score_heatmap(
            heatmap,
            grown,
            patient.brain,
            spacing_mm=(grid_mm,) * 3,
            tolerance_mm=CELL_VOXELS * grid_mm / 2,
            centre_ijk=patient.cavity_centres_ijk[-1] if patient.cavity_centres_ijk else None,
        )
        found[name] = {
            "hit": score.hit,
            "share_inside": score.share_inside or 0.0,
            "peak_distance_mm": score.peak_distance_mm,
            "highest": float(values[name].max()),
            "seconds": seconds,
            **noted,
        }
        drawn[name] = heatmap[:, :, layer].astype(np.float32)
    start = clock()
    curves = curves_of(visit, patient, values, settings.seed)
    shown = next(one for one in range(len(SEQUENCES)) if bool(visit.present[one]))
    record = {
        "patient_id": label,
        "visits": patient.visits,
        "sequences": [SEQUENCES[one] for one in visit.sequences],
        "growth_diameter_mm": score.growth_diameter_mm,
        "hazard": visit.hazard,
        "chance": score.chance,
        "centre_hit": score.centre_hit,
        "share_expected": score.share_expected,
        "maps": found,
        "curves": curves,
        "curves_seconds": clock() - start,
        "slice": layer,
        "shown": SEQUENCES[shown],
        "grid_mm": grid_mm,
    }
    written.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        written.with_suffix(".npz"),
        image=visit.image[shown, :, :, layer].cpu().numpy(),
        brain=patient.brain[:, :, layer],
        growth=grown[:, :, layer],
        **{f"map {name}": one for name, one in drawn.items()},
    )
    write_json_whole(written, record)
    return label


def curves_of(
    visit: LastVisit, patient: StoredPatient, values: dict[str, np.ndarray], seed: int
) -> dict[str, dict[str, Any]] | None:
    """Deletion and insertion by each map, by true growth itself and in random order; None if that cannot be.

    Returns:
        ``previous`` and ``first``, what places are put back to, and in each the curves by name.
    """
    fill, complete = fills(visit, patient)
    if not complete:
        return None
    cells = visit.cells.cpu().numpy()
    growth = by_cell(torch.from_numpy(patient.growth_before_event).double()).numpy()[cells]
    orders = {**values, "true growth": growth, "random order": np.zeros(len(growth))}
    number = int(patient.patient_id.removeprefix("sub-"))
    found: dict[str, dict[str, Any]] = {}
    for back_to in BACK_TO:
        if found and torch.equal(fill["first"], fill["previous"]):
            found[back_to] = found[BACK_TO[0]]
            continue

        def hazard_of(put_back: np.ndarray, back_to: str = back_to) -> float:
            voxels = torch.from_numpy(on_voxels(put_back, cells) > 0).to(visit.brain.device)
            return visit.hazard_put_back(voxels, fill[back_to])

        ends = (visit.hazard, hazard_of(np.ones(len(growth), dtype=bool)))
        found[back_to] = {}
        for name, marks in orders.items():
            curve = deletion_curves(most_marked_first(marks, [seed, number]), hazard_of, ends=ends)
            areas = {"deletion_area": curve.deletion_area, "insertion_area": curve.insertion_area}
            found[back_to][name] = {"deletion": curve.deletion, "insertion": curve.insertion, **areas}
    return found


def cases_of(arguments: argparse.Namespace, model: RiskModel) -> tuple[Path, list[str]]:
    """The prepared folder and the first cases of the cohort, prepared here where no folder is given."""
    folder = arguments.prepared or arguments.output / "prepared"
    if arguments.prepared:
        used = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
        if used != json.loads(json.dumps(configs.to_json(model.preprocessing))):
            raise SystemExit("The prepared folder was made with another preprocessing than the bundle's; leave it out.")
    labels: list[str] = []
    for patient in read_cohort(arguments.cohort):
        if len(labels) == arguments.cases:
            break
        if not patient.event_observed or patient.truth is None:
            continue
        if not arguments.prepared:
            prepare_cohort([patient], folder, model.preprocessing)
        elif not (folder / patient.patient_id / "patient.json").exists():
            continue
        if load_patient(folder, patient.patient_id).growth_before_event is not None:
            labels.append(patient.patient_id)
    if not labels:
        raise SystemExit("The cohort has no patient with an event and true growth before it; simulate more.")
    return folder, labels


def summarise(cases: list[dict[str, Any]], bootstrap: BootstrapConfig) -> dict[str, Any]:
    """Every number with its interval over patients, all together and by the diameter of growth."""
    diameters = np.array([case["growth_diameter_mm"] for case in cases])
    groups = [("all", np.ones(len(cases), bool)), ("6 mm or more", diameters >= EXPECTED_FROM_MM)]
    for low, high in itertools.pairwise(GROWTH_EDGES_MM):
        name = f"{low:.0f} mm or more" if np.isinf(high) else f"{low:.0f} to {high:.0f} mm"
        groups.append((name, (diameters >= low) & (diameters < high)))
    found = {}
    for name, chosen in groups:
        some = [case for case, is_in in zip(cases, chosen, strict=True) if is_in]
        if some:
            found[name] = _group(some, bootstrap)
    return found


def _group(cases: list[dict[str, Any]], bootstrap: BootstrapConfig) -> dict[str, Any]:
    weights = patient_resamples(np.arange(len(cases)), bootstrap)

    def mean(values: list[float | None]) -> dict[str, Any]:
        given = np.array([np.nan if value is None else value for value in values])
        known = np.isfinite(given)
        if not known.any():
            return {"value": None, "low": None, "high": None, "undefined_resamples": len(weights)}
        counted = weights[:, known].sum(axis=1)
        with np.errstate(invalid="ignore"):
            drawn = (weights[:, known] * given[known]).sum(axis=1) / counted
        return asdict(interval(float(given[known].mean()), drawn, bootstrap))

    maps: dict[str, Any] = {}
    for name in cases[0]["maps"]:
        rows = {}
        for key, title in (("hit", "pointing_game"), ("share_inside", "share_in_growth")):
            own = [case["maps"][name][key] for case in cases]
            rows[title] = mean(own)
            if name != OURS:
                ahead = [case["maps"][OURS][key] - one for case, one in zip(cases, own, strict=True)]
                rows[f"ours_less_this_{title}"] = mean(ahead)
        for noted in ("peak_distance_mm", "seconds", "positions"):
            if noted in cases[0]["maps"][name]:
                rows[f"{noted}_median"] = float(np.median([case["maps"][name][noted] for case in cases]))
        errors = [abs(case["maps"][name].get("completeness_error", np.nan)) for case in cases]
        if np.isfinite(errors).any():
            rows["completeness_error_median"] = float(np.nanmedian(errors))
        maps[name] = rows
    with_curves = [case["curves"] for case in cases]
    return {
        "maps": len(cases),
        "maps_with_cavity": sum(case["centre_hit"] is not None for case in cases),
        "maps_with_curves": sum(curves is not None for curves in with_curves),
        "pointing_game_by_chance": mean([case["chance"] for case in cases]),
        "pointing_game_at_cavity_centre": mean([case["centre_hit"] for case in cases]),
        "share_by_chance": mean([case["share_expected"] for case in cases]),
        "methods": maps,
        "curves": {back_to: _curve_means(with_curves, back_to, mean) for back_to in BACK_TO if any(with_curves)},
    }


def _curve_means(cases: list[dict[str, Any] | None], back_to: str, mean: Mean) -> dict[str, Any]:
    """Areas, their paired differences and the mean curves, by the order of the places."""
    some = [case and case[back_to] for case in cases]
    names = next(list(curves) for curves in some if curves)

    def area(name: str, key: str, less: str | None = None) -> dict[str, Any]:
        return mean([curves and curves[name][key] - (curves[less][key] if less else 0) for curves in some])

    found: dict[str, Any] = {}
    for name in names:
        found[name] = {key: area(name, key) for key in ("deletion_area", "insertion_area")}
        if name != OURS:
            found[name] |= {f"ours_less_this_{key}": area(OURS, key, name) for key in tuple(found[name])}
        for kind in ("deletion", "insertion"):
            found[name][kind] = [
                mean([curves and curves[name][kind][place] for curves in some]) for place in range(len(CURVE_SHARES))
            ]
    return found


def as_text(found: dict[str, Any]) -> str:
    """Markdown tables of every group, and what is to be known of how they came to be."""
    settings, cohort = found["settings"], found["cohort"]
    lines = [
        f"{found['caveat']} {found['cases']} patients of a simulated cohort ({cohort['population']}, simulator version "
        f"{cohort['simulator_version']}, seed {cohort['seed']}), at the last visit before the event; model "
        f"{found['model']}. 95 % intervals by a bootstrap over patients. Every map explains the same hazard, judged "
        "on cells of 2 voxels; its peak counts within half a cell of true growth. Occlusion covers cubes of "
        f"{settings['occlusion_voxels']} voxels side by side, {settings['occlusion_voxels'] / CELL_VOXELS:g} times our "
        "cells along each axis, so its peak is a plateau of that size; integrated gradients have "
        f"{settings['steps']} steps.",
    ]
    for name, group in found["groups"].items():
        centre = "not known: the cohort's truth lacks it"
        if group["maps_with_cavity"]:
            many = group["maps_with_cavity"]
            centre = f"at growth in {_percent(group['pointing_game_at_cavity_centre'])} of {many} with a cavity"
        lines.append(
            f"### Growth: {name}; maps: {group['maps']}\n\n"
            f"A random place is at growth in {_percent(group['pointing_game_by_chance'], digits=2)}, a flat map has "
            f"{_percent(group['share_by_chance'], digits=2)} in growth; the cavity's centre is {centre}.\n\n"
            + "\n".join(_method_rows(group))
        )
        for back_to, curves in group["curves"].items():
            lines.append(
                f"Put back to the {back_to} visit; maps: {group['maps_with_curves']}. Deletion (lower is better) and "
                "insertion (higher is better), mean height of the curve over 0.1 to 100 % of the brain's places by the "
                "logarithm, hazard over the visit's own.\n\n" + "\n".join(_curve_rows(curves))
            )
    return "\n\n".join(lines) + "\n"


def _method_rows(group: dict[str, Any]) -> Iterator[str]:
    yield "| map | peak at growth | ours less this, points | map in growth | ours less this, points | CPU s |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, rows in group["methods"].items():
        ahead = [_percent(rows.get(f"ours_less_this_{key}"), "") for key in ("pointing_game", "share_in_growth")]
        yield (
            f"| {name} | {_percent(rows['pointing_game'])} | {ahead[0]} | {_percent(rows['share_in_growth'])} | "
            f"{ahead[1]} | {rows['seconds_median']:.1f} |"
        )


def _curve_rows(curves: dict[str, Any]) -> Iterator[str]:
    yield "| places in the order of | deletion | ours less this, points | insertion | ours less this, points |"
    yield "| --- | --- | --- | --- | --- |"
    for name, rows in curves.items():
        cells = [
            _percent(rows.get(key), "" if key.startswith("ours_less") else " %")
            for kind in ("deletion_area", "insertion_area")
            for key in (kind, f"ours_less_this_{kind}")
        ]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _percent(entry: dict[str, Any] | None, unit: str = " %", digits: int = 1) -> str:
    if entry is None or entry["value"] is None:
        return "" if entry is None else "not known"
    value, low, high = (
        "" if entry[key] is None else f"{100 * entry[key]:.{digits}f}" for key in ("value", "low", "high")
    )
    return f"{value}{unit} [{low}, {high}]" if low else f"{value}{unit}"


def main(arguments: argparse.Namespace) -> int:
    """Measure every case, write numbers, table and picture."""
    settings = PeerSettings(
        steps=arguments.steps,
        occlusion_voxels=arguments.occlusion_voxels,
        seed=arguments.seed,
        device=arguments.device,
        threads=arguments.threads,
    )
    output = arguments.output
    model = load_bundle(arguments.model)
    made_by = json.loads((arguments.cohort / "truth" / "simulation.json").read_text(encoding="utf-8"))
    cohort = {
        "population": made_by["config"].get("population", "main"),
        **{key: made_by[key] for key in ("simulator_version", "seed")},
    }
    begun = {
        "model": model.name,
        # A card that is written anew changes the hash of the whole, not these.
        "risk_files_sha256": model.risk_files,
        "cohort": cohort,
        "settings": {key: value for key, value in asdict(settings).items() if key not in ("device", "threads")},
    }
    written = output / "begun.json"
    if written.exists() and json.loads(written.read_text(encoding="utf-8")) != begun:
        raise SystemExit("The output folder was begun with another model, cohort or settings; choose another folder.")
    output.mkdir(parents=True, exist_ok=True)
    write_json_whole(written, begun)
    prepared, labels = cases_of(arguments, model)
    tasks = [(arguments.model, prepared, label, settings, output) for label in labels]
    for number, label in enumerate(_measured(tasks, arguments.jobs), start=1):
        print(f"{number} of {len(tasks)}: {label}", flush=True)
    cases = [json.loads((output / "cases" / f"{label}.json").read_text(encoding="utf-8")) for label in labels]
    found = {
        "caveat": RESEARCH_USE_ONLY,
        **begun,
        "resamples": arguments.resamples,
        "cases": len(cases),
        "curve_shares": CURVE_SHARES,
        "groups": summarise(cases, BootstrapConfig(resamples=arguments.resamples, seed=arguments.seed)),
        "by_case": [{key: value for key, value in case.items() if key != "curves"} for case in cases],
    }
    write_json_whole(output / "heatmap_peers.json", found)
    write_text_whole(output / "heatmap_peers.md", as_text(found))
    print(as_text(found))
    picture = Path(__file__).with_name("picture_heatmap_peers.py")
    return subprocess.run([sys.executable, str(picture), str(output)], check=False).returncode


def _measured(tasks: list[tuple[Path, Path, str, PeerSettings, Path]], jobs: int) -> Iterator[str]:
    if jobs == 1:
        yield from map(measure, tasks)
        return
    os.environ["OMP_NUM_THREADS"] = str(tasks[0][3].threads)
    with processes(jobs) as pool:
        yield from pool.map(measure, tasks)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True, help="simulated cohort")
    parser.add_argument("--prepared", type=Path, help="its prepared patients, read only; else they are prepared here")
    parser.add_argument("--model", type=Path, default=resource_path(DEFAULT_MODEL), help="bundle; the shipped one")
    parser.add_argument("--cases", type=int, default=60, help="patients at most (default %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder of everything made and measured")
    parser.add_argument("--steps", type=int, default=PeerSettings.steps, help="of integrated gradients (%(default)s)")
    parser.add_argument(
        "--occlusion-voxels",
        type=int,
        default=PeerSettings.occlusion_voxels,
        help="edge of the cube that occlusion covers, and its stride; 2 is our own cell (default %(default)s)",
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of random orders and bootstrap (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, a case each (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main(_parser().parse_args()))
