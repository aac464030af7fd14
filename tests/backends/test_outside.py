"""What lies outside the stages: the host's part, the wait for others and the wake-up, on a device whose every duration is known."""

from __future__ import annotations

import math
import time
from typing import Any, cast

import pytest
from infertop.backends.backend import StageTimes
from infertop.backends.cuda import Device
from infertop.backends.overlapped import Lanes, Overlapped
from infertop.backends.staged import Staged

PREPARE, CALL, RECORD, WAKE = 1_000, 50, 10, 700
COPY_IN, COMPUTE, COPY_OUT = 30_000, 80_000, 20_000


class Machine:
    """A host whose calls take so long, and streams that work on by themselves; ns."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def event(self) -> Event:
        return Event(self)

    def stream(self) -> Stream:
        return Stream(self)


class Stream:
    def __init__(self, machine: Machine) -> None:
        self.machine, self.free = machine, 0

    def work(self, takes: int) -> None:
        self.free = max(self.free, self.machine.now) + takes
        self.machine.now += CALL

    def wait(self, event: Event) -> None:
        self.free = max(self.free, event.at)

    def synchronize(self) -> None:
        self.machine.now = max(self.machine.now, self.free) + WAKE


class Event:
    def __init__(self, machine: Machine) -> None:
        self.machine, self.at = machine, 0

    def record(self, stream: Stream) -> None:
        """It is heard of when the call returns."""
        self.machine.now += RECORD
        stream.free = self.at = max(self.machine.now, stream.free)

    def since(self, earlier: Event) -> float:
        return float(self.at - earlier.at)

    def synchronize(self) -> None:
        self.machine.now = max(self.machine.now, self.at) + WAKE

    def reached(self) -> bool:
        return self.at <= self.machine.now


class Steps:
    copies, begin = True, None

    def __init__(self, machine: Machine, on: Lanes) -> None:
        self.machine, self.on = machine, cast("Any", on)

    def prepare(self, index: int) -> None:
        self.machine.now += PREPARE

    def copy_in(self, index: int) -> None:
        self.on.copy_in.work(COPY_IN)

    def compute(self, index: int) -> None:
        self.on.compute.work(COMPUTE)

    def copy_out(self) -> None:
        self.on.copy_out.work(COPY_OUT)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(time, "monotonic_ns", lambda: made.now)
    return made


def lanes(machine: Machine, *, apart: bool) -> Lanes:
    streams = [cast("Any", machine.stream()) for _ in range(4)]
    return Lanes(*streams) if apart else Lanes.one(streams[0])


def request(machine: Machine, on: Lanes) -> Staged | Overlapped:
    steps, device = Steps(machine, on), cast("Device", machine)
    return (
        Overlapped(steps, device, on, lambda stream: None) if on.apart else Staged(steps, device, on.compute)
    )


def issue(machine: Machine, one: Staged | Overlapped) -> tuple[int, StageTimes]:
    """As the loop does."""
    start, times = machine.now, StageTimes()
    machine.now += 200  # the way through Python
    one.issue(0, times)
    times.issued = machine.now
    return start, times


def complete(machine: Machine, one: Staged | Overlapped, times: StageTimes) -> int:
    times.called = machine.now
    one.complete(times)
    return times.completed


def explained(times: StageTimes, outside: tuple[float, ...]) -> float:
    known = [value for value in outside if not math.isnan(value)]
    return times.host + times.h2d + times.compute + times.d2h + sum(known)


def test_a_request_alone_is_explained_to_the_event_that_was_recorded(machine: Machine) -> None:
    one = request(machine, lanes(machine, apart=False))
    start, times = issue(machine, one)
    last = complete(machine, one, times)
    found = issue_part, queue, sync = times.outside(start, last, alone=True)
    assert (times.host, times.h2d, times.compute) == (PREPARE, COPY_IN, COMPUTE)
    assert issue_part == 200
    assert math.isnan(queue), "nobody else is in flight"
    assert sync == WAKE
    assert last - start - explained(times, found) == RECORD


def test_copies_beside_others_wait_for_them_and_the_wait_has_its_name(machine: Machine) -> None:
    on = lanes(machine, apart=True)
    first, second = request(machine, on), request(machine, on)
    issue(machine, first)
    start, times = issue(machine, second)
    last = complete(machine, second, times)
    found = _, queue, sync = times.outside(start, last, alone=False)
    # It computes after the first, whose computation begins a copy later than its own copy was asked for.
    assert COMPUTE - COPY_IN - 2 * PREPARE < queue < COMPUTE
    assert (times.h2d, times.compute, times.d2h) == (COPY_IN, COMPUTE, COPY_OUT)
    assert sync == WAKE
    assert last - start - explained(times, found) == pytest.approx(RECORD, abs=2 * RECORD)


def test_what_is_done_and_not_collected_waits_in_a_queue(machine: Machine) -> None:
    one = request(machine, lanes(machine, apart=False))
    start, times = issue(machine, one)
    machine.now += 500_000  # the host is with others
    last = complete(machine, one, times)
    _, queue, sync = times.outside(start, last, alone=False)
    assert queue == pytest.approx(times.called - times.done)
    assert queue > 300_000
    assert sync == WAKE
    issue_part, queue, _ = times.outside(start, last, alone=True)
    assert math.isnan(queue)
    assert issue_part > 300_000, "alone in flight, the host itself was late"


def test_a_call_that_is_the_request_leaves_python_and_the_return() -> None:
    times = StageTimes()
    times.host, times.compute = 5.0, 1_000.0
    times.issued = times.called = 1_100
    assert times.outside(0, 1_120, alone=True)[::2] == (95.0, 20.0)


def test_nobody_knows_when_a_device_was_done_that_does_not_say_it() -> None:
    times = StageTimes()
    times.compute = 1_000.0
    times.issued, times.called = 50, 60
    assert all(math.isnan(part) for part in times.outside(0, 1_100, alone=True))
    assert all(math.isnan(part) for part in times.outside(0, 1_100, alone=False))
