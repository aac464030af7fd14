"""Load generation: requests issued by one thread, timed on the host's monotonic clock, written to the ring."""

from __future__ import annotations

import gc
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .backend import Backend, StageTimes
from .errors import MeasureError
from .protocol import Message
from .ring import INSTRUMENTED, RingWriter

INSTRUMENTED_GAP_NS = 20_000_000
"""Mean of the exponential gaps between instrumented requests: 50 a second, whatever the rate, since CUDA events cost 40 to 50 µs a request."""

COLLECT_EVERY_NS = 100_000_000
"""At most every 100 ms a young collection runs between two requests: a model that makes reference cycles leaks without."""

_NAN = float("nan")
_NO_STAGES = (_NAN, _NAN, _NAN, _NAN, _NAN)


@dataclass
class Orders:
    """What the control thread asks of the issuing thread. `waiting` is read before each request, so it is one attribute."""

    waiting: bool = False
    queue: deque[Message] = field(default_factory=deque)

    def put(self, order: Message) -> None:
        self.queue.append(order)
        self.waiting = True

    def take(self) -> Message | None:
        """The next order, oldest first. The flag falls before the queue is looked at, so that no order is overlooked."""
        self.waiting = False
        return self.queue.popleft() if self.queue else None


def parse_closed(load: str) -> int:
    """`closed:n` → n. Raises MeasureError on any other load."""
    kind, _, number = load.partition(":")
    if kind == "closed" and number.isdigit() and int(number) > 0:
        return int(number)
    raise MeasureError("unsupported", f"the load {load!r} is not known here", "use --load closed:1")


class ClosedLoop:
    """`slots` requests in flight, the oldest reaped first; `measuring` is called with the ns at which the statistics begin."""

    def __init__(
        self,
        backend: Backend,
        ring: RingWriter,
        orders: Orders,
        *,
        run: int,
        sets: int,
        slots: int,
        seed: int,
        collect: str,
    ) -> None:
        self._backend, self._ring, self._orders = backend, ring, orders
        self._run, self._sets, self._slots = run, sets, slots
        self._random = random.Random(seed)
        self._collect = collect == "off"
        self._stages = [StageTimes() for _ in range(slots)]
        self._deadline: int | None = None
        self._left: int | None = None

    def measure(self, duration: int | None, requests: int | None) -> int:
        """The warm-up is over: freeze what it left behind, and return the ns at which the statistics begin."""
        if self._collect:
            gc.collect()
            gc.freeze()
        now = time.monotonic_ns()
        self._deadline = None if duration is None else now + duration
        self._left = requests
        return now

    def go(self, handle: Callable[[], str]) -> tuple[int, str]:
        """Run until an order or the end of the measurement stops it; (ns of the last completion, reason).

        `handle` takes the waiting orders and returns the reason to stop, or an empty string.
        """
        if self._collect:
            gc.disable()
        try:
            return self._loop(handle)
        finally:
            gc.enable()
            gc.unfreeze()

    def _loop(self, handle: Callable[[], str]) -> tuple[int, str]:
        clock, orders, issue, complete, put = (
            time.monotonic_ns, self._orders, self._backend.issue, self._backend.complete, self._ring.put,
        )  # fmt: skip
        gap = self._random.expovariate
        flying: deque[tuple[int, int, StageTimes | None]] = deque()
        free = list(range(self._slots))
        request = paused = 0
        last = clock()
        instrument_at, collect_at = last, last + COLLECT_EVERY_NS
        reason = ""
        while True:
            if orders.waiting and not reason:
                reason = handle()
            if not reason:
                while free:
                    slot = free.pop()
                    times = None
                    start = clock()
                    if start >= instrument_at:
                        times = self._stages[slot]
                        times.clear()
                        instrument_at = start + int(gap(1 / INSTRUMENTED_GAP_NS))
                        start = clock()
                    issue(slot, request % self._sets, times)
                    request += 1
                    flying.append((slot, start, times))
            elif not flying:
                return last, reason
            slot, start, times = flying.popleft()
            complete(slot, times)
            last = clock()
            if times is None:
                put(start, last - start, 0, _NO_STAGES, 0, self._run, paused, slot)
            else:
                put(
                    start, last - start, 0,
                    (times.host, times.h2d, times.compute, times.d2h, times.enqueue),
                    INSTRUMENTED, self._run, paused, slot,
                )  # fmt: skip
            free.append(slot)
            paused = 0
            if self._collect and last >= collect_at:
                gc.collect(0)
                done = clock()
                paused, collect_at = min(done - last, 0xFFFFFFFF), done + COLLECT_EVERY_NS
            if self._left is not None and not reason:
                self._left -= 1
                if self._left <= 0:
                    reason = "requests"
            if self._deadline is not None and last >= self._deadline and not reason:
                reason = "duration"
