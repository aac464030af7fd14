"""Scales that stand still: the top of an axis is a round number and moves down only when there is clearly room."""

from __future__ import annotations

import math

_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
_SLACK = 1.25  # the values must fit this many times below a lower step before the axis comes down to it


def step_up(value: float) -> float:
    """The smallest round number that is not below `value` (> 0)."""
    if not value > 0 or not math.isfinite(value):
        return 1.0
    decade = 10.0 ** math.floor(math.log10(value))
    for step in (*_STEPS, 10.0):
        if value <= step * decade * (1 + 1e-9):
            return step * decade
    return 10.0 * decade


def step_down(value: float) -> float:
    """The largest multiple of a twentieth of the decade that is not above `value` (> 0)."""
    if not value > 0 or not math.isfinite(value):
        return 0.0
    step = 10.0 ** math.floor(math.log10(value)) / 20
    return math.floor(value / step + 1e-9) * step


def next_top(previous: float | None, peak: float) -> float:
    """The top of the axis for values up to `peak`, given the top before. None: there was none."""
    if not peak > 0 or not math.isfinite(peak):
        return previous or 1.0
    if previous is None or peak > previous or peak * _SLACK < previous * 0.5:
        return step_up(peak)
    return previous


def spike_limit(peaks: list[float]) -> float:
    """How high an axis must reach for these per-second maxima: all of them, unless a rare one would flatten the rest.

    A second that is more than four times the 90th percentile of all is drawn cut off and marked instead.
    """
    if not peaks:
        return 0.0
    ordered = sorted(peaks)
    usual = ordered[int(0.9 * (len(ordered) - 1))]
    return ordered[-1] if ordered[-1] <= 4 * usual else max(p for p in ordered if p <= 4 * usual)
