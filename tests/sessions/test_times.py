"""What a person types to go somewhere in a recording."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from infertop.backends.errors import MeasureError
from infertop.sessions.times import Condition, FromStart, Offset, Target, TimeOfDay, parse


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("12:04:10", TimeOfDay(12 * 3600 + 4 * 60 + 10)),
        ("9:05", TimeOfDay(9 * 3600 + 5 * 60)),
        ("00:00:00.5", TimeOfDay(0.5)),
        ("+90s", Offset(90_000_000_000)),
        ("-3m", Offset(-180_000_000_000)),
        (" + 1h30m ", Offset(5_400_000_000_000)),
        ("90s", FromStart(90_000_000_000)),
        ("0s", FromStart(0)),
        ("p99>20ms", Condition(1, ">", 20_000_000)),
        ("p50 <= 300us", Condition(0, "<=", 300_000)),
        ("max>=1s", Condition(2, ">=", 1_000_000_000)),
    ],
)
def test_parse(text: str, target: Target) -> None:
    assert parse(text) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no time of a recording"),
        ("later", "no time of a recording"),
        ("25:00", "no time of day"),
        ("12:61", "no time of day"),
        ("+90", "has no unit"),
        ("90", "has no unit"),
        ("+", "not a duration"),
        ("-3 parsecs", "not a duration"),
        ("p95>3ms", "not known of every tick"),
        ("p99>20", "has no unit"),
        ("p99>", "not a duration"),
        ("p99=20ms", "no time of a recording"),
        ("\x1b[2J", "no time of a recording"),
    ],
)
def test_what_means_nothing_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(MeasureError, match=message) as caught:
        parse(text)
    assert caught.value.kind == "usage"
    assert "\n" not in caught.value.message
    assert "\x1b" not in caught.value.message
    assert caught.value.fix


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_sentence(text: str) -> None:
    with contextlib.suppress(MeasureError):
        parse(text)


@pytest.mark.parametrize(("comparison", "holds"), [(">", False), (">=", True), ("<", False), ("<=", True)])
def test_conditions_compare(comparison: str, holds: bool) -> None:
    assert Condition(1, comparison, 5).holds([1, 5, 9]) is holds
