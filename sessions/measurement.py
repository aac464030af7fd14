"""One run's numbers: from the ring's records to ticks, to the second's histograms, and to the totals of the result."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..backends.load import INSTRUMENTED_GAP_NS
from ..backends.ring import INSTRUMENTED
from ..telemetry.histogram import Counts, Histogram
from ..telemetry.warmup import WarmUp, WarmUpEnd
from .backlog import Backlog
from .records import OUTSIDE, STAGES

MEASURED_STAGES = ("host", "h2d", "compute", "d2h")

APART_BELOW = 0.1
"""Where at most this share of the requests is instrumented, they stay out of the service histogram: slowed by their own events, they
would sit exactly at p99."""

COST_FROM = 30
"""Requests of both kinds from which on the difference of their medians says what instrumenting costs."""


@dataclass(frozen=True, slots=True)
class TickNumbers:
    """What a tick says of the requests completed in it; `q` is (p50, p99, max) of their service latency, ns, None without any."""

    done: int
    q: tuple[int, int, int] | None
    backlog: int | None = None  # of an open loop: who had arrived and was not issued when the newest was


class Measurement:
    """Warm-up first; from `begin` on, requests that start at `t0` or later count. All times are monotonic ns.

    Where several are in flight, those of the warm-up are complete before the first that counts: the time that those take which count
    begins there, or each run would lack the n − 1 that were in flight at `t0` and have their time.
    """

    def __init__(self, warmup: str) -> None:
        self.warmup = WarmUp(warmup)
        self.t0: int | None = None
        self.last: int | None = None
        self.requests = 0
        self.instrumented = 0
        self.apart = False
        self._timed, self._plain = Histogram(), Histogram()  # service of the instrumented, and of the others
        self._totals: dict[str, Histogram] = {}
        self.seconds: list[Counts] = []  # the service latency of each second
        self.blocks: list[tuple[int, float]] = []  # requests and s of each of these seconds
        self.warm_requests = 0
        self._until: int | None = None  # ns of the last arrival
        self._asked: int | None = None  # requests
        self.backlog: Backlog | None = None  # of the measured requests of an open loop
        self.response_seconds: list[Counts] = []
        self._warm_instrumented = 0
        self._warm_last = 0  # completion of the newest request of the warm-up
        self._second: dict[str, Histogram] = {}
        self._block = (0, 0)  # requests and ns at the end of the last block; before the first 0

    def begin(
        self, t0: int, rate: float | None = None, duration: int | None = None, asked: int | None = None
    ) -> None:
        """The statistics begin: whether instrumented requests are kept apart is decided by their share in the warm-up, in an open loop
        at least what it must be at its rate, since `open:auto` warms up faster than that.

        `rate` is an open loop's, requests/s; arrivals end after `duration` ns or `asked` requests.
        """
        self.t0 = t0
        self._until = None if duration is None else t0 + duration
        self._asked = asked
        self.backlog = None if rate is None else Backlog(rate)
        share = self._warm_instrumented / max(self.warm_requests, 1)
        if rate is not None:
            share = max(share, -math.expm1(-1e9 / rate / INSTRUMENTED_GAP_NS))
        self.apart = share <= APART_BELOW

    def add(self, records: np.ndarray) -> TickNumbers:
        """Take what the ring gave, shape (n,) of dtype RECORD, oldest first."""
        if not len(records):
            return TickNumbers(0, None)
        service = records["service"].astype(np.int64)
        start = records["start"].astype(np.int64)
        if self.t0 is None:
            self._add_warm(start, service, records["flags"])
        else:
            counted = start >= self.t0
            self._add_warm(start[~counted], service[~counted], records["flags"][~counted])
            self._add_measured(records[counted], start[counted], service[counted])
        n = len(service)
        ranks = [math.ceil(0.5 * n) - 1, math.ceil(0.99 * n) - 1, n - 1]
        p50, p99, slowest = np.partition(service, sorted(set(ranks)))[ranks]
        waiting = self.backlog.waiting if self.backlog is not None else None
        return TickNumbers(n, (int(p50), int(p99), int(slowest)), waiting)

    def _add_warm(self, start: np.ndarray, service: np.ndarray, flags: np.ndarray) -> None:
        if not len(start):
            return
        self.warm_requests += len(start)
        self._warm_last = int(start[-1] + service[-1])
        self._warm_instrumented += int(np.count_nonzero(flags & INSTRUMENTED))
        self.warmup.add(start + service, service)
        self._interval("warmup").record(service)

    def _add_measured(self, records: np.ndarray, start: np.ndarray, service: np.ndarray) -> None:
        if not len(records):
            return
        self.requests += len(records)
        self.last = int(start[-1] + service[-1])
        instrumented = (records["flags"] & INSTRUMENTED) != 0
        self.instrumented += int(np.count_nonzero(instrumented))
        counted = ~instrumented if self.apart else slice(None)
        self._interval("service").record(service[counted])
        if self.backlog is not None:
            response = records["response"].astype(np.int64)
            self._interval("response").record(response[counted])
            over = 0 if self._until is None else max(0, int(start[-1]) - self._until)
            left = None if self._asked is None else self._asked - self.requests
            self.backlog.add(response - service, over, left)
        if not self.apart:
            self._plain.record(service[~instrumented])
        if instrumented.any():
            self._timed.record(service[instrumented])
            self._add_stages(records[instrumented], service[instrumented])

    def _add_stages(self, records: np.ndarray, service: np.ndarray) -> None:
        explained = np.zeros(len(records))
        for name in MEASURED_STAGES:
            values = records[name].astype(np.float64)
            explained += np.nan_to_num(values)
            self._add_stage(name, values)
        self._add_stage("gap", service - explained)
        for name in ("enqueue", *OUTSIDE):
            self._add_stage(name, records[name].astype(np.float64))

    def _add_stage(self, name: str, values: np.ndarray) -> None:
        values = values[~np.isnan(values)]
        if not len(values):
            return
        # A float32 stage may exceed the integer service by its rounding; below the histogram's lowest value it is one unit.
        self._interval(name).record(np.maximum(np.rint(values), 1).astype(np.int64))

    def _interval(self, name: str) -> Histogram:
        return self._second.setdefault(name, Histogram())

    def take_second(self) -> dict[str, str] | None:
        """The histograms since the last call, as V2 blobs by name; None without a request. The totals take them in."""
        if not self._second:
            return None
        second, self._second = self._second, {}
        for name, histogram in second.items():
            if name != "warmup":
                self._totals.setdefault(name, Histogram()).add(histogram)
        if "service" in second:
            assert self.last is not None
            self.seconds.append(second["service"].compact())
            if "response" in second:
                self.response_seconds.append(second["response"].compact())
            requests, since = self._block[0], max(self._block[1], self._begun)
            self.blocks.append((self.requests - requests, (self.last - since) / 1e9))
            self._block = (self.requests, self.last)
        return {name: histogram.encode() for name, histogram in second.items() if histogram.n} or None

    def warm(self, now: int) -> WarmUpEnd | None:
        """How the warm-up ended, if it has."""
        return self.warmup.ended(now)

    @property
    def service(self) -> Histogram:
        """The service latency of the whole run, up to the last `take_second`."""
        return self._totals.get("service") or Histogram()

    @property
    def response(self) -> Histogram:
        """The response latency of the whole run, likewise; empty in a closed loop."""
        return self._totals.get("response") or Histogram()

    @property
    def _begun(self) -> int:
        """The end of the warm-up, and of the last of its requests."""
        return max(self.t0 or 0, self._warm_last)

    @property
    def measured_s(self) -> float:
        """End of warm-up to last completion, s."""
        return 0.0 if self.last is None else (self.last - self._begun) / 1e9

    def stage_means(self) -> dict[str, dict[str, float] | None] | None:
        """Mean and median of each stage, ms; null for a stage that the backend does not have."""
        totals = {name: self._totals[name] for name in STAGES if name in self._totals}
        if not totals:
            return None
        return {
            name: {"mean": totals[name].mean / 1e6, "p50": totals[name].quantile(0.5) / 1e6}
            if name in totals
            else None
            for name in STAGES
        }

    def outside(self) -> dict[str, float]:
        """Mean of each known part of the gap, ms."""
        return {name: self._totals[name].mean / 1e6 for name in OUTSIDE if name in self._totals}

    def instrumentation(self) -> dict[str, object]:
        """Whether the instrumented requests stayed out of the latency, how many they were, and how much longer they took in the median, ms."""
        plain = self.service if self.apart else self._plain
        cost = None
        if min(plain.n, self._timed.n) >= COST_FROM:
            cost = (self._timed.quantile(0.5) - plain.quantile(0.5)) / 1e6
        return {"apart": self.apart, "n": self.instrumented, "cost_ms": cost}
