"""The seam between the worker and a runtime: what every backend does, and the values that cross it."""

from __future__ import annotations

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
    fallback: str | None = None  # what does not run where it was asked to, in one sentence
    libraries: dict[str, str] = field(default_factory=dict)  # distribution -> version, as loaded
    threads: int | None = None
    cache: str | None = None  # "hit", "miss", or None where nothing is cached
    native: str | None = None  # the precision that the model itself has: "fp32", "fp16", "bf16" or "int8"
    runtime: dict[str, Any] = field(
        default_factory=dict
    )  # settings and conversions that the runtime or we chose, for the record


class StageTimes:
    """The stages of one instrumented request in ns; NaN is *not measured* (null in the log). Reused between requests."""

    __slots__ = ("compute", "d2h", "enqueue", "h2d", "host")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.host = self.h2d = self.compute = self.d2h = self.enqueue = float("nan")


class Backend(Protocol):
    """One runtime with one model, in a worker process of its own.

    Every method may raise MeasureError; anything else that it raises is reported as the runtime's own failure.
    A backend may also have `runtime() -> dict`: what the runtime turned out to do (recompilations, CUDA graphs), asked for
    after the first requests and again after the run; and `control() -> dict | None`: a plain call timed beside its own
    requests, before the run; and, on a GPU, `work(cache) -> cost.Work | None`: what a request asks of it, and `reached(pipes) -> dict`:
    the FLOP/s that this runtime's own product of matrices reaches there.
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
