"""The open loop: requests arrive by a schedule whether or not those before are complete, and wait in a logical queue.

The arrivals exist as times only. One request is served after another, first come first served, which for one server is exactly
what a queue in front of it would do; its response latency counts from the arrival, so that a stall is felt by all who waited.
"""

from __future__ import annotations

import time

from .load import Ended, Handle, Loop
from .loads import Load
from .schedule import Schedule

SPIN_NS = 1_000_000
"""Sleeping ends late by tens of µs and, seldom, by more: the last ms before an arrival is spent spinning."""

CATCH_UP_NS = 2_000_000_000
"""After the measurement's end those who arrived before it are still served, for this long at most; who is left over is counted."""


class OpenLoop(Loop):
    """Without a rate yet (`open:auto`) requests follow each other at once, until a window or the measurement gives one."""

    _schedule: Schedule | None = None
    _window = False

    def measure(self, duration: int | None, requests: int | None, rate: float | None = None) -> int:
        """The schedule begins anew here, so that the warm-up leaves no backlog behind."""
        now = super().measure(duration, requests, rate)
        self._window = False
        self._restart(now, rate)
        return now

    def window(self, rate: float | None, requests: int) -> int:
        """Serve so many requests at this rate (None: one after another) as a trial, and say `windowed` after the last; ns of its beginning."""
        now = time.monotonic_ns()
        self._left, self._window = requests, True
        self._restart(now, rate)
        return now

    def _restart(self, now: int, rate: float | None) -> None:
        self._rate = self._load.rate if rate is None else rate
        load = Load(self._load.kind, rate=self._rate)
        self._schedule = None if load.auto else Schedule(load, now, self._seed)

    def _loop(self, handle: Handle) -> Ended:
        clock, orders, issue, complete = (
            time.monotonic_ns, self._orders, self._backend.issue, self._backend.complete,
        )  # fmt: skip
        request = paused = 0
        last = clock()
        self._restart(last, None)
        while True:
            if orders.waiting and (reason := handle()):
                return Ended(last, reason, self._unserved(clock()))
            if self._left == 0:
                if not self._window:
                    return Ended(last, "requests")
                self._window, self._left = False, None
                self._windowed(last)
                self._restart(clock(), self._rate)
            now = clock()
            arrival = now if self._schedule is None else self._schedule.next()
            if self._deadline is not None and (
                arrival >= self._deadline or now >= self._deadline + CATCH_UP_NS
            ):
                return Ended(last, "duration", self._unserved(now))
            if arrival - now > SPIN_NS:
                orders.sleep((arrival - now - SPIN_NS) / 1e9)
                continue
            while clock() < arrival:
                pass
            if self._schedule is not None:
                self._schedule.advance()
            times = None
            start = clock()
            if start >= self._instrument_at:
                times = self._instrument(0, start)
                start = clock()
            issue(0, request % self._sets, times)
            if times is None:
                complete(0, None)
                last = clock()
            else:
                times.issued = times.called = clock()
                complete(0, times)
                last = times.completed or clock()
            request += 1
            self._put(0, start, last, last - arrival, times, paused)
            if self._left is not None:
                self._left -= 1
            paused = self._tidy(last)

    def _unserved(self, now: int) -> int:
        """Who has arrived, before the measurement's end, and will not be served."""
        if self._schedule is None:
            return 0
        return self._schedule.waiting(now if self._deadline is None else min(now, self._deadline - 1))
