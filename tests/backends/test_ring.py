"""The sample ring between two real processes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from infertop.backends import ring

NAN = float("nan")


def test_a_record_comes_back_as_it_was_put() -> None:
    descriptor = ring.create()
    writer, reader = ring.RingWriter(descriptor), ring.RingReader(descriptor)
    writer.put(10**18, 12345, 0, (1.0, NAN, 3.0, NAN, 5.0, 6.0, NAN, 8.0), ring.INSTRUMENTED, 7, 42, 1)
    reader.mark()
    (record,) = reader.take()
    assert (record["start"], record["service"], record["run"], record["gc"], record["slot"]) == (
        10**18,
        12345,
        7,
        42,
        1,
    )
    assert (record["host"], record["compute"], record["enqueue"]) == (1.0, 3.0, 5.0)
    assert (record["issue"], record["sync"]) == (6.0, 8.0)
    assert np.isnan(record["queue"])
    assert np.isnan(record["h2d"])
    assert np.isnan(record["d2h"])
    assert record["flags"] & ring.INSTRUMENTED


def test_records_written_after_the_mark_wait_for_the_next_tick() -> None:
    descriptor = ring.create()
    writer, reader = ring.RingWriter(descriptor), ring.RingReader(descriptor)
    writer.put(1, 1, 0, None, 0, 1, 0, 0)
    reader.mark()
    writer.put(2, 1, 0, None, 0, 1, 0, 0)
    assert reader.take()["start"].tolist() == [1]
    reader.mark()
    assert reader.take()["start"].tolist() == [2]


def test_a_full_ring_counts_what_it_drops_and_keeps_the_oldest() -> None:
    descriptor = ring.create()
    writer, reader = ring.RingWriter(descriptor), ring.RingReader(descriptor)
    for i in range(ring.CAPACITY + 10):
        writer.put(i, 1, 0, None, 0, 1, 0, 0)
    reader.mark()
    assert reader.take()["start"].tolist() == list(range(ring.CAPACITY))
    assert reader.dropped == 10
    writer.put(99, 1, 0, None, 0, 1, 0, 0)
    reader.mark()
    assert reader.take()["start"].tolist() == [99]


PRODUCER = """
import sys
from infertop.backends.ring import RingWriter
writer = RingWriter(int(sys.argv[1]))
for i in range(int(sys.argv[2])):
    writer.put(i, i ^ 0x5A5A5A5A, 0, (float(i % 1000),) * 8, i % 2, i % 5, i % 9, i % 128)
"""


def test_nothing_is_torn_or_lost_uncounted_while_another_process_writes_flat_out() -> None:
    descriptor = ring.create()
    reader = ring.RingReader(descriptor)
    count = 400_000
    process = subprocess.Popen(
        [sys.executable, "-c", PRODUCER, str(descriptor), str(count)], pass_fds=(descriptor,)
    )
    seen = lost = 0
    newest = -1
    while True:
        over = process.poll() is not None
        reader.mark()
        records = reader.take()
        start = records["start"].astype(np.int64)
        assert (records["service"] == (records["start"] ^ np.uint64(0x5A5A5A5A))).all()
        assert (records["slot"] == records["start"] % 128).all()
        assert (records["compute"] == (start % 1000).astype(np.float32)).all()
        if len(start):
            steps = np.diff(start, prepend=newest)
            assert (steps > 0).all()
            lost += int((steps - 1).sum())
            newest = int(start[-1])
        seen += len(start)
        if over and not len(start):
            break
    assert process.returncode == 0
    assert seen + lost + (count - 1 - newest) == count
    assert reader.dropped == count - seen


def test_what_a_killed_worker_wrote_can_still_be_read() -> None:
    descriptor = ring.create()
    reader = ring.RingReader(descriptor)
    code = PRODUCER + "\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    process = subprocess.Popen([sys.executable, "-c", code, str(descriptor), "1000"], pass_fds=(descriptor,))
    os.close(descriptor)
    process.wait()
    reader.mark()
    assert reader.take()["start"].tolist() == list(range(1000))
