"""What copies reach between host and GPU on this machine: pinned and pageable, both directions, and the copy into pinned memory beside them.

Measured once in a worker, before its warm-up and outside all statistics, as requests' copies are: events around one copy on a stream.
What a request's copies could take at best is its bytes ÷ the pinned rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from .cuda import Device, Stream
from .errors import MeasureError

SIZE = 64 << 20
"""Bytes of one copy: large enough that its start does not count, and 1.3 ms at 52 GB/s."""

BUDGET_NS = 40_000_000
"""For each of the five rates, in which it is measured at least LEAST times; the link may first have to leave its power-saving speed."""

LEAST = 3

Rates = dict[str, float]


def measure(device: Device, size: int = SIZE, budget_ns: int = BUDGET_NS) -> Rates | None:
    """Bytes/s: h2d_pinned, h2d_pageable, d2h_pinned, d2h_pageable, staging; the best of a few each, since anything else only slows.

    None where the GPU or the host has no room for the buffers. Takes 0.2 to 0.3 s.
    """
    try:
        target = device.allocate(size)
        pinned = device.pinned((size,), np.dtype(np.uint8))
    except MeasureError:
        return None
    pageable = np.ones(size, np.uint8)  # ones, not empty: its pages must be there
    np.copyto(pinned, pageable)
    stream = device.stream()
    rates: Rates = {}
    for name, host in (("pinned", pinned), ("pageable", pageable)):
        address = host.ctypes.data
        copy_in = partial(device.copy_in, target, address, size, stream)
        copy_out = partial(device.copy_out, address, target, size, stream)
        rates[f"h2d_{name}"] = best(timed(device, stream, copy_in), size, budget_ns)
        rates[f"d2h_{name}"] = best(timed(device, stream, copy_out), size, budget_ns)

    def staging() -> float:
        start = time.perf_counter_ns()
        np.copyto(pinned, pageable)
        return float(time.perf_counter_ns() - start)

    rates["staging"] = best(staging, size, budget_ns)
    return rates


def timed(device: Device, stream: Stream, copy: Callable[[], None]) -> Callable[[], float]:
    """A function that issues the copy on the stream and gives the ns that it took there."""
    begun, done = device.event(), device.event()

    def once() -> float:
        begun.record(stream)
        copy()
        done.record(stream)
        stream.synchronize()
        return done.since(begun)

    return once


def best(once: Callable[[], float], size: int, budget_ns: int) -> float:
    """Bytes/s of the quickest copy; `once` gives the ns of one."""
    quickest, count, end = float("inf"), 0, time.monotonic_ns() + budget_ns
    while count < LEAST or time.monotonic_ns() < end:
        quickest = min(quickest, once())
        count += 1
    return size / max(quickest, 1.0) * 1e9
