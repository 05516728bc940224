"""How the panel says what the package says for its command line, and the log what nobody foresaw."""

from __future__ import annotations

import traceback
from pathlib import Path

from slicer.i18n import tr as _

from .dependencies import SETTING, VARIABLE


def in_panel_words(sentence: str) -> str:
    """A sentence of the package without the command line's options."""
    said = {
        "unless --register never is given": _("unless Register is set to Never"),
        "Choose with --patient.": _("Name one patient's folder or table."),
        "The patient named with --patient": _("The patient"),
        # The setting comes before the variable: where it names the wrong Python, the variable changes nothing.
        VARIABLE: _("the setting {setting}").format(setting=SETTING),
    }
    for words, ours in said.items():
        sentence = sentence.replace(words, ours)
    return sentence


def trace_of(error: Exception) -> str:
    """Where a failure came from, innermost last, by files' names and lines alone: no text and no folder."""
    frames = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
