"""`open:auto`: the highest rate at which p99 of the response latency stays under a limit, by bisection over windows of requests."""

from __future__ import annotations

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

LONGEST = 8
"""Near saturation a queue takes long to show what it becomes: a window is up to so many times longer."""

ROOM = 0.2
"""Down to this much unused capacity a window has its plain length."""

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

    @property
    def requests(self) -> int:
        """How long the next window is."""
        if self.rate is None or not self._capacity:
            return WINDOW_REQUESTS
        unused = max(1 - self.rate / self._capacity, ROOM / LONGEST)
        return round(WINDOW_REQUESTS * max(1.0, ROOM / unused))

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
        self.windows.append(Window(self.rate, total.n, p99, (low, high), within, sure))
        if not sure and len(self._same) <= EXTENSIONS and len(self.windows) < MOST_WINDOWS:
            return
        self._same = []
        self._decide(float(responses.mean()), over if self.rate is None else not within)

    def _decide(self, mean_ns: float, over: bool) -> None:
        if self.rate is None:
            self._capacity = self.high = 1e9 / mean_ns
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

    def result(self, final: Histogram | None, unbounded: str | None) -> dict[str, Any]:
        """`slo` of the result. `final` is the response latency of the run at the rate that was found, None where there was none."""
        found: dict[str, Any] = {
            "limit_ms": self.limit_ms, "rate": self.found, "low": self.low or None, "high": self.high,
            "windows": [asdict(window) for window in self.windows],
            "p99_ms": None, "p99_ci95_ms": None, "holds": None, "reason": "",
        }  # fmt: skip
        if not self.done:
            return found | {"reason": "the search did not end"}
        if self.found is None:
            return found | {"reason": self.refusal}
        if unbounded is not None:
            return found | {"holds": False, "reason": "in the run at that rate the backlog kept growing"}
        if final is None or not final.n:
            return found | {"reason": "there was no run at that rate"}
        low, high = (None if end is None else end / 1e6 for end in quantile_interval(final, Q))
        p99 = final.quantile(Q) / 1e6
        found |= {"p99_ms": p99, "p99_ci95_ms": [low, high]}
        said = f"in the run at that rate p99 was {units.significant(p99)} ms"
        if high is not None and high <= self.limit_ms:
            return found | {"holds": True}
        if low is not None and low > self.limit_ms:
            return found | {"holds": False, "reason": said}
        return found | {"reason": f"{said}, and its 95 % interval holds the limit"}


def _grew(rate: float, delays: np.ndarray) -> bool:
    backlog = Backlog(rate)
    for part in np.array_split(delays, min(20, max(1, len(delays) // 10))):
        backlog.add(part)
    return backlog.growing() is not None
