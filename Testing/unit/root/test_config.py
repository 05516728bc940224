"""Settings read back from JSON that others may have changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from TemporalGliomaRisk import config as configs
from TemporalGliomaRisk.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Inner:
    shares: tuple[float, ...] = (0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class Outer:
    count: int = 3
    rate: float = 0.1
    quick: bool = False
    word: str = "a"
    inner: Inner | None = None


def test_settings_come_back_as_they_were_written() -> None:
    for settings in (Outer(), Outer(count=4, rate=2, quick=True, inner=Inner(shares=(1.0,)))):
        assert configs.from_json(Outer, configs.to_json(settings)) == settings
    assert type(configs.from_json(Outer, {"count": 4.0}).count) is int


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"count": "3"}, "Wanted a whole number for count, got str"),
        ({"count": True}, "Wanted a whole number for count, got bool"),
        ({"count": 3.5}, "Wanted a whole number for count, got float"),
        ({"count": 10**400}, "Wanted a whole number for count"),
        ({"rate": math.nan}, "Wanted a number for rate"),
        ({"rate": None}, "Wanted a number for rate, got NoneType"),
        ({"quick": 1}, "Wanted true or false for quick"),
        ({"word": ["a"]}, "Wanted a word for word, got list"),
        ({"inner": [1]}, "Wanted the settings of Inner under their names, got list"),
        ({"inner": {"shares": "1"}}, "Wanted a list for shares, got str"),
        ({"inner": {"shares": [{}]}}, "Wanted a number for shares, got dict"),
        ({"counts": 3}, "Unknown setting counts for Outer"),
        ({"Doe, Jane\n": 3}, "Unknown setting 1 of no name for Outer"),
    ],
)
def test_a_value_of_another_kind_is_refused_in_a_sentence_that_does_not_repeat_it(
    content: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        configs.from_json(Outer, content)
