"""Warm-up ends when three medians agree, at the latest after a minute, or exactly as asked."""

from __future__ import annotations

import numpy as np
import pytest
from infertop.telemetry.warmup import SECOND, WarmUp, WarmUpEnd, parse_rule

MS = 1_000_000
START = 5_000 * SECOND


def follow(warmup: WarmUp, services: list[int], batch: int = 7, gap: int = 0) -> WarmUpEnd | None:
    """Feed requests one after another in batches; the first end that shows."""
    ends = START + np.cumsum(np.array(services, np.int64) + gap) - gap
    for first in range(0, len(services), batch):
        part = slice(first, first + batch)
        warmup.add(ends[part], np.array(services[part], np.int64))
        end = warmup.ended(int(ends[part][-1]))
        if end is not None:
            return end
    return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", (None, None)),
        ("5s", (5 * SECOND, None)),
        ("1.5s", (1_500_000_000, None)),
        ("500ms", (500 * MS, None)),
        ("2min", (120 * SECOND, None)),
        ("100x", (None, 100)),
    ],
)
def test_rules(text: str, expected: tuple[int | None, int | None]) -> None:
    assert parse_rule(text) == expected


@pytest.mark.parametrize("text", ["", "5", "x", "1.5x", "-1s", "5 s", "5h", "AUTO", "5sx"])
def test_a_rule_that_is_none_is_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"a warm-up is auto, a time such as 5s"):
        WarmUp(text)


@pytest.mark.parametrize("batch", [1, 7, 250, 10_000])
def test_a_steady_load_settles_after_three_windows(batch: int) -> None:
    end = follow(WarmUp("auto"), [10 * MS] * 1000, batch)
    assert end is not None
    assert end.settled
    assert end.end_ns == START + 3 * SECOND
    assert end.reason == "the last 3 medians agree within 0.0 %"


@pytest.mark.parametrize("batch", [1, 13, 4000])
def test_a_load_that_speeds_up_settles_when_it_is_level(batch: int) -> None:
    # a second each at 40, 20 and 12 ms, then 10 ms for ever
    services = [40 * MS] * 25 + [20 * MS] * 50 + [12 * MS] * 84 + [10 * MS] * 1000
    end = follow(WarmUp("auto"), services, batch)
    assert end is not None
    assert end.settled
    # windows: 1.00, 1.00, 1.008 (84 · 12 ms), then three of 1 s
    assert end.end_ns == START + 6 * SECOND + 8 * MS


def test_medians_must_agree_within_a_twentieth() -> None:
    inside = [10 * MS] * 100 + [10_400_000] * 97 + [10_000_000] * 100
    assert follow(WarmUp("auto"), inside) is not None
    outside = [10 * MS] * 100 + [10_600_000] * 95 + [10_000_000] * 100
    assert follow(WarmUp("auto"), outside) is None


def test_a_slow_model_gets_windows_of_ten_requests() -> None:
    end = follow(WarmUp("auto"), [2 * SECOND] * 40, batch=1)
    assert end is not None
    assert end.settled
    assert end.end_ns == START + 60 * SECOND


def swinging(seconds: int) -> list[int]:
    """A second each at 10 and at 20 ms in turn: it never settles."""
    return ([10 * MS] * 100 + [20 * MS] * 50) * (seconds // 2)


def test_an_unsteady_load_is_ended_after_a_minute_and_marked() -> None:
    end = follow(WarmUp("auto"), swinging(80))
    assert end is not None
    assert not end.settled
    assert 60 * SECOND <= end.end_ns - START < 61 * SECOND
    assert end.reason == "not settled after 60 s: the last 3 medians differ by 100 %"


def test_thirty_requests_are_waited_for_however_slow() -> None:
    services = [3 * SECOND, 9 * SECOND] * 20
    end = follow(WarmUp("auto"), services, batch=1)
    assert end is not None
    assert end.end_ns - START >= 60 * SECOND
    assert end.end_ns == START + sum(services[:30])


def test_a_minute_passes_while_a_request_takes_long() -> None:
    warmup = WarmUp("auto")
    assert warmup.ended(START + 100 * SECOND) is None  # nothing was issued yet
    services = np.full(40, 10 * MS)
    ends = START + np.cumsum(services)
    warmup.add(ends, services)
    assert warmup.ended(START + 59 * SECOND) is None
    end = warmup.ended(START + 60 * SECOND)
    assert end is not None
    assert end.end_ns == ends[-1]
    assert not end.settled
    assert "too few requests for 3 windows" in end.reason


def test_a_time_ends_with_the_request_that_completes_it() -> None:
    end = follow(WarmUp("100ms"), [30 * MS] * 10)
    assert end == WarmUpEnd(START + 120 * MS, True, "100ms of warm-up, as asked")


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_a_number_of_requests_ends_with_that_request(batch: int) -> None:
    end = follow(WarmUp("100x"), [3 * MS] * 300, batch)
    assert end == WarmUpEnd(START + 300 * MS, True, "100 requests of warm-up, as asked")


@pytest.mark.parametrize("rule", ["0x", "0s"])
def test_no_warm_up_leaves_every_request_in(rule: str) -> None:
    end = follow(WarmUp(rule), [5 * MS] * 3)
    assert end is not None
    assert end.end_ns == START


def test_what_comes_after_the_end_changes_nothing() -> None:
    warmup = WarmUp("2x")
    first = follow(warmup, [MS] * 2)
    assert follow(warmup, [50 * MS] * 9) == first
