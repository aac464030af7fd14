"""When warm-up ends: once the medians of three windows agree, or by a fixed rule that a person gave.

Pure: requests in, an end out. The end is the completion of a request, so that the throughput after it counts
whole requests; what completed by then is warm-up.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray

SECOND = 1_000_000_000
WINDOW_NS, WINDOW_REQUESTS = SECOND, 10
AGREEING, RATIO = 3, 1.05  # the last three medians' max/min
LATEST_NS, LATEST_REQUESTS = 60 * SECOND, 30

_RULE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|min|x)")
_UNITS = {"ms": 1_000_000, "s": SECOND, "min": 60 * SECOND}

Ints: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class WarmUpEnd:
    """Requests that completed until `end_ns` are warm-up; `settled` is False where the medians never agreed."""

    end_ns: int  # monotonic
    settled: bool
    reason: str  # for a person


def parse_rule(text: str) -> tuple[int | None, int | None]:
    """(ns, None) of "5s", (None, requests) of "100x", (None, None) of "auto". Raises ValueError with a
    sentence.
    """
    if text == "auto":
        return None, None
    match = _RULE.fullmatch(text)
    if match is None or (match["unit"] == "x" and "." in match["number"]):
        raise ValueError(
            f"a warm-up is auto, a time such as 5s or a number of requests such as 100x, not {text!r}"
        )
    if match["unit"] == "x":
        return None, int(match["number"])
    return round(float(match["number"]) * _UNITS[match["unit"]]), None


class WarmUp:
    """Follows a run's first requests until the rule says that warm-up is over.

    The clock starts with the first request's start. `auto`: windows of at least 1 s and 10 requests; it ends
    when the last three medians of service latency lie within 5 %, at the latest after 60 s and 30 requests,
    unsettled.
    """

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self._duration, self._requests = parse_rule(rule)
        self._start: int | None = None
        self._last = 0  # completion of the newest request
        self._seen = 0
        self._window_start = 0
        self._window: list[Ints] = []
        self._in_window = 0
        self._medians: deque[float] = deque(maxlen=AGREEING)
        self._end: WarmUpEnd | None = None

    def add(self, end_ns: Ints, service_ns: Ints) -> None:
        """Requests in order of completion: when each was complete (monotonic) and how long it took; shape
        (n,) both.
        """
        if not len(end_ns) or self._end is not None:
            return
        if self._start is None:
            self._start = self._window_start = int(end_ns[0]) - int(service_ns[0])
        if self._duration is not None:
            self._by_duration(end_ns, self._start + self._duration)
        elif self._requests is not None:
            self._by_requests(end_ns)
        else:
            self._by_windows(end_ns, service_ns)
        self._seen += len(end_ns)
        self._last = int(end_ns[-1])

    def ended(self, now_ns: int) -> WarmUpEnd | None:
        """The end once it is known; `now_ns` (monotonic) lets time pass while a request takes long."""
        if (
            self._end is None
            and self._start is not None
            and self._duration is None
            and self._requests is None
        ):
            late = now_ns - self._start >= LATEST_NS and self._seen >= LATEST_REQUESTS
            if late:
                self._end = WarmUpEnd(self._last, False, self._unsettled(now_ns))
        return self._end

    def _by_duration(self, end_ns: Ints, limit: int) -> None:
        if self._duration == 0:
            self._end = WarmUpEnd(limit, True, "no warm-up, as asked")
            return
        after = np.flatnonzero(end_ns >= limit)
        if len(after):
            self._end = WarmUpEnd(int(end_ns[after[0]]), True, f"{self.rule} of warm-up, as asked")

    def _by_requests(self, end_ns: Ints) -> None:
        assert self._requests is not None
        assert self._start is not None
        if self._requests == 0:
            self._end = WarmUpEnd(self._start, True, "no warm-up, as asked")
        elif self._seen + len(end_ns) >= self._requests:
            last = int(end_ns[self._requests - self._seen - 1])
            self._end = WarmUpEnd(last, True, f"{self._requests} requests of warm-up, as asked")

    def _by_windows(self, end_ns: Ints, service_ns: Ints) -> None:
        assert self._start is not None
        first = 0
        while first < len(end_ns):
            # The window closes with the first request that makes it both long and full enough.
            by_time = int(np.searchsorted(end_ns[first:], self._window_start + WINDOW_NS))
            by_count = WINDOW_REQUESTS - self._in_window - 1
            close = first + max(by_time, by_count)
            part = service_ns[first : close + 1]
            self._window.append(part)
            self._in_window += len(part)
            if close >= len(end_ns):
                return
            self._close(int(end_ns[close]), self._seen + close + 1)
            if self._end is not None:
                return
            first = close + 1

    def _close(self, at: int, seen: int) -> None:
        assert self._start is not None
        self._medians.append(float(np.median(np.concatenate(self._window))))
        self._window, self._in_window, self._window_start = [], 0, at
        if len(self._medians) == AGREEING and max(self._medians) <= RATIO * min(self._medians):
            spread = max(self._medians) / min(self._medians) if min(self._medians) else 1.0
            reason = f"the last {AGREEING} medians agree within {100 * (spread - 1):.1f} %"
            self._end = WarmUpEnd(at, True, reason)
        elif at - self._start >= LATEST_NS and seen >= LATEST_REQUESTS:
            self._end = WarmUpEnd(at, False, self._unsettled(at))

    def _unsettled(self, now_ns: int) -> str:
        assert self._start is not None
        waited = (now_ns - self._start) / SECOND
        if len(self._medians) < AGREEING:
            return f"not settled after {waited:.0f} s: too few requests for {AGREEING} windows"
        spread = max(self._medians) / min(self._medians) if min(self._medians) else float("inf")
        return f"not settled after {waited:.0f} s: the last {AGREEING} medians differ by {100 * (spread - 1):.0f} %"
