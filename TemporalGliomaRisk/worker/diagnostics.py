"""The last lines of a worker's error stream for a bug report, with everything withheld that could name a patient."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

MOST_LINES = 200
LONGEST_LINE = 500
WITHHELD = "(withheld)"
_PACKAGE = Path(__file__).resolve().parents[1]

_FRAME = re.compile(r'^\s*File "(?P<path>[^"]+)"(?P<place>, line \d+(?:,? in \S+)?)')
_CODE = re.compile(r"(?:TemporalGliomaRisk|site-packages|dist-packages|lib/python[0-9.]+)[/\\][\w./\\-]+\.py$")
_PATH_START = re.compile(r"\S*[/\\]\S*")
_DATE = re.compile(
    r"(?:19|20)\d{2}[-./]?(?:0[1-9]|1[0-2])[-./]?(?:0[1-9]|[12]\d|3[01])|\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d{2}"
)
_WORDS_OF_OURS = {
    "predict",
    "register",
    "check",
    "auto",
    "always",
    "never",
    "none",
    "cpu",
    "cuda",
    "FLAIR",
    "T1w",
    "T2w",
    "anat",
}


class Diagnostics:
    """Keeps the last lines of an error stream."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._rest = ""
        self._names: set[str] = set()

    def withhold(self, content: Mapping[str, Any]) -> None:
        """Remember the words of a request that could name a patient: the parts of its paths, its dates and labels."""
        words = {part for text in _texts(content) for part in re.split(r"[/\\]", text)}
        self._names |= {word for word in words - _WORDS_OF_OURS if len(word) > 2}

    def feed(self, data: bytes) -> None:
        """Take bytes of the stream."""
        *lines, self._rest = (self._rest + data.decode("utf-8", "replace")).split("\n")
        self._rest = self._rest[-LONGEST_LINE:]
        self._lines.extend(line[:LONGEST_LINE] for line in lines)

    def text(self) -> str:
        """The last lines, cleaned: of paths only those of code stay, and those from the package's name on."""
        return "\n".join(self._cleaned(line) for line in [*self._lines, self._rest] if line.strip())

    def _cleaned(self, line: str) -> str:
        frame = _FRAME.match(line)
        if frame is not None:
            code = _CODE.search(frame["path"])
            return f'  File "{code.group() if code else WITHHELD}"{frame["place"]}'
        line = _without_paths(line)
        for name in sorted(self._names, key=len, reverse=True):
            line = line.replace(name, WITHHELD)
        return _DATE.sub(WITHHELD, line)


def _without_paths(line: str) -> str:
    """A path may hold blanks, so where it ends cannot be told: nothing after its start is shown, but for our own."""
    for found in _PATH_START.finditer(line):
        own = _PACKAGE / found.group().strip(",.:()")
        if not (own.suffix == ".py" and _PACKAGE in own.parents and own.is_file()):
            return line[: found.start()] + WITHHELD
    return line


def _texts(content: Any) -> Iterable[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _texts(value)
    elif isinstance(content, (list, tuple)):
        for value in content:
            yield from _texts(value)
