"""`open:auto`: the highest rate at which p99 of the response latency stays under a limit.

By bisection over windows that are long in requests and in time; then a run at the rate that was found has the last word, and
where it refutes the rate the next one is lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..telemetry.histogram import Histogram
from ..telemetry.statistics import quantile_interval
from . import units
from .backlog import Backlog

Q = 0.99

WINDOW_REQUESTS = 400
"""p99 has an interval with both ends from 368 requests on."""

WINDOW_S = 1.0
"""And no shorter than this: what disturbs a machine comes a few times a second, and a window that it missed says nothing of it."""

LONGEST = 8
"""Near saturation a queue takes long to show what it becomes: a window has up to so many times the requests …"""

LONGEST_S = 3.0
"""… and is as much longer, up to this."""

ROOM = 0.2
"""Down to this much unused capacity a window has its plain length."""

STEPS = (0.1, 0.2, 0.3)
"""By these shares the rate falls each time that a run at the rate found does not keep the limit."""

EXTENSIONS = 3
"""So often a window whose interval holds the limit goes on at the same rate, before p99 itself decides."""

PRECISION = 0.05
"""The search ends where the rates that hold and fail are this close, as a share of the higher."""

LOWEST = 1 / 16
"""Below this share of what one request after another gives no rate is tried: windows would last too long."""

MOST_WINDOWS = 24


@dataclass(frozen=True, slots=True)
class Window:
    """What was tried: `rate` in requests/s, None for one request after another; `sure` where the interval of p99 lies on one side."""

    rate: float | None
    requests: int
    p99_ms: float
    p99_ci95_ms: tuple[float | None, float | None]
    within: bool
    sure: bool


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A run at a rate that the search had found. `holds` is None where the interval of its p99 holds the limit."""

    rate: float
    p99_ms: float | None
    p99_ci95_ms: tuple[float | None, float | None] | None
    holds: bool | None
    reason: str = ""


class Search:
    """Pure: `rate` and `requests` say what to try next, `take` what came of it, `done` when it is over. Rates in requests/s."""

    def __init__(self, limit_ms: float) -> None:
        self.limit_ms = limit_ms
        self.windows: list[Window] = []
        self.low = 0.0  # the highest rate that held
        self.high: float | None = (
            None  # the lowest that did not; at first what one request after another gives
        )
        self.rate: float | None = None
        self.done = False
        self._capacity = 0.0
        self._same: list[Histogram] = []  # of the windows at this rate
        self.confirmations: list[Confirmation] = []

    @property
    def requests(self) -> int:
        """How long the next window is."""
        if not self._capacity:
            return WINDOW_REQUESTS
        if self.rate is None:
            return max(WINDOW_REQUESTS, round(self._capacity * WINDOW_S) - self._seen)
        unused = max(1 - self.rate / self._capacity, ROOM / LONGEST)
        longer = max(1.0, ROOM / unused)
        seconds = min(WINDOW_S * longer, LONGEST_S)
        return round(max(WINDOW_REQUESTS * longer, self.rate * seconds))

    @property
    def _seen(self) -> int:
        """Requests so far at this rate."""
        return sum(window.n for window in self._same)

    def take(self, responses: np.ndarray, delays: np.ndarray) -> None:
        """The response latency and the issue delay of a window's requests in order of arrival, ns, shape (n,)."""
        window = Histogram()
        window.record(responses)
        self._same.append(window)
        total = Histogram()
        for part in self._same:
            total.add(part)
        low, high = (None if end is None else end / 1e6 for end in quantile_interval(total, Q))
        p99 = total.quantile(Q) / 1e6
        over = low is not None and low > self.limit_ms
        held = high is not None and high <= self.limit_ms
        if self.rate is not None and not over and _grew(self.rate, delays):
            over, held = True, False  # p99 of a window says nothing of a queue that has no end
        sure = over or held
        within = held if sure else p99 <= self.limit_ms
        if self.rate is None:
            self._capacity = 1e9 * len(responses) / float(responses.sum())
        self.windows.append(Window(self.rate, total.n, p99, (low, high), within, sure))
        short = self.rate is None and self._seen < self._capacity * WINDOW_S * 0.9 and not over
        extended = len(self._same) <= EXTENSIONS and len(self.windows) < MOST_WINDOWS
        if short or (not sure and extended):
            return
        self._same = []
        self._decide(over if self.rate is None else not within)

    def _decide(self, over: bool) -> None:
        if self.rate is None:
            self.high = self._capacity
            # Without any wait already too slow: every rate is.
            self.done = over
        elif over:
            self.high = self.rate
        else:
            self.low = self.rate
        assert self.high is not None
        self.rate = (self.low + self.high) / 2
        if self.high - self.low <= PRECISION * self.high or len(self.windows) >= MOST_WINDOWS:
            self.done = True
        if self.low == 0 and self.high <= LOWEST * self._capacity:
            self.done = True

    @property
    def found(self) -> float | None:
        """The highest rate that held; None where none did."""
        return self.low or None

    @property
    def refusal(self) -> str:
        """Why no rate was found, in a clause."""
        first = self.windows[0] if self.windows else None
        if first is not None and not first.within:
            return f"p99 is {units.significant(first.p99_ms)} ms even where no request waits"
        return f"it is exceeded even at {units.rate(self.high)} requests/s"

    def confirm(
        self, p99_ms: float | None, interval: Sequence[float | None] | None, unbounded: str | None
    ) -> bool:
        """Take a run at the rate found: p99 of its response latency with its interval, ms. True where another run is needed: the
        rate is lower then."""
        rate = self.found
        assert rate is not None
        low, high = interval or (None, None)
        holds: bool | None = None
        reason = "there was no request in the run at that rate"
        if unbounded is not None:
            holds, reason = False, "in the run at that rate the backlog kept growing"
        elif p99_ms is not None:
            reason = f"in the run at that rate p99 was {units.significant(p99_ms)} ms"
            if high is not None and high <= self.limit_ms:
                holds, reason = True, ""
            elif low is not None and low > self.limit_ms:
                holds = False
            elif high is None:
                reason += ", of too few requests for an upper bound: measure for longer"
            else:
                reason += ", and its 95 % interval holds the limit"
        self.confirmations.append(
            Confirmation(rate, p99_ms, None if interval is None else (low, high), holds, reason)
        )
        if holds is False:
            self.high = rate
        refused = len(self.confirmations) - 1
        # More requests, not fewer a second, are what a run lacks that has no upper bound.
        lacking = holds is None and high is None
        if holds or lacking or refused >= len(STEPS):
            return False
        self.low = rate * (1 - STEPS[refused])
        return True

    def result(self) -> dict[str, Any]:
        """`slo` of the result."""
        found: dict[str, Any] = {
            "limit_ms": self.limit_ms, "rate": self.found, "low": self.low or None, "high": self.high,
            "windows": [asdict(window) for window in self.windows],
            "confirmations": [asdict(run) for run in self.confirmations],
            "p99_ms": None, "p99_ci95_ms": None, "holds": None, "reason": "",
        }  # fmt: skip
        if not self.done:
            # What held so far is `low`: the highest that holds is not known.
            held = f" ({units.rate(self.low)} requests/s held)" if self.low else ""
            return found | {"rate": None, "reason": f"the search did not end{held}"}
        if self.found is None:
            return found | {"reason": self.refusal}
        last = self.confirmations[-1] if self.confirmations else None
        if last is None or last.rate != self.found:
            return found | {"reason": "the run at that rate did not end"}
        return found | {
            "p99_ms": last.p99_ms, "p99_ci95_ms": last.p99_ci95_ms and list(last.p99_ci95_ms), "holds": last.holds, "reason": last.reason,
        }  # fmt: skip


def _grew(rate: float, delays: np.ndarray) -> bool:
    backlog = Backlog(rate)
    for part in np.array_split(delays, min(20, max(1, len(delays) // 10))):
        backlog.add(part)
    return backlog.growing() is not None
