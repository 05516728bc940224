"""How numbers are written, the same everywhere, with no more precision than they have."""

from __future__ import annotations

from collections.abc import Iterable

NARROW = "\u202f"
"""Narrow no-break space between a number and its unit."""


def percent(probability: float | None) -> str:
    """A probability in whole percent: ``34 %``, ``<1 %``, ``>99 %``; a dash when missing."""
    if probability is None:
        return "–"
    if probability < 0.01:
        return f"<1{NARROW}%"
    if probability > 0.99:
        return f">99{NARROW}%"
    return f"{round(100 * probability)}{NARROW}%"


def percent_range(low: float | None, high: float | None) -> str:
    """``28 to 40 %``, one number where both read alike, a dash when missing."""
    if low is None or high is None:
        return "–"
    first, last = percent(low), percent(high)
    return first if first == last else f"{first.removesuffix(NARROW + '%')} to {last}"


def significant(value: float | None, digits: int = 2) -> str:
    """A number with so many significant digits, without an exponent from 0.0001 on; a dash when missing."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def quantity(value: float | None, unit: str, digits: int = 2) -> str:
    """A measured value with its unit; a probability has none, and what is measured says that it is one."""
    shown = "" if value is None or unit == "probability" else unit
    return f"{significant(value, digits)} {shown}".rstrip()


def days(count: int) -> str:
    """``1 day``, ``97 days``."""
    return f"{count}{NARROW}day{'' if abs(count) == 1 else 's'}"


def years(count: int) -> str:
    """Years with one decimal from a year on, else nothing: ``1.2 years``."""
    return f"{count / 365.25:.1f}{NARROW}years" if count >= 365 else ""


def place(ras_mm: tuple[float, float, float]) -> str:
    """A RAS place with its sides in letters: ``R 31, A 12, S 40 mm``."""
    letters = (("R", "L"), ("A", "P"), ("S", "I"))
    return (
        ", ".join(f"{pair[int(value < 0)]} {abs(value):.0f}" for pair, value in zip(letters, ras_mm, strict=True))
        + " mm"
    )


def uncertain(codes: Iterable[str]) -> str:
    """What stands beside an uncertain risk: ``uncertain: one visit so far, members at odds``; empty for a usual one.

    Args:
        codes: ``uncertain_because`` of ``risk.json``; they read as words, and each one's warning is the whole sentence.
    """
    reasons = [code.replace("_", " ") for code in codes]
    return f"uncertain: {', '.join(reasons)}" if reasons else ""
