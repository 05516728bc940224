"""The pictures of a model's card: what stands in them, their size, the same bytes for the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from TemporalGliomaRisk.report.model_plots import calibration_figure, discrimination_figure, write_plot

SAID = {"heading": "tiny, test patients: 90 patients that it never saw", "caveat": "Research use only, untrained."}


def entry(value: float | None, spread: float = 0.05) -> dict:
    return {
        "value": value,
        "low": None if value is None else value - spread,
        "high": None if value is None else value + spread,
    }


def group(name: str, auroc: float | None, bins: int = 0) -> dict:
    curve = [
        {"rows": 200, "share": 1 / bins, "predicted": 0.05 * n, "observed": 0.04 * n, "low": 0.03 * n, "high": 0.06 * n}
        for n in range(1, bins + 1)
    ]
    measured = {name: entry(1.0) for name in ("calibration_slope", "calibration_intercept", "calibration_error")}
    return {
        **{"name": name, "rows": 200 * max(bins, 1), "patients": 90, "events": 12},
        **{"metrics": {"auroc": entry(auroc), **measured}, "reliability": curve or None},
    }


@pytest.fixture
def found() -> dict:
    visits = [("all", 0.8), ("4 or more", 0.85), ("1 visit", 0.6), ("2 visits", 0.7), ("3 visits", None)]
    several = [group(name, auroc, 10 if name == "all" else 0) for name, auroc in visits]
    single = [group(name, 0.6) for name, _ in visits]
    return {"several_visits": {"groups": several, "level": 0.95}, "single_visit": {"groups": single, "level": 0.95}}


def words(figure) -> str:
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [text.get_text() for text in (*axes.texts, *axes.get_xticklabels())]
        texts += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title()]
        legend = axes.get_legend()
        texts += [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join(texts)


def test_the_caveat_the_patients_the_counts_and_the_units_stand_in_both(found: dict) -> None:
    for draw in (discrimination_figure, calibration_figure):
        shown = words(draw(found, **SAID)).replace("\n", " ").replace("\u00a0", " ")
        assert SAID["caveat"] in shown
        assert SAID["heading"] in shown
        assert "90" in shown
        assert "95 %" in shown
    assert "risk within 365 days, %" in words(calibration_figure(found, **SAID))


def test_undefined_numbers_of_visits_are_left_out_and_the_ideal_observer_appears_when_known(found: dict) -> None:
    figure = discrimination_figure(found, **SAID)
    lines = {
        line.get_label(): line.get_xdata() for line in figure.axes[0].lines if not line.get_label().startswith("_")
    }
    assert {name: len(places) for name, places in lines.items()} == {
        "model, all visits so far": 2,
        "model, that visit alone": 3,
    }
    known = {**found, "ideal_observer": found["single_visit"]}
    assert "ideal observer" in words(discrimination_figure(known, **SAID))


def test_points_of_the_reliability_curve_are_percent_and_inside_the_axes(found: dict) -> None:
    axes = calibration_figure(found, **SAID).axes[0]
    curve = next(line for line in axes.lines if line.get_marker() == "o")

    assert list(curve.get_xdata()) == pytest.approx([5.0 * n for n in range(1, 11)])
    assert list(curve.get_ydata()) == pytest.approx([4.0 * n for n in range(1, 11)])
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_ylim()[1] >= 60


def test_without_numbers_there_is_no_picture(found: dict) -> None:
    none = {"several_visits": {"groups": [group("all", None), group("1 visit", None)], "level": 0.95}}

    assert discrimination_figure({**none, "single_visit": none["several_visits"]}, **SAID) is None
    assert calibration_figure(none, **SAID) is None


def test_the_same_numbers_give_the_same_small_file(found: dict, tmp_path: Path) -> None:
    for draw in (discrimination_figure, calibration_figure):
        files = [tmp_path / f"{number}.png" for number in range(2)]
        for path in files:
            write_plot(draw(found, **SAID), path)
        assert files[0].read_bytes() == files[1].read_bytes()
        assert files[0].stat().st_size < 80_000
        assert b"tIME" not in files[0].read_bytes()
