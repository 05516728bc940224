"""How much of true growth the images show at all: a reader who knows what it would look like, but not where it is.

    python Testing/science/growth_visibility.py --patients 400 --jobs 2 --work FOLDER --output growth_visibility.json

Each later visit with growth is rendered twice, by the same random draws: as it is, and with every lesion as it was at
the first visit. Prepared on the model's grid, the difference of the two is exactly what the growth adds. A matched
filter with that very shape and contrast, all sequences together, goes over the brain of the visit without growth; the
noise is whitened by the spectrum of the visit's own difference to the first one and by its local size. The growth is
called visible where the filter says more at its own place than anywhere else in the brain.

A reader who hasn't been shown what to look for can hardly do as well by one difference of two visits, so an ideal
observer to whom invisible growth is no growth is nearer to what an image allows than one who knows every diameter. That
is no strict bound: the filter is linear and does not average over visits, and the observer still knows tumour from a
treatment effect.

Source: whitened matched filters, e.g. Barrett HH, Myers KJ. Foundations of Image Science. Wiley 2004, chapter 13.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from matplotlib.figure import Figure
from scipy import ndimage, signal

from TemporalGliomaRisk.evaluate.bootstrap import BootstrapConfig
from TemporalGliomaRisk.evaluate.landmarks import LandmarkRows
from TemporalGliomaRisk.evaluate.observer import by_worst_lesion, ideal_observer_score
from TemporalGliomaRisk.evaluate.table import auroc_by_visits
from TemporalGliomaRisk.files import write_json_whole, written_whole
from TemporalGliomaRisk.preprocess.config import PreprocessConfig
from TemporalGliomaRisk.preprocess.prepare import prepare_first_visit, prepare_visit
from TemporalGliomaRisk.preprocess.prepared import Frame, PreparedVisit
from TemporalGliomaRisk.processes import processes
from TemporalGliomaRisk.report.model_plots import BLUE, DPI, GRID, INK, ORANGE, WARN
from TemporalGliomaRisk.simulate.config import POPULATIONS, SimulationConfig
from TemporalGliomaRisk.simulate.patient import render_visit
from TemporalGliomaRisk.simulate.truth import PatientTruth, draw_truth
from TemporalGliomaRisk.timeline.volume import Volume

LEAST_GROWTH_MM = 0.5
"""Growth of a diameter since the first visit that is looked for at all."""
BINS_MM = (0.5, 2.0, 4.0, 6.0, 8.0, 11.0)
SPECTRUM_VOXELS = 3.0
"""Over which the spectrum of the noise is smoothed, in frequencies of the grid."""
LOCAL_MM = 4.0
"""Over which the local size of the noise is measured."""
FLOOR = 0.05
"""Of the noise's local size, in units of the scaled intensities."""
EDGE = 0.1
"""Of the growth's largest signal: what is less does not widen its template."""
READER_SEED = 7
ENDS = ("value", "low", "high")
COLOURS = (BLUE, ORANGE)
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Response:
    """What the filter says of one visit's growth.

    Args:
        z: At its own place, in standard deviations of the filter over the brain without growth.
        higher_share: Share of the brain's other places where the filter says as much without any growth.
    """

    z: float
    higher_share: float

    @property
    def visible(self) -> bool:
        """Whether nothing else in the brain looks as much like it."""
        return self.higher_share == 0


def without_growth(truth: PatientTruth) -> PatientTruth:
    """The same patient, every lesion staying as it was at the first visit."""
    return replace(truth, lesions=tuple(replace(lesion, clock=None) for lesion in truth.lesions))


def growth_mm(truth: PatientTruth, visit: int) -> dict[str, float]:
    """What each lesion's diameter has gained since the first visit."""
    first, now = truth.diameters_at(0.0), truth.diameters_at(truth.visit_days[visit])
    return {name: now[name] - first[name] for name in now}


def response(first: PreparedVisit, grown: PreparedVisit, still: PreparedVisit, frame: Frame) -> Response | None:
    """The matched filter's response to a visit's growth.

    Args:
        first: The first visit.
        grown: A later one.
        still: The same without growth.
        frame: Of all three.

    Returns:
        None where no sequence is common to the two visits, or the growth changes no voxel of the brain.
    """
    brain = frame.brain_mask
    common = np.flatnonzero(first.present & grown.present)
    signals = [(grown.intensities[one] - still.intensities[one]) * brain for one in common]
    strongest = max((float(np.abs(one).max()) for one in signals), default=0.0)
    if strongest == 0:
        return None
    shown = np.argwhere(np.max(np.abs(signals), axis=0) > EDGE * strongest)
    low, high = shown.min(axis=0), shown.max(axis=0) + 1
    box = tuple(slice(start, end) for start, end in zip(low, high, strict=True))
    there, own = np.zeros(brain.shape), 0.0
    for number, one in enumerate(common):
        noise = ((still.intensities[one] - first.intensities[one]) * brain).astype(np.float64)
        size = _size_by_frequency(noise)
        white_noise, template = (_whitened(values, size) for values in (noise, signals[number].astype(np.float64)))
        white_noise = white_noise * brain
        local = _local_size(white_noise, brain, LOCAL_MM / float(frame.grid.ijk_to_ras[0, 0]))
        white_noise, template = white_noise / local, (template / local)[box]
        # Signals of independent noise add up where each is counted by its own variance.
        variance = max(float(white_noise[brain].var()), 1e-9)
        own += float((template**2).sum()) / variance
        there += signal.fftconvolve(white_noise, template[::-1, ::-1, ::-1], mode="same") / variance
    # Convolved "same", the template's middle lies on the place that it is tried at.
    middle = low + (high - low) // 2
    values = there[brain]
    here = there[tuple(middle)] + own
    return Response(z=float((here - values.mean()) / values.std()), higher_share=float(np.mean(values >= here)))


def _size_by_frequency(noise: Array) -> Array:
    """The size of the noise at every frequency of the grid, 1 on average in its power."""
    smooth = ndimage.gaussian_filter(np.abs(np.fft.fftn(noise)) ** 2, SPECTRUM_VOXELS, mode="wrap")
    smooth += 1e-3 * smooth.mean()
    size: Array = np.sqrt(smooth / smooth.mean())
    return size


def _whitened(values: Array, size: Array) -> Array:
    """Values divided, frequency by frequency, by the size of the noise there."""
    found: Array = np.fft.ifftn(np.fft.fftn(values) / size).real
    return found


def _local_size(noise: Array, brain: npt.NDArray[np.bool_], over_voxels: float) -> Array:
    inside = np.maximum(ndimage.gaussian_filter(brain.astype(np.float64), over_voxels), FLOOR)
    found: Array = np.sqrt(ndimage.gaussian_filter(noise**2, over_voxels) / inside + FLOOR**2)
    return found


def look_at(number: int, *, population: str, seed: int, folder: Path, preprocessing: PreprocessConfig) -> Path:
    """One patient's landmark visits, and how visible the growth at each is, as JSON in a folder; kept if there."""
    path = folder / f"{number:05d}.json"
    if path.exists():
        return path
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    truth = draw_truth(SimulationConfig(population=population), seed, number)
    days = [day for day in truth.visit_days if day < truth.follow_up_days]
    grown = [
        visit for visit in range(1, len(days)) if max(growth_mm(truth, visit).values(), default=0) > LEAST_GROWTH_MM
    ]
    responses: dict[int, Response | None] = {}
    if grown:
        twin = without_growth(truth)
        mask = Volume(voxels=truth.anatomy.brain.astype(np.uint8), geometry=truth.geometry)
        frame, first = prepare_first_visit(render_visit(truth, 0).as_visit(), preprocessing, brain_mask=mask)
        for visit in grown:
            pair = (prepare_visit(render_visit(one, visit).as_visit(), frame, preprocessing) for one in (truth, twin))
            responses[visit] = response(first, *pair, frame)
    visits = []
    for visit, day in enumerate(days):
        found = responses.get(visit)
        visits.append(
            {
                "day": day,
                "diameters_mm": truth.diameters_at(day),
                "growth_mm": growth_mm(truth, visit),
                "z": None if found is None else found.z,
                "higher_share": None if found is None else found.higher_share,
                "visible": found is not None and found.visible,
            }
        )
    record = {"event_observed": truth.event_observed, "follow_up_days": truth.follow_up_days, "visits": visits}
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(record), encoding="utf-8")
    return path


def seen_diameters(visit: dict[str, Any]) -> dict[str, float]:
    """What a reader sees who takes invisible growth for none."""
    if visit["visible"]:
        return dict(visit["diameters_mm"])
    return {name: size - max(visit["growth_mm"][name], 0.0) for name, size in visit["diameters_mm"].items()}


def measure(records: Iterable[dict[str, Any]], resamples: int) -> dict[str, Any]:
    """Visibility by size, and both readers on the same rows with the same errors."""
    patients = list(records)
    timelines = []
    scores: dict[str, list[float]] = {"ideal_observer": [], "seeing_what_shows": []}
    for number, record in enumerate(patients):
        days = [visit["day"] for visit in record["visits"]]
        timelines.append((days, record["follow_up_days"], record["event_observed"]))
        for name, seen in (
            ("ideal_observer", [visit["diameters_mm"] for visit in record["visits"]]),
            ("seeing_what_shows", [seen_diameters(visit) for visit in record["visits"]]),
        ):
            random = np.random.default_rng([READER_SEED, number])
            scores[name] += by_worst_lesion(ideal_observer_score, seen, days, random).tolist()
    rows = LandmarkRows.of_timelines(timelines)
    bootstrap = BootstrapConfig(resamples=resamples, seed=1)
    found = [
        (number, visit)
        for number, record in enumerate(patients)
        for visit in record["visits"]
        if visit["z"] is not None
    ]
    return {
        "patients": len(patients),
        "growth": [
            {
                "from_mm": low,
                "to_mm": high,
                **_share([one for one in found if low <= _largest(one[1]) < (high or math.inf)], resamples),
            }
            for low, high in zip(BINS_MM, (*BINS_MM[1:], None), strict=True)
        ],
        "readers": {name: auroc_by_visits(np.array(read), rows, bootstrap) for name, read in scores.items()},
    }


def _largest(visit: dict[str, Any]) -> float:
    return max(visit["growth_mm"].values())


def _share(found: list[tuple[int, dict[str, Any]]], resamples: int) -> dict[str, Any]:
    """How many of some patients' visits show their growth, with a bootstrap over the patients."""
    if not found:
        return {"visits": 0}
    whose = np.array([number for number, _ in found])
    shown = np.array([visit["visible"] for _, visit in found], dtype=np.float64)
    members, of = np.unique(whose, return_inverse=True)
    visits, visible = np.bincount(of), np.bincount(of, weights=shown)
    drawn = np.random.default_rng(1).integers(len(members), size=(resamples, len(members)))
    low, high = np.percentile(visible[drawn].sum(axis=1) / visits[drawn].sum(axis=1), [2.5, 97.5])
    return {
        "visits": len(found),
        "patients": len(members),
        "visible_share": {
            name: round(float(one), 3) for name, one in zip(ENDS, (shown.mean(), low, high), strict=True)
        },
        "z_quartiles": [round(float(z), 1) for z in np.quantile([visit["z"] for _, visit in found], [0.25, 0.5, 0.75])],
    }


def picture(tables: list[dict[str, Any]]) -> Figure:
    """The share of visits that show their growth, by its size."""
    figure = Figure(figsize=(7.6, 4.4), dpi=DPI)
    axes = figure.add_axes((0.1, 0.2, 0.86, 0.62))
    for number, table in enumerate(tables):
        bins = [one for one in table["growth"] if one["visits"]]
        shares = [[100 * one["visible_share"][end] for one in bins] for end in ENDS]
        value, low, high = (np.array(one) for one in shares)
        across = np.array([BINS_MM.index(one["from_mm"]) for one in bins]) + 0.12 * (number - (len(tables) - 1) / 2)
        label = f"{table['population']}, {table['patients']} patients"
        axes.errorbar(
            across, value, [value - low, high - value], color=COLOURS[number], fmt="o-", capsize=4, label=label
        )
        for place, top, one in zip(across, high, bins, strict=True):
            beside, ground = 8 * (2 * number - len(tables) + 1), {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            how = {"textcoords": "offset points", "ha": "center", "color": INK, "bbox": ground}
            axes.annotate(f"{one['visits']}", (place, top), (beside, 4), **how)
    axes.set(xlabel="growth of a lesion's diameter since the first visit (mm)", ylabel="visits that show it (%)")
    names = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(BINS_MM)]
    used = max(BINS_MM.index(one["from_mm"]) for table in tables for one in table["growth"] if one["visits"])
    axes.set_xticks(range(used + 1), [*names, f"{BINS_MM[-1]:g} and more"][: used + 1])
    axes.set(ylim=(0, 112), xlim=(-0.4, used + 0.4), yticks=range(0, 101, 20))
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper left")
    title = "How much of true growth the images show"
    figure.text(0.1, 0.95, title, color=INK, fontsize=12, weight="bold", va="top")
    said = "where a filter that knows its shape and contrast finds it first; 95 % intervals, number of visits"
    figure.text(0.1, 0.89, said, color=INK, va="top")
    figure.text(
        0.1,
        0.03,
        "Research use only, simulated patients; nothing here was measured on a child.",
        color=WARN,
        fontsize=8,
    )
    return figure


def main(words: list[str]) -> None:
    """Look at the patients, write the table and its picture beside."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--populations", choices=POPULATIONS, nargs="+", default=["main"])
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--seed", type=int, default=900007)
    parser.add_argument("--grid-mm", type=float, default=2.0, help="of the model grid (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--work", type=Path, required=True, help="folder of a file a patient; a stopped run goes on")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(words)
    preprocessing = PreprocessConfig(register="never", grid_mm=arguments.grid_mm)
    tables = []
    for population in arguments.populations:
        folder = arguments.work / population
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"population": population, "seed": arguments.seed, "preprocessing": preprocessing}
        work = partial(look_at, folder=folder, **settings)
        with processes(arguments.jobs) as pool:
            paths = list(pool.map(work, range(1, arguments.patients + 1)))
        records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        drawn = {"population": population, "seed": arguments.seed, "grid_mm": arguments.grid_mm}
        tables.append({**drawn, **measure(records, arguments.resamples)})
    write_json_whole(arguments.output, {"tables": tables})
    picture(tables).savefig(arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main(sys.argv[1:])
