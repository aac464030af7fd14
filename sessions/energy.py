"""Joules a sample, from the GPU's energy counter, with what that counter's steps leave uncertain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .readings import Readings

TICK_S = 0.1
"""The counter moves about ten times a second (measured on an H100): either end of a window may be off by one step."""

SHORTEST_S = 2.0
"""A window of fewer than twenty steps says nothing."""


def per_sample(
    readings: Readings,
    gpu: str | None,
    throughput: float | None,
    interval: Sequence[float] | None,
    quiet: Mapping[str, Any] | None,
) -> dict[str, float | None] | None:
    """`energy` of a result; None without a counter, or where the window is too short for it.

    Idle power is in `j_per_sample`, and stands beside it as the quiet second showed it. `uncertainty` is half of a 95 % interval, J: one step
    of the counter over the window, and the throughput's own `interval`. The sensor's own error, which vendors give as 5 %, is not in it.
    """
    counted = readings.counted(f"{gpu}.energy") if gpu else None
    if counted is None or not throughput or counted[1] < SHORTEST_S:
        return None
    millijoules, window = counted
    joules = millijoules / 1000 / window / throughput
    steps = TICK_S / window
    rate = (interval[1] - interval[0]) / 2 / throughput if interval else 0.0
    return {
        "j_per_sample": joules,
        "uncertainty": joules * math.hypot(steps, rate),
        "idle_w": (quiet or {}).get("power_w"),
        "window_s": round(window, 2),
    }


def together(
    repeats: Sequence[tuple[Mapping[str, float | None] | None, int]],
) -> dict[str, float | None] | None:
    """That of repeats, each with its samples as weight; None where one of them has none."""
    known = [(energy, weight) for energy, weight in repeats if energy is not None and weight]
    total = sum(weight for _, weight in known)
    if not total or len(known) < len(repeats):
        return None
    idle = [watts for energy, _ in known if (watts := energy["idle_w"]) is not None]
    return {
        "j_per_sample": sum((e["j_per_sample"] or 0.0) * w for e, w in known) / total,
        "uncertainty": math.sqrt(sum(((e["uncertainty"] or 0.0) * w) ** 2 for e, w in known)) / total,
        "idle_w": sum(idle) / len(idle) if idle else None,
        "window_s": sum(e["window_s"] or 0.0 for e, _ in known),
    }
