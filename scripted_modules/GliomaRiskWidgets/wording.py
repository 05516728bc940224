"""How the panel says what the package says for its command line."""

from __future__ import annotations

from slicer.i18n import tr as _


def in_panel_words(sentence: str) -> str:
    """A sentence of the package without the command line's options."""
    said = {
        "unless --register never is given": _("unless Register is set to Never"),
        "Choose with --patient.": _("Name one patient's folder or table."),
        "The patient named with --patient": _("The patient"),
    }
    for words, ours in said.items():
        sentence = sentence.replace(words, ours)
    return sentence
