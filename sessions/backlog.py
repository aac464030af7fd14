"""What waits in front of an open loop: how late requests are issued, and whether the backlog grows without end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..telemetry.histogram import Histogram
from .units import significant

ON_TIME_NS = 1_000_000
"""A request issued within this of its arrival found nobody before it (the system may have interrupted the worker for a moment)."""

LEAST_REQUESTS = 10
"""Fewer say nothing of a trend."""


@dataclass(frozen=True, slots=True)
class _Part:
    requests: int
    least: int  # the smallest issue delay, ns
    first: int  # that of the first request, ns


class Backlog:
    """Follows the issue delay, arrival to issue, of an open loop at `rate` requests/s, in order of arrival."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.delays = Histogram()
        self.last = 0  # issue delay of the newest request, ns
        self.waiting = 0
        """Requests that had arrived and not been issued when the newest one was, itself not counted."""
        self.most = 0  # that waited at a time
        self._parts: list[_Part] = []

    def add(self, delays: np.ndarray, over: int = 0, left: int | None = None) -> None:
        """Issue delays in ns, in order, shape (n,) int64. In the last `over` ns of the newest one nobody arrived any more, and `left`
        requests at most were still to come: what is made up for after the end waits for no more than had come until then."""
        if not len(delays):
            return
        self.delays.record(delays)
        self.last = int(delays[-1])
        arrived = int(max(0, self.last - over) * self.rate / 1e9)
        self.waiting = arrived if left is None else min(arrived, max(0, left))
        self.most = max(self.most, self.waiting)
        self._parts.append(_Part(len(delays), int(delays.min()), int(delays[0])))

    def growing(self) -> str | None:
        """Why the response latency has no bound, in a sentence, or None.

        A queue that keeps up runs empty again and again. It grows without end where in the second half of the requests none was issued
        on time and the last one waited longer than the first of them.
        """
        total = sum(part.requests for part in self._parts)
        if total < LEAST_REQUESTS or self.last * self.rate < 1e9:
            return None
        half, seen = [], 0
        for part in reversed(self._parts):
            half.append(part)
            seen += part.requests
            if 2 * seen >= total:
                break
        if min(part.least for part in half) <= ON_TIME_NS or self.last <= half[-1].first:
            return None
        return (
            f"latency unbounded: at {significant(self.rate)} requests/s the backlog kept growing, "
            f"to {self.most} waiting requests"
        )
