"""Why the risk at a visit is uncertain, in words that every host shows beside the number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from TemporalGliomaRisk import numbers
from TemporalGliomaRisk.risk.doubt import Doubt, VisitDoubt, VisitSummary, judge, members_spread, visit_change
from TemporalGliomaRisk.risk.ensemble import VisitHazards
from TemporalGliomaRisk.timeline.finding import Finding

CAST_ON_LATER_VISITS = (
    "unlike_training",
    "change_unlike_training",
    "brain_turned",
    "content_contradicts_label",
    "white_matter_contradicts_label",
    "looks_like_another_sequence",
)
"""Codes of the findings at a visit by which the later risks, which rest on it too, become uncertain with its own."""

UNCERTAIN_CODES = (
    "single_visit",
    "one_visit_so_far",
    "gap_untrained",
    "rests_on_untrained_gap",
    "members_at_odds",
    *CAST_ON_LATER_VISITS,
    "cavity_appeared",
    "no_common_sequence",
    "rests_on_unlike_visit",
)
"""Codes of the findings by which a risk counts as uncertain."""


class DoubtKeeper:
    """Judges one visit after another, oldest first, each from itself and the first alone.

    Args:
        doubt: What the model knows of the usual, None for a model that doesn't say.
        sequences: Names in the order of the input channels.
    """

    def __init__(self, doubt: Doubt | None, sequences: Sequence[str]) -> None:
        self._doubt = doubt
        self._sequences = sequences
        self._first: tuple[Tensor, Tensor] | None = None
        self._unlike: list[int] = []

    def findings(
        self,
        number: int,
        features: Tensor,
        present: Tensor,
        appearance: Tensor,
        hazards: VisitHazards,
        *,
        noticed: Iterable[Finding] = (),
    ) -> tuple[Finding, ...]:
        """Why this visit's risk is not to be relied on; nothing where all is as usual.

        Args:
            number: Of the visit, from 1.
            features: (4, places, channels).
            present: (4,), its sequences.
            appearance: (4, length), its summary.
            hazards: Its hazards.
            noticed: What else was noticed of it.
        """
        found = self._unusual(number, features, present, appearance, hazards)
        before = _rests_on(self._unlike, number)
        if any(finding.code in CAST_ON_LATER_VISITS for finding in (*found, *noticed)):
            self._unlike.append(number)
        return (*found, *before)

    def _unusual(
        self, number: int, features: Tensor, present: Tensor, appearance: Tensor, hazards: VisitHazards
    ) -> tuple[Finding, ...]:
        """What the model's own account of the usual says."""
        if self._doubt is None:
            return ()
        change, common = visit_change(self._first, features, present)
        if self._first is None:
            self._first = (features, present)
        visit = VisitSummary(
            appearance=appearance.cpu(),
            present=present.cpu(),
            change=change.cpu(),
            common=common.cpu(),
            spread=members_spread(hazards.member_hazards),
        )
        return doubt_findings(self._doubt, judge(self._doubt, visit), hazards, number, self._sequences)


def doubt_findings(
    doubt: Doubt, found: VisitDoubt, hazards: VisitHazards, number: int, sequences: Sequence[str]
) -> tuple[Finding, ...]:
    """The sentences that a visit's scores call for."""
    findings = []
    for code, scores in (("unlike_training", found.appearance), ("change_unlike_training", found.change)):
        by_name = dict(zip(sequences, scores.tolist(), strict=True))
        above = {name: score for name, score in by_name.items() if score > doubt.unusual_above}
        if above:
            findings.append(_unlike(code, above, number, doubt.unusual_above))
    if found.spread > doubt.at_odds_above:
        low, high = hazards.risk_extremes
        message = (
            f"The risk at visit {number} is uncertain: the ensemble's members are at odds ({_percent(low)} to "
            f"{_percent(high)}), further apart than at {1 - doubt.at_odds_rate:.0%} of the visits that the model was "
            "checked on."
        )
        findings.append(Finding.warning("members_at_odds", message, visit=number))
    return tuple(findings)


def _rests_on(unlike: Sequence[int], number: int) -> tuple[Finding, ...]:
    """That earlier visits, which this one's risk rests on too, are unlike training."""
    if not unlike:
        return ()
    which = ("visit " if len(unlike) == 1 else "visits ") + ", ".join(map(str, unlike))
    message = f"The risk at visit {number} is uncertain: it rests on {which} too, where something is wrong or unusual."
    return (Finding.warning("rests_on_unlike_visit", message, visit=number),)


def one_visit_so_far(number: int, visits: int, noticed: Iterable[Finding]) -> tuple[Finding, ...]:
    """That the first visit's risk rests on one visit; nothing where the timeline was told to be a single visit."""
    if number > 1 or (visits == 1 and any(finding.code == "single_visit" for finding in noticed)):
        return ()
    message = "The risk at visit 1 is uncertain: it rests on one visit, and nothing can be compared over time yet."
    return (Finding.warning("one_visit_so_far", message, visit=1),)


def uncertain_codes(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Codes of the findings that make a risk uncertain, each once, in the order of :data:`UNCERTAIN_CODES`."""
    found = {finding.code for finding in findings}
    return tuple(code for code in UNCERTAIN_CODES if code in found)


def _unlike(code: str, above: Mapping[str, float], number: int, limit: float) -> Finding:
    """That some sequences' scores, by name, pass the limit."""
    names, score = " and ".join(above), max(above.values())
    what, check = {
        "unlike_training": (
            f"{names} of visit {number} looks unlike the images that the model was trained on",
            "that it is MRI of a head, the pulse sequence it is called, and the right way up",
        ),
        "change_unlike_training": (
            f"{names} of visit {number} differs from the first visit as no visit in training does",
            "that both are the same patient's, the same pulse sequence, and aligned",
        ),
    }[code]
    far = "not seen in training" if math.isinf(score) else f"{score:.1f} spreads, warned above {limit:.1f}"
    message = f"{what} ({far}), so the risk there is uncertain and not to be relied on. Check {check}."
    sequence = max(above, key=above.__getitem__)
    return Finding.warning(code, message, visit=number, sequence=sequence)


def _percent(risk: float) -> str:
    return numbers.percent(risk).replace(numbers.NARROW, " ")
