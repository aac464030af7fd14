"""The closed loop, shallow, deep and pipelined: the next request goes out when one has come back."""

from __future__ import annotations

import time
from collections import deque

from .backend import StageTimes
from .load import Ended, Handle, Loop


class ClosedLoop(Loop):
    """`load.slots` requests in flight, the oldest reaped first. Whether copies overlap compute is the backend's doing."""

    def _loop(self, handle: Handle) -> Ended:
        clock, orders, issue, complete = (
            time.monotonic_ns, self._orders, self._backend.issue, self._backend.complete,
        )  # fmt: skip
        flying: deque[tuple[int, int, StageTimes | None]] = deque()
        free = list(range(self._load.slots))
        request = paused = 0
        last = clock()
        reason = ""
        while True:
            if orders.waiting and not reason:
                reason = handle()
            while free and not reason:
                slot = free.pop()
                times = None
                start = clock()
                if start >= self._instrument_at:
                    times = self._instrument(slot, start)
                    start = clock()
                issue(slot, request % self._sets, times)
                if times is not None:
                    times.issued = clock()
                request += 1
                flying.append((slot, start, times))
                if self._left is not None:
                    self._left -= 1
                    if self._left <= 0:
                        reason = "requests"
            if not flying:
                return Ended(last, reason)
            slot, start, times = flying.popleft()
            if times is None:
                complete(slot, None)
                last = clock()
            else:
                times.called = clock()
                complete(slot, times)
                last = times.completed or clock()
            self._put(slot, start, last, 0, times, paused)
            free.append(slot)
            paused = self._tidy(last)
            if self._deadline is not None and last >= self._deadline and not reason:
                reason = "duration"
