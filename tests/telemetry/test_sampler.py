"""The sampler keeps going: past a source that raises, one that is late, and one that never answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from infertop.telemetry.metrics import Level, MetricSpec, Value
from infertop.telemetry.sampler import Deadlines, Sample, Sampler

MS = 1_000_000
WAIT = 20.0  # s; only a broken sampler waits so long


class Clock:
    """The monotonic clock, which a test can move on."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.monotonic_ns() + self.ahead


class Scripted:
    """A source whose reads do what a test says; each read is announced by a semaphore."""

    def __init__(self, name: str, action: Callable[[int], Sequence[Value]]) -> None:
        self.name = name
        self.specs = [MetricSpec(f"{name}.value", "1", 0.1)]
        self.reads = 0
        self.began = threading.Semaphore(0)
        self.worker: int | None = None
        self.closed = False
        self.looked = 0
        self.level: Level = "off"
        self.said: list[str] = []
        self._action = action

    @property
    def calls(self) -> int:
        return 3 * self.reads

    def read(self, at_ns: int, now_ns: int) -> Sequence[Value]:
        self.reads += 1
        self.began.release()
        return self._action(self.reads)

    def set_worker(self, pid: int | None) -> None:
        self.worker = pid

    def look(self) -> None:
        self.looked += 1

    def set_level(self, level: Level) -> None:
        self.level = level

    def messages(self) -> list[str]:
        told, self.said = self.said, []
        return told

    def close(self) -> None:
        self.closed = True


def constant(value: Value) -> Callable[[int], Sequence[Value]]:
    return lambda _: [value]


@contextmanager
def running(sampler: Sampler) -> Iterator[Sampler]:
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.stop()


def await_reads(source: Scripted, count: int) -> None:
    for _ in range(count):
        assert source.began.acquire(timeout=WAIT)


def await_sample(sampler: Sampler, source: Scripted) -> Sample:
    """The next sample; `source` announces that ticks go on."""
    while (sample := sampler.latest()) is None:
        await_reads(source, 1)
    return sample


def test_deadlines_stay_on_their_grid_and_missed_ones_are_counted() -> None:
    deadlines = Deadlines(100)
    assert deadlines.next(1000) == (1000, 0)
    assert deadlines.next(1003) == (1100, 0)
    assert deadlines.next(1199) == (1200, 0)
    assert deadlines.next(1299) == (1300, 0)
    assert deadlines.next(1450) == (1400, 0)  # 50 late: read at once
    assert deadlines.next(1720) == (1700, 2)  # 1500 and 1600 are gone
    assert deadlines.next(1721) == (1800, 0)


def test_a_sample_has_every_value_in_the_order_of_the_table() -> None:
    first, second = Scripted("first", constant(1.26)), Scripted("second", constant(None))
    with running(Sampler([first, second], 1 * MS)) as sampler:
        sample = await_sample(sampler, second)
    ids = [spec.id for spec in sampler.table]
    assert ids[:2] == ["first.value", "second.value"]
    assert set(ids[2:]) == {"sampler.cost", "sampler.cpu", "sampler.late", "sampler.calls"}
    values = dict(zip(ids, sample.values, strict=True))
    assert values["first.value"] == 1.3
    assert values["second.value"] is None
    assert values["sampler.calls"] == sample.calls == 6
    assert sample.cost_ns > 0
    assert first.closed
    assert second.closed


def test_a_sample_is_handed_out_once() -> None:
    source = Scripted("a", constant(1))
    sampler = Sampler([source], 3600 * 1000 * MS)
    with running(sampler):
        await_sample(sampler, source)
        assert sampler.latest() is None


def test_what_only_a_sample_that_nobody_took_has_read_is_not_lost() -> None:
    """A busy engine takes no sample for a while; sizes and limits are read every 10 s alone."""
    rare, often = (
        Scripted("rare", lambda reads: [7 if reads == 1 else None]),
        Scripted("often", lambda reads: [reads]),
    )
    with running(Sampler([rare, often], 1 * MS)) as sampler:
        await_reads(often, 5)
        sample = sampler.latest()
    assert sample is not None
    assert sample.values[0] == 7
    assert sample.values[1] is not None
    assert sample.values[1] >= 4


def test_late_ticks_are_skipped_and_counted() -> None:
    clock = Clock()

    def slow(reads: int) -> Sequence[Value]:
        if reads == 2:
            clock.ahead += 3600 * 1000 * MS  # a suspend
        return [reads]

    source = Scripted("a", slow)
    skipped = 0
    with running(Sampler([source], 1000 * MS, clock=clock, patience_ns=10**18)) as sampler:
        clock.ahead += 999 * MS
        while skipped == 0:
            skipped = await_sample(sampler, source).late
            clock.ahead += 999 * MS
    assert 3598 <= skipped <= 3601
    assert source.reads <= 6  # nothing is caught up


def test_a_source_that_raises_is_told_once_and_read_again() -> None:
    def failing(reads: int) -> Sequence[Value]:
        if reads < 4:
            raise OSError("the disk is on fire")
        return [5]

    bad, good = Scripted("bad", failing), Scripted("good", constant(2))
    with running(Sampler([bad, good], 1 * MS)) as sampler:
        await_reads(good, 2)
        sample = await_sample(sampler, good)
        assert sample.values[1] == 2
        while sample.values[0] is None:
            sample = await_sample(sampler, good)
    assert sample.values[0] == 5
    assert sampler.faults == {}
    assert sampler.messages() == ["bad cannot be read: the disk is on fire", "bad can be read again"]


def test_a_source_with_too_few_values_moves_no_other() -> None:
    bad, good = Scripted("bad", lambda _: []), Scripted("good", constant(2))
    with running(Sampler([bad, good], 1 * MS)) as sampler:
        sample = await_sample(sampler, good)
        assert sample.values[:2] == [None, 2]
        assert sampler.faults == {"bad": "bad gave 0 values for 1 metrics"}


def test_a_source_that_hangs_is_left_alone_until_it_answers() -> None:
    clock, release = Clock(), threading.Event()

    def hanging(reads: int) -> Sequence[Value]:
        if reads == 2:
            assert release.wait(WAIT)
        return [reads]

    host, gpu = Scripted("host", constant(1)), Scripted("gpu", hanging)
    with running(Sampler([host, gpu], 1 * MS, clock=clock, patience_ns=60_000 * MS)) as sampler:
        await_reads(gpu, 2)  # it hangs in the second
        while sampler.latest() is not None:
            pass
        clock.ahead += 61_000 * MS
        sampler.latest()  # notices, and starts another thread
        assert "gpu" in sampler.faults
        sample = await_sample(sampler, host)
        assert sample.values[:2] == [1, None]
        assert sample.late > 1000
        assert gpu.reads == 2
        release.set()
        while sample.values[1] is None:
            sample = await_sample(sampler, host)
        assert sample.values[1] >= 3
        told = sampler.messages()
    assert sampler.faults == {}
    assert told == [
        "gpu has not answered for 60 s: its readings are missing until it does",
        "gpu answers again",
    ]


def test_stopping_does_not_wait_for_a_source_that_hangs() -> None:
    release = threading.Event()

    def hanging(reads: int) -> Sequence[Value]:
        release.wait(WAIT)
        return [0]

    host, gpu = Scripted("host", constant(1)), Scripted("gpu", hanging)
    sampler = Sampler([host, gpu], 1 * MS)
    sampler.start()
    await_reads(gpu, 1)
    sampler.stop()
    assert host.closed
    assert not gpu.closed  # closing what is in use could crash
    release.set()


def test_the_worker_and_messages_reach_through() -> None:
    source = Scripted("a", constant(1))
    source.said = ["something happened"]
    sampler = Sampler([source], 1 * MS)
    sampler.set_worker(42)
    assert source.worker == 42
    with running(sampler):
        await_sample(sampler, source)
    assert sampler.messages() == ["something happened"]
    assert sampler.messages() == []


def test_a_look_and_a_level_reach_every_source() -> None:
    source = Scripted("a", constant(1))
    sampler = Sampler([source], 1 * MS, level="light")
    assert source.level == sampler.level == "light"
    sampler.look()
    assert source.looked == 1


def test_a_sampler_that_is_off_reads_nothing_until_it_is_on_again() -> None:
    clock, source = Clock(), Scripted("a", constant(1))
    with running(Sampler([source], 1 * MS, clock=clock, level="off")) as sampler:
        assert sampler.latest() is None
        assert source.reads == 0
        sampler.set_level("full")
        await_sample(sampler, source)
        sampler.set_level("off")
        clock.ahead += 3600 * 1000 * MS
        sampler.latest()
        sampler.set_level("full")
        sample = await_sample(sampler, source)
    assert sample.late < 3600 * 1000, "a pause is not lateness"
