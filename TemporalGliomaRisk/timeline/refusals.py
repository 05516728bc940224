"""The errors and findings by which a broken rule is told: of a whole timeline, or of one volume while it is read."""

from __future__ import annotations

from collections.abc import Iterable

from TemporalGliomaRisk.errors import GeometryError, InputError, TimelineError, VolumeError
from TemporalGliomaRisk.timeline.finding import Finding, Severity
from TemporalGliomaRisk.timeline.rules import REFUSAL, RULES, finding, place_of

MOST_TOLD = 5
"""Refusals that one line on standard error still holds."""


class TimelineRefused(TimelineError):
    """No timeline could be made of the input; the message holds the first few refusals, ``findings`` all.

    Args:
        findings: Everything noticed up to there, at least one of them a refusal.
        patients: What ``--patient`` may say, where nobody chose among several; never part of the message.
    """

    def __init__(self, findings: Iterable[Finding], *, patients: Iterable[str] = ()) -> None:
        self.findings = tuple(findings)
        self.patients = tuple(patients)
        refusals = [item.message for item in self.findings if item.severity is REFUSAL]
        told = refusals[:MOST_TOLD]
        if len(refusals) > MOST_TOLD:
            told.append(f"{len(refusals) - MOST_TOLD} further refusals are listed by the command check.")
        super().__init__(" ".join(told))


def refuse_if_any(findings: Iterable[Finding]) -> None:
    """Raise :class:`TimelineRefused` with all findings if one of them is a refusal."""
    found = tuple(findings)
    if any(item.severity is REFUSAL for item in found):
        raise TimelineRefused(found)


def refuse(code: str, **values: object) -> TimelineRefused:
    """The error to raise for one broken rule of the whole timeline; ``values`` are what its sentence leaves open."""
    return TimelineRefused([finding(code, visit=None, sequence=None, **values)])


def refuse_several(patients: Iterable[str], *, count: int, labels: str) -> TimelineRefused:
    """The error to raise where the input holds several patients and nobody said which.

    Args:
        patients: What ``--patient`` may say.
        count: How many there are; some may have nothing that tells them.
        labels: What the message adds.
    """
    return TimelineRefused([finding("several_patients", count=count, labels=labels)], patients=patients)


class VolumeRefused(VolumeError):
    """One volume broke a rule, whose code it keeps, while it was read."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class GeometryRefused(GeometryError):
    """One volume's place in space broke a rule, whose code it keeps, while it was read."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def volume_error(code: str, role: str, **values: object) -> VolumeRefused | GeometryRefused:
    """The error for a rule that one volume broke.

    Args:
        code: The rule's code.
        role: What messages call the volume, ``FLAIR of visit 2``.
        values: What the rule's sentence leaves open.
    """
    message = RULES[code].sentence.format(where=role, **values)
    return GeometryRefused(code, message) if code == "geometry_unusable" else VolumeRefused(code, message)


def finding_of(error: InputError, *, visit: int, sequence: str) -> Finding:
    """The finding that an error while reading one volume stands for."""
    code = error.code if isinstance(error, (VolumeRefused, GeometryRefused)) else "volume_unusable"
    message = str(error)
    place = place_of(visit, sequence)
    if not message.startswith(place):
        message = f"{place}: {message}"
    return Finding(severity=Severity.REFUSAL, code=code, message=message, visit=visit, sequence=sequence)
