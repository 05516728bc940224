"""Readers: four forms of one timeline agree, and what is wrong is refused in words without names."""

from __future__ import annotations

import datetime
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from TemporalGliomaRisk.errors import TimelineError, VolumeError
from TemporalGliomaRisk.resources import resource_path
from TemporalGliomaRisk.timeline.assembly import FoundVisit, build_timeline
from TemporalGliomaRisk.timeline.bids import bids_patients
from TemporalGliomaRisk.timeline.days import When, parse_date
from TemporalGliomaRisk.timeline.finding import Severity
from TemporalGliomaRisk.timeline.labels import may_be_shown
from TemporalGliomaRisk.timeline.orientation import orientation_code, to_nearest_ras
from TemporalGliomaRisk.timeline.reading import read_timeline
from TemporalGliomaRisk.timeline.refusals import TimelineRefused
from TemporalGliomaRisk.timeline.sitk_images import write_nifti
from TemporalGliomaRisk.timeline.visit import VolumeInMemory
from TemporalGliomaRisk.timeline.volume import Geometry, Volume
from TemporalGliomaRisk.viewer.opening import find

DATES = ("20200101", "20200722")


def codes(timeline_or_error):
    return {item.code for item in timeline_or_error.findings}


def refused(path, **options):
    with pytest.raises(TimelineRefused) as caught:
        read_timeline(path, **options)
    return caught.value


@pytest.fixture(scope="module")
def four_forms(write_bids, make_head, tmp_path_factory, write_dicom_series):
    """Written once: no test here may change what lies there."""
    tmp_path = tmp_path_factory.mktemp("forms")
    volumes = [{"FLAIR": make_head(n), "T2w": make_head(10 + n, fluid="bright")} for n in range(2)]
    forms = {"bids": write_bids(tmp_path, {"01": volumes[0], "02": volumes[1]}, rows=[("01", 0), ("02", 203)])}
    dated, rows = tmp_path / "dated", ["path,sequence,date"]
    for date, visit in zip(DATES, volumes, strict=True):
        for number, (sequence, volume) in enumerate(visit.items()):
            write_nifti(volume, dated / f"NN_{date}_{sequence}.nii.gz")
            rows.append(f"dated/NN_{date}_{sequence}.nii.gz,{sequence},{date}")
            folder = tmp_path / "dicom" / date / str(number)
            write_dicom_series(volume, folder, date=date, description=sequence, series_number=number + 1, slope=0.5)
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows))
    return {**forms, "dated": dated, "table": table, "dicom": tmp_path / "dicom"}, volumes


@pytest.mark.parametrize("form", ["bids", "dated", "table", "dicom"])
def test_every_form_gives_the_same_oblique_voxels_days_and_labels(four_forms, form):
    paths, volumes = four_forms
    timeline = read_timeline(paths[form])
    assert timeline.patient_id == "sub-01"
    assert [(v.session_id, v.days_since_first, v.days_since_treatment) for v in timeline.visits] == [
        ("ses-01", 0, None),
        ("ses-02", 203, None),
    ]
    for visit, wanted in zip(timeline.visits, volumes, strict=True):
        assert set(visit.sources) == set(wanted)
        for sequence, volume in wanted.items():
            read = visit.sources[sequence].read()
            assert read.geometry.same_as(volume.geometry, tolerance_mm=1e-3)
            np.testing.assert_array_equal(read.voxels, volume.voxels)
            assert all(path.is_file() for path in visit.sources[sequence].files)


@pytest.mark.parametrize("form", ["dated", "table", "dicom"])
def test_names_and_dates_label_a_timeline_only_when_identified(four_forms, form):
    path = four_forms[0][form]
    assert read_timeline(path).visits[0].date == datetime.date(2020, 1, 1)
    assert "2020" not in repr(read_timeline(path).visits)
    assert [v.session_id for v in read_timeline(path, identified=True).visits] == ["ses-20200101", "ses-20200722"]
    if form != "table":
        wanted = {"dated": "sub-NN", "dicom": "sub-P"}[form]
        assert read_timeline(path, identified=True).patient_id == wanted


def test_all_48_orientations_hold_the_same_content_in_ras(shared_data, tmp_path):
    files = sorted((shared_data / "orientations").glob("*.nii.gz"))
    assert len(files) == 48
    table = tmp_path / "t.tsv"
    rows = [f"{path}\tFLAIR\t{30 * n}" for n, path in enumerate(files)]
    table.write_text("path\tsequence\tdays_since_treatment\n" + "\n".join(rows))
    first = None
    for path, visit in zip(files, read_timeline(table).visits, strict=True):
        volume = visit.sources["FLAIR"].read()
        assert orientation_code(volume.geometry) == path.name[:3]
        ras = to_nearest_ras(volume)
        first = first or ras
        np.testing.assert_array_equal(ras.voxels, first.voxels)
        assert ras.geometry.same_as(first.geometry, tolerance_mm=1e-3)


def test_real_bids_folders_read_with_their_days(shared_data):
    pair = read_timeline(shared_data / "ms_pair")
    assert pair.gaps_days == (None, 203)
    assert pair.visits[1].sequences == ("FLAIR", "T2w", "T1w")
    derived = read_timeline(shared_data / "ms_pair" / "derivatives" / "registered" / "sub-01")
    assert derived.gaps_days == (None, 203)
    assert codes(derived) == {"derived_files", "sessions_table_elsewhere"}
    assert codes(read_timeline(shared_data / "glioma_single" / "sub-01")) == {"days_unknown"}


def test_a_dataset_of_several_patients_names_labels_and_asks_for_one(shared_data):
    folder = shared_data / "glioblastoma_pairs"
    with pytest.raises(TimelineError, match=r"holds 2 patients.*sub-01, sub-05.*--patient"):
        read_timeline(folder)
    assert read_timeline(folder, patient="05").gaps_days == (None, 55)
    assert [path.name for path in bids_patients(folder)] == ["sub-01", "sub-05"]
    assert codes(refused(folder, patient="07")) == {"patient_not_found"}


TWO = {"01": {"FLAIR": 0}, "02": {"FLAIR": 1}}


def test_a_day_since_treatment_that_a_later_visit_alone_tells_is_counted_back_for_the_earlier_ones(bids, make_head):
    visits = {label: {"FLAIR": make_head()} for label in ("01", "02", "03")}
    rows = [("01", "n/a", "2020-01-01"), ("02", "130", "2020-04-10"), ("03", "n/a", "2020-07-19")]
    timeline = read_timeline(bids(visits, rows=rows, column=("days_since_treatment", "acq_time")))
    assert [visit.days_since_first for visit in timeline.visits] == [0, 100, 200]
    assert [visit.days_since_treatment for visit in timeline.visits] == [30, 130, 230]


def test_visits_whose_names_make_one_label_are_numbered_so_that_no_file_takes_another_s_place():
    grid = Geometry(shape=(2, 2, 2), ijk_to_ras=np.eye(4))
    volume = VolumeInMemory(volume=Volume(voxels=np.zeros(grid.shape), geometry=grid))
    found = [
        FoundVisit(when=When(days_since_first=day), sources={"FLAIR": lambda role: volume}, name=name)
        for day, name in ((0, "1-1"), (90, "11"))
    ]
    timeline = build_timeline(found, findings=(), identified=True)
    assert [visit.session_id for visit in timeline.visits] == ["ses-01", "ses-02"]


@pytest.mark.parametrize(
    ("rows", "column", "code", "words"),
    [
        (None, "acq_time", "dates_missing", "no sessions table"),
        ([("01", 0)], "acq_time", "date_unreadable", "ses-01: acq_time"),
        ([("01", 0)], "days_since_first_scan", "dates_missing", "no day for ses-02"),
        ([("01", 0), ("02", "n/a")], "days_since_first_scan", "dates_missing", "no day for ses-02"),
        ([("01", 0), ("02", "soon")], "days_since_first_scan", "date_unreadable", "whole number of days"),
        ([("01", 0), ("02", 5.5)], "days_since_first_scan", "date_unreadable", "whole number of days"),
        ([("01", 0), ("02", 5), ("02", 6)], "days_since_first_scan", "dates_missing", "names a session twice"),
        ([("01", 0), ("02", 0)], "days_since_treatment", "two_visits_one_day", "Visits 1 and 2 are on the same day"),
        ([("01", "2020-01-01"), ("02", "2999-01-01")], "acq_time", "date_in_future", "Visit 2 is dated after today"),
        ([("01", "2020-01-01"), ("02", "2020-02-30")], "acq_time", "date_unreadable", "YYYY-MM-DD"),
        ([("01", 0), ("02", 5)], "weeks", "dates_missing", "needs session_id and one of"),
        (
            [("01", 0, "2020-01-01"), ("02", 60, "2020-01-11")],
            ("days_since_treatment", "acq_time"),
            "days_contradict",
            "disagree by 50 days",
        ),
    ],
)
def test_missing_unreadable_and_contradictory_days_are_refused(bids, make_head, *, rows, column, code, words):
    visits = {label: {"FLAIR": make_head(n["FLAIR"])} for label, n in TWO.items()}
    error = refused(bids(visits, rows=rows, column=column))
    assert code in codes(error)
    assert words in str(error)


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (("2020-07-22T10:00:00.5", "n/a"), None), (("2020-07-22T23:50", "2020-07-23T00:10"), None),
        (("n/a", "n/a"), "No scans table tells acq_time for ses-02"),
        (("2020-07-22", "2020-07-24"), "The files of ses-02 were acquired up to 2 days apart"),
        (("22.07.2020", "22.07.2020"), "ses-02: acq_time of its scans table cannot be read"),
    ],
)  # fmt: skip
def test_without_a_sessions_table_the_scans_tables_tell_the_days_or_why_not(bids, make_head, second, told):
    names = ("FLAIR", "T1w")
    folder = bids({label: {name: make_head() for name in names} for label in ("01", "02")})
    for label, times in (("ses-01", ("2020-01-01T09:00", "2020-01-01")), ("ses-02", second)):
        rows = [f"anat/sub-01_{label}_{name}.nii.gz\t{time}" for name, time in zip(names, times, strict=True)]
        text = "\n".join(["filename\tacq_time", *rows, "func/x.nii.gz\t1999-01-01"])
        (folder / label / f"sub-01_{label}_scans.tsv").write_text(text)
    if told is None:
        timeline = read_timeline(folder)
        assert [visit.days_since_first for visit in timeline.visits] == [0, 203]
        assert codes(timeline) == {"days_of_scans"}
    else:
        assert told in str(refused(folder))


def write_scans_table(folder, label, text):
    (folder / label / f"{folder.name}_{label}_scans.tsv").write_text(f"filename\tacq_time\n{text}\n")


@pytest.mark.parametrize(
    ("scans", "places"),
    [
        (("2020-01-01", "2020-03-01T23:50", "2020-06-01"), []),  # a day earlier than the table, as by times of day
        (("2020-01-01", "2020-03-02", "2020-07-01"), ["ses-03"]),
        (("2019-01-01", "n/a", "2020-06-01"), ["ses-03"]),
        (("1900-01-01", "1900-01-01", "1900-01-01"), []),
        (("2020-01-01", "2020-03-02", "01/07/2020"), []),
        (("2020-01-01", "2020-03-02", '"2020-07-01'), []),
    ],
)
@pytest.mark.parametrize("column", ["days_since_treatment", "acq_time"])
def test_days_of_the_sessions_table_that_contradict_the_scans_tables_are_refused(
    bids, make_head, scans, places, column
):
    days = [20, 81, 172] if column != "acq_time" else ["2018-05-01", "2018-07-01", "2018-09-30"]
    labels = ("01", "02", "03")
    folder = bids(
        {label: {"FLAIR": make_head(n)} for n, label in enumerate(labels)},
        rows=list(zip(labels, days, strict=True)),
        column=column,
    )
    for label, cell in zip(labels, scans, strict=True):
        write_scans_table(folder, f"ses-{label}", f"anat/sub-01_ses-{label}_FLAIR.nii.gz\t{cell}")
    if not places:
        assert [visit.days_since_first for visit in read_timeline(folder).visits] == [0, 61, 152]
        return
    error = refused(folder)
    assert [item.message.partition(":")[0] for item in error.findings] == places
    way = "the date" if column == "acq_time" else column
    assert f"{way} of the sessions table and acq_time of its scans table disagree by" in str(error)


def test_days_fill_in_from_another_column_and_whole_floats_are_read(bids, make_head):
    visits = {label: {"FLAIR": make_head(n["FLAIR"])} for label, n in TWO.items()}
    rows = [("01", "12.0", "2020-01-01"), ("02", "n/a", "2020-01-31T10:00:00")]
    timeline = read_timeline(bids(visits, rows=rows, column=("days_since_treatment", "acq_time")))
    assert [(v.days_since_first, v.days_since_treatment) for v in timeline.visits] == [(0, 12), (30, 42)]


@pytest.mark.parametrize("labels", [("2", "10"), ("m0", "m3", "m12"), ("01", "2", "010")])
def test_numbers_in_sessions_labels_are_put_in_order_as_numbers(bids, make_head, labels):
    visits = {label: {"FLAIR": make_head(n)} for n, label in enumerate(labels)}
    for order, wanted in ((labels, set()), (labels[::-1], {"sessions_out_of_order"})):
        folder = bids(visits, rows=[(label, 90 * n) for n, label in enumerate(order)])
        assert codes(read_timeline(folder)) == wanted


def test_of_days_that_contradict_the_visit_unlike_the_others_is_told(bids, tmp_path, make_head):
    days = [("2019-01-01", 0), ("2020-04-01", 91), ("2020-07-10", 191), ("2020-09-01", 244)]
    write_nifti(make_head(), tmp_path / "a.nii.gz")
    rows = [f"a.nii.gz,{sequence},{date},{day}" for date, day in days for sequence in ("FLAIR", "T1w")]
    (tmp_path / "t.csv").write_text("\n".join(["path,sequence,date,days_since_treatment", *rows]))
    folder = bids(
        {f"{n}": {"FLAIR": make_head(n)} for n in range(4)},
        rows=[(n, day, date) for n, (date, day) in enumerate(days)],
        column=("days_since_treatment", "acq_time"),
    )
    for path, place in ((tmp_path / "t.csv", "Line 2"), (folder, "ses-0")):
        message = f"{place}: days_since_treatment and the date disagree by 365 days. Correct one of them."
        assert str(refused(path)) == message


def test_of_competing_files_the_plainest_and_last_run_is_read_and_said(bids, make_head):
    folder = bids({"01": {"acq-tse_run-1_T2w": make_head(0), "acq-tse_run-2_T2w": make_head(1)}})
    timeline = read_timeline(folder)
    assert {"competing_files", "days_unknown"} == codes(timeline)
    np.testing.assert_array_equal(timeline.visits[0].sources["T2w"].read().voxels, make_head(1).voxels)


def test_a_table_tells_all_its_mistakes_at_once_by_line_without_its_cells(tmp_path, make_head, planted):
    write_nifti(make_head(), tmp_path / f"{planted}.nii.gz")
    rows = [
        "PATH;Sequence;date",
        f"{planted}.nii.gz;t2-flair;2020-01-01",
        f'"{planted}.nii.gz";FLAIR;20200101',
        f"{planted}_gone.nii.gz;T1 post;2020-01-01",
        f"{planted}.nii.gz;{planted};2020-01-01",
        f"{planted}.nii.gz;T1w;01.02.2020",
        f"{planted}.nii.gz;T1w;2999-01-01",
        f"{planted}.nii.gz;T1w;",
        ";T1w;2020-01-01",
    ]
    path = tmp_path / "table.csv"
    path.write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    message = str(refused(path))
    assert "7 mistakes" in message
    assert planted not in message
    for line, words in {
        3: "FLAIR on this day is in line 2 already",
        4: "no file is at this path",
        5: "sequence is none of",
        6: "date cannot be read",
        7: "date is after today",
        8: "no day is given",
        9: "path is empty",
    }.items():
        assert f"Line {line}: {words}" in message


def test_a_semicolon_table_with_marks_quotes_and_windows_ends_reads(tmp_path, make_head):
    write_nifti(make_head(), tmp_path / "a b.nii.gz")
    path = tmp_path / "t.csv"
    path.write_bytes('path;sequence;days_since_treatment\r\n"a b.nii.gz";T1-Gd;12.0\r\n\r\n'.encode("utf-8-sig"))
    (visit,) = read_timeline(path).visits
    assert (visit.sequences, visit.days_since_treatment) == (("ce-gd_T1w",), 12)


@pytest.mark.parametrize(
    "rows",
    [
        ["a.nii.gz,FLAIR,20200101,10", "a.nii.gz,T1w,20200101,", "a.nii.gz,FLAIR,20200401,"],
        ["a.nii.gz,FLAIR,20200101,10", "a.nii.gz,T1w,,10", "a.nii.gz,FLAIR,,101"],
    ],
)
def test_a_row_with_its_date_or_its_days_alone_is_of_the_visit_whose_row_tells_both(tmp_path, make_head, rows):
    write_nifti(make_head(), tmp_path / "a.nii.gz")
    (tmp_path / "t.csv").write_text("\n".join(["path,sequence,date,days_since_treatment", *rows]))
    visits = read_timeline(tmp_path / "t.csv").visits
    assert [(visit.sequences, visit.days_since_treatment) for visit in visits] == [
        (("FLAIR", "T1w"), 10),
        (("FLAIR",), 101),
    ]


def test_a_minus_of_its_own_and_signs_without_width_are_read_as_they_look(tmp_path, make_head):
    for number in (1, 2):
        write_nifti(make_head(number), tmp_path / f"{number}.nii.gz")
    rows = [
        "path,sequence,\u200bdays_since_treatment",
        "\u20601.nii.gz,FLAIR,\u22125",
        "2.nii.gz,FLAIR\ufeff,100\u200b",
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    timeline = read_timeline(tmp_path / "t.csv")
    assert [visit.days_since_treatment for visit in timeline.visits] == [-5, 100]


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_of_a_path_may_be_composed_or_not(tmp_path, make_head, on_disk, in_table):
    path = "Aufnahmen für Zoë/é.nii.gz"
    write_nifti(make_head(), tmp_path / unicodedata.normalize(on_disk, path))
    rows = f"path,sequence,days_since_treatment\n{unicodedata.normalize(in_table, path)},FLAIR,1\n"
    (tmp_path / "t.csv").write_text(rows, encoding="utf-8")
    assert read_timeline(tmp_path / "t.csv").visits[0].sources["FLAIR"].read().voxels.shape == (44, 52, 40)


def test_a_patient_s_own_anat_beside_sessions_is_told_of(bids, make_head):
    patient = bids({"01": {"FLAIR": make_head()}}, rows=[("01", 0)])
    write_nifti(make_head(), patient / "anat" / "sub-01_T2w.nii.gz")
    assert codes(read_timeline(patient)) == {"derived_files"}


def test_a_suffix_of_mixed_capitals_is_told_in_a_sentence_and_nothing_else(tmp_path, make_head, capfd):
    write_nifti(make_head(), tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").rename(tmp_path / "a.Nii.Gz")
    (tmp_path / "t.csv").write_text("path,sequence,days_since_treatment\na.Nii.Gz,FLAIR,10")
    source = read_timeline(tmp_path / "t.csv").visits[0].sources["FLAIR"]
    with pytest.raises(VolumeError, match=r"should end in \.nii\.gz"):
        source.read()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("patient", [None, "A"])
def test_a_row_without_a_patient_is_the_only_one_s_and_nobody_s_of_several(tmp_path, make_head, patient):
    write_nifti(make_head(), tmp_path / "a.nii.gz")
    lines = ["path,sequence,days_since_treatment,patient", "a.nii.gz,FLAIR,10,A", "a.nii.gz,FLAIR,90,"]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(lines))
    assert len(read_timeline(table, patient=patient).visits) == 2
    table.write_text("\n".join([*lines, "a.nii.gz,FLAIR,120,B"]))
    if patient is None:
        assert "3 patients" in str(refused(table))
    else:
        assert len(read_timeline(table, patient=patient).visits) == 1


@pytest.mark.parametrize(
    "column",
    [
        "participant_id", "Patient ID", "subject", "patient_id", "SubjectID", "id", "subj", "name", "record_id",
        "study_id", "subject_label", "pseudonym", "patient_code",
    ],
)  # fmt: skip
def test_rows_of_several_patients_are_refused_whatever_their_column_is_called(tmp_path, make_head, column):
    write_nifti(make_head(), tmp_path / "a.nii.gz")
    rows = ["a.nii.gz,FLAIR,10,sub-03", "a.nii.gz,FLAIR,90,sub-01"]
    (tmp_path / "t.csv").write_text("\n".join([f"path,sequence,days_since_treatment,{column}", *rows]))
    assert "2 patients" in str(refused(tmp_path / "t.csv"))
    timeline = read_timeline(tmp_path / "t.csv", patient="03")
    assert (len(timeline.visits), codes(timeline)) == (1, set())


def test_an_id_beside_a_column_that_names_the_patient_tells_none(tmp_path, make_head):
    write_nifti(make_head(), tmp_path / "a.nii.gz")
    rows = ["a.nii.gz,FLAIR,10,A,1", "a.nii.gz,FLAIR,90,A,2"]
    (tmp_path / "t.csv").write_text("\n".join(["path,sequence,days_since_treatment,patient,id", *rows]))
    timeline = read_timeline(tmp_path / "t.csv")
    assert (len(timeline.visits), codes(timeline)) == (2, {"columns_ignored"})


def table_with(folder, make_head, columns, cells):
    """A table with a visit every hundred days and some columns more, a row a visit."""
    write_nifti(make_head(), folder / "a.nii.gz")
    rows = [f"a.nii.gz,FLAIR,{100 * number},{more}" for number, more in enumerate(cells)]
    (folder / "t.csv").write_text("\n".join([f"path,sequence,days_since_treatment,{columns}", *rows]))
    return {item.code: item for item in read_timeline(folder / "t.csv").findings}


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("patient key 2", ("SECRET", "SECRET", "B")),
        ("date_of_birth", ("2010-04-01", "2010-04-01", "2011-07-03")),
        ("PatientSex", ("F", "", "M")),
        ("key", ("SECRET", "B", "SECRET", "B")),
        ("kind", ("1203", "1204", "1204", "1203")),
        ("scan_date", ("2020-01-01", "2020-03-01", "2019-12-31")),
        ("acq_time", ("2020-01-01T10:00:00", "2020-03-01T10:00:00", "2019-12-31T10:00:00")),
    ],
)
def test_a_column_not_used_that_tells_rows_apart_is_warned_of_by_its_number(tmp_path, make_head, column, cells):
    found = table_with(tmp_path, make_head, column, cells)
    warning = found["columns_tell_apart"]
    assert warning.severity is Severity.WARNING
    assert warning.message.startswith("The table's rows differ in column 4, not used, as those of several patients")
    assert not any(word in warning.message for word in ("SECRET", "2010", "2020", column.lower().replace(" ", "_")))


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("patient key 2", ("A", "A", "A")),
        ("patient_age", ("4", "5", "5")),
        ("scanner", ("Prisma", "Skyra", "Prisma", "Skyra")),
        ("hash", ("a1", "b2", "c3", "d4")),
        ("finding", ("none", "none", "new", "new")),
        ("finding", ("none", "new", "none", "none")),
        ("finding", ("none", "", "none", "new")),
        ("report_date", ("2020-01-01", "2020-03-01", "2020-03-01")),
    ],
)
def test_a_column_of_what_changes_in_one_patient_is_no_warning(tmp_path, make_head, column, cells):
    assert set(table_with(tmp_path, make_head, column, cells)) == {"columns_ignored"}


def test_columns_not_used_are_told_by_their_numbers_those_of_bids_apart(tmp_path, make_head):
    columns = "note,session_id," + ",".join(f"c{number}" for number in range(8))
    found = table_with(tmp_path, make_head, columns, ["SECRET,1,,,,,,,,", "x,2,,,,,,,,"])
    message = "Not known and ignored: columns 4, 6, 7, 8, 9, 10 and 3 more of the table."
    assert [item.message for item in found.values()] == [message]
    assert set(table_with(tmp_path, make_head, "session_id,age,sex", ["1,4,F", "2,5,F"])) == set()


@pytest.mark.parametrize(
    ("columns", "cells", "wanted"),
    [
        ("days_since_treatment,date", ("10,", ",2020-01-01", ",2020-06-01"), "the date is not given for Line 2."),
        (
            "days_since_treatment,days_since_first_scan",
            ("10,", "40,", ",60", ",90", "95,"),
            "days_since_treatment is not given for Line 4, Line 5.",
        ),
    ],
)
def test_days_told_in_different_ways_are_refused_by_the_lines_that_lack_the_commonest(
    tmp_path, make_head, columns, cells, wanted
):
    write_nifti(make_head(), tmp_path / "a.nii.gz")
    rows = [f"a.nii.gz,FLAIR,{days}" for days in cells]
    (tmp_path / "t.csv").write_text("\n".join([f"path,sequence,{columns}", *rows]))
    message = str(refused(tmp_path / "t.csv"))
    assert message == (
        f"The days of {len(cells)} visits are told in different ways, wanted one that all have: {wanted} "
        "Fill it in there."
    )


def test_a_patient_asked_of_a_table_that_tells_none_is_to_be_left_out(tmp_path, make_head):
    write_nifti(make_head(), tmp_path / "a.nii.gz")
    (tmp_path / "t.csv").write_text("path,sequence,days_since_treatment\na.nii.gz,FLAIR,10")
    message = str(refused(tmp_path / "t.csv", patient="A"))
    assert message == "The table has no column that tells the patient. Leave out --patient."


@pytest.mark.parametrize(
    ("text", "read"),
    [
        *((f"2019-03-28{time}", True) for time in (
            "", "T10:30", "T10:30:00.5", "T00:00:00+14:00", " 7:05", " 07:05:01 PM", "T103000Z")),
        ("20190328", True), ("2019-0328", False), ("2019-03-28 or 2019-04-28", False), ("20190328 20190428", False),
        ("2019-03-28 2019", False), ("2019-03-28T", False),
    ],
)  # fmt: skip
def test_behind_a_date_only_a_time_of_day_is_passed_over(text, read):
    if read:
        assert parse_date(text).isoformat() == "2019-03-28"
    else:
        with pytest.raises(ValueError, match="YYYY-MM-DD"):
            parse_date(text)


def test_of_the_parts_of_a_complex_image_only_the_magnitude_is_read(bids, make_head):
    folder = bids({"01": {f"part-{part}_T2w": make_head(n) for n, part in enumerate(("imag", "mag", "phase", "real"))}})
    timeline = read_timeline(folder)
    assert codes(timeline) == {"derived_files", "days_unknown"}
    assert "part-mag" in timeline.visits[0].sources["T2w"].files[0].name


@pytest.mark.parametrize(
    ("suffix", "code"),
    [
        *((name, "misnamed_files") for name in ("T1", "flair", "t1ce", "T1_post", "ce-gd_T1", "acq-3D_run-1_T2")),
        *((name, "derived_files") for name in ("ce-gd_T2w", "desc-brain_T1", "label-x_T1w", "T1map", "PDw", "mask")),
    ],
)  # fmt: skip
def test_a_volume_whose_name_is_not_quite_bids_is_not_taken_for_a_derived_one(bids, make_head, suffix, code):
    timeline = read_timeline(bids({"01": {"FLAIR": make_head(), suffix: make_head(1)}}, rows=[("01", 0)]))
    assert codes(timeline) == {code}
    assert timeline.visits[0].sequences == ("FLAIR",)


def test_what_macos_leaves_beside_files_is_no_volume(tmp_path, make_head, bids):
    for date in DATES:
        write_nifti(make_head(), tmp_path / "dated" / f"NN_{date}_FLAIR.nii.gz")
        (tmp_path / "dated" / f"._NN_{date}_FLAIR.nii.gz").write_bytes(b"Mac OS X")
    patient = bids({"01": {"FLAIR": make_head()}}, rows=[("01", 0)])
    (patient / "ses-01" / "anat" / "._sub-01_ses-01_FLAIR.nii.gz").write_bytes(b"Mac OS X")
    assert len(read_timeline(tmp_path / "dated").visits) == 2
    assert not read_timeline(tmp_path / "dated").findings
    assert not read_timeline(patient).findings


def test_of_two_numbers_like_dates_in_a_name_the_last_is_the_date(tmp_path, make_head):
    for name in ("MRN_12345678_20200101_FLAIR", "MRN_12345678_20200722_FLAIR"):
        write_nifti(make_head(), tmp_path / f"{name}.nii.gz")
    assert [visit.days_since_first for visit in read_timeline(tmp_path).visits] == [0, 203]


@pytest.mark.parametrize("way", [".", "..", "ses-01/..", "link"])
def test_a_patient_s_folder_is_known_by_whatever_path_leads_to_it(way, bids, make_head, tmp_path, monkeypatch):
    patient = bids({"01": {"FLAIR": make_head()}}, rows=[("01", 0)])
    (tmp_path / "link").symlink_to(patient, target_is_directory=True)
    monkeypatch.chdir({"..": patient / "ses-01", "link": tmp_path}.get(way, patient))
    for reader in (read_timeline, lambda path: find(path).timeline):
        assert reader(Path(way)).patient_id == "sub-01"


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        *((f"ses-{date}", False) for date in (
            "20190304", "03252019", "25032019", "2019030401", "201903041530", "2019Mar04", "04Mar2019", "4march19",
            "March042019", "V20190304", "190304", "040319", "031519", "V190304b")),
        *((f"ses-{plain}", True) for plain in (
            "01", "0123", "12months", "mar01", "decline2", "1may", "V2019", "001345", "123456", "1903041")),
    ],
)  # fmt: skip
def test_a_label_with_a_date_in_it_is_told_from_one_without(label, shown):
    assert may_be_shown(label) is shown


def test_dated_files_of_several_patients_are_refused_without_their_names(tmp_path, make_head, planted):
    for name in (f"{planted}_20200101", "OTHERNAME_20200301_T2w", "OTHERNAME_20200601"):
        write_nifti(make_head(), tmp_path / f"{name}.nii.gz")
    (tmp_path / f"{planted}.pdf").write_text("letter")
    message = str(refused(tmp_path))
    assert "2 patients" in message
    assert planted not in message
    assert "OTHERNAME" not in message
    timeline = read_timeline(tmp_path, patient="OTHERNAME")
    assert [v.sequences for v in timeline.visits] == [("T2w",), ("FLAIR",)]
    assert codes(timeline) == {"sequence_assumed", "unknown_files"}


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("FLAIR_{}", "ce-gd_T1w_{}"), ("FLAIR", "ce-gd_T1w")), (("T1_post_{}",), ("ce-gd_T1w",)),
        (("t2_{}",), ("T2w",)), (("{}_FLAIR", "T1_{}"), ("FLAIR", "T1w")), (("T1_{}_FLAIR",), ("FLAIR",)),
    ],
)  # fmt: skip
def test_a_sequence_named_before_the_date_is_no_part_of_the_patient_s_name(tmp_path, make_head, names, wanted):
    for date in DATES:
        for name in names:
            write_nifti(make_head(), tmp_path / f"N_N_{name.format(date)}.nii.gz")
    timeline = read_timeline(tmp_path, identified=True)
    assert [visit.sequences for visit in timeline.visits] == [wanted, wanted]
    assert timeline.patient_id == ("sub-NNT1" if names == ("T1_{}_FLAIR",) else "sub-NN")
    assert "sequence_assumed" not in codes(timeline)
    assert ("sequence_before_date" in codes(timeline)) == (names != ("T1_{}_FLAIR",))


def test_time_points_before_the_date_are_not_taken_for_sequences(tmp_path, make_head):
    for point, date in zip(("T1", "T2", "T3"), (*DATES, "20211205"), strict=False):
        write_nifti(make_head(), tmp_path / f"P_{point}_{date}.nii.gz")
    with pytest.raises(TimelineRefused, match="hold T1 and T2 before the date, each on one date only"):
        read_timeline(tmp_path)
    write_nifti(make_head(), tmp_path / f"P_T2_{DATES[0]}.nii.gz")
    for path in tmp_path.glob("P_T3_*"):
        path.unlink()
    assert [visit.sequences for visit in read_timeline(tmp_path).visits] == [("T2w", "T1w"), ("T2w",)]


@pytest.mark.parametrize(("name", "words"), [("nothing", "nothing at the path"), ("empty", "no image that is known")])
def test_what_is_no_timeline_is_refused_with_the_forms_wanted(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    assert words in str(refused(tmp_path / name))
    assert "BIDS patient folder" in str(refused(tmp_path / name))


def test_without_pydicom_other_forms_are_read_and_a_folder_of_dicom_is_refused_with_what_to_install(tmp_path):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "1").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "t.csv").write_text("path,sequence,date\ndicom,FLAIR,2020-01-01\n")
    code = (
        "import sys\n"
        "sys.modules['pydicom'] = None\n"  # as where the extra was left out
        "from TemporalGliomaRisk.commands import main\n"
        "print([main(['check', path]) for path in sys.argv[1:]])\n"
    )
    paths = [str(resource_path("SampleData") / "sub-03"), str(tmp_path / "dicom"), str(tmp_path / "t.csv")]
    found = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False)
    assert found.stdout.splitlines()[-1] == "[0, 2, 2]", found.stderr
    assert found.stderr.count("DICOM cannot be read here: run pip install 'TemporalGliomaRisk[dicom]'.") == 2
