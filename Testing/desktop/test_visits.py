"""The table of visits: days, gaps, what is wrong, what is undone; and what a scene's volumes are taken for."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def visits(helper: Callable[[str], Any]) -> Any:
    return helper("visits")


@pytest.fixture
def guessing(helper: Callable[[str], Any]) -> Any:
    return helper("guessing")


def rows_of(visits: Any, *days: str) -> tuple[Any, ...]:
    return tuple(
        visits.VisitRow(key=str(number), day=day, volumes={"FLAIR": str(number)}) for number, day in enumerate(days)
    )


def test_gaps_are_counted_between_visits_that_take_part(visits: Any) -> None:
    rows = rows_of(visits, "2020-01-01", "2020-03-01", "2020-12-31")
    kind = visits.DayKind.DATE

    assert visits.gaps(rows, kind) == {"1": 60, "2": 305}
    assert visits.gaps(visits.changed(rows, "1", included=False), kind) == {"2": 365}


def test_rows_stand_in_order_of_days_and_the_unreadable_last(visits: Any) -> None:
    rows = rows_of(visits, "300", "soon", "-4", "20")

    ordered = visits.in_order(rows, visits.DayKind.SINCE_TREATMENT)

    assert [row.day for row in ordered] == ["-4", "20", "300", "soon"]


@pytest.mark.parametrize(
    ("day", "sentence"),
    [
        ("2020-02-30", "Wanted a date"),
        ("", "Wanted a date"),
        ("2020-01-01", "Two visits are on this day"),
        ((datetime.date.today() + datetime.timedelta(days=2)).isoformat(), "after today"),
        ("2020-05-01", ""),
        ("20200501", ""),
    ],
)
def test_a_day_that_cannot_be_is_told_at_the_visit(visits: Any, day: str, sentence: str) -> None:
    rows = rows_of(visits, "2020-01-01", day)

    found = visits.problem(rows[1], rows, visits.DayKind.DATE)

    assert found.startswith(sentence) if sentence == "Wanted a date" else sentence in found
    assert bool(found) == bool(sentence)


def test_a_visit_left_out_has_no_problem_and_one_alone_needs_no_day(visits: Any) -> None:
    rows = rows_of(visits, "2020-01-01", "nonsense")
    kind = visits.DayKind.DATE

    assert visits.problems(visits.changed(rows, "1", included=False), kind) == {}
    assert visits.problems(rows_of(visits, ""), kind) == {}
    assert visits.problems((visits.VisitRow(key="a", day="2020-01-01"),), kind) == {
        "a": "This visit has no volume. Choose one, or leave the visit out."
    }


def test_removed_visits_come_back_last_first_and_survive_being_saved(visits: Any) -> None:
    rows = rows_of(visits, "1", "2", "3")
    rows = visits.with_removed(visits.with_removed(rows, "0"), "2")
    rows = visits.from_json(visits.to_json(rows))

    assert [row.key for row in visits.shown(rows)] == ["1"]
    assert visits.last_removed(rows).key == "2"
    rows = visits.changed(rows, "2", removed=False)
    assert visits.last_removed(rows).key == "0"


def test_removals_are_undone_backwards_whatever_is_edited_in_between(visits: Any) -> None:
    kind = visits.DayKind.SINCE_FIRST
    rows = rows_of(visits, "0", "100", "200", "300", "400")
    for key in ("4", "2", "3"):
        rows = visits.with_removed(rows, key)
    rows = visits.in_order(visits.changed(rows, "0", day="150"), kind)
    undone = []
    while (row := visits.last_removed(rows)) is not None:
        undone.append(row.key)
        rows = visits.in_order(visits.changed(rows, row.key, removed=False), kind)

    assert undone == ["3", "2", "4"]
    assert [row.key for row in rows] == ["1", "0", "2", "3", "4"]


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '[{"key": "a", "unknown": 1}]'])
def test_a_parameter_node_that_keeps_nonsense_gives_an_empty_table(visits: Any, text: str) -> None:
    assert visits.from_json(text) == ()


def test_dates_become_days_from_the_first_of_them_in_what_leaves_slicer(visits: Any) -> None:
    rows = visits.without_dates(rows_of(visits, "2020-01-01", "2020-12-31", "soon"), visits.DayKind.DATE)

    assert [row.day for row in rows] == ["0", "365", ""]
    assert "2020" not in visits.to_json(rows)
    read = visits.VisitRow(key="ses-01", day="5", day_read="2020-01-01")
    assert "2020" not in visits.to_json(visits.without_dates([read], visits.DayKind.SINCE_FIRST))


@pytest.mark.parametrize("kind", ["SINCE_FIRST", "SINCE_TREATMENT"])
def test_dates_in_a_table_that_is_told_in_days_become_unknown_in_what_leaves_slicer(visits: Any, kind: str) -> None:
    days = ("30", "2020-12-31", "20201231", "44196", " 121", "-5", "")
    rows = visits.without_dates(rows_of(visits, *days), visits.DayKind[kind])

    assert [row.day for row in rows] == ["30", "", "", "", "121", "-5", ""]


@pytest.mark.parametrize(
    ("name", "sequence", "date"),
    [
        ("sub-01_ses-02_ce-gd_T1w", "ce-gd_T1w", ""),
        ("sub-01_ses-02_T1w", "T1w", ""),
        ("P_20210304_T1ce", "ce-gd_T1w", "2021-03-04"),
        ("5: t2_flair axial", "FLAIR", ""),
        ("301: T1 MPRAGE post Gd", "ce-gd_T1w", ""),
        ("4: ax t1 pre", "T1w", ""),
        ("2021-02-31 T2 TSE", "T2w", ""),
        ("P_20210304_fl", "FLAIR", "2021-03-04"),
        ("brain mask", None, ""),
        ("sub-01_ses-01_desc-risk_heatmap", None, ""),
        ("3: localizer", None, ""),
        ("ADC map", None, ""),
    ],
)
def test_names_tell_sequence_and_date(guessing: Any, name: str, sequence: str | None, date: str) -> None:
    assert (guessing.sequence_of(name), guessing.date_in(name)) == (sequence, date)


def test_dicom_s_study_date_comes_before_what_a_name_says(guessing: Any) -> None:
    volumes = [
        guessing.FoundVolume(number="0", name="T2 20200101", study_date="20210506"),
        guessing.FoundVolume(number="1", name="FLAIR", study_date="20210506"),
        guessing.FoundVolume(number="2", name="FLAIR", study_date="20200202"),
        guessing.FoundVolume(number="3", name="FLAIR again", study_date="20200202"),
        guessing.FoundVolume(number="4", name="scout", study_date="20200202"),
    ]

    guessed = guessing.guess_visits(volumes)

    assert [(row.day, dict(row.volumes)) for row in guessed.rows] == [
        ("2020-02-02", {"FLAIR": "2"}),
        ("2021-05-06", {"T2w": "0", "FLAIR": "1"}),
    ]
    assert (guessed.untold, guessed.doubled) == (1, 1)


def test_bids_names_without_dates_make_visits_whose_days_are_to_be_typed(guessing: Any, visits: Any) -> None:
    names = ["sub-01_ses-02_FLAIR", "sub-01_ses-01_FLAIR", "sub-01_ses-01_T2w"]
    found = [guessing.FoundVolume(number=str(n), name=name) for n, name in enumerate(names)]

    guessed = guessing.guess_visits(found)

    assert [sorted(row.volumes) for row in guessed.rows] == [["FLAIR", "T2w"], ["FLAIR"]]
    assert len(visits.problems(guessed.rows, guessed.kind)) == 2


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("sub-01_ses-02_FLAIR", "sub-01"),
        ("ANN_20200102_FLAIR", "ANN"),
        ("Ann_B_2020-01-02", "Ann_B"),
        ("ANN_T1_post_20200102", "ANN"),
        ("20200102_FLAIR", ""),
        ("FLAIR_20200102", ""),
        ("t2 flair tra_20200102", ""),
        ("5: t1 mprage sag", ""),
    ],
)
def test_a_name_calls_the_patient_by_a_label_or_before_the_date(guessing: Any, name: str, patient: str) -> None:
    assert guessing.patient_in(name) == patient


@pytest.mark.parametrize(
    ("volumes", "several"),
    [
        ([("t2 flair tra", "Ann"), ("t2 flair tra", "Ben")], True),
        ([("sub-01_ses-01_FLAIR", "sub-01"), ("Sub-02_ses-02_FLAIR", "sub-02")], True),
        ([("sub-01_ses-01_FLAIR", "Ann"), ("sub-02_ses-01_FLAIR", "Ann")], True),
        ([("t2 flair tra", "Ann"), ("t1 tra", "Ann"), ("FLAIR", "")], False),
        ([("sub-01_ses-01_FLAIR", "sub-01"), ("sub-01_ses-02_FLAIR", "sub-01")], False),
        ([("t2 flair tra", "Ann"), ("localizer", "Ben")], False),  # of Ben nothing would be in the table
    ],
)
def test_volumes_of_several_patients_are_told(guessing: Any, volumes: list[tuple[str, str]], several: bool) -> None:
    found = [guessing.FoundVolume(number=str(n), name=name, patient=who) for n, (name, who) in enumerate(volumes)]

    assert guessing.are_of_several_patients(found) is several
