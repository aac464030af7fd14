"""What a metric is, and what a source of readings must offer.

A reading is a number or None. None is *not read this tick*: the newest value before it still stands. A metric
that can never be read here has a status and a reason in its row of the table, and is None for ever. 0 is
always a reading.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Value = float | int | None
Status = Literal["ok", "absent", "permission"]

Level = Literal["off", "light", "full"]
"""How much is read. `off`: nothing. `light`: each tick what costs microseconds, the rest of what a grade needs
every few seconds. `full`: everything in its turn.
"""

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A row of the metric table; its position is its place in every sample."""

    id: str  # "host.cpu", "worker.rss", "gpu0.power"
    unit: str  # "%", "B", "W", "MHz", "1", …
    resolution: float = 1.0  # values are rounded to multiples of it; below 1 it is a whole part of 1
    counter: bool = False  # cumulative; rates are derived by the reader
    status: Status = "ok"  # "absent": for ever, here
    reason: str = ""  # why it is not ok, for a person
    source: str = ""  # which call or counter it comes from, where several could serve

    def unless(self, present: bool, reason: str) -> MetricSpec:
        """This row as it is, or marked as absent for ever where what it needs is not present."""
        return self if present else dataclasses.replace(self, status="absent", reason=reason)

    def rounded(self, value: Value) -> Value:
        """The value at this metric's resolution; None for what is no number."""
        if value is None or (isinstance(value, int) and self.resolution <= 1):
            return value
        if not math.isfinite(value):
            return None
        steps = round(value / self.resolution)
        if self.resolution >= 1:
            return round(steps * self.resolution)
        return steps / round(1 / self.resolution)  # the number nearest to that decimal


class Source(Protocol):
    """Something that reads metrics. The sampler's thread alone calls `read`; the other orders may come from
    another.
    """

    name: str

    @property
    def specs(self) -> Sequence[MetricSpec]:
        """Its rows of the table; they do not change once the source is made."""
        ...

    @property
    def calls(self) -> int:
        """How many system or driver calls it has made so far."""
        ...

    def read(self, at_ns: int, now_ns: int) -> Sequence[Value]:
        """One value for each of `specs`. `at_ns` is the tick's deadline, which schedules; `now_ns` the real
        time.
        """
        ...

    def set_worker(self, pid: int | None) -> None:
        """The process that is measured from now on; None: none."""
        ...

    def look(self) -> None:
        """Read at the next tick what is read seldom and decides whether a run was undisturbed."""
        ...

    def set_level(self, level: Level) -> None:
        """How much it reads from now on; it is not read at all while that is `off`."""
        ...

    def messages(self) -> list[str]:
        """What happened since the last call and a person should know, one sentence each."""
        ...

    def close(self) -> None:
        """Let go of what it holds; it is not read again."""
        ...


class Every:
    """A slower turn than the tick: due once in `period_ns` of deadlines, first at `offset_ns` after the first
    one.
    """

    def __init__(self, period_ns: int, offset_ns: int = 0) -> None:
        self._period = period_ns
        self._offset = offset_ns
        self._next: int | None = None

    def due(self, at_ns: int) -> bool:
        """Whether the turn is due at this deadline; asking takes it. Turns that were missed are not made up
        for.
        """
        if self._next is None:
            self._next = at_ns + self._offset
        if at_ns < self._next:
            return False
        self._next += ((at_ns - self._next) // self._period + 1) * self._period
        return True

    def shift(self, by_ns: int) -> None:
        """Move this turn and all after it."""
        if self._next is not None:
            self._next += by_ns
