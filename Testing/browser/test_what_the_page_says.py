"""Numbers, places and words that the page is given, against what they must be."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import slicer

from TemporalGliomaRisk.colours import LEAST_SCALE_TOP
from TemporalGliomaRisk.scene.result_visit import ResultMeasurement, ResultPeak, ResultWarning
from TemporalGliomaRisk.scene.scene_visit import SceneVisit
from TemporalGliomaRisk.scene.settings import MapKind
from TemporalGliomaRisk.scene.volumes import array_of
from TemporalGliomaRisk.viewer import curve, layouts
from TemporalGliomaRisk.viewer.compass import compass
from TemporalGliomaRisk.viewer.legends import legend
from TemporalGliomaRisk.viewer.marks import NAMED_SCALE, mark, marked
from TemporalGliomaRisk.viewer.runs import time_left
from TemporalGliomaRisk.viewer.words import opening_visit, patient_words, visit_rows, visit_title


def visits(*risks: float | None, days=None, treatment: int | None = 20) -> tuple[SceneVisit, ...]:
    """Visits with these risks, 100 days apart unless said."""
    days = days or [100 * index for index in range(len(risks))]
    return tuple(
        SceneVisit(
            number=index + 1,
            session_id=f"ses-{index + 1:02d}",
            days_since_first=day,
            days_since_treatment=None if treatment is None else day + treatment,
            gap_days=None if index == 0 else day - days[index - 1],
            sequences=("FLAIR",),
            risk=risk,
            risk_low=None if risk is None else risk - 0.02,
            risk_high=None if risk is None else risk + 0.03,
            single_visit_risk=None if risk is None else 0.1,
        )
        for index, (risk, day) in enumerate(zip(risks, days, strict=True))
    )


# The curve


def test_a_risk_lies_on_the_curve_where_its_axis_says() -> None:
    drawn = curve.risk_curve(visits(0.1, 0.35, 0.2))
    by_label = {tick["label"]: tick["at"] for tick in drawn["y_ticks"]}

    assert by_label["0"] == curve.BOTTOM
    assert drawn["points"][0]["y"] == pytest.approx(by_label["10"], abs=0.1)
    assert drawn["points"][2]["y"] == pytest.approx(by_label["20"], abs=0.1)
    assert drawn["points"][1]["y"] == pytest.approx((by_label["30"] + by_label["40"]) / 2, abs=0.1)


def test_days_on_the_curve_are_to_scale_and_count_from_treatment_where_it_is_known() -> None:
    drawn = curve.risk_curve(visits(0.1, 0.2, 0.3, days=[0, 100, 300]))
    x = [point["x"] for point in drawn["points"]]

    assert (x[2] - x[1]) / (x[1] - x[0]) == pytest.approx(2.0, abs=0.01)
    assert drawn["x_title"] == "days since treatment"
    ticks = {tick["label"]: tick["at"] for tick in drawn["x_ticks"]}
    assert ticks["120"] == pytest.approx(x[1], abs=0.2) if "120" in ticks else ticks["100"] < x[1] < ticks["200"]


def test_days_count_from_the_first_visit_where_treatment_s_day_is_unknown() -> None:
    known = visits(0.1, 0.2)
    mixed = (known[0], visits(0.1, 0.2, treatment=None)[1])

    assert curve.risk_curve(visits(0.1, 0.2, treatment=None))["x_title"] == "days since the first visit"
    assert curve.risk_curve(mixed)["x_title"] == "days since the first visit"


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("risk", [0.0, 0.004, 0.07, 0.5, 0.97])
def test_everything_of_a_curve_lies_inside_its_axes(count: int, risk: float) -> None:
    drawn = curve.risk_curve(visits(*[risk] * count))

    for point in drawn["points"]:
        assert curve.LEFT <= point["x"] <= curve.RIGHT
        for name in ("y", "single"):
            assert curve.TOP <= point[name] <= curve.BOTTOM
    assert 2 <= len(drawn["y_ticks"]) <= 7
    assert len({tick["label"] for tick in drawn["y_ticks"]}) == len(drawn["y_ticks"])
    assert max(float(tick["label"]) for tick in drawn["y_ticks"]) <= 100


def test_no_risk_is_no_curve_and_a_single_visit_has_no_band() -> None:
    assert curve.risk_curve(visits(None, None)) is None
    assert curve.risk_curve(visits(0.2))["band"] is None
    assert len(curve.risk_curve(visits(None, 0.2, 0.3))["points"]) == 2


# Words


def test_a_visit_is_named_by_its_number_and_day() -> None:
    with_treatment, without = visits(0.1, 0.2), visits(0.1, 0.2, treatment=None)

    assert visit_title(with_treatment[1]) == "visit 2 · day 120 after treatment"
    assert [visit_title(visit) for visit in without] == [
        "visit 1 · first visit",
        "visit 2 · day 100 after the first visit",
    ]


def no_peak(number: int, name: str) -> None:
    raise AssertionError(f"Visit {number} has no peak {name}.")


def test_the_panel_tells_gaps_risks_and_their_extremes() -> None:
    rows = visit_rows(visits(0.1, 0.35, None), no_peak)

    assert [row["gap"] for row in rows] == [None, "+100\u202fd", "+100\u202fd"]
    assert [row["risk"] for row in rows] == ["10\u202f%", "35\u202f%", None]
    assert rows[1]["members"] == "33 to 38\u202f%"
    assert rows[2]["members"] is None
    assert rows[0]["colour"] != rows[1]["colour"]
    assert rows[2]["colour"] is None


def test_an_uncertain_risk_is_called_so_with_its_reasons_wherever_it_stands_and_a_usual_one_is_not() -> None:
    usual, odd, alone = visits(0.1, 0.35, 0.2)
    odd = dataclasses.replace(odd, uncertain_because=("gap_untrained", "members_at_odds"))
    alone = dataclasses.replace(alone, risk=None, uncertain_because=("one_visit_so_far",))
    said, wanted = "uncertain: gap untrained, members at odds", ["", "uncertain: gap untrained, members at odds", ""]

    assert [row["doubt"] for row in visit_rows((usual, odd, alone), no_peak)] == wanted
    points = curve.risk_curve((usual, odd, alone))["points"]
    assert [point["doubt"] for point in points] == wanted[:2]
    assert [said in point["words"] for point in points] == [False, True]
    assert [tile.to_page()["doubt"] for tile in layouts.all_visits((usual, odd, alone), "Axial").tiles] == wanted
    compared = layouts.two_visits(usual, odd, with_difference=True).tiles
    assert {tile.name: tile.doubt for tile in compared if tile.doubt} == {"second_axial": said}


@pytest.mark.parametrize("count", [1, 3, 12])
@pytest.mark.parametrize("risk", [0.0, 0.09, 0.5, 0.97])
def test_the_word_uncertain_in_the_curve_lies_inside_and_never_over_another(count: int, risk: float) -> None:
    odd = [dataclasses.replace(one, uncertain_because=("members_at_odds",)) for one in visits(*[risk] * count)]
    places = [point["doubt_at"] for point in curve.risk_curve(odd)["points"]]

    assert places[0] is not None
    shown = [place for place in places if place is not None]
    assert all(curve.LEFT <= place["x"] <= curve.RIGHT and 0 < place["y"] < curve.BOTTOM + 15 for place in shown)
    assert all(later["x"] - earlier["x"] > 40 for earlier, later in itertools.pairwise(shown))


def test_peaks_measurements_and_warnings_of_a_visit_are_told() -> None:
    visit = SceneVisit(
        **{
            **vars(visits(0.3)[0]),
            "peaks": (ResultPeak(name="A", ras_mm=(31, -12, 40), share_of_hazard=0.42, hazard_per_mL=0.0123),),
            "measurements": (ResultMeasurement(name="half", value=12.4, unit="mL"),),
            "warnings": (ResultWarning(code="x", message="Odd gap.", severity="warning"),),
        }
    )
    row = visit_rows([visit], lambda number, name: {(1, "A"): (31, -12, 51)}[number, name])[0]

    assert row["peaks"] == [{"name": "A", "share": "42\u202f%", "place": "R 31, P 12, S 51 mm"}]
    assert row["measurements"] == [{"name": "half", "value": "12 mL"}]
    assert row["warnings"] == [{"message": "Odd gap.", "note": False}]


def test_a_patient_s_line_counts_visits_and_days() -> None:
    assert patient_words("sub-01", visits(0.1))["visits"] == "1 visit"
    assert patient_words("sub-01", visits(0.1, 0.2, days=[0, 400]))["visits"].startswith("2 visits over 400")


@pytest.mark.parametrize(
    ("risks", "wanted"),
    [
        ((0.1, 0.3, 0.35), 2),
        ((0.1, 0.12, 0.5), 3),
        ((0.5, 0.4, 0.3), 1),
        ((0.2, 0.2), 1),
        ((0.4,), 1),
        ((None, None, None), 3),
        ((0.1, None, 0.9, 0.95), 4),
    ],
)
def test_it_opens_where_the_risk_rises_most_else_where_it_is_highest(risks, wanted: int) -> None:
    assert opening_visit(visits(*risks)) == wanted


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0.4, "almost done"), (12.4, "about 12\u202fs left"), (100, "about 2\u202fmin left")],
)
def test_time_left_is_told_roughly(seconds: float | None, words: str) -> None:
    assert time_left(seconds) == words


# Marks of peaks


def test_marks_carry_their_names_while_a_scene_is_saved_and_are_as_before_afterwards() -> None:
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.CreateDefaultDisplayNodes()
    shown = node.GetDisplayNode()
    patient = SimpleNamespace(peaks=lambda: node)

    mark(patient, shown=False, named=False)
    with marked(patient, shown=True, named=True):
        assert (bool(shown.GetVisibility()), shown.GetTextScale()) == (True, NAMED_SCALE)
    assert (bool(shown.GetVisibility()), shown.GetTextScale()) == (False, 0)
    mark(SimpleNamespace(peaks=lambda: None), shown=True, named=True)


# Layouts


@pytest.mark.parametrize(
    ("orientation", "wanted"), [("Axial", "RLAP"), ("Coronal", "RLSI"), ("Sagittal", "APSI")], ids=lambda value: value
)
def test_letters_at_a_slice_s_edges_are_the_patient_s_sides(orientation: str, wanted: str) -> None:
    scene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    node = scene.AddNewNodeByClass("vtkMRMLSliceNode")
    node.SetOrientation(orientation)

    seen = layouts.letters(array_of(node.GetSliceToRAS()))

    assert [seen[side] for side in ("left", "right", "top", "bottom")] == list(wanted)


def test_letters_follow_a_slice_that_was_turned_or_lies_obliquely() -> None:
    turned = np.diag([1.0, -1.0, -1.0, 1.0])
    angle = np.radians(30)
    oblique = np.array([[-np.cos(angle), 0, 0, 0], [np.sin(angle), 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])

    assert layouts.letters(turned) == {"left": "L", "right": "R", "top": "P", "bottom": "A"}
    assert layouts.letters(oblique) == {"left": "R", "right": "L", "top": "S", "bottom": "I"}


@pytest.mark.parametrize(
    ("orientation", "millimetres", "words"),
    [
        ("Axial", 40.4, "S 40"),
        ("Axial", -3, "I 3"),
        ("Coronal", -12, "P 12"),
        ("Sagittal", 31, "R 31"),
        ("Axial", -0.4, "S 0"),
    ],
)
def test_a_slice_s_place_is_told_with_the_patient_s_side(orientation: str, millimetres: float, words: str) -> None:
    assert layouts.place_words(orientation, millimetres) == f"{words}\u202fmm"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7, 12, 24, 30])
def test_no_two_views_of_a_layout_lie_over_each_other(count: int) -> None:
    shown = visits(*[0.1] * count)
    grids = [
        layouts.four_views(with_3d=True),
        layouts.four_views(with_3d=False),
        layouts.large_3d(),
        layouts.all_visits(shown, "Axial"),
        layouts.two_visits(shown[0], shown[-1], with_difference=True),
    ]

    for grid in grids:
        cells = [(tile.column, tile.row + row) for tile in grid.tiles for row in range(tile.rows)]
        assert len(set(cells)) == len(cells)
        assert len({tile.name for tile in grid.tiles}) == len(grid.tiles)


def test_a_long_row_shows_the_last_visits() -> None:
    grid = layouts.all_visits(visits(*[0.1] * 30), "Axial")

    assert [tile.visit for tile in grid.tiles] == list(range(7, 31))


def test_without_maps_two_visits_have_no_difference() -> None:
    first, second = visits(None, None)
    grid = layouts.two_visits(first, second, with_difference=False)

    assert {tile.name.split("_")[0] for tile in grid.tiles} == {"first", "second"}


# The 3D view's sides


def test_seen_from_in_front_the_patient_s_right_is_on_the_left() -> None:
    seen = {one["letter"]: one for one in compass((0, 400, 0), (0, 0, 0), (0, 0, 1))}

    assert (seen["R"]["x"], seen["R"]["y"]) == (-1, 0)
    assert (seen["S"]["x"], seen["S"]["y"]) == (0, -1)
    assert (seen["A"]["x"], seen["A"]["y"], seen["A"]["near"]) == (0, 0, 1)


def test_seen_obliquely_the_sides_keep_their_lengths_and_the_nearest_is_drawn_last() -> None:
    seen = compass((300, 235, 190), (10, -15, 10), (0.1, 0, 1))
    ahead = np.array([(1 - 2 * one["near"]) for one in seen])

    assert np.array([one["x"] for one in seen]) @ np.array([one["x"] for one in seen]) == pytest.approx(1, abs=0.01)
    assert np.array([one["y"] for one in seen]) @ np.array([one["y"] for one in seen]) == pytest.approx(1, abs=0.01)
    assert ahead @ ahead == pytest.approx(1, abs=0.01)
    assert [one["near"] for one in seen] == sorted(one["near"] for one in seen)
    assert seen[-1]["letter"] == "R"


def test_a_camera_that_looks_along_its_own_up_has_no_sides() -> None:
    assert compass((0, 0, 100), (0, 0, 0), (0, 0, 1)) == []


# Legends


def test_a_legend_tells_its_top_its_unit_and_hides_what_the_threshold_hides() -> None:
    shown = legend(MapKind.RISK, 0.04, 0.25, 365)

    assert shown["labels"] == ["0", "0.02", "0.04"]
    assert shown["unit"] == "hazard per mL within 365 days; scaled to this patient"
    assert shown["gradient"].startswith("linear-gradient(to right, #1a2029 0.0%, #1a2029 25.0%")


def test_the_legend_of_a_calm_map_says_that_nothing_reaches_its_end() -> None:
    shown = legend(MapKind.RISK, LEAST_SCALE_TOP, 0.25, 365)
    assert shown["unit"] == "hazard per mL within 365 days; no place reaches the end of the scale"


def test_a_change_s_legend_has_two_sides_of_nothing() -> None:
    shown = legend(MapKind.CHANGE, 0.004, 0.5, 365)

    assert shown["labels"] == ["−0.004", "0", "+0.004"]
    assert "#1a2029 25.0%, #1a2029 75.0%" in shown["gradient"]
