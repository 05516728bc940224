"""How often wrong input is noticed, and by what, against false alarms on good simulated patients and on real MRI.

    python -m TemporalGliomaRisk simulate --patients 30 --seed 31416 --output GOOD
    python Testing/science/wrong_inputs.py --good GOOD --real ../shared/data --jobs 2 \\
        --output Testing/benchmarks/results/wrong_inputs.json

The thresholds of what is unlike training lie in the model, set on its validation patients before this was first run;
those of what the images alone tell were set on training patients, real MRI and pre-operative scans of seed 31415, so
another seed is taken here. None is touched here.
Every input goes the way of ``predict``: the checks, preparing with its alignment, the network. GOOD must be patients
that the model never saw. ``--card`` writes the table into the model's card.
"""

# ruff: noqa: T201 (a script: it prints what it finds)

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from TemporalGliomaRisk.bundle import RiskModel, load_bundle, seal_bundle
from TemporalGliomaRisk.errors import BrainMaskError, InputError, RegistrationError
from TemporalGliomaRisk.files import write_json_whole, write_text_whole
from TemporalGliomaRisk.learn.card_parts import WRONG_BEGIN, WRONG_END
from TemporalGliomaRisk.pipeline import Prediction, PredictOptions, predict_risk
from TemporalGliomaRisk.processes import processes
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.risk.doubt import VisitSummary, judge, members_spread, visit_change
from TemporalGliomaRisk.simulate import patient as simulated
from TemporalGliomaRisk.simulate import surgery
from TemporalGliomaRisk.simulate.config import SimulationConfig
from TemporalGliomaRisk.simulate.lesion import draw_quiet_residual
from TemporalGliomaRisk.simulate.randomness import stream
from TemporalGliomaRisk.timeline.checks import check_timeline
from TemporalGliomaRisk.timeline.finding import Severity
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.sitk_images import lps_from_ras_transform, sitk_from_volume, volume_from_sitk
from TemporalGliomaRisk.timeline.visit import Timeline, Visit, VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Volume

OUT_OF_DISTRIBUTION = ("unlike_training", "change_unlike_training")
SEEN_IN_THE_IMAGES = (
    "brain_turned",
    "looks_like_another_sequence",
    "white_matter_contradicts_label",
    "cavity_appeared",
)
"""Warnings of preparing that an image isn't what it is taken for; they know nothing of the model."""
SAID_ANYWAY = {
    *("one_visit_so_far", "single_visit", "members_at_odds", "gap_untrained"),
    *("rests_on_unlike_visit", "rests_on_untrained_gap"),
    *("days_unknown", "brain_cut_off"),
}
"""Warnings that do not say that an input is wrong: good patients get them too."""
MOST_VISITS = 4
MOST_SEQUENCES = 2

Change = Callable[[Volume, np.random.Generator, Any], Volume]


def filled(like: Volume, voxels: np.ndarray) -> Volume:
    """Other voxels in the same place."""
    return Volume(voxels=voxels.astype(np.float32), geometry=like.geometry)


def millimetres(like: Volume) -> np.ndarray:
    """(3, I, J, K), RAS relative to the middle of the field of view."""
    indices = np.indices(like.voxels.shape).reshape(3, -1).T
    ras = like.geometry.to_ras(indices)
    return (ras - ras.mean(axis=0)).T.reshape(3, *like.voxels.shape)


def ct(volume: Volume, random: np.random.Generator, truth: simulated.PatientTruth) -> Volume:
    """A head as CT shows it, made from the simulator's tissue: brain, fluid, skull, skin and air in HU."""
    anatomy = truth.anatomy
    hounsfield = 37 * anatomy.grey + 28 * anatomy.white + 8 * anatomy.fluid
    outside = ndimage.distance_transform_edt(~anatomy.brain, sampling=volume.geometry.spacing_mm)
    hounsfield = np.where(anatomy.brain, hounsfield, np.where(outside < 3, 8, np.where(outside < 10, 1000, 30)))
    hounsfield = np.where(outside > 16, -1000, hounsfield).astype(np.float32)
    hounsfield = ndimage.gaussian_filter(hounsfield, 0.4) + random.normal(0, 4, volume.voxels.shape)
    return filled(volume, np.rint(hounsfield))


def spine(volume: Volume, random: np.random.Generator, truth: Any) -> Volume:
    """Vertebrae with discs between them, a cord in fluid behind, muscle and fat around, air outside."""
    right, front, up = millimetres(volume)
    body = (right / 75) ** 2 + (front / 85) ** 2 < 1
    signal = np.where(body, 500.0, 0.0) + 250.0 * (body & ((right / 66) ** 2 + (front / 76) ** 2 > 1))
    column = (right / 20) ** 2 + ((front - 5) / 15) ** 2 < 1
    signal = np.where(column, np.where(np.mod(up + random.uniform(0, 30), 30) < 22, 620.0, 300.0), signal)
    signal = np.where(right**2 + (front + 22) ** 2 < 9**2, 950.0, signal)
    signal = np.where(right**2 + (front + 22) ** 2 < 5**2, 560.0, signal)
    return filled(volume, np.abs(signal + random.normal(0, 20, signal.shape)))


def spheres(volume: Volume, random: np.random.Generator, truth: Any) -> Volume:
    """A bottle of water that holds balls of other signal: a scanner's phantom."""
    place = millimetres(volume)
    signal = np.where(np.linalg.norm(place, axis=0) < 72, 700.0, 0.0)
    for number in range(6):
        angle = number * np.pi / 3
        centre = np.array([38 * np.cos(angle), 38 * np.sin(angle), random.uniform(-15, 15)])[:, None, None, None]
        signal[np.linalg.norm(place - centre, axis=0) < 6 + 2 * number] = 150.0 + 170 * number
    return filled(volume, np.abs(signal + random.normal(0, 15, signal.shape)))


def noise(volume: Volume, random: np.random.Generator, truth: Any) -> Volume:
    """Nothing but noise over the whole field of view."""
    return filled(volume, np.abs(random.normal(0, 300, volume.voxels.shape)))


def upside_down(volume: Volume, random: np.random.Generator, truth: Any) -> Volume:
    """Slices in reverse under a header that says otherwise."""
    return filled(volume, volume.voxels[:, :, ::-1])


def unregistered(volume: Volume, random: np.random.Generator, truth: Any) -> Volume:
    """The head turned by 8 degrees and moved by 12 mm, in a random direction each."""
    axis, way = random.normal(size=3), random.normal(size=3)
    turn = ndimage_rotation(axis / np.linalg.norm(axis), np.radians(8))
    centre = volume.geometry.to_ras((np.array(volume.voxels.shape) - 1) / 2)
    move = np.eye(4)
    move[:3, :3] = turn
    move[:3, 3] = centre - turn @ centre + 12 * way / np.linalg.norm(way)
    image = sitk_from_volume(volume)
    return volume_from_sitk(sitk.Resample(image, image, lps_from_ras_transform(move)))


def ndimage_rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' rotation matrix."""
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def mask(volume: Volume, random: np.random.Generator, truth: simulated.PatientTruth) -> Volume:
    """The brain's mask in place of the image."""
    return filled(volume, truth.anatomy.brain)


def smooth_mask(volume: Volume, random: np.random.Generator, truth: simulated.PatientTruth) -> Volume:
    """The brain's mask as a resampled one looks: smooth at its edge."""
    return filled(volume, 1000 * ndimage.gaussian_filter(truth.anatomy.brain.astype(np.float32), 1.0))


def changed(visit: Visit, change: Change, random: np.random.Generator, truth: Any) -> Visit:
    """A visit with every volume put through a change."""
    return replace(
        visit,
        sources={
            name: VolumeInMemory(volume=change(source.read(), random, truth)) for name, source in visit.sources.items()
        },
    )


def swapped(visit: Visit, random: np.random.Generator, truth: Any) -> Visit:
    """The two sequences under each other's names."""
    first, second = visit.sequences
    return replace(visit, sources={first: visit.sources[second], second: visit.sources[first]})


def another_brain(visit: Visit, random: np.random.Generator, other: Visit) -> Visit:
    """Another patient's volumes of the same sequences, at this visit's date."""
    return replace(visit, sources={name: other.sources[name] for name in visit.sequences})


def before_the_operation(visit: Visit, truth: simulated.PatientTruth) -> Visit:
    """The whole tumour in place of the cavity, nothing of the operation: the simulator's biopsy without its track."""
    shares = surgery.EXTENT_SHARES
    surgery.EXTENT_SHARES = {"biopsy": 1.0}  # the same draws: only what is left differs
    try:
        whole = surgery.draw_surgery(stream(truth.seed, truth.patient_number, "surgery"), truth.anatomy)
    finally:
        surgery.EXTENT_SHARES = shares
    intact = replace(whole, cavity_level=np.full_like(whole.cavity_level, 50.0))
    tumour = draw_quiet_residual(np.random.default_rng(1), truth.anatomy, intact)
    reactions = replace(truth.reactions, treatment_effect=None)
    earlier = replace(truth, surgery=intact, lesions=(tumour,), reactions=reactions)
    rendered = simulated.render_visit(earlier, 0)
    return replace(visit, sources={name: VolumeInMemory(volume=rendered.volumes[name]) for name in visit.sequences})


# What is put in where: at the second visit of two, or at both.
CHANGES: dict[str, Change] = {
    "CT of a head (made)": ct,
    "spine-like phantom": spine,
    "phantom of spheres": spheres,
    "upside down": upside_down,
    "noise": noise,
    "mask": mask,
    "smooth mask": smooth_mask,
}
KINDS = (
    *((name, where) for name in CHANGES for where in ("second", "both")),
    *(("swapped sequences", where) for where in ("second", "both")),
    ("unregistered, --register never", "second"),
    ("unregistered, --register auto", "second"),
    ("another patient's brain", "second"),
    ("another patient's brain, --register never", "second"),
    ("before the operation", "first"),
)


def wrong(kind: str, where: str, visits: tuple[Visit, Visit], truth: Any, other: Visit, seed: int) -> Timeline:
    """A timeline of two visits, one or both of them wrong."""
    random = np.random.default_rng(seed)
    first, second = visits
    if kind in CHANGES:
        second = changed(second, CHANGES[kind], random, truth)
        if where == "both":
            first = changed(first, CHANGES[kind], random, truth)
    elif kind == "swapped sequences":
        second = swapped(second, random, truth)
        first = swapped(first, random, truth) if where == "both" else first
    elif kind.startswith("unregistered"):
        second = changed(second, unregistered, random, truth)
    elif kind.startswith("another"):
        second = another_brain(second, random, other)
    else:
        first = before_the_operation(first, truth)
    return Timeline(patient_id="sub-01", visits=(first, second))


@functools.cache
def the_model(folder: str) -> RiskModel:
    """The model, once a process."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return load_bundle(Path(folder))


def went(timeline: Timeline, model: RiskModel, options: PredictOptions) -> dict[str, Any]:
    """What ``predict`` says of a timeline: who refused it and why, or the warnings of each visit."""
    checked = check_timeline(timeline, trained_gaps_days=model.trained_gaps_days)
    codes = [(item.code, item.visit, item.severity.value) for item in checked.findings]
    if checked.refused:
        refusals = sorted({code for code, _, severity in codes if severity == Severity.REFUSAL.value})
        return {"refused_by": "check", "codes": refusals}
    try:
        prediction = predict_risk(replace(timeline, findings=checked.findings), model, options=options)
    except RegistrationError:
        return {"refused_by": "alignment", "codes": ["RegistrationError"]}
    except BrainMaskError:
        return {"refused_by": "brain mask", "codes": ["BrainMaskError"]}
    except InputError as error:
        return {"refused_by": "preparing", "codes": [type(error).__name__]}
    warnings = [(item.code, item.visit) for item in prediction.findings if item.severity is Severity.WARNING]
    return {"refused_by": None, "warnings": warnings, "visits": len(timeline.visits), "scores": scores(prediction)}


def scores(prediction: Prediction) -> list[dict[str, float | None]]:
    """Each visit's scores by itself and against the first visit, as they were compared with the threshold."""
    doubt, first, found = prediction.model.doubt, None, []
    for result in prediction.visits:
        features, present = result.encoded.tensors(torch.device("cpu"))
        change, common = visit_change(first, features, present)
        first = first or (features, present)
        judged = judge(
            doubt,
            VisitSummary(
                appearance=torch.from_numpy(result.encoded.summary),
                present=present,
                change=change,
                common=common,
                spread=members_spread(result.hazards.member_hazards),
            ),
        )
        pair = {"appearance": float(judged.appearance.max()), "change": float(judged.change.max())}
        found.append(
            {name: round(value, 3) if math.isfinite(value) else None for name, value in pair.items()}
            | {"spread": round(judged.spread, 3)}
        )
    return found


def in_memory(visit: Visit) -> Visit:
    """Its first sequences, read once."""
    names = visit.sequences[:MOST_SEQUENCES]
    return replace(visit, sources={name: VolumeInMemory(volume=visit.sources[name].read()) for name in names})


def try_wrong(task: tuple[str, Path, Path, int, int]) -> list[dict[str, Any]]:
    """Every kind of wrong input on one patient."""
    model_folder, folder, other_folder, seed, number = task
    model = the_model(model_folder)
    visits = tuple(in_memory(visit) for visit in read_timeline(folder).visits[:2])
    other = in_memory(read_timeline(other_folder).visits[0])
    truth = simulated.draw_truth(SimulationConfig(), seed, number)
    found = []
    for index, (kind, where) in enumerate(KINDS):
        first, second = visits
        if kind == "swapped sequences" and (len(first.sources) < 2 or first.sequences != second.sequences):
            continue
        if kind.startswith("another") and not set(second.sequences) <= set(other.sequences):
            continue
        timeline = wrong(kind, where, (first, second), truth, other, seed=1000 * number + index)
        register = "never" if kind.endswith("never") else "auto"
        said = went(timeline, model, PredictOptions(device="cpu", register=register))
        found.append({"kind": kind, "where": where, "patient": number, **said})
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return found


def try_good(task: tuple[str, Path]) -> dict[str, Any]:
    """A patient as it is, at most the first few visits."""
    model = the_model(task[0])
    timeline = read_timeline(task[1])
    timeline = replace(timeline, visits=timeline.visits[:MOST_VISITS])
    said = {"patient": task[1].name, **went(timeline, model, PredictOptions(device="cpu"))}
    print(json.dumps(said), file=sys.stderr, flush=True)
    return said


REAL = {
    "ms_pair, raw": ("ms_pair", {}),
    "ms_pair, registered by its authors": ("ms_pair/derivatives/registered", {}),
    "glioma_single": ("glioma_single", {}),
    "glioblastoma_pairs sub-01": ("glioblastoma_pairs/sub-01", {"mask": "none", "register": "never"}),
    "glioblastoma_pairs sub-05": ("glioblastoma_pairs/sub-05", {"mask": "none", "register": "never"}),
}


def try_real(model: RiskModel, folder: Path) -> list[dict[str, Any]]:
    """Real MRI of adults; where it is refused, once more with the options that the refusals name."""
    found = []
    for name, (place, options) in REAL.items():
        timeline = read_timeline(folder / place)
        for chosen in ({}, options) if options else ({},):
            said = {"input": name, "options": chosen}
            said |= went(timeline, model, PredictOptions(device="cpu", **chosen))
            found.append(said)
            print(json.dumps(said), file=sys.stderr, flush=True)
    return found


def summary(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a kind: who noticed it."""
    rows = []
    for kind, where in KINDS:
        ran = [one for one in found if (one["kind"], one["where"]) == (kind, where)]
        if not ran:
            continue
        wrong_visits = {"second": {2}, "first": {1, 2}, "both": {1, 2}}[where]
        row: dict[str, Any] = {"kind": kind, "wrong_visit": where, "tried": len(ran)}
        for by in ("check", "alignment", "brain mask", "preparing"):
            row[f"refused_by_{by.replace(' ', '_')}"] = sum(one["refused_by"] == by for one in ran)
        warned = [{code for code, visit in one.get("warnings", ()) if visit in wrong_visits | {None}} for one in ran]
        unusual = [bool(codes & set(OUT_OF_DISTRIBUTION)) for codes in warned]
        others = [codes - set(OUT_OF_DISTRIBUTION) - SAID_ANYWAY for codes in warned]
        row["unlike_training"] = sum(unusual)
        row["not_refused"] = sum(one["refused_by"] is None for one in ran)
        row["warned_otherwise_only"] = sum(bool(codes) and not odd for codes, odd in zip(others, unusual, strict=True))
        row["other_warnings"] = dict(Counter(code for codes in others for code in codes).most_common())
        row["refusals"] = dict(Counter(code for one in ran if one["refused_by"] for code in one["codes"]).most_common())
        row["noticed"] = sum(
            one["refused_by"] is not None or odd or bool(codes)
            for one, odd, codes in zip(ran, unusual, others, strict=True)
        )
        rows.append(row)
    return rows


def false_alarms(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates on good patients, by visit and by patient."""
    seen = [one for one in found if one["refused_by"] is None]
    visits = sum(one["visits"] for one in seen)
    codes = Counter(code for one in seen for code, _ in one["warnings"])
    odd_visits = sum(
        len({visit for code, visit in one["warnings"] if code in OUT_OF_DISTRIBUTION and visit}) for one in seen
    )
    odd_patients = sum(any(code in OUT_OF_DISTRIBUTION for code, _ in one["warnings"]) for one in seen)
    images = sum(len({visit for code, visit in one["warnings"] if code in SEEN_IN_THE_IMAGES}) for one in seen)
    return {
        "patients": len(found),
        "refused": [{"patient": one["patient"], "by": one["refused_by"]} for one in found if one["refused_by"]],
        "visits": visits,
        "visits_unlike_training": odd_visits,
        "patients_unlike_training": odd_patients,
        "visits_doubted_by_their_images": images,
        "warnings_by_code": dict(codes.most_common()),
    }


def table(content: dict[str, Any]) -> str:
    """The results as the card shows them."""
    good, rows = content["good"], content["wrong"]
    lines = [
        f"On {good['patients']} new simulated patients ({good['visits']} visits, at most {MOST_VISITS} each): "
        f"{good['visits_unlike_training']} visits called unlike training "
        f"({good['visits_unlike_training'] / max(good['visits'], 1):.1%}; "
        f"{content['false_alarm_rate']:.0%} by design, warned above {content['thresholds']['unusual_above']:.1f}), "
        f"{good['visits_doubted_by_their_images']} doubted by their images alone (turned, another sequence, a new "
        f"cavity), {len(good['refused'])} patients refused.",
        "",
        "Wrong input in a timeline of two visits, at the visit named; CT and phantoms are made by code:",
        "",
        "| wrong input | visit | tried | refused by check | by alignment or brain mask | unlike training | "
        "other warning only | noticed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        prepared = row["refused_by_alignment"] + row["refused_by_brain_mask"] + row["refused_by_preparing"]
        lines.append(
            f"| {row['kind']} | {row['wrong_visit']} | {row['tried']} | {row['refused_by_check']} | {prepared} | "
            f"{row['unlike_training']} of {row['not_refused']} | {row['warned_otherwise_only']} | "
            f"{row['noticed'] / row['tried']:.0%} |"
        )
    lines += [
        "",
        "With --register auto the unregistered visit is put right, and little is left to notice. The same mask twice "
        "is refused as a copy. Warnings that good patients get too (a brain cut by the field of view, a first visit) "
        "count as nothing.",
        "",
        "Real MRI of adults (largest score at any visit in brackets):",
        "",
    ]
    for one in content["real"]:
        options = " ".join(f"--{name} {value}" for name, value in one["options"].items())
        said = f"refused by {one['refused_by']}" if one["refused_by"] else _warned(one)
        lines.append(f"- {one['input']}{', ' + options if options else ''}: {said}")
    return "\n".join(lines)


def _warned(one: dict[str, Any]) -> str:
    odd = [f"{code} at visit {visit}" for code, visit in one["warnings"] if code in OUT_OF_DISTRIBUTION]
    others = sorted({code for code, _ in one["warnings"] if code not in OUT_OF_DISTRIBUTION})
    largest = max(value for pair in one["scores"] for name in ("appearance", "change") if (value := pair[name]))
    said = f"{', '.join(odd) or 'not unlike training'} [{largest:.1f}]"
    return "; ".join(filter(None, [said, ", ".join(others)]))


def write_card(folder: Path, text: str) -> None:
    """Put the table into the model's card, before its results."""
    path = folder / "docs" / "README.md"
    card = path.read_text(encoding="utf-8")
    if WRONG_BEGIN in card:
        before, _, rest = card.partition(WRONG_BEGIN)
        after = rest.partition(WRONG_END)[2]
    else:
        before, results, after = card.partition("## Results")
        after = "\n\n" + results + after
    write_text_whole(path, f"{before}{WRONG_BEGIN}\n{text}\n{WRONG_END}{after}")
    seal_bundle(folder)


def main() -> None:
    """Run all, write the JSON, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=Path, required=True, help="cohort by simulate that the model never saw")
    parser.add_argument("--real", type=Path, help="folder of real MRI")
    parser.add_argument("--model", type=Path, default=resource_path(DEFAULT_MODEL))
    parser.add_argument("--patients", type=int, default=12, help="on which wrong inputs are tried")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--card", action="store_true", help="write the table into the model's card")
    arguments = parser.parse_args()
    began = time.perf_counter()
    simulation = json.loads((arguments.good / "truth" / "simulation.json").read_text(encoding="utf-8"))
    folders = sorted(arguments.good.glob("sub-*"))
    several = [folder for folder in folders if len(read_timeline(folder).visits) > 1]
    tasks = [
        (str(arguments.model), folder, several[index - 1], simulation["seed"], int(folder.name.removeprefix("sub-")))
        for index, folder in enumerate(several[: arguments.patients])
    ]
    model = load_bundle(arguments.model)
    if model.doubt is None:
        raise SystemExit("The model doesn't say what is usual; write it with calibrate.")
    with processes(arguments.jobs) as pool:
        wrong_runs = [one for found in pool.map(try_wrong, tasks) for one in found]
        good_runs = list(pool.map(try_good, [(str(arguments.model), folder) for folder in folders]))
    content = {
        "model": model.name,
        "model_version": model.metadata["version"],
        "model_sha256": model.sha256,
        "risk_files_sha256": model.risk_files,
        "thresholds": {"unusual_above": model.doubt.unusual_above, "at_odds_above": model.doubt.at_odds_above},
        "false_alarm_rate": model.doubt.false_alarm_rate,
        "seed": simulation["seed"],
        "good": false_alarms(good_runs),
        "wrong": summary(wrong_runs),
        "real": [] if arguments.real is None else try_real(model, arguments.real),
        "seconds": round(time.perf_counter() - began),
        "runs": {"wrong": wrong_runs, "good": good_runs},
    }
    write_json_whole(arguments.output, content)
    print(table(content))
    if arguments.card:
        write_card(arguments.model, table(content))


if __name__ == "__main__":
    main()
