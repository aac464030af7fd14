"""What every way of generating load shares: orders from outside, the end of a measurement, garbage collection, instrumented requests.

Requests are issued by one thread, timed on the host's monotonic clock and written to the ring.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .backend import Backend, StageTimes
from .loads import Load
from .protocol import Message
from .ring import INSTRUMENTED, RingWriter

INSTRUMENTED_GAP_NS = 20_000_000
"""Mean of the exponential gaps between instrumented requests: 50 a second, whatever the rate, since CUDA events cost 40 to 50 µs a request."""

COLLECT_EVERY_NS = 100_000_000
"""At most every 100 ms a young collection runs between two requests: a model that makes reference cycles leaks without."""

Handle = Callable[[], str]
"""Takes the waiting orders and returns the reason to stop, or an empty string."""


@dataclass
class Orders:
    """What the control thread asks of the issuing thread. `waiting` is read before each request, so it is one attribute."""

    waiting: bool = False
    queue: deque[Message] = field(default_factory=deque)
    _bell: threading.Event = field(default_factory=threading.Event)

    def put(self, order: Message) -> None:
        self.queue.append(order)
        self.waiting = True
        self._bell.set()

    def take(self) -> Message | None:
        """The next order, oldest first. The flag falls before the queue is looked at, so that no order is overlooked."""
        self.waiting = False
        self._bell.clear()
        return self.queue.popleft() if self.queue else None

    def sleep(self, seconds: float) -> None:
        """Until an order comes, at most so long."""
        self._bell.wait(seconds)


@dataclass(frozen=True)
class Ended:
    """How a run ended: ns of the last completion, `duration`, `requests` or `stop`, and the requests that had arrived and were not served."""

    last: int
    reason: str
    unserved: int = 0


class Loop:
    """A way to issue requests; `_loop` is what differs."""

    def __init__(
        self,
        backend: Backend,
        ring: RingWriter,
        orders: Orders,
        *,
        run: int,
        sets: int,
        load: Load,
        seed: int,
        collect: str,
        windowed: Callable[[int], None],
    ) -> None:
        """`windowed` is called with the ns at which the last request of a window was complete."""
        self._backend, self._ring, self._orders = backend, ring, orders
        self._run, self._sets, self._load, self._seed = run, sets, load, seed
        self._random = random.Random(seed)
        self._collect = collect == "off"
        self._windowed = windowed
        self._stages = [StageTimes() for _ in range(load.slots)]
        self._instrument_at = 0
        self._collect_at = 0
        self._deadline: int | None = None
        self._left: int | None = None  # requests yet to be issued

    def measure(self, duration: int | None, requests: int | None, rate: float | None = None) -> int:
        """The warm-up is over: freeze what it left behind, and return the ns at which the statistics begin.

        `rate` (requests a second) is for a load that had none so far.
        """
        if self._collect:
            gc.collect()
            gc.freeze()
        now = time.monotonic_ns()
        self._deadline = None if duration is None else now + duration
        self._left = requests
        return now

    def go(self, handle: Handle) -> Ended:
        """Run until an order or the end of the measurement stops it."""
        if self._collect:
            gc.disable()
        self._instrument_at = time.monotonic_ns()
        self._collect_at = self._instrument_at + COLLECT_EVERY_NS
        try:
            return self._loop(handle)
        finally:
            gc.enable()
            gc.unfreeze()

    def _loop(self, handle: Handle) -> Ended:
        raise NotImplementedError

    def _instrument(self, slot: int, now: int) -> StageTimes:
        """The place for the stages of the request that is about to be issued; draws when the next one is timed."""
        times = self._stages[slot]
        times.clear()
        self._instrument_at = now + int(self._random.expovariate(1 / INSTRUMENTED_GAP_NS))
        return times

    def _put(
        self, slot: int, start: int, last: int, response: int, times: StageTimes | None, paused: int
    ) -> None:
        if times is None:
            self._ring.put(start, last - start, response, None, 0, self._run, paused, slot)
            return
        stages = (times.host, times.h2d, times.compute, times.d2h, times.enqueue)
        found = (*stages, *times.outside(start, last, self._load.slots == 1))
        self._ring.put(start, last - start, response, found, INSTRUMENTED, self._run, paused, slot)

    def _tidy(self, last: int) -> int:
        """Collect young garbage where it is time to; the ns that it took. `last` is now, ns."""
        if not self._collect or last < self._collect_at:
            return 0
        gc.collect(0)
        done = time.monotonic_ns()
        self._collect_at = done + COLLECT_EVERY_NS
        return min(done - last, 0xFFFFFFFF)
