"""The sampler: one thread that reads every source on absolute deadlines, and survives whatever a source does.

* A source that raises gives nulls; what it said is kept and told once.
* A tick that is late is skipped and counted, never caught up in a burst.
* A driver call that never returns cannot be interrupted. `latest`, which the engine calls each tick, sees
that a source
  has not answered for PATIENCE, leaves that thread with it (a daemon; it ends when the call returns) and goes
  on with a new thread without the source. When the call does return, the source is read again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .metrics import Level, MetricSpec, Source, Value

PATIENCE_NS = 5_000_000_000
_STOP_S = 2.0

_OWN = (
    MetricSpec("sampler.cost", "ms", 0.001, source="wall time of one tick's readings"),
    MetricSpec("sampler.cpu", "ms", 0.001, source="CPU time of one tick's readings"),
    MetricSpec("sampler.late", "ms", 0.001, source="start of the readings behind the tick's deadline"),
    MetricSpec("sampler.calls", "1", source="system and driver calls of one tick"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One tick's readings."""

    t_ns: int  # monotonic, when reading began
    values: list[Value]  # in the order of the table, rounded to its resolutions
    cost_ns: int  # wall time of the readings
    calls: int
    late: int  # ticks skipped since the sample that was handed out before


class Deadlines:
    """Absolute deadlines, one every `interval_ns` from the first call on; pure."""

    def __init__(self, interval_ns: int) -> None:
        self._interval = interval_ns
        self._next: int | None = None

    def next(self, now_ns: int) -> tuple[int, int]:
        """The next deadline, which may lie up to one interval back, and how many before it were missed for
        good.
        """
        if self._next is None:
            self._next = now_ns
        missed = max((now_ns - self._next) // self._interval, 0)
        deadline = self._next + missed * self._interval
        self._next = deadline + self._interval
        return deadline, missed


class Sampler:
    """Reads sources in turn, in one daemon thread, between `start` and `stop`."""

    def __init__(
        self,
        sources: Sequence[Source],
        interval_ns: int = 250_000_000,
        *,
        patience_ns: int = PATIENCE_NS,
        clock: Callable[[], int] = time.monotonic_ns,
        level: Level = "full",
    ) -> None:
        self._level = level
        self._awake = threading.Event()  # set while there is anything to read, and at the end
        self._sources = list(sources)
        self._interval = interval_ns
        self._patience = patience_ns
        self._clock = clock
        self._lock = threading.Lock()  # guards what follows
        self._newest: Sample | None = None
        self._messages: list[str] = []
        self._thread: threading.Thread | None = None
        self._generation = 0
        self._busy: tuple[int, int] | None = None  # which source is being read, since when
        self._hung: set[int] = set()
        self._faults: dict[str, str] = {}
        self._skipped = 0
        self._stopping = threading.Event()
        self._deadlines = Deadlines(interval_ns)
        self.table: list[MetricSpec] = [spec for source in self._sources for spec in source.specs] + list(
            _OWN
        )
        self.set_level(level)

    @property
    def level(self) -> Level:
        return self._level

    def set_level(self, level: Level) -> None:
        """How much is read from now on. While it is `off` no call is made and the thread sleeps."""
        for source in self._sources:
            source.set_level(level)
        with self._lock:
            if self._level == "off":
                self._deadlines = Deadlines(self._interval)  # the ticks of the pause were not missed
            self._level = level
        if level == "off":
            self._awake.clear()
        else:
            self._awake.set()

    def start(self) -> None:
        with self._lock:
            self._begin()

    def stop(self) -> None:
        """End the thread and close the sources; one that does not answer is left to its thread."""
        self._stopping.set()
        self._awake.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout=_STOP_S)
        with self._lock:
            self._generation += 1
            held = self._hung | ({self._busy[0]} if self._busy else set())
        for index, source in enumerate(self._sources):
            if index not in held:
                source.close()

    def set_worker(self, pid: int | None) -> None:
        """The process measured from now on; None: none."""
        for source in self._sources:
            source.set_worker(pid)

    def look(self) -> None:
        """Have the next tick read what is otherwise read seldom: a run's measured time begins or has ended."""
        for source in self._sources:
            source.look()

    def latest(self) -> Sample | None:
        """The newest sample that was not handed out before, or None. Also where a hanging source is noticed."""
        with self._lock:
            if self._busy is not None and self._clock() - self._busy[1] > self._patience:
                self._abandon(self._busy[0])
            sample, self._newest = self._newest, None
        return sample

    def messages(self) -> list[str]:
        """What happened to sources since the last call, one sentence each."""
        with self._lock:
            told, self._messages = self._messages, []
        return told

    @property
    def faults(self) -> dict[str, str]:
        """The sources that give nothing at present, by name, and why."""
        with self._lock:
            return dict(self._faults)

    def _begin(self) -> None:
        self._thread = threading.Thread(
            target=self._loop, args=(self._generation,), name="infertop-sampler", daemon=True
        )
        self._thread.start()

    def _abandon(self, index: int) -> None:
        """Leave the running thread with the source it hangs in, and go on in another; under the lock."""
        name = self._sources[index].name
        reason = f"{name} has not answered for {self._patience / 1e9:g} s"
        self._hung.add(index)
        self._busy = None
        self._faults[name] = reason
        self._messages.append(f"{reason}: its readings are missing until it does")
        self._generation += 1
        self._begin()

    def _loop(self, generation: int) -> None:
        while True:
            self._awake.wait()
            now = self._clock()
            with self._lock:
                if generation != self._generation:
                    return
                deadline, missed = self._deadlines.next(now)
                self._skipped += missed
            if self._stopping.wait(max(deadline - now, 0) / 1e9):
                return
            if self._awake.is_set():
                self._tick(generation, deadline)

    def _tick(self, generation: int, deadline: int) -> None:
        began, cpu = self._clock(), time.thread_time_ns()
        calls = -sum(source.calls for source in self._sources)
        values: list[Value] = []
        for index in range(len(self._sources)):
            read = self._read(generation, index, deadline)
            if read is None:
                return
            values += read
        cost = self._clock() - began
        calls += sum(source.calls for source in self._sources)
        values += [cost / 1e6, (time.thread_time_ns() - cpu) / 1e6, (began - deadline) / 1e6, calls]
        rounded = [spec.rounded(value) for spec, value in zip(self.table, values, strict=True)]
        with self._lock:
            if generation == self._generation:
                late = self._skipped
                if (unseen := self._newest) is not None:
                    # Nobody took it: what only it has read (limits and sizes are read every 10 s) is not lost.
                    late += unseen.late
                    rounded = [
                        old if new is None else new for old, new in zip(unseen.values, rounded, strict=True)
                    ]
                self._newest = Sample(began, rounded, cost, calls, late)
                self._skipped = 0

    def _read(self, generation: int, index: int, deadline: int) -> Sequence[Value] | None:
        """A source's values; None where this thread was abandoned with it meanwhile."""
        source = self._sources[index]
        nothing: list[Value] = [None] * len(source.specs)
        with self._lock:
            if generation != self._generation:
                return None
            if index in self._hung:
                return nothing
            self._busy = (index, self._clock())
        values: Sequence[Value] = nothing
        reason = ""
        try:
            values = source.read(deadline, self._clock())
            if len(values) != len(nothing):
                reason, values = (
                    f"{source.name} gave {len(values)} values for {len(nothing)} metrics",
                    nothing,
                )
        except Exception as error:  # a source must not end the thread; what it said is kept and told
            reason = f"{source.name} cannot be read: {str(error) or type(error).__name__}"
        told = source.messages()
        with self._lock:
            self._messages += told
            if generation != self._generation:
                self._hung.discard(index)
                self._faults.pop(source.name, None)
                self._messages.append(f"{source.name} answers again")
                return None
            self._busy = None
            self._note(source.name, reason)
        return values

    def _note(self, name: str, reason: str) -> None:
        """Keep and tell a fault once, and that it is over once; under the lock."""
        before = self._faults.get(name, "")
        if reason == before:
            return
        if reason:
            self._faults[name] = reason
            self._messages.append(reason)
        else:
            del self._faults[name]
            self._messages.append(f"{name} can be read again")
