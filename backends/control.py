"""The control: a runtime's plain call beside the same request in steps, so that the split is known to cost nothing itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

PAIRS = 8
"""Pairs of blocks. The range of 8 differences holds their median with 1 − 2·2⁻⁸ = 99 %, whatever their distribution."""

SECONDS = 2.0
"""Of the plain call, all blocks together; the steps take as long again."""

MARKED_ABOVE = 0.05
"""A difference beyond its interval and this share marks the split as approximate."""

Request = Callable[[int], None]
"""Makes one request with input set `index`, and returns when it is complete."""


def compare(
    plain: Request, steps: Request, sets: int, clock: Callable[[], int] = time.perf_counter_ns
) -> dict[str, Any]:
    """`{p50_ms, steps_p50_ms, difference, interval, marked}`: of the plain call, of the steps, and the steps' relative difference.

    Blocks alternate, and which comes first does too, so that a machine that grows warmer harms neither.
    """
    plain_all: list[int] = []
    steps_all: list[int] = []
    differences = []
    for pair in range(PAIRS):
        order = (plain, steps) if pair % 2 == 0 else (steps, plain)
        first, second = (_block(request, sets, clock) for request in order)
        ours, theirs = (second, first) if pair % 2 == 0 else (first, second)
        plain_all += theirs
        steps_all += ours
        differences.append(statistics.median(ours) / statistics.median(theirs) - 1)
    low, high = min(differences), max(differences)
    difference = statistics.median(differences)
    return {
        "p50_ms": statistics.median(plain_all) / 1e6,
        "steps_p50_ms": statistics.median(steps_all) / 1e6,
        "difference": difference,
        "interval": [low, high],
        "marked": (low > 0 or high < 0) and abs(difference) > MARKED_ABOVE,
    }


def _block(request: Request, sets: int, clock: Callable[[], int]) -> list[int]:
    """Times of one block, ns; the first request after a change is not counted."""
    request(0)
    end = clock() + int(SECONDS / PAIRS * 1e9)
    times: list[int] = []
    index = 1
    while True:
        begun = clock()
        request(index % sets)
        done = clock()
        times.append(done - begun)
        index += 1
        if done >= end:
            return times
