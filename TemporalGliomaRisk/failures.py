"""An unforeseen failure as one sentence: its kind and where in this package, without its text, which may hold a name.

A foreign exception's text may hold a path, and so a patient's name.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from TemporalGliomaRisk.errors import GliomaRiskError

_PACKAGE = Path(__file__).resolve().parent
_PASSED_ON = {Path("commands/__init__.py"), Path("worker/server.py")}
"""Where failures end up, not where they begin."""


def sentence_of(error: Exception, *, advice: str = "") -> str:
    """One sentence for a failure, to follow the command's name; :func:`shown_sentence_of` is to stand by itself.

    Args:
        error: Any.
        advice: What follows a failure of our own making, such as "; run again with --debug".
    """
    if isinstance(error, GliomaRiskError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("TemporalGliomaRisk"):
        return f"the Python package {error.name!r} is needed and not installed; install it, or reinstall this package."
    what = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        what = f"{what} ({error.strerror})"
    return f"stopped by an unexpected {what}{place_of(error)}{advice}."


def shown_sentence_of(error: Exception, *, advice: str = "") -> str:
    """The sentence of a failure with a capital letter, as a page or a panel shows it.

    Args:
        error: Any.
        advice: As in :func:`sentence_of`.
    """
    sentence = sentence_of(error, advice=advice)
    return sentence[:1].upper() + sentence[1:]


def place_of(error: Exception) -> str:
    """Where in this package the failure began, as ' in pipeline.py, line 40'; empty if nowhere in it."""
    own = [
        (Path(frame.filename).relative_to(_PACKAGE), frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if _PACKAGE in Path(frame.filename).parents
    ]
    own = [(path, line) for path, line in own if path not in _PASSED_ON]
    return f" in {own[-1][0].as_posix()}, line {own[-1][1]}" if own else ""
