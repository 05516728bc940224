"""Tables as spreadsheets write them: byte-order marks, semicolons or tabs, Windows line ends, quoted cells."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from TemporalGliomaRisk.timeline.refusals import refuse

MOST_BYTES = 16_000_000
"""A table of visits has kilobytes."""
_UNSEEN = str.maketrans("", "", "\N{ZERO WIDTH SPACE}\N{WORD JOINER}\N{ZERO WIDTH NO-BREAK SPACE}")
"""Signs without any width that come along where cells are copied from web pages."""
_SEPARATOR = re.compile(r'"?sep=([,;\t])"?[,;\t]*', re.IGNORECASE)
"""A first line that tells a spreadsheet what lies between the cells."""


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of stripped text cells.

    Args:
        columns: Names in small letters, blanks within as ``_``.
        rows: A dictionary a row; a short row lacks no key, its cells are empty.
        numbers: Line number of every row in the file, from 1, as an editor or a spreadsheet shows it.
    """

    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    numbers: list[int]


def read_text_table(path: Path, *, what: str, delimiter: str | None = None) -> TextTable:
    """Read a table; the delimiter is told from its first line where not given. Blank lines are passed over.

    Args:
        path: The file.
        what: What messages call it, ``The table``.
        delimiter: The delimiter wanted, None to tell it.

    Raises:
        TimelineRefused: If it cannot be read, is empty, names a column twice, or a line holds more cells than the
            header or a quote that takes the lines behind it into its cell.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise refuse("table_mistakes", problem=f"{what} is larger than {MOST_BYTES // 1_000_000} MB. Shorten it.")
        text = _decode(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise refuse("table_mistakes", problem=f"{what} cannot be read as text. Save it as UTF-8.") from error
    text = text.translate(_UNSEEN)
    lines = text.splitlines()
    if not lines or "\0" in text:
        raise refuse("table_mistakes", problem=f"{what} is empty or no text. Save it as CSV or TSV in UTF-8.")
    said = _SEPARATOR.fullmatch(lines[0].strip())
    header = next((line for line in lines[1 if said else 0 :] if line.strip("\t;, ")), "")
    if delimiter is None or delimiter not in header:
        delimiter = said[1] if said else max("\t;,", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows, numbers = [], []
    line = 1
    try:
        if said:
            next(reader)
        names = next((cells for cells in reader if any(cell.strip() for cell in cells)), [])
        columns = tuple(name.strip().lower().replace(" ", "_") for name in names)
        if len(set(filter(None, columns))) < len(list(filter(None, columns))):
            raise refuse("table_mistakes", problem=f"{what} names a column twice. Keep one of them.")
        line = reader.line_num + 1
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                _check_line(stripped, line=line, columns=len(columns), delimiter=delimiter, what=what)
                stripped += [""] * (len(columns) - len(stripped))
                rows.append(dict(zip(columns, stripped, strict=False)))
                numbers.append(reader.line_num)
            line = reader.line_num + 1
    except csv.Error as error:
        problem = f"{what} cannot be read from line {line} on. Check the quotes of that line."
        raise refuse("table_mistakes", problem=problem) from error
    return TextTable(columns=columns, rows=rows, numbers=numbers)


def _check_line(cells: list[str], *, line: int, columns: int, delimiter: str, what: str) -> None:
    """Refuse a line by which cells would be lost: beyond the header, or as whole rows inside a quoted cell."""
    if any(cells[columns:]):
        problem = (
            f"Line {line} of {what[:1].lower()}{what[1:]} has more cells than the header. Write numbers without commas "
            "(1104 for 1,104), and put quotes around a cell that holds a delimiter."
        )
        raise refuse("table_mistakes", problem=problem)
    swallowed = (further for cell in cells for further in cell.splitlines()[1:])
    if any(further.count(delimiter) >= max(columns - 1, 1) for further in swallowed):
        problem = (
            f"A quote in line {line} of {what[:1].lower()}{what[1:]} takes the next line into its cell. Remove it."
        )
        raise refuse("table_mistakes", problem=problem)


def _decode(content: bytes) -> str:
    """UTF-16 by its mark, else UTF-8, else the Windows code page that spreadsheets fall back to."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")
