"""What a diagnosis looks at: one window of a run, its means and readings as plain values.

Whoever measures fills it in; what was not read is None, so that a rule says "not known" and never takes a hole for 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LEAST_TICKS, LEAST_REQUESTS = 3, 3
"""A window is the longer of three ticks and three requests."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a remedy can change. Two runs with the same choice measure the same, within one model and device."""

    backend: str
    precision: str = "native"
    batch: int | None = None
    data_path: str = "pageable"
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Stages:
    """Means over the window's instrumented requests, ns; None is a stage that the backend does not have or measure."""

    n: int = 0
    host: float | None = None
    h2d: float | None = None
    compute: float | None = None
    d2h: float | None = None
    gap: float | None = None
    enqueue: float | None = None

    @property
    def service(self) -> float:
        """The mean service latency of the same requests: the stages add up to it, ns."""
        return sum(part or 0.0 for part in (self.host, self.h2d, self.compute, self.d2h, self.gap))


@dataclass(frozen=True, slots=True)
class Link:
    """What copies reach on this machine, bytes/s, as the worker measured it at its start; `theoretical` is the link's own ceiling.

    `staging` is the rate of a copy from ordinary into pinned memory, which the data path `pinned` adds.
    """

    h2d_pinned: float | None = None
    h2d_pageable: float | None = None
    d2h_pinned: float | None = None
    d2h_pageable: float | None = None
    staging: float | None = None
    theoretical: float | None = None

    def ceiling(self, direction: str) -> float | None:
        """The most that a copy in the direction `h2d` or `d2h` reaches: measured, else theoretical."""
        measured: float | None = getattr(self, f"{direction}_pinned")
        return self.theoretical if measured is None else measured

    def measured(self, direction: str) -> bool:
        return getattr(self, f"{direction}_pinned") is not None


@dataclass(frozen=True, slots=True)
class Work:
    """What one request asks of the GPU, and the least ns that it takes there: lower bounds, each None where it is not known."""

    flop: float | None = None
    flop_ns: float | None = None
    bytes: float | None = None
    bytes_ns: float | None = None
    fused_ns: float | None = (
        None  # of the bytes that were left if everything between products were one kernel
    )
    operators: int | None = None  # each with a launch of its own
    products: int | None = None  # of matrices, and convolutions: what no compiler joins with another


@dataclass(frozen=True, slots=True)
class Gpu:
    """Readings of the GPU under test, means over the window; shares are % as NVML gives them, rates bytes/s."""

    util: float | None = None  # of the time with a kernel running
    sm_active: float | None = None  # GPM from here on; None together where the GPU has none
    tensor: float | None = None
    fp16: float | None = None
    fp32: float | None = None
    fp64: float | None = None
    dram: float | None = None
    rx: float | None = None
    tx: float | None = None
    power: float | None = None  # W
    power_limit: float | None = None
    clock: float | None = None  # MHz
    clock_highest: float | None = (
        None  # what the GPU says it could be; else the most that was seen in this session
    )
    clock_rated: bool = False  # that is what the GPU itself says its clock could be
    power_capped: float | None = None  # share of the time, 0 to 1, from the exact counters
    thermal_capped: float | None = None
    reasons: int | None = None  # NVML's clock event reasons, newest
    other_memory: float | None = None  # bytes that other processes hold
    quiet_util: float | None = None  # utilisation before the run, while nothing of ours computed

    @property
    def gpm(self) -> bool:
        """Whether this GPU says what its SMs and memory do."""
        return self.sm_active is not None or self.dram is not None


@dataclass(frozen=True, slots=True)
class Host:
    """Readings of the machine, means over the window; `worker` and `others` in cores' worth of CPU time."""

    allowed: int = 0  # cores that the worker may use
    busy: float | None = None  # share of the allowed cores, 0 to 1
    worker: float | None = None
    others: float | None = None  # neither worker nor engine
    pressure: float | None = None  # share of the time in which some task waited for a core, 0 to 1
    quota: float | None = None  # cores
    quota_held: float | None = None  # share of the time in which the quota held the container back


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a run, past its warm-up."""

    seconds: float
    ticks: int
    requests: int
    service: float  # mean service latency, ns
    busy: float  # share of the time in which the request slots were in use, 0 to 1
    choice: Choice
    stages: Stages = field(default_factory=Stages)
    device: str = "cpu"  # "cpu" or "cuda:N"
    batched: bool = True  # whether the model has a batch axis
    floats: str | None = None  # the widest floating type of the inputs
    bytes_in: int | None = None  # of one request
    bytes_out: int | None = None
    link: Link = field(default_factory=Link)
    work: Work = field(default_factory=Work)
    gpu: Gpu | None = None
    host: Host = field(default_factory=Host)
    fallback: str | None = None  # what does not run where it was asked to, in one sentence
    on_cpu: float | None = None  # share of the graph's nodes that are on the CPU, 0 to 1
    asked_rate: float | None = None  # requests/s of an open loop's schedule
    response: float | None = None  # mean response latency of an open loop, ns
    fastest_compute: float | None = None  # mean compute of this run's fastest window so far, ns

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def whole(self) -> float:
        """What shares are of: the instrumented requests' mean service, which the stages add up to; ns."""
        return self.stages.service or self.service

    @property
    def rate(self) -> float:
        """Requests/s."""
        return self.requests / self.seconds if self.seconds else 0.0

    def share(self, stage: str) -> float | None:
        """A stage's part of the service latency, 0 to 1."""
        value: float | None = getattr(self.stages, stage)
        return None if value is None or not self.whole else value / self.whole

    @property
    def computing(self) -> float | None:
        """The share of the window in which our requests were computing: what the GPU's means are to be divided by."""
        share = self.share("compute")
        return None if share is None else min(1.0, share * self.busy)

    def during(self, reading: float | None) -> float | None:
        """A mean over the window as it must have been while we computed, at most 100 %."""
        duty = self.computing
        return None if reading is None or not duty else min(100.0, reading / duty)


Tried = Mapping[Choice, float | None]
"""Choices that were measured in this session with their p50 per sample, ms; None where one could not be measured."""


def enough(window: Window) -> bool:
    """Whether there is anything to judge by."""
    return window.ticks >= LEAST_TICKS and window.requests >= LEAST_REQUESTS and window.service > 0
