"""BIDS folders whose labels, tables, sidecars and links are broken, hostile or odd."""

from __future__ import annotations

import os
import unicodedata

from hostile_workshop import SECRET, Expected, Workshop, head, nifti

COLUMNS = "session_id\tdays_since_first_scan\n"


def test_ends_in_one_sentence_or_a_right_result(case, run_case) -> None:
    run_case(case)


def _days(at: Workshop, text: str | bytes) -> object:
    at.patient()
    at.sessions(text)
    return at.folder / "sub-01"


# The sessions table


def case_plain(at: Workshop) -> Expected:
    return at.right(at.patient())


def case_no_sessions_table(at: Workshop) -> Expected:
    path = at.patient()
    (path / "sub-01_sessions.tsv").unlink()
    return at.refused(path, "no sessions table")


def case_sessions_table_empty(at: Workshop) -> Expected:
    return at.refused(_days(at, ""), "is empty")


def case_sessions_table_of_zeros(at: Workshop) -> Expected:
    return at.refused(_days(at, bytes(5_000)), "no text")


def case_sessions_table_that_is_a_pipe(at: Workshop) -> Expected:
    path = at.patient()
    (path / "sub-01_sessions.tsv").unlink()
    os.mkfifo(path / "sub-01_sessions.tsv")
    return at.refused(path, "no sessions table")


def case_sessions_table_that_is_a_folder(at: Workshop) -> Expected:
    path = at.patient()
    (path / "sub-01_sessions.tsv").unlink()
    (path / "sub-01_sessions.tsv").mkdir()
    return at.refused(path, "no sessions table")


def case_sessions_table_of_5_gigabytes(at: Workshop) -> Expected:
    path = at.patient()
    os.truncate(path / "sub-01_sessions.tsv", 5_000_000_000)
    return at.refused(path, "larger than")


def case_no_column_session_id(at: Workshop) -> Expected:
    return at.refused(_days(at, "session\tdays_since_first_scan\nses-01\t0\nses-02\t100\n"), "needs session_id")


def case_no_column_of_days(at: Workshop) -> Expected:
    return at.refused(_days(at, "session_id\tage\nses-01\t9\nses-02\t10\n"), "needs session_id and one of")


def case_column_twice(at: Workshop) -> Expected:
    text = "session_id\tacq_time\tacq_time\nses-01\t2020-01-01\t2020-01-01\nses-02\t2020-04-10\t2020-05-10\n"
    return at.refused(_days(at, text), "names a column twice")


def case_session_twice(at: Workshop) -> Expected:
    return at.refused(_days(at, COLUMNS + "ses-01\t0\nses-02\t100\nses-02\t200\n"), "twice")


def case_name_twice_in_the_column_of_sessions(at: Workshop) -> Expected:
    text = COLUMNS + f"ses-01\t0\nses-02\t100\n{SECRET} 12\t5\n{SECRET} 12\t6\n"
    return at.refused(_days(at, text), "twice")


def case_session_missing_from_the_table(at: Workshop) -> Expected:
    return at.refused(_days(at, COLUMNS + "ses-01\t0\n"), "no day for ses-02")


def case_labels_without_their_prefix(at: Workshop) -> Expected:
    return at.right(_days(at, COLUMNS + "01\t0\n02\t100\n"))


def case_day_that_is_no_number(at: Workshop) -> Expected:
    return at.refused(_days(at, COLUMNS + f"ses-01\t0\nses-02\t{SECRET}\n"), "cannot be read")


def case_day_nan(at: Workshop) -> Expected:
    return at.refused(_days(at, COLUMNS + "ses-01\t0\nses-02\t+nan\n"), "cannot be read")


def case_day_huge(at: Workshop) -> Expected:
    return at.refused(_days(at, COLUMNS + "ses-01\t0\nses-02\t1e308\n"), "cannot be read")


def case_two_visits_on_one_day(at: Workshop) -> Expected:
    return at.refused(_days(at, COLUMNS + "ses-01\t7\nses-02\t7\n"), "on the same day")


def case_order_of_labels_against_days(at: Workshop) -> Expected:
    return at.warned(_days(at, COLUMNS + "ses-01\t100\nses-02\t0\n"), "another order")


def case_first_day_not_0(at: Workshop) -> Expected:
    return at.right(_days(at, COLUMNS + "ses-01\t20\nses-02\t120\n"))


def case_columns_that_contradict_each_other(at: Workshop) -> Expected:
    text = "session_id\tdays_since_first_scan\tdays_since_treatment\nses-01\t0\t30\nses-02\t100\t131\n"
    return at.refused(_days(at, text), "disagree by 1 days")


def case_days_that_contradict_dates(at: Workshop) -> Expected:
    text = "session_id\tdays_since_first_scan\tacq_time\nses-01\t0\t2020-01-01\nses-02\t100\t2021-01-01\n"
    return at.refused(_days(at, text), "disagree by 266 days")


def case_date_in_the_future(at: Workshop) -> Expected:
    text = "session_id\tacq_time\nses-01\t2020-01-01\nses-02\t2999-01-01\n"
    return at.refused(_days(at, text), "after today")


def case_dates_shifted_to_the_year_1800(at: Workshop) -> Expected:
    text = "session_id\tacq_time\nses-01\t1800-01-01T00:00:00\nses-02\t1800-04-11T00:00:00\n"
    return at.warned(_days(at, text), "before 1925")


def case_year_0000(at: Workshop) -> Expected:
    return at.refused(_days(at, "session_id\tacq_time\nses-01\t0000-01-01\nses-02\t0000-04-10\n"), "cannot be read")


def case_dates_with_time_zones(at: Workshop) -> Expected:
    text = "session_id\tacq_time\nses-01\t2020-01-01T10:00:00.000000Z\nses-02\t2020-04-10T23:59:59+14:00\n"
    return at.right(_days(at, text))


def case_all_days_unknown(at: Workshop) -> Expected:
    return at.refused(_days(at, COLUMNS + "ses-01\tn/a\nses-02\tn/a\n"), "no day for ses-01, ses-02")


def case_100_000_rows_without_folders(at: Workshop) -> Expected:
    rows = "".join(f"ses-x{number}\t{number}\n" for number in range(100_000))
    return at.right(_days(at, COLUMNS + "ses-01\t0\nses-02\t100\n" + rows))


def case_labels_with_paths(at: Workshop) -> Expected:
    text = COLUMNS + "ses-01\t0\nses-02\t100\n../../../etc/passwd\t5\n/dev/zero\t6\n"
    return at.right(_days(at, text))


# Labels and names


def case_label_that_is_a_date(at: Workshop) -> Expected:
    at.write("sub-01/ses-20190304/anat/sub-01_ses-20190304_FLAIR.nii", nifti(head(1)))
    at.write("sub-01/ses-20190612/anat/sub-01_ses-20190612_FLAIR.nii", nifti(head(2)))
    at.sessions(COLUMNS + "ses-20190304\t0\nses-20190612\t100\n")
    return at.right(at.folder / "sub-01")


def case_label_that_is_a_date_and_no_day(at: Workshop) -> Expected:
    at.write("sub-01/ses-SECRETNAME20190304/anat/x_FLAIR.nii", nifti(head(1)))
    at.write("sub-01/ses-SECRETNAME20190612/anat/x_FLAIR.nii", nifti(head(2)))
    at.sessions(COLUMNS + "ses-SECRETNAME20190304\t0\n")
    return at.refused(at.folder / "sub-01", "no day for 1 session")


def case_label_with_blanks_and_a_name(at: Workshop) -> Expected:
    for number, name in enumerate(("ses-SECRETNAME Jérôme 1", "ses-SECRETNAME Jérôme 2"), start=1):
        at.write(f"sub-01/{name}/anat/x_FLAIR.nii", nifti(head(number)))
    at.sessions(COLUMNS + "ses-SECRETNAME Jérôme 1\t0\nses-SECRETNAME Jérôme 2\t100\n")
    return at.right(at.folder / "sub-01")


def case_label_with_a_line_end(at: Workshop) -> Expected:
    at.patient()
    at.write("sub-01/ses-03\nSECRETNAME/anat/x_FLAIR.nii", nifti(head(3)))
    return at.refused(at.folder / "sub-01", "no day for 1 session")


def case_label_of_240_characters(at: Workshop) -> Expected:
    long = "ses-" + "a" * 240
    at.write("sub-01/ses-01/anat/sub-01_ses-01_FLAIR.nii", nifti(head(1)))
    at.write(f"sub-01/{long}/anat/x_FLAIR.nii", nifti(head(2)))
    at.sessions(COLUMNS + f"ses-01\t0\n{long}\t100\n")
    return at.right(at.folder / "sub-01")


def case_label_of_240_characters_without_a_sessions_table(at: Workshop) -> Expected:
    at.write("sub-01/ses-01/anat/sub-01_ses-01_FLAIR.nii", nifti(head(1)))
    at.write(f"sub-01/ses-{'a' * 240}/anat/x_FLAIR.nii", nifti(head(2)))
    return at.refused(at.folder / "sub-01", "2 visits but no sessions table")


def case_patient_s_folder_with_a_name(at: Workshop) -> Expected:
    at.patient()
    (at.folder / "sub-01").rename(at.folder / f"sub-{SECRET} Müller, Jérôme")
    folder = at.folder / f"sub-{SECRET} Müller, Jérôme"
    (folder / "sub-01_sessions.tsv").rename(folder / f"{folder.name}_sessions.tsv")
    return at.right(folder)


def case_patient_s_folder_with_a_name_and_no_table(at: Workshop) -> Expected:
    path = at.patient()
    (path / "sub-01_sessions.tsv").unlink()
    path.rename(at.folder / f"sub-{SECRET} Müller")
    return at.refused(at.folder / f"sub-{SECRET} Müller", "no sessions table")


def case_several_patients_with_names(at: Workshop) -> Expected:
    for name in (f"sub-{SECRET} one", f"sub-{SECRET} two"):
        at.write(f"data/{name}/ses-01/anat/x_FLAIR.nii", nifti(head(1)))
    return at.refused(at.folder / "data", "2 patients")


def case_names_with_blanks_accents_and_quotes(at: Workshop) -> Expected:
    name = unicodedata.normalize("NFD", "Jérôme 'O\"Neill' ${HOME} `id` %s 日本.nii")
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").rename(path / f"ses-02/anat/{name[:-4]}_FLAIR.nii")
    return at.right(path)


def case_a_name_of_250_characters(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").rename(path / f"ses-02/anat/{'x' * 240}_FLAIR.nii")
    return at.right(path)


def case_a_name_that_is_no_text(at: Workshop) -> Expected:
    path = at.patient()
    place = os.fsencode(path / "ses-02" / "anat")
    os.rename(place + b"/sub-01_ses-02_FLAIR.nii", place + b"/\xff\xfe\x80_FLAIR.nii")  # noqa: PTH104
    return at.refused(path, "no text in UTF-8")


def case_a_name_with_a_line_end(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").rename(path / "ses-02/anat/SECRETNAME\n\x1b[2J_FLAIR.nii")
    return at.right(path)


# Files and links in the folders


def case_empty_folder(at: Workshop) -> Expected:
    (at.folder / "empty").mkdir()
    return at.refused(at.folder / "empty", "holds no image")


def case_patient_without_volumes(at: Workshop) -> Expected:
    (at.folder / "sub-01/ses-01/anat").mkdir(parents=True)
    return at.refused(at.folder / "sub-01", "No volume of a known pulse sequence")


def case_session_without_volumes(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-03/anat").mkdir(parents=True)
    return at.warned(path, "1 sessions hold no volume")


def case_anat_that_is_a_file(at: Workshop) -> Expected:
    path = at.patient()
    at.write("sub-01/ses-03/anat", "not a folder")
    return at.warned(path, "1 sessions hold no volume")


def case_session_that_is_a_file(at: Workshop) -> Expected:
    at.patient()
    at.write("sub-01/ses-03", "not a folder")
    return at.right(at.folder / "sub-01")


def case_volume_that_is_a_folder(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").unlink()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").mkdir()
    return at.refused(path, "the file is not there")


def case_volume_that_is_a_pipe(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").unlink()
    os.mkfifo(path / "ses-02/anat/sub-01_ses-02_FLAIR.nii")
    return at.refused(path, "the file is not there")


def case_volume_that_is_a_device(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").unlink()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").symlink_to("/dev/zero")
    return at.refused(path, "the file is not there")


def case_volume_linked_to_nothing(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").unlink()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").symlink_to("../../../.git/annex/SECRETNAME")
    return at.refused(path, "the file is not there")


def case_volume_linked_in_a_circle(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").unlink()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").symlink_to("sub-01_ses-02_FLAIR.nii")
    return at.refused(path, "the file is not there")


def case_volume_linked_out_of_the_folder_as_git_annex_does(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").rename(at.folder / "object")
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").symlink_to(at.folder / "object")
    return at.right(path)


def case_session_linked_to_its_parent(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-03").symlink_to("..", target_is_directory=True)
    return at.warned(path, "1 sessions hold no volume")


def case_folder_linked_to_the_root_of_the_disk(at: Workshop) -> Expected:
    path = at.patient()
    (path / "dwi").symlink_to("/", target_is_directory=True)
    return at.right(path)


def case_volume_without_reading_rights(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02/anat/sub-01_ses-02_FLAIR.nii").chmod(0)
    if os.access(path / "ses-02/anat/sub-01_ses-02_FLAIR.nii", os.R_OK):  # root reads everything
        return at.right(path)
    return at.refused(path, "the system refuses to open it")


def case_sessions_table_without_reading_rights(at: Workshop) -> Expected:
    path = at.patient()
    (path / "sub-01_sessions.tsv").chmod(0)
    if os.access(path / "sub-01_sessions.tsv", os.R_OK):
        return at.right(path)
    return at.refused(path, "cannot be read")


def case_folder_without_reading_rights(at: Workshop) -> Expected:
    path = at.patient()
    (path / "ses-02").chmod(0)
    if os.access(path / "ses-02", os.R_OK):
        (path / "ses-02").chmod(0o700)
        return at.right(path)
    return at.refused(path, "")


def case_several_files_of_one_sequence(at: Workshop) -> Expected:
    at.write("sub-01/ses-02/anat/sub-01_ses-02_run-1_FLAIR.nii", b"broken")
    return at.warned(at.patient(), "2 files compete")


def _renamed(at: Workshop, *visits: int, old: str, new: str) -> object:
    path = at.patient()
    for number in visits:
        for file in (path / f"ses-{number:02d}" / "anat").iterdir():
            file.rename(file.with_name(file.name.replace(old, new)))
    return path


def case_a_file_of_another_patient(at: Workshop) -> Expected:
    return at.refused(_renamed(at, 2, old="sub-01", new=f"sub-{SECRET}"), "labels of 2 patients, wanted one")


def case_files_all_of_another_patient_than_the_folder(at: Workshop) -> Expected:
    return at.warned(_renamed(at, 1, 2, old="sub-01", new=f"sub-{SECRET}"), "another patient's label")


def case_a_file_of_another_visit(at: Workshop) -> Expected:
    return at.warned(_renamed(at, 2, old="ses-02", new="ses-01"), "label of another session")


def case_sessions_called_by_other_numbers_than_their_folders(at: Workshop) -> Expected:
    return at.refused(_days(at, COLUMNS + "ses-1\t0\nses-2\t100\n"), "whose session_id is the folder's name")


def case_1_000_files_beside(at: Workshop) -> Expected:
    for number in range(1_000):
        at.write(f"sub-01/ses-01/anat/{SECRET}{number}.xyz", b"")
    return at.right(at.patient())


def case_1_000_visits(at: Workshop) -> Expected:
    one = at.write("one.nii", nifti(head(1)))
    for number in range(1_000):
        place = at.folder / f"sub-01/ses-{number:04d}/anat"
        place.mkdir(parents=True)
        (place / f"sub-01_ses-{number:04d}_FLAIR.nii").symlink_to(one)
    rows = "".join(f"ses-{number:04d}\t{number}\n" for number in range(1_000))
    at.sessions(COLUMNS + rows)
    return at.refused(at.folder / "sub-01", "1000 visits")


# Sidecars, which nothing here depends on


def _sidecar(at: Workshop, content: bytes | str) -> Expected:
    at.write("sub-01/ses-01/anat/sub-01_ses-01_FLAIR.json", content)
    at.write("dataset_description.json", content)
    at.write("sub-01/sub-01_sessions.json", content)
    return at.right(at.patient())


def case_sidecar_of_100_000_brackets(at: Workshop) -> Expected:
    return _sidecar(at, "[" * 100_000)


def case_sidecar_with_huge_numbers(at: Workshop) -> Expected:
    return _sidecar(at, '{"EchoTime": 1e999999, "RepetitionTime": ' + "9" * 100_000 + "}")


def case_sidecar_with_nan(at: Workshop) -> Expected:
    return _sidecar(at, '{"EchoTime": NaN, "FlipAngle": -Infinity}')


def case_sidecar_with_paths_up_and_out(at: Workshop) -> Expected:
    return _sidecar(at, '{"IntendedFor": "../../../../etc/passwd", "Sources": ["file:///dev/zero"]}')


def case_sidecar_with_a_name(at: Workshop) -> Expected:
    return _sidecar(at, '{"PatientName": "SECRETNAME", "AcquisitionDateTime": "2019-03-04T10:00:00"}')


def case_sidecar_of_zeros(at: Workshop) -> Expected:
    return _sidecar(at, bytes(1000))
