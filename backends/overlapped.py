"""Several requests on a GPU at once: whose streams they run on, and a request whose three parts run on streams of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .backend import StageTimes
from .cuda import Device, Stream
from .loads import Load
from .staged import Staged, Steps

Enter = Callable[[Stream], None]
"""Makes a stream the runtime's current one, where a runtime has such a thing."""


@dataclass(frozen=True)
class Lanes:
    """The streams of a slot's copy in, computation and copy out: one and the same unless copies overlap compute."""

    copy_in: Stream
    compute: Stream
    copy_out: Stream
    aside: Stream  # where copies overlap, one that has nothing to do: its events are reached when they are heard of

    @classmethod
    def one(cls, stream: Stream) -> Lanes:
        return cls(stream, stream, stream, stream)

    @property
    def apart(self) -> bool:
        return self.copy_in is not self.compute


def lanes(load: Load, streams: Sequence[Stream]) -> list[Lanes]:
    """Those of each slot: a stream for each, or, pipelined, three for all together, so that a copy waits for copies only, and the one aside."""
    if load.overlaps:
        return [Lanes(*streams[:4])] * load.slots
    return [Lanes.one(stream) for stream in streams[: load.slots]]


def streams_needed(load: Load) -> int:
    return 4 if load.overlaps else load.slots


def preparer(load: Load, path: str) -> ThreadPoolExecutor | None:
    """One thread for the host stage of requests whose copies overlap compute; None where that stage does nothing.

    Memory is copied without Python's lock, so that the issuing thread goes on meanwhile.
    """
    if not load.overlaps or path != "pinned":
        return None
    return ThreadPoolExecutor(1, "prepare")


class AheadOfTime:
    """A backend's part in `backend.Preparing`: its `preparer`, and its slots, which are `Overlapped` where there is one."""

    _staged: Sequence[Any]
    _ahead: ThreadPoolExecutor | None = None

    @property
    def prepares(self) -> bool:
        return self._ahead is not None

    def prepare(self, slot: int, index: int) -> None:
        self._staged[slot].prepare(index)

    def done(self, slot: int) -> bool:
        return bool(self._staged[slot].done())

    def _stop_preparing(self) -> None:
        if self._ahead is not None:
            self._ahead.shutdown()
            self._ahead = None


def staged(
    steps: Steps,
    device: Device,
    on: Lanes,
    enter: Enter | None = None,
    ahead: ThreadPoolExecutor | None = None,
) -> Staged | Overlapped:
    """A slot's requests on its streams."""
    if on.apart:
        return Overlapped(steps, device, on, enter or _stay, ahead)
    return Staged(steps, device, on.compute) if enter is None else Entering(steps, device, on.compute, enter)


def _stay(stream: Stream) -> None:
    """The runtime is told its stream at each call."""


class Entering(Staged):
    """On a stream that has to be made the runtime's current one before each request."""

    def __init__(self, steps: Steps, device: Device, stream: Stream, enter: Enter) -> None:
        super().__init__(steps, device, stream)
        self._enter, self._own = enter, stream

    def issue(self, index: int, times: StageTimes | None) -> None:
        self._enter(self._own)
        super().issue(index, times)


class Overlapped:
    """Issues a request's parts on three streams, in order by events; other requests' parts run beside them.

    A stage's time is that of its own work: events enclose it behind the wait for the stage before. What a request waits for others is gap,
    told from the rest by an event on a stream that has nothing else to do: there the host's clock and the device's meet.
    With `ahead` the host stage is a thread's of its own, from `prepare` on.
    """

    def __init__(
        self, steps: Steps, device: Device, on: Lanes, enter: Enter, ahead: ThreadPoolExecutor | None = None
    ) -> None:
        self._steps, self._on, self._enter, self._ahead = steps, on, enter, ahead
        self._coming: Future[int] | None = None
        self._asked = 0  # ns, when the host stage was asked for
        self._heard, self._begun, self._copied, self._started = (device.event() for _ in range(4))
        self._computed, self._leaving, self._done = (device.event() for _ in range(3))

    def prepare(self, index: int) -> None:
        """Begin the host stage and return; `issue` waits for it. The slot's request before must be complete."""
        assert self._ahead is not None
        self._asked = time.monotonic_ns()
        self._coming = self._ahead.submit(self._prepare, index)

    def _prepare(self, index: int) -> int:
        """The host stage; ns that it took."""
        start = time.monotonic_ns()
        self._steps.prepare(index)
        return time.monotonic_ns() - start

    def issue(self, index: int, times: StageTimes | None) -> None:
        steps, on, enter, clock = self._steps, self._on, self._enter, time.monotonic_ns
        coming, self._coming = self._coming, None
        host = self._prepare(index) if coming is None else coming.result()
        if times is not None:
            times.host = host
            times.turn = 0.0 if coming is None else max(0, clock() - self._asked - host)
        enter(on.copy_in)
        if times is not None:
            times.told = clock()
            self._heard.record(on.aside)
            times.heard = clock()
            self._begun.record(on.copy_in)
        steps.copy_in(index)
        self._copied.record(on.copy_in)
        enter(on.compute)
        on.compute.wait(self._copied)
        if times is not None:
            self._started.record(on.compute)
        start = clock()
        steps.compute(index)
        if times is not None:
            times.enqueue = clock() - start
        self._computed.record(on.compute)
        enter(on.copy_out)
        on.copy_out.wait(self._computed)
        if times is not None:
            self._leaving.record(on.copy_out)
        steps.copy_out()
        self._done.record(on.copy_out)

    def done(self) -> bool:
        """Whether `complete` would return at once."""
        return self._done.reached()

    def complete(self, times: StageTimes | None) -> None:
        self._done.synchronize()
        if times is not None:
            times.completed = time.monotonic_ns()
            self._heard.synchronize()  # reached long ago, but on a stream of its own: nothing else holds it
            times.done = times.heard + round(self._done.since(self._heard))
            times.between = (
                self._begun.since(self._heard)
                + self._started.since(self._copied)
                + self._leaving.since(self._computed)
            )
            times.h2d = self._copied.since(self._begun)
            times.compute = self._computed.since(self._started)
            times.d2h = self._done.since(self._leaving)
