"""What else may lie at a path: dated files, devices, links, archives, nothing."""

from __future__ import annotations

import os
import socket
import zipfile

from hostile_workshop import SECRET, Expected, Workshop, head, nifti


def test_ends_in_one_sentence_or_a_right_result(case, run_case) -> None:
    run_case(case)


def _dated(at: Workshop, *names: str) -> Workshop:
    for number, name in enumerate(names, start=1):
        at.write(f"dated/{name}", nifti(head(number)))
    return at


def case_dated_files(at: Workshop) -> Expected:
    _dated(at, f"{SECRET}_20200101_FLAIR.nii", f"{SECRET}_20200410_FLAIR.nii")
    return at.right(at.folder / "dated")


def case_dated_files_without_a_sequence(at: Workshop) -> Expected:
    _dated(at, f"{SECRET}_20200101.nii", f"{SECRET}_20200410.nii")
    return at.warned(at.folder / "dated", "FLAIR is assumed")


def case_31_february_in_a_name(at: Workshop) -> Expected:
    _dated(at, f"{SECRET}_20200101_FLAIR.nii", f"{SECRET}_20200231_FLAIR.nii")
    return at.refused(at.folder / "dated", "date in the name cannot be read")


def case_a_name_of_zeros(at: Workshop) -> Expected:
    _dated(at, f"{SECRET}_00000000_FLAIR.nii")
    return at.refused(at.folder / "dated", "date in the name cannot be read")


def case_year_9999_in_a_name(at: Workshop) -> Expected:
    _dated(at, f"{SECRET}_20200101_FLAIR.nii", f"{SECRET}_99991231_FLAIR.nii")
    return at.refused(at.folder / "dated", "after today")


def case_one_sequence_twice_on_one_day(at: Workshop) -> Expected:
    _dated(at, f"{SECRET}_20200101_FLAIR.nii", f"{SECRET}_2020-01-01_flair.nii")
    return at.refused(at.folder / "dated", "2 files for one sequence")


def case_several_patients_of_dated_files(at: Workshop) -> Expected:
    _dated(at, f"{SECRET}_20200101_FLAIR.nii", "other_20200410_FLAIR.nii")
    return at.refused(at.folder / "dated", "2 patients")


def case_no_name_holds_a_date(at: Workshop) -> Expected:
    _dated(at, f"{SECRET}.nii", "x.nii")
    return at.refused(at.folder / "dated", "No file name holds a date")


def case_a_name_that_makes_a_pattern_slow(at: Workshop) -> Expected:
    _dated(at, "_1" * 110 + "_.nii", "a_20200101_FLAIR.nii")
    return at.warned(at.folder / "dated", "hold no date", days=(0,))


def case_dated_files_of_names_with_accents_and_blanks(at: Workshop) -> Expected:
    _dated(at, "Jérôme SECRETNAME_20200101_FLAIR.nii", "Jérôme SECRETNAME_20200410_FLAIR.nii")
    return at.right(at.folder / "dated")


def case_dated_files_of_names_that_are_no_text(at: Workshop) -> Expected:
    place = os.fsencode(at.folder / "dated")
    os.mkdir(place)  # noqa: PTH102
    for number, name in enumerate((b"\xff_20200101_FLAIR.nii", b"\xff_20200410_FLAIR.nii"), start=1):
        with open(place + b"/" + name, "wb") as handle:  # noqa: PTH123
            handle.write(nifti(head(number)))
    return at.refused(at.folder / "dated", "no text in UTF-8")


def case_dated_files_among_rubbish(at: Workshop) -> Expected:
    _dated(at, f"{SECRET}_20200101_FLAIR.nii", f"{SECRET}_20200410_FLAIR.nii")
    os.mkfifo(at.folder / "dated/pipe_20200501_FLAIR.nii")
    at.write("dated/.hidden", b"")
    at.write("dated/notes.txt", SECRET)
    (at.folder / "dated/circle").symlink_to("circle")
    return at.refused(at.folder / "dated", "")


def case_nothing_there(at: Workshop) -> Expected:
    return at.refused(at.folder / SECRET, "nothing at the path")


def case_a_path_with_a_nul(at: Workshop) -> Expected:
    return at.refused(at.folder / "a\0b", "nothing at the path")


def case_a_path_too_long_for_the_system(at: Workshop) -> Expected:
    return at.refused(at.folder / ("x" * 5_000), "")


def case_a_link_to_itself(at: Workshop) -> Expected:
    (at.folder / "circle").symlink_to("circle")
    return at.refused(at.folder / "circle", "")


def case_a_link_to_nothing(at: Workshop) -> Expected:
    (at.folder / "link").symlink_to(SECRET)
    return at.refused(at.folder / "link", "nothing at the path")


def case_a_pipe(at: Workshop) -> Expected:
    os.mkfifo(at.folder / "pipe")
    return at.refused(at.folder / "pipe", "neither a file nor a folder")


def case_a_device(at: Workshop) -> Expected:
    (at.folder / "zero").symlink_to("/dev/zero")
    return at.refused(at.folder / "zero", "neither a file nor a folder")


def case_a_socket(at: Workshop) -> Expected:
    before = os.getcwd()  # noqa: PTH109
    os.chdir(at.folder)  # its path would be too long for a socket
    try:
        socket.socket(socket.AF_UNIX).bind("s")
    finally:
        os.chdir(before)
    return at.refused(at.folder / "s", "neither a file nor a folder")


def case_a_single_volume(at: Workshop) -> Expected:
    return at.refused(at.write(f"{SECRET}.nii", nifti(head(1))), "single file")


def case_a_zip_with_paths_up_and_out(at: Workshop) -> Expected:
    with zipfile.ZipFile(at.folder / "x.zip", "w") as archive:
        archive.writestr("../../../SECRETNAME.nii", nifti(head(1)))
    return at.refused(at.folder / "x.zip", "single file")


def case_a_folder_with_a_zip_only(at: Workshop) -> Expected:
    (at.folder / "zipped").mkdir()
    with zipfile.ZipFile(at.folder / "zipped" / "x.zip", "w") as archive:
        archive.writestr("/etc/SECRETNAME.nii", nifti(head(1)))
    return at.refused(at.folder / "zipped", "holds no image")


def case_a_folder_of_pipes_and_devices(at: Workshop) -> Expected:
    (at.folder / "odd").mkdir()
    for number in range(3):
        os.mkfifo(at.folder / f"odd/pipe{number}.dcm")
        (at.folder / f"odd/device{number}.dcm").symlink_to("/dev/zero")
    return at.refused(at.folder / "odd", "holds no image")


def case_folders_linked_in_a_circle(at: Workshop) -> Expected:
    (at.folder / "a/b/c").mkdir(parents=True)
    (at.folder / "a/b/c/up").symlink_to("../../..", target_is_directory=True)
    return at.refused(at.folder / "a", "holds no image")


def case_folders_500_deep(at: Workshop) -> Expected:
    before = os.getcwd()  # noqa: PTH109
    os.chdir(at.folder)
    try:
        for _ in range(500):
            os.mkdir("deep")  # noqa: PTH102
            os.chdir("deep")
    finally:
        os.chdir(before)
    return at.refused(at.folder / "deep", "holds no image")


def case_20_000_small_files(at: Workshop) -> Expected:
    (at.folder / "many").mkdir()
    for number in range(20_000):
        (at.folder / "many" / f"{number}.txt").symlink_to("nothing")
    at.write("many/one.txt", "x")
    return at.refused(at.folder / "many", "holds no image")


def case_one_session_s_folder(at: Workshop) -> Expected:
    return at.refused(at.patient() / "ses-01", "one BIDS session")


def case_a_volume_called_by_two_suffixes(at: Workshop) -> Expected:
    _dated(at, "a_20200101_FLAIR.nii.gz.nii", "a_20200410_FLAIR.nii")
    return at.warned(at.folder / "dated", "none of FLAIR", days=(0,))


def case_one_session_s_anat(at: Workshop) -> Expected:
    return at.refused(at.patient() / "ses-01" / "anat", "one BIDS session")
