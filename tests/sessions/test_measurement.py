"""From the ring's records to a run's numbers: what counts, over which time, and which requests stay apart."""

from __future__ import annotations

import numpy as np
import pytest
from infertop.backends.ring import INSTRUMENTED, RECORD
from infertop.sessions.measurement import Measurement

MS = 1_000_000


def requests(starts_ms: np.ndarray, service_ms: float, timed: np.ndarray | bool = False) -> np.ndarray:
    """Ring records of requests that begin then and take that long."""
    records = np.zeros(len(starts_ms), RECORD)
    records["start"], records["service"] = (starts_ms * MS).astype(np.uint64), round(service_ms * MS)
    records["flags"] = np.where(timed, INSTRUMENTED, 0)
    return records


@pytest.mark.parametrize("depth", [1, 4, 16])
def test_throughput_at_a_depth_is_what_the_device_completes(depth: int) -> None:
    """One request is complete each 10 ms, however many wait: 100 a second, though the run is as short as the queue is long."""
    measurement = Measurement("20x")
    every = requests(1e6 + 10.0 * np.arange(60), 10.0 * depth)
    measurement.add(every[:25])
    measurement.begin(
        int(every["start"][30])
    )  # the orders come when one was reaped, the others are under way
    measurement.add(every[25:40])
    measurement.take_second()
    measurement.add(every[40:])
    measurement.take_second()
    assert (measurement.warm_requests, measurement.requests) == (30, 30)
    assert measurement.requests / measurement.measured_s == pytest.approx(100)
    assert [n / seconds for n, seconds in measurement.blocks] == pytest.approx([100, 100])


@pytest.mark.parametrize(("rate", "apart"), [(None, True), (1000.0, True), (400.0, False), (20.0, False)])
def test_a_load_of_another_rate_than_the_warm_up_s_decides_who_stays_apart(
    rate: float | None, apart: bool
) -> None:
    """A warm-up of one request after another, of which one in fifty is instrumented; of 20 a second nine in ten are."""
    measurement = Measurement("20x")
    measurement.add(requests(np.arange(1000.0), 1.0, np.arange(1000) % 50 == 0))
    measurement.begin(1000 * MS, rate)
    assert measurement.apart == apart


def test_a_second_try_of_a_rate_has_no_warm_up_to_judge_by() -> None:
    measurement = Measurement("20x")
    measurement.begin(0, 20.0)
    measurement.add(requests(np.arange(0.0, 1000.0, 50.0), 5.0, np.arange(20) % 10 > 0))
    measurement.take_second()
    assert measurement.service.n == 20, "nine in ten were instrumented, and are not left out"


@pytest.mark.parametrize(("duration_s", "asked", "waiting"), [(4, None, 2000), (None, 6000, 0)])
def test_nobody_waits_who_never_arrives(duration_s: int | None, asked: int | None, waiting: int) -> None:
    """2,000/s for 4 s at a server of 1,000/s, which goes on for 2 s: of 8,000 it has served 6,000 then. Or 6,000 in all: nobody is left."""
    measurement = Measurement("20x")
    begun = 10_000 * MS
    measurement.begin(begun, 2000.0, None if duration_s is None else duration_s * 1000 * MS, asked)
    served = np.arange(6000)
    records = requests(10_000.0 + served, 1.0)
    records["response"] = records["start"] + records["service"] - (begun + served * MS // 2).astype(np.uint64)
    for part in np.split(records, 60):
        measurement.add(part)
    assert measurement.backlog is not None
    assert measurement.backlog.waiting == pytest.approx(waiting, abs=2)
    assert measurement.backlog.most == pytest.approx(4000 if duration_s else 3000, abs=110)
    assert measurement.backlog.growing() is not None
