"""Scales that stand still: the ends of an axis are round numbers and move only when there is clearly a reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray

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


@dataclass(frozen=True, slots=True)
class Scale:
    """From `bottom` to `top`, linear or logarithmic."""

    top: float
    bottom: float = 0.0
    log: bool = False

    def share(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values lie: 0 at the bottom, 1 at the top; NaN stays NaN."""
        if not self.log:
            return (values - self.bottom) / (self.top - self.bottom)
        known = np.where(values > 0, values, np.nan)
        return np.asarray(np.log(known / self.bottom) / math.log(self.top / self.bottom), float)

    def at(self, share: float) -> float:
        """The value at a share of the height."""
        if not self.log:
            return self.bottom + (self.top - self.bottom) * share
        return float(self.bottom * (self.top / self.bottom) ** share)


def ticks(scale: Scale, rows: int) -> dict[int, float]:
    """Round values of the axis by the row from the top that holds each; row `rows` is the line below, at the bottom.

    Top and bottom always; between them the half of a linear axis, of a logarithmic one decades as far as they stand two rows apart.
    """
    found = {0: scale.top, rows: scale.bottom}
    if not scale.log:
        if rows >= 4 and not scale.bottom:
            found[rows // 2] = scale.top / 2
        return found
    first = math.ceil(math.log10(scale.bottom) + 1e-9)
    for power in range(first, math.ceil(math.log10(scale.top) - 1e-9)):
        share = float(scale.share(np.array([10.0**power]))[0])
        row = min(rows - 1, int((1 - share) * rows))
        if all(abs(row - other) >= 2 for other in found):
            found[row] = 10.0**power
    return found


_LOG_FROM, _LINEAR_FROM = (
    12.0,
    6.0,
)  # highest over lowest: above the first a linear axis hides the lowest, below the second it serves


def next_scale(previous: Scale | None, low: float, high: float) -> Scale:
    """The axis for values from `low` to `high` (> 0), given the axis before: from 0, or logarithmic where they lie decades apart."""
    if not (low > 0 and high > 0 and math.isfinite(high)):
        return previous or Scale(1.0)
    was = previous is not None and previous.log
    log = high / low > (_LINEAR_FROM if was else _LOG_FROM)
    before = previous if previous is not None and previous.log == log else None
    top = next_top(before.top if before else None, high)
    if not log:
        return Scale(top)
    # The lowest stands at a fifth of the height, so that a bar has a body.
    wanted = low / (top / low) ** 0.25
    if before is not None and before.bottom <= wanted * 2.5 and before.bottom * 2.5 >= wanted:
        return Scale(top, before.bottom, log=True)
    decade = 10.0 ** math.floor(math.log10(wanted))
    return Scale(top, max(step * decade for step in (1.0, 2.0, 5.0) if step * decade <= wanted), log=True)
