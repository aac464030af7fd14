"""Histograms filled through numpy are HdrHistogram's own: same counts, same blob, same quantiles, whatever
the values.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st
from infertop.telemetry.buckets import DIGITS, HIGHEST, LOWEST, index_of, lowest_of, value_of
from infertop.telemetry.histogram import Counts, Histogram

QS = (0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)

edges = st.sampled_from(sorted({v + d for v in (1 << b for b in range(42)) for d in (-1, 0, 1)} | {HIGHEST}))
values = st.lists(
    st.one_of(st.integers(1, HIGHEST), st.integers(1, 5000), edges.map(lambda v: min(max(v, 1), HIGHEST))),
    max_size=60,
)


def reference(numbers: list[int]) -> HdrHistogram:
    hdr = HdrHistogram(LOWEST, HIGHEST, DIGITS)
    for number in numbers:
        assert hdr.record_value(number)
    return hdr


def hdr_quantiles(hdr: HdrHistogram) -> list[int]:
    found = hdr.get_percentile_to_value_dict([q * 100 for q in QS])
    return [found.get(q * 100, 0) for q in QS]


def filled(*batches: list[int]) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.record(np.array(batch, np.int64))
    return histogram


@given(values, values)
@settings(max_examples=25, deadline=None)
def test_batches_leave_what_record_value_leaves(first: list[int], second: list[int]) -> None:
    ours, theirs = filled(first, second), reference(first + second)
    assert np.array_equal(ours.counts, np.ctypeslib.as_array(theirs.counts).astype(np.int64))
    assert ours.encode() == theirs.encode().decode()
    assert ours.n == theirs.get_total_count() == len(first) + len(second)
    assert ours.max == theirs.get_max_value()
    assert ours.min == theirs.get_min_value()
    assert ours.quantiles(QS) == hdr_quantiles(theirs)
    assert ours.mean == pytest.approx(theirs.get_mean_value(), rel=1e-12)
    if ours.n:
        assert ours.variation == pytest.approx(theirs.get_stddev() / theirs.get_mean_value(), abs=1e-9)


@given(values, values)
@settings(max_examples=25, deadline=None)
def test_adding_equals_recording_together(first: list[int], second: list[int]) -> None:
    merged = filled(first)
    merged.add(filled(second))
    together = filled(first, second)
    assert merged.encode() == together.encode()
    assert merged.quantiles(QS) == together.quantiles(QS)
    assert (merged.n, merged.min, merged.max) == (together.n, together.min, together.max)


@given(values)
@settings(max_examples=25, deadline=None)
def test_decoding_gives_what_hdrhistogram_decodes(numbers: list[int]) -> None:
    blob = reference(numbers).encode()
    ours, theirs = Histogram.decode(blob), HdrHistogram.decode(blob)
    assert np.array_equal(ours.counts, np.ctypeslib.as_array(theirs.counts).astype(np.int64))
    assert (ours.n, ours.min, ours.max) == (
        theirs.total_count,
        theirs.get_min_value(),
        theirs.get_max_value(),
    )
    assert ours.quantiles(QS) == hdr_quantiles(theirs)
    assert ours.encode() == blob.decode()


def test_counts_of_every_size_survive_a_blob() -> None:
    histogram = Histogram()
    for bits in range(20):
        histogram.record(np.full(1 << bits, 10**bits if bits < 12 else 5, np.int64))
    for _ in range(22):  # doubling in place: counts of up to 2**41
        histogram.add(histogram.copy())
    again = Histogram.decode(histogram.encode())
    assert np.array_equal(again.counts, histogram.counts)
    assert again.n == histogram.n > 1 << 41


def test_every_index_holds_its_own_values() -> None:
    index = np.arange(len(Histogram().counts))
    low = np.array([lowest_of(int(i)) for i in index])
    high = np.array([value_of(int(i)) for i in index])
    assert np.array_equal(index_of(np.maximum(low, 1))[1:], index[1:])
    assert np.array_equal(index_of(np.maximum(high, 1))[1:], index[1:])
    assert np.array_equal(high[:-1] + 1, low[1:])


def test_values_above_an_hour_are_clipped_and_counted() -> None:
    histogram = Histogram()
    assert histogram.record(np.array([1, HIGHEST, HIGHEST + 1, 2**63 - 1], np.int64)) == 2
    assert histogram.record(np.array([2**64 - 1], np.uint64)) == 1
    assert histogram.record(np.array([7], np.int32)) == 0
    assert (histogram.clipped, histogram.n) == (3, 6)
    assert histogram.encode() == reference([1, HIGHEST, HIGHEST, HIGHEST, HIGHEST, 7]).encode().decode()
    other = Histogram()
    other.add(histogram)
    assert other.clipped == 3


def test_zero_and_below_count_as_one() -> None:
    histogram = Histogram()
    histogram.record(np.array([0, -5, 1], np.int64))
    assert (histogram.n, histogram.min, histogram.max, histogram.quantile(0.5)) == (3, 1, 1, 1)


def test_values_that_are_no_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="integers"):
        Histogram().record(np.array([1.5]))


def test_an_empty_histogram() -> None:
    empty = Histogram()
    assert empty.record(np.zeros(0, np.int64)) == 0
    assert (empty.n, empty.min, empty.max, empty.mean, empty.variation) == (0, 0, 0, 0.0, 0.0)
    assert empty.quantiles(QS) == [0] * len(QS)
    assert empty.encode() == reference([]).encode().decode()
    assert Histogram.decode(empty.encode()).n == 0
    assert empty.compact().n == 0
    empty.add(Histogram())
    assert empty.copy().n == 0


def test_a_copy_and_the_shown_counts_do_not_write_back() -> None:
    histogram = filled([5, 5, 900_000])
    copy = histogram.copy()
    copy.record(np.array([1]))
    assert (histogram.n, copy.n) == (3, 4)
    with pytest.raises(ValueError, match="read-only"):
        histogram.counts[5] = 0


def test_compact_holds_the_same_counts() -> None:
    histogram = filled([5, 5, 900_000, 1_000_000_000])
    compact = histogram.compact()
    counts = np.zeros_like(histogram.counts)
    counts[compact.index] = compact.count
    assert np.array_equal(counts, histogram.counts)
    assert compact.n == 4


def blob(
    payload: bytes, *, lowest: int = 1, highest: int = HIGHEST, digits: int = 3, size: int | None = None
) -> bytes:
    header = struct.pack(
        ">IIIIqqd", 0x1C849313, len(payload) if size is None else size, 0, digits, lowest, highest, 1.0
    )
    packed = zlib.compress(header + payload)
    return base64.b64encode(struct.pack(">II", 0x1C849314, len(packed)) + packed)


def zigzag(number: int) -> bytes:
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"not base64 !",
        "é",
        base64.b64encode(b"1234567"),
        base64.b64encode(b"12345678" + b"x" * 40),
        base64.b64encode(struct.pack(">II", 0x1C849314, 3) + b"abc"),
        blob(b"\x02")[:-8],
        blob(b"\x02", highest=60_000_000_000),
        blob(b"\x02", digits=2),
        blob(b"\x02", size=7),
        blob(b"\x82"),
        blob(b"\xff" * 9),
        blob(zigzag(-(2**50)) + zigzag(1)),
        blob(zigzag(-33_792) + zigzag(1)),
        blob(b"\x02" * 33_793),
        blob(b"\x00" * 2_000_000),
        b"A" * 10_000_000,
    ],
    ids=range(17),
)
def test_hostile_blobs_are_a_value_error(bad: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"histogram"):
        Histogram.decode(bad)


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_payload_decodes_or_is_a_value_error(payload: bytes) -> None:
    try:
        decoded = Histogram.decode(blob(payload))
    except ValueError:
        return
    assert decoded.n == decoded.counts.sum()
    assert (decoded.counts >= 0).all()


def test_the_total_of_blobs_is_the_sum_of_their_histograms() -> None:
    rng = np.random.default_rng(5)
    parts = []
    for n in (1, 300, 0, 20_000, 5):
        part = Histogram()
        part.record(rng.lognormal(13, 0.4, n).astype(np.int64))
        parts.append(part)
    total = Counts.total([part.encode() for part in parts])
    summed = Histogram.of([part.compact() for part in parts]).compact()
    assert np.array_equal(total.index, summed.index)
    assert np.array_equal(total.count, summed.count)
    assert Counts.total([]).n == 0


def test_blobs_decoded_together_are_what_each_is_alone() -> None:
    generator = np.random.default_rng(5)
    parts = []
    for k in range(90):
        part = Histogram()
        part.record(generator.lognormal(14, 0.4, k * 40).astype(np.int64))  # the first is empty
        parts.append(part)
    blobs = [part.encode() for part in parts]
    for one, part in zip(Counts.decode_all(blobs), parts, strict=True):
        assert np.array_equal(one.index, part.compact().index)
        assert np.array_equal(one.count, part.compact().count)
    assert Counts.decode_all([]) == []


def test_a_total_with_something_that_is_no_blob_is_refused() -> None:
    with pytest.raises(ValueError, match="not a histogram"):
        Counts.total([Histogram().encode(), "HISTFAAA"])


def test_the_mean_of_compact_counts_is_that_of_the_histogram() -> None:
    histogram = Histogram()
    assert histogram.compact().mean == 0.0
    histogram.record(np.random.default_rng(3).lognormal(14, 1.5, 5000).astype(np.int64))
    assert histogram.compact().mean == pytest.approx(histogram.mean, rel=1e-12)
