"""Tables with formulas, doubled columns, odd encodings, and paths that lead elsewhere."""

from __future__ import annotations

import os

from hostile_workshop import Expected, Workshop, head, nifti

HEADER = "path,sequence,days_since_treatment\n"
RIGHT = HEADER + "a.nii,FLAIR,10\nb.nii,FLAIR,110\n"


def test_ends_in_one_sentence_or_a_right_result(case, run_case) -> None:
    run_case(case)


# Encodings and line ends


def case_plain(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT))


def case_byte_order_mark(at: Workshop) -> Expected:
    return at.right(at.table(b"\xef\xbb\xbf" + RIGHT.encode()))


def case_utf_16_with_mark(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.encode("utf-16")))


def case_utf_16_big_endian_with_mark(at: Workshop) -> Expected:
    return at.right(at.table(b"\xfe\xff" + RIGHT.encode("utf-16-be")))


def case_utf_16_without_mark(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.encode("utf-16-le")), "no text")


def case_utf_16_cut_inside_a_character(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.encode("utf-16")[:-1]), "cannot be read as text")


def case_utf_32(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.encode("utf-32")), "")


def case_windows_code_page(at: Workshop) -> Expected:
    at.write("Jérôme.nii", nifti(head(2)))
    return at.right(at.table(RIGHT.replace("b.nii", "Jérôme.nii").encode("cp1252")))


def case_bytes_of_no_encoding(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER.encode() + b"\x81\x8d\x8f\x90\x9d.nii,FLAIR,10\n"), "cannot be read as text")


def case_nul_bytes(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("b.nii", "b\0.nii")), "no text")


def case_windows_line_ends(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.replace("\n", "\r\n")))


def case_old_macintosh_line_ends(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.replace("\n", "\r")))


def case_odd_separators_of_lines(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "a.nii,FLAIR,10\u2028b.nii,FLAIR,110\n"), "Line 2")


def case_no_line_end_at_the_end(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.rstrip("\n")))


def case_semicolons_and_decimal_commas(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace(",", ";").replace("110", "110,5")), "whole number of days")


def case_semicolons(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.replace(",", ";")))


def case_tabs_in_a_csv(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.replace(",", "\t")))


def case_blank_lines_and_short_rows(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "\n,,\na.nii,FLAIR,10\nb.nii\n"), "Line 5")


def case_rows_longer_than_the_header(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110\n", "110,more,and,more\n")), "Line 3 of the table has more cells")


def case_rows_longer_than_the_header_by_empty_cells(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.replace("110\n", "110,,\n")))


def case_thousands_with_a_comma(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110\n", "1,104\n")), "Line 3 of the table has more cells")


def case_thousands_with_a_point(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110\n", "2.000\n")), "whole number of days")


def case_quoted_cells_over_two_lines(at: Workshop) -> Expected:
    text = 'path,sequence,days_since_treatment,note\na.nii,FLAIR,10,"SECRETNAME\nof two lines"\nb.nii,FLAIR,110,\n'
    return at.right(at.table(text))


def case_a_quote_never_closed(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("a.nii", '"a.nii')), "from line 2 on")


def case_quotes_that_take_a_row_into_a_cell(at: Workshop) -> Expected:
    text = 'path,sequence,days_since_treatment,note\na.nii,FLAIR,10,"3 mm\nb.nii,FLAIR,110,5 mm"\nb.nii,T2w,200,\n'
    return at.refused(at.table(text), "A quote in line 2 of the table")


def case_a_quote_closed_by_the_next_row_s(at: Workshop) -> Expected:
    text = 'path,sequence,days_since_treatment,note\na.nii,FLAIR,10,"3 mm\nb.nii,FLAIR,110,"stable\n'
    return at.refused(at.table(text), "from line 2 on")


def case_two_dates_in_one_cell(at: Workshop) -> Expected:
    text = "path,sequence,date\na.nii,FLAIR,2019-02-28\nb.nii,FLAIR,2019-03-28 or 2019-04-28\n"
    return at.refused(at.table(text), "Line 3: date cannot be read")


def case_a_cell_of_a_million_characters(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "a" * 1_000_000 + ".nii,FLAIR,10\n"), "")


def case_a_line_of_20_million_characters(at: Workshop) -> Expected:
    return at.refused(at.table("path," * 4_000_000), "")


def case_a_table_of_100_megabytes(at: Workshop) -> Expected:
    path = at.table(RIGHT)
    os.truncate(path, 100_000_000)
    return at.refused(path, "larger than")


def case_100_000_rows(at: Workshop) -> Expected:
    rows = "".join(f"a.nii,FLAIR,{number}\n" for number in range(50_001, 150_001))
    return at.refused(at.table(HEADER + rows), "")


def case_empty(at: Workshop) -> Expected:
    return at.refused(at.table(b""), "is empty")


def case_only_a_mark(at: Workshop) -> Expected:
    return at.refused(at.table(b"\xef\xbb\xbf"), "is empty")


def case_only_line_ends(at: Workshop) -> Expected:
    return at.refused(at.table("\n\n\n"), "lacks the column")


def case_only_a_header(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER), "no rows")


def case_a_spreadsheet_called_csv(at: Workshop) -> Expected:
    return at.refused(at.table(b"PK\x03\x04\x14\0\x06\0" + bytes(range(256)) * 20), "")


def case_a_picture_called_csv(at: Workshop) -> Expected:
    return at.refused(at.table(b"\x89PNG\r\n\x1a\n" + b"\xa5" * 500), "")


# Columns


def case_missing_column(at: Workshop) -> Expected:
    return at.refused(at.table("path,days_since_treatment\na.nii,10\n"), "lacks the column sequence")


def case_no_day_column(at: Workshop) -> Expected:
    return at.refused(at.table("path,sequence\na.nii,FLAIR\n"), "days_since_treatment or date")


def case_doubled_column(at: Workshop) -> Expected:
    return at.refused(at.table("path,sequence,date,path\na.nii,FLAIR,2020-01-01,b.nii\n"), "names a column twice")


def case_column_doubled_by_case_and_blanks(at: Workshop) -> Expected:
    return at.refused(at.table("path,sequence,date,Path \na.nii,FLAIR,2020-01-01,b.nii\n"), "names a column twice")


def case_no_header(at: Workshop) -> Expected:
    return at.refused(at.table("a.nii,FLAIR,10\nb.nii,FLAIR,110\n"), "lacks the column")


def case_10_000_columns(at: Workshop) -> Expected:
    more = "," + ",".join(f"c{number}" for number in range(10_000))
    return at.right(at.table(RIGHT.replace("treatment\n", f"treatment{more}\n")))


def case_unknown_columns_named_as_the_patient(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.replace("treatment\n", "treatment,SECRETNAME\n")))


def case_a_title_above_the_columns(at: Workshop) -> Expected:
    return at.refused(at.table("Visits of SECRETNAME,,\n" + RIGHT), "first line must name the columns")


def case_blank_lines_above_the_columns(at: Workshop) -> Expected:
    return at.right(at.table("\n,,\n" + RIGHT))


def case_a_first_line_that_names_the_delimiter(at: Workshop) -> Expected:
    return at.right(at.table("sep=;\r\n" + RIGHT.replace(",", ";").replace("\n", "\r\n")))


def case_a_name_of_a_column_of_200_000_characters(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("path", "p" * 200_000)), "cannot be read from line 1 on")


# Formulas and paths


def case_formulas_as_paths(at: Workshop) -> Expected:
    text = HEADER + "=HYPERLINK(\"http://x/?\"&A1),FLAIR,10\n@SUM(1+1)*cmd|' /C calc'!A0,FLAIR,20\n"
    return at.refused(at.table(text), "Line 2")


def case_a_formula_as_day(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "a.nii,FLAIR,=1+9\n"), "cannot be read")


def case_a_formula_as_patient(at: Workshop) -> Expected:
    formula = "=cmd|'/C calc'!A0"
    text = f"path,sequence,days_since_treatment,patient\na.nii,FLAIR,10,{formula}\nb.nii,FLAIR,110,{formula}\n"
    return at.right(at.table(text))


def case_a_path_up_and_out_to_nothing(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "../../../SECRETNAME/x.nii,FLAIR,10\n"), "no file is at this path")


def case_a_path_to_a_system_file(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "../../../../../../../../etc/passwd,FLAIR,10\n"), "does not end in one of")


def case_an_absolute_path(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.replace("b.nii", str(at.folder / "b.nii"))))


def case_an_absolute_path_to_a_device(at: Workshop) -> Expected:
    (at.folder / "zero.nii").symlink_to("/dev/zero")
    return at.refused(at.table(RIGHT.replace("b.nii", "zero.nii")), "no file is at this path")


def case_a_pipe_as_volume(at: Workshop) -> Expected:
    os.mkfifo(at.folder / "pipe.nii")
    return at.refused(at.table(RIGHT.replace("b.nii", "pipe.nii")), "no file is at this path")


def case_a_folder_as_volume(at: Workshop) -> Expected:
    (at.folder / "folder.nii").mkdir()
    return at.refused(at.table(RIGHT.replace("b.nii", "folder.nii")), "the folder holds no DICOM image")


def case_the_whole_disk_as_volume(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("b.nii", "/")), "the folder holds more than 10000 files")


def case_the_table_s_own_folder_as_volume(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("b.nii", ".")), "the folder holds no DICOM image")


def case_a_path_as_windows_writes_it(at: Workshop) -> Expected:
    at.write("sub folder/b.nii", nifti(head(2)))
    return at.right(at.table(RIGHT.replace("b.nii", "sub folder\\b.nii")))


def case_a_path_in_another_user_s_home(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "~root/x.nii,FLAIR,10\n"), "no file is at this path")


def case_an_address_of_the_net(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "https://example.org/SECRETNAME.nii,FLAIR,10\n"), "no file is at this path")


def case_a_path_of_5_000_characters(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "x/" * 2_500 + "a.nii,FLAIR,10\n"), "no file is at this path")


def case_one_file_for_two_visits(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("b.nii", "a.nii")), "has the very voxels")


def case_the_table_itself_as_volume(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("b.nii", "table.csv")), "does not end in one of")


def case_a_volume_linked_in_a_circle(at: Workshop) -> Expected:
    (at.folder / "one.nii").symlink_to("two.nii")
    (at.folder / "two.nii").symlink_to("one.nii")
    return at.refused(at.table(RIGHT.replace("b.nii", "one.nii")), "no file is at this path")


def case_text_called_nii(at: Workshop) -> Expected:
    at.write("c.nii", "SECRETNAME")
    return at.refused(at.table(RIGHT.replace("b.nii", "c.nii")), "cut short")


# Days and sequences


def case_a_day_in_the_year_1(at: Workshop) -> Expected:
    text = "path,sequence,date\na.nii,FLAIR,0001-01-01\nb.nii,FLAIR,0001-04-11\n"
    return at.warned(at.table(text), "before 1925")


def case_a_day_in_the_year_9999(at: Workshop) -> Expected:
    return at.refused(at.table("path,sequence,date\na.nii,FLAIR,9999-12-31\n"), "after today")


def case_31_february(at: Workshop) -> Expected:
    return at.refused(at.table("path,sequence,date\na.nii,FLAIR,2021-02-31\n"), "date cannot be read, wanted a date as")


def case_29_february_of_no_leap_year(at: Workshop) -> Expected:
    return at.refused(at.table("path,sequence,date\na.nii,FLAIR,20210229\n"), "date cannot be read")


def case_month_0(at: Workshop) -> Expected:
    return at.refused(at.table("path,sequence,date\na.nii,FLAIR,2021-00-10\n"), "date cannot be read")


def case_american_dates(at: Workshop) -> Expected:
    return at.refused(at.table("path,sequence,date\na.nii,FLAIR,04/03/2019\n"), "wanted a date as YYYY-MM-DD")


def case_dates_in_arabic_digits(at: Workshop) -> Expected:
    text = "path,sequence,date\na.nii,FLAIR,٢٠٢٠-٠١-٠١\nb.nii,FLAIR,٢٠٢٠-٠٤-١٠\n"
    return at.right(at.table(text))


def case_days_of_nan(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110", "-nan")), "cannot be read")


def case_days_of_infinity(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110", "inf")), "cannot be read")


def case_days_of_1e400(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110", "1e400")), "cannot be read")


def case_days_of_5_000_digits(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110", "9" * 5_000)), "cannot be read")


def case_days_with_underscores(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110", "1_10")), "cannot be read")


def case_dates_as_a_spreadsheet_counts_them(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "a.nii,FLAIR,43558\nb.nii,FLAIR,43651\n"), "as spreadsheets count it")


def case_dates_of_before_2000_as_a_spreadsheet_counts_them(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "a.nii,FLAIR,36000\nb.nii,FLAIR,36120\n"), "as spreadsheets count it")


def case_dates_of_1980_as_a_spreadsheet_on_an_old_macintosh_counts_them(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "a.nii,FLAIR,27759\nb.nii,FLAIR,27870\n"), "as spreadsheets count it")


def case_days_of_75_years(at: Workshop) -> Expected:
    return at.right(at.table(HEADER + "a.nii,FLAIR,27293\nb.nii,FLAIR,27393\n"))


def case_spreadsheet_numbers_in_the_column_of_dates(at: Workshop) -> Expected:
    text = "path,sequence,date\na.nii,FLAIR,36000\nb.nii,FLAIR,36120\n"
    return at.refused(at.table(text), "date cannot be read, wanted a date as YYYY-MM-DD")


def case_half_a_day(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110", "110.5")), "whole number")


def case_days_before_treatment(at: Workshop) -> Expected:
    return at.warned(at.table(RIGHT.replace(",10\n", ",-5\n").replace("110", "95")), "before the end of treatment")


def case_days_that_contradict_dates(at: Workshop) -> Expected:
    text = "path,sequence,days_since_treatment,date\na.nii,FLAIR,10,2020-01-01\nb.nii,FLAIR,110,2021-01-01\n"
    return at.refused(at.table(text), "disagree by")


def case_some_rows_with_dates_and_some_with_days(at: Workshop) -> Expected:
    text = "path,sequence,days_since_treatment,date\na.nii,FLAIR,10,\nb.nii,FLAIR,,2021-01-01\n"
    return at.refused(at.table(text), "days_since_treatment is not given for Line 3")


def case_two_rows_of_one_day_and_sequence(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("110", "10")), "in line 2 already")


def case_one_date_and_two_day_numbers(at: Workshop) -> Expected:
    text = "path,sequence,days_since_treatment,date\na.nii,FLAIR,10,2020-01-01\nb.nii,FLAIR,11,2020-01-01\n"
    return at.warned(at.table(text), "trained on gaps", days=(0, 1))


def case_unknown_sequence(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT.replace("b.nii,FLAIR", "b.nii,SECRETNAME")), "none of FLAIR")


def case_sequence_by_another_name_in_capitals(at: Workshop) -> Expected:
    return at.right(at.table(RIGHT.replace("FLAIR", " T2-flair ")))


def case_several_patients(at: Workshop) -> Expected:
    text = "path,sequence,days_since_treatment,patient\na.nii,FLAIR,10,SECRETNAME\nb.nii,FLAIR,110,other\n"
    return at.refused(at.table(text), "2 patients")


def case_one_of_several_patients(at: Workshop) -> Expected:
    text = "path,sequence,days_since_treatment,patient\na.nii,FLAIR,10,SECRETNAME\nb.nii,FLAIR,110,other\n"
    return at.right(at.table(text), days=(0,), options=("--patient", "SECRETNAME"))


def case_a_patient_who_is_not_there(at: Workshop) -> Expected:
    text = "path,sequence,days_since_treatment,patient\na.nii,FLAIR,10,one\nb.nii,FLAIR,110,other\n"
    return at.refused(at.table(text), "not in the input", "--patient", "SECRETNAME\n")


def case_a_patient_where_no_column_tells_one(at: Workshop) -> Expected:
    return at.refused(at.table(RIGHT), "no column that tells the patient", "--patient", "SECRETNAME\n")


def case_1_000_mistakes(at: Workshop) -> Expected:
    return at.refused(at.table(HEADER + "x.nii,SECRETNAME,soon\n" * 1_000), "2990 further mistakes")


def case_a_table_that_is_a_pipe(at: Workshop) -> Expected:
    os.mkfifo(at.folder / "table.csv")
    return at.refused(at.folder / "table.csv", "neither a file nor a folder")


def case_a_table_that_is_a_device(at: Workshop) -> Expected:
    (at.folder / "table.csv").symlink_to("/dev/zero")
    return at.refused(at.folder / "table.csv", "neither a file nor a folder")
