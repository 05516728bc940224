"""The README's table of speed from results/benchmarks.json: ``python Testing/benchmarks/readme_table.py`` writes it.

`make bench` runs this last; a test compares the two, so that they cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results" / "benchmarks.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- speed: written by Testing/benchmarks/readme_table.py -->", "<!-- speed: end -->"
ANEW, ONE_PASS = "reference, every prefix anew", "reference, one pass"
TERMS = "terms of the sum"
GPU = "on a GPU"


def seconds(side: dict[str, float]) -> str:
    """Median and range."""
    digits = 3 if side["median"] < 0.1 else 2 if side["median"] < 20 else 0
    median, least, greatest = (f"{side[part]:.{digits}f}" for part in ("median", "least", "greatest"))
    return f"{median} s [{least}, {greatest}]"


def times(ratio: float) -> str:
    """A ratio."""
    return f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def rows(known: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What was measured, ours, and the others as multiples of ours."""
    for visits in (1, 2, 4, 6, 8, 12, 24):
        if figure := known.get(f"risk at all of {visits} visits"):
            anew = figure["ratios"].get(ANEW)
            others = f"reference in one pass: {times(figure['ratios'][ONE_PASS])}"
            others = (
                f"reference as published: {times(anew)}; {others[10:]}" if anew else f"{others}; as published not run"
            )
            name = "Risk at one visit" if visits == 1 else f"Risk at each of {visits} visits"
            yield name, seconds(figure["sides"]["evidence"]), others
    if figure := known.get("one visit by the reference's first stride"):
        stride = figure["ratios"]["reference, first stride 1"]
        yield (
            "The same, one visit",
            seconds(figure["sides"]["evidence"]),
            f"reference with first stride 1: {times(stride)}",
        )
    if figure := known.get("maps of one visit"):
        others = _listed(figure["ratios"])
        places = figure["occlusion"]["positions_of_the_brain"]
        yield (
            "All maps of a third visit, its risk included",
            seconds(figure["sides"][TERMS]),
            (f"{others} (of {places:,} cells of the brain)"),
        )
    if figure := known.get("preparing a later visit"):
        others = _listed(figure["ratios"])
        yield "Preparing a later visit, registered", seconds(figure["sides"][figure["to"]]), others
    if figure := known.get("adding a visit"):
        others = _listed(figure["ratios"])
        yield "A sixth visit added to five known", seconds(figure["sides"][figure["to"]]), others
    if figure := known.get("encoder of one visit"):
        yield (
            "Encoder, one visit of four sequences",
            seconds(figure["sides"]["encoder"]),
            (
                f"its convolutions alone: {times(1 / figure['ratios']['encoder'])}; those of the whole box: "
                f"{times(figure['ratios']['convolutions of the whole box'] / figure['ratios']['encoder'])}; "
                f"they run at {figure['convolutions_share_of_matrix_rate']:.0%} of the matrix rate, "
                f"{figure['matrix_gigaflops_per_s']:.0f} Gflop/s"
            ),
        )
    if figure := known.get("memory by visits"):
        sizes = ", ".join(f"{visits}: {found['peak_MB']:.0f} MB" for visits, found in _by_number(figure["by_visits"]))
        further = f"{figure['a_further_visit_MB']:.0f} MB and {figure['a_further_visit_s']:.2f} s a further visit"
        yield "Peak memory by visits", sizes, further
    if figure := known.get("simulator and training"):
        each = "; ".join(f"{name}: {count:.0f}" for name, count in figure["a_minute"].items())
        yield "Done in a minute", each, ""
    if figure := known.get("start-up"):
        commands = figure["commands"]
        bare = commands["bare interpreter"]["first_line_processor_s"]["median"]
        for name in ("predict, sample patient", "check, sample patient, on a terminal"):
            one = commands[name]
            first = f"{one['first_line_processor_s']['median']:.2f} s of processor time"
            wall = f"{one['first_line_s']['median']:.2f} s on the clock; the bare interpreter {bare:.2f} s"
            yield f"First line of `{name.split(',')[0]}`", first, wall
    yield from _on_a_gpu(known.get(GPU))
    if figure := known.get("warm worker"):
        others = "; ".join(f"{name}: {share:.2%}" for name, share in figure["share_of_first"].items())
        yield "Warm worker, share of a first prediction", seconds(figure["sides"]["first"]), others


def _on_a_gpu(figure: dict[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    if figure is None:
        return
    single, half = (
        f"{figure['gigaflops_per_s'][name] / 1000:.0f} Tflop/s" for name in ("single precision", "bfloat16")
    )
    for name, side in figure["sides"].items():
        if name.startswith("matrix product"):
            continue
        rate = f"the GPU multiplies matrices at {half}" if name.endswith("bfloat16") else ""
        if name.startswith("encoder"):
            rate = f"its convolutions run at {figure['encoder_share_of_matrix_rate']:.0%} of the matrix rate, {single}"
        yield f"On {figure['gpu']}: {name}", f"{1000 * side['median']:.1f} ms", rate


def _listed(ratios: dict[str, float]) -> str:
    return "; ".join(f"{name}: {times(ratio)}" for name, ratio in ratios.items())


def _by_number(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(found.items(), key=lambda item: int(item[0]))


def conditions(known: dict[str, Any]) -> str:
    """Machine, clock and threads, as they are written beside the figures."""
    places = {json.dumps(figure["machine"], sort_keys=True) for figure in known.values()}
    clocks = sorted({f"{figure['clock']}, {figure['threads']} thread(s)" for figure in known.values()})
    loads = [figure["load_average"] for figure in known.values()]
    where = "; ".join(
        f"{one['processor']}, {one['cores']} cores, Python {one['python']}, torch {one['torch']}, "
        f"MONAI {one['monai']}, Captum {one['captum']}, SimpleITK {one['SimpleITK']}"
        for one in (json.loads(place) for place in sorted(places))
    )
    absent = "" if GPU in known else " Not run: a GPU, because there was none."
    return (
        f"{where}. {'; '.join(clocks)}; load average {min(loads)} to {max(loads)} from other work. Medians, in "
        f"brackets the least and the greatest.{absent}"
    )


def table(known: dict[str, Any]) -> str:
    """The README's text between the marks."""
    lines = ["| | ours | others, as multiples of ours |", "|---|---|---|"]
    lines += [f"| {name} | {ours} | {others} |" for name, ours, others in rows(known)]
    return "\n".join([BEGIN, "", *lines, "", conditions(known), "", END])


def with_table(text: str, known: dict[str, Any]) -> str:
    """The README's whole text with the table of these figures."""
    before, rest = text.split(BEGIN, 1)
    return before + table(known) + rest.split(END, 1)[1]


if __name__ == "__main__":
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    README.write_text(with_table(README.read_text(encoding="utf-8"), found), encoding="utf-8", newline="\n")
