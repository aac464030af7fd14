"""The heat strip's buckets: every request of a second in the bucket of its latency, and nothing of other seconds."""

from __future__ import annotations

import numpy as np
from infertop.sessions.heat import HeatRing
from infertop.sessions.records import Tick
from infertop.sessions.view import HEAT_BUCKETS, HEAT_LOWEST, HEAT_PER_DECADE
from infertop.telemetry.histogram import Histogram


def blob(*values: int) -> str:
    histogram = Histogram()
    histogram.record(np.array(values, np.int64))
    return histogram.encode()


def shown(ring: HeatRing, first: int, newest: int) -> np.ndarray:
    """All columns of these seconds."""
    return ring.view(first, newest)(newest - first + 1)


def tick(**histograms: str) -> Tick:
    return Tick(t=0, n=0, m=[], h=histograms or None)


def bucket(ns: float) -> int:
    return int(np.floor(np.log10(ns / HEAT_LOWEST) * HEAT_PER_DECADE + 0.02))


def test_requests_lie_in_the_bucket_of_their_latency_warm_up_included() -> None:
    ring = HeatRing(10)
    ring.add(3, tick(service=blob(3_580_000, 3_580_000, 41_000_000), compute=blob(1_000_000)))
    ring.add(3, tick(warmup=blob(9_000_000)))
    counts = shown(ring, 3, 3)[0]
    assert counts[bucket(3.58e6)] == 2
    assert counts[bucket(41e6)] == 1
    assert counts[bucket(9e6)] == 1
    assert counts.sum() == 4


def test_what_lies_outside_counts_in_the_outermost_buckets() -> None:
    ring = HeatRing(10)
    ring.add(0, tick(service=blob(3, 3_000_000_000_000)))
    counts = shown(ring, 0, 0)[0]
    assert counts[0] == 1
    assert counts[HEAT_BUCKETS - 1] == 1


def test_a_second_that_has_scrolled_out_leaves_nothing_in_the_column_it_had() -> None:
    ring = HeatRing(4)
    ring.add(1, tick(service=blob(5_000_000)))
    ring.clear(5)
    assert shown(ring, 2, 5).sum() == 0
    ring.add(5, tick(service=blob(5_000_000)))
    assert shown(ring, 2, 5).sum(axis=1).tolist() == [0, 0, 0, 1]


def test_a_damaged_histogram_is_left_out() -> None:
    ring = HeatRing(4)
    ring.add(0, tick(service="no blob"))
    ring.add(0, tick(service=blob(5_000_000)))
    assert shown(ring, 0, 0).sum() == 1


def test_a_fold_over_hours_decodes_nothing_and_keeps_no_more_than_the_ring_needs() -> None:
    ring = HeatRing(4)
    for second in range(1000):
        ring.clear(second)
        ring.add(second, tick(service="no blob" if second < 996 else blob(5_000_000)))
    assert shown(ring, 996, 999).sum(axis=1).tolist() == [1, 1, 1, 1]
    assert sum(map(len, ring._blobs)) == 4


def test_only_the_newest_columns_that_a_screen_has_room_for_are_given() -> None:
    ring = HeatRing(600)
    for second in range(300):
        ring.add(second, tick(service=blob(*[5_000_000] * (1 + second % 3))))
    heat = ring.view(0, 299)
    assert heat(120).sum(axis=1).tolist() == [1 + second % 3 for second in range(180, 300)]
    assert heat(500).sum(axis=1).tolist() == [1 + second % 3 for second in range(300)]


def test_a_picture_stays_what_it_was_while_the_ring_goes_on() -> None:
    ring = HeatRing(4)
    ring.add(0, tick(service=blob(5_000_000)))
    before = ring.view(0, 0)
    ring.add(0, tick(service=blob(5_000_000)))
    ring.clear(4)
    ring.add(4, tick(service=blob(*[5_000_000] * 7)))
    assert shown(ring, 4, 4).sum() == 7
    assert before(1).sum() == 1
    assert shown(ring, 4, 4).sum() == 7
