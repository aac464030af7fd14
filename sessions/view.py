"""The frozen picture that the reducer hands out for one paint: plain values, no records, nothing that changes under the reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backends.configuration import Configuration
from .records import Event, Fault, Header, Metric, Processes, Verdict
from .standing import Standing

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)

Heat = Callable[[int], np.ndarray]
"""The newest columns of a history, at most as many as asked for, shape (columns, HEAT_BUCKETS): requests of each second by service latency,
warm-up included. Decoded when it is called."""

HEAT_LOWEST, HEAT_PER_DECADE, HEAT_BUCKETS = 1_000, 40, 320
"""The buckets of `History.heat`: logarithmic, from 1 µs to 100 s; what lies outside counts in the outermost."""


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a latency with its distribution-free 95 % interval, ns.

    `high` is None where n is too small for an upper bound (the value is then `≥ low`); `low` is None where n is too small for any.
    """

    q: float
    value: int
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Latency:
    """A latency distribution: n requests, their quantiles at QUANTILES, mean and max, ns; `curve` is (quantile, ns) for drawing."""

    n: int
    mean: float
    max: int
    quantiles: tuple[Quantile, ...]
    curve: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RunView:
    """One run, as far as it is known."""

    run: int
    configuration: Configuration
    phase: str  # of records.PHASES
    phase_since: int  # ns, session time
    progress: float | None = None
    note: str = ""
    inputs: tuple[Mapping[str, Any], ...] = ()
    assumed: Mapping[str, int] = field(default_factory=dict)
    placement: Mapping[str, int] | None = None
    agreement: Mapping[str, Any] | None = None  # of the outputs with the reference's, as in the result
    fallback: str | None = None  # what does not run where it was asked to, in one sentence
    gpu: str | None = None  # the device's prefix in the metric table, as "gpu0"
    quiet: Mapping[str, Any] | None = None  # what that did while the worker was loaded and idle
    link: Mapping[str, float] | None = (
        None  # bytes/s: h2d_pinned, h2d_pageable, d2h_pinned, d2h_pageable, staging
    )
    work: Mapping[str, Any] | None = None  # of a request on a GPU: operations, bytes, as in the run record
    peaks: Mapping[str, float] | None = None  # of the GPU: FLOP/s by pipe, bytes/s
    libraries: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    cache: str | None = None
    cold_start: Mapping[str, float | None] | None = None
    runtime: Mapping[str, Any] = field(
        default_factory=dict
    )  # what the runtime turned out to do, as a result has it
    control: Mapping[str, Any] | None = None  # the plain call beside the same request in steps, likewise
    requests: int = 0  # measured
    samples: int = 0
    measured_s: float = 0.0  # end of warm-up to last completion
    throughput: float | None = None  # samples/s
    latency: Latency | None = None  # the whole run's
    response: Latency | None = None  # of an open loop: arrival to completion, the whole run's
    unbounded: str | None = None  # why `response` is None though the loop is open, in one sentence
    backlog: int | None = None  # of an open loop that is measuring: requests that wait to be issued
    recent: Latency | None = None  # the last 30 s
    stages: Mapping[str, float] | None = (
        None  # means, ns, of the instrumented requests; a stage that does not exist is absent
    )
    outside: Mapping[str, float] | None = (
        None  # what the gap consists of, means, ns: of records.OUTSIDE those that are known
    )
    stage_n: int = 0
    grade: str | None = None  # "A", "B", "C", None while unknown
    grade_reasons: tuple[str, ...] = ()
    verdict: Verdict | None = None
    error: Fault | None = None
    result: Mapping[str, Any] | None = None
    drops: int = 0


@dataclass(frozen=True, slots=True)
class BackendView:
    """A backend of the bar: whether it can be used here, and if not why and what to do."""

    name: str  # full name
    short: str  # "torch", "ort-cpu"
    usable: bool | None  # None: not probed yet
    reason: str = ""
    fix: str = ""
    version: str = ""
    device: str = ""  # where it measures when nobody names a device; empty: not known


@dataclass(frozen=True, slots=True)
class Tenant:
    """A process that holds memory of a GPU."""

    pid: int
    name: str  # empty where this user cannot see it
    memory: int | None  # bytes; None where the driver does not say
    own: bool  # infertop's engine or one of its workers


@dataclass(frozen=True, slots=True)
class Company:
    """Who is on a GPU, the largest first; `unknown` says why there may be more, or others, and is empty where all are listed."""

    tenants: tuple[Tenant, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class CallCost:
    """What a driver call has cost the sampler since the engine began."""

    count: int
    mean_ms: float
    longest_ms: float


@dataclass(frozen=True, slots=True)
class History:
    """The last seconds, one column each, oldest first; the newest may be incomplete.

    `second` is the session second of each column, shape (n,); `p50` and `max` ns, NaN without a request; `done` requests;
    `run` the run's number (a change is a mark in every graph); `warm` whether the run was measuring; `metrics` shape (n, len(table)): the
    mean of the second's readings (of a counter its change a second), NaN where not read. `second` has no holes: where nothing is known a
    column is empty.
    """

    second: np.ndarray
    p50: np.ndarray
    max: np.ndarray
    done: np.ndarray
    run: np.ndarray
    warm: np.ndarray
    metrics: np.ndarray
    heat: Heat | None = None  # None: not kept


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a screen may show at one instant of a session."""

    header: Header | None
    now: int  # ns, session time of the newest tick or, in replay, of the cursor
    unix: int  # wall clock of `now`, ns
    state: (
        str  # "waiting" (no header yet), "live", "ended" (end record), "lost" (the engine died without one)
    )
    run: RunView | None
    before: RunView | None  # the configuration measured before this one
    runs: tuple[RunView, ...]  # ended runs, oldest first, at most 64
    backends: tuple[BackendView, ...]
    values: Mapping[str, float]  # newest value of each metric that has one; of a counter its change a second
    ages: Mapping[str, float]  # s since each was read
    metrics: tuple[Metric, ...]
    history: History
    events: tuple[Event, ...]  # newest last, at most 200
    verdict: Verdict | None  # the present run's, also once it has ended
    since_request: float | None  # s since the last completion while a run is measuring
    gaps: int  # damaged places skipped so far
    bytes: int  # of the segment read so far
    standings: tuple[Standing, ...] = ()  # where another verdict stood than before, oldest first, at most 128
    telemetry: str = "full"  # how much is read of the machine: "off", "light" or "full"
    company: Mapping[str, Company] = field(
        default_factory=dict
    )  # by the GPU's prefix ("gpu0"); absent: not looked at yet
    calls: Mapping[str, CallCost] = field(
        default_factory=dict
    )  # by NVML's name, as of the last minute or the end of a run
    processes: Processes | None = None  # of a session that monitors: the newest table
