"""The seam between the worker and a runtime: what every backend does, and the values that cross it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .configuration import Configuration

Inputs = dict[str, np.ndarray]
"""One request's input: name -> array, C-contiguous, with the batch in axis 0 where the model has one."""

Report = Callable[[str], None]
"""Called with the phase that begins: `import`, `export`, `load` or `build`."""


@dataclass(frozen=True)
class Input:
    """One input as it will be fed: every size known."""

    name: str
    dtype: str  # numpy's name: "float32", "int64", "bool"
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Fallback:
    """What does not run where or as it was asked to: in one sentence, what to do about it, the runtime's own words."""

    message: str
    fix: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Loaded:
    """What a backend knows once the model is ready for requests."""

    inputs: list[Input]
    batch: int | None  # None: the model has no batch axis, a sample is a request
    dims: dict[str, int] = field(default_factory=dict)  # every symbolic size but the batch, bound
    assumed: dict[str, int] = field(
        default_factory=dict
    )  # those of `dims` that nobody gave: shown as *assumed*
    tables: dict[str, int] = field(default_factory=dict)  # integer input -> size of the table that it indexes
    outputs: list[str] = field(default_factory=list)
    placement: dict[str, int] | None = None  # provider -> nodes
    fallback: Fallback | None = None
    unproven: str | None = None  # what could not be checked though it was asked for, in one sentence
    libraries: dict[str, str] = field(default_factory=dict)  # distribution -> version, as loaded
    threads: int | None = None
    cache: str | None = None  # "hit", "miss", or None where nothing is cached
    native: str | None = None  # the model's own precision: "fp64", "fp32", "fp16", "bf16" or "int8"
    runtime: dict[str, Any] = field(
        default_factory=dict
    )  # settings and conversions that the runtime or we chose, for the record


class StageTimes:
    """What is timed of one instrumented request. Reused between requests.

    A backend fills the stages, ns, NaN for *not measured* (null in the log). One whose device works on by itself also says on the host's
    monotonic clock, ns, when it began to tell the device of the request (`told`), when that was said (`heard`), when the device was done
    (`done`), and when the wait for it ended (`completed`: what is read of events after that is no part of the request); beside them
    the ns that the request waited for others, on the host before `told` (`turn`) and on the device (`between`). The loop fills
    `issued` and `called`: when `issue` had returned, and when `complete` was called.
    """

    __slots__ = (
        "between", "called", "completed", "compute", "d2h", "done", "enqueue", "h2d", "heard", "host", "issued", "told", "turn",
    )  # fmt: skip

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.host = self.h2d = self.compute = self.d2h = self.enqueue = float("nan")
        self.turn = self.between = 0.0
        self.issued = self.called = self.completed = self.told = self.heard = self.done = 0

    def outside(self, start: int, last: int, alone: bool) -> tuple[float, float, float]:
        """(issue, queue, sync), ns: what the stages leave of the request from `start` to `last`; NaN where nobody knows.

        `issue` is the host's own work while the device had nothing of this request, `queue` what it waited for other requests (none
        where it is `alone` in flight), `sync` from the device's last work until the host knew. What is left is `told` to `heard`.
        """
        host = 0.0 if math.isnan(self.host) else self.host
        if not self.done:
            # The request was the call, or a device went on by itself and does not say until when.
            own = self.called - start - host - (0.0 if math.isnan(self.compute) else self.compute)
            synchronous = alone and own >= 0
            return (own, math.nan, float(last - self.called)) if synchronous else (math.nan,) * 3
        issue = self.told - start - host - self.turn + max(0, self.issued - self.done)
        idle = max(0, self.called - max(self.done, self.issued))
        sync = float(max(0, last - max(self.done, self.called)))
        if alone:
            return issue + idle, math.nan, sync
        return issue, self.turn + self.between + idle, sync


class Backend(Protocol):
    """One runtime with one model, in a worker process of its own.

    Every method may raise MeasureError; anything else that it raises is reported as the runtime's own failure.
    A backend may also have `settle()`: what it has to see to after the first request, which takes set 0 in slot 0, and before the next;
    `runtime() -> dict`: what the runtime turned out to do (recompilations, CUDA graphs), asked for
    after the first requests and again after the run; `fallback(over) -> Fallback | None`: what only requests show to run
    otherwise than asked, asked for at the same times and after the warm-up (`over`: after the run);
    `cached() -> str | None`: `Loaded.cache`, where only the first requests tell; `controllable() -> bool` with `control() -> dict`:
    whether there is a plain call that does the same, and that call timed beside its own requests, before the run, where that is
    asked for; and, on a GPU, `bytes_out(slot) -> int`: what the slot's last request copied out, where `outputs` are of other types
    than that (bfloat16 is widened), `work(cache) -> cost.Work | None`: what a request asks of it, and `reached(pipes) -> dict`: the
    FLOP/s that this runtime's own product of matrices reaches there.
    `slots` is how many requests may be in flight, as it stands after `load`: 1 for a backend whose `issue` returns when the request is
    done. A backend may also have `overlaps`: true where it lets copies run beside compute when the configuration's load is `pipelined`.
    """

    slots: int

    def load(self, configuration: Configuration, report: Report) -> Loaded:
        """Import the runtime, load and build the model. Called again with another batch or other dims, it keeps what it can."""

    def bind(self, sets: Sequence[Inputs], slots: int) -> None:
        """Take the input sets that requests rotate through, and prepare buffers for `slots` requests in flight."""

    def issue(self, slot: int, index: int, times: StageTimes | None) -> None:
        """Start a request with input set `index`; with `times`, also time its stages."""

    def complete(self, slot: int, times: StageTimes | None) -> None:
        """Return when the slot's request is complete and its output lies where the data path says."""

    def outputs(self, slot: int) -> list[np.ndarray]:
        """The outputs of the slot's last request, flattened, as host arrays."""

    def close(self) -> None:
        """Free what `load` and `bind` took."""


class Preparing(Backend, Protocol):
    """A backend whose requests can have their host stage while others are issued. Used where `prepares` is true after `bind`."""

    @property
    def prepares(self) -> bool:
        """Whether it does so as it is bound now."""

    def prepare(self, slot: int, index: int) -> None:
        """Begin the host stage of the slot's next request and return; `issue` waits for it."""

    def done(self, slot: int) -> bool:
        """Whether `complete` would return at once."""


def versions(*distributions: str) -> dict[str, str]:
    """Installed versions of the named distributions; those that are absent are left out."""
    from importlib import metadata

    found: dict[str, str] = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe(value: Any) -> dict[str, Any]:
    """A dataclass of this module as JSON-ready values."""
    import dataclasses

    return dataclasses.asdict(value)
