"""The pipelined loop of a backend that prepares inputs beside the issuing thread: the host stage overlaps like every other."""

from __future__ import annotations

import time
from collections import deque
from typing import cast

from .backend import Preparing, StageTimes
from .load import Ended, Handle, Loop


class PipelinedLoop(Loop):
    """`load.slots` requests at once, of which the oldest are on the device and the youngest being prepared.

    A request begins with its preparation. A slot that is free is prepared at once, so that the preparing thread has its next request
    while this one issues; whoever is slower, the device or the host, then never waits for the other.
    """

    def _loop(self, handle: Handle) -> Ended:
        clock, orders, backend = time.monotonic_ns, self._orders, cast("Preparing", self._backend)
        coming: deque[tuple[int, int, int]] = deque()  # slot, input set, ns at which it began
        flying: deque[tuple[int, int, StageTimes | None]] = deque()
        free = list(range(self._load.slots))
        request = paused = 0
        last = clock()
        reason = ""

        def begin() -> None:
            nonlocal request, reason
            while free and not reason:
                slot, index = free.pop(), request % self._sets
                coming.append((slot, index, clock()))
                backend.prepare(slot, index)
                request += 1
                if self._left is not None:
                    self._left -= 1
                    if self._left <= 0:
                        reason = "requests"

        def reap() -> None:
            nonlocal last, paused, reason
            slot, start, times = flying.popleft()
            if times is None:
                backend.complete(slot, None)
                last = clock()
            else:
                times.called = clock()
                backend.complete(slot, times)
                last = times.completed or clock()
            self._put(slot, start, last, 0, times, paused)
            free.append(slot)
            paused = self._tidy(last)
            if self._deadline is not None and last >= self._deadline and not reason:
                reason = "duration"

        while True:
            if orders.waiting and not reason:
                reason = handle()
            while flying and backend.done(flying[0][0]):
                reap()
            begin()
            if coming:
                slot, index, start = coming.popleft()
                times = self._instrument(slot, start) if start >= self._instrument_at else None
                backend.issue(slot, index, times)
                if times is not None:
                    times.issued = clock()
                flying.append((slot, start, times))
            elif flying:
                reap()
            else:
                return Ended(last, reason)
