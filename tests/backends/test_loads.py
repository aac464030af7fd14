"""How requests come: what may be written, arrivals by the seed, and the loops on a clock that only the test moves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from infertop.backends import closed, load, loads, open_loop, pipelined, ring
from infertop.backends.backend import StageTimes
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.loads import Load, parse
from infertop.backends.protocol import Message
from infertop.backends.schedule import Schedule

sys.path.insert(0, str(Path(__file__).parents[1] / "plugin"))
from infertop_simulated import Asynchronous  # type: ignore[import-not-found]

del sys.path[0]  # or its backends would be offered in every other test

MS = 1_000_000
SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("closed:1", "closed:1"),
        (" closed:04", "closed:4"),
        ("pipelined:3", "pipelined:3"),
        ("open:200", "open:200/s"),
        ("open:200/s", "open:200/s"),
        ("open: 0.5/s", "open:0.5/s"),
        ("poisson:1500.25", "poisson:1500.25/s"),
        ("open:auto", "open:auto"),
    ],
)
def test_a_load_has_one_spelling(typed: str, canonical: str) -> None:
    assert parse(typed).text == canonical
    assert parse(canonical) == parse(typed)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "is not known"),
        ("close:1", "'close:1' is not known"),
        ("closed", "lacks its number"),
        ("closed:", "lacks its number"),
        ("closed:0", "whole number above 0"),
        ("closed:1.5", "whole number above 0"),
        ("closed:129", "too deep"),
        ("pipelined:1", "overlaps nothing"),
        ("open:fast", "'fast' of open is not one"),
        ("open:-3", "'-3' of open is not one"),
        ("open:nan", "'nan' of open is not one"),
        ("open:0/s", "out of range"),
        ("open:1000000", "out of range"),
        ("poisson:200/min", "'200/min' of poisson is not one"),
        ("poisson:auto", "is not known"),
    ],
)
def test_what_is_no_load_is_said_in_a_sentence(typed: str, says: str) -> None:
    with pytest.raises(MeasureError) as caught:
        parse(typed)
    assert caught.value.kind == "usage"
    assert says in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "where", "slots", "overlaps", "says"),
    [
        ("closed:2", ("cpu", "pageable"), 1, False, "blocks until a request is done"),
        ("pipelined:2", ("cuda:0", "pinned"), 1, True, "blocks until a request is done"),
        ("closed:20", ("cuda:0", "pinned"), 16, False, "at most 16"),
        ("pipelined:4", ("cuda:0", "pinned"), 16, False, "does not overlap copies"),
        ("closed:2", ("cuda:0", "pageable"), 16, True, "a copy to ordinary host memory blocks"),
        ("pipelined:2", ("cuda:0", "device"), 16, True, "no copies to overlap"),
        ("closed:16", ("cuda:0", "device"), 16, False, None),
        ("pipelined:4", ("cuda:0", "pinned-ready"), 16, True, None),
        ("closed:1", ("cuda:0", "pageable"), 16, True, None),
        ("open:5/s", ("cuda:0", "pageable"), 16, True, None),
    ],
)
def test_what_a_backend_cannot_do_is_unsupported(
    text: str, where: tuple[str, str], slots: int, overlaps: bool, says: str | None
) -> None:
    configuration = Configuration("it", "m", load=text, device=where[0], data_path=where[1])
    if says is None:
        loads.refuse(configuration, slots, overlaps)
        return
    with pytest.raises(MeasureError, match=says) as caught:
        loads.refuse(configuration, slots, overlaps)
    assert caught.value.kind == "unsupported"
    assert caught.value.fix


def arrivals(schedule: Schedule, count: int) -> np.ndarray:
    found = []
    for _ in range(count):
        found.append(schedule.next())
        schedule.advance()
    return np.array(found)


def test_a_constant_schedule_does_not_drift() -> None:
    found = arrivals(Schedule(Load("open", rate=3.0), 10, 0), 30_000)
    assert found[0] == 10 + round(SECOND / 3)
    assert found[-1] == 10 + 10_000 * SECOND
    assert set(np.diff(found)) == {333_333_333, 333_333_334}


def test_a_poisson_schedule_is_the_seeds_and_has_the_gaps_of_its_name() -> None:
    def drawn(seed: int, begin: int = 0) -> np.ndarray:
        return arrivals(Schedule(Load("poisson", rate=1000.0), begin, seed), 20_000)

    first = drawn(7)
    np.testing.assert_array_equal(first, drawn(7))
    np.testing.assert_array_equal(first + 5 * SECOND, drawn(7, 5 * SECOND))
    assert not np.array_equal(first, drawn(8))
    gaps = np.diff(first) / MS
    # Exponential: mean and deviation 1 ms, each within 5 standard errors of 20,000 draws; e⁻¹ of them longer than the mean.
    assert abs(gaps.mean() - 1) < 0.036
    assert abs(gaps.std() - 1) < 0.05
    assert abs(np.mean(gaps > 1) - np.exp(-1)) < 0.018


def test_those_who_wait_are_counted_without_serving_them() -> None:
    schedule = Schedule(Load("open", rate=1000.0), 0, 0)
    assert schedule.waiting(MS - 1) == 0
    assert schedule.waiting(10_000 * MS) == 10_000
    assert schedule.next() == 10_001 * MS


class Clock:
    """Time that passes only where something takes it."""

    def __init__(self) -> None:
        self.now = SECOND

    def monotonic_ns(self) -> int:
        return self.now

    def sleep(self, ns: float) -> None:
        self.now += round(ns)


class Orders(load.Orders):
    """Gives an order once its moment has come; sleeping moves the clock."""

    def __init__(self, clock: Clock, timed: list[tuple[int, Message]]) -> None:
        super().__init__()
        self._clock, self._timed = clock, timed

    @property
    def waiting(self) -> bool:
        return bool(self._timed) and self._clock.now >= self._timed[0][0]

    @waiting.setter
    def waiting(self, value: bool) -> None: ...

    def take(self) -> Message | None:
        return self._timed.pop(0)[1] if self.waiting else None

    def sleep(self, seconds: float) -> None:
        """As the real one, woken by an order."""
        until = self._clock.now + round(seconds * 1e9)
        self._clock.now = min([until, *(at for at, _ in self._timed)])


class Blocking:
    """Takes `service(number)` ns, number from 0."""

    slots = 1

    def __init__(self, clock: Clock, service: Callable[[int], int]) -> None:
        self._clock, self._service, self.requests = clock, service, 0

    def issue(self, slot: int, index: int, times: StageTimes | None) -> None:
        self._clock.sleep(self._service(self.requests))
        self.requests += 1

    def complete(self, slot: int, times: StageTimes | None) -> None: ...


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (load, closed, open_loop, pipelined):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=made.monotonic_ns))
    monkeypatch.setattr(open_loop, "SPIN_NS", 0)  # sleeping is exact here
    return made


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = ring.create()
    yield made
    os.close(made)


def measure(
    descriptor: int, clock: Clock, backend: Any, text: str, orders: list[tuple[int, Message]], seed: int = 0
) -> tuple[load.Ended, np.ndarray, list[int]]:
    """Run a loop from now on with orders (ms from now, order); how it ended, its records, and when windows ended."""
    asked = parse(text)
    windows: list[int] = []
    timed = Orders(clock, [(clock.now + at * MS, order) for at, order in orders])
    kind: type[load.Loop] = open_loop.OpenLoop if asked.scheduled else closed.ClosedLoop
    if hasattr(backend, "prepare"):
        kind = pipelined.PipelinedLoop
    loop = kind(
        backend, ring.RingWriter(descriptor), timed,
        run=1, sets=2, load=asked, seed=seed, collect="on", windowed=windows.append,
    )  # fmt: skip

    def handle() -> str:
        while (order := timed.take()) is not None:
            if order["do"] == "stop":
                return "stop"
            if order["do"] == "window":
                assert isinstance(loop, open_loop.OpenLoop)
                loop.window(order["rate"], order["requests"])
            else:
                loop.measure(order.get("duration"), order.get("requests"), order.get("rate"))
        return ""

    ended = loop.go(handle)
    reader = ring.RingReader(descriptor)
    reader.mark()
    return ended, reader.take(), windows


def go(duration_ms: int | None = None, requests: int | None = None, **more: Any) -> Message:
    return {
        "do": "measure",
        "duration": None if duration_ms is None else duration_ms * MS,
        "requests": requests,
        **more,
    }


def test_coordinated_omission_is_what_arithmetic_says(clock: Clock, descriptor: int) -> None:
    """200 requests/s, 2 ms each, one stall of 500 ms in 20 s.

    While the server stalls requests go on arriving every 5 ms; afterwards it serves one in 2 ms, so each of them waits 3 ms less than
    the one before: 500, 497, 494 … The slowest hundredth of 4,000 are the first 40 of these, so that p99 is 500 − 40 · 3 = 380 ms; of
    the service latencies 3,999 are 2 ms.
    """
    backend = Blocking(clock, lambda number: 500 * MS if number == 1000 else 2 * MS)
    ended, records, _ = measure(descriptor, clock, backend, "open:200/s", [(0, go(20_000))])
    service, response = np.sort(records["service"]), np.sort(records["response"])
    assert len(records) == 3999  # every 5 ms, and none at the very end
    assert (ended.reason, ended.unserved) == ("duration", 0)
    assert service[-2] == 2 * MS
    assert service[-1] == response[-1] == 500 * MS
    np.testing.assert_array_equal(response[::-1][:166], (500 - 3 * np.arange(166)) * MS)
    assert response[-167] == 2 * MS
    rank = int(0.99 * 3999 + 0.5)
    assert service[rank - 1] == 2 * MS
    assert response[rank - 1] == 380 * MS


def test_the_queue_is_first_come_first_served(clock: Clock, descriptor: int) -> None:
    """Against Lindley's recursion: a request begins when it has arrived and the one before is done."""
    service = np.random.default_rng(1).integers(MS, 9 * MS, 2000)
    begun = clock.now
    _, records, _ = measure(
        descriptor, clock, Blocking(clock, lambda n: int(service[n])), "poisson:180/s", [(0, go(requests=2000))], 5
    )  # fmt: skip
    arrived = arrivals(Schedule(Load("poisson", rate=180.0), begun, 5), 2000)
    done, expected = 0, []
    for arrival, takes in zip(arrived.tolist(), service.tolist(), strict=True):
        done = max(done, arrival) + takes
        expected.append(done - arrival)
    np.testing.assert_array_equal(records["response"], expected)
    np.testing.assert_array_equal(records["service"], service)


def test_the_schedule_begins_anew_with_the_measurement(clock: Clock, descriptor: int) -> None:
    """A warm-up whose first request takes a second leaves no backlog behind."""
    backend = Blocking(clock, lambda number: SECOND if number == 0 else MS)
    _, records, _ = measure(descriptor, clock, backend, "open:100/s", [(1200, go(requests=50))])
    measured = records[-50:]
    assert set(measured["response"]) == {MS}
    assert set(np.diff(measured["start"])) == {10 * MS}


def test_an_overloaded_run_catches_up_for_a_while_and_counts_who_is_left(
    clock: Clock, descriptor: int
) -> None:
    """1,000 a second, 2 ms each: half of 10,000 are served in 10 s, 1,000 more in the 2 s after."""
    ended, records, _ = measure(
        descriptor, clock, Blocking(clock, lambda n: 2 * MS), "open:1000/s", [(0, go(10_000))]
    )
    assert (ended.reason, len(records), ended.unserved) == ("duration", 6000, 3999)


def test_a_stop_in_the_middle_counts_who_is_left(clock: Clock, descriptor: int) -> None:
    orders: list[tuple[int, Message]] = [(0, go(60_000)), (1000, {"do": "stop"})]
    ended, records, _ = measure(descriptor, clock, Blocking(clock, lambda n: 2 * MS), "open:1000/s", orders)
    # Noticed after the request that ends at 1,001 ms, by when 1,001 had arrived.
    assert (ended.reason, len(records), ended.unserved) == ("stop", 500, 501)
    ended, _, _ = measure(
        descriptor, clock, Blocking(clock, lambda n: 2 * MS), "open:10/s", [(950, {"do": "stop"})]
    )
    assert (ended.reason, ended.unserved) == ("stop", 0)


def test_windows_try_rates_before_the_measurement(clock: Clock, descriptor: int) -> None:
    backend = Blocking(clock, lambda number: 2 * MS)
    begun = clock.now
    orders: list[tuple[int, Message]] = [
        (10, {"do": "window", "rate": None, "requests": 10}),
        (100, {"do": "window", "rate": 100.0, "requests": 20}),
        (1000, go(requests=30, rate=250.0)),
    ]
    ended, records, windows = measure(descriptor, clock, backend, "open:auto", orders)
    assert (ended.reason, ended.unserved) == ("requests", 0)
    assert windows == [begun + 30 * MS, begun + 302 * MS]
    end = records["start"] + records["service"]
    back_to_back = records[(end > begun + 10 * MS) & (end <= windows[0])]
    assert len(back_to_back) == 10
    assert set(back_to_back["response"]) == {2 * MS}
    tried = records[(records["start"] > begun + 100 * MS) & (end <= windows[1])]
    assert len(tried) == 20
    assert set(np.diff(tried["start"])) == {10 * MS}
    assert set(np.diff(records[-30:]["start"])) == {4 * MS}


def pipeline(clock: Clock, slots: int, **takes_us: int) -> Asynchronous:
    backend = Asynchronous()
    backend.clock, backend.sleep = clock.monotonic_ns, clock.sleep
    options = Options(backend_options={name: str(value) for name, value in takes_us.items()})
    backend.load(Configuration("simulated-async", "m", options=options), lambda phase: None)
    backend.bind([], slots)
    return backend


@pytest.mark.parametrize("text", ["closed:1", "closed:2", "closed:5", "pipelined:4"])
def test_n_are_in_flight_and_the_oldest_is_reaped_first(clock: Clock, descriptor: int, text: str) -> None:
    """The backend refuses any other order, and a slot that is in flight; n full slots take n turns of the slowest engine."""
    slots = parse(text).slots
    backend = pipeline(clock, slots, in_us=1000, compute_us=4000, out_us=1000)
    ended, records, _ = measure(descriptor, clock, backend, text, [(0, go(requests=400))])
    assert (ended.reason, len(records)) == ("requests", 400)
    assert backend.deepest == slots
    assert not backend.flying
    assert set(records["slot"]) == set(range(slots))
    assert (np.diff(records["start"].astype(np.int64)) >= 0).all()
    steady = records["service"][slots:]
    assert set(steady) == {6 * MS if slots == 1 else 4 * slots * MS}
    if slots > 1:
        # Throughput is one in the time of the longest stage, whatever the depth.
        assert ended.last - int(records["start"][0]) == (1 + 400 * 4 + 1) * MS


@pytest.mark.parametrize("text", ["closed:3", "pipelined:3"])
def test_a_stop_in_the_middle_reaps_what_is_in_flight(clock: Clock, descriptor: int, text: str) -> None:
    backend = pipeline(clock, 3, in_us=1000, compute_us=4000, out_us=1000)
    ended, records, _ = measure(descriptor, clock, backend, text, [(100, {"do": "stop"})])
    assert ended.reason == "stop"
    assert not backend.flying
    assert ended.last == int(records["start"][-1] + records["service"][-1])


class Telling:
    """A device that computes one request at a time for 4 ms, told of it after 1 ms of Python, and says when it was done; waking up takes 0.5 ms."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._free = clock, 0
        self._ends: dict[int, int] = {}

    def issue(self, slot: int, index: int, times: StageTimes | None) -> None:
        self._clock.sleep(MS)
        begins = max(self._free, self._clock.now)
        self._free = self._ends[slot] = begins + 4 * MS
        if times is not None:
            times.told = times.heard = self._clock.now
            times.compute, times.between = 4.0 * MS, float(begins - self._clock.now)
            times.done = self._ends[slot]

    def complete(self, slot: int, times: StageTimes | None) -> None:
        self._clock.sleep(max(0, self._ends.pop(slot) - self._clock.now) + MS // 2)
        if times is not None:
            times.completed = self._clock.now
            self._clock.sleep(3 * MS)  # reading the events


@pytest.mark.parametrize(("text", "queued_ms"), [("closed:1", None), ("open:100/s", None), ("closed:3", 5)])
def test_every_loop_says_what_lies_outside_the_stages(
    clock: Clock,
    descriptor: int,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    queued_ms: int | None,
) -> None:
    """The parts and the stages are the service, and reading the events is in none of it."""
    monkeypatch.setattr(load, "INSTRUMENTED_GAP_NS", 1)
    _, records, _ = measure(descriptor, clock, Telling(clock), text, [(0, go(requests=60))])
    records = records[5:]
    assert (records["flags"] == ring.INSTRUMENTED).all()
    assert set(records["issue"]) == {MS}
    parts = [np.nan_to_num(records[name]) for name in ("issue", "queue", "sync", "compute")]
    np.testing.assert_array_equal(sum(parts), records["service"])
    if queued_ms is None:
        assert np.isnan(records["queue"]).all()
        assert set(records["sync"]) == {MS // 2}
        assert set(records["service"]) == {5.5 * MS}
    else:
        assert set(records["queue"][:-2]) == {queued_ms * MS}, "the last two have nobody behind them"


class PreparedAside:
    """A host that prepares one request after another, a thread that needs `issue` to start one, and a device that computes one at a time."""

    def __init__(self, clock: Clock, prepare: int, issue: int, compute: int) -> None:
        self._clock, self._takes = clock, (prepare, issue, compute)
        self._host = self._device = 0  # ns from which each is free
        self._ready: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self.most = 0

    def prepare(self, slot: int, index: int) -> None:
        assert slot not in self._ready
        assert slot not in self._ends, "its buffer is still being read"
        self._host = max(self._host, self._clock.now) + self._takes[0]
        self._ready[slot] = self._host
        self.most = max(self.most, len(self._ready) + len(self._ends))

    def issue(self, slot: int, index: int, times: StageTimes | None) -> None:
        self._wait(self._ready.pop(slot))
        self._clock.sleep(self._takes[1])
        self._device = max(self._device, self._clock.now) + self._takes[2]
        self._ends[slot] = self._device

    def done(self, slot: int) -> bool:
        return self._clock.now >= self._ends[slot]

    def complete(self, slot: int, times: StageTimes | None) -> None:
        self._wait(self._ends.pop(slot))

    def _wait(self, until: int) -> None:
        self._clock.sleep(max(0, until - self._clock.now))


@pytest.mark.parametrize("slots", [3, 4, 8])
@pytest.mark.parametrize("takes", [(4, 1, 2), (2, 1, 4), (1, 4, 2), (2, 2, 2)])
def test_with_inputs_prepared_aside_throughput_is_one_in_the_longest_stage(
    clock: Clock, descriptor: int, takes: tuple[int, int, int], slots: int
) -> None:
    backend = PreparedAside(clock, *(ms * MS for ms in takes))
    _, records, _ = measure(descriptor, clock, backend, f"pipelined:{slots}", [(0, go(requests=200))])
    assert len(records) == 200
    assert backend.most == slots
    ends = np.sort(records["start"] + records["service"])[50:]
    assert (ends[-1] - ends[0]) / (len(ends) - 1) == pytest.approx(max(takes) * MS, rel=0.02)
    # A request begins with its preparation, so the thread's queue is part of its latency.
    assert records["service"].min() >= sum(takes) * MS


@pytest.mark.parametrize("order", [{"do": "stop"}, go(50)])
def test_what_is_being_prepared_at_the_end_is_measured_too(
    clock: Clock, descriptor: int, order: Message
) -> None:
    backend = PreparedAside(clock, 2 * MS, MS, 4 * MS)
    ended, records, _ = measure(descriptor, clock, backend, "pipelined:4", [(100, order)])
    assert ended.reason == ("stop" if order["do"] == "stop" else "duration")
    assert (backend._ready, backend._ends) == ({}, {})
    assert ended.last == int((records["start"] + records["service"]).max())


def test_a_full_ring_drops_and_counts_and_the_loop_goes_on(
    clock: Clock, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "CAPACITY", 64)
    ended, records, _ = measure(
        descriptor, clock, Blocking(clock, lambda n: MS), "open:500/s", [(0, go(requests=100))]
    )
    assert (ended.reason, len(records)) == ("requests", 64)
    assert ring.RingReader(descriptor).dropped == 36
