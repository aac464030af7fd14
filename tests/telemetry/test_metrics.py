"""Values at a metric's resolution, and turns slower than the tick."""

from __future__ import annotations

import json

import pytest
from infertop.telemetry.metrics import SECOND, Every, MetricSpec, Value

QUARTER = SECOND // 4


@pytest.mark.parametrize(
    ("resolution", "value", "text"),
    [
        (0.1, 33.333333, "33.3"),
        (0.1, 0.3, "0.3"),
        (0.01, 2.0, "2.0"),
        (0.001, 0.0004, "0.0"),
        (1.0, 12.6, "13"),
        (1000.0, 2_345_678.0, "2346000"),
        (1e6, 574_603_264, "575000000"),
        (0.25, 1.4, "1.5"),
        (0.25, 0.8, "0.75"),
        (1.0, 2**53 + 1, "9007199254740993"),
        (0.1, float("nan"), "null"),
        (0.1, float("inf"), "null"),
        (0.1, None, "null"),
    ],
)
def test_rounding(resolution: float, value: Value, text: str) -> None:
    assert json.dumps(MetricSpec("a", "1", resolution).rounded(value)) == text


def turns(every: Every, ticks: list[int]) -> list[int]:
    return [tick for tick in ticks if every.due(7 * SECOND + tick * QUARTER)]


def test_a_turn_comes_on_the_grid_of_its_first() -> None:
    assert turns(Every(SECOND), list(range(10))) == [0, 4, 8]
    assert turns(Every(SECOND, QUARTER), list(range(10))) == [1, 5, 9]


def test_missed_turns_are_not_made_up_for() -> None:
    assert turns(Every(SECOND), [0, 1, 13, 14, 15, 16, 17]) == [0, 13, 16]


def test_a_turn_can_be_moved_to_another_tick() -> None:
    every = Every(SECOND)
    assert turns(every, [0, 1, 2, 3, 4]) == [0, 4]
    every.shift(QUARTER)
    assert turns(every, [5, 6, 7, 8, 9, 10, 11, 12, 13]) == [9, 13]
