"""A request on a CUDA stream as four steps, timed the same way for every runtime: prepare, copy in, compute, copy out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from .backend import StageTimes
from .errors import MeasureError

DATA_PATHS = ("pageable", "pinned", "pinned-ready", "device")


def refuse_path(path: str) -> None:
    """Raises MeasureError kind "usage" for what is no data path."""
    if path not in DATA_PATHS:
        raise MeasureError("usage", f"there is no data path {path}", f"use one of {', '.join(DATA_PATHS)}")


class Event(Protocol):
    """A point on a stream with its time, as backends.cuda or pycuda has it."""

    def record(self, stream: Any) -> None: ...

    def since(self, earlier: Any) -> float:
        """ns on the GPU from `earlier` to this one."""


class Stream(Protocol):
    def synchronize(self) -> None: ...


class Events(Protocol):
    def event(self) -> Event: ...


class Steps(Protocol):
    """What a runtime does for a request with input set `index` on one data path."""

    copies: bool  # False where input and output stay on the GPU

    @property
    def begin(self) -> Callable[[int], None] | None:
        """Starts the computation as `compute` does, where that returns only when the GPU is done and leaves nothing to wait for; else None."""

    def prepare(self, index: int) -> None:
        """Bring the input to where the copy starts: the copy into a pinned buffer."""

    def copy_in(self, index: int) -> None:
        """Start the copy to the device."""

    def compute(self, index: int) -> None:
        """Start the computation; the time that this takes on the host is `enqueue`."""

    def copy_out(self) -> None:
        """Start the copy of the output to the host."""


class Staged:
    """Issues requests by their steps and, on demand, times them with events on the stream."""

    def __init__(self, steps: Steps, device: Events, stream: Stream) -> None:
        self._steps = steps
        self._stream = stream
        self._begun, self._copied, self._computed, self._done = (device.event() for _ in range(4))

    def issue(self, index: int, times: StageTimes | None) -> None:
        steps, stream = self._steps, self._stream
        if times is None:
            steps.prepare(index)
            steps.copy_in(index)
            steps.compute(index)
            steps.copy_out()
            return
        clock = time.monotonic_ns
        start = clock()
        steps.prepare(index)
        times.told = clock()
        times.host = times.told - start
        # The stream has nothing else to do, so that the event is reached when it is heard of: where both clocks meet.
        self._begun.record(stream)
        times.heard = clock()
        steps.copy_in(index)
        self._copied.record(stream)
        begin = steps.begin or steps.compute
        start = clock()
        begin(index)
        times.enqueue = clock() - start
        self._computed.record(stream)
        steps.copy_out()
        self._done.record(stream)

    def complete(self, times: StageTimes | None) -> None:
        if times is None and self._steps.begin is not None:
            # Another wait, for nothing, takes 10 µs on an H100's host: 0.8 % of ResNet18 at batch 32.
            return
        self._stream.synchronize()
        if times is None:
            return
        times.completed = time.monotonic_ns()
        times.done = times.heard + round(self._done.since(self._begun))
        times.compute = self._computed.since(self._copied)
        if self._steps.copies:
            times.h2d = self._copied.since(self._begun)
            times.d2h = self._done.since(self._computed)
