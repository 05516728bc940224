"""The parts of a model card that are measured later, between markers: evaluations by cohort, and when not to believe.

A part keeps one text for each cohort, under its title, so that a card can hold several evaluations.
"""

from __future__ import annotations

import re
import textwrap
from typing import Literal

from TemporalGliomaRisk.errors import InputError, UsageError
from TemporalGliomaRisk.explain.sanity import HeatmapSanity
from TemporalGliomaRisk.risk.doubt import Doubt

DOUBT_BEGINS, DOUBT_ENDS = "<!-- doubt begins -->", "<!-- doubt ends -->"
WRONG_BEGIN, WRONG_END = "<!-- wrong inputs begin -->", "<!-- wrong inputs end -->"
"""Around what was measured on wrong inputs, by one set of thresholds."""
CARD_WIDTH = 118
Part = Literal["evaluation", "subgroups"]
LONGEST_TITLE = 60
RESEMBLES_FROM = 0.2
"""Rank correlation with maps of random weights from which on the card says that ours resemble them."""


def marked(part: Part, text: str) -> str:
    """A part of a card with its markers."""
    return f"<!-- {part} begins -->\n{text}\n<!-- {part} ends -->"


def check_title(title: str) -> str:
    """A title that a card's markers and a picture's name can hold.

    Raises:
        UsageError: If it is empty, too long or holds other signs.
    """
    if re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9 ,()]{{0,{LONGEST_TITLE - 1}}}", title) is None:
        raise UsageError(
            f"A title is 1 to {LONGEST_TITLE} letters, digits, blanks, commas and brackets, a letter or digit first; "
            "name another."
        )
    return title


def card_with(card: str, part: Part, title: str, text: str) -> str:
    """A card with one cohort's text in one of its parts; that of the same title is replaced, others stay.

    Raises:
        InputError: If the card has no markers of the part.
        UsageError: If the title is none that markers can hold.
    """
    check_title(title)
    begins, ends = marked(part, "").split("\n\n")
    before, found, rest = card.partition(begins)
    inside, closed, after = rest.partition(ends)
    if not (found and closed):
        raise InputError(f"The model card has no markers for its {part}; write the bundle again with calibrate.")
    texts = _sections(part, inside)
    texts[title] = f"### {title}\n\n{text.strip()}"
    sections = "\n\n".join(
        f"<!-- {part} of {name} begins -->\n{words}\n<!-- {part} of {name} ends -->" for name, words in texts.items()
    )
    return f"{before}{begins}\n{sections}\n{ends}{after}"


def titles_in(card: str, part: Part) -> list[str]:
    """Whose texts one of a card's parts holds."""
    return list(_sections(part, card))


def _sections(part: Part, text: str) -> dict[str, str]:
    pattern = rf"<!-- {part} of ([^<>]+) begins -->\n(.*?)\n<!-- {part} of \1 ends -->"
    return dict(re.findall(pattern, text, re.DOTALL))


def has_part(card: str, part: Part) -> bool:
    """Whether a card has the markers of a part; cards of earlier versions lack the subgroups'."""
    return f"<!-- {part} begins -->" in card


def card_with_doubt(card: str, doubt: Doubt | None, sanity: HeatmapSanity) -> str:
    """A card that says when not to believe the model; an earlier account of it is replaced.

    What was measured on wrong inputs goes too: it holds for the earlier thresholds, not for the new ones.
    """
    card = re.sub(rf"\n*{WRONG_BEGIN}.*?{WRONG_END}", "", card, flags=re.DOTALL)
    before, begins, rest = card.partition(DOUBT_BEGINS)
    _, ends, after = rest.partition(DOUBT_ENDS)
    if not (begins and ends):
        before, results, after = card.partition("## Results")
        before, after = before.rstrip("\n") + "\n\n", f"\n\n{results}{after}"
    usual = "Too few visits were there to say what is unlike training." if doubt is None else _usual_text(doubt)
    text = f"## When not to believe it\n\n{usual}\n\n{_sanity_text(sanity)}"
    return f"{before}{DOUBT_BEGINS}\n{text}\n{DOUBT_ENDS}{after}"


def _usual_text(doubt: Doubt) -> str:
    passing = (
        f"lets pass all but {doubt.false_alarm_rate:.0%} of {doubt.validation_visits} visits"
        if (doubt.validation_visits + 1) * doubt.false_alarm_rate >= 1
        else f"is that of the farthest of {doubt.validation_visits} visits, too few for less than one further visit in "
        f"{doubt.validation_visits + 1} beyond it,"
    )
    text = (
        "A visit is called unlike training by a Mahalanobis distance (shrunk covariance) of its encoder features, "
        "pooled in the brain, its intensities and the size of its brain; and likewise by its change since the first "
        f"visit. What is usual comes from {doubt.training_visits} training visits; the threshold {passing} of "
        f"{doubt.validation_patients} validation patients. Members count as at odds when the logarithms of their "
        f"hazards lie {doubt.at_odds_above:.2f} or more apart, which {doubt.at_odds_rate:.0%} of those visits pass. "
        "Both rates were set before any wrong input was looked at. A first visit's risk rests on one visit and is "
        "always called uncertain. Left and right are not told apart."
    )
    return textwrap.fill(text, CARD_WIDTH)


def _sanity_text(sanity: HeatmapSanity) -> str:
    text = (
        f"Weight randomisation of the heatmap, {sanity.visits} validation patients at their last visit, {sanity.seeds} "
        f"random networks a stage (mean, 5th to 95th percentile; overlap by chance {sanity.top_share:.0%}):"
    )
    rows = [
        "| random weights | rank correlation over the brain | "
        f"overlap of the highest {sanity.top_share:.0%} of places |",
        "| --- | --- | --- |",
    ]
    rows += [
        f"| {stage.randomised} | {stage.correlation:.2f} [{stage.correlation_low:.2f}, {stage.correlation_high:.2f}] | "
        f"{stage.top_overlap:.0%} |"
        for stage in sanity.stages
    ]
    if sanity.members_correlation is not None and sanity.members_top_overlap is not None:
        rows.append(
            f"| none: two of its own members | {sanity.members_correlation:.2f} | {sanity.members_top_overlap:.0%} |"
        )
    lines = [textwrap.fill(text, CARD_WIDTH), "", *rows]
    if alike := _alike_text(sanity):
        lines += ["", textwrap.fill(alike, CARD_WIDTH)]
    return "\n".join(lines)


def _alike_text(sanity: HeatmapSanity) -> str:
    """What it means where maps of random weights resemble the model's, which they must not."""
    most = max(sanity.stages, key=lambda stage: stage.correlation)
    if most.correlation < RESEMBLES_FROM:
        return ""
    return (
        "Maps of random weights must not resemble the model's. Over the whole brain they do where "
        f"{most.randomised} is random: so much of a map comes of the images and the network's form, not of what was "
        "learnt."
    )
